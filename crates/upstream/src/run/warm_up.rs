//! What an instance is asked before it takes calls: whether it can, and then what warms it up.

use std::net::SocketAddr;

use mainstay_base::brief::Brief;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;

use super::fleet::Number;
use crate::check;
use crate::config::{Config, Run, WarmUp};
use crate::service::Service;

/// How often an instance is asked whether it takes calls already.
const READY_EVERY: Duration = Duration::from_millis(20);

/// How long a request may take that warms it up, how many times it is sent if it fails, and how long is waited in between.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What is awaited.
pub(super) struct Awaited<'a> {
    pub(super) service: &'a Service,
    pub(super) number: Number,
    pub(super) address: SocketAddr,
    /// When it was started.
    pub(super) since: Instant,
}

/// Waits until an instance takes connections, is well if there is a check for it, and has been asked what warms it up.
pub(super) async fn ready(awaited: &Awaited<'_>, env: &Env) {
    let Awaited { service, address, .. } = *awaited;
    loop {
        let asked = match service.health() {
            Some(health) => check::check(address, health, service.dial(), env.clone()).await,
            None => check::connect(address, service.dial().connect_timeout).await,
        };
        if asked.is_ok() {
            break;
        }
        tokio::time::sleep(READY_EVERY.as_std()).await;
    }
    let Some(run) = service.config().run.as_ref().filter(|run| !run.warm_up.is_empty()) else { return };
    let left = last(run, awaited.since).saturating_since(env.now());
    if tokio::time::timeout(left.as_std(), warm(awaited, run, env)).await.is_err() {
        let (service, instance) = (service.name(), awaited.number.0);
        tracing::warn!(target: "mainstay::upstream", %service, instance, "an instance takes calls without all of its warm-up: it would not be ready within `start_timeout`");
    }
}

/// Waits until an instance has failed as many checks in a row as an endpoint may, and tells how it failed the last one. Without a check nobody knows, and it waits for ever.
pub(super) async fn unwell(service: &Service, address: SocketAddr, env: &Env) -> String {
    let Some(health) = service.health() else { return std::future::pending().await };
    let mut failed = 0;
    loop {
        tokio::time::sleep(health.every.as_std()).await;
        match check::check(address, health, service.dial(), env.clone()).await {
            Ok(()) => failed = 0,
            Err(error) => {
                failed += 1;
                if failed >= health.unhealthy.get() {
                    return error;
                }
            }
        }
    }
}

/// Whether instances are asked the same, and in the same way, by both.
pub(super) fn asks_same(one: &Config, other: &Config) -> bool {
    let of = |config: &Config| {
        let run = config.run.as_ref().map(|run| (run.warm_up.clone(), run.start_timeout));
        (config.health.clone(), config.protocol, config.connect_timeout, config.tls.clone(), run)
    };
    of(one) == of(other)
}

/// Until when it is warmed up: what is left of the time for its start is for taking calls.
fn last(run: &Run, since: Instant) -> Instant {
    let nanos = run.start_timeout.as_nanos();
    since.saturating_add(Duration::from_nanos(nanos - nanos / 4))
}

async fn warm(awaited: &Awaited<'_>, run: &Run, env: &Env) {
    let begun = env.now();
    let mut failed = 0_u32;
    for Brief(WarmUp { path, times }) in &run.warm_up {
        for _ in 0..times.get() {
            if let Err(error) = ask(awaited, path, env).await {
                failed += 1;
                if failed == 1 {
                    let (service, instance) = (awaited.service.name(), awaited.number.0);
                    tracing::warn!(target: "mainstay::upstream", %service, instance, path, error, "a request that warms an instance up fails, and is left out");
                }
            }
        }
    }
    let (service, instance) = (awaited.service.name(), awaited.number.0);
    let took = env.now().saturating_since(begun);
    tracing::debug!(target: "mainstay::upstream", %service, instance, %took, failed, "instance warmed up");
}

/// Asks once, and again if that fails. An answer of the class 4xx is one: the program has done what it does with such a request. Errors: it failed each time, and how at last.
async fn ask(awaited: &Awaited<'_>, path: &str, env: &Env) -> Result<(), String> {
    let Awaited { service, address, .. } = *awaited;
    let mut tries = 1;
    loop {
        let asking = check::get(address, path, service.dial().clone(), env.clone());
        let asked = match tokio::time::timeout(REQUEST_TIMEOUT.as_std(), asking).await {
            Ok(Ok(status)) if !status.is_server_error() => return Ok(()),
            Ok(Ok(status)) => format!("it was answered {status}"),
            Ok(Err(error)) => error,
            Err(_) => format!("it was not answered within {REQUEST_TIMEOUT}"),
        };
        if tries == TRIES {
            return Err(asked);
        }
        tries += 1;
        tokio::time::sleep(AGAIN_AFTER.as_std()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mainstay_base::time::SeededEntropy;
    use mainstay_resilience::TokioClock;
    use mainstay_resilience::policy::Policy;

    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("a definition")
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_warm_is_unwell_after_as_many_checks_as_an_endpoint() {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = free.local_addr().expect("it has one");
        drop(free);
        let clock = Arc::new(TokioClock::new());
        let env = Env::new(
            clock,
            Arc::new(SeededEntropy::new(1)),
            Arc::new(mainstay_resilience::Counts::new("test")),
        );
        let of = |json: &str| {
            Service::new("shop".parse().expect("a name"), config(json), Policy::default(), env.clone(), None)
        };
        let checked =
            of(r#"{"run": {"command": ["x"]}, "health": {"by": "tcp", "every": "1s", "unhealthy": 2}}"#);
        let since = env.now();
        unwell(&checked, address, &env).await;
        assert!(env.now().saturating_since(since) >= Duration::from_secs(2));
        let unchecked = of(r#"{"run": {"command": ["x"]}}"#);
        let hour = std::time::Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, unwell(&unchecked, address, &env)).await.is_err(), "nobody knows");
    }

    #[test]
    fn what_is_asked_is_the_same_as_long_as_nothing_says_otherwise() {
        let before = config(r#"{"run": {"command": ["x"]}, "health": {"path": "/well"}}"#);
        for (now, is_same) in [
            (r#"{"run": {"command": ["x"], "instances": 3}, "health": {"path": "/well"}}"#, true),
            (r#"{"run": {"command": ["x"]}, "health": {"path": "/healthy"}}"#, false),
            (r#"{"run": {"command": ["x"]}}"#, false),
            (r#"{"run": {"command": ["x"], "warm_up": ["/"]}, "health": {"path": "/well"}}"#, false),
            (r#"{"run": {"command": ["x"]}, "health": {"path": "/well"}, "connect_timeout": "3s"}"#, false),
            (r#"{"run": {"command": ["x"]}, "health": {"path": "/well"}, "protocol": "http2"}"#, false),
        ] {
            assert_eq!(asks_same(&before, &config(now)), is_same, "{now}");
        }
    }
}

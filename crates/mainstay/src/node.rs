//! One node: its parts in the order in which they start.

use std::sync::Arc;

use arc_swap::ArcSwap;

use mainstay_base::time::Clock;

use crate::api::{self, serve};
use crate::config::{Config, Loaded, Request};
use crate::life::lock::{self, DataLock, Holder};
use crate::life::ready::{Readiness, State};
use crate::life::scope::Alarm;
use crate::life::signals::{self, Signals};
use crate::life::{Scope, Started};
use crate::reload::{Apply, Reloads};
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::logs::Logs;
use crate::telemetry::metrics::Metrics;

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The API's address.
    #[error(
        "cannot listen on {address} for the API: {source}; choose another address with `listen.api`, or port 0"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The system's signals.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Asked to stop, and stopped with everything finished.
    Stopped,
    /// Something was cut off or had failed; the log says what.
    Failed,
}

/// What a node is made of.
pub struct Parts {
    /// The configuration to start with.
    pub loaded: Loaded,
    /// Where it came from, for reloads.
    pub request: Request,
    /// The log output.
    pub logs: Arc<Logs>,
}

/// Runs a node until it is stopped. `ready` is called once, when everything is up.
pub async fn run(parts: Parts, ready: impl FnOnce(&Config, std::net::SocketAddr)) -> Result<End, Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let (scope, alarm) = Scope::new("node");
    let mut started = Started::default();
    let running = match start(parts, &scope, &mut started).await {
        Ok(running) => running,
        Err(error) => {
            started.stop(std::time::Duration::ZERO).await;
            return Err(error);
        }
    };
    let config = running.config.load_full();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        target: "mainstay::life",
        node = %config.node.id,
        version,
        data = %config.data,
        api = %running.api,
        open = format!("http://{}/", running.api),
        "ready"
    );
    ready(&config, running.api);
    let healthy = watch(&mut signals, alarm, &running, &scope).await;
    running.readiness.drain();
    let drain = running.config.load().shutdown.drain;
    tracing::info!(target: "mainstay::life", drain = %drain, "stopping");
    let undone = tokio::select! {
        undone = started.stop(drain.as_std()) => undone,
        () = signals.stop() => {
            tracing::warn!(target: "mainstay::life", "second signal, ending at once");
            return Ok(End::Failed);
        }
    };
    tracing::info!(target: "mainstay::life", "stopped");
    Ok(if healthy && undone.is_empty() { End::Stopped } else { End::Failed })
}

/// A node that is up.
struct Running {
    api: std::net::SocketAddr,
    readiness: Readiness,
    config: Arc<ArcSwap<Config>>,
    reloads: Arc<Reloads>,
    apply: Arc<Apply>,
}

/// Starts the parts, in order. What is up when one fails is in `started`.
async fn start(parts: Parts, scope: &Scope, started: &mut Started) -> Result<Running, Error> {
    let Parts { loaded, request, logs } = parts;
    let config = loaded.config.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new(&config.node.id);
    let reloads = Arc::new(Reloads::new(request, &loaded, Arc::clone(&clock), &metrics));
    let readiness = Readiness::expecting(&["data", "api"]);

    let holder =
        Holder { pid: std::process::id(), node: config.node.id.clone(), since: clock.wall(), api: None };
    let mut lock = DataLock::acquire(config.data.as_path(), holder)?;
    readiness.set("data", State::Ready);

    let address = config.listen.api.socket();
    let bound = serve::Bound::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let api = bound.address();
    lock.announce(api)?;
    started.push("data", move |_| async move {
        drop(lock);
        Ok(())
    });
    let settings = Arc::new(ArcSwap::from_pointee(config.api.clone()));
    let context = api::Context {
        settings: Arc::clone(&settings),
        readiness: readiness.clone(),
        logs: Arc::clone(&logs),
        metrics,
        reloads: Arc::clone(&reloads),
        clock,
        entropy: Arc::new(SystemEntropy),
    };
    let server = bound.serve(context, scope);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let at_stop = Arc::clone(&config);
    started.push("api", move |deadline| {
        let linger = at_stop.load().shutdown.linger.as_std();
        server.drain(deadline, linger)
    });
    readiness.set("api", State::Ready);

    let current = Arc::clone(&config);
    let apply: Apply = Box::new(move |next| {
        logs.configure(&next.telemetry.logs);
        settings.store(Arc::new(next.api.clone()));
        current.store(Arc::new(next.clone()));
    });
    Ok(Running { api, readiness, config, reloads, apply: Arc::new(apply) })
}

/// Until the node must stop: reloads on request. Returns whether it was asked to stop, rather than had to.
async fn watch(signals: &mut Signals, mut alarm: Alarm, running: &Running, scope: &Scope) -> bool {
    loop {
        tokio::select! {
            request = signals.next() => match request {
                signals::Request::Stop => return true,
                signals::Request::Reload => reload(running, scope).await,
            },
            task = alarm.raised() => {
                tracing::error!(target: "mainstay::life", task, "an essential task panicked, stopping");
                return false;
            }
        }
    }
}

/// Reads files, so away from the threads that serve; a stop waits for it, which is bounded by the files.
async fn reload(running: &Running, scope: &Scope) {
    let (reloads, apply) = (Arc::clone(&running.reloads), Arc::clone(&running.apply));
    let (done, finished) = tokio::sync::oneshot::channel();
    scope.spawn("config reload", async move {
        let work = tokio::task::spawn_blocking(move || reloads.reload(&apply));
        if let Err(error) = work.await {
            std::panic::resume_unwind(error.into_panic());
        }
        // The receiver is gone only when the node is being torn down.
        let _ = done.send(());
    });
    // An error means that the reload panicked, which raises the alarm.
    let _ = finished.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn parts(folder: &std::path::Path) -> Parts {
        let sets = vec!["listen.api=127.0.0.1:0".to_owned()];
        let request = Request { directory: folder.into(), sets, ..Request::default() };
        let loaded = config::load(&request).expect("a valid configuration");
        let logs = Arc::new(Logs::start(&loaded.config.telemetry.logs));
        Parts { loaded, request, logs }
    }

    #[tokio::test]
    async fn a_panicking_essential_task_stops_the_node_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (scope, alarm) = Scope::new("node");
        let mut started = Started::default();
        let running = start(parts(folder.path()), &scope, &mut started).await.expect("it starts");
        scope.spawn("heart", async { panic!("stopped beating") });
        let mut signals = Signals::listen().expect("signals");
        assert!(!watch(&mut signals, alarm, &running, &scope).await, "it had to stop");
        assert_eq!(started.stop(std::time::Duration::from_secs(30)).await, []);
        let mut again = Started::default();
        start(parts(folder.path()), &scope, &mut again).await.expect("nothing is left behind");
        again.stop(std::time::Duration::from_secs(30)).await;
    }
}

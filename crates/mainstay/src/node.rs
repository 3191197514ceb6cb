//! One node: its parts in the order in which they start.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use mainstay_base::time::Clock;

use crate::api::{self, serve};
use crate::config::{Config, Loaded};
use crate::life::lock::{self, DataLock, Holder};
use crate::life::ready::{Readiness, State};
use crate::life::scope::Alarm;
use crate::life::signals::{self, Signals};
use crate::life::{Scope, Started, Unfinished, scope};
use crate::log::NodeLog;
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
    /// The log.
    #[error(transparent)]
    Log(#[from] mainstay_log::Error),
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
    /// The log output.
    pub logs: Arc<Logs>,
    /// The system's signals, listened to since before the configuration was read.
    pub signals: Signals,
}

/// Runs a node until it is stopped. `ready` is called once, when everything is up.
pub async fn run(parts: Parts, ready: impl FnOnce(&Config, std::net::SocketAddr)) -> Result<End, Error> {
    let Parts { loaded, logs, mut signals } = parts;
    let (scope, alarm) = Scope::new("node");
    let mut started = Started::default();
    let running = match start(loaded, logs, &scope, &mut started).await {
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
        open = format!("{}/", api::base_url(running.api)),
        "ready"
    );
    ready(&config, running.api);
    let healthy = watch(&mut signals, alarm, &running).await;
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
    /// Has room for one request: reloads that are asked for while one waits are that one.
    reload: mpsc::Sender<()>,
}

/// Starts the parts, in order. What is up when one fails is in `started`.
async fn start(
    loaded: Loaded,
    logs: Arc<Logs>,
    scope: &Scope,
    started: &mut Started,
) -> Result<Running, Error> {
    let config = loaded.config.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new(&config.node.id);
    metrics.register(logs.dropped());
    let reloads = Arc::new(Reloads::new(&loaded, Arc::clone(&clock), &metrics));
    let readiness = Readiness::expecting(&["data", "log", "api"]);
    let tasks = scope.clone();
    started.push("tasks", move |deadline| async move { tasks.close(deadline).await });

    let holder =
        Holder { pid: std::process::id(), node: config.node.id.clone(), since: clock.wall(), api: None };
    let mut lock = DataLock::acquire(config.data.as_path(), holder)?;
    readiness.set("data", State::Ready);

    allow_open_files(config.api.connections_max);
    let address = config.listen.api.socket();
    let bound = serve::Bound::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let api = bound.address();
    lock.announce(api)?;
    started.push("data", move |_| async move {
        drop(lock);
        Ok(())
    });
    let log = open_log(&config, &clock, started).await?;
    log.count_in(&metrics);
    readiness.set("log", State::Ready);
    let settings = Arc::new(ArcSwap::from_pointee(config.api.clone()));
    let context = api::Context {
        settings: Arc::clone(&settings),
        readiness: readiness.clone(),
        log,
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
    let (reload, requests) = mpsc::channel(1);
    scope.spawn("config reload", reloading(requests, reloads, apply, scope.closing()));
    Ok(Running { api, readiness, config, reload })
}

/// Opens the log on a thread that may block, and has it closed at the stop.
async fn open_log(config: &Config, clock: &Arc<dyn Clock>, started: &mut Started) -> Result<NodeLog, Error> {
    let (settings, data, clock) = (config.log.clone(), config.data.as_path().to_owned(), Arc::clone(clock));
    let opening = tokio::task::spawn_blocking(move || NodeLog::open(&settings, &data, clock, &SystemEntropy));
    let log = opening.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    let at_stop = log.clone();
    started.push("log", move |_| async move {
        at_stop
            .close()
            .await
            .map_err(|error| Unfinished { part: "log".into(), unfinished: vec![error.to_string()] })
    });
    log.prove().await?;
    Ok(log)
}

/// Raises the process's limit of open files to what the system allows, and says so when that is too few.
fn allow_open_files(connections_max: u32) {
    /// For the listener, the log, the lock and what is to come.
    const OTHER_FILES: u64 = 128;
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(target: "mainstay::life", %error, "cannot raise the limit of open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = u64::from(connections_max) + OTHER_FILES;
    if allowed < needed {
        tracing::warn!(
            target: "mainstay::life",
            allowed,
            needed,
            "fewer files may be open than `api.connections_max` needs; raise `ulimit -n` or lower the setting"
        );
    }
}

/// Until the node must stop. Returns whether it was asked to stop, rather than had to.
async fn watch(signals: &mut Signals, mut alarm: Alarm, running: &Running) -> bool {
    loop {
        tokio::select! {
            request = signals.next() => match request {
                signals::Request::Stop => return true,
                // When there is no room, a reload waits already and will read what is there by then.
                signals::Request::Reload => drop(running.reload.try_send(())),
            },
            task = alarm.raised() => {
                tracing::error!(target: "mainstay::life", task, "an essential task panicked, stopping");
                return false;
            }
        }
    }
}

/// Reloads on request, away from the threads that serve. Files may block for as long as they like (a dead network
/// drive): a stop does not wait for them.
async fn reloading(
    mut requests: mpsc::Receiver<()>,
    reloads: Arc<Reloads>,
    apply: Apply,
    closing: CancellationToken,
) {
    let apply = Arc::new(apply);
    while let Some(Some(())) = closing.run_until_cancelled(requests.recv()).await {
        let (reloads, apply) = (Arc::clone(&reloads), Arc::clone(&apply));
        let work = move || scope::guarded("config reload", || reloads.reload(&apply));
        match closing.run_until_cancelled(tokio::task::spawn_blocking(work)).await {
            Some(Ok(Ok(_))) | None => {}
            Some(Ok(Err(panicked))) => std::panic::resume_unwind(Box::new(panicked)),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Request};

    async fn start(folder: &std::path::Path, scope: &Scope, started: &mut Started) -> Running {
        let sets = vec!["listen.api=127.0.0.1:0".to_owned()];
        let request = Request { directory: folder.into(), sets, ..Request::default() };
        let loaded = config::load(&request).expect("a valid configuration");
        let logs = Arc::new(Logs::start(&loaded.config.telemetry.logs));
        super::start(loaded, logs, scope, started).await.expect("it starts")
    }

    #[tokio::test]
    async fn a_panicking_essential_task_stops_the_node_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (scope, alarm) = Scope::new("node");
        let mut started = Started::default();
        let running = start(folder.path(), &scope, &mut started).await;
        scope.spawn("heart", async { panic!("stopped beating") });
        let mut signals = Signals::listen().expect("signals");
        assert!(!watch(&mut signals, alarm, &running).await, "it had to stop");
        assert_eq!(started.stop(std::time::Duration::from_secs(30)).await, []);
        let (scope, _alarm) = Scope::new("node");
        let mut again = Started::default();
        // Nothing is left behind that would be in the way.
        start(folder.path(), &scope, &mut again).await;
        again.stop(std::time::Duration::from_secs(30)).await;
    }
}

//! One node: its parts in the order in which they start.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy};
use mainstay_log::local::disk::Disk;
use mainstay_machine::task::Declare;

use crate::api::{self, serve};
use crate::backups::Backups;
use crate::config::{Config, Loaded};
use crate::gateway::{self, NodeGateway};
use crate::life::lock::{self, DataLock, Holder};
use crate::life::ready::Readiness;
use crate::life::scope::Alarm;
use crate::life::signals::{self, Signals};
use crate::life::{Scope, Started, Unfinished, scope};
use crate::log::NodeLog;
use crate::programs::{self, Programs};
use crate::reload::{Apply, Reloads};
use crate::shards::{self, BringUp};
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
    #[error("{}", crate::log::told(.0))]
    Log(#[from] mainstay_log::Error),
    /// The shards.
    #[error(transparent)]
    Shards(#[from] shards::Error),
    /// The programs of services.
    #[error("cannot tell the programs of this node from others': {0}; look at the data directory")]
    Programs(std::io::Error),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
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
    let running = match start(loaded, logs, &scope, &mut started, crate::log::directory).await {
        Ok(running) => running,
        Err(error) => {
            started.stop(std::time::Duration::ZERO).await;
            return Err(error);
        }
    };
    let tell_ready = || {
        let config = running.config.load_full();
        let version = env!("CARGO_PKG_VERSION");
        let [gateway, tcp] = running.gateway.addresses();
        tracing::info!(
            target: "mainstay::life",
            node = %config.node.id,
            version,
            data = %config.data,
            api = %running.api,
            open = format!("{}/", api::base_url(running.api)),
            gateway = ?gateway,
            tcp = ?tcp,
            "ready"
        );
        ready(&config, running.api);
    };
    let healthy = watch(&mut signals, alarm, &running, tell_ready).await;
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

/// Gives the log its files below a data directory. May block.
pub(crate) trait OpenDisk:
    FnOnce(&Path) -> Result<Arc<dyn Disk>, mainstay_log::Error> + Send + 'static
{
}

impl<T: FnOnce(&Path) -> Result<Arc<dyn Disk>, mainstay_log::Error> + Send + 'static> OpenDisk for T {}

/// A node that is up.
struct Running {
    api: std::net::SocketAddr,
    gateway: NodeGateway,
    readiness: Readiness,
    log: NodeLog,
    shards: shards::NodeShards,
    /// Told when the programs of services take calls.
    programs: CancellationToken,
    config: Arc<ArcSwap<Config>>,
    /// What the configuration defined at the start.
    declared: Declare,
    /// Cancelled when what the configuration defines is in force, or cannot be.
    defined: CancellationToken,
    /// Has room for one request: reloads that are asked for while one waits are that one.
    reload: mpsc::Sender<()>,
}

/// Starts the parts, in order. What is up when one fails is in `started`. `disk` gives the log its files below the data
/// directory.
async fn start(
    loaded: Loaded,
    logs: Arc<Logs>,
    scope: &Scope,
    started: &mut Started,
    disk: impl OpenDisk,
) -> Result<Running, Error> {
    let (config, declared) = (loaded.config.clone(), loaded.declare());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new(&config.node.id);
    metrics.register(logs.dropped());
    let reloads = Arc::new(Reloads::new(&loaded, Arc::clone(&clock), &metrics));
    let readiness = Readiness::expecting(&["data", "log", "shards", "api", "gateway", "programs"]);
    let tasks = scope.clone();
    started.push("tasks", move |deadline| async move { tasks.close(deadline).await });

    let lock = take_data(&config, &*clock)?;
    readiness.up("data");

    allow_open_files(connections_max(&config), are_connections_default(&config));
    let address = config.listen.api.socket();
    let bound = serve::Bound::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let api = bound.address();
    hold(lock, api, started)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let gateway = NodeGateway::new(&loaded, (&clock, &entropy), &metrics)?;
    // Taken early: whoever has a port in use is told before there is a log to be closed.
    let listeners = gateway.prepare(&loaded).await?;
    let (log, shards) = open_data(&config, (&clock, &entropy), scope, started, disk).await?;
    log.count_in(&metrics);
    shards.count_in(&metrics);
    readiness.up("log");
    let settings = Arc::new(ArcSwap::from_pointee(config.api.clone()));
    let context = api::Context {
        address: api,
        settings: Arc::clone(&settings),
        readiness: readiness.clone(),
        log: log.clone(),
        shards: shards.clone(),
        backups: Arc::new(Backups::new(&config, shards.space(), &clock)?),
        logs: Arc::clone(&logs),
        metrics: metrics.clone(),
        reloads: Arc::clone(&reloads),
        gateway: gateway.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    };
    let server = bound.serve(context, scope);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let at_stop = Arc::clone(&config);
    started.push("api", move |deadline| {
        let linger = at_stop.load().shutdown.linger.as_std();
        server.drain(deadline, linger)
    });
    readiness.up("api");
    let parts = (&gateway, listeners);
    let (programs, defined) =
        serve_gateway((&config, api), parts, (&readiness, &*entropy), scope, started).await?;
    let (current, served) = (Arc::clone(&config), shards.clone());
    let swap = move |next: &Config| {
        logs.configure(&next.telemetry.logs);
        settings.store(Arc::new(next.api.clone()));
        served.configure(next);
        current.store(Arc::new(next.clone()));
    };
    let apply = applying(shards.clone(), gateway.clone(), swap);
    let (reload, requests) = mpsc::channel(1);
    scope.spawn("config reload", reloading(requests, reloads, apply, scope.closing()));
    Ok(Running { api, gateway, readiness, log, shards, programs, config, declared, defined, reload })
}

/// Makes the data directory this process's own.
fn take_data(config: &Config, clock: &dyn Clock) -> Result<DataLock, lock::Error> {
    let (pid, node, since) = (std::process::id(), config.node.id.clone(), clock.wall());
    DataLock::acquire(config.data.as_path(), Holder { pid, node, since, api: None })
}

/// Tells whoever finds the directory locked where the node is, and keeps it until all that is in it is closed.
fn hold(mut lock: DataLock, api: std::net::SocketAddr, started: &mut Started) -> Result<(), lock::Error> {
    lock.announce(api)?;
    started.push("data", move |_| async move {
        drop(lock);
        Ok(())
    });
    Ok(())
}

/// Serves the gateway, and has it stopped before the API: whoever operates the node sees how that goes. Runs the programs of its services; returns what is told when they take calls,
/// and what has to be told for them to begin.
async fn serve_gateway(
    (config, api): (&Arc<ArcSwap<Config>>, std::net::SocketAddr),
    (gateway, prepared): (&NodeGateway, gateway::Prepared),
    (readiness, entropy): (&Readiness, &dyn Entropy),
    scope: &Scope,
    started: &mut Started,
) -> Result<(CancellationToken, CancellationToken), Error> {
    // Stopped after the gateway: requests that it still has are theirs.
    let programs = Programs::new(started);
    gateway.configure(prepared)?;
    let closing = scope.closing();
    let tended = closing.run_until_cancelled_owned(gateway.tend(api));
    scope.spawn("services", async move {
        tended.await;
    });
    let (at_stop, served) = (Arc::clone(config), gateway.clone());
    started.push("gateway", move |deadline| async move {
        let linger = at_stop.load().shutdown.linger.as_std();
        served.drain(deadline, linger).await
    });
    readiness.up("gateway");
    let defined = CancellationToken::new();
    let node = programs::Node { config, api, gateway, readiness, entropy };
    let up = programs.run(node, defined.clone(), scope).await.map_err(Error::Programs)?;
    Ok((up, defined))
}

/// Puts in force what may be refused, and then the rest.
fn applying(
    shards: shards::NodeShards,
    gateway: NodeGateway,
    swap: impl Fn(&Config) + Send + Sync + 'static,
) -> Apply {
    let runtime = Handle::current();
    Box::new(move |loaded| {
        let _within = runtime.enter();
        let prepared = runtime.block_on(gateway.prepare(loaded)).map_err(|error| error.reasons())?;
        runtime.block_on(shards.declare(loaded.declare())).map_err(|reason| vec![reason])?;
        gateway.configure(prepared).map_err(|error| error.reasons())?;
        swap(&loaded.config);
        Ok(())
    })
}

/// Opens the stores and the log below the data directory, which this process has locked, and serves the shards. `disk` gives
/// the log its files.
pub(crate) async fn open_data(
    config: &Config,
    (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
    scope: &Scope,
    started: &mut Started,
    disk: impl OpenDisk,
) -> Result<(NodeLog, shards::NodeShards), Error> {
    let mut opened = shards::Opened::open(config, clock).await?;
    let known = std::mem::take(&mut opened.known);
    let log = open_log(config, known, clock, started, disk).await?;
    let shards = opened.serve(config, &log, (clock, entropy), scope);
    let at_stop = shards.clone();
    started.push("shards", move |deadline| at_stop.close(deadline));
    Ok((log, shards))
}

/// Opens the log on a thread that may block, and has it closed at the stop.
async fn open_log(
    config: &Config,
    known: BTreeMap<ShardId, Index>,
    clock: &Arc<dyn Clock>,
    started: &mut Started,
    disk: impl OpenDisk,
) -> Result<NodeLog, Error> {
    let (settings, data, clock) = (config.log.clone(), config.data.as_path().to_owned(), Arc::clone(clock));
    let opening = tokio::task::spawn_blocking(move || {
        NodeLog::open(&settings, disk(&data)?, clock, &SystemEntropy, known)
    });
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

/// Raises the process's limit of open files to what the system allows, and warns when that is too few for what somebody has asked for. The defaults
/// are for large machines: where they do not fit it is only told.
pub(crate) fn allow_open_files(connections_max: u64, is_default: bool) {
    /// For the listeners, the log, the lock and what is to come.
    const OTHER_FILES: u64 = 128;
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(target: "mainstay::life", %error, "cannot raise the limit of open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = connections_max + OTHER_FILES;
    if allowed >= needed {
        return;
    }
    if is_default {
        tracing::info!(target: "mainstay::life", allowed, needed, "fewer files may be open than the default numbers of connections would take");
        return;
    }
    tracing::warn!(
        target: "mainstay::life",
        allowed,
        needed,
        "fewer files may be open than `api.connections_max`, `gateway.connections.max` and those of `listen.tcp` need; raise `ulimit -n` or lower the settings"
    );
}

/// How many connections a node may have at a time.
fn connections_max(config: &Config) -> u64 {
    let of_gateway = match config.listen.gateway.len() {
        0 => 0,
        // Each may need one to a service besides its own.
        _ => 2 * u64::from(config.gateway.connections.max.get()),
    };
    let of_tcp = config.listen.tcp.iter().map(|it| 2 * u64::from(it.connections.max.get())).sum::<u64>();
    u64::from(config.api.connections_max) + of_gateway + of_tcp
}

/// Whether nobody has said how many that may be.
fn are_connections_default(config: &Config) -> bool {
    let default = Config::default();
    config.api.connections_max == default.api.connections_max
        && config.gateway.connections.max == default.gateway.connections.max
        && config.listen.tcp.is_empty()
}

/// Until the node must stop. Returns whether it was asked to stop, rather than had to. `ready` is called once, when every shard is
/// served. A node whose log or one of whose shards has failed goes on for its readers, and is not ready any more: whether it is
/// started again is decided by whoever looks after the disk.
async fn watch(signals: &mut Signals, mut alarm: Alarm, running: &Running, ready: impl FnOnce()) -> bool {
    let mut ready = Some(ready);
    let (mut failed, mut has_failed) = (pin!(running.log.failed()), false);
    let space = running.shards.space();
    let mut served = pin!(running.shards.bring_up(running.declared.clone()));
    let mut is_served = false;
    let (mut unserved, mut is_unserved) = (pin!(space.failed()), false);
    loop {
        tokio::select! {
            request = signals.next() => match request {
                signals::Request::Stop => return true,
                // When there is no room, a reload waits already and will read what is there by then.
                signals::Request::Reload => drop(running.reload.try_send(())),
            },
            reason = &mut failed, if !has_failed => {
                has_failed = true;
                tracing::error!(
                    target: "mainstay::log",
                    reason,
                    "the log takes no more records until the node is started again, and the node is not ready; \
                     look at the disk first"
                );
                running.readiness.fail("log", reason);
            }
            outcome = &mut served, if !is_served => match outcome {
                Err(BringUp::Refused(reason)) => {
                    tracing::error!(target: "mainstay::config", reason, "the configuration cannot be in force here, stopping");
                    return false;
                }
                // Whoever waits for shards that are not served is told why.
                Err(BringUp::Unserved(_)) => {
                    running.defined.cancel();
                    (is_served, ready) = (true, None);
                }
                Ok(()) => {
                    running.readiness.up("shards");
                    running.defined.cancel();
                    is_served = true;
                }
            },
            () = running.programs.cancelled(), if is_served && ready.is_some() => {
                ready.take().into_iter().for_each(|ready| ready());
            }
            reason = &mut unserved, if !is_unserved => {
                is_unserved = true;
                running.readiness.fail("shards", reason);
            }
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
    use std::io::Write;
    use std::sync::Mutex;

    use bytes::Bytes;
    use mainstay_base::position::{Epoch, Index, ShardId};
    use mainstay_log::faulty::{Act, Fault, SimDisk};
    use mainstay_log::record::{Checksum, Draft, RecordId};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::{self, Request};

    async fn start(folder: &Path, scope: &Scope, started: &mut Started, disk: impl OpenDisk) -> Running {
        let sets = vec!["listen.api=127.0.0.1:0".to_owned()];
        let request = Request { directory: folder.into(), sets, ..Request::default() };
        let loaded = config::load(&request).expect("a valid configuration");
        let logs = Arc::new(Logs::start(&loaded.config.telemetry.logs));
        super::start(loaded, logs, scope, started, disk).await.expect("it starts")
    }

    #[tokio::test]
    async fn a_panicking_essential_task_stops_the_node_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (scope, alarm) = Scope::new("node");
        let mut started = Started::default();
        let running = start(folder.path(), &scope, &mut started, crate::log::directory).await;
        scope.spawn("heart", async { panic!("stopped beating") });
        let mut signals = Signals::listen().expect("signals");
        assert!(!watch(&mut signals, alarm, &running, || {}).await, "it had to stop");
        assert_eq!(started.stop(std::time::Duration::from_secs(30)).await, []);
        let (scope, _alarm) = Scope::new("node");
        let mut again = Started::default();
        // Nothing is left behind that would be in the way.
        start(folder.path(), &scope, &mut again, crate::log::directory).await;
        again.stop(std::time::Duration::from_secs(30)).await;
    }

    /// Status and body of what the API answers.
    async fn get(api: std::net::SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(api).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// What is logged, as text.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panics").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_node_whose_log_has_failed_is_alive_and_not_ready_and_says_why() {
        const READY: &str = "/v1/health/ready";
        /// Whoever watches the log is on the same thread, and gets his turn between two answers.
        const ANSWERS_MAX: usize = 1000;
        let folder = tempfile::tempdir().expect("a folder");
        let machine = SimDisk::new(1);
        // One segment, and no room for the spare that nobody here waits for.
        machine.set_capacity(8 << 20);
        let (scope, alarm) = Scope::new("node");
        let (mut started, disk) = (Started::default(), machine.mount());
        let running = start(folder.path(), &scope, &mut started, |_| Ok(disk)).await;
        let api = running.api;
        let mut signals = Signals::listen().expect("signals");
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        let _lines = tracing::subscriber::set_default(subscriber);
        let (tell, told) = tokio::sync::oneshot::channel();
        let poisoned = async {
            told.await.expect("it becomes ready");
            assert_eq!(get(api, READY).await.0, 200);
            machine.fault_next(Act::Sync, Fault::Error);
            let record = Draft::data(RecordId::new([1; 16]), Bytes::from_static(b"lost")).seal(
                ShardId::new(999),
                Index::FIRST,
                Epoch::new(1),
                Checksum::START,
            );
            let appended = running.log.port().append(record).await;
            assert!(matches!(appended, Err(mainstay_log::Error::OutcomeUnknown { .. })), "{appended:?}");
            for _ in 0..ANSWERS_MAX {
                let (status, body) = get(api, READY).await;
                if status == 503 {
                    return body;
                }
            }
            panic!("it was ready {ANSWERS_MAX} times after its log had failed");
        };
        let told = tokio::select! {
            told = poisoned => told,
            _ = watch(&mut signals, alarm, &running, || tell.send(()).expect("it is waited for")) => panic!("it goes on for its readers"),
        };
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let log = &told["parts"][1];
        let reason = log["reason"].as_str().expect("a reason");
        assert_eq!((&log["name"], &log["state"]), (&"log".into(), &"failed".into()), "{told}");
        assert!(reason.starts_with("syncing ") && reason.contains("segment-"), "{reason}");
        assert_eq!(told["detail"], format!("not ready: log ({reason})"));
        let lines = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("UTF-8");
        let errors: Vec<_> = lines.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(
            matches!(&errors[..], [line] if line.contains(reason) && line.contains("is not ready")),
            "{lines}"
        );
        assert_eq!(get(api, "/v1/health/live").await.0, 200);
        assert!(get(api, "/metrics").await.1.contains("mainstay_log_poisoned{node=\"n1\"} 1"));
        assert_eq!(running.log.view()["state"], "poisoned");
        let undone = started.stop(std::time::Duration::from_secs(30)).await;
        assert_eq!(undone.len(), 1, "the stop is no clean one either: {undone:?}");
    }
}

//! Workers and their listeners: started, given new ones, and drained.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_base::id::Name;
use mainstay_resilience::{Env, Key, fault};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::census::Census;
use crate::coding::Background;
use crate::listener::{Bound, Greeting, Listener};
use crate::meters::Meters;
use crate::network;
use crate::snapshot::{Maker, Snapshot};
use crate::worker::{self, Listening};

/// The most listeners at a time.
pub const LISTENERS_MAX: usize = 64;

/// What workers share.
#[derive(Clone)]
pub struct Shared {
    /// What is in force. A change is a new one.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What is counted.
    pub meters: Meters,
    /// Time and chance, without what policies decide.
    pub env: Env,
    /// Faults that are injected.
    pub faults: fault::Handle,
    /// Secret to the process, so that nobody can look for addresses that meet.
    seed: u64,
    pub(crate) census: Arc<Census>,
    pub(crate) background: Background,
}

impl Shared {
    /// This in force, with what its maker has.
    pub fn new(maker: &Maker, snapshot: Arc<ArcSwap<Snapshot>>, faults: fault::Handle) -> Self {
        let census = Arc::new(Census::new(Some(maker.meters.connections.clone())));
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let background = Background::new(cores);
        let (meters, env) = (maker.meters.clone(), maker.env_of("none"));
        Self { snapshot, meters, seed: env.draw(), env, faults, census, background }
    }

    /// Among whom those who wait for a service take turns: hosts.
    pub(crate) fn key(&self, client: IpAddr) -> Key {
        match network::of_host(client) {
            IpAddr::V4(address) => Key::of(self.seed, &address.octets()),
            IpAddr::V6(address) => Key::of(self.seed, &address.octets()),
        }
    }
}

/// Workers that serve. Clones are the same ones.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

struct Parts {
    shared: Shared,
    count: usize,
    /// None before there is something to listen to.
    workers: Mutex<Vec<Worker>>,
    stop: Stop,
}

struct Worker {
    thread: JoinHandle<usize>,
    listen: mpsc::Sender<Listening>,
}

/// How connections are told to stop: those of all listeners, or those of one.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Each answer is the last of its connection: of all listeners, and of this one. They are looked at with each request.
    drains: [Arc<AtomicBool>; 2],
    /// From here on no connection is accepted, and those without a request end.
    pub(crate) closing: CancellationToken,
    /// From here on nothing is waited for.
    pub(crate) killed: CancellationToken,
}

impl Stop {
    fn new() -> Self {
        let all: Arc<AtomicBool> = Arc::default();
        let [closing, killed] = [(); 2].map(|()| CancellationToken::new());
        Self { drains: [Arc::clone(&all), all], closing, killed }
    }

    /// One that is told with this one, and can be told alone.
    fn child(&self) -> Self {
        Self {
            drains: [Arc::clone(&self.drains[0]), Arc::default()],
            closing: self.closing.child_token(),
            killed: self.killed.child_token(),
        }
    }

    /// From here on each answer is the last of its connection.
    pub(crate) fn drain(&self) {
        self.drains[1].store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drains.iter().any(|drains| drains.load(Ordering::Relaxed))
    }
}

impl Server {
    /// So many workers, which start with the first listener.
    pub fn new(workers: usize, shared: Shared) -> Self {
        Self(Arc::new(Parts { shared, count: workers, workers: Mutex::default(), stop: Stop::new() }))
    }

    /// How many workers there are: as many sockets a listener needs.
    pub fn workers(&self) -> usize {
        self.0.count
    }

    /// Serves an address, which may have a name. Errors: the system has no threads, or there are [`LISTENERS_MAX`] already.
    pub fn listen(&self, bound: Bound, name: Option<Name>, greeting: Greeting) -> io::Result<Listener> {
        let mut workers = self.workers_mut();
        while workers.len() < self.0.count {
            let worker = self.start(workers.len())?;
            workers.push(worker);
        }
        let listener = Listener::new(bound.address(), name, greeting, self.0.stop.child());
        for (worker, socket) in workers.iter().zip(bound.sockets) {
            let listening = Listening { listener: listener.clone(), socket };
            if worker.listen.try_send(listening).is_err() {
                // Nobody will know of it: those who serve it already are to stop.
                listener.close();
                return Err(io::Error::other("there are too many listeners"));
            }
        }
        Ok(listener)
    }

    fn start(&self, number: usize) -> io::Result<Worker> {
        let (shared, stop) = (self.0.shared.clone(), self.0.stop.clone());
        let (listen, listening) = mpsc::channel(LISTENERS_MAX);
        let thread = std::thread::Builder::new()
            .name(format!("gateway-{number}"))
            .spawn(move || worker::run(listening, shared, stop))?;
        Ok(Worker { thread, listen })
    }

    fn workers_mut(&self) -> MutexGuard<'_, Vec<Worker>> {
        // Each worker in it is one that runs.
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops in two steps. For `linger` connections are still served, new ones too, each answer being the last of its connection. Then the listeners close, and requests in
    /// flight may finish until `deadline`. Returns how many connections were cut off.
    pub async fn drain(&self, deadline: Instant, linger: Duration) -> usize {
        let Stop { closing, killed, .. } = &self.0.stop;
        self.0.stop.drain();
        let workers = std::mem::take(&mut *self.workers_mut());
        if workers.is_empty() {
            return 0;
        }
        tokio::time::sleep_until((Instant::now() + linger).min(deadline)).await;
        closing.cancel();
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(|worker| worker.thread.join().unwrap_or(0)).sum::<usize>()
        });
        let mut joined = std::pin::pin!(joined);
        tokio::select! {
            cut = joined.as_mut() => return cut.unwrap_or(0),
            () = tokio::time::sleep_until(deadline) => killed.cancel(),
        }
        joined.await.unwrap_or(0)
    }
}

//! Workers and their listeners: started, given new ones, and drained.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_resilience::Env;
use tokio::net::TcpSocket;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::meters::Meters;
use crate::snapshot::{Maker, Snapshot};
use crate::worker::{self, Listening};

/// Connections that may wait in the kernel to be accepted, for each worker. The kernel takes less if it is set so.
const BACKLOG: u32 = 4096;

/// What workers share.
#[derive(Clone)]
pub struct Shared {
    /// What is in force. A change is a new one.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What is counted.
    pub meters: Meters,
    /// Time and chance, without what policies decide.
    pub env: Env,
}

impl Shared {
    /// This in force, with what its maker has.
    pub fn new(maker: &Maker, snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { snapshot, meters: maker.meters.clone(), env: maker.env_of("none") }
    }
}

/// An address that is taken by as many sockets as there are workers, and not served yet.
#[derive(Debug)]
pub struct Bound {
    address: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

impl Bound {
    /// Takes an address for so many workers. Within a runtime. Errors: the system's answer, also if another process has the address.
    pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Self> {
        // Sockets that share a port do so also with those of other processes: a first one that does not share tells.
        let probe = socket(address)?;
        probe.set_reuseaddr(true)?;
        probe.bind(address)?;
        let address = SocketAddr::new(address.ip(), probe.local_addr()?.port());
        drop(probe.listen(1)?);
        let open = || {
            let socket = socket(address)?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?.into_std()
        };
        let sockets = (0..workers).map(|_| open()).collect::<io::Result<_>>()?;
        Ok(Self { address, sockets })
    }

    /// The address that was taken, also where port 0 left the choice to the system.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// Workers that serve.
pub struct Server {
    workers: Vec<JoinHandle<usize>>,
    stop: Stop,
}

/// How workers are told to stop.
#[derive(Clone)]
pub(crate) struct Stop {
    /// From here on each answer is the last of its connection.
    pub(crate) draining: CancellationToken,
    /// From here on no connection is accepted, and those without a request end.
    pub(crate) closing: CancellationToken,
    /// From here on nothing is waited for.
    pub(crate) killed: CancellationToken,
}

impl Server {
    /// Starts workers that serve these addresses. Errors: the system has no threads.
    pub fn start(bound: Vec<Bound>, workers: usize, shared: &Shared) -> io::Result<Self> {
        let stop = Stop {
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            killed: CancellationToken::new(),
        };
        // Where nothing is served nobody is needed.
        let workers = if bound.is_empty() { 0 } else { workers };
        let mut sockets: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
        for Bound { address, sockets: of_workers } in bound {
            for (worker, socket) in of_workers.into_iter().enumerate() {
                sockets[worker].push(Listening { address, socket });
            }
        }
        let start = |(number, listening)| {
            let (shared, stop) = (shared.clone(), stop.clone());
            std::thread::Builder::new()
                .name(format!("gateway-{number}"))
                .spawn(move || worker::run(listening, shared, stop))
        };
        let workers = sockets.into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, stop })
    }

    /// Stops in two steps. For `linger` connections are still served, new ones too, each answer being the last of its connection. Then the listeners close, and requests in
    /// flight may finish until `deadline`. Returns how many connections were cut off.
    pub async fn drain(self, deadline: Instant, linger: Duration) -> usize {
        self.stop.draining.cancel();
        if self.workers.is_empty() {
            return 0;
        }
        tokio::time::sleep_until((Instant::now() + linger).min(deadline)).await;
        self.stop.closing.cancel();
        let killed = self.stop.killed.clone();
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(|worker| worker.join().unwrap_or(0)).sum::<usize>()
        });
        let mut joined = std::pin::pin!(joined);
        tokio::select! {
            cut = joined.as_mut() => return cut.unwrap_or(0),
            () = tokio::time::sleep_until(deadline) => killed.cancel(),
        }
        joined.await.unwrap_or(0)
    }
}

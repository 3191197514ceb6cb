//! Listeners: where connections come in, and how they begin.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpSocket;

use crate::proxy_protocol;
use crate::server::Stop;
use crate::tcp::Passage;
use crate::tls::Tls;

/// Connections that may wait in the kernel to be accepted, for each worker. The kernel takes less if it is set so.
const BACKLOG: u32 = 4096;

/// An address that is taken by as many sockets as there are workers, and not served yet.
#[derive(Debug)]
pub struct Bound {
    address: SocketAddr,
    pub(crate) sockets: Vec<std::net::TcpListener>,
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

/// How connections of a listener begin.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// By TLS.
    pub tls: Option<Arc<Tls>>,
    /// With a header of the PROXY protocol, before TLS.
    pub proxy_protocol: Option<proxy_protocol::Config>,
    /// They are passed on as they are, to services that this names; otherwise they speak HTTP.
    pub tcp: Option<Arc<Passage>>,
}

/// A listener that is served. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    address: SocketAddr,
    greeting: ArcSwap<Greeting>,
    stop: Stop,
}

impl Listener {
    pub(crate) fn new(address: SocketAddr, greeting: Greeting, stop: Stop) -> Self {
        Self(Arc::new(Parts { address, greeting: ArcSwap::from_pointee(greeting), stop }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Whether it is the same one as this.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How its connections begin.
    pub fn greeting(&self) -> Arc<Greeting> {
        self.0.greeting.load_full()
    }

    /// From here on its connections begin so. Those that are open go on.
    pub fn greet(&self, greeting: Greeting) {
        self.0.greeting.store(Arc::new(greeting));
    }

    /// Takes no connections any more. Those that are open go on until their requests are answered.
    pub fn close(&self) {
        self.0.stop.drain();
        self.0.stop.closing.cancel();
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.0.stop
    }
}

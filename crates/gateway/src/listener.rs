//! Listeners: where connections come in, and how they begin.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use mainstay_base::id::Name;
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

/// What a listener is called. A name counts from a generation of what is in force on, so that routes and the names that they are for change in one step.
#[derive(Debug, Default)]
pub(crate) struct Called {
    name: Option<Name>,
    /// The first generation for which that is its name.
    since: u64,
    /// What it was called before.
    before: Option<Name>,
}

impl Called {
    /// Its name in a generation; empty if it has none.
    pub(crate) fn name(&self, generation: u64) -> &str {
        let name = if generation < self.since { &self.before } else { &self.name };
        name.as_ref().map_or("", Name::as_str)
    }
}

/// A listener that is served. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    address: SocketAddr,
    called: ArcSwap<Called>,
    greeting: ArcSwap<Greeting>,
    stop: Stop,
}

impl Listener {
    pub(crate) fn new(address: SocketAddr, name: Option<Name>, greeting: Greeting, stop: Stop) -> Self {
        let called = ArcSwap::from_pointee(Called { name, ..Called::default() });
        Self(Arc::new(Parts { address, called, greeting: ArcSwap::from_pointee(greeting), stop }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Whether it is the same one as this.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<Name> {
        self.0.called.load().name.clone()
    }

    /// Calls it so for what is in force from this generation on. Requests on connections that are open go by it too, also while they drain.
    pub fn call(&self, name: Option<Name>, since: u64) {
        let now = self.0.called.load();
        if now.name != name {
            self.0.called.store(Arc::new(Called { name, since, before: now.name.clone() }));
        }
    }

    pub(crate) fn called(&self) -> Guard<Arc<Called>> {
        self.0.called.load()
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

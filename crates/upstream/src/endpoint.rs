//! An endpoint: where one instance of a service listens, and what all callers together know of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use mainstay_base::id::Name;
use xxhash_rust::xxh3::xxh3_64;

use crate::latency::Latency;
use crate::spot::Spot;

/// What discovery says of one instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the calls, from 1.
    pub weight: u32,
    /// The zone it is in.
    pub zone: Option<Name>,
    /// What it runs.
    pub version: Option<String>,
    /// What else whoever described it wants to be known.
    pub metadata: BTreeMap<Name, String>,
}

/// What an endpoint is told from others by: a hash of its address, the same everywhere and always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// An endpoint. What is counted of it outlives a change of what is said of it.
#[derive(Debug)]
pub struct Endpoint {
    id: Id,
    instance: Instance,
    load: Arc<Load>,
}

/// What is counted of an endpoint, by all who call it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    running: AtomicU32,
    /// Those of them that have room of the service's; connections that carry anything have none.
    placed: AtomicU32,
    pub(crate) latency: Latency,
    /// It was found dead or bad, and no call is to go to it: passed over from now on, before a picture without it is made.
    is_out: AtomicBool,
    /// No connection could be made, and none was made since.
    is_unreachable: AtomicBool,
    /// Failures since the last success.
    failures: AtomicU32,
    /// Calls that have ended, and those of them that failed.
    pub(crate) ended: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// How long those took that did not, in all.
    pub(crate) took_nanos: AtomicU64,
    /// Connections of all threads.
    pub(crate) spot: Spot,
}

/// Whether an address leads to the API of this node: requests from anywhere would reach it as if they came from this machine.
pub fn is_own(address: SocketAddr, api: SocketAddr) -> bool {
    let is_here = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.to_canonical().is_unspecified();
    let (ip, own) = (address.ip().to_canonical(), api.ip().to_canonical());
    address.port() == api.port() && (ip == own || is_here(ip) || own.is_unspecified())
}

impl Instance {
    /// One at this address, of which nothing else is said.
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, weight: 1, zone: None, version: None, metadata: BTreeMap::new() }
    }
}

impl Id {
    /// That of an address.
    pub fn of(address: SocketAddr) -> Self {
        Self(xxh3_64(address.to_string().as_bytes()))
    }
}

impl Endpoint {
    /// One that nobody has called.
    pub fn new(instance: Instance) -> Self {
        Self { id: Id::of(instance.address), instance, load: Arc::default() }
    }

    /// The same, of which something else is said.
    pub(crate) fn told(&self, instance: Instance) -> Self {
        Self { id: self.id, instance, load: Arc::clone(&self.load) }
    }

    /// What it is told from others by.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// What is said of it.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(crate) const fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Whether calls pass over it, whatever the picture says.
    pub(crate) fn is_out(&self) -> bool {
        self.load.is_out.load(Ordering::Relaxed)
    }

    pub(crate) fn set_out(&self, is_out: bool) {
        self.load.is_out.store(is_out, Ordering::Relaxed);
    }
}

impl Load {
    /// How many calls run there.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls have room there, where that is bounded.
    pub(crate) fn placed(&self) -> u32 {
        self.placed.load(Ordering::Relaxed)
    }

    /// One more, if fewer than so many have.
    pub(crate) fn place_below(&self, max: u32) -> bool {
        let more = |placed: u32| (placed < max).then_some(placed + 1);
        self.placed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn unplace(&self) {
        self.placed.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unreachable(&self, is_unreachable: bool) {
        self.is_unreachable.store(is_unreachable, Ordering::Relaxed);
    }

    /// One more failure. Returns how many there are in a row.
    pub(crate) fn fail(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// No failures in a row any more.
    pub(crate) fn succeed(&self) {
        // Mostly there are none, and reading is cheaper for other cores than writing.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

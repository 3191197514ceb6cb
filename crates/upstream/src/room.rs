//! How many calls there may be at the endpoints of a service where connections are bounded, and who waits.
//!
//! There is one line for all endpoints: whose turn has come goes to any that has room. Who waits takes turns as in a bulkhead, which this is one of, as large as the endpoints together and what still runs at others,
//! which take no more calls.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_resilience::bulkhead::{Config, Handle, Held};
use mainstay_resilience::{Env, Facts, Rejection};

use crate::config::Connections;
use crate::endpoint::Load;
use crate::roster::Roster;

/// Room for calls at the endpoints of a service.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many there may be at each.
    of_each: AtomicU32,
    handle: Handle,
    /// Calls that have found an endpoint.
    placed: AtomicU32,
    /// Held while it is fitted.
    fitting: Mutex<()>,
}

/// A call that has room at an endpoint. Dropped, it gives that back, and then its turn.
#[derive(Debug)]
pub(crate) struct Placed {
    load: Arc<Load>,
    room: Arc<Room>,
    _held: Held,
}

impl Room {
    /// For so many calls at each endpoint; as if there was none.
    pub(crate) fn new(of_each: u32, connections: &Connections, env: Env) -> Self {
        let Connections { queue, max_wait, .. } = *connections;
        let handle = Handle::new(Config { concurrent: NonZeroU32::MIN, queue, max_wait }, env);
        Self { of_each: AtomicU32::new(of_each), handle, placed: AtomicU32::new(0), fitting: Mutex::new(()) }
    }

    /// Goes by another definition from now on. It is to be fitted.
    pub(crate) fn rearrange(&self, of_each: u32, connections: &Connections) {
        self.of_each.store(of_each, Ordering::Relaxed);
        self.handle.rearrange(connections.queue, connections.max_wait);
    }

    /// How many calls there may be at each endpoint.
    pub(crate) fn of_each(&self) -> u32 {
        self.of_each.load(Ordering::Relaxed)
    }

    /// Fits those who take calls from now on. Returns how many calls run elsewhere: as those end, it is to be fitted again.
    pub(crate) fn fit(&self, roster: &Roster) -> u32 {
        let _fitting = self.fitting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut endpoints, mut there) = (0_u32, 0_u32);
        for endpoint in roster.picture().endpoints() {
            endpoints = endpoints.saturating_add(1);
            there = there.saturating_add(endpoint.load().placed());
        }
        let elsewhere = self.placed.load(Ordering::Relaxed).saturating_sub(there);
        // Where there is no endpoint a call is to be told so, and not to wait.
        let all = self.of_each().saturating_mul(endpoints).min(Config::CONCURRENT_MAX);
        self.handle.resize(NonZeroU32::new(all).unwrap_or(NonZeroU32::MIN).saturating_add(elsewhere));
        elsewhere
    }

    /// How many calls wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.handle.waiting()
    }

    /// Room for a call, now or in its turn. Errors: there is none to wait in, or not in time.
    pub(crate) async fn hold(&self, facts: &Facts) -> Result<Held, Rejection> {
        self.handle.hold(facts).await
    }

    /// What is told a call that was let through and finds no endpoint with room, again and again.
    pub(crate) fn full(&self) -> Rejection {
        Rejection::BulkheadFull { concurrent: self.handle.running(), waiting: self.waiting() }
    }
}

impl Placed {
    /// A call at an endpoint, if fewer are there than may be. Errors: its turn, when as many are.
    pub(crate) fn new(load: &Arc<Load>, room: &Arc<Room>, held: Held) -> Result<Self, Held> {
        if !load.place_below(room.of_each()) {
            return Err(held);
        }
        room.placed.fetch_add(1, Ordering::Relaxed);
        Ok(Self { load: Arc::clone(load), room: Arc::clone(room), _held: held })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.load.unplace();
        self.room.placed.fetch_sub(1, Ordering::Relaxed);
    }
}

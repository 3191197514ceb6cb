//! Endpoints that register themselves: each for as long as its lease, which it renews.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::roster::{Described, Roster, Source};

/// The endpoints of a service that have registered. Nothing of it is kept over a restart: who is there registers again with its next renewal.
#[derive(Debug)]
pub struct Leases {
    roster: Arc<Roster>,
    inner: Mutex<BTreeMap<SocketAddr, Lease>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    described: Described,
    until: Instant,
}

/// The most endpoints that may be registered of one service.
pub const REGISTERED_MAX: usize = 4_096;

/// There are [`REGISTERED_MAX`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{REGISTERED_MAX} endpoints are registered, and no more may be")]
pub struct Full;

impl Leases {
    /// None yet, of this roster.
    pub(crate) fn new(roster: Arc<Roster>) -> Self {
        Self { roster, inner: Mutex::default() }
    }

    /// Registers an endpoint for so long, or renews it. Returns whether it is new. Errors: there are too many.
    pub fn put(&self, described: Described, length: Duration, now: Instant) -> Result<bool, Full> {
        let mut inner = self.inner();
        let address = described.instance.address;
        if !inner.contains_key(&address) && inner.len() >= REGISTERED_MAX {
            return Err(Full);
        }
        let lease = Lease { described, until: now.saturating_add(length) };
        let before = inner.insert(address, lease.clone());
        // One that ends earlier than it would have is to be looked at earlier.
        let is_other = |before: &Lease| before.described != lease.described || before.until > lease.until;
        if before.as_ref().is_none_or(is_other) {
            self.describe(&inner, now);
        }
        Ok(before.is_none())
    }

    /// Takes an endpoint out. Returns whether it was registered.
    pub fn remove(&self, address: SocketAddr, now: Instant) -> bool {
        let mut inner = self.inner();
        let was_there = inner.remove(&address).is_some();
        if was_there {
            self.describe(&inner, now);
        }
        was_there
    }

    /// Takes all out.
    pub(crate) fn clear(&self, now: Instant) {
        let mut inner = self.inner();
        if !inner.is_empty() {
            inner.clear();
            self.describe(&inner, now);
        }
    }

    /// How long an endpoint stays if it does not renew; none if it is not registered.
    pub fn left(&self, address: SocketAddr, now: Instant) -> Option<Duration> {
        self.inner().get(&address).map(|lease| lease.until.saturating_since(now))
    }

    /// Takes out those that have not renewed in time. Returns when the next one would have to.
    pub(crate) fn settle(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.inner();
        let before = inner.len();
        inner.retain(|_, lease| lease.until > now);
        if inner.len() < before {
            self.describe(&inner, now);
        }
        inner.values().map(|lease| lease.until).min()
    }

    fn describe(&self, inner: &BTreeMap<SocketAddr, Lease>, now: Instant) {
        let described = inner.values().map(|lease| lease.described.clone()).collect();
        self.roster.describe(Source::Registered, described, now);
    }

    fn inner(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Lease>> {
        // Leases are put in and taken out whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Algorithm;
    use crate::endpoint::Instance;
    use crate::roster::Rules;
    use crate::standing::State;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn endpoint(port: u16) -> Described {
        Described { instance: Instance::at(SocketAddr::from(([127, 0, 0, 1], port))), is_leaving: false }
    }

    fn leases() -> Leases {
        let rules = Rules::choosing(Algorithm::RoundRobin);
        Leases::new(Arc::new(Roster::new("s".parse().expect("a name"), rules)))
    }

    fn ports(leases: &Leases) -> Vec<(u16, State)> {
        leases.roster.view(at(0)).into_iter().map(|view| (view.instance.address.port(), view.state)).collect()
    }

    #[test]
    fn who_does_not_renew_in_time_goes() {
        let (leases, length) = (leases(), Duration::from_secs(10));
        assert_eq!(leases.put(endpoint(1), length, at(0)), Ok(true));
        assert_eq!(leases.put(endpoint(2), length, at(3)), Ok(true));
        assert_eq!(leases.put(endpoint(1), length, at(5)), Ok(false), "it was there");
        assert_eq!(leases.settle(at(12)), Some(at(13)));
        assert_eq!(ports(&leases), [(1, State::Healthy), (2, State::Healthy)]);
        assert_eq!(leases.settle(at(13)), Some(at(15)));
        assert_eq!(ports(&leases), [(1, State::Healthy)]);
        assert_eq!(leases.left(endpoint(1).instance.address, at(14)), Some(Duration::from_secs(1)));
        assert_eq!(leases.settle(at(15)), None);
        assert_eq!(ports(&leases), []);
    }

    #[test]
    fn who_is_about_to_go_says_so_and_then_goes() {
        let (leases, length) = (leases(), Duration::from_secs(10));
        for port in [1, 2] {
            leases.put(endpoint(port), length, at(0)).expect("there is room");
        }
        let before = leases.roster.picture();
        leases.put(endpoint(1), length, at(1)).expect("it is there");
        assert!(leases.roster.is_newest(&before), "a renewal changes nothing");
        leases.put(Described { is_leaving: true, ..endpoint(1) }, length, at(2)).expect("it is there");
        assert_eq!(ports(&leases), [(1, State::Draining), (2, State::Healthy)]);
        let address = endpoint(1).instance.address;
        assert!(leases.remove(address, at(3)) && !leases.remove(address, at(3)));
        assert_eq!(ports(&leases), [(2, State::Healthy)]);
        leases.clear(at(4));
        assert_eq!(ports(&leases), []);
    }

    #[test]
    fn there_are_only_so_many() {
        let leases = leases();
        for port in 1..=REGISTERED_MAX as u16 {
            leases
                .inner()
                .insert(endpoint(port).instance.address, Lease { described: endpoint(port), until: at(9) });
        }
        assert_eq!(leases.put(endpoint(9_999), Duration::from_secs(1), at(0)), Err(Full));
        assert_eq!(
            leases.put(endpoint(7), Duration::from_secs(1), at(0)),
            Ok(false),
            "a renewal is none more"
        );
    }
}

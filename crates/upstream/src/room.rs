//! How many calls there may be at the endpoints of a service where connections are bounded, and who waits.
//!
//! There is one line for all endpoints: whose turn has come goes to any that has room. Who waits takes turns as in a bulkhead, which this is one of, as large as the endpoints together and what still runs at others,
//! which take no more calls.

use std::num::NonZeroU32;

use mainstay_resilience::bulkhead::{Config, Handle, Held};
use mainstay_resilience::{Env, Facts, Rejection};

use crate::config::Connections;
use crate::picture::Picture;

/// Room for calls at the endpoints of a service.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many there may be at each.
    of_each: u32,
    handle: Handle,
}

impl Room {
    /// For so many calls at each of these endpoints.
    pub(crate) fn new(of_each: u32, connections: &Connections, endpoints: usize, env: Env) -> Self {
        let Connections { queue, max_wait, .. } = *connections;
        let concurrent = concurrent(of_each, endpoints);
        Self { of_each, handle: Handle::new(Config { concurrent, queue, max_wait }, env) }
    }

    /// How many calls there may be at each endpoint.
    pub(crate) const fn of_each(&self) -> u32 {
        self.of_each
    }

    /// Fits those who take calls from now on. Returns how many calls run elsewhere: as those end, it is to be fitted again.
    pub(crate) fn fit(&self, picture: &Picture) -> u32 {
        let (mut endpoints, mut there) = (0, 0_u32);
        for endpoint in picture.endpoints() {
            endpoints += 1;
            there = there.saturating_add(endpoint.load().running());
        }
        let elsewhere = self.handle.running().saturating_sub(there);
        self.handle.resize(concurrent(self.of_each, endpoints).saturating_add(elsewhere));
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
}

/// Where there is no endpoint a call is to be told so, and not to wait.
fn concurrent(of_each: u32, endpoints: usize) -> NonZeroU32 {
    let endpoints = u32::try_from(endpoints).unwrap_or(u32::MAX);
    let all = of_each.saturating_mul(endpoints).min(Config::CONCURRENT_MAX);
    NonZeroU32::new(all).unwrap_or(NonZeroU32::MIN)
}

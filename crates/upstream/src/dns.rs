//! Endpoints that are looked up by a name: what is [known] of them, and how it is [looked up](lookup).
//!
//! What is known stays as long as nobody can be asked; a name that has no addresses any more keeps them for a while. Lookups are made beside the traffic, one at a time for each service.

mod known;
mod lookup;
#[cfg(test)]
mod tests;

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;

use crate::config::Config;
use crate::roster::{Roster, Source};
use known::{Answer, ENDPOINTS_MAX, Known, Outcome, Step, Told, Wanted};
pub(crate) use lookup::Resolvers;

/// The endpoints of a service that are looked up by a name. It stays when the service's configuration changes.
#[derive(Debug)]
pub struct Discovery {
    service: Name,
    roster: Arc<Roster>,
    known: Mutex<Known>,
    found: AtomicU64,
    empty: AtomicU64,
    failed: AtomicU64,
}

/// How a name is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The name.
    pub name: String,
    /// The port of its addresses; without one, the name's SRV records are looked up.
    pub port: Option<NonZeroU16>,
    /// How long ago a lookup found some last.
    pub resolved: Option<Duration>,
    /// How long it is until the next lookup; 0s while one is under way.
    pub next: Duration,
    /// What is wrong with the last lookup.
    pub error: Option<String>,
}

/// How many lookups came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// There were addresses.
    pub found: u64,
    /// The name was not there, or had none.
    pub empty: u64,
    /// Nothing was known.
    pub failed: u64,
}

/// A lookup that has ended.
pub(crate) struct LookedUp {
    wanted: Wanted,
    result: Result<Answer, String>,
}

impl Discovery {
    /// One that looks nothing up yet.
    pub(crate) fn new(service: Name, roster: Arc<Roster>) -> Self {
        let [found, empty, failed] = [(); 3].map(|()| AtomicU64::default());
        Self { service, roster, known: Mutex::default(), found, empty, failed }
    }

    /// Looks up what a configuration says from now on, if it says something.
    pub(crate) fn define(&self, config: &Config, now: Instant) {
        let wanted = config.dns.as_ref().map(|dns| Wanted { dns: dns.0.clone(), port: config.port });
        let mut known = self.known();
        let step = known.define(wanted, now);
        self.step(step, &known, now);
    }

    /// What is to be looked up now, and does what is due.
    fn begin(&self, now: Instant) -> Option<Wanted> {
        let mut known = self.known();
        let step = known.settle(now);
        self.step(step, &known, now);
        known.wanted().filter(|_| known.next().is_some_and(|next| next <= now)).cloned()
    }

    /// A lookup has ended.
    pub(crate) fn looked_up(&self, LookedUp { wanted, result }: LookedUp, env: &Env) {
        let (mut known, now) = (self.known(), env.now());
        let Some((outcome, step)) = known.looked_up(&wanted, result, now, env.unit()) else { return };
        let count = match outcome {
            Outcome::Found => &self.found,
            Outcome::Empty => &self.empty,
            Outcome::Failed => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.step(step, &known, now);
    }

    /// How it is looked up; none if nothing is.
    pub fn view(&self, now: Instant) -> Option<View> {
        let known = self.known();
        let wanted = known.wanted()?;
        let (name, port) = (wanted.dns.name.clone(), wanted.port);
        // People read it.
        let whole = |duration: Duration| Duration::from_millis(duration.as_millis());
        let resolved = known.found_at().map(|at| whole(now.saturating_since(at)));
        let next = known.next().map_or(Duration::ZERO, |next| whole(next.saturating_since(now)));
        Some(View { name, port, resolved, next, error: known.error() })
    }

    /// How many lookups came to what.
    pub fn counts(&self) -> Counts {
        let [found, empty, failed] =
            [&self.found, &self.empty, &self.failed].map(|count| count.load(Ordering::Relaxed));
        Counts { found, empty, failed }
    }

    /// Does and tells what an event comes to. Whoever calls holds what is known, so that the roster hears of it in the same order.
    fn step(&self, Step { described, told }: Step, known: &Known, now: Instant) {
        let service = &self.service;
        let name = known.wanted().map(ToString::to_string).unwrap_or_default();
        for told in told {
            match told {
                Told::Failing(why) => {
                    tracing::warn!(target: "mainstay::upstream", %service, name, why, "name cannot be looked up, its endpoints stay as they are");
                }
                Told::Empty => {
                    tracing::warn!(target: "mainstay::upstream", %service, name, "name has no addresses");
                }
                Told::Back => {
                    tracing::info!(target: "mainstay::upstream", %service, name, "name has addresses again");
                }
                Told::Gone(endpoints) => {
                    tracing::warn!(target: "mainstay::upstream", %service, name, endpoints, "endpoints are gone, which were held until their name has some");
                }
                Told::Cut(left_out) => {
                    tracing::warn!(target: "mainstay::upstream", %service, name, left_out, taken = ENDPOINTS_MAX, "name has more addresses than are taken");
                }
            }
        }
        if let Some(described) = described {
            self.roster.describe(Source::Dns, described, now);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change of it is whole by itself.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lookups of one service, one at a time.
pub(crate) struct Lookups {
    resolvers: Arc<Resolvers>,
    is_under_way: bool,
}

impl Lookups {
    pub(crate) const fn new(resolvers: Arc<Resolvers>) -> Self {
        Self { resolvers, is_under_way: false }
    }

    /// The lookup that is to be made now. Does what is due besides.
    pub(crate) fn begin(
        &mut self,
        discovery: &Discovery,
        now: Instant,
        env: &Env,
    ) -> Option<impl Future<Output = LookedUp> + Send + use<>> {
        let wanted = discovery.begin(now).filter(|_| !self.is_under_way)?;
        self.is_under_way = true;
        let (resolvers, env) = (Arc::clone(&self.resolvers), env.clone());
        Some(async move {
            let result = lookup::look_up(&resolvers, &wanted, &env).await;
            LookedUp { wanted, result }
        })
    }

    /// The lookup has ended.
    pub(crate) fn done(&mut self, looked_up: LookedUp, discovery: &Discovery, env: &Env) {
        self.is_under_way = false;
        discovery.looked_up(looked_up, env);
    }

    /// When something is due.
    pub(crate) fn due(&self, discovery: &Discovery) -> Option<Instant> {
        let known = discovery.known();
        let next = known.next().filter(|_| !self.is_under_way);
        next.into_iter().chain(known.goes_at()).min()
    }
}

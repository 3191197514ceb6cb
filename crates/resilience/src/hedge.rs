//! Hedges: a second try beside a slow first one.
//!
//! What takes longer than most calls do is asked for once more, and whichever answers first is taken; the other one is dropped, which cancels it. How long is
//! waited is learned: a percentile of the last while's latencies. Only what may be done twice is, and only while hedges are few beside all calls: a service
//! that is slow as a whole is not helped by more calls.
//!
//! What is learned is how long first tries take, also those that lost. Of one that was dropped it is known that it took at least so long; without it only
//! quick ones would count, and the delay would become shorter and shorter.
//!
//! Source: Dean, Barroso, "The Tail at Scale", CACM 56(2), 2013.

mod config;
mod future;
mod histogram;
mod layer;
mod service;
#[cfg(test)]
mod tests;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

pub use config::Config;
pub use future::Future;
pub use layer::{Handle, Layer};
pub use service::Service;

use crate::retry::{Allowance, Budget};
use histogram::Histogram;

/// After so many latencies the delay is worked out anew: a walk over the histogram for each would cost more than the rest together.
const LEARN_EVERY: u32 = 32;

/// What is known of latencies, and how many second tries there may be. See the [module](self).
#[derive(Debug, Clone)]
pub struct Hedge {
    config: Config,
    latencies: Histogram,
    /// As learned the last time; none while too few latencies are known.
    delay: Option<Duration>,
    /// Latencies since then.
    news: u32,
    budget: Budget,
}

impl Hedge {
    /// One that has learned nothing.
    pub fn new(config: Config) -> Self {
        let Config { budget, window, .. } = config;
        let budget = Budget::new(Allowance { ratio: budget, floor_per_s: 0, window });
        Self { config, latencies: Histogram::new(window), delay: None, news: 0, budget }
    }

    /// Counts a call. Returns for how long its first try is waited for before a second one; none while too little is known.
    pub fn begin(&mut self, now: Instant) -> Option<Duration> {
        self.budget.first(now);
        self.fade(now);
        self.delay
    }

    /// Asks for a second try: whether the budget has one. It is spent with that.
    pub fn ask(&mut self, now: Instant) -> bool {
        self.budget.ask(now).is_some()
    }

    /// Tells how long a first try took, or how long it was waited for if it `is_cut`: it failed, was dropped, or lost.
    pub fn tell(&mut self, took: Duration, is_cut: bool, now: Instant) {
        self.fade(now);
        // One that was cut before the delay says nothing: it might have been as quick as any.
        if is_cut && self.delay.is_none_or(|delay| took < delay) {
            return;
        }
        self.latencies.add(took);
        self.news += 1;
        if self.news >= LEARN_EVERY || self.delay.is_none() {
            self.learn();
        }
    }

    /// For how long first tries are waited for, as learned the last time.
    pub const fn delay(&self) -> Option<Duration> {
        self.delay
    }

    fn fade(&mut self, now: Instant) {
        if self.latencies.fade(now) {
            self.learn();
        }
    }

    fn learn(&mut self) {
        let Config { percentile, minimum, delay_min, delay_max, .. } = self.config;
        self.news = 0;
        let is_enough = self.latencies.weight() >= f64::from(minimum.get());
        self.delay = is_enough.then(|| self.latencies.quantile(percentile.get()).clamp(delay_min, delay_max));
    }
}

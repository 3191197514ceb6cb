//! Adaptive concurrency: how many calls at a time is learned from how they end.
//!
//! What a service bears is not known beforehand and changes. What it shows is that calls take longer once more of them run than it works on, or that they fail.
//! So ends are looked at in windows, and after each the limit moves a little: down when calls took longer or failed, up otherwise. It is raised only while at
//! least half of it is in use: a limit that nothing reaches is not known to be borne.
//!
//! Above the limit calls are rejected at once. Nothing waits here: a queue in front of a service that is slow already makes it slower for all.
//!
//! A quick failure is no sign of health, so that the gradient does not take it for a short latency. A call that was given up after longer than usual was slow,
//! though nobody saw its end; one that was given up before that says nothing. That is the same whether it was dropped or ended with a rejection from below.
//!
//! Sources: Netflix, concurrency-limits, `Gradient2Limit` and `AIMDLimit`; Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988.

mod config;
mod layer;
#[cfg(test)]
mod tests;
mod window;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

pub use config::{Aimd, Config, Gradient, Limiter};
pub use layer::{Handle, Held, Layer, Service};

use crate::error::Rejection;
use crate::judge::Verdict;
use window::{Average, Window};

/// The least that a gradient leaves of a limit at a time: a few calls that took very long by chance do not empty it.
const GRADIENT_MIN: f64 = 0.5;

/// The most that may wait within the service, as a share of the limit: more would raise a small limit also when calls are slow.
const QUEUE_SHARE_MAX: f64 = 0.25;

/// By how much the long average may exceed the short one before it is brought down: it has been raised by an overload that is over.
const LONG_EXCESS: f64 = 2.0;

/// What is left of a long average that exceeds the short one.
const LONG_DECAY: f64 = 0.95;

/// A limit, and what it goes by. See the [module](self).
#[derive(Debug, Clone)]
pub struct Adaptive {
    config: Config,
    /// Between the least and the most, with what it has moved by less than a whole call.
    limit: f64,
    running: u32,
    window: Window,
    /// What calls usually take.
    long: Average,
}

/// A call that was let through. Its end is told with [`Adaptive::tell`], or that there is none with [`Adaptive::abandon`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a call that is neither told nor abandoned takes the place of another"]
pub struct Permit {
    begun: Instant,
}

impl Adaptive {
    /// With the initial limit.
    pub fn new(config: Config) -> Self {
        let limit = f64::from(config.initial.get());
        Self { config, limit, running: 0, window: Window::default(), long: Average::default() }
    }

    /// How many may run by now.
    pub const fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// How many run: more than may for a while after the limit has fallen.
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Asks to let a call through. Errors: as many are running as may.
    pub fn ask(&mut self, now: Instant) -> Result<Permit, Rejection> {
        let limit = self.limit();
        if self.running >= limit {
            return Err(Rejection::LimitReached { limit });
        }
        self.running += 1;
        self.window.runs(self.running, now);
        Ok(Permit { begun: now })
    }

    /// Tells how a call has ended.
    pub fn tell(&mut self, Permit { begun }: Permit, verdict: Verdict, now: Instant) {
        self.running = self.running.saturating_sub(1);
        let took = now.saturating_since(begun);
        match verdict.is_failure() {
            Some(false) => self.window.add(took, self.is_slow(took)),
            Some(true) if !self.is_by_latency() => self.window.add(took, true),
            Some(true) | None => return self.add_if_slow(took, now),
        }
        self.adjust(now);
    }

    /// Tells that the end of a call is not known: whoever made it has gone away.
    pub fn abandon(&mut self, Permit { begun }: Permit, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.add_if_slow(now.saturating_since(begun), now);
    }

    /// Adds a call whose end says nothing but that it took so long.
    fn add_if_slow(&mut self, took: Duration, now: Instant) {
        if self.is_slow(took) {
            self.window.add(took, true);
            self.adjust(now);
        }
    }

    const fn is_by_latency(&self) -> bool {
        matches!(self.config.limiter, Limiter::Gradient(_))
    }

    /// Whether it took longer than is usual, or than is borne.
    fn is_slow(&self, took: Duration) -> bool {
        match self.config.limiter {
            Limiter::Gradient(_) => self.long.get().is_some_and(|long| nanos(took) > long),
            Limiter::Aimd(Aimd { latency, .. }) => latency.is_some_and(|latency| took >= latency),
        }
    }

    /// Moves the limit if the window is over.
    fn adjust(&mut self, now: Instant) {
        let Config { limiter, minimum, maximum, window, samples, .. } = self.config;
        let passed = self.window.passed(now);
        if passed < window || self.window.ends() < samples.get() {
            return;
        }
        let is_in_use = self.window.peak().saturating_mul(2) >= self.limit();
        let moved = match limiter {
            Limiter::Gradient(gradient) => self.by_gradient(gradient, passed, is_in_use),
            Limiter::Aimd(aimd) => self.by_failures(aimd, is_in_use),
        };
        self.limit = moved.clamp(f64::from(minimum.get()), f64::from(maximum.get()));
        self.window = Window::new(now, self.running);
    }

    fn by_gradient(&mut self, config: Gradient, passed: Duration, is_in_use: bool) -> f64 {
        let short = self.window.mean().max(1.0);
        let long = self.long.add(short, nanos(passed) / nanos(config.long));
        if long > short * LONG_EXCESS {
            self.long.scale(LONG_DECAY);
        }
        if !is_in_use {
            return self.limit;
        }
        let tolerance = 1.0 + config.tolerance.get();
        let gradient = (tolerance * long / short).clamp(GRADIENT_MIN, 1.0);
        let queue = f64::from(config.queue).min(self.limit * QUEUE_SHARE_MAX);
        let aim = self.limit * gradient + queue;
        let smoothing = config.smoothing.get();
        self.limit * (1.0 - smoothing) + aim * smoothing
    }

    fn by_failures(&self, config: Aimd, is_in_use: bool) -> f64 {
        let bad = f64::from(self.window.bad());
        if bad > 0.0 && bad >= config.failure_ratio.get() * f64::from(self.window.ends()) {
            return self.limit * config.backoff.get();
        }
        if is_in_use { self.limit + f64::from(config.increase.get()) } else { self.limit }
    }
}

fn nanos(duration: Duration) -> f64 {
    duration.as_std().as_nanos() as f64
}

//! What is learned from: the calls that ended since the limit moved last, and what they usually take.

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// The most that one counts for in an average: after a pause, what was usual before it is not forgotten at once.
const SHARE_MAX: f64 = 0.1;

/// The calls that ended since the limit moved last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// None before the first call.
    began: Option<Instant>,
    /// The most that ran at a time.
    peak: u32,
    ends: u32,
    /// Of the ends, those that were failures or slow.
    bad: u32,
    total_ns: f64,
}

impl Window {
    pub(super) const fn new(now: Instant, running: u32) -> Self {
        Self { began: Some(now), peak: running, ends: 0, bad: 0, total_ns: 0.0 }
    }

    /// So many run now.
    pub(super) fn runs(&mut self, running: u32, now: Instant) {
        self.began.get_or_insert(now);
        self.peak = self.peak.max(running);
    }

    /// Adds a call that has ended.
    pub(super) fn add(&mut self, took: Duration, is_bad: bool) {
        self.ends = self.ends.saturating_add(1);
        self.bad = self.bad.saturating_add(is_bad.into());
        self.total_ns += super::nanos(took);
    }

    pub(super) fn passed(&self, now: Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| now.saturating_since(began))
    }

    pub(super) const fn peak(&self) -> u32 {
        self.peak
    }

    pub(super) const fn ends(&self) -> u32 {
        self.ends
    }

    pub(super) const fn bad(&self) -> u32 {
        self.bad
    }

    /// What a call took on average, in nanoseconds; zero of none.
    pub(super) fn mean(&self) -> f64 {
        if self.ends == 0 { 0.0 } else { self.total_ns / f64::from(self.ends) }
    }
}

/// What calls usually take, in nanoseconds: an average that older ones leave by and by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Average {
    value: f64,
    count: u32,
}

impl Average {
    /// None before there was any.
    pub(super) fn get(self) -> Option<f64> {
        (self.count > 0).then_some(self.value)
    }

    /// Adds one that counts for this share of the whole, and returns the average. The first few all count the same.
    pub(super) fn add(&mut self, value: f64, share: f64) -> f64 {
        self.count = self.count.saturating_add(1);
        let plain = 1.0 / f64::from(self.count);
        let share = if plain > SHARE_MAX { plain } else { share.min(SHARE_MAX) };
        self.value += (value - self.value) * share;
        self.value
    }

    pub(super) fn scale(&mut self, by: f64) {
        self.value *= by;
    }
}

//! Fallbacks: a ladder of answers, each less than the one above it.
//!
//! A call is answered by the highest step that can: the service itself at first, and below it what is left when it fails, such as what was answered last, or
//! something fixed. Every answer says which step gave it, so that nobody takes a lesser one for the full one.
//!
//! A call whose step fails or rejects it goes down by itself. After so many of them in a row the ladder begins lower for all: what fails is not called any more but for
//! a probe now and then, which is a call that would have been answered lower otherwise. After so many successes of its probes a step is begun with again.
//! The steps above take turns to be probed, so that one that stays broken does not hide that the one above it has recovered.
//!
//! Every such change begins an era, as the breaker has them: what ends after its era says nothing.

mod config;
mod future;
mod layer;
mod service;
mod step;
#[cfg(test)]
mod tests;

use mainstay_base::time::Instant;

pub use config::Config;
pub use future::Future;
pub use layer::{Handle, Layer};
pub use service::Service;
pub use step::{Alternative, Answered};

use crate::watch::Decision;

/// The most steps of a ladder.
pub const STEPS_MAX: usize = 8;

/// Where calls begin, and what that goes by. Steps are known by their places, 0 for the highest. See the [module](self).
#[derive(Debug, Clone)]
pub struct Ladder {
    config: Config,
    steps: usize,
    /// Where calls begin that are no probes.
    start: usize,
    /// How many changes there were.
    era: u64,
    /// Of the step that calls begin at: failures without a success between them.
    failures_in_a_row: u32,
    /// Of the steps above: successes of probes without a failure between them.
    successes_in_a_row: [u32; STEPS_MAX],
    is_probing: bool,
    /// The step that was probed last.
    probed: usize,
    probe_at: Instant,
    forced: Option<usize>,
}

/// A call on its way down. How its tries end is told with [`Ladder::tell`]; a probe that does not end, with [`Ladder::abandon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descent {
    era: u64,
    steps: usize,
    first: usize,
    start: usize,
}

impl Descent {
    /// The step that it begins at.
    pub const fn first(&self) -> usize {
        self.first
    }

    /// Whether it begins at a step that others do not begin at.
    pub const fn is_probe(&self) -> bool {
        self.first < self.start
    }

    /// The step that is next when this one does not answer: none below the last. The steps between a probed one and the one that others begin at are left out,
    /// for they fail.
    pub fn below(&self, step: usize) -> Option<usize> {
        let next = (step + 1).max(self.start);
        (next < self.steps).then_some(next)
    }
}

impl Ladder {
    /// One that begins at the top. Panics without a step, and with more than [`STEPS_MAX`].
    pub fn new(config: Config, steps: usize) -> Self {
        assert!((1..=STEPS_MAX).contains(&steps), "a ladder has from 1 to {STEPS_MAX} steps, not {steps}");
        Self {
            config,
            steps,
            start: 0,
            era: 0,
            failures_in_a_row: 0,
            successes_in_a_row: [0; STEPS_MAX],
            is_probing: false,
            probed: 0,
            probe_at: Instant::from_nanos(0),
            forced: None,
        }
    }

    /// Where calls begin that are no probes.
    pub fn start(&self) -> usize {
        self.forced.unwrap_or(self.start)
    }

    /// Has all calls begin at a step, without probes, or has the ladder act by itself again, from the top on. A step below the last is the last.
    pub fn force(&mut self, step: Option<usize>) {
        self.forced = step.map(|step| step.min(self.steps - 1));
        self.enter(0, Instant::from_nanos(0));
    }

    /// Begins a call.
    pub fn begin(&mut self, now: Instant) -> Descent {
        let Self { era, steps, .. } = *self;
        let start = self.start();
        let is_probe = self.forced.is_none() && start > 0 && !self.is_probing && now >= self.probe_at;
        if is_probe {
            self.is_probing = true;
            self.probed = self.probed.checked_sub(1).unwrap_or(start - 1);
        }
        Descent { era, steps, first: if is_probe { self.probed } else { start }, start }
    }

    /// Tells how the try of a step has ended, unless that says nothing. Returns what was decided if the ladder begins elsewhere from now on.
    pub fn tell(
        &mut self,
        descent: &Descent,
        step: usize,
        is_failure: bool,
        now: Instant,
    ) -> Option<Decision> {
        if descent.era != self.era || self.forced.is_some() {
            return None;
        }
        if descent.is_probe() && step == descent.first {
            return self.tell_probe(step, is_failure, now);
        }
        if step != self.start {
            return None;
        }
        self.failures_in_a_row = if is_failure { self.failures_in_a_row.saturating_add(1) } else { 0 };
        let is_too_much = self.failures_in_a_row >= self.config.failures.get() && step + 1 < self.steps;
        is_too_much.then(|| {
            self.enter(step + 1, now);
            Decision::LadderLowered
        })
    }

    /// Tells that a try has ended in a way that says nothing, or that whoever made it has gone away.
    pub fn abandon(&mut self, descent: &Descent) {
        if descent.era == self.era && descent.is_probe() {
            self.is_probing = false;
        }
    }

    fn tell_probe(&mut self, step: usize, is_failure: bool, now: Instant) -> Option<Decision> {
        self.is_probing = false;
        self.wait_to_probe(now);
        let successes = &mut self.successes_in_a_row[step];
        *successes = if is_failure { 0 } else { successes.saturating_add(1) };
        (*successes >= self.config.successes.get()).then(|| {
            self.enter(step, now);
            Decision::LadderRaised
        })
    }

    fn wait_to_probe(&mut self, now: Instant) {
        self.probe_at = now.saturating_add(self.config.probe_every);
    }

    fn enter(&mut self, start: usize, now: Instant) {
        (self.start, self.probed) = (start, start);
        self.era += 1;
        self.failures_in_a_row = 0;
        self.successes_in_a_row = [0; STEPS_MAX];
        self.is_probing = false;
        self.wait_to_probe(now);
    }
}

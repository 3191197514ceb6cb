//! How many more tries there may be beside the first ones.

use mainstay_base::time::Instant;

use super::config::Allowance;
use crate::steps::Steps;

/// Steps of a window.
const STEPS: usize = 10;

/// Steps that are kept. Further tries are counted over one step more than first ones, so that the promise holds for the window of whole length however
/// far the last step is filled: further tries are counted over at least that, and first ones over at most that.
const KEPT: usize = STEPS + 1;

/// How many more tries there may be beside the first ones.
///
/// A sliding window in ten steps counts both. At each moment that a further try is granted, those of the window before it, with itself, are at most `ratio` of the
/// first tries of that window, and `floor_per_s` for each of its seconds. It is no bucket that successes fill: such a one hoards while all is well, and pays
/// out a storm at the worst time.
#[derive(Debug, Clone)]
pub struct Budget {
    ratio: f64,
    /// How many there may be in a window whatever first tries there are.
    floor: f64,
    steps: Steps<Step, KEPT>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    first: u32,
    further: u32,
}

/// A further try that was granted. Given back with [`Budget::give_back`] if it is not begun.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "one that is neither begun nor given back is one fewer for others"]
pub struct Permit {
    step: u64,
}

impl Budget {
    /// With no tries in its window.
    pub fn new(allowance: Allowance) -> Self {
        let Allowance { ratio, floor_per_s, window } = allowance;
        Self {
            ratio: ratio.get(),
            floor: f64::from(floor_per_s) * window.as_std().as_secs_f64(),
            // Rounded up, so that ten steps are no shorter than the window.
            steps: Steps::new(window.as_nanos().div_ceil(STEPS as u64)),
        }
    }

    /// Counts a first try.
    pub fn first(&mut self, now: Instant) {
        self.steps.move_to(now);
        self.firsts(1);
    }

    /// Counts first tries of the step that is being filled.
    pub(super) fn firsts(&mut self, count: u32) {
        let step = self.steps.last();
        step.first = step.first.saturating_add(count);
    }

    /// When the step that is being filled ends.
    pub(super) const fn step_end(&self) -> Instant {
        self.steps.end()
    }

    /// Asks for a further try; none when the budget is spent.
    pub fn ask(&mut self, now: Instant) -> Option<Permit> {
        self.steps.move_to(now);
        let further: f64 = self.steps.iter().map(|step| f64::from(step.further)).sum();
        let oldest = self.steps.oldest();
        let first =
            self.steps.iter().map(|step| f64::from(step.first)).sum::<f64>() - f64::from(oldest.first);
        if further + 1.0 > self.ratio * first + self.floor {
            return None;
        }
        let step = self.steps.last();
        step.further = step.further.saturating_add(1);
        Some(Permit { step: self.steps.number() })
    }

    /// Gives back a further try that was not begun.
    pub fn give_back(&mut self, Permit { step }: Permit) {
        // One of a step that has left the window is not counted any more.
        if let Some(step) = self.steps.get_mut(step) {
            step.further = step.further.saturating_sub(1);
        }
    }
}

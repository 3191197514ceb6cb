//! How many more tries there may be beside the first ones.

use mainstay_base::time::Instant;

use super::config::Allowance;

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
    step_ns: u64,
    steps: [Step; KEPT],
    /// The number of the last step, from the clock's origin.
    last: u64,
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
        let whole_ns = u64::try_from(window.as_std().as_nanos()).unwrap_or(u64::MAX);
        Self {
            ratio: ratio.get(),
            floor: f64::from(floor_per_s) * window.as_std().as_secs_f64(),
            // Rounded up, so that ten steps are no shorter than the window.
            step_ns: whole_ns.div_ceil(STEPS as u64).max(1),
            steps: [Step::default(); KEPT],
            last: 0,
        }
    }

    /// Counts a first try.
    pub fn first(&mut self, now: Instant) {
        self.move_to(now);
        let step = &mut self.steps[place(self.last)];
        step.first = step.first.saturating_add(1);
    }

    /// Asks for a further try; none when the budget is spent.
    pub fn ask(&mut self, now: Instant) -> Option<Permit> {
        self.move_to(now);
        let further: f64 = self.steps.iter().map(|step| f64::from(step.further)).sum();
        let oldest = self.steps[place(self.last + 1)];
        let first =
            self.steps.iter().map(|step| f64::from(step.first)).sum::<f64>() - f64::from(oldest.first);
        if further + 1.0 > self.ratio * first + self.floor {
            return None;
        }
        let step = &mut self.steps[place(self.last)];
        step.further = step.further.saturating_add(1);
        Some(Permit { step: self.last })
    }

    /// Gives back a further try that was not begun.
    pub fn give_back(&mut self, Permit { step }: Permit) {
        // One of a step that has left the window is not counted any more.
        if self.last - step < KEPT as u64 {
            let step = &mut self.steps[place(step)];
            step.further = step.further.saturating_sub(1);
        }
    }

    /// Forgets the steps that have left the window. A moment before the last one, as another thread may have read it, is taken for that one.
    fn move_to(&mut self, now: Instant) {
        let current = now.as_nanos() / self.step_ns;
        for step in current.saturating_sub(STEPS as u64).max(self.last + 1)..=current {
            self.steps[place(step)] = Step::default();
        }
        self.last = current.max(self.last);
    }
}

const fn place(step: u64) -> usize {
    (step % KEPT as u64) as usize
}

//! How the last calls have ended: of the last so many, or of the last while.

use std::collections::VecDeque;

use mainstay_base::time::Instant;

use super::config::Window;

/// Steps of a window of time. One more is kept, the one that is being filled.
const STEPS: usize = 10;

/// How many calls there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) all: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

/// How the last calls have ended.
#[derive(Debug, Clone)]
pub(super) enum Tally {
    Calls {
        /// The oldest first: whether it failed, and whether it was slow.
        ends: VecDeque<(bool, bool)>,
        count: usize,
        totals: Totals,
    },
    Time {
        steps: [Totals; STEPS],
        step_ns: u64,
        /// The number of the last step, from the clock's origin.
        last: u64,
    },
}

impl Totals {
    fn add(&mut self, is_failure: bool, is_slow: bool) {
        self.all = self.all.saturating_add(1);
        self.failed = self.failed.saturating_add(is_failure.into());
        self.slow = self.slow.saturating_add(is_slow.into());
    }
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Calls(calls) => {
                let count = calls.get().min(Window::CALLS_MAX) as usize;
                Self::Calls { ends: VecDeque::with_capacity(count), count, totals: Totals::default() }
            }
            Window::Time(time) => {
                let whole_ns = u64::try_from(time.as_std().as_nanos()).unwrap_or(u64::MAX);
                let step_ns = (whole_ns / STEPS as u64).max(1);
                Self::Time { steps: [Totals::default(); STEPS], step_ns, last: 0 }
            }
        }
    }

    /// Adds a call that ends now.
    pub(super) fn add(&mut self, now: Instant, is_failure: bool, is_slow: bool) {
        self.move_to(now);
        match self {
            Self::Calls { ends, count, totals } => {
                if ends.len() == *count
                    && let Some((had_failed, was_slow)) = ends.pop_front()
                {
                    totals.all -= 1;
                    totals.failed -= u32::from(had_failed);
                    totals.slow -= u32::from(was_slow);
                }
                ends.push_back((is_failure, is_slow));
                totals.add(is_failure, is_slow);
            }
            Self::Time { steps, last, .. } => steps[(*last % STEPS as u64) as usize].add(is_failure, is_slow),
        }
    }

    /// Adds calls that succeeded before the last step was over.
    pub(super) fn add_successes(&mut self, more: u32) {
        match self {
            Self::Calls { count, .. } => {
                // More than the window has push out all before them, and each other.
                let more = (more as usize).min(*count);
                (0..more).for_each(|_| self.add(Instant::from_nanos(0), false, false));
            }
            Self::Time { steps, last, .. } => {
                let step = &mut steps[(*last % STEPS as u64) as usize];
                step.all = step.all.saturating_add(more);
            }
        }
    }

    /// Until when what ends belongs to the last step.
    pub(super) fn step_end(&mut self, now: Instant) -> Instant {
        self.move_to(now);
        match self {
            Self::Calls { .. } => Instant::from_nanos(u64::MAX),
            Self::Time { step_ns, last, .. } => {
                Instant::from_nanos(last.saturating_add(1).saturating_mul(*step_ns))
            }
        }
    }

    /// How many calls of the window there were.
    pub(super) fn totals(&mut self, now: Instant) -> Totals {
        self.move_to(now);
        match self {
            Self::Calls { totals, .. } => *totals,
            Self::Time { steps, .. } => steps.iter().fold(Totals::default(), |sum, step| Totals {
                all: sum.all.saturating_add(step.all),
                failed: sum.failed.saturating_add(step.failed),
                slow: sum.slow.saturating_add(step.slow),
            }),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Calls { ends, totals, .. } => {
                ends.clear();
                *totals = Totals::default();
            }
            Self::Time { steps, .. } => *steps = [Totals::default(); STEPS],
        }
    }

    /// Forgets the steps that have left the window. A moment before the last one, as another thread may have read it, is taken for that one.
    fn move_to(&mut self, now: Instant) {
        let Self::Time { steps, step_ns, last } = self else { return };
        let current = now.as_nanos() / *step_ns;
        for step in current.saturating_sub(STEPS as u64 - 1).max(*last + 1)..=current {
            steps[(step % STEPS as u64) as usize] = Totals::default();
        }
        *last = current.max(*last);
    }
}

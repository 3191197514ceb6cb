//! How the last calls have ended: of the last so many, or of the last while.

use std::collections::VecDeque;

use mainstay_base::time::Instant;

use super::config::Window;
use crate::steps::Steps;

/// Steps of a window of time, with the one that is being filled.
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
    Time(Steps<Totals, STEPS>),
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
            Window::Time(time) => Self::Time(Steps::new(time.as_nanos() / STEPS as u64)),
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
            Self::Time(steps) => steps.last().add(is_failure, is_slow),
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
            Self::Time(steps) => steps.last().all = steps.last().all.saturating_add(more),
        }
    }

    /// Until when what ends belongs to the last step.
    pub(super) fn step_end(&mut self, now: Instant) -> Instant {
        self.move_to(now);
        match self {
            Self::Calls { .. } => Instant::from_nanos(u64::MAX),
            Self::Time(steps) => steps.end(),
        }
    }

    /// How many calls of the window there were.
    pub(super) fn totals(&mut self, now: Instant) -> Totals {
        self.move_to(now);
        match self {
            Self::Calls { totals, .. } => *totals,
            Self::Time(steps) => steps.iter().fold(Totals::default(), |sum, step| Totals {
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
            Self::Time(steps) => steps.clear(),
        }
    }

    fn move_to(&mut self, now: Instant) {
        if let Self::Time(steps) = self {
            steps.move_to(now);
        }
    }
}

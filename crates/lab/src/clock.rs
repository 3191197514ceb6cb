//! The lab's only door to real time.
//!
//! A measurement needs the machine's own clock, unlike the logic that it measures. Everything in the lab reads it
//! here, on one time line (`CLOCK_MONOTONIC`), so that a moment can also be handed to the kernel's timers.

use std::time::Duration;

/// A point on the machine's monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // The monotonic clock counts from the machine's start: neither part is negative.
        Self(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    /// The moment that is `ns` nanoseconds after the clock's start.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// The moment `later` after this one; the end of time where that would overflow.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(later)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// `duration` in nanoseconds, at most `u64::MAX` (584 years).
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Blocks the calling thread for `duration`.
#[expect(clippy::disallowed_methods, reason = "an experiment lasts as long as its plan says, in real time")]
pub fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

/// Blocks the calling thread until `moment`; returns at once if that has passed.
pub fn sleep_until(moment: Moment) {
    sleep(moment.since(Moment::now()));
}

/// Asks `condition` every `interval` until it answers something or `deadline` has passed.
pub fn poll_until<T>(
    deadline: Moment,
    interval: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Moment::now() >= deadline {
            return None;
        }
        sleep(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_add_and_subtract_without_wrapping() {
        let start = Moment::from_ns(1_000);
        assert_eq!(start.plus(Duration::from_micros(2)), Moment::from_ns(3_000));
        assert_eq!(start.since(start.plus(Duration::from_nanos(1))), Duration::ZERO);
        assert_eq!(start.plus(Duration::MAX), Moment::from_ns(u64::MAX));
    }

    #[test]
    fn a_condition_that_never_holds_ends_at_the_deadline() {
        let mut asked = 0;
        let found: Option<()> = poll_until(Moment::from_ns(0), Duration::ZERO, || {
            asked += 1;
            None
        });
        assert_eq!((found, asked), (None, 1));
    }
}

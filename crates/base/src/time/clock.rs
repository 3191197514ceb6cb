//! The port to clocks, and the clock that moves by hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Instant, Timestamp};
use crate::units::Duration;

/// Where time comes from.
///
/// Implementations pass `conformance::clock` (with the feature `conformance`).
pub trait Clock: Send + Sync {
    /// Monotonic time: a reading is never before one that was taken earlier, on whatever thread.
    fn now(&self) -> Instant;

    /// Wall time: may jump, also backwards.
    fn wall(&self) -> Timestamp;
}

/// A clock that stands still until it is moved. Clones share the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Reading>>);

#[derive(Debug)]
struct Reading {
    now: Instant,
    wall: Timestamp,
}

impl ManualClock {
    /// A clock at its origin, with this wall time.
    pub fn new(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Reading { now: Instant::from_nanos(0), wall })))
    }

    /// Lets time pass on both clocks; the wall clock counts whole microseconds of each advance. Panics beyond
    /// the range of either.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.reading();
        reading.now = reading.now.checked_add(by).expect("the clock stays in range");
        reading.wall = reading.wall.checked_add(by).expect("the wall clock stays in range");
    }

    /// Sets the wall clock alone, forwards or backwards.
    pub fn jump_wall(&self, to: Timestamp) {
        self.reading().wall = to;
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        // A panic in `advance` leaves a valid reading behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// A clock whose wall time is 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_micros(1_767_225_600_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.reading().now
    }

    fn wall(&self) -> Timestamp {
        self.reading().wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_both_clocks_and_a_jump_only_the_wall() {
        let clock = ManualClock::default();
        let shared = clock.clone();
        let (now, wall) = (clock.now(), clock.wall());
        assert_eq!(wall.to_string(), "2026-01-01T00:00:00Z");

        shared.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().checked_since(now), Some(Duration::from_millis(1500)));
        assert_eq!(clock.wall().since(wall), Some(Duration::from_millis(1500)));

        let now = clock.now();
        shared.jump_wall(Timestamp::from_micros(7));
        assert_eq!((clock.now(), clock.wall()), (now, Timestamp::from_micros(7)));
    }
}

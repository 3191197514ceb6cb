//! A clock that does not depend on how busy a machine is.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_base::time::{Clock, Instant, Timestamp};
use mainstay_resilience::TokioClock;

/// How much time passes from one reading to the next.
const STEP_NS: u64 = 10_000;

/// A clock that lets as much time pass from each reading to the next. Policies learn from latencies and turn their windows by the clock, so that by a real one they would do
/// other work on a busy machine. It takes what a reading of the real one takes.
pub(crate) struct Paced {
    real: TokioClock,
    readings: AtomicU64,
}

impl Paced {
    pub(crate) fn new() -> Self {
        Self { real: TokioClock::new(), readings: AtomicU64::new(0) }
    }
}

impl Clock for Paced {
    fn now(&self) -> Instant {
        black_box(self.real.now());
        Instant::from_nanos(STEP_NS * (self.readings.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn wall(&self) -> Timestamp {
        self.real.wall()
    }
}

#[test]
fn each_reading_is_a_step_after_the_one_before() {
    let clock = Paced::new();
    assert_eq!([clock.now(), clock.now(), clock.now()].map(Instant::as_nanos), [10_000, 20_000, 30_000]);
}

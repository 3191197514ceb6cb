//! What unit tests of policies have in common: short names for moments, times and numbers that are known to be right.

use std::num::NonZeroU32;

use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Ratio};

/// So many milliseconds after the clock's origin.
pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("it is above zero")
}

pub(crate) fn ratio(value: f64) -> Ratio {
    Ratio::new(value).expect("it is a ratio")
}

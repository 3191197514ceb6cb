//! Monotonic time.

use crate::units::Duration;

/// A reading of a monotonic clock: nanoseconds since an origin that only its own [`Clock`](super::Clock)
/// knows, for 584 years from it.
///
/// Only readings of the same clock may be compared, and they mean nothing outside the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The reading this many nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This long later; none beyond the range.
    pub fn checked_add(self, duration: impl Into<Duration>) -> Option<Self> {
        let nanos = u64::try_from(duration.into().as_std().as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }

    /// This long later, or the end of the range.
    pub fn saturating_add(self, duration: impl Into<Duration>) -> Self {
        self.checked_add(duration).unwrap_or(Self(u64::MAX))
    }

    /// This long earlier; none before the origin.
    pub fn checked_sub(self, duration: impl Into<Duration>) -> Option<Self> {
        let nanos = u64::try_from(duration.into().as_std().as_nanos()).ok()?;
        self.0.checked_sub(nanos).map(Self)
    }

    /// How long after `earlier` this is; none when it is before it.
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// How long after `earlier` this is; zero when it is before it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_stay_in_range_or_say_so() {
        let (start, second) = (Instant::from_nanos(5), Duration::from_secs(1));
        let later = start.checked_add(second).expect("in range");
        assert_eq!(later, start.checked_add(std::time::Duration::from_secs(1)).expect("in range"));
        assert_eq!(later.as_nanos(), 1_000_000_005);
        assert_eq!(later.checked_sub(second), Some(start));
        assert_eq!(later.checked_since(start), Some(second));
        assert_eq!(later.saturating_since(start), second);
        assert_eq!(start.checked_sub(second), None);
        assert_eq!(start.checked_since(later), None);
        assert_eq!(start.saturating_since(later), Duration::ZERO);
        assert_eq!(Instant::from_nanos(u64::MAX).checked_add(Duration::from_nanos(1)), None);
        assert_eq!(start.checked_add(Duration::MAX), None);
        assert_eq!(start.saturating_add(Duration::MAX), Instant::from_nanos(u64::MAX));
        assert_eq!(start.saturating_add(second), later);
    }
}

//! How long an endpoint takes, as choices compare it: a mean that rises at once and falls slowly.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// In which time what was learned falls to a third. Long beside a call and short beside a deployment; also Finagle's.
const DECAY_MS: f32 = 10_000.0;

/// The longest latency that is learned, so that one failure after another ends somewhere.
const LATENCY_MS_MAX: f32 = 60_000.0;

/// A latency that is learned from calls, by all cores at a time: "peak EWMA". What is slower than it counts at once; what is faster, the more the longer the last call is ago. Without
/// calls it falls, so that who was slow is tried again.
///
/// Two halves of one word: milliseconds as a float, and when that was, in milliseconds, of which the upper bits are left out.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

#[derive(Debug, Clone, Copy)]
struct Learned {
    millis: f32,
    at_ms: u32,
}

impl Learned {
    const fn unpack(word: u64) -> Self {
        Self { millis: f32::from_bits((word >> 32) as u32), at_ms: word as u32 }
    }

    const fn pack(self) -> u64 {
        (self.millis.to_bits() as u64) << 32 | self.at_ms as u64
    }

    /// Which share of it is left by now.
    fn share(self, now_ms: u32) -> f32 {
        match now_ms.wrapping_sub(self.at_ms) {
            0 => 1.0,
            // By a core whose clock was read a little earlier.
            since if since > u32::MAX / 2 => 1.0,
            since => (-(since as f32) / DECAY_MS).exp(),
        }
    }
}

fn millis_of(now: Instant) -> u32 {
    // Only differences count, so that it may begin anew.
    (now.as_nanos() / 1_000_000) as u32
}

impl Latency {
    /// In milliseconds, as of now. None is known before the first call.
    pub(crate) fn millis(&self, now: Instant) -> f32 {
        let known = Learned::unpack(self.0.load(Ordering::Relaxed));
        known.millis * known.share(millis_of(now))
    }

    /// A call has taken so long.
    pub(crate) fn took(&self, took: Duration, now: Instant) {
        let took = (took.as_nanos() as f32 / 1e6).min(LATENCY_MS_MAX);
        self.learn(
            now,
            |known, share| {
                if took > known { took } else { known * share + took * (1.0 - share) }
            },
        );
    }

    /// A call has failed: what answers too quickly to be true must not look fast.
    pub(crate) fn failed(&self, took: Duration, now: Instant) {
        let took = took.as_nanos() as f32 / 1e6;
        self.learn(now, |known, share| (known * share * 2.0).max(took).min(LATENCY_MS_MAX));
    }

    fn learn(&self, now: Instant, next: impl Fn(f32, f32) -> f32) {
        let at_ms = millis_of(now);
        let learn = |word| {
            let known = Learned::unpack(word);
            // Never back, by a core whose clock was read a little earlier.
            let is_later = at_ms.wrapping_sub(known.at_ms) <= u32::MAX / 2;
            let millis = next(known.millis, known.share(at_ms));
            Some(Learned { millis, at_ms: if is_later { at_ms } else { known.at_ms } }.pack())
        };
        // It never gives up: each is a word.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_rises_at_once_and_falls_in_seconds() {
        let latency = Latency::default();
        assert_eq!(latency.millis(at(5)), 0.0);
        latency.took(ms(10), at(1_000));
        assert_eq!(latency.millis(at(1_000)), 10.0);
        latency.took(ms(200), at(1_001));
        assert_eq!(latency.millis(at(1_001)), 200.0, "a slow call counts at once");
        let mut before = 200.0;
        for second in 2..30 {
            latency.took(ms(10), at(second * 1_000));
            let after = latency.millis(at(second * 1_000));
            assert!(after < before && after >= 10.0, "{second} s: {after} after {before}");
            before = after;
        }
        assert!(before < 25.0, "{before}");
    }

    #[test]
    fn many_calls_in_a_millisecond_forget_no_more_than_one() {
        let [busy, idle] = [(); 2].map(|()| Latency::default());
        for latency in [&busy, &idle] {
            latency.took(ms(100), at(0));
        }
        for _ in 0..1_000 {
            busy.took(ms(1), at(1_000));
        }
        idle.took(ms(1), at(1_000));
        assert_eq!(busy.millis(at(1_000)), idle.millis(at(1_000)));
    }

    #[test]
    fn who_was_slow_and_is_not_called_is_tried_again() {
        let latency = Latency::default();
        latency.took(ms(1_000), at(0));
        assert!(latency.millis(at(60_000)) < 5.0);
    }

    #[test]
    fn failures_make_it_slower_however_quick_they_are() {
        let latency = Latency::default();
        latency.took(ms(10), at(0));
        for _ in 0..3 {
            latency.failed(Duration::from_micros(50), at(1));
        }
        let millis = latency.millis(at(1));
        assert!((79.0..=80.0).contains(&millis), "{millis}");
        for _ in 0..100 {
            latency.failed(Duration::from_micros(50), at(2));
        }
        assert!(latency.millis(at(2)) <= LATENCY_MS_MAX);
    }

    #[test]
    fn a_clock_that_was_read_earlier_changes_nothing() {
        let latency = Latency::default();
        latency.took(ms(10), at(1_000));
        assert_eq!(latency.millis(at(999)), 10.0);
        latency.took(ms(5), at(990));
        assert_eq!(latency.millis(at(1_000)), 10.0);
    }
}

//! What every [`Clock`] and [`Entropy`] must pass.
//!
//! Ordinary functions that panic with what failed, for the tests of an implementation.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Clock, Entropy, Timestamp};

const THREADS: usize = 4;
const DRAWS: usize = 2_000;

/// Checks a clock: its monotonic time never steps back, within one thread or from one to another, and its
/// wall time is of this century.
pub fn clock(clock: &dyn Clock) {
    let latest = AtomicU64::new(clock.now().as_nanos());
    on_threads(|| {
        for _ in 0..DRAWS {
            let earlier = latest.load(Ordering::SeqCst);
            let now = clock.now().as_nanos();
            assert!(now >= earlier, "now() stepped back from {earlier} ns to {now} ns");
            latest.fetch_max(now, Ordering::SeqCst);
        }
    });
    let century = Timestamp::from_micros(946_684_800_000_000)..Timestamp::from_micros(4_102_444_800_000_000);
    let wall = clock.wall();
    assert!(century.contains(&wall), "wall() gave {wall}, which is not of the 21st century");
}

/// Checks a source of entropy: it overwrites every byte it is given, its bits are even, and what it gives
/// does not repeat, within one thread or between threads.
///
/// A sound source fails with a chance below one in a billion.
pub fn entropy(entropy: &dyn Entropy) {
    overwrites_every_byte(entropy);
    has_even_bits(entropy);
    does_not_repeat(entropy);
}

fn overwrites_every_byte(entropy: &dyn Entropy) {
    for len in 0..=65 {
        let mut changed = vec![false; len];
        // That a byte is given the value it had 16 times in a row has a chance of 2^-128.
        for background in 0..16 {
            let mut bytes = vec![background; len];
            entropy.fill(&mut bytes);
            changed.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte != background);
        }
        let untouched = changed.iter().position(|seen| !seen);
        assert!(untouched.is_none(), "fill() of {len} bytes never wrote byte {untouched:?}");
    }
}

fn has_even_bits(entropy: &dyn Entropy) {
    let mut bytes = vec![0; 1 << 16];
    entropy.fill(&mut bytes);
    for bit in 0..8 {
        let ones = bytes.iter().filter(|byte| *byte >> bit & 1 == 1).count();
        // The standard deviation of 2^16 fair bits is 128: seven of them.
        let off = ones.abs_diff(bytes.len() / 2);
        assert!(off <= 7 * 128, "bit {bit} is one in {ones} of {} bytes", bytes.len());
    }
}

fn does_not_repeat(entropy: &dyn Entropy) {
    let draw = || {
        let mut bytes = [0_u8; 16];
        entropy.fill(&mut bytes);
        bytes
    };
    let draws = on_threads(|| (0..DRAWS).map(|_| draw()).collect::<Vec<_>>()).concat();
    let distinct: HashSet<_> = draws.iter().collect();
    assert_eq!(distinct.len(), draws.len(), "fill() gave the same 16 bytes twice");
}

/// Runs the work on several threads at once; a panic in one is passed on with its message.
fn on_threads<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Instant, ManualClock, SeededEntropy};
    use super::*;

    #[test]
    fn the_manual_clock_conforms() {
        clock(&ManualClock::default());
    }

    #[test]
    fn the_seeded_entropy_conforms() {
        entropy(&SeededEntropy::new(42));
    }

    struct Backwards(AtomicU64);

    impl Clock for Backwards {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.fetch_sub(1, Ordering::SeqCst))
        }

        fn wall(&self) -> Timestamp {
            ManualClock::default().wall()
        }
    }

    struct Ancient;

    impl Clock for Ancient {
        fn now(&self) -> Instant {
            Instant::from_nanos(0)
        }

        fn wall(&self) -> Timestamp {
            Timestamp::EPOCH
        }
    }

    struct Broken<F>(SeededEntropy, F);

    impl<F: Fn(&SeededEntropy, &mut [u8]) + Send + Sync> Entropy for Broken<F> {
        fn fill(&self, bytes: &mut [u8]) {
            (self.1)(&self.0, bytes);
        }
    }

    fn fails_with(part: &str, check: impl FnOnce() + std::panic::UnwindSafe) {
        let panic = std::panic::catch_unwind(check).expect_err("the suite found nothing");
        let message = panic.downcast_ref::<String>().expect("the message is formatted");
        assert!(message.contains(part), "{message}");
    }

    fn entropy_fails_with(part: &str, fill: fn(&SeededEntropy, &mut [u8])) {
        fails_with(part, || entropy(&Broken(SeededEntropy::new(1), fill)));
    }

    #[test]
    fn the_suites_find_known_bad_implementations() {
        fails_with("stepped back", || clock(&Backwards(AtomicU64::new(u64::MAX / 2))));
        fails_with("century", || clock(&Ancient));
        entropy_fails_with("never wrote byte", |good, bytes| {
            let end = bytes.len().min(64);
            good.fill(&mut bytes[..end]);
        });
        entropy_fails_with("bit 2 is one in", |good, bytes| {
            good.fill(bytes);
            bytes.iter_mut().for_each(|byte| *byte |= 4);
        });
        entropy_fails_with("twice", |good, bytes| {
            good.fill(bytes);
            if bytes.len() == 16 {
                SeededEntropy::new(bytes[0].into()).fill(bytes);
            }
        });
    }
}

//! Successes that are not told to the breaker yet: while nothing fails, nobody takes its lock.

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many calls have succeeded in an era since they were last told to the breaker.
///
/// The lower half of the era's number is in the upper half, the count in the lower one, so that whoever adds a success sees at the same time that its era is over.
#[derive(Debug)]
pub(super) struct Quiet(AtomicU64);

impl Quiet {
    pub(super) fn new(era: u64) -> Self {
        Self(AtomicU64::new(era << 32))
    }

    /// Counts a success of an era. Returns whether it was counted: the era still is, and there is room.
    pub(super) fn add(&self, era: u64) -> bool {
        let next = |found: u64| {
            let has_room = found as u32 != u32::MAX;
            (has_room && found >> 32 == era & u64::from(u32::MAX)).then_some(found + 1)
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// Takes what was counted, and counts for this era from now on.
    pub(super) fn take(&self, era: u64) -> u32 {
        self.0.swap(era << 32, Ordering::AcqRel) as u32
    }
}

#[cfg(all(test, mainstay_loom))]
mod orders {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two threads whose calls succeed in the same era, and a third that tells the breaker and begins another era meanwhile.
    #[test]
    fn in_every_order_a_success_is_taken_once_or_refused() {
        loom::model(|| {
            let quiet = Arc::new(Quiet::new(1));
            let adding: Vec<_> = (0..2)
                .map(|_| {
                    let quiet = Arc::clone(&quiet);
                    thread::spawn(move || u32::from(quiet.add(1)))
                })
                .collect();
            let within = quiet.take(1);
            let last = quiet.take(2);
            let added: u32 = adding.into_iter().map(|thread| thread.join().expect("it does not panic")).sum();
            assert_eq!(within + last, added);
            assert_eq!(quiet.take(2), 0, "nothing of an era that is over is counted in the next");
        });
    }
}

#[cfg(all(test, not(mainstay_loom)))]
mod tests {
    use super::*;

    #[test]
    fn successes_are_counted_once_and_in_their_own_era() {
        let quiet = Quiet::new(7);
        assert!(quiet.add(7) && quiet.add(7) && !quiet.add(8) && !quiet.add(6));
        assert_eq!((quiet.take(8), quiet.add(7), quiet.add(8)), (2, false, true));
        assert_eq!((quiet.take(8), quiet.take(8)), (1, 0));
        let full = Quiet(AtomicU64::new((3 << 32) | u64::from(u32::MAX)));
        assert!(!full.add(3), "the era's number is not touched");
        assert_eq!(full.take(3), u32::MAX);
    }

    #[test]
    fn none_is_lost_between_threads() {
        let quiet = Quiet::new(0);
        let taken = std::thread::scope(|scope| {
            let adding = [(); 3].map(|()| scope.spawn(|| (0..20_000).filter(|_| quiet.add(0)).count()));
            let mut taken = 0;
            while adding.iter().any(|thread| !thread.is_finished()) {
                taken += quiet.take(0) as usize;
            }
            let added: usize = adding.map(|thread| thread.join().unwrap()).iter().sum();
            assert_eq!(added, 60_000);
            taken + quiet.take(0) as usize
        });
        assert_eq!(taken, 60_000);
    }
}

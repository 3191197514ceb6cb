//! How many run while nobody waits: counted without a lock.

use crate::sync::atomic::{AtomicU32, Ordering};

/// How many run, in the lower bits; whether that is told in the core instead, in the highest one.
#[derive(Debug)]
pub(super) struct Slots(AtomicU32);

const CLOSED: u32 = 1 << 31;

impl Slots {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Has one more run. Returns how many did before; none if as many run as may, or if it is told in the core.
    pub(super) fn enter(&self, concurrent: u32) -> Option<u32> {
        let more = |found: u32| (found < concurrent).then_some(found + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()
    }

    /// Has one fewer run. Returns whether it was done: not if it is told in the core.
    pub(super) fn leave(&self) -> bool {
        let fewer = |found: u32| (found & CLOSED == 0).then(|| found - 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_ok()
    }

    /// Has it told in the core from here on. Returns how many run; none if it was already.
    pub(super) fn close(&self) -> Option<u32> {
        let found = self.0.fetch_or(CLOSED, Ordering::AcqRel);
        (found & CLOSED == 0).then_some(found)
    }

    /// Has it counted here again. Only for whoever has the lock of the core.
    pub(super) fn open(&self, running: u32) {
        self.0.store(running, Ordering::Release);
    }
}

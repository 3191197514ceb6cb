//! The safety rules of the local engine as switches: a test takes one rule away and must notice.
//!
//! In a running system every rule holds, which the compiler knows: nothing is left of the switches.

#[cfg(any(test, feature = "faulty"))]
use std::cell::Cell;

/// A rule that the local engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A group is synced before it is acknowledged.
    SyncBeforeAcknowledging,
    /// A group is synced before readers see it.
    SyncBeforeShowing,
    /// After a failed write or sync nothing is written any more.
    PoisonAfterFailure,
    /// Recovery writes again what nothing proves to be durable.
    RewriteAtRecovery,
    /// Recovery syncs what it keeps before anything is shown.
    SyncAtRecovery,
    /// Recovery overwrites the heads that it cuts off.
    WipeAtRecovery,
    /// A group that is not whole is damage if a later one says that it was synced.
    LookAhead,
    /// A head counts only in the log whose id it has.
    LogInHeads,
    /// A head counts only in the segment whose number it has.
    SegmentInHeads,
    /// A body counts only if it has the CRC that its head says.
    BodyCrc,
    /// A head counts only if its own CRC fits.
    HeadCrc,
    /// A group counts only behind the one that it says it follows.
    Follows,
    /// A segment's name is synced before anything is written into it.
    SyncNamesBeforeUse,
    /// An opening is synced before anything is written behind it.
    SyncOpeningBeforeUse,
    /// The trims that let a segment go are synced before it goes.
    SyncTrimsBeforeFreeing,
    /// An opening names the next index of shards that have no records left.
    NextIndexInOpenings,
}

#[cfg(any(test, feature = "faulty"))]
thread_local! {
    /// One bit for each rule that is broken.
    static BROKEN: Cell<u32> = const { Cell::new(0) };
}

/// Whether the rule is to be kept.
#[cfg(any(test, feature = "faulty"))]
pub(crate) fn holds(rule: Rule) -> bool {
    BROKEN.get() & (1 << rule as u32) == 0
}

/// Whether the rule is to be kept: always.
#[cfg(not(any(test, feature = "faulty")))]
pub(crate) const fn holds(_: Rule) -> bool {
    true
}

/// Does this work without these rules. Only what the engine does on this thread is concerned.
#[cfg(any(test, feature = "faulty"))]
pub fn without<T>(rules: &[Rule], work: impl FnOnce() -> T) -> T {
    struct Restored;

    impl Drop for Restored {
        fn drop(&mut self) {
            BROKEN.set(0);
        }
    }

    BROKEN.set(rules.iter().fold(0, |broken, rule| broken | 1 << *rule as u32));
    let _restored = Restored;
    work()
}

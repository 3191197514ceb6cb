//! The safety rules of the owner as switches: a test takes one rule away and must notice.
//!
//! In a running system every rule holds, which the compiler knows: nothing is left of the switches.

#[cfg(any(test, feature = "sim"))]
use std::cell::Cell;

/// A rule that the owner keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// An answer leaves after its record is committed.
    AnswerWhenCommitted,
    /// An answer leaves after its changes are in the store.
    AnswerWhenApplied,
    /// What was evaluated on changes that are not committed is answered with them.
    ReleaseWithBatch,
    /// Recovery applies the records that the acceptance accepts, and no others.
    ApplyWhatIsAccepted,
    /// The store is given what is settled: what a crash of the log's engine can't take away.
    ApplyWhatIsSettled,
    /// Recovery goes on where the store says that it stands.
    ResumeWhereApplied,
    /// A command is evaluated with its idempotency key, and its outcome kept in the same record.
    KeepOutcomes,
    /// Nothing is served before the claim is committed.
    ClaimBeforeServing,
    /// A claim's epoch is above every epoch in the log.
    EpochAboveAll,
    /// Unless nobody else can own the shard, a read looks after an append that was begun later.
    BarrierBeforeReading,
    /// Unless nobody else can own the shard, what a command found is told after an append that was begun later.
    BarrierBeforeRefusing,
    /// What was sent to the log and not resolved is answered as unknown, never as not done.
    DoubtIsUnknown,
    /// Batches are stamped after the last time in the log.
    TimeAfterLog,
}

#[cfg(any(test, feature = "sim"))]
impl Rule {
    /// Every rule.
    pub const ALL: [Self; 13] = [
        Self::AnswerWhenCommitted,
        Self::AnswerWhenApplied,
        Self::ReleaseWithBatch,
        Self::ApplyWhatIsAccepted,
        Self::ApplyWhatIsSettled,
        Self::ResumeWhereApplied,
        Self::KeepOutcomes,
        Self::ClaimBeforeServing,
        Self::EpochAboveAll,
        Self::BarrierBeforeReading,
        Self::BarrierBeforeRefusing,
        Self::DoubtIsUnknown,
        Self::TimeAfterLog,
    ];
}

#[cfg(any(test, feature = "sim"))]
thread_local! {
    /// One bit for each rule that is broken.
    static BROKEN: Cell<u32> = const { Cell::new(0) };
}

/// Whether the rule is to be kept.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn holds(rule: Rule) -> bool {
    BROKEN.get() & (1 << rule as u32) == 0
}

/// Whether the rule is to be kept: always.
#[cfg(not(any(test, feature = "sim")))]
pub(crate) const fn holds(_: Rule) -> bool {
    true
}

/// Does this work without one rule. Only what owners do on this thread is concerned.
#[cfg(any(test, feature = "sim"))]
pub fn without<T>(rule: Rule, work: impl FnOnce() -> T) -> T {
    struct Restored;

    impl Drop for Restored {
        fn drop(&mut self) {
            BROKEN.set(0);
        }
    }

    BROKEN.set(1 << rule as u32);
    let _restored = Restored;
    work()
}

//! What a shard counts: relaxed additions on the path, sums for whoever asks.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mainstay_machine::Outcome;
use mainstay_machine::shards::{Answer, Error};

/// What shards have done since they were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Commands that came in.
    pub submitted: u64,
    /// Commands that were committed.
    pub committed: u64,
    /// Commands that were evaluated and refused.
    pub refused: u64,
    /// Commands that were answered what was answered before to the same idempotency key.
    pub replayed: u64,
    /// Commands that were not taken, or put out, since too much waited.
    pub overloaded: u64,
    /// Commands whose deadline passed before they were begun.
    pub expired: u64,
    /// Commands of which nobody knows whether they happened.
    pub unknown: u64,
    /// Commands that were not done for another reason.
    pub failed: u64,
    /// Records that carried changes.
    pub batches: u64,
    /// Bytes of those records.
    pub batch_bytes: u64,
    /// Readings that were made.
    pub reads: u64,
    /// Times that a shard was owned.
    pub claims: u64,
    /// Snapshots that were taken.
    pub snapshots: u64,
    /// Snapshots that could not be taken.
    pub snapshots_failed: u64,
    /// Bytes of the snapshots that were taken.
    pub snapshot_bytes: u64,
    /// Pages of changes that were read from the log.
    pub feed_catch_ups: u64,
    /// Readers of changes that were told that the log does not have them any more.
    pub feed_gone: u64,
}

macro_rules! counters {
    ($($field:ident),*) => {
        #[derive(Default)]
        pub(crate) struct Counters { $($field: AtomicU64),* }

        impl Counters {
            pub(crate) fn counts(&self) -> Counts {
                Counts { $($field: self.$field.load(Relaxed)),* }
            }
        }

        impl Sum for Counts {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), |sum, one| Self { $($field: sum.$field + one.$field),* })
            }
        }
    };
}

counters!(
    submitted,
    committed,
    refused,
    replayed,
    overloaded,
    expired,
    unknown,
    failed,
    batches,
    batch_bytes,
    reads,
    claims,
    snapshots,
    snapshots_failed,
    snapshot_bytes,
    feed_catch_ups,
    feed_gone
);

impl Counters {
    pub(super) fn submitted(&self) {
        self.submitted.fetch_add(1, Relaxed);
    }

    pub(super) fn overloaded(&self) {
        self.overloaded.fetch_add(1, Relaxed);
    }

    pub(super) fn batch(&self, bytes: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.batch_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Relaxed);
    }

    pub(super) fn claimed(&self) {
        self.claims.fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => {
                self.snapshots.fetch_add(1, Relaxed);
                self.snapshot_bytes.fetch_add(bytes, Relaxed);
            }
            None => drop(self.snapshots_failed.fetch_add(1, Relaxed)),
        }
    }

    pub(super) fn caught_up(&self) {
        self.feed_catch_ups.fetch_add(1, Relaxed);
    }

    pub(super) fn feed_gone(&self) {
        self.feed_gone.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self, answer: &Result<Answer, Error>) {
        let counter = match answer {
            Ok(Answer { replayed: true, .. }) => &self.replayed,
            Ok(Answer { outcome: Outcome::Committed(_), .. }) => &self.committed,
            Ok(Answer { outcome: Outcome::Refused(_), .. }) => &self.refused,
            Err(Error::OutcomeUnknown { .. }) => &self.unknown,
            Err(Error::Deadline) => &self.expired,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }
}

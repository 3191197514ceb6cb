//! What a shard counts: relaxed additions on the path, sums for whoever asks.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mainstay_base::units::Duration;
use mainstay_machine::Outcome;
use mainstay_machine::query::is_too_costly;
use mainstay_machine::shards::{Answer, Error, Page};

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
    /// Listings that were answered.
    pub queries_answered: u64,
    /// Listings that were refused, since they would have read more than they may.
    pub queries_too_costly: u64,
    /// Listings that were refused for another reason.
    pub queries_refused: u64,
    /// Listings that were not made.
    pub queries_failed: u64,
    /// Entries of indexes that were read for listings.
    pub query_entries: u64,
    /// Items that were read for listings.
    pub query_items: u64,
    /// Steps in which an index was built.
    pub index_steps: u64,
    /// Items that were gone through in them.
    pub index_items: u64,
    /// Steps in which documents were brought to the version of their schema.
    pub schema_steps: u64,
    /// Items that were gone through in them.
    pub schema_items: u64,
    /// Steps in which entries of a dropped index were removed.
    pub drop_steps: u64,
    /// Entries that were removed in them.
    pub drop_entries: u64,
    /// Steps of purges.
    pub purge_steps: u64,
    /// Items that were looked at in them.
    pub purge_items: u64,
    /// Steps in which items whose end had come were removed.
    pub expiry_steps: u64,
    /// Items that were looked at in them.
    pub expiry_items: u64,
}

/// What a shard is doing beside its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tending {
    /// Nothing is to be done.
    #[default]
    Nothing,
    /// It builds an index.
    Index,
    /// It brings documents to the version of their schema.
    Schema,
    /// It removes entries of a dropped index.
    Drop,
    /// It removes the items of a retired collection.
    Purge,
    /// It removes items whose end has come: the first, so long ago.
    Expiry {
        /// How far it is behind.
        lag: Duration,
    },
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
    feed_gone,
    queries_answered,
    queries_too_costly,
    queries_refused,
    queries_failed,
    query_entries,
    query_items,
    index_steps,
    index_items,
    schema_steps,
    schema_items,
    drop_steps,
    drop_entries,
    purge_steps,
    purge_items,
    expiry_steps,
    expiry_items
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

    /// A listing was made, or was not.
    pub(super) fn queried(&self, page: &Result<Page, Error>) {
        let outcome = match page {
            Ok(Page { work, .. }) => {
                self.query_entries.fetch_add(work.entries, Relaxed);
                self.query_items.fetch_add(work.items, Relaxed);
                &self.queries_answered
            }
            Err(Error::Refused(refusal)) if is_too_costly(refusal) => &self.queries_too_costly,
            Err(Error::Refused(_)) => &self.queries_refused,
            Err(_) => &self.queries_failed,
        };
        outcome.fetch_add(1, Relaxed);
    }

    /// A step beside the traffic was done, with so many items or entries.
    pub(super) fn stepped(&self, what: Tending, rows: usize) {
        let (steps, all) = match what {
            Tending::Nothing => return,
            Tending::Index => (&self.index_steps, &self.index_items),
            Tending::Schema => (&self.schema_steps, &self.schema_items),
            Tending::Drop => (&self.drop_steps, &self.drop_entries),
            Tending::Purge => (&self.purge_steps, &self.purge_items),
            Tending::Expiry { .. } => (&self.expiry_steps, &self.expiry_items),
        };
        steps.fetch_add(1, Relaxed);
        all.fetch_add(rows as u64, Relaxed);
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

//! The feed of a shard: what its last records changed, for every reader at once, and where in the log to begin for what is older.
//!
//! Whoever applies a batch leaves it here, once the store has it; so nothing is shown that could still be lost, and nothing twice.
//! There is one ring for all readers, bounded by records and bytes, which hand out what they hold without copying it. A reader that the
//! ring has left behind reads the log, from a place at which is known which records count ([`Waypoints`]). Nothing is kept for
//! a reader: it says itself where it stands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::position::Index;
use mainstay_base::units::Size;
use mainstay_log::accept::Cursor;
use mainstay_machine::feed::Changes;

mod ring;
mod waypoints;

use ring::Ring;
use waypoints::Waypoints;

/// How much of a shard's last records is kept for readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Records that change items.
    pub records_max: usize,
    /// Bytes of their keys and values, unless a single record has more.
    pub size_max: Size,
}

impl Default for Options {
    /// A reader may fall behind by some seconds of small changes; 17 shards take 17 MiB at most.
    fn default() -> Self {
        Self { records_max: 1_024, size_max: Size::from_mib(1) }
    }
}

/// Consecutive records of a shard, as far as they change items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) records: Vec<Arc<Changes>>,
    /// Everything up to here is in it, or changes nothing.
    pub(crate) reached: Index,
}

/// What a shard's readers share.
pub(crate) struct Feed {
    inner: Mutex<Inner>,
}

struct Inner {
    ring: Ring,
    waypoints: Waypoints,
}

impl Feed {
    pub(crate) fn new(options: &Options) -> Self {
        let inner = Inner { ring: Ring::new(options), waypoints: Waypoints::default() };
        Self { inner: Mutex::new(inner) }
    }

    /// The store stands here, and what is applied next is what follows.
    pub(crate) fn stands(&self, at: Cursor) {
        let mut inner = self.inner();
        inner.waypoints.note(at);
        let applied = Index::new(at.next.get() - 1);
        if inner.ring.last() != applied {
            inner.ring.restart(applied);
        }
    }

    /// A record was applied before the shard was served; readers find it in the log.
    pub(crate) fn replayed(&self, index: Index, cursor: impl FnOnce() -> Option<Cursor>) {
        let mut inner = self.inner();
        inner.ring.restart(index);
        inner.note_if_due(index, cursor);
    }

    /// A record was applied, and changes this.
    pub(crate) fn applied(
        &self,
        index: Index,
        changes: Option<Changes>,
        cursor: impl FnOnce() -> Option<Cursor>,
    ) {
        let mut inner = self.inner();
        inner.ring.push(index, changes);
        inner.note_if_due(index, cursor);
    }

    /// The last record that is shown.
    pub(crate) fn last(&self) -> Index {
        self.inner().ring.last()
    }

    /// What comes after this record, about as many bytes; none if only the log has it.
    pub(crate) fn after(&self, index: Index, bytes_max: usize) -> Option<Part> {
        self.inner().ring.after(index, bytes_max)
    }

    /// The last known place from which the log can be read to find what comes after this record.
    pub(crate) fn before(&self, index: Index) -> Option<Cursor> {
        self.inner().waypoints.at_or_before(index.next())
    }

    /// Whoever reads the log has come here, and is likely to go on.
    pub(crate) fn note(&self, cursor: Cursor) {
        self.inner().waypoints.note_recent(cursor);
    }

    /// The log does not have what is below this any more.
    pub(crate) fn trimmed(&self, begins: Index) {
        self.inner().waypoints.forget_below(begins);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whatever panicked under it was between two steps.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note_if_due(&mut self, index: Index, cursor: impl FnOnce() -> Option<Cursor>) {
        if self.waypoints.is_due(index.next())
            && let Some(cursor) = cursor()
        {
            self.waypoints.note(cursor);
        }
    }
}

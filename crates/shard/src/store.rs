//! The rows of a shard as its log has made them, kept in an LSM tree of their own.
//!
//! The log is the journal, so the store has none: what a crash takes from its memtables is applied again from
//! [`Store::durable_applied`] on. The crate `lsm-tree` gives tables, blocks, cache, manifest and compaction. Memtables and
//! the path of reads and writes are here, because the tree's own wait for the syncs of flushes and compactions; why
//! is in `docs/adr/0009-store.md`.
//!
//! Invariants:
//! - A batch and its applied index go to one memtable, and a flush installs whole memtables, the oldest first, by one rename. So what is
//!   on disk is always the state at one applied index.
//! - What views see moves only between batches.
//! - All rows of the tables of a view are below what it sees up to, so that tables are read without regard to versions.
//! - No thread does I/O, or waits for the tree's locks, while it holds the lock under which batches are written or that of the
//!   layers. An owner waits for the disk only when the memory for memtables is full.
//!
//! It never knows what rows mean, which shard it is of, or a runtime.

mod applied;
mod directory;
mod error;
mod inner;
mod load;
mod maintain;
mod memtable;
mod merge;
mod options;
mod pool;
mod stats;
mod view;

use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_base::position::Index;
use mainstay_base::units::{Duration, Size};
use mainstay_machine::Mutation;
use mainstay_machine::row::RowRange;

pub use applied::Applied;
pub use directory::remove;
pub use error::Error;
pub use load::{Loader, every_row};
pub use options::Options;
pub use pool::Pool;
pub use stats::{PoolStats, Stats};
pub use view::{Rows, View};

use inner::{Inner, lock};
use pool::Kind;

/// Keys from here on are the store's own. Those of rows begin with a slot, which is far below.
const OWN_KEYS: &[u8] = &[0xff];

/// A handle of a shard's store. One owner writes; clones and [views](View) read, from any thread.
///
/// Dropped without [`Store::close`], it is as after a crash: what was not flushed is applied again.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in this directory, or makes one. Reads the manifest and the end of each table.
    ///
    /// Errors: [`Error::Damaged`], [`Error::Open`]; [`Error::InUse`] if it is open in this process. Other
    /// processes must be kept away by a lock on what is above it.
    pub fn open(pool: &Pool, directory: &Path) -> Result<Self, Error> {
        let inner = Arc::new(Inner::open(pool, directory)?);
        inner.shared.push(&inner, Kind::Compact);
        Ok(Self { inner })
    }

    /// Makes the changes of a record, in their order and all at once. Returns how long to wait before the next batch is begun, so that the
    /// disk keeps up: mostly not at all, at most 20 ms. A replay need not wait.
    ///
    /// Blocks only while the memory for memtables is full. Errors: [`Error::Full`] when it stays so since the disk is full,
    /// [`Error::Row`], [`Error::Order`], [`Error::Broken`], [`Error::Closed`]; nothing was applied.
    pub fn apply<'a>(
        &self,
        mutations: impl Iterator<Item = &'a Mutation> + Clone,
        applied: &Applied,
    ) -> Result<Duration, Error> {
        self.inner.apply(mutations, applied)?;
        Ok(self.inner.delay())
    }

    /// Whether [`Store::apply`] would wait for memory now.
    pub fn is_waited_for(&self) -> bool {
        self.inner.shared.is_over_budget()
    }

    /// The rows as they are between the last batch and the next.
    pub fn view(&self) -> View {
        self.inner.view()
    }

    /// The last record that was applied; index 0 before the first.
    pub fn applied(&self) -> Index {
        self.inner.applied()
    }

    /// The last record whose changes survive a crash now; index 0 before the first.
    pub fn durable_applied(&self) -> Index {
        self.inner.durable_applied()
    }

    /// Returns when everything that was applied before is durable. Blocks for the disk.
    ///
    /// Errors: [`Error::Full`], after which it goes on being tried; [`Error::Broken`], [`Error::Closed`].
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.flush()
    }

    /// The same without waiting. Errors: [`Error::Broken`].
    pub fn flush_soon(&self) -> Result<(), Error> {
        self.inner.ask_for_flush().map(drop)
    }

    /// Deletes all rows of a range that nobody reads or writes until it is told to be done: a slot that has moved away. Not at once, and
    /// beside the log: whoever was not told `Ok` before a crash asks again. `Ok` means that the deletion is durable.
    ///
    /// `done` is called once, mostly by a background thread, which waits for it. Its errors: [`Error::Busy`] when 64 ranges wait;
    /// [`Error::Unreadable`], [`Error::Broken`], [`Error::Closed`].
    pub fn delete_range(&self, range: RowRange, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.inner.delete_range(range, Box::new(done));
    }

    /// While a log is replayed more runs are merged at once: fewer bytes are written twice, and nobody reads yet. When it ends,
    /// what was put off is done.
    pub fn set_replaying(&self, is_replaying: bool) {
        self.inner.is_replaying.store(is_replaying, Ordering::Relaxed);
        self.inner.shared.push(&self.inner, Kind::Compact);
    }

    /// Returns when everything is flushed and there is nothing to compact: for measurements and tests. Errors: as [`Store::flush`].
    pub fn settle(&self) -> Result<(), Error> {
        self.inner.settle()
    }

    /// What it holds and has done.
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let (layers, counters) = (inner.layers(), &inner.counters);
        let flushed = counters.bytes_flushed.load(Ordering::Relaxed);
        let written = counters.bytes_written.load(Ordering::Relaxed);
        Stats {
            applied: self.applied(),
            durable_applied: self.durable_applied(),
            memtables: Size::from_bytes(layers.memtable_bytes()),
            sealed: layers.sealed.len(),
            runs: layers.runs.len(),
            level0_runs: inner.level0_runs.load(Ordering::Relaxed) as usize,
            tables: maintain::tables(&layers).count(),
            disk: Size::from_bytes(maintain::tables(&layers).map(|table| table.metadata.file_size).sum()),
            deletions: lock(&inner.deletions).len(),
            bytes_applied: counters.bytes_applied.load(Ordering::Relaxed),
            bytes_flushed: flushed,
            bytes_compacted: written.saturating_sub(flushed),
            flushing: counters.busy(Kind::Flush),
            compacting: counters.busy(Kind::Compact),
            last_error: inner.last_error(),
        }
    }

    /// Ends the background work, so that the directory can be opened again or removed. Flushes nothing; waits for the step that is
    /// being done. Ranges that wait for their deletion are told [`Error::Closed`].
    ///
    /// Errors: [`Error::InUse`] when another handle, a view or a walk is left, which then goes on working: opened again, the directory would
    /// lose files when they are dropped.
    pub fn close(self) -> Result<(), Error> {
        let Self { inner } = self;
        let shared = Arc::clone(&inner.shared);
        let mut work = shared.lock();
        inner.set_closed(true);
        shared.forget(&mut work, &inner);
        drop(work);
        shared.notify();
        let mut work = shared.lock();
        while inner.jobs.is_running() {
            work = shared.wait(work);
        }
        drop(work);
        let Err(inner) = Arc::try_unwrap(inner) else { return Ok(()) };
        inner.set_closed(false);
        shared.push(&inner, Kind::Flush);
        shared.push(&inner, Kind::Compact);
        Err(Error::InUse { directory: inner.directory.clone() })
    }
}

impl Debug for Store {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("directory", &self.inner.directory).finish_non_exhaustive()
    }
}

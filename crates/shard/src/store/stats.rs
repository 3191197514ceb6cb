//! What stores hold and have done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_base::position::Index;
use mainstay_base::units::{Duration, Size};

use super::pool::Kind;

/// What a store holds, and what it has done since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The last record that was applied.
    pub applied: Index,
    /// The last record whose changes survive a crash.
    pub durable_applied: Index,
    /// What is in memtables.
    pub memtables: Size,
    /// Memtables that wait for their flush.
    pub sealed: usize,
    /// Places to look for a row on disk.
    pub runs: usize,
    /// Runs that wait to be merged, if there are enough of them.
    pub level0_runs: usize,
    /// Tables that hold the rows.
    pub tables: usize,
    /// Their length.
    pub disk: Size,
    /// Ranges that wait for their deletion.
    pub deletions: usize,
    /// Keys and values that were applied.
    pub bytes_applied: u64,
    /// Tables that were written by flushes.
    pub bytes_flushed: u64,
    /// Tables that were written by compactions.
    pub bytes_compacted: u64,
    /// How long threads flushed.
    pub flushing: Duration,
    /// How long threads compacted.
    pub compacting: Duration,
    /// What failed last, if it has not succeeded since.
    pub last_error: Option<String>,
}

/// What the stores of a pool use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Stores that are open.
    pub stores: u64,
    /// What is in memtables.
    pub memtables: Size,
    /// How much may be.
    pub memtables_max: Size,
    /// Blocks that are kept in memory.
    pub cache: Size,
    /// How much may be.
    pub cache_max: Size,
}

impl Stats {
    /// How many bytes were written to the disk for each byte that was applied; none before anything was.
    pub fn write_amplification(&self) -> Option<f64> {
        let written = self.bytes_flushed + self.bytes_compacted;
        (self.bytes_applied > 0).then(|| written as f64 / self.bytes_applied as f64)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) bytes_applied: AtomicU64,
    pub(super) bytes_flushed: AtomicU64,
    /// Tables that came to be, however they did.
    pub(super) bytes_written: AtomicU64,
    busy_nanos: [AtomicU64; 2],
}

impl Counters {
    pub(super) fn note_busy(&self, kind: Kind, took: Duration) {
        let nanos = took.as_nanos();
        self.busy_nanos[kind as usize].fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn busy(&self, kind: Kind) -> Duration {
        Duration::from_nanos(self.busy_nanos[kind as usize].load(Ordering::Relaxed))
    }
}

//! Measuring logs: producers that append to any engine behind [`Log`], beside what the disk under it can do.
//!
//! A figure of a log says little without its disk, so no sample stands alone: before and after each one a plain file in
//! the same folder is written and synced in groups of the same size, and what the log reaches is given as a share of
//! that. Everything runs in this process, so its CPU time is that of the log and of its producers; the engine that keeps
//! records in memory, under the same producers, tells how much of it is theirs.
//!
//! Samples of all subjects alternate after a round that is thrown away. Each opens a new log in a folder of its own, and
//! begins when what the one before left behind is on the disk.

mod disk;
mod engines;
pub mod front;
mod page;
mod place;
mod producers;
mod results;
mod run_in;
mod runner;
mod spent;
mod text;

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mainstay_base::units::Size;
use mainstay_log::Log;
use mainstay_log::record::HEADER_BYTES;
use serde::{Deserialize, Serialize};

pub use disk::{BLOCK_BYTES, Disk, Pace};
pub use engines::{FLIGHT_MAX, RUN_IN, bare_file, local, memory};
pub use place::Place;
pub use results::{
    CellResults, Comparison, Limit, Metric, Participant, Results, Sample, Series, ratio_to_disk,
};
pub use runner::{Stop, run};

/// A log that can be measured.
pub struct Subject {
    /// Short, for tables.
    pub name: String,
    /// As the program itself says.
    pub version: String,
    /// Pairs of a name and a value: what it was opened with.
    pub settings: Vec<(String, String)>,
    /// Whether an acknowledgement waits for the disk: otherwise the disk's syncs are no measure for it.
    pub synced: bool,
    /// How much is appended and trimmed before each sample, so that it is about a log that has run for a while.
    pub run_in: Size,
    /// Opens it, empty, in the given folder, which is its own.
    pub open: Open,
}

/// Opens a new log in a folder.
pub type Open = Box<dyn Fn(&Path) -> Result<Opened>>;

/// A log that is ready for appends.
pub struct Opened {
    /// What the producers append to. Gone before `close` is called.
    pub log: Arc<dyn Log>,
    /// How many groups were made durable so far, each by a sync of its own.
    pub syncs: Box<dyn Fn() -> u64>,
    /// Closes it, and returns when its threads have ended.
    pub close: Box<dyn FnOnce() -> Result<()>>,
}

/// One kind of work: producers that each append to a shard of their own, one record after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Appends in flight.
    pub producers: usize,
    /// Bytes of each record's payload.
    pub payload: Size,
}

/// What to measure.
pub struct Plan {
    /// Name of its files.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// What is compared, and what this says about real use.
    pub about: String,
    /// The first is compared with each other one.
    pub subjects: Vec<Subject>,
    /// In this order.
    pub cells: Vec<Cell>,
    /// Rounds that count.
    pub rounds: usize,
    /// The part of each sample that is thrown away.
    pub warm_up: Duration,
    /// The measured part of each sample.
    pub duration: Duration,
    /// How long the bare disk is measured, before and after each sample and for each of the two sizes of groups.
    pub disk: Duration,
    /// Whether a sample that something spoilt is repeated and dropped, as a comparison wants it, or counted and noted.
    pub strict: bool,
    /// How much the producers leave in the log before they trim it.
    pub keep: Size,
    /// How long the run waits at most, before and after each load, until this process and the disk rest; zero: not at
    /// all.
    pub settle_max: Duration,
    /// Seed of the intervals' bootstrap.
    pub seed: u64,
}

impl Plan {
    /// What `settle_max` should be: most systems rest much earlier, and one that does not never will.
    pub const SETTLE_MAX: Duration = Duration::from_secs(5);

    /// Room that a run takes on the disk, if logs trim as they are told: what is kept twice over, segments made in
    /// advance, and the bare file.
    #[must_use]
    pub fn space(&self) -> Size {
        let kept = self.cells.iter().map(|cell| cell.kept_bytes(self.keep)).max().unwrap_or(0);
        Size::from_bytes(kept.saturating_mul(2).saturating_add(4 * SEGMENT_BYTES + disk::FILE_BYTES))
    }
}

/// As in `64 producers, payloads of 256B`.
impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plural = if self.producers == 1 { "" } else { "s" };
        write!(f, "{} producer{plural}, payloads of {}", self.producers, self.payload)
    }
}

impl Cell {
    /// The length of each record in bytes.
    #[must_use]
    pub const fn record_bytes(self) -> u64 {
        self.payload.bytes().saturating_add(HEADER_BYTES as u64)
    }

    /// After how many records a producer trims its shard.
    const fn trim_records(self, keep: Size) -> u64 {
        let records = keep.bytes() / (self.producers as u64).saturating_mul(self.record_bytes());
        if records > TRIM_RECORDS_MIN { records } else { TRIM_RECORDS_MIN }
    }

    /// What all shards then have together.
    const fn kept_bytes(self, keep: Size) -> u64 {
        let per_producer = self.trim_records(keep).saturating_mul(self.record_bytes());
        per_producer.saturating_mul(self.producers as u64)
    }
}

/// Between two trims of one shard at least, however little is to be kept.
const TRIM_RECORDS_MIN: u64 = 4;

/// What an engine may make in advance, as a step.
const SEGMENT_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests;

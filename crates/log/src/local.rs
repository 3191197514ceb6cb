//! The engine on local files: one sequence of segments for all shards, and one thread that writes it.
//!
//! Whatever waits when the writer is free becomes a group: one write, one sync, and then all of it is acknowledged. Files
//! are written in full before they are used and used again when they are trimmed, so that a sync has nothing to
//! do but the data. Opening tells a torn end, which is cut, from damage, which is refused with its place, and writes
//! again what nothing proves to be durable before it shows it (R16).
//!
//! [`Engine`] does all of that without a thread. [`Local`] gives it one thread that writes, one that makes files ready,
//! and two that read. [`disk`] is the seam to the operating system. The format is described in `group`.

use mainstay_base::position::{Index, ShardId};
use serde::Serialize;

mod arriving;
mod catalogue;
pub mod disk;
mod engine;
mod group;
mod inspect;
mod names;
mod options;
mod preflight;
mod queue;
mod read;
mod recover;
mod repair;
mod scan;
mod segment;
mod service;
mod spares;
mod stats;

pub use engine::Engine;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use inspect::inspect_on;
pub use inspect::{Bad, Inspection, LogEnd, Range, SegmentFound, ShardFound, inspect};
pub use options::Options;
pub use read::Reader;
pub use repair::{Choice, Repaired, repair};
pub use service::Local;
pub use spares::Preparer;
pub use stats::{Histogram, Stats};

/// What opening a log has found and done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// There was no log, and one was made.
    pub is_new: bool,
    /// The log was closed cleanly, or is new.
    pub is_clean: bool,
    /// The files that hold the log.
    pub segments: u64,
    /// The records in the last of them, which was read.
    pub records: u64,
    /// What was cut off: a group that was being written when the process or the power ended.
    pub cut: Option<Cut>,
    /// How many bytes were written again since nothing proved that they are durable.
    pub rewritten_bytes: u64,
    /// Files in the directory that are not the log's; they are left alone.
    pub foreign: Vec<String>,
}

/// The torn end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The number of the segment.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes, as far as it can be told.
    pub bytes: u64,
}

/// A shard that keeps the log from forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The shard.
    pub shard: ShardId,
    /// The bytes of the log from the segment with its oldest record on.
    pub bytes: u64,
    /// Its oldest record.
    pub from: Index,
}

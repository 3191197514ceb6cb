//! The port to engines: an append that succeeds only at the next index, and reading what was appended.
//!
//! The trait is small and object-safe, its futures are boxed, and it names no runtime: an engine may be a
//! thread with files, a table in a database or a map in memory.

use std::fmt::{self, Debug, Display, Formatter};
use std::pin::Pin;

use mainstay_base::position::{Index, ShardId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::record::Record;

/// What an engine's operation returns: a future that may be awaited anywhere.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A set of logs, one for each shard; a shard's log exists, empty, before its first record.
///
/// Futures do nothing until they are polled. Implementations pass `conformance::all` (with the feature
/// `conformance`); the rules R1 to R17 are those of the contract.
pub trait Log: Send + Sync {
    /// Appends the record to its shard's log if its index is one above the highest ever appended there,
    /// trimmed or not, and returns when it is as durable as the engine's guarantees say (R1, R2).
    ///
    /// Of appends of one index that race, at most one succeeds. Errors: [`Error::Refused`] for any other
    /// index, also if the very same record is already there; [`Error::Fenced`] from engines that compare epochs;
    /// [`Error::OutcomeUnknown`]; and, when this attempt appended nothing and never will (R8),
    /// [`Error::TooLarge`], [`Error::Full`], [`Error::Unavailable`], [`Error::Poisoned`], [`Error::Closed`].
    ///
    /// Not cancel-safe: to drop the future once it was polled is an unknown outcome.
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>>;

    /// Reads consecutive records, the first of them at `from`, until the end of the log or until they have
    /// `bytes_max` bytes or more; at least one if there is one. At and beyond the end: none.
    ///
    /// Every record was decoded, so its bytes are those of its writer (R3). Whether it counts is for
    /// [`Acceptance`](crate::accept::Acceptance) to say. A damaged record is an error only when it is the first; before
    /// it, reading stops. Errors: [`Error::Trimmed`], [`Error::Damaged`], [`Error::Unavailable`], [`Error::Closed`].
    /// Cancel-safe.
    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>>;

    /// Where the log begins and ends. Errors: [`Error::Unavailable`], [`Error::Closed`]. Cancel-safe.
    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>>;

    /// Waits until the log's next index is above `index`; may return earlier, so that a reader reads to find
    /// out. Errors: [`Error::Poisoned`] when there will be no append, [`Error::Unavailable`], [`Error::Closed`]. Cancel-safe.
    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>>;

    /// Forgets every record below `to`; nothing if the log begins there or later. The next index stays what it
    /// is for ever (R14).
    ///
    /// After a restart an engine may show some of the forgotten records again, whole and in order. Errors:
    /// [`Error::TrimBeyondEnd`] above the next index, [`Error::Unavailable`], [`Error::Poisoned`],
    /// [`Error::Closed`]; the log may then be trimmed or not, and trimming again is right. Cancel-safe.
    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>>;

    /// What the engine takes.
    fn limits(&self) -> Limits;

    /// What the engine promises when it acknowledges.
    fn guarantees(&self) -> Guarantees;

    /// Proves the guarantees on this machine and these servers, with records of no shard that is in use; to be
    /// called once before the first append. Errors: [`Error::Unproven`] with what to change, [`Error::Unavailable`],
    /// [`Error::Closed`].
    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>>;
}

/// An acknowledged append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Appended {
    /// The record's index.
    pub index: Index,
    /// What it has survived by now.
    pub durability: Durability,
}

/// The two ends of a shard's log. Both only grow, but for a restart, which may show trimmed records again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The lowest index that can be read; equal to `next` when there is none.
    pub begins: Index,
    /// One above the highest index ever appended: where the next append goes.
    pub next: Index,
}

/// What an engine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest record in bytes, with its header.
    pub record_bytes_max: usize,
}

/// What an engine promises when it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantees {
    /// What an acknowledged record survives.
    pub durability: Durability,
    /// Whether the engine refuses appends of a lower epoch by itself. Nothing rests on it (R9).
    pub fences_epochs: bool,
}

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Nothing: it is lost with the process.
    Memory,
    /// The end of the process, but not the loss of power: handed to the operating system.
    Written,
    /// The loss of power: synced to this machine's storage.
    Synced,
    /// The loss of this machine: synced to a replica elsewhere as well.
    Replicated,
}

impl Durability {
    /// The durability as it is written on the wire: snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
            Self::Replicated => "replicated",
        }
    }
}

impl Display for Durability {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Debug for dyn Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("limits", &self.limits()).field("guarantees", &self.guarantees()).finish()
    }
}

//! What can go wrong with a log, and for each error whether the attempt left anything behind.

use std::fmt::{self, Display, Formatter};

use mainstay_base::error::{Classify, Code, Fault, Retry};
use mainstay_base::position::{Epoch, Index, ShardId};
use thiserror::Error;

use crate::record::{self, Checksum};

/// A failed operation on a log.
///
/// After [`Error::OutcomeUnknown`] the record may be in the log, come to be there, or neither. [`Error::Refused`] and
/// [`Error::Fenced`] speak for what arrived last: a copy of the same record that came before may be in the log.
/// Every other error of an append promises that this attempt appended nothing and never will (R8).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The index is not the next one.
    #[error("the append to shard {shard} at index {index} is refused: the next index is {next}")]
    Refused {
        /// The log.
        shard: ShardId,
        /// The index of the record that was to be appended.
        index: Index,
        /// One above the highest index ever appended.
        next: Index,
    },
    /// The engine holds a record of a higher epoch. Not every engine looks.
    #[error(
        "the append to shard {shard} under epoch {epoch} is refused: the log has a record of epoch {highest}"
    )]
    Fenced {
        /// The log.
        shard: ShardId,
        /// The epoch of the record that was to be appended.
        epoch: Epoch,
        /// The highest epoch in the log.
        highest: Epoch,
    },
    /// The record is larger than the engine takes.
    #[error("a record of {bytes} bytes for shard {shard} is refused: the engine takes at most {bytes_max}")]
    TooLarge {
        /// The log.
        shard: ShardId,
        /// The record's length in bytes.
        bytes: usize,
        /// The engine's limit.
        bytes_max: usize,
    },
    /// There is no room for the record. Reading and trimming still work.
    #[error("there is no room for a record of {bytes} bytes: {reason}")]
    Full {
        /// The record's length in bytes.
        bytes: usize,
        /// What is full.
        reason: String,
    },
    /// The record may have been appended, may be appended later, or not at all.
    #[error("whether the record at index {index} of shard {shard} was appended is not known: {reason}")]
    OutcomeUnknown {
        /// The log.
        shard: ShardId,
        /// The record's index.
        index: Index,
        /// Why.
        reason: String,
    },
    /// The engine cannot be reached, or does not work, for now.
    #[error("the log's engine could not {act}: {reason}")]
    Unavailable {
        /// What was asked of it.
        act: Act,
        /// Why not.
        reason: String,
    },
    /// The record existed and is no longer kept.
    #[error("the record at index {index} of shard {shard} was trimmed: the log begins at {begins}")]
    Trimmed {
        /// The log.
        shard: ShardId,
        /// The index that was asked for.
        index: Index,
        /// The lowest index that can be read.
        begins: Index,
    },
    /// The log cannot be trimmed to beyond its end.
    #[error("shard {shard} cannot be trimmed to index {to}: its next index is {next}")]
    TrimBeyondEnd {
        /// The log.
        shard: ShardId,
        /// Where it was to begin.
        to: Index,
        /// One above the highest index ever appended.
        next: Index,
    },
    /// What is stored is not what was appended.
    #[error("the log is damaged at {place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
    /// Syncing failed before: what is in memory and what is on disk may differ until the engine is restarted.
    #[error("the log takes no records until it is restarted, since it failed before: {reason}")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// It was closed.
    #[error("the log is closed")]
    Closed,
    /// The engine cannot prove what is demanded of it.
    #[error("the log's engine does not prove that {guarantee}: {found}")]
    Unproven {
        /// What must hold.
        guarantee: String,
        /// What was found instead, and what to change.
        found: String,
    },
}

/// What an engine was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Open what it has stored.
    Open,
    /// Append a record.
    Append,
    /// Read records.
    Read,
    /// Tell where the log begins and ends.
    Tail,
    /// Forget records.
    Trim,
    /// Prove its guarantees.
    Preflight,
    /// Make what is damaged usable again.
    Repair,
}

/// Where a log is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a record that is known by its index.
    Record {
        /// The log.
        shard: ShardId,
        /// The index that was read.
        index: Index,
    },
    /// At a place in the engine's storage, in the engine's words: a file and an offset, a table and a row.
    Storage(String),
}

/// What is wrong with a damaged log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// The bytes are not a record that this program can read.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// The record belongs to another shard.
    #[error("the record there belongs to shard {found}")]
    Shard {
        /// The shard in the record.
        found: ShardId,
    },
    /// The record has another index.
    #[error("the record there has index {found}")]
    Index {
        /// The index in the record.
        found: Index,
    },
    /// A data record does not follow the last accepted record.
    #[error(
        "the record there follows a record with checksum {found}, and the last accepted one has {expected}"
    )]
    Chain {
        /// The checksum of the last accepted record.
        expected: Checksum,
        /// The checksum in the record.
        found: Checksum,
    },
    /// A record of a new epoch, and the epoch record is missing.
    #[error("the record there is of epoch {found}, which no epoch record began")]
    EpochUnannounced {
        /// The record's epoch.
        found: Epoch,
    },
    /// An epoch record for the epoch that has already begun.
    #[error("the record there begins epoch {found} a second time")]
    EpochRepeated {
        /// The record's epoch.
        found: Epoch,
    },
    /// The engine's own storage is damaged, in the engine's words.
    #[error("{0}")]
    Storage(String),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Full { .. } => Code::StorageFull,
            Self::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            Self::Trimmed { .. } => Code::Gone,
            Self::TrimBeyondEnd { .. } | Self::Damaged { .. } => Code::Internal,
            Self::Unproven { .. } => Code::Invalid,
            Self::Refused { .. }
            | Self::Fenced { .. }
            | Self::Unavailable { .. }
            | Self::Poisoned { .. }
            | Self::Closed => Code::Unavailable,
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } => Fault::Peer,
            _ => self.code().fault(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::TrimBeyondEnd { .. } | Self::Damaged { .. } => Retry::Never,
            _ => self.code().retry(),
        }
    }
}

impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Append => "append",
            Self::Read => "read",
            Self::Tail => "tell its ends",
            Self::Trim => "trim",
            Self::Preflight => "prove its guarantees",
            Self::Repair => "be repaired",
        })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { shard, index } => write!(f, "index {index} of shard {shard}"),
            Self::Storage(place) => f.pad(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_whose_fault_they_are_and_whether_to_send_again() {
        let (shard, index) = (ShardId::new(1), Index::new(7));
        let reason = || "why".to_owned();
        let place = || Place::Record { shard, index };
        let damage = || Damage::Storage("half a header".into());
        let soon = Code::Unavailable.retry();
        for (error, code, fault, retry) in [
            (Error::Refused { shard, index, next: index }, Code::Unavailable, Fault::Us, soon),
            (Error::Closed, Code::Unavailable, Fault::Us, soon),
            (Error::Poisoned { reason: reason() }, Code::Unavailable, Fault::Us, soon),
            (Error::Unavailable { act: Act::Append, reason: reason() }, Code::Unavailable, Fault::Peer, soon),
            (Error::TooLarge { shard, bytes: 2, bytes_max: 1 }, Code::TooLarge, Fault::Caller, Retry::Never),
            (Error::Full { bytes: 2, reason: reason() }, Code::StorageFull, Fault::Us, Retry::Never),
            (
                Error::OutcomeUnknown { shard, index, reason: reason() },
                Code::OutcomeUnknown,
                Fault::Us,
                Retry::WithIdempotencyKey,
            ),
            (Error::Damaged { place: place(), damage: damage() }, Code::Internal, Fault::Us, Retry::Never),
            (Error::Trimmed { shard, index, begins: index }, Code::Gone, Fault::Caller, Retry::Never),
        ] {
            assert_eq!((error.code(), error.fault(), error.retry()), (code, fault, retry), "{error}");
        }
    }

    #[test]
    fn damage_names_its_place() {
        let (shard, index) = (ShardId::new(1), Index::new(7));
        let damage = Damage::Chain { expected: Checksum::new(0xab), found: Checksum::START };
        let error = Error::Damaged { place: Place::Record { shard, index }, damage };
        assert_eq!(
            error.to_string(),
            "the log is damaged at index 7 of shard 1: the record there follows a record with checksum 00000000, \
             and the last accepted one has 000000ab"
        );
        let place = Place::Storage("segment 3, byte 4096".into());
        let error = Error::Damaged { place, damage: record::Error::Kind { found: 9 }.into() };
        assert_eq!(
            error.to_string(),
            "the log is damaged at segment 3, byte 4096: format 1 has no kind 9 of records"
        );
    }
}

//! Why an owner has ended.

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::hlc::HybridTime;
use mainstay_base::position::Index;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_log::{Damage, Place, writer};
use mainstay_machine::batch;
use thiserror::Error;

/// Why an owner has ended. Where a retry is safe, another owner may be made after a while.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Stop {
    /// It was to end.
    #[error("the shard is handed over or closed")]
    Ended,
    /// The log takes nothing from it any more.
    #[error(transparent)]
    Log(writer::Stop),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Unreadable(mainstay_log::Error),
    /// The log is damaged.
    #[error("the log is damaged at {place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
    /// A record carries a batch that this program cannot read.
    #[error("the record at index {index} cannot be applied: {error}")]
    Batch {
        /// The record.
        index: Index,
        /// Why not.
        error: batch::Error,
    },
    /// The log no longer has what the store lacks.
    #[error(
        "the store has the log up to index {applied}, and the log begins at {begins}: load a snapshot of at least \
         that index, or restore a backup"
    )]
    Behind {
        /// The last index in the store; 0 for none.
        applied: Index,
        /// The first index in the log.
        begins: Index,
    },
    /// The store has what is not in the log.
    #[error(
        "the store has the log up to index {applied}, and the log ends before {next}: the two do not belong \
         together, or the log has lost its end; put the right log in place, or build the store anew"
    )]
    Ahead {
        /// The last index in the store.
        applied: Index,
        /// The index after the last in the log.
        next: Index,
    },
    /// The wall clock is too far behind.
    #[error(
        "the wall clock shows {wall}, and the log has the time {log}: clocks may differ by at most {offset_max}; \
         correct the clock, or wait"
    )]
    ClockBehind {
        /// The wall clock.
        wall: Timestamp,
        /// The last time in the log.
        log: HybridTime,
        /// How far it may be behind.
        offset_max: Duration,
    },
    /// There have been as many epochs, or timelines, as can be numbered.
    #[error("the log has reached the last number of {what}: restore a backup into a new log")]
    Exhausted {
        /// What is numbered.
        what: &'static str,
    },
    /// The store takes nothing any more.
    #[error("the store has failed: {reason}")]
    Store {
        /// What is wrong.
        reason: String,
    },
}

impl Classify for Stop {
    fn code(&self) -> Code {
        match self {
            Self::Ended | Self::ClockBehind { .. } => Code::Unavailable,
            Self::Log(stop) => match stop {
                writer::Stop::Damaged { .. } => Code::Internal,
                writer::Stop::Failed(error) => error.code(),
                writer::Stop::Deposed { .. }
                | writer::Stop::Trimmed { .. }
                | writer::Stop::GroundLost { .. } => Code::Unavailable,
            },
            Self::Unreadable(error) => error.code(),
            Self::Damaged { .. }
            | Self::Batch { .. }
            | Self::Behind { .. }
            | Self::Ahead { .. }
            | Self::Exhausted { .. }
            | Self::Store { .. } => Code::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self.code() {
            Code::Unavailable => Code::Unavailable.retry(),
            _ => Retry::Never,
        }
    }
}

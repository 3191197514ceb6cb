//! What a failed statement left behind: the one place that tells what certainly did nothing from what nobody knows.
//!
//! An answer of severity `ERROR` comes from a transaction that was rolled back. Everything else that is not
//! success may come after the commit: the backend was ended, the connection broke, no answer came in time.

use mainstay_base::position::{Index, ShardId};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{Act, Error};

/// Why an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The statement was never sent.
    NotSent(String),
    /// The log was closed.
    Closed,
    /// The server rolled the statement back.
    RolledBack {
        /// The server has no room.
        is_full: bool,
        /// The session can't run its statements any more.
        is_stale: bool,
        reason: String,
    },
    /// The statement may have been, or may come to be, committed or not.
    Lost(String),
}

/// The append that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub shard: ShardId,
    pub index: Index,
    pub bytes: usize,
}

impl Failure {
    /// For everything but appends: whatever was done, doing it again is right.
    pub fn unavailable(self, act: Act) -> Error {
        match self {
            Self::Closed => Error::Closed,
            Self::NotSent(reason) | Self::RolledBack { reason, .. } | Self::Lost(reason) => {
                Error::Unavailable { act, reason }
            }
        }
    }

    /// For the statement that appends (R8).
    pub fn of_append(self, attempt: Attempt) -> Error {
        let Attempt { shard, index, bytes } = attempt;
        match self {
            Self::RolledBack { is_full: true, reason, .. } => Error::Full { bytes, reason },
            Self::Lost(reason) => Error::OutcomeUnknown { shard, index, reason },
            certain => certain.unavailable(Act::Append),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = describe(&error);
        match error.as_db_error() {
            Some(answer) if is_rolled_back(answer) => Self::RolledBack {
                is_full: *answer.code() == SqlState::DISK_FULL,
                is_stale: [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME]
                    .contains(answer.code()),
                reason,
            },
            _ => Self::Lost(reason),
        }
    }
}

fn is_rolled_back(answer: &DbError) -> bool {
    let code = answer.code();
    answer.parsed_severity() == Some(Severity::Error)
        && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        && !code.code().starts_with("08")
}

/// The error in words. What the server says beside its message may quote rows, so it is left out.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("the server says: {} (SQLSTATE {})", answer.message(), answer.code().code());
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lost_leaves_doubt() {
        let attempt = Attempt { shard: ShardId::new(1), index: Index::new(2), bytes: 3 };
        let reason = || "why".to_owned();
        let unavailable = Error::Unavailable { act: Act::Append, reason: reason() };
        let rolled_back = |is_full| Failure::RolledBack { is_full, is_stale: false, reason: reason() };
        let (shard, index) = (attempt.shard, attempt.index);
        for (failure, expected) in [
            (Failure::NotSent(reason()), unavailable.clone()),
            (Failure::Closed, Error::Closed),
            (rolled_back(false), unavailable),
            (rolled_back(true), Error::Full { bytes: 3, reason: reason() }),
            (Failure::Lost(reason()), Error::OutcomeUnknown { shard, index, reason: reason() }),
        ] {
            assert_eq!(failure.of_append(attempt), expected);
        }
        let read = Error::Unavailable { act: Act::Read, reason: reason() };
        assert_eq!(Failure::Lost(reason()).unavailable(Act::Read), read);
    }
}

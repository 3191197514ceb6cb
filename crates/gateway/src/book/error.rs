//! Why a definition is not changed.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_machine::Version;
use mainstay_machine::definition::Source;

use super::{Change, HISTORY_MAX, Kind, Record};

/// Why a definition is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such definition.
    #[error("there is no {kind} \"{name}\": `/v1/{}` lists what there is", kind.plural())]
    Missing {
        /// What it would be.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// It is not in force.
    #[error("the {kind} \"{name}\" was retired: put its definition, or roll back to one of its history")]
    Retired {
        /// What it was.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// It has no such version.
    #[error(
        "the {kind} \"{name}\" has no version {version} in its history, which keeps the last {HISTORY_MAX}"
    )]
    NoVersion {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The version.
        version: Version,
    },
    /// What had to hold before does not.
    #[error("the {kind} \"{name}\" {why}")]
    Condition {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What does not hold.
        why: String,
        /// The version that it has.
        found: Option<Version>,
    },
    /// A file says it.
    #[error(
        "the {kind} \"{name}\" is defined in {written}: change it there and reload, or take it out there first"
    )]
    OwnedByFile {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Where it is written.
        written: Source,
    },
    /// It says too much.
    #[error(
        "the {kind} \"{name}\" takes {bytes} bytes, and at most {} are allowed: say less",
        Change::DEFINITION_BYTES_MAX
    )]
    TooLarge {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// So many.
        bytes: usize,
    },
    /// There are too many.
    #[error("there are {} {} of the API, as many as there may be: delete one, or define some in the file", Change::NAMES_MAX, kind.plural())]
    Full {
        /// What they are.
        kind: Kind,
    },
    /// The idempotency key was used for another request.
    #[error(
        "the idempotency key was used for another change of this definition: use a key for one request only"
    )]
    Mismatch,
    /// It was written by another version of this program.
    #[error(
        "the {kind} \"{name}\" of the API cannot be read by this version: {reason}; start the version that wrote it and change it there"
    )]
    Unreadable {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Why.
        reason: String,
    },
}

impl Error {
    pub(super) fn missing(change: &Change, retired: Option<&Arc<Record>>) -> Self {
        let (kind, name) = (change.kind, change.name.clone());
        match retired {
            Some(_) => Self::Retired { kind, name },
            None => Self::Missing { kind, name },
        }
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } | Self::Retired { .. } | Self::NoVersion { .. } => Code::NotFound,
            Self::Condition { .. } => Code::ConditionFailed,
            Self::OwnedByFile { .. } => Code::OwnedByFile,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Full { .. } => Code::QuotaExceeded,
            Self::Mismatch => Code::IdempotencyMismatch,
            Self::Unreadable { .. } => Code::Internal,
        }
    }
}

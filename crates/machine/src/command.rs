//! What can be asked of a partition, all or nothing.
//!
//! Everything in a command was checked when it was made: names, keys, JSON and expressions are of types that only hold what
//! is well formed. What depends on state or on settings is for evaluation.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition};
use mainstay_base::units::Duration;
use thiserror::Error;

use crate::content::Value;
use crate::expression::Expression;
use crate::json::{Json, Pointer};
use crate::text::shown;
use crate::version::Version;

mod define;
mod idempotency;

pub use define::{Change, Define, Expected};
pub use idempotency::{Idempotency, IdempotencyKey, KeyError};

/// A request of one caller to one partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Whose data it is about.
    pub tenant: Tenant,
    /// Who asks.
    pub caller: Caller,
    /// What it is about, all of it.
    pub partition: Partition<'static>,
    /// Makes it safe to send again.
    pub idempotency: Option<Idempotency>,
    /// Where it stands in a distributed trace.
    pub trace: Option<TraceContext>,
    /// What is asked.
    pub request: Request,
}

/// What is asked of a partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// To change items.
    Commit(Commit),
    /// To change a definition; of the shard `system` only.
    Define(Define),
}

/// Who asks: 1 to 255 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(Cow<'static, str>);

/// A text that is not a [`Caller`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a caller: use 1 to {} bytes without control characters", shown(.0), Caller::BYTES_MAX)]
pub struct CallerError(String);

/// The caller's place in a distributed trace (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The caller's span.
    pub span_id: [u8; 8],
    /// The trace's flags, of which the lowest bit is "sampled".
    pub flags: u8,
}

/// Changes of items, made together if all conditions hold.
///
/// Conditions see the state before the commit; operations see those before them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What to do, in this order.
    pub operations: Vec<Operation>,
}

/// The name of an item: a collection and a key in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ItemName {
    /// The collection.
    pub collection: Name,
    /// The key.
    pub key: Key,
}

/// Something that must hold for a commit to happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The item is there and has this version.
    Version {
        /// The item.
        item: ItemName,
        /// Its version.
        is: Version,
    },
    /// The item is not there.
    Absent {
        /// The item.
        item: ItemName,
    },
    /// The item is there.
    Present {
        /// The item.
        item: ItemName,
    },
    /// The expression holds for the item, which may be absent.
    Check {
        /// The item.
        item: ItemName,
        /// The expression.
        cel: Expression,
    },
}

/// A change of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Gives the item this value, whether it is there or not.
    Put {
        /// The item.
        item: ItemName,
        /// Its value.
        value: Value,
        /// How long it is there; none: as its collection says.
        ttl: Option<Duration>,
    },
    /// Merges a patch into the item's JSON (RFC 7396); an absent item begins as nothing.
    MergePatch {
        /// The item.
        item: ItemName,
        /// The patch.
        patch: Json,
    },
    /// Removes the item, if it is there.
    Delete {
        /// The item.
        item: ItemName,
    },
    /// Adds to a whole number in the item's JSON.
    ///
    /// An absent item begins as the empty object, or as 0 for the empty path; an absent last member begins at 0; the object
    /// that it belongs to must be there.
    Increment {
        /// The item.
        item: ItemName,
        /// Where the number is.
        path: Pointer,
        /// What to add.
        by: i64,
        /// What the number must not fall below.
        min: Option<i64>,
        /// What the number must not rise above.
        max: Option<i64>,
    },
    /// Keeps the item as it is until all of its holds are released; it must be there. To set a hold that is set changes nothing.
    Hold {
        /// The item.
        item: ItemName,
        /// The hold.
        name: Name,
    },
    /// Releases a hold, if the item has it.
    Release {
        /// The item.
        item: ItemName,
        /// The hold.
        name: Name,
    },
}

impl Command {
    /// How large it is, about: what it holds in memory beside a fixed part.
    pub fn bytes(&self) -> usize {
        const PART_BYTES: usize = 64;
        let Request::Commit(commit) = &self.request else { return PART_BYTES };
        let condition = |condition: &Condition| {
            let cel = match condition {
                Condition::Check { cel, .. } => cel.source().len(),
                _ => 0,
            };
            PART_BYTES + condition.item().key.as_str().len() + cel
        };
        let operation = |operation: &Operation| {
            let value = match operation {
                Operation::Put { value, .. } => value.bytes().len(),
                Operation::MergePatch { patch, .. } => patch.bytes().len(),
                Operation::Delete { .. } | Operation::Increment { .. } => 0,
                Operation::Hold { name, .. } | Operation::Release { name, .. } => name.as_str().len(),
            };
            PART_BYTES + operation.item().key.as_str().len() + value
        };
        let conditions: usize = commit.conditions.iter().map(condition).sum();
        let operations: usize = commit.operations.iter().map(operation).sum();
        PART_BYTES + conditions + operations
    }
}

impl Request {
    /// The kind of the request, as it is known in scopes of idempotency.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Define(_) => "define",
        }
    }
}

impl Condition {
    /// The item that it is about.
    pub fn item(&self) -> &ItemName {
        match self {
            Self::Version { item, .. }
            | Self::Absent { item }
            | Self::Present { item }
            | Self::Check { item, .. } => item,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Absent { .. } => "absent",
            Self::Present { .. } => "present",
            Self::Check { .. } => "check",
        }
    }
}

impl Operation {
    /// The item that it changes.
    pub fn item(&self) -> &ItemName {
        match self {
            Self::Put { item, .. }
            | Self::MergePatch { item, .. }
            | Self::Delete { item }
            | Self::Increment { item, .. }
            | Self::Hold { item, .. }
            | Self::Release { item, .. } => item,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::MergePatch { .. } => "merge_patch",
            Self::Delete { .. } => "delete",
            Self::Increment { .. } => "increment",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
        }
    }
}

impl Display for ItemName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, shown(self.key.as_str()))
    }
}

impl Caller {
    /// The longest caller, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Who asks when nobody is asked who they are.
    pub const ANONYMOUS: Self = Self(Cow::Borrowed("anonymous"));

    /// The caller as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Caller {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Caller {
    type Err = CallerError;

    fn from_str(text: &str) -> Result<Self, CallerError> {
        let is_good = (1..=Self::BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        if is_good { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(CallerError(text.to_owned())) }
    }
}

impl Classify for CallerError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

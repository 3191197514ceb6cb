//! What can be asked about a definition.

use mainstay_base::id::Name;
use mainstay_base::key::{Partition, PartitionBy};

use crate::collection::Collection;
use crate::version::Version;

/// A change of one collection's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Define {
    /// The collection.
    pub name: Name,
    /// What becomes of its definition.
    pub change: Change,
    /// What must hold before.
    pub expected: Expected,
    /// The version of its schema that all shards have brought all items to, as far as is known.
    pub settled: u32,
}

/// What becomes of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It says this from now on.
    Put(Box<Collection>),
    /// It is not served any more.
    Retire,
    /// It says what it said as of this version, served or not.
    Rollback(Version),
}

/// What must hold for a definition before it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Anything,
    /// There is none that is served.
    Absent,
    /// There is one that is served.
    Present,
    /// It is served and has this version.
    Version(Version),
    /// That it is both there and not.
    Impossible,
}

impl Define {
    /// The partition of the shard `system` that the definition is in.
    pub fn partition(&self) -> Partition<'static> {
        PartitionBy::WholeKey.parse(self.name.as_str()).expect("every name is a key").into_owned()
    }
}

impl Change {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Retire => "retire",
            Self::Rollback(_) => "rollback",
        }
    }
}

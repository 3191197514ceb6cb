//! What a collection of items is: what its definition says, as users write it.

use std::collections::BTreeMap;

use mainstay_base::id::Name;
use mainstay_base::key::PartitionBy;
use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::ContentType;
use crate::index::Index;
use crate::reference::Reference;
use crate::schema::Schema;

mod documents;

pub use documents::Documents;

/// What a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Collection {
    /// What of a key is its partition: items of one partition can change in one commit. By default those whose keys begin alike
    /// can, such as all of a user. Fixed from the collection's first definition on: by another rule its items would not be found.
    pub partition_by: PartitionBy,
    /// The only content type that its items may have; without one they may have any. Items that are there keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<ContentType>,
    /// What its items must be, as JSON documents. A change of it is a new version: items that are there are brought to it beside the
    /// traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Documents>,
    /// How long an item is there after it was last written, at least `1s`, unless the write says how long; without it, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// The fields of JSON documents by which items are found and ordered, by the index's name; at most 32 indexes. Each is more work for
    /// every change: an entry for each value of a changed field. One that is added is built beside the traffic.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<Name, Index>,
    /// Members of JSON documents that are keys of items of a collection in the same partition, by the reference's name; at most 16
    /// references. Such an item must be there, and `on_delete` says what its deletion does. One that is added is built beside the
    /// traffic.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<Name, Reference>,
    /// What the feed of its changes has.
    #[serde(skip_serializing_if = "Feed::is_default")]
    pub changes: Feed,
}

/// What the feed of a collection's changes has beside what items are afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Feed {
    /// Whether it has what items were before, from then on. The log then holds each value twice.
    pub old_values: bool,
}

impl Feed {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Collection {
    /// The most indexes.
    pub const INDEXES_MAX: usize = 32;

    /// The most references.
    pub const REFERENCES_MAX: usize = 16;

    /// The shortest time that its items are there.
    pub const TTL_MIN: Duration = Duration::from_secs(1);

    /// What its documents are checked by; none if by nothing.
    pub fn json_schema(&self) -> Option<&Schema> {
        self.schema.as_ref().and_then(Documents::schema)
    }

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.ttl.is_some_and(|ttl| ttl < Self::TTL_MIN) {
            return Err(format!("has a `ttl` below {}, the least there is: make it longer", Self::TTL_MIN));
        }
        if let Some(documents) = &self.schema {
            documents.check()?;
            if let Some(other) = self.content_type.as_ref().filter(|found| !found.is_json()) {
                return Err(format!(
                    "has a `schema` and the `content_type` {other}: leave one of them out, since only JSON has a schema"
                ));
            }
        }
        let found = self.indexes.len();
        if found > Self::INDEXES_MAX {
            let max = Self::INDEXES_MAX;
            return Err(format!("has {found} indexes, and at most {max} are allowed: leave some out"));
        }
        self.check_references()
    }

    fn check_references(&self) -> Result<(), String> {
        let found = self.references.len();
        if found > Self::REFERENCES_MAX {
            let max = Self::REFERENCES_MAX;
            return Err(format!("has {found} references, and at most {max} are allowed: leave some out"));
        }
        let whole = self.references.iter().find(|(_, reference)| reference.on.steps().is_empty());
        match whole {
            Some((name, _)) => Err(format!(
                "has the reference {:?} on the whole document: name a member of it, as in \"/customer\"",
                name.as_str()
            )),
            None => Ok(()),
        }
    }
}

//! Definitions of collections, as they are answered.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_base::id::Name;
use mainstay_base::key::Key;
use mainstay_base::time::Timestamp;
use mainstay_machine::definition::{Origin, Source};
use mainstay_machine::index::state::Misfits;
use mainstay_machine::query::{Progress, Standing};
use mainstay_machine::sample::Sample;
use mainstay_machine::shards::Active;
use mainstay_machine::{Collection, Definition, Version};

/// A collection, as it is defined.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DefinedCollection")]
pub struct CollectionBody {
    /// The collection's name.
    pub name: Name,
    /// The version of the definition; opaque.
    #[schemars(with = "String")]
    version: Version,
    /// When it was given.
    changed: Timestamp,
    /// Where it was written, and so where it can be changed: `file` or `api`.
    origin: &'static str,
    /// The configuration file, for the origin `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    file: Option<String>,
    /// The line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    line: Option<u32>,
    /// Who gave it, for the origin `api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    caller: Option<String>,
    /// It is not served from this version on, and its items stay.
    retired: bool,
    /// How many of the shards evaluate commits under it, such as `16/16`; not there in a history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    active: Option<String>,
    /// How far its indexes are, by name; only where one collection is read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    indexes: BTreeMap<Name, ProgressBody>,
    /// How far its references are, by name; only where one collection is read. Deletions are guarded for all items that refer once it is
    /// `ready`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    references: BTreeMap<Name, ProgressBody>,
    /// How far its documents are brought to the version of their schema; only where one collection is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SchemaBody")]
    schema: Option<SchemaBody>,
    /// What it says: the body of a `PUT`.
    definition: Collection,
}

/// How far documents are brought to the version of their schema.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SchemaProgress")]
pub struct SchemaBody {
    /// The version, from 1: documents that are written have it, and all are read as it has them.
    version: u32,
    /// How far it is: an `invalid` one has items that are not as it says.
    #[serde(flatten)]
    progress: ProgressBody,
}

/// How far an index is, a reference, or a schema.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
pub struct ProgressBody {
    /// `building`, `ready`, or `invalid` when there are items that it cannot take. Only a ready index is
    /// searched in.
    state: &'static str,
    /// In how many of the shards it is ready, such as `16/16`.
    ready: String,
    /// How many items were gone through where it is not.
    #[serde(skip_serializing_if = "is_zero")]
    items: u64,
    /// How many items it cannot take.
    #[serde(skip_serializing_if = "is_zero")]
    misfits: u64,
    /// One of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Key")]
    misfit: Option<Key>,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Progress> for ProgressBody {
    fn from(progress: Progress) -> Self {
        let state = progress.as_str();
        let Progress { ready, of, items, misfits, .. } = progress;
        let (misfit, reason, misfits) = match misfits {
            Some(Misfits { items, key, reason }) => (Some(key), Some(reason), items),
            None => (None, None, 0),
        };
        Self { state, ready: format!("{ready}/{of}"), items, misfits, misfit, reason }
    }
}

/// Some of the collections, in the order of names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Collections")]
pub struct CollectionsBody {
    /// The collections.
    pub collections: Vec<CollectionBody>,
    /// The `cursor` of the next page; not there on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next: Option<Name>,
}

/// What a collection's definition was, the latest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CollectionHistory")]
pub struct HistoryBody {
    /// Each of its versions that is kept.
    pub versions: Vec<CollectionBody>,
}

/// Which version to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rollback")]
pub struct RollbackBody {
    /// A version of the collection's history.
    #[schemars(with = "String")]
    pub to: Version,
}

/// What a change would come to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DryRun")]
pub struct RehearsalBody {
    /// Always `true`: nothing was changed.
    pub dry_run: bool,
    /// Whether it would be a change at all.
    pub changes: bool,
    /// The version that the definition would have; not there when it is and stays retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub version: Option<Version>,
    /// Items that are there, under another version of their schema; not there when it has no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SampleBody")]
    pub sample: Option<SampleBody>,
}

/// Some of the items that are there, looked at under another version of their schema, brought up as its evolution says.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sample")]
pub struct SampleBody {
    /// How many were looked at.
    items: u64,
    /// How many would not be valid.
    failing: u64,
    /// The first of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<ExampleBody>,
}

/// An item that would not be valid.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SampleExample")]
pub struct ExampleBody {
    /// Its key.
    key: Key,
    /// Why it would not be.
    reason: String,
}

impl From<Sample> for SampleBody {
    fn from(Sample { items, failing, examples }: Sample) -> Self {
        let examples = examples.into_iter().map(|(key, reason)| ExampleBody { key, reason }).collect();
        Self { items, failing, examples }
    }
}

impl CollectionBody {
    /// The same, with how far what is done beside its traffic is.
    #[must_use]
    pub fn with_standing(self, definition: &Definition, standing: Standing) -> Self {
        let Standing { indexes, references, documents } = standing;
        let indexes = indexes.into_iter().map(|(name, progress)| (name, progress.into())).collect();
        let references = references.into_iter().map(|(name, progress)| (name, progress.into())).collect();
        let schema =
            documents.map(|progress| SchemaBody { version: definition.schema, progress: progress.into() });
        Self { indexes, references, schema, ..self }
    }

    /// The definition of this collection, and how many shards have it.
    pub fn new(name: &Name, definition: &Definition, active: Option<Active>) -> Self {
        let (origin, file, line, caller) = match &definition.origin {
            Origin::File(Source { file, line }) => ("file", Some(file.clone()), *line, None),
            Origin::Api { caller } => ("api", None, None, Some(caller.clone())),
        };
        Self {
            name: name.clone(),
            version: definition.version,
            changed: definition.changed.wall(),
            origin,
            file,
            line,
            caller,
            retired: definition.is_retired,
            active: active.map(|active| active.to_string()),
            indexes: BTreeMap::new(),
            references: BTreeMap::new(),
            schema: None,
            definition: definition.collection.clone(),
        }
    }
}

//! What evaluation depends on beside the state: limits, how long outcomes are kept, and the collections.
//!
//! All owners of a shard should have the same; but since records carry results, nothing that was committed depends on it.

use std::collections::BTreeMap;

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, PartitionBy};
use mainstay_base::units::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::ContentType;

/// What evaluation depends on beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// How large commands and values may be.
    pub limits: Limits,
    /// How long outcomes are kept for idempotency keys.
    pub retention: Retention,
    /// The collections there are.
    pub collections: Collections,
}

/// How large commands and what they leave behind may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Operations of one commit. The shard does nothing else while it evaluates them, so that many small commits are fairer to
    /// others than one large one.
    #[schemars(range(min = 1, max = 100_000))]
    pub operations_max: u32,
    /// Conditions of one commit; the default is that of operations, for the same reason.
    #[schemars(range(min = 1, max = 100_000))]
    pub conditions_max: u32,
    /// Bytes that one commit brings in, and bytes that it writes: keys and values, each time that they are written. As JSON it
    /// must fit into `api.body_max`, and with `operations_max` heads of rows into a record of the log, of which the default
    /// is half.
    pub commit_size_max: Size,
    /// Bytes of the items that one commit's conditions and operations look at, each time that they do; at least
    /// `value_size_max`. They are in memory while the commit is evaluated.
    pub read_size_max: Size,
    /// Bytes of one value, after the operation: at most `commit_size_max`, and at most `16MiB`, since a row of a snapshot has
    /// at most 32 MiB. A change of an item writes all of its value, which larger ones make dear.
    pub value_size_max: Size,
    /// Bytes of one key. The default is the most there can be; fewer keep the index of the store small.
    #[schemars(range(min = 1, max = 512))]
    pub key_bytes_max: u32,
    /// Steps that all check expressions of one commit may take together: one for each operator, and one for each 32 bytes
    /// that they read. A step takes some tens of nanoseconds: the default is a few milliseconds of the shard.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub check_steps_max: u64,
}

/// How long outcomes are kept for idempotency keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// How long after it was evaluated a command's outcome is replayed, at least `1s`. Exact: an outcome counts for as long,
    /// and no longer. The default outlasts a night in which nobody repairs the caller.
    pub keep: Duration,
    /// How many outcomes a tenant may have in one of the 4096 slots: beyond it the oldest go early, up to eight at once. A
    /// lower number than there are is reached a few with each command. The default is the bound on what a tenant that sends
    /// without end takes of a slot: some ten MiB.
    #[schemars(range(min = 1))]
    pub outcomes_max: u32,
}

/// The collections of all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collections(BTreeMap<Tenant, BTreeMap<Name, Collection>>);

/// What evaluation knows of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Collection {
    /// What of a key is its partition: items of one partition can change in one commit. By default those whose keys begin alike
    /// can, such as all of a user. Fixed once there are items: by another rule they would not be found.
    pub partition_by: PartitionBy,
    /// The only content type that its items may have; without one they may have any. Items that are there keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<ContentType>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations_max: 1_000,
            conditions_max: 1_000,
            commit_size_max: Size::from_mib(4),
            read_size_max: Size::from_mib(64),
            value_size_max: Size::from_mib(1),
            key_bytes_max: Key::BYTES_MAX as u32,
            check_steps_max: 100_000,
        }
    }
}

impl Limits {
    /// The bytes of one value can be no more, whatever the limits.
    pub const VALUE_SIZE_MAX: Size = Size::from_mib(16);

    /// How large the batch of one commit can become, or less, in the format of [`Batch`](crate::batch::Batch).
    pub fn batch_size_max(&self) -> Size {
        /// A row with the longest tenant, collection and content type, beside key and value; and its result.
        const OPERATION_BYTES: u64 = 512;
        /// The batch, the slot's row, and what keeping an outcome and retiring others changes.
        const COMMIT_BYTES: u64 = 16 << 10;
        let operations = u64::from(self.operations_max) * OPERATION_BYTES;
        Size::from_bytes(self.commit_size_max.bytes().saturating_add(operations + COMMIT_BYTES))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: Duration::from_secs(24 * 60 * 60), outcomes_max: 65_536 }
    }
}

impl Collections {
    /// Adds a collection, or replaces the one of this name.
    pub fn insert(&mut self, tenant: Tenant, name: Name, collection: Collection) {
        self.0.entry(tenant).or_default().insert(name, collection);
    }

    /// The collection of this name.
    pub fn get(&self, tenant: &Tenant, name: &Name) -> Option<&Collection> {
        self.0.get(tenant)?.get(name)
    }
}

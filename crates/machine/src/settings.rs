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
    /// Operations of one commit. The shard does nothing else while it evaluates them.
    pub operations_max: u32,
    /// Conditions of one commit.
    pub conditions_max: u32,
    /// Bytes that one commit brings in, and bytes that it writes: keys and values, each time that they are written. A batch
    /// must fit into a record of the log.
    pub commit_size_max: Size,
    /// Bytes of the items that one commit's conditions and operations look at, each time that they do.
    pub read_size_max: Size,
    /// Bytes of one value, after the operation.
    pub value_size_max: Size,
    /// Bytes of one key, at most 512.
    pub key_bytes_max: u32,
    /// Steps that all check expressions of one commit may take together: one for each operator, and one for each 32 bytes
    /// that they read. A step takes some tens of nanoseconds.
    pub check_steps_max: u64,
}

/// How long outcomes are kept for idempotency keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// How long after it was evaluated a command's outcome is replayed. Exact: an outcome counts for as long, and no longer.
    pub age_max: Duration,
    /// How many outcomes a tenant may have in one of the 4096 slots, at least 1: beyond it the oldest go early, up to eight at
    /// once. A lower number than there are is reached a few with each command.
    pub outcomes_max: u32,
}

/// The collections of all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collections(BTreeMap<Tenant, BTreeMap<Name, Collection>>);

/// What evaluation knows of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collection {
    /// What of a key is its partition.
    pub partition_by: PartitionBy,
    /// The only content type that its items may have; without one they may have any.
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

impl Default for Retention {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(24 * 60 * 60), outcomes_max: 65_536 }
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

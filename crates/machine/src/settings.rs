//! What evaluation depends on beside the state: limits, and how long outcomes are kept.
//!
//! All owners of a shard should have the same; but since records carry results, nothing that was committed depends on it.

use mainstay_base::key::Key;
use mainstay_base::units::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What evaluation depends on beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// How large commands and values may be.
    pub limits: Limits,
    /// How long outcomes are kept for idempotency keys.
    pub retention: Retention,
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
    /// Entries of indexes and items that may be looked at for one page of a query, at least 100. Beyond it the query is refused with the index that would help,
    /// or the page is shorter if its caller asks for that. The default is some milliseconds of one core.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub query_reads_max: u64,
    /// Collections of one tenant, retired ones too. Every shard holds the definitions of all of them in memory: the default is some
    /// MiB of a node.
    #[schemars(range(min = 1, max = 100_000))]
    pub collections_max: u32,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations_max: 1_000,
            conditions_max: 1_000,
            commit_size_max: Size::from_mib(4),
            read_size_max: Size::from_mib(64),
            value_size_max: Size::from_mib(1),
            key_bytes_max: Key::BYTES_MAX as u32,
            query_reads_max: 10_000,
            collections_max: 1_000,
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

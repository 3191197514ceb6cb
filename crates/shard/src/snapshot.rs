//! Snapshots: a shard's rows as of one index, so that its log can be trimmed and a store rebuilt.

pub mod bucket;
pub mod copy;
pub mod format;
pub mod keeper;
pub mod location;

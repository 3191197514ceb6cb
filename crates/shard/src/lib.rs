//! A shard: the one owner that its log allows, and the store of the rows that the log has made.
//!
//! The log is the truth, the store is derived from it, and the owner is what turns commands into records and records into
//! rows. It never knows HTTP, and never which node has which shard.

pub mod backup;
pub mod feed;
pub mod inbox;
pub mod owner;
mod rules;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod snapshot;
pub mod space;
pub mod store;
mod traffic;

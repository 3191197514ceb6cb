//! The resources as their callers see them, over shards in memory.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

mod changes;
mod collections;
mod commits;
mod conformance;
mod headers;
mod holds;
mod items;
mod keys;
mod listings;
mod openapi;
mod problems;
mod queries;
mod references;
mod shards;
mod world;

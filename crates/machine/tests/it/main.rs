//! Evaluation through the crate's public surface.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

mod commits;
mod definitions;
mod evolution;
mod expiry;
mod holds;
mod idempotency;
mod items;
mod model;
mod purge;
mod queries;
mod references;
mod space;
mod world;

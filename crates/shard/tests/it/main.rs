//! Owners, stores and shards through the crate's public surface.

mod owner;
mod simulation;
mod snapshot;
mod space;
mod store;

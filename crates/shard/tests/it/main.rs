//! Owners and stores through the crate's public surface.

mod owner;
mod simulation;
mod snapshot;
mod store;

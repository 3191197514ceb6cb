//! Owners and stores through the crate's public surface.

mod owner;
mod simulation;
mod store;

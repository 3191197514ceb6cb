//! The contract as a whole, through the crate's public surface.

mod simulation;

//! The contract as a whole, through the crate's public surface.

mod corpus;
mod crash;
mod golden;
mod inspect;
mod local;
mod process;
mod simulation;

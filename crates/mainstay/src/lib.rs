//! Mainstay's binary as a library, so that tests and tools reach its parts: command line, configuration,
//! life of the process, API listener and telemetry.
//!
//! This is the composition root: the only crate that knows all rooms. It decides nothing that a room could.

pub mod api;
pub mod backups;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod life;
pub mod log;
mod node;
pub mod programs;
pub mod reload;
pub mod s3;
pub mod shards;
pub mod system;
pub mod telemetry;
pub mod tls;

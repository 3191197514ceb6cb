//! The durable record log of a shard: what everything durable is derived from.
//!
//! One operation carries it: an append that succeeds only at the next index. What a log promises, and why
//! nothing acknowledged is lost, is in `CONTRACT.md` beside this crate's manifest; its rules R1 to R17 are
//! what comments and tests here refer to.
//!
//! Owns the record's format ([`record`]), the decision which records count ([`accept`]), the port to engines
//! ([`Log`]) with one suite for all of them, the owner's side of the contract ([`writer`]) and the engines.
//! It never knows what records mean. No clock is read, and only the engine `postgres` needs an async runtime.

pub mod accept;
mod block_on;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
#[cfg(any(test, feature = "faulty"))]
pub mod faulty;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gather;
pub mod local;
mod log;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
mod rules;
mod waiters;
pub mod writer;

pub use error::{Act, Damage, Error, Place};
pub use log::{Appended, BoxFuture, Durability, Guarantees, Limits, Log, Tail};

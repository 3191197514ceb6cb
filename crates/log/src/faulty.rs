//! Engines and disks that fail as seldom things do, on purpose and repeatably: what simulations are made of.
//!
//! [`SimDisk`] is a directory in memory under the engine `local`: it knows which bytes a loss of power keeps. [`Faulty`]
//! wraps any engine: it delays, doubles, reorders and loses what goes to and fro, and shows records that a
//! crash then takes away. Both do the same for the same seed, and neither reads a clock: time is the number of steps
//! or of operations. [`without`] switches off one of the engine's safety rules, to prove that a test notices.
//!
//! Nothing here is part of a running system; the feature `faulty` compiles it.

mod disk;
mod engine;
mod random;

pub use self::disk::{Act, Fault, SimDisk, When};
pub use self::engine::{Faulty, Odds};
pub use self::random::Random;
pub use crate::rules::{Rule, without};

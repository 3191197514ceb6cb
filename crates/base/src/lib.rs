//! What every room of Mainstay shares: names, keys, time, units and problems.
//!
//! Pure values and small ports. This crate never does I/O, never reads a clock, draws no randomness of its
//! own and knows no HTTP type; time and entropy come in through [`time::Clock`] and [`time::Entropy`].

pub mod brief;
pub mod error;
pub mod hlc;
pub mod id;
pub mod key;
pub mod position;
pub mod problem;
pub mod reference;
pub mod switch;
pub mod time;
pub mod units;

mod text;

//! The lab: what every measurement of Mainstay needs, and the experiments that use it.
//!
//! It drives servers through their public surface only, as a user would, and reports what it saw together with
//! the doubts it has about it. Nothing that runs in production depends on it; the binary, the automation and
//! tests do.
//!
//! [`load`] makes requests, [`items`] says for which items, [`process`] watches who paid for them, [`stats`] says what the figures are worth,
//! [`plot`] and [`report`] write them down, [`duel`] compares servers fairly, [`mod@bench`] measures logs,
//! [`comparison`] judges for both, [`experiment`] asks one question each, [`answers`] brings what was found into pages;
//! `simulation` has clients and services in virtual time, for what no machine would show twice.

pub mod answers;
pub mod bench;
pub mod clock;
pub mod comparison;
pub mod duel;
pub mod experiment;
pub mod fetch;
pub mod items;
pub mod load;
pub mod plot;
pub mod process;
pub mod report;
mod simulation;
pub mod stats;

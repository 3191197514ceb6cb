//! The deterministic heart: a command and the state it finds give an outcome and the rows that change.
//!
//! Evaluation is a pure function ([`evaluate()`]). Whatever it depends on comes in: the rows through [`State`],
//! time and timeline in a [`Moment`], limits in [`Settings`], collections in [`Definitions`]. It does no I/O, reads no clock,
//! draws no randomness and iterates over nothing that has no order; so the same commands in the same order
//! give the same rows on every machine, in however many batches they arrive.
//!
//! What a batch carries are results ([`batch`]), not requests: reading them back needs none of this code.
//! Owns the rows' format ([`row`]), commands and outcomes, JSON as bytes ([`json`]), check expressions
//! ([`expression`]), what indexes are made of ([`index`]), what feeds tell ([`feed`]) and the port [`Shards`](shards::Shards) by which other rooms reach what is committed. It never
//! knows logs, stores, HTTP or a runtime.

pub mod batch;
mod codec;
pub mod collection;
pub mod command;
pub mod content;
pub mod definition;
pub mod evaluate;
pub mod expression;
pub mod feed;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod index;
pub mod item;
pub mod json;
pub mod outcome;
pub mod overlay;
pub mod position;
pub mod purge;
pub mod query;
pub mod reference;
pub mod row;
pub mod sample;
pub mod schema;
pub mod settings;
pub mod shards;
pub mod state;
pub mod task;
mod text;
pub mod usage;
pub mod version;

pub use collection::Collection;
pub use command::Command;
pub use definition::{Definition, Definitions};
pub use evaluate::{Context, Evaluated, Moment, evaluate};
pub use outcome::{Outcome, Refusal};
pub use overlay::{Mutation, Overlay};
pub use position::Position;
pub use settings::Settings;
pub use state::State;
pub use task::{Input, Task};
pub use version::Version;

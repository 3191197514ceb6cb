//! Policies that keep a call, its caller and what it calls healthy: one stack for every call that Mainstay makes or takes.
//!
//! Each policy is two things. Its *core* is a function of its state, an event and a moment that is given to it: it reads no clock, does no I/O,
//! and allocates nothing on the common path. Its *layer* is a [`tower_layer::Layer`] that asks the core and does what it says, around any service
//! that takes a [`Call`]: a request with what policies must know of it. The same rooms stand in every policy: the core and its `Config` in the
//! policy's own file, `layer`, `service`, `future`; those that are alike are in [`gate`] and [`either`].
//!
//! A stack begins with [`call::Layer`], which makes a [`Call`] of a request, and ends with [`call::Inner`], which gives the request to the service that is
//! guarded. All policies have one error, [`Error`]: the service's own, or the [`Rejection`] of a policy. What an answer means to them is told by a
//! [`Judge`].
//!
//! The crate knows neither HTTP nor shards: whoever uses it says where a deadline, a class or a key comes from.
//!
//! # A client
//!
#![doc = concat!("```text\n", include_str!("../examples/client.rs"), "```")]
//!
//! # A handler
//!
#![doc = concat!("```text\n", include_str!("../examples/handler.rs"), "```")]

pub mod adaptive;
pub mod breaker;
pub mod bulkhead;
pub mod call;
pub mod coalesce;
pub mod deadline;
pub mod either;
pub mod fallback;
pub mod fault;
pub mod gate;
pub mod hedge;
pub mod limit;
pub mod policy;
pub mod retry;
pub mod shed;

mod chance;
mod env;
mod error;
mod judge;
mod spare;
mod steps;
mod sync;
#[cfg(test)]
mod testing;
mod watch;

pub use call::{Call, Criticality, Facts, Key};
pub use env::{Env, TokioClock};
pub use error::{Error, Rejection};
pub use judge::{Classified, Judge, Verdict};
pub use watch::{Counts, Decision, Watch};

//! Coalescing: of equal calls at one time, one is made.
//!
//! A call with a key that another one is on its way with is not made: it waits for the same answer, or the same error. What is on its way is a *flight*. It
//! belongs to nobody: whoever waits drives it when it can go on, so that one that goes away, also the first, strands nobody. When all have gone away it is
//! dropped, as a call alone would be.
//!
//! A flight is over when its answer is there. Whoever comes after that starts another one: answers are shared, not kept.
//!
//! A flight has no deadline of its own, for it would be that of the first call: each call gives up by itself at its own. That says nothing of the service, which may
//! have been asked long before.

mod config;
mod flight;
mod flights;
mod future;
mod layer;
#[cfg(all(test, mainstay_loom))]
mod orders;
mod service;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use future::Future;
pub use layer::Layer;
pub use service::Service;

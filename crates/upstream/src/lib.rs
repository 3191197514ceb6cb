//! Services that Mainstay calls: their endpoints, the connections to them, and what guards them.
//!
//! A [`Service`] is what all callers of it share: its endpoints, whose turn it is, and the memory of its policy. A [`Worker`] is what one thread has: connections
//! of its own to each endpoint, so that a call is answered by the thread that makes it. [`Caller::call`] sends a [`Request`] by way of the policy.
//!
//! A connection to a service over HTTP/1.1 belongs to one call at a time and is driven by whoever waits for its answer, then by whoever reads the answer's body:
//! no task stands between the two. One over HTTP/2 has a task of its own.

pub mod body;
pub mod config;
mod error;
mod http1;
mod http2;
mod judge;
mod pool;
mod request;
mod service;
mod slow;
mod worker;

pub use body::{AnswerBody, Payload};
pub use config::Config;
pub use error::{Broken, Error};
pub use request::{Head, Request};
pub use service::Service;
pub use worker::{Answered, Caller, Worker};

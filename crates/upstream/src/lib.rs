//! Services that Mainstay calls: their endpoints, the connections to them, and what guards them.
//!
//! A [`Service`] is what all callers of it share: the [`Roster`](roster::Roster) of its endpoints with what is known of each, and the memory of its policy. A [`Worker`] is what one thread has: connections
//! of its own to each endpoint, so that a call is answered by the thread that makes it. [`Caller::call`] sends a [`Request`] by way of the policy.
//!
//! A connection to a service over HTTP/1.1 belongs to one call at a time and is driven by whoever waits for its answer, then by whoever reads the answer's body:
//! no task stands between the two. One over HTTP/2 has a task of its own.

pub mod balance;
pub mod body;
mod check;
mod choice;
pub mod config;
mod connection;
mod dial;
pub mod dns;
pub mod endpoint;
mod error;
mod http1;
mod http2;
mod judge;
mod latency;
pub mod leases;
pub mod outliers;
mod picture;
mod pool;
mod request;
mod room;
pub mod roster;
pub mod run;
mod service;
mod slow;
mod spot;
mod standing;
mod stream;
pub mod tcp;
pub mod tend;
mod ticket;
mod tls;
mod worker;

pub use body::{AnswerBody, Payload, Switched};
pub use choice::Choice;
pub use config::Config;
pub use connection::Connection;
pub use error::{Broken, Error};
pub use picture::Picture;
pub use request::{Head, Request};
pub use service::Service;
pub use spot::Opened;
pub use standing::State;
pub use stream::Stream;
pub use ticket::Running;
pub use worker::{Answered, Caller, Worker};

//! The gateway: what stands between clients and the application's services.
//!
//! A connection is accepted by one of the workers, each of which is one thread with its own runtime, listener and connections to services. Its bytes pass
//! [`head`], which refuses what two parsers could read differently, before hyper parses them. A request is matched by [`routes`] and passes the stages of its route.

pub mod accept;
pub mod access;
pub mod actions;
mod body;
pub mod book;
pub mod census;
mod choosing;
mod client;
pub mod coding;
pub mod config;
mod connection;
pub mod explanation;
mod forward;
pub mod forwarded;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod grpc;
pub mod head;
pub mod limits;
mod line;
pub mod listener;
pub mod meters;
mod mirror;
pub mod network;
mod noted;
mod pace;
pub mod path;
mod payload;
mod pipeline;
mod prefixed;
pub mod proxy_protocol;
pub mod routes;
pub mod server;
pub mod snapshot;
pub mod split;
mod stream;
pub mod tcp;
mod timeout;
pub mod tls;
mod watched;
mod worker;

//! Layers around services, on a clock that stands still until it is moved.

mod adaptive;
mod breaker;
mod bulkhead;
mod coalesce;
mod deadline;
mod examples;
mod fallback;
mod fault;
mod hedge;
mod limit;
mod policy;
mod retry;
mod shed;
mod world;

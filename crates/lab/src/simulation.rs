//! Simulations of calls and services in virtual time: what happens next is drawn from a seed, so that a run is the same on every machine.
//!
//! Policies take part as the cores that also run in production; here nothing waits and nobody reads a clock.

pub(crate) mod admission;
mod agenda;
pub(crate) mod balanced;
pub(crate) mod hedged;
pub(crate) mod places;
pub(crate) mod pooled;
mod random;
pub(crate) mod scaled;
mod server;
pub(crate) mod service;
pub(crate) mod tiers;

pub(crate) use agenda::Agenda;
pub(crate) use random::Random;
pub(crate) use server::{Offered, Server};

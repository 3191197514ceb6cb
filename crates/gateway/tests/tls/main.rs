//! TLS of a listener by its handshakes, which are made in memory.

mod clients;
mod handshakes;
mod mistakes;
mod names;
mod reload;
mod support;

//! Owners and stores through the crate's public surface.

mod store;

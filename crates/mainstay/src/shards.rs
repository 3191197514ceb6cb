//! The shards of this node: what they are told by the configuration.

pub mod config;

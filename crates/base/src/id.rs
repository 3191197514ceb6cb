//! Identifiers and names.
//!
//! Each is a checked newtype: a value that exists is well formed. Reading one from text or from a wire says
//! which character is wrong and where.

mod name;
mod request;

pub use name::{Name, NameError, NodeId, Tenant};
pub use request::{RequestId, RequestIdError};

//! Items under load: which item is asked for next, with which value, and Mainstay's own protocol for it.
//!
//! What is asked is the same whoever is asked: duels put it to other servers in their protocols.

mod fill;
mod http;
mod work;

pub use fill::fill;
pub use http::Http;
pub use work::{Hand, KEY_BYTES, Key, Operation, Task, VALUE_BYTES, Work};

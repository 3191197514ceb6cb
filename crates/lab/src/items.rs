//! Items under load: which item is asked for next, with which value, and Mainstay's own protocol for it.
//!
//! What is asked is the same whoever is asked: duels put it to other servers in their protocols. Experiments on collections ask for
//! documents, in a mix of reads and writes.

mod document;
mod fill;
mod http;
mod skew;
mod traffic;
mod work;

pub use document::{DOCUMENT_BYTES_MIN, Documents, GROUP_ITEMS, Shape};
pub use fill::fill;
pub use http::Http;
pub use skew::{Draw, Skew};
pub use traffic::{
    DOCUMENT_KEY_BYTES, Latencies, Mix, PARTITION_ITEMS, Storing, Traffic, Turn, document_key,
};
pub use work::{Hand, KEY_BYTES, Key, Operation, Task, VALUE_BYTES, Work};

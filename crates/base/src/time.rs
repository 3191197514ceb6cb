//! Time and entropy as values that come in from outside.
//!
//! Logic never reads a clock or draws randomness by itself: it is handed a [`Clock`] or an [`Entropy`], and
//! in tests and simulations a [`ManualClock`] or a [`SeededEntropy`]. Wall time ([`Timestamp`]) is what
//! people and records see, and may jump; deadlines and measurements use monotonic time ([`Instant`]).

mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod entropy;
mod instant;
mod timestamp;

pub use clock::{Clock, ManualClock};
pub use entropy::{Entropy, SeededEntropy};
pub use instant::Instant;
pub use timestamp::{ParseError, Timestamp};

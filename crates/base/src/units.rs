//! Durations, sizes and ratios as people write them: `"250ms"`, `"64KiB"`, `0.5`.
//!
//! A duration or a size is text with a unit everywhere (configuration, API, reports), never a bare number, so
//! that no reader has to guess the unit. What is displayed is always read back as the same value.

mod duration;
mod parse;
mod ratio;
mod size;

pub use duration::Duration;
pub use parse::ParseError;
pub use ratio::{OutOfRange, Ratio};
pub use size::Size;

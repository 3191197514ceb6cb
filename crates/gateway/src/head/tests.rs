//! Tests of the guard: tables of what passes and what is refused, and what holds for any bytes and any cuts.

mod bytes;
mod cases;
mod document;
mod generated;
mod reference;
mod states;
mod tolerant;

use super::Limits;
use crate::fuzz::{Outcome, feed};

fn whole(bytes: &[u8]) -> Outcome {
    feed(Limits::default(), [bytes])
}

fn byte_by_byte(bytes: &[u8]) -> Outcome {
    feed(Limits::default(), bytes.chunks(1))
}

//! What every answer about committed state says of itself, in headers: its position, and how durable and fresh it is.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use mainstay_machine::Position;
use mainstay_machine::shards::{Answer, Consistency, Reading};

use crate::terms::{CONSISTENCY, POSITION};

/// What an answered change, or the state that an answer shows, survives.
pub const DURABILITY: HeaderName = HeaderName::from_static("mainstay-durability");
/// How old the state that an answer shows may be.
pub const AGE: HeaderName = HeaderName::from_static("mainstay-age");
/// Whether the answer was given before, to an earlier request with the same key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The headers of a command's answer. What it tells of was the newest there was when it was made.
pub(crate) fn of_answer(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POSITION, position(&answer.position));
    headers.insert(DURABILITY, ascii(answer.durability.to_string()));
    headers.insert(CONSISTENCY, HeaderValue::from_static("linearizable"));
    headers.insert(AGE, HeaderValue::from_static("0s"));
    if answer.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    headers
}

/// The headers of a reading's answer.
pub(crate) fn of_reading<T>(reading: &Reading<T>) -> HeaderMap {
    let consistency = match &reading.consistency {
        Consistency::Linearizable => HeaderValue::from_static("linearizable"),
        Consistency::Session(_) => HeaderValue::from_static("session"),
        Consistency::Bounded(by) => ascii(format!("bounded={by}")),
        Consistency::Eventual => HeaderValue::from_static("eventual"),
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POSITION, position(&reading.position));
    headers.insert(CONSISTENCY, consistency);
    headers.insert(AGE, ascii(reading.age.to_string()));
    headers.insert(DURABILITY, ascii(reading.durability.to_string()));
    headers
}

fn position(position: &Position) -> HeaderValue {
    ascii(position.to_string())
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("words, positions and durations are visible ASCII")
}

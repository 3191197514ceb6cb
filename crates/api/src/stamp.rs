//! What every answer about committed state says of itself, in headers: its position, and how durable and fresh it is.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use mainstay_base::units::Duration;
use mainstay_machine::shards::{Answer, Consistency, Reading};

use crate::answer::header;
use crate::terms::{CONSISTENCY, POSITION};

/// What an answered change, or the state that an answer shows, survives.
pub const DURABILITY: HeaderName = HeaderName::from_static("mainstay-durability");
/// How old the state that an answer shows may be.
pub const AGE: HeaderName = HeaderName::from_static("mainstay-age");
/// Whether the answer was given before, to an earlier request with the same key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const NO_AGE: HeaderValue = HeaderValue::from_static("0s");

/// The headers of a command's answer. What it tells of was the newest there was when it was made.
pub(crate) fn of_answer(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POSITION, header(&answer.position));
    headers.insert(DURABILITY, HeaderValue::from_static(answer.durability.as_str()));
    headers.insert(CONSISTENCY, HeaderValue::from_static("linearizable"));
    headers.insert(AGE, NO_AGE);
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
        Consistency::Bounded(by) => header(format_args!("bounded={by}")),
        Consistency::Eventual => HeaderValue::from_static("eventual"),
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POSITION, header(&reading.position));
    headers.insert(CONSISTENCY, consistency);
    headers.insert(AGE, if reading.age == Duration::ZERO { NO_AGE } else { header(reading.age) });
    headers.insert(DURABILITY, HeaderValue::from_static(reading.durability.as_str()));
    headers
}

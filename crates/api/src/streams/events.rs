//! Server-sent events (HTML, section 9.2), as all streams have them.

use std::convert::Infallible;
use std::fmt::Write;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::Stream;

use mainstay_base::units::Duration;

/// The media type of a stream of events (HTML, section 9.2.5).
pub const EVENT_STREAM: &str = "text/event-stream";

/// How long a caller may take nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks proxies not to collect what is sent.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether a request asks for a stream.
pub fn are_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|media_type| {
        media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENT_STREAM)
    })
}

/// The answer that is this stream.
pub fn answer(chunks: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Writes an event, with an id if a reader can go on from there. Values are JSON as it was sent, in which only the space between tokens can have lines.
pub fn write(out: &mut String, kind: &str, id: Option<&str>, data: &str) {
    let data = data.replace(['\r', '\n'], " ");
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    write!(out, "event: {kind}\n{id}data: {data}\n\n").expect("writing to a string does not fail");
}

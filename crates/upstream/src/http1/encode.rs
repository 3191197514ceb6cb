//! Requests as they are written.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, Method};
use mainstay_resilience::Facts;

use crate::request::{ATTEMPT, Head, TIMEOUT};

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// There is no body.
    None,
    /// So many bytes.
    Exact(u64),
    /// In chunks.
    Chunked,
}

/// Of the single connection or of the framing, which are written anew.
fn is_own(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::CONTENT_LENGTH
            | header::UPGRADE
            | header::TE
    ) || *name == TIMEOUT
        || *name == ATTEMPT
}

/// Writes a head, with the endpoint for a host where the client has named none: HTTP/1.1 requires one (RFC 9112, section 3.2).
pub(super) fn head(out: &mut BytesMut, head: &Head, facts: &Facts, length: Length, endpoint: SocketAddr) {
    out.reserve(512);
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.headers {
        if !is_own(name) {
            field(out, name, value.as_bytes());
        }
    }
    if !head.headers.contains_key(header::HOST) {
        field(out, &header::HOST, endpoint.to_string().as_bytes());
    }
    match length {
        // A method that usually has a body says that it has none (RFC 9110, section 8.6).
        Length::None if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.put_slice(b"content-length: 0\r\n");
        }
        Length::None => {}
        Length::Exact(bytes) => number(out, &header::CONTENT_LENGTH, bytes, b""),
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    if let Some(protocol) = &head.upgrade {
        out.put_slice(b"connection: upgrade\r\n");
        field(out, &header::UPGRADE, protocol.as_bytes());
    }
    if let Some(rest_ms) = facts.rest_ms(facts.now) {
        number(out, &TIMEOUT, rest_ms, b"ms");
    }
    if facts.attempt > 1 {
        number(out, &ATTEMPT, facts.attempt.into(), b"");
    }
    out.put_slice(b"\r\n");
}

fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn number(out: &mut BytesMut, name: &HeaderName, number: u64, unit: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    digits(out, number, 10);
    out.put_slice(unit);
    out.put_slice(b"\r\n");
}

fn digits(out: &mut BytesMut, mut number: u64, base: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[first..]);
}

/// What stands before and after a chunk, which is not empty.
pub(super) fn chunk_size(out: &mut BytesMut, bytes: usize) {
    digits(out, bytes as u64, 16);
    out.put_slice(b"\r\n");
}

/// What stands after a chunk's data.
pub(super) const CHUNK_END: Bytes = Bytes::from_static(b"\r\n");

/// Writes the end of a body in chunks.
pub(super) fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name, value.as_bytes());
    }
    out.put_slice(b"\r\n");
}

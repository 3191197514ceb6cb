//! Which answers are compressed, and what that does to their headers.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;

use super::accept::{Negotiated, has_no_transform, items};
use super::background::Background;
use super::compressed::Compressed;
use super::config::Compression;
use super::digest;
use super::encode::How;

/// An answer as the client of a request is sent it.
///
/// What would be coded for some client varies by `Accept-Encoding`, also where it is not coded for this one. What is coded loses its length, its ranges and its digests, and a
/// strong `ETag` becomes weak (RFC 9110, section 8.8.1): these bytes are not those that it was given for. HEAD is answered with the headers of GET but for the length; and 304 with
/// the `ETag` that the client has.
pub fn compress<B: Body<Data = Bytes> + Unpin>(
    answer: Response<B>,
    negotiated: &Negotiated,
    config: &Compression,
    background: &Background,
) -> Response<Compressed<B>> {
    let (mut parts, body) = answer.into_parts();
    let length = length(&parts.headers, &body, negotiated);
    let coding = match standing(parts.status, &parts.headers, length, negotiated, config) {
        Standing::Other => None,
        Standing::Unchanged => {
            vary(&mut parts.headers);
            weaken_held(&mut parts.headers, negotiated);
            None
        }
        Standing::Eligible => {
            vary(&mut parts.headers);
            negotiated.coding
        }
    };
    let Some(coding) = coding else { return Response::from_parts(parts, Compressed::plain(body)) };
    let headers = &mut parts.headers;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    digest::remove(headers);
    weaken(headers);
    let body = if negotiated.method == Method::HEAD {
        Compressed::plain(body)
    } else {
        Compressed::coded(body, How::new(coding, config.level, length), background)
    };
    Response::from_parts(parts, body)
}

/// How an answer stands to compression.
enum Standing {
    /// No client is sent it coded.
    Other,
    /// It has no body, and speaks of one that may have been sent coded.
    Unchanged,
    /// It is coded for who accepts that.
    Eligible,
}

fn standing(
    status: StatusCode,
    headers: &HeaderMap,
    length: Option<u64>,
    negotiated: &Negotiated,
    config: &Compression,
) -> Standing {
    let has_body = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        )
        && negotiated.method != Method::CONNECT;
    let is_left = headers.contains_key(CONTENT_ENCODING)
        || headers.contains_key(CONTENT_RANGE)
        || negotiated.is_kept
        || has_no_transform(headers);
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let has_type = |text: &str| config.types.iter().any(|range| range.takes(text));
    if status == StatusCode::NOT_MODIFIED && !is_left && content_type.is_none_or(has_type) {
        return Standing::Unchanged;
    }
    let is_worth_it = content_type.is_some_and(has_type) && length.is_none_or(|it| it >= config.min.bytes());
    let is_empty = length == Some(0);
    if has_body && !is_left && !is_empty && (is_worth_it || negotiated.is_identity_refused) {
        Standing::Eligible
    } else {
        Standing::Other
    }
}

/// How many bytes the answer to GET has, where it says so.
fn length(headers: &HeaderMap, body: &impl Body, negotiated: &Negotiated) -> Option<u64> {
    let said = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if negotiated.method == Method::HEAD {
        return said;
    }
    said.or_else(|| body.size_hint().exact()).or_else(|| body.is_end_stream().then_some(0))
}

fn vary(headers: &mut HeaderMap) {
    let has =
        items(headers, VARY).any(|item| item == "*" || item.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()));
    if !has {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

fn weaken(headers: &mut HeaderMap) {
    if let Some(weak) = headers.get(ETAG).and_then(weak) {
        headers.insert(ETAG, weak);
    }
}

/// The weak form of a strong version.
fn weak(strong: &HeaderValue) -> Option<HeaderValue> {
    let bytes = strong.as_bytes();
    if bytes.starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", bytes].concat()).ok()
}

/// A cache has the version that it was sent: a strong one would not be taken for that (RFC 9111, section 4.3.4).
fn weaken_held(headers: &mut HeaderMap, negotiated: &Negotiated) {
    let Some(weak) = headers.get(ETAG).and_then(weak) else { return };
    let holds = |line: &HeaderValue| memchr::memmem::find(line.as_bytes(), weak.as_bytes()).is_some();
    if negotiated.held.iter().any(holds) {
        headers.insert(ETAG, weak);
    }
}

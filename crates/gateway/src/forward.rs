//! From a client's request to a service's, and from a service's answer to a client's.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::request::Parts;
use http::{Response, StatusCode, Uri, Version};
use http_body::Body as _;
use mainstay_base::error::{Classify, Code};
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;
use mainstay_resilience::fault::Slow;
use mainstay_upstream::{AnswerBody, Choice, Head, Payload, Switched};

use crate::body::Body;
use crate::coding;
use crate::head::Refusal;
use crate::noted::{Note, Noted};

/// The request as it is sent to a service.
pub(crate) fn request(
    parts: Parts,
    payload: Payload,
    choice: Choice,
    may_switch: bool,
) -> mainstay_upstream::Request {
    let Parts { method, uri, headers, .. } = parts;
    // Behind a head that asks for another protocol some read no body any more, but that protocol; none has to be offered (RFC 9110, section 7.8).
    let may_switch = may_switch && matches!(payload, Payload::Empty);
    let upgrade = if may_switch { headers.get(UPGRADE).cloned() } else { None };
    mainstay_upstream::Request {
        head: Arc::new(Head { method, uri: target(uri), headers, upgrade, choice }),
        payload,
    }
}

/// Path and query of a target, which may have neither in the absolute form.
fn target(uri: Uri) -> Uri {
    match uri.into_parts().path_and_query {
        // A service is sent no query without a path (RFC 9112, section 3.2.1).
        Some(target) if target.as_str().starts_with('?') => {
            // Displayed, it has its slash.
            target.to_string().try_into().expect("a slash and a query are a target")
        }
        Some(target) => Uri::from(target),
        None => Uri::from_static("/"),
    }
}

/// Takes out what `Connection` names, and what is of the single connection without being named there (RFC 9110, section 7.6.1). Connections and framings themselves are made
/// anew by whoever sends. Returns which headers the request has of those that are looked at.
pub(crate) fn strip(headers: &mut HeaderMap) -> Noted {
    let mut noted = Noted::of(headers);
    if noted.has(Note::Connection) {
        let names_others = |value: &&HeaderValue| {
            !matches!(value.as_bytes(), b"keep-alive" | b"close" | b"upgrade" | b"Upgrade")
        };
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter(names_others)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // What it offers is passed on where it may be, and nowhere else.
            .filter(|name| *name != UPGRADE)
            .collect();
        let names_any = !named.is_empty();
        for name in named {
            headers.remove(name);
        }
        if names_any {
            noted = Noted::of(headers);
        }
    }
    // Whoever asked for 100 (Continue) has been told it when its body was read.
    for note in [Note::KeepAlive, Note::ProxyConnection, Note::ProxyAuthorization, Note::Expect] {
        noted.remove(headers, note);
    }
    noted
}

/// The answer as it is sent to the client.
pub(crate) fn answer(mut answer: Response<AnswerBody>, slow: Option<Slow>) -> Response<Body> {
    // What the service speaks is between the two of us.
    *answer.version_mut() = Version::default();
    answer.map(|body| match slow {
        None => Body::answer(body),
        Some(slow) => Body::answer(body.slowed(slow)),
    })
}

/// Takes the service's connection out of an answer by which it speaks another protocol, where the client's may too.
pub(crate) fn switch(answer: &mut Response<Body>, may_switch: bool) -> Option<Switched> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    let body = std::mem::replace(answer.body_mut(), Body::whole(""));
    let Some(switched) = body.switched().filter(|_| may_switch) else {
        let detail = "the service switched to another protocol, which it was not asked for";
        *answer = told(&Problem::new(Code::BadGateway, detail));
        return None;
    };
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    Some(switched)
}

/// Has `Host` say what the target does, where that names a host: over HTTP/2, and in the absolute form (RFC 9112, section 3.2.2).
pub(crate) fn name_host(request: &mut Parts) {
    if let Some(authority) = request.uri.authority() {
        let host = authority.as_str().try_into().expect("an authority is visible ASCII");
        request.headers.insert(HOST, host);
    }
}

/// Has the service see the path in its normal form. Errors: it is longer than a target may be.
pub(crate) fn set_path(request: &mut Parts, path: &str) -> Result<(), Problem> {
    let target = match request.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let long = |_| Problem::new(Code::UriTooLong, "the path is too long in its normal form");
    let mut parts = std::mem::take(&mut request.uri).into_parts();
    parts.path_and_query = Some(target.try_into().map_err(long)?);
    request.uri = Uri::from_parts(parts).expect("its other parts were a target's");
    Ok(())
}

/// What is told instead of an answer of the service.
pub(crate) fn problem(error: &(impl Classify + std::fmt::Display)) -> Response<Body> {
    told(&Problem::of(error))
}

/// What is told whose body is refused.
pub(crate) fn refused(refusal: &coding::Refusal) -> Response<Body> {
    let mut answer = problem(refusal);
    if let Some(accepted) = refusal.accept_encoding() {
        answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
    }
    answer
}

/// A problem as an answer. It goes along with it, for those to whom it is told in another form.
pub(crate) fn told(problem: &Problem) -> Response<Body> {
    let document = serde_json::to_vec(problem).expect("a problem is plain data");
    let mut answer = Response::new(Body::whole(document));
    *answer.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
    if let Some(after) = problem.retry().after() {
        headers.insert(RETRY_AFTER, after.as_secs_up().into());
    }
    answer.extensions_mut().insert(problem.clone());
    answer
}

/// What a client is told that is one too many: the whole answer, as HTTP/1.1.
pub(crate) fn full(connections_max: NonZeroU32) -> Bytes {
    let detail =
        format!("{connections_max} connections are open, and no more may be: `gateway.connections.max`");
    let problem = Problem::new(Code::Overloaded, detail);
    let body = serde_json::to_string(&problem).expect("a problem is plain data");
    let (kind, bytes) = (Problem::CONTENT_TYPE, body.len());
    let after = problem.retry().after().map_or(1, Duration::as_secs_up);
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {kind}\r\ncontent-length: {bytes}\r\nretry-after: {after}\r\nconnection: close\r\n\r\n{body}"
    )
    .into()
}

/// Takes the body out of an answer to HEAD, and leaves its length.
pub(crate) fn withhold(answer: &mut Response<Body>) {
    let body = std::mem::replace(answer.body_mut(), Body::whole(""));
    if let Some(bytes @ 1..) = body.size_hint().exact() {
        answer.headers_mut().entry(CONTENT_LENGTH).or_insert(bytes.into());
    }
}

/// What a client is told of a request over HTTP/2 that is refused.
pub(crate) fn refused_stream(refusal: Refusal) -> Response<Body> {
    let mut answer = Response::new(Body::whole(format!("{refusal}\n")));
    *answer.status_mut() = refusal.reason.status();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

/// Has cookies that came in pieces, as HTTP/2 lets them, be one header again: other readers take the first (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&pieces.join(&b"; "[..])).expect("pieces of values are a value");
    headers.insert(COOKIE, joined);
}

/// What a client is told whose bytes are refused: the whole answer, as HTTP/1.1.
pub(crate) fn refusal(refusal: Refusal) -> Bytes {
    last(refusal.reason.status(), &format!("{refusal}\n"))
}

/// What a client is told whose request does not come in time: the whole answer, as HTTP/1.1.
pub(crate) fn late() -> Bytes {
    last(StatusCode::REQUEST_TIMEOUT, "The head of the request did not come within `gateway.patience`\n")
}

fn last(status: StatusCode, body: &str) -> Bytes {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (head + body).into()
}

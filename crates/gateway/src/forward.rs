//! From a client's request to a service's, and from a service's answer to a client's.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mainstay_base::error::{Classify, Code};
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;
use mainstay_upstream::{AnswerBody, Error, Head, Payload};

use crate::body::Body;
use crate::head::Refusal;
use crate::line::Switched;

/// The largest body that is taken in before it is sent on, so that it can be sent again.
const KEPT_BODY_BYTES_MAX: u64 = 16 << 10;

/// The request as it is sent to a service. Errors: its body did not arrive.
pub(crate) async fn request(
    request: Request<Incoming>,
    may_switch: bool,
) -> Result<mainstay_upstream::Request, Error> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let upgrade = headers.get(UPGRADE).filter(|_| may_switch).cloned();
    let uri = match parts.uri.into_parts().path_and_query {
        Some(target) => Uri::from(target),
        None => Uri::from_static("/"),
    };
    let payload = payload(body).await?;
    let head = Arc::new(Head { method: parts.method, uri, headers, upgrade });
    Ok(mainstay_upstream::Request { head, payload })
}

async fn payload(body: Incoming) -> Result<Payload, Error> {
    if body.is_end_stream() {
        return Ok(Payload::Empty);
    }
    if body.size_hint().exact().is_some_and(|bytes| bytes <= KEPT_BODY_BYTES_MAX) {
        let whole = body.collect().await.map_err(|_| Error::Body)?;
        return Ok(Payload::Whole(whole.to_bytes()));
    }
    Ok(Payload::once(Arriving(body)))
}

/// A client's body, as it comes.
struct Arriving(Incoming);

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(context).map_err(|_| Error::Body)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Takes out what `Connection` names, and what is of the single connection without being named there (RFC 9110, section 7.6.1). Connections and framings themselves are made
/// anew by whoever sends.
pub(crate) fn strip(headers: &mut HeaderMap) {
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
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authorization"] {
        headers.remove(name);
    }
}

/// The answer as it is sent to the client.
pub(crate) fn answer(mut answer: Response<AnswerBody>) -> Response<Body> {
    // What the service speaks is between the two of us.
    *answer.version_mut() = Version::default();
    answer.map(Body::answer)
}

/// Takes the service's connection out of an answer by which it speaks another protocol, where the client's may too.
pub(crate) fn switch(answer: &mut Response<Body>, may_switch: bool) -> Option<Switched> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    let body = std::mem::replace(answer.body_mut(), Body::whole(""));
    let Some((stream, said)) = body.switched().filter(|_| may_switch) else {
        let detail = "the service switched to another protocol, which it was not asked for";
        *answer = told(&Problem::new(Code::BadGateway, detail));
        return None;
    };
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    Some(Switched { stream, said })
}

/// Has `Host` say what the target does, where that names a host: over HTTP/2, and in the absolute form (RFC 9112, section 3.2.2).
pub(crate) fn name_host(request: &mut Request<Incoming>) {
    if let Some(authority) = request.uri().authority() {
        let host = authority.as_str().try_into().expect("an authority is visible ASCII");
        request.headers_mut().insert(HOST, host);
    }
}

/// Has the service see the path in its normal form.
pub(crate) fn set_path(request: &mut Request<Incoming>, path: &str) {
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.path_and_query = target.try_into().ok();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// What is told instead of an answer of the service.
pub(crate) fn problem(error: &(impl Classify + std::fmt::Display)) -> Response<Body> {
    told(&Problem::new(error.code(), error.to_string()))
}

/// A problem as an answer.
pub(crate) fn told(problem: &Problem) -> Response<Body> {
    let document = serde_json::to_vec(problem).expect("a problem is plain data");
    let mut answer = Response::new(Body::whole(document));
    *answer.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
    if let Some(after) = problem.retry().after() {
        headers.insert(RETRY_AFTER, after.as_secs_up().into());
    }
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

/// What a client is told whose bytes are refused: the whole answer, as HTTP/1.1.
pub(crate) fn refusal(refusal: Refusal) -> Bytes {
    let status = refusal.reason.status();
    let body = format!("{refusal}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

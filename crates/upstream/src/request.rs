//! What is sent to a service.

use std::sync::Arc;

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri};
use mainstay_resilience::Facts;

use crate::body::{Payload, RequestBody};
use crate::choice::Choice;
use crate::error::Error;

/// A request to a service. A clone is the same request once more; a body that is not kept goes with the first of them that is sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// The head.
    pub head: Arc<Head>,
    /// The body.
    pub payload: Payload,
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target: path and query. What is sent over HTTP/2 has scheme and authority besides.
    pub uri: Uri,
    /// The headers. Those of the connection and of the framing are not sent on, but made anew.
    pub headers: HeaderMap,
    /// The protocol that is asked for instead of HTTP, over HTTP/1.1.
    pub upgrade: Option<HeaderValue>,
    /// What its endpoint is chosen by.
    pub choice: Choice,
}

/// How long the whole may still take, as a [`Duration`](mainstay_base::units::Duration).
pub const TIMEOUT: http::HeaderName = http::HeaderName::from_static("mainstay-timeout");

/// Which try it is, from 2 on.
pub const ATTEMPT: http::HeaderName = http::HeaderName::from_static("mainstay-attempt");

impl Request {
    /// The request as it goes over HTTP/2: with what is left of its time, and which try it is. Errors: [`Error::BodySpent`].
    pub(crate) fn over_http2(&self, facts: &Facts) -> Result<http::Request<RequestBody>, Error> {
        let mut request = http::Request::new(self.payload.take()?);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        let headers = request.headers_mut();
        for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, ATTEMPT] {
            headers.remove(name);
        }
        // The one thing that may be said over HTTP/2, and that gRPC says.
        if headers.get(TE).is_some_and(|value| value != "trailers") {
            headers.remove(TE);
        }
        if let Some(rest_ms) = facts.rest_ms(facts.now) {
            let rest = format!("{rest_ms}ms").try_into().expect("digits and letters");
            headers.insert(TIMEOUT, rest);
        }
        if facts.attempt > 1 {
            headers.insert(ATTEMPT, facts.attempt.into());
        }
        Ok(request)
    }
}

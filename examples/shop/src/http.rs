//! HTTP as the services of the shop speak it to each other and to Mainstay: plain requests with a deadline that is passed on.
//!
//! A request that got no whole answer in time is an [`Error`], and may have happened all the same. Whoever sends says by the
//! nature of the request whether it can be sent again; nothing is repeated here.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long the client of the whole operation waits, in milliseconds; the gateway sends what is left, and so does this client.
pub const TIMEOUT: HeaderName = HeaderName::from_static("mainstay-timeout");

/// Names a request that may be sent again: the same key is the same request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// No service of the shop answers with more.
const BODY_MAX: usize = 16 << 20;

/// The moment from which on an answer is of no use.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The deadline of a request: what its `Mainstay-Timeout` has left, as whole or broken milliseconds or seconds, and at most `time`.
    #[must_use]
    pub fn of(headers: &HeaderMap, time: Duration) -> Self {
        let told = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()).and_then(duration);
        Self::after(told.map_or(time, |told| told.min(time)))
    }
}

/// `250ms`, `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix("us") {
        (number, 0.000_001)
    } else {
        (text.strip_suffix('s')?, 1.0)
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

/// Why there is no answer. Of all but [`Error::NotSent`] it is not known whether the request happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not sent: nobody listens, or no time was left.
    #[error("{method} {url} was not sent: {reason}")]
    NotSent {
        /// The method.
        method: Method,
        /// Where it was to go.
        url: String,
        /// What is in the way.
        reason: String,
    },
    /// The answer did not come, or not whole.
    #[error("{method} {url} has no answer: {reason}")]
    NoAnswer {
        /// The method.
        method: Method,
        /// Where it went.
        url: String,
        /// What has happened.
        reason: String,
    },
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; none if it is none of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `code` of a problem document; empty if it is none.
    #[must_use]
    pub fn code(&self) -> String {
        let text = |problem: serde_json::Value| problem["code"].as_str().map(str::to_owned);
        self.json().and_then(text).unwrap_or_default()
    }
}

/// A request without a place to go to yet.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A request for `path`, which begins with `/` and may have a query.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With a header. Panics if the value is none that a header can have.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("values are ids and words of the shop's own");
        self.headers.insert(name, value);
        self
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.method == Method::GET
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("documents of the shop are JSON");
        self.bytes("application/json", body)
    }

    /// With a body of this content type.
    #[must_use]
    pub fn bytes(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert("content-type", HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }
}

/// A client of one server, with connections that are kept. Clones share them.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of `base`, such as `http://127.0.0.1:7070`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Self { base: base.trim_end_matches('/').to_owned(), inner }
    }

    /// Sends a request and reads its answer to the end, whatever its status.
    pub async fn send(&self, call: Call, deadline: Deadline) -> Result<Answer, Error> {
        let (method, url) = (call.method.clone(), self.url(&call));
        let whole = async {
            let (head, body) = self.open(call, deadline).await?.into_parts();
            let no_answer =
                |reason: String| Error::NoAnswer { method: method.clone(), url: url.clone(), reason };
            let body = Limited::new(body, BODY_MAX).collect().await;
            let body = body.map_err(|error| no_answer(error.to_string()))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        // A little more than the other side is told, so that it is the one to say that time is over.
        let patience = deadline.left() + Duration::from_millis(50);
        match tokio::time::timeout(patience, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::NoAnswer { method, url, reason: "the deadline has passed".to_owned() }),
        }
    }

    /// Sends a request and returns its answer with the body still to be read, for streams. The deadline holds until the head is there.
    pub async fn open(&self, call: Call, deadline: Deadline) -> Result<Response<Incoming>, Error> {
        let (method, url) = (call.method.clone(), self.url(&call));
        let not_sent = |reason: String| Error::NotSent { method: method.clone(), url: url.clone(), reason };
        let left = deadline.left();
        if left.is_zero() {
            return Err(not_sent("the deadline has passed".to_owned()));
        }
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = url.parse().map_err(|_| not_sent("it is no address".to_owned()))?;
        *request.headers_mut() = call.headers;
        let told =
            HeaderValue::from_str(&format!("{}ms", left.as_millis().max(1))).expect("a number and a unit");
        request.headers_mut().insert(TIMEOUT, told);
        let answer =
            tokio::time::timeout(left + Duration::from_millis(50), self.inner.request(request)).await;
        let no_answer = |reason: String| Error::NoAnswer { method: method.clone(), url: url.clone(), reason };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() => Err(not_sent(reason(&error))),
            Ok(Err(error)) => Err(no_answer(reason(&error))),
            Err(_) => Err(no_answer("the deadline has passed".to_owned())),
        }
    }

    fn url(&self, call: &Call) -> String {
        format!("{}{}", self.base, call.path)
    }
}

/// An error with what is behind it.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A segment of a path or a value of a query, with all bytes encoded that mean something there.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_what_the_request_has_left_and_never_more_than_ours() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(TIMEOUT, HeaderValue::from_static(value))]);
        let left = |value| Deadline::of(&headers(value), Duration::from_secs(2)).left();
        assert!(left("250ms") <= Duration::from_millis(250) && left("250ms") > Duration::from_millis(150));
        assert!(left("1.5s") > Duration::from_secs(1));
        assert!(
            left("1h") > Duration::from_secs(1) && left("60s") <= Duration::from_secs(2),
            "ours is shorter"
        );
        assert!(left("soon") > Duration::from_secs(1), "what cannot be read counts for nothing");
    }

    #[test]
    fn what_means_something_in_a_path_is_encoded() {
        assert_eq!(encoded("a/b ü?~"), "a%2Fb%20%C3%BC%3F~");
    }
}

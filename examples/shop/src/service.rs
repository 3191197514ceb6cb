//! What all services of the shop share: where they listen, what they are told by their environment, how they end, and how they
//! say that something is wrong.
//!
//! Mainstay starts them and tells each its `PORT`, the API and the gateway. On SIGTERM a service answers what it has and ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::http::Client;
use crate::mainstay::{self, Mainstay};

/// How long a request may take for which nobody says less.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Where a service is, as its environment says.
#[derive(Debug, Clone)]
pub struct Home {
    /// The port to listen on.
    pub port: u16,
    /// Mainstay's API.
    pub api: Mainstay,
    /// The gateway, by which the services reach each other.
    pub gateway: Client,
}

impl Home {
    /// From `PORT`, `MAINSTAY_API` and `MAINSTAY_GATEWAY`. Errors: which one is missing, and how to have it.
    pub fn from_environment() -> Result<Self> {
        let told = |name: &str| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set: Mainstay sets it for the programs that it runs, see examples/shop/mainstay.yaml")
            })
        };
        let port = told("PORT")?.parse().context("PORT is no port")?;
        Ok(Self {
            port,
            api: Mainstay::new(&told("MAINSTAY_API")?),
            gateway: Client::new(&told("MAINSTAY_GATEWAY")?),
        })
    }

    /// Serves `routes` and `/health` until SIGTERM or SIGINT.
    pub async fn serve(&self, routes: Router) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let routes = routes.route("/health", get(async || "ok"));
        axum::serve(listener, routes).with_graceful_shutdown(told_to_end()?).await.context("serve")
    }
}

/// A line of Mainstay's log, with the service's name and the number of the instance.
#[expect(clippy::print_stderr, reason = "what a program writes there are lines of Mainstay's log")]
pub fn log(line: &str) {
    eprintln!("{line}");
}

/// Milliseconds since 1970, as this machine's clock has them: for people and for patience, never for order.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The id of the customer whose cookie this is. The cookie is a secret, the id stands in paths, orders and log lines.
#[must_use]
pub fn customer_of(cookie: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, cookie.as_bytes());
    let digits: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("c-{digits}")
}

/// An id that nobody has had and nobody guesses: 128 random bits.
#[must_use]
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system that this runs on has randomness");
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Ends with the next SIGTERM or SIGINT. What a service would otherwise do for long, such as a stream, ends with it.
pub fn told_to_end() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// `routes`, of which paths and methods that there are not are answered by problems as well.
pub fn with_problems(routes: Router) -> Router {
    let no_path = async |uri: Uri| Problem::not_found(format!("nothing is at {}", uri.path()));
    let no_method = async |method: Method, uri: Uri| {
        let detail = format!("{method} is not taken at {}: `Allow` has what is", uri.path());
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    };
    routes.fallback(no_path).method_not_allowed_fallback(no_method)
}

/// The JSON body of a request. One that is of another shape is answered by a problem that says where.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|error| Problem::new(error.status(), "invalid", error.body_text()))?;
        let wrong = |error| Problem::invalid(format!("the body is not what is taken here: {error}"));
        serde_json::from_slice(&body).map(Self).map_err(wrong)
    }
}

/// Why a request is not answered as it was meant: a problem document (RFC 9457) with a `code` that a program can go by.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    facts: Value,
}

impl Problem {
    /// A problem. The detail names the thing and what to do.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), facts: json!({}) }
    }

    /// With facts for programs, an object.
    #[must_use]
    pub fn with(mut self, facts: Value) -> Self {
        self.facts = facts;
        self
    }

    /// Something has no such name.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// What was sent is not what is taken.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// It contradicts what has happened already.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }
}

/// Nothing was done, or it is not known: both are told in the way that the gateway's policies and callers go by.
impl From<mainstay::Error> for Problem {
    fn from(error: mainstay::Error) -> Self {
        match error {
            mainstay::Error::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
            }
            mainstay::Error::Unknown(_) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", error.to_string())
            }
            mainstay::Error::Refused { .. } | mainstay::Error::Unexpected(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:shop:problem:{}", self.code),
            "title": self.code.replace('_', " "),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let (Some(body), Value::Object(facts)) = (body.as_object_mut(), self.facts) {
            body.extend(facts);
        }
        let mut answer = (self.status, Json(body)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        answer.headers_mut().insert(header::CONTENT_TYPE, problem);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

/// An id that a caller chooses: up to 128 letters, digits, `-`, `_` and `.`, so that it can be a segment of a key and of a path.
pub fn id(what: &str, id: &str) -> Result<(), Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=128).contains(&id.len()) && id.bytes().all(fits) && !id.bytes().all(|byte| byte == b'.') {
        return Ok(());
    }
    let detail = format!("{what} {id:?} is no id: use 1 to 128 letters, digits, `-`, `_` and `.`");
    Err(Problem::invalid(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_does_not_tell_its_cookie() {
        let one = customer_of("c-1");
        assert_eq!((one.len(), one.clone()), (34, customer_of("c-1")));
        assert!(id("the customer", &one).is_ok() && one != customer_of("c-2"));
    }

    #[test]
    fn ids_are_segments() {
        for fine in ["o-1", "A.b_c", &"x".repeat(128)] {
            assert!(id("order", fine).is_ok(), "{fine}");
        }
        for wrong in ["", "a/b", "ü", "..", "a b", &"x".repeat(129)] {
            assert!(id("order", wrong).is_err(), "{wrong:?}");
        }
    }
}

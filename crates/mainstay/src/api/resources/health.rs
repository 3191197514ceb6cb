//! Liveness and readiness, for probes.

use axum::body::Body;
use axum::extract;
use axum::http::Response;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;

use mainstay_api::answer::{self, Failure};
use mainstay_base::error::{Code, Retry};
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;

use crate::api::Context;
use crate::life::ready::State;

/// The process answers. Says nothing about whether it should get traffic.
pub async fn live() -> Response<Body> {
    let mut response = Response::new(Body::from("{\"status\":\"live\"}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Every part that was asked for is up; 503 with the state of each while one is not.
pub async fn ready(extract::State(context): extract::State<Context>) -> Result<Response<Body>, Failure> {
    let (ready, parts) = context.readiness.report();
    if ready {
        return Ok(answer::json(&json!({ "status": "ready", "parts": parts })));
    }
    let waiting = parts.iter().filter(|it| it.state != State::Ready).map(|it| match &it.reason {
        Some(reason) => format!("{} ({reason})", it.name),
        None => it.name.to_owned(),
    });
    let detail = format!("not ready: {}", waiting.collect::<Vec<_>>().join(", "));
    let problem = Problem::new(Code::Unavailable, detail).fact("parts", json!(parts));
    Err(problem.retry_with(Retry::After(Duration::from_secs(1))).into())
}

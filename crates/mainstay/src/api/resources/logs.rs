//! Log levels at run time.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;

use crate::api::Context;
use crate::telemetry::logs::Override;

/// The levels in force.
pub async fn show(State(context): State<Context>) -> Response<Body> {
    answer::json(&context.logs.levels())
}

/// Sets levels that hold until they are reset or the process ends.
pub async fn set(State(context): State<Context>, request: Body) -> Result<Response<Body>, Failure> {
    let bodies = context.settings.load().bodies();
    let over: Override = body::json(&body::read(request, &bodies, None).await?)?;
    let levels = context.logs.set_override(Some(over));
    tracing::info!(target: "mainstay::api", levels = %levels, "log levels overridden");
    Ok(answer::json(&levels))
}

/// Returns to the configured levels.
pub async fn reset(State(context): State<Context>) -> Response<Body> {
    let levels = context.logs.set_override(None);
    tracing::info!(target: "mainstay::api", levels = %levels, "log levels as configured");
    answer::json(&levels)
}

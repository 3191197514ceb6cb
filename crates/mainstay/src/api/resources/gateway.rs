//! The gateway's definitions: what is in force, and what would become of a request.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::json;

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;
use mainstay_base::problem::Problem;
use mainstay_gateway::explanation::Asked;

use crate::api::Context;

/// Every route, by name.
pub async fn routes(State(context): State<Context>) -> Response<Body> {
    answer::json(&json!({ "routes": context.gateway.routes() }))
}

/// Every service, by name, and what guards it at the moment.
pub async fn services(State(context): State<Context>) -> Response<Body> {
    answer::json(&json!({ "services": context.gateway.services() }))
}

/// What would become of a request.
pub async fn explain(State(context): State<Context>, request: Body) -> Result<Response<Body>, Failure> {
    let bodies = context.settings.load().bodies();
    let asked: Asked = body::json(&body::read(request, &bodies, None).await?)?;
    let explanation = context.gateway.explain(&asked).map_err(|error| Problem::of(&error))?;
    Ok(answer::json(&explanation))
}

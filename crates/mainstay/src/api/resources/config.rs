//! The configuration in force.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use mainstay_api::answer;

use crate::api::Context;

/// Every value with its origin, and how the last reload went.
pub async fn show(State(context): State<Context>) -> Response<Body> {
    answer::json(&*context.reloads.view())
}

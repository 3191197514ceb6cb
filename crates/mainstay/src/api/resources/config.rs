//! The configuration in force.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use crate::api::{Context, answer};

/// Every value with its origin, and how the last reload went.
pub async fn show(State(context): State<Context>) -> Response<Body> {
    answer::json(&*context.reloads.view())
}

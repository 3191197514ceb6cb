//! Backups: what there are, and a new one.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;

use crate::api::Context;

/// What is asked of a new backup.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    name: Option<Name>,
}

/// Every backup, by name.
pub async fn list(State(context): State<Context>) -> Result<Response<Body>, Failure> {
    let backups = context.backups.list().await.map_err(|error| Problem::of(&error))?;
    Ok(answer::json(&json!({ "backups": backups })))
}

/// Takes one, and answers when it is there.
pub async fn create(State(context): State<Context>, request: Body) -> Result<Response<Body>, Failure> {
    let bodies = context.settings.load().bodies();
    let Asked { name } = body::json(&body::read(request, &bodies, None).await?)?;
    let named = context.backups.take(name).await.map_err(|error| Problem::of(&error))?;
    let mut response = answer::json(&named);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

//! Faults that are injected into the gateway's requests at run time.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use serde_json::json;

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;
use mainstay_api::target::{self, Query};
use mainstay_base::problem::Problem;

use crate::api::Context;
use crate::gateway::faults::{Error, Injected, Shown};

const BEFORE_NAME: &str = "/v1/faults/";

/// Every fault: those of the configuration, then those that were put here.
pub async fn list(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    Ok(answer::json(&json!({ "faults": context.gateway.faults() })))
}

/// One of them.
pub async fn show(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let name = text(&uri)?;
    found(&context, &name).map(|fault| answer::json(&fault)).ok_or_else(|| refused(&Error::Missing(name)))
}

/// Injects one, or another one by that name.
pub async fn put(State(context): State<Context>, uri: Uri, request: Body) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let name = target::named(uri.path().strip_prefix(BEFORE_NAME).unwrap_or_default(), "the fault")?;
    let bodies = context.settings.load().bodies();
    let injected: Injected = body::json(&body::read(request, &bodies, None).await?)?;
    let is_new = context.gateway.inject(&name, injected).map_err(|error| refused(&error))?;
    let mut response = answer::json(&found(&context, name.as_str()));
    *response.status_mut() = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(response)
}

/// Takes one out.
pub async fn delete(State(context): State<Context>, uri: Uri) -> Result<StatusCode, Failure> {
    Query::read(&uri, &[])?;
    context.gateway.heal(&text(&uri)?).map_err(|error| refused(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn found(context: &Context, name: &str) -> Option<Shown> {
    context.gateway.faults().into_iter().find(|fault| fault.name == name)
}

/// The name in a path, which for a fault of the configuration has spaces.
fn text(uri: &Uri) -> Result<String, Problem> {
    let encoded = uri.path().strip_prefix(BEFORE_NAME).unwrap_or_default();
    Ok(target::decoded(encoded, false, "the fault")?.into_owned())
}

fn refused(error: &Error) -> Failure {
    let problem = Problem::of(error);
    match error {
        Error::OwnedByFile(_) | Error::Missing(_) | Error::Refused(_) => problem.into(),
        Error::Whose => problem.fact("pointer", "").into(),
        Error::Unknown { kind, .. } => problem.fact("pointer", format!("/{kind}")).into(),
    }
}

//! `/v1/services/{name}/scale`: how many instances of a service's program run.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;
use mainstay_api::target::Query;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_upstream::Service;
use mainstay_upstream::config::Run;

use super::endpoints::found;
use crate::api::Context;

/// How many instances there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// From 0 to 256.
    #[schemars(range(max = 256))]
    pub instances: u32,
}

/// How many there are to be.
pub async fn show(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (instances, _) = wanted(&context, &uri)?;
    Ok(answer::json(&Scaled { instances }))
}

/// Has as many from now on, until the definition says another number than before or the node starts again.
pub async fn put(State(context): State<Context>, uri: Uri, request: Body) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (_, service) = wanted(&context, &uri)?;
    let bodies = context.settings.load().bodies();
    let scaled: Scaled = body::json(&body::read(request, &bodies, None).await?)?;
    if scaled.instances > Run::INSTANCES_MAX {
        let detail = format!("{} instances are more than {}", scaled.instances, Run::INSTANCES_MAX);
        return Err(Problem::new(Code::Invalid, detail).fact("pointer", "/instances").into());
    }
    service.scale().set(scaled.instances);
    Ok(answer::json(&scaled))
}

fn wanted(context: &Context, uri: &Uri) -> Result<(u32, Arc<Service>), Problem> {
    let (service, _) = found(context, uri)?;
    let Some(run) = &service.config().run else {
        let detail = format!(
            "`{}` has no program that Mainstay runs: its definition says so by `run`",
            service.name()
        );
        return Err(Problem::new(Code::Conflict, detail));
    };
    Ok((service.scale().get().unwrap_or(run.instances.get()), service))
}

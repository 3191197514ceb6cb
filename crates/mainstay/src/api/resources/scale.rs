//! `/v1/services/{name}/scale`: how many instances of a service's program run.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator};
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
use crate::gateway::Scaled;

/// How many instances somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// From 0 to 256; none leaves it to the definition, and its rule if it has one.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schemars(schema_with = "instances")]
    pub instances: Option<u32>,
}

fn instances(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": ["integer", "null"], "minimum": 0, "maximum": 256 })
}

/// How it is.
pub async fn show(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (service, run) = with_program(&context, &uri)?;
    Ok(answer::json(&Scaled::of(service.scale().view(&run))))
}

/// Has as many take calls from now on, until none are asked for any more, the definition says other numbers than before, or the node starts again.
pub async fn put(State(context): State<Context>, uri: Uri, request: Body) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (service, run) = with_program(&context, &uri)?;
    let bodies = context.settings.load().bodies();
    let Scaling { instances } = body::json(&body::read(request, &bodies, None).await?)?;
    if let Some(instances) = instances.filter(|instances| *instances > Run::INSTANCES_MAX) {
        let detail = format!("{instances} instances are more than {}", Run::INSTANCES_MAX);
        return Err(Problem::new(Code::Invalid, detail).fact("pointer", "/instances").into());
    }
    service.scale().set(instances, &run);
    Ok(answer::json(&Scaled::of(service.scale().view(&run))))
}

fn with_program(context: &Context, uri: &Uri) -> Result<(Arc<Service>, Run), Problem> {
    let (service, _) = found(context, uri)?;
    let Some(run) = service.config().run.clone() else {
        let detail = format!(
            "`{}` has no program that Mainstay runs: its definition says so by `run`",
            service.name()
        );
        return Err(Problem::new(Code::Conflict, detail));
    };
    Ok((service, run))
}

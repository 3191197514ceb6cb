//! The resources of the API and their routes.

mod backups;
mod config;
pub(super) mod endpoints;
mod faults;
mod gateway;
mod health;
mod logs;
pub(super) mod scale;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use serde_json::json;

use mainstay_api::answer;

use super::measure::{Counts, Matching, NO_ROUTE};
use super::{Context, described, guard};
use crate::telemetry::metrics::MEDIA_TYPE;

const OPENAPI: &str = "/v1/openapi.json";

/// Every route, each with its own counters.
pub fn router(context: &Context, counts: &Counts) -> Router {
    let table: [(&str, MethodRouter<Context>); 24] = [
        ("/", get(overview)),
        ("/metrics", get(metrics)),
        ("/v1/backups", get(backups::list).post(backups::create)),
        ("/v1/config", get(config::show)),
        ("/v1/faults", get(faults::list)),
        ("/v1/faults/{name}", get(faults::show).put(faults::put).delete(faults::delete)),
        ("/v1/health/live", get(health::live)),
        ("/v1/health/ready", get(health::ready)),
        ("/v1/log", get(log)),
        ("/v1/matches", post(gateway::explain)),
        (OPENAPI, get(described::show)),
        ("/v1/routes", get(gateway::list)),
        ("/v1/routes/{name}", get(gateway::show).put(gateway::change).delete(gateway::change)),
        ("/v1/routes/{name}/history", get(gateway::history)),
        ("/v1/routes/{name}/rollback", post(gateway::change)),
        ("/v1/services", get(gateway::list)),
        ("/v1/services/{name}", get(gateway::show).put(gateway::change).delete(gateway::change)),
        ("/v1/services/{name}/endpoints", get(endpoints::list)),
        (
            "/v1/services/{name}/endpoints/{address}",
            get(endpoints::show).put(endpoints::put).delete(endpoints::delete),
        ),
        ("/v1/services/{name}/scale", get(scale::show).put(scale::put)),
        ("/v1/services/{name}/history", get(gateway::history)),
        ("/v1/services/{name}/rollback", post(gateway::change)),
        ("/v1/shards", get(shards)),
        ("/v1/telemetry/logs", get(logs::show).put(logs::set).delete(logs::reset)),
    ];
    let mut router = Router::new();
    for (path, methods) in table {
        let guarded = methods.route_layer(middleware::from_fn(guard::json_only));
        router = router.route(path, measured(path, guarded.fallback(answer::wrong_method), counts));
    }
    let blocks = mainstay_api::routes().into_iter();
    // What is described here has more than its own.
    for (path, methods) in blocks.filter(|(path, _)| *path != OPENAPI) {
        router = router
            .route(path, measured(path, methods, counts).with_state(context.shards.resources().clone()));
    }
    let unmatched = measured(NO_ROUTE, axum::routing::any(answer::unknown), counts);
    router.fallback_service(unmatched.with_state(context.clone())).with_state(context.clone())
}

/// `route` is the label under which a route is counted.
fn measured<S: Clone + Send + Sync + 'static>(
    route: &str,
    methods: MethodRouter<S>,
    counts: &Counts,
) -> MethodRouter<S> {
    methods.layer(Matching::new(counts.route(route)))
}

async fn overview() -> Response<Body> {
    answer::json(&json!({
        "product": "mainstay",
        "version": env!("CARGO_PKG_VERSION"),
        "resources": {
            "readiness": "/v1/health/ready",
            "liveness": "/v1/health/live",
            "configuration": "/v1/config",
            "openapi": "/v1/openapi.json",
            "collections": "/v1/collections",
            "commits": "/v1/commits",
            "matches": "/v1/matches",
            "faults": "/v1/faults",
            "routes": "/v1/routes",
            "services": "/v1/services",
            "shards": "/v1/shards",
            "backups": "/v1/backups",
            "log": "/v1/log",
            "log_levels": "/v1/telemetry/logs",
            "metrics": "/metrics",
        },
    }))
}

/// What keeps the node's records, and how it does.
async fn log(State(context): State<Context>) -> Response<Body> {
    answer::json(&context.log.view())
}

/// The shards, and what each is doing.
async fn shards(State(context): State<Context>) -> Response<Body> {
    answer::json(&context.shards.view())
}

async fn metrics(State(context): State<Context>) -> Response<Body> {
    let mut response = Response::new(Body::from(context.metrics.text()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

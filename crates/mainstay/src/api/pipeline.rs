//! The way of one request, in order:
//!
//! 1. id: so that every answer, also a refusal, can be found in the logs;
//! 2. guard: web pages and strangers are refused before anything is read;
//! 3. size: a body that announces too much is refused before it is sent, and one that arrives is counted with all others;
//! 4. resource: routed, its content type looked at, and run; a panic there is contained and answered as 500;
//! 5. problem: whatever failed becomes a problem document;
//! 6. headers, one log line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Request, Response, Version};
use tower::ServiceExt;

use mainstay_api::answer::{self, Carried, Failure};
use mainstay_api::body;
use mainstay_base::error::{Code, Fault};
use mainstay_base::id::RequestId;
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;

use super::bodies::Bodies;
use super::measure::{Counts, Matched, NO_ROUTE, Route};
use super::resources::{self, endpoints};
use super::{Config, Context, guard};
use crate::life::scope::Guarded;

/// In every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("mainstay-request-id");

/// The steps of a request and what they need.
pub struct Pipeline {
    context: Context,
    router: Router,
    bodies: Bodies,
    counts: Counts,
    /// Counts what was refused before it reached a route.
    no_route: Route,
    /// Set once: answers ask HTTP/1 callers to connect anew.
    draining: AtomicBool,
}

impl Pipeline {
    /// The pipeline over all resources.
    pub fn new(context: Context, counts: Counts) -> Self {
        let router = resources::router(&context, &counts);
        let no_route = counts.route(NO_ROUTE);
        let bodies = Bodies::new(counts.body_bytes.clone());
        Self { context, router, bodies, counts, no_route, draining: AtomicBool::new(false) }
    }

    /// From now on every answer is the last of its connection, and what is answered without end has ended.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.context.shards.resources().streams.close();
    }

    /// Answers one request.
    pub async fn handle(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let id = self.request_id();
        let begun = self.context.clock.now();
        let (mut parts, body) = request.into_parts();
        let version = parts.version;
        let is_logged = tracing::enabled!(target: "mainstay::api", tracing::Level::DEBUG);
        let asked = is_logged.then(|| (parts.method.clone(), parts.uri.clone()));
        let matched = Matched::default();
        let response = match self.admit(&parts) {
            Ok(()) => {
                parts.extensions.insert(matched.clone());
                let (body, _held) = self.bodies.count(body, self.context.settings.load().bodies_max);
                self.resource(Request::from_parts(parts, body)).await
            }
            Err(problem) => axum::response::IntoResponse::into_response(Failure::from(problem)),
        };
        let mut response = self.finish(response, id);
        if self.draining.load(Ordering::Relaxed) && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let taken = self.context.clock.now().saturating_since(begun);
        matched.route().unwrap_or(&self.no_route).count(response.status(), taken);
        if let Some((method, uri)) = asked {
            tracing::debug!(
                target: "mainstay::api",
                request_id = %id,
                method = method.as_str(),
                path = uri.path(),
                status = response.status().as_u16(),
                duration_us = taken.as_std().as_micros() as u64,
                "request answered"
            );
        }
        response
    }

    /// The whole answer, as HTTP/1.1, to a connection over the limit.
    pub fn refusal(&self, limit: usize) -> String {
        let detail = format!("{limit} connections are open, as many as `api.connections_max` allows");
        let problem = Problem::new(Code::Overloaded, detail).fact("limit", limit).request(self.request_id());
        self.counts.problem(problem.code());
        let document = serde_json::to_string(&problem).expect("a problem is plain data");
        let retry_after = problem.retry().after().map_or(1, Duration::as_secs_up);
        let id = problem.request_id().map(|it| it.to_string()).unwrap_or_default();
        format!(
            "HTTP/1.1 {} Service Unavailable\r\ncontent-type: {}\r\ncontent-length: {}\r\nretry-after: {retry_after}\r\n\
             {REQUEST_ID}: {id}\r\nconnection: close\r\n\r\n{document}",
            problem.status(),
            Problem::CONTENT_TYPE,
            document.len(),
        )
    }

    fn request_id(&self) -> RequestId {
        let mut random = [0; 10];
        self.context.entropy.fill(&mut random);
        RequestId::new(self.context.clock.wall(), random)
    }

    fn admit(&self, request: &Parts) -> Result<(), Problem> {
        let settings = self.context.settings.load();
        let may = |bearer: &str| {
            let service = endpoints::service_of(request.uri.path());
            let service = service.and_then(|name| self.context.gateway.service(&name));
            service.is_some_and(|service| endpoints::may_register(&service, bearer))
        };
        guard::check(request, &settings, may)?;
        announced_size(request, &settings)
    }

    async fn resource(&self, request: Request<Body>) -> Response<Body> {
        match Guarded::new("api request", self.router.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Err(_) => {
                let detail = "a defect in Mainstay; the log has the details under this request's id";
                axum::response::IntoResponse::into_response(Failure::new(Code::Internal, detail))
            }
        }
    }

    fn finish(&self, mut response: Response<Body>, id: RequestId) -> Response<Body> {
        if let Some(Carried(problem)) = response.extensions_mut().remove() {
            self.counts.problem(problem.code());
            // What cannot be done for now is told once by the part that cannot do it, and not to every probe again.
            if problem.code().fault() == Fault::Us && problem.code() != Code::Unavailable {
                tracing::error!(target: "mainstay::api", request_id = %id, problem = problem.detail(), "request failed");
            }
            response = answer::document(response, &Problem::clone(&problem).request(id));
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, answer::header(id));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        response
    }
}

fn announced_size(request: &Parts, settings: &Config) -> Result<(), Problem> {
    let announced = request.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(bytes) if bytes > settings.body_max.bytes() => Err(body::too_large(settings.body_max)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use axum::routing::get;

    use mainstay_base::time::{Clock, Entropy, ManualClock, SeededEntropy};

    use super::*;
    use crate::backups::Backups;
    use crate::config;
    use crate::gateway::NodeGateway;
    use crate::life::ready::Readiness;
    use crate::life::{Scope, Started};
    use crate::node::open_data;
    use crate::reload::Reloads;
    use crate::telemetry::logs::Logs;
    use crate::telemetry::metrics::Metrics;

    async fn pipeline(router: Router) -> Arc<Pipeline> {
        let folder = tempfile::tempdir().expect("a folder");
        let request = config::Request { directory: folder.path().into(), ..config::Request::default() };
        let loaded = config::load(&request).expect("the defaults are valid");
        let config = &loaded.config;
        std::fs::create_dir_all(config.data.as_path()).expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let metrics = Metrics::new(&config.node.id);
        let (scope, _) = Scope::new("pipeline");
        let kept = (&clock, &entropy);
        let opened = open_data(config, kept, &scope, &mut Started::default(), crate::log::directory).await;
        let (log, shards) = opened.expect("a new directory");
        let context = Context {
            address: "127.0.0.1:7070".parse().expect("an address"),
            settings: Arc::new(ArcSwap::from_pointee(config.api.clone())),
            readiness: Readiness::expecting(&["api"]),
            backups: Arc::new(Backups::new(config, shards.space(), &clock).expect("a folder")),
            log,
            shards,
            logs: Arc::new(Logs::start(&config.telemetry.logs)),
            reloads: Arc::new(Reloads::new(&loaded, Arc::clone(&clock), &metrics)),
            gateway: NodeGateway::new(&loaded, (&clock, &entropy), &metrics).expect("nothing is kept"),
            clock,
            entropy,
            metrics,
        };
        let counts = Counts::new(&context.metrics);
        let mut pipeline = Pipeline::new(context, counts);
        pipeline.router = router;
        Arc::new(pipeline)
    }

    async fn answer(pipeline: &Arc<Pipeline>, path: &str) -> Response<Body> {
        let request = Request::get(path).header("host", "localhost").body(Body::empty());
        Arc::clone(pipeline).handle(request.expect("a request")).await
    }

    #[tokio::test]
    async fn a_panic_in_a_resource_is_answered_and_the_next_request_is_served() {
        async fn defect() -> &'static str {
            panic!("a defect")
        }
        let router = Router::new().route("/defect", get(defect)).route("/fine", get(|| async { "fine" }));
        let pipeline = pipeline(router).await;
        let response = answer(&pipeline, "/defect").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], Problem::CONTENT_TYPE);
        assert!(response.headers().contains_key(REQUEST_ID));
        assert_eq!(answer(&pipeline, "/fine").await.status(), 200);
    }

    #[tokio::test]
    async fn not_ready_is_said_with_the_parts_that_are_missing() {
        let pipeline = pipeline(Router::new()).await;
        let router = resources::router(&pipeline.context, &pipeline.counts);
        let ready = self::pipeline(router).await;
        let response = answer(&ready, "/v1/health/ready").await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        pipeline.context.readiness.up("api");
        assert_eq!(answer(&ready, "/v1/health/ready").await.status(), 200);
    }
}

//! What the API counts.
//!
//! Every route has its handles from the start: counting a request is a few atomic operations, whatever the
//! number of routes.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::StatusCode;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use tower::{Layer, Service};

use mainstay_base::error::Code;
use mainstay_base::units::Duration;

use crate::telemetry::metrics::Metrics;

/// The label of every path without a route, so that strangers cannot make labels.
pub const NO_ROUTE: &str = "none";

/// The API's metrics.
#[derive(Clone)]
pub struct Counts {
    requests: IntCounterVec,
    latencies: HistogramVec,
    problems: Arc<[IntCounter; Code::ALL.len()]>,
    /// Connections open now.
    pub connections: IntGauge,
    /// Connections refused because of the limit.
    pub refused: IntCounter,
    /// What request bodies take.
    pub body_bytes: IntGauge,
}

impl Counts {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let problems =
            metrics.counters("mainstay_api_problems_total", "Problems answered, by code.", &["code"]);
        let refused = metrics.counters(
            "mainstay_api_connections_refused_total",
            "Connections closed at once because `api.connections_max` were open.",
            &[],
        );
        Self {
            requests: metrics.counters(
                "mainstay_api_requests_total",
                "Requests answered, by route and class of status.",
                &["route", "class"],
            ),
            latencies: metrics.latencies(
                "mainstay_api_request_duration_seconds",
                "Time from a request's head until its answer is ready to send.",
                &["route"],
            ),
            problems: Arc::new(Code::ALL.map(|code| problems.with_label_values(&[code.as_str()]))),
            connections: metrics.gauge("mainstay_api_connections", "Connections open now."),
            refused: refused.with_label_values::<&str>(&[]),
            body_bytes: metrics.gauge(
                "mainstay_api_body_bytes",
                "Bytes of request bodies in memory, until their requests are answered.",
            ),
        }
    }

    /// Counts a problem.
    pub fn problem(&self, code: Code) {
        if let Some(at) = Code::ALL.iter().position(|it| *it == code) {
            self.problems[at].inc();
        }
    }

    /// Counts what the HTTP library refused by itself: bytes that are not HTTP, a head over its limits.
    pub fn broken(&self, error: &(dyn std::error::Error + 'static)) {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => self.problem(Code::HeadersTooLarge),
            Some(error) if error.is_parse() => self.problem(Code::Malformed),
            _ => {}
        }
    }

    /// The handles of one route.
    pub fn route(&self, route: &str) -> Route {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        Route {
            classes: classes.map(|class| self.requests.with_label_values(&[route, class])),
            latency: self.latencies.with_label_values(&[route]),
        }
    }
}

/// One route's handles.
pub struct Route {
    classes: [IntCounter; 5],
    latency: Histogram,
}

impl Route {
    /// Counts one answer.
    pub fn count(&self, status: StatusCode, taken: Duration) {
        self.latency.observe(taken.as_std().as_secs_f64());
        self.classes[class(status)].inc();
    }
}

/// Travels with a request and learns its route, so that the answer is counted there whatever becomes of the
/// resource.
#[derive(Clone, Default)]
pub struct Matched(Arc<OnceLock<Arc<Route>>>);

impl Matched {
    /// The route, if the request has reached one.
    pub fn route(&self) -> Option<&Route> {
        self.0.get().map(|it| &**it)
    }
}

/// Tells requests which route they have reached.
#[derive(Clone)]
pub struct Matching(Arc<Route>);

impl Matching {
    /// Those of this route.
    pub fn new(route: Route) -> Self {
        Self(Arc::new(route))
    }
}

impl<S> Layer<S> for Matching {
    type Service = MatchingService<S>;

    fn layer(&self, inner: S) -> MatchingService<S> {
        MatchingService { route: Arc::clone(&self.0), inner }
    }
}

/// A route that tells requests that they have reached it.
#[derive(Clone)]
pub struct MatchingService<S> {
    route: Arc<Route>,
    inner: S,
}

impl<S: Service<Request>> Service<Request> for MatchingService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        if let Some(Matched(slot)) = request.extensions().get() {
            // A request reaches one route, once.
            let _ = slot.set(Arc::clone(&self.route));
        }
        self.inner.call(request)
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, 5) - 1
}

//! What the API counts.
//!
//! Every route has its handles from the start: counting a request is a few relaxed atomic adds, whatever the
//! number of routes.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use mainstay_base::error::Code;
use mainstay_base::time::Clock;

use crate::telemetry::metrics::Metrics;

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
                "Time from a request's head to the head of its answer.",
                &["route"],
            ),
            problems: Arc::new(Code::ALL.map(|code| problems.with_label_values(&[code.as_str()]))),
            connections: metrics.gauge("mainstay_api_connections", "Connections open now."),
            refused: refused.with_label_values::<&str>(&[]),
        }
    }

    /// Counts a problem.
    pub fn problem(&self, code: Code) {
        if let Some(at) = Code::ALL.iter().position(|it| *it == code) {
            self.problems[at].inc();
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
    /// Answers a request and counts it.
    pub async fn measure(self: Arc<Self>, clock: Arc<dyn Clock>, request: Request, next: Next) -> Response {
        let begun = clock.now();
        let response = next.run(request).await;
        self.latency.observe(clock.now().saturating_since(begun).as_std().as_secs_f64());
        self.classes[class(response.status())].inc();
        response
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, 5) - 1
}

//! What the gateway counts.
//!
//! Every route has its handles from when it is in force: counting a request is a few atomic operations.

use http::StatusCode;
use mainstay_base::units::Duration;
use mainstay_resilience::{Decision, Watch};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::tcp;

/// Upper bounds for polls. One above 100 us is too long.
const POLL_SECONDS: [f64; 6] = [10e-6, 30e-6, 100e-6, 1e-3, 10e-3, 100e-3];

/// The gateway's metrics. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Connections open now.
    pub(crate) connections: IntGauge,
    requests: IntCounterVec,
    latencies: HistogramVec,
    decisions: IntCounterVec,
    refused: IntCounterVec,
    /// How long some of the polls took.
    pub(crate) polls: Histogram,
    /// Copies for mirrors that were not sent.
    pub(crate) mirrors_left_out: IntCounter,
    pub(crate) tcp: tcp::Meters,
}

impl Meters {
    /// All at zero, with these upper bounds for latencies, in seconds.
    pub fn new(latency_seconds: &[f64]) -> Self {
        let valid = "a valid metric";
        let connections = IntGauge::new("mainstay_gateway_connections", "Connections of clients open now.");
        let requests = IntCounterVec::new(
            Opts::new("mainstay_gateway_requests_total", "Requests answered, by route and class of status."),
            &["route", "class"],
        );
        let latencies = HistogramVec::new(
            HistogramOpts::new(
                "mainstay_gateway_request_duration_seconds",
                "Time from a request's head until the head of its answer is ready to send.",
            )
            .buckets(latency_seconds.to_vec()),
            &["route"],
        );
        let decisions = IntCounterVec::new(
            Opts::new("mainstay_policy_decisions_total", "What policies decided, by service."),
            &["service", "decision"],
        );
        let refused = IntCounterVec::new(
            Opts::new(
                "mainstay_gateway_refused_total",
                "Connections, and streams over HTTP/2, that were refused or given up, by reason.",
            ),
            &["reason"],
        );
        let mirrors_left_out = IntCounter::new(
            "mainstay_gateway_mirrors_left_out_total",
            "Copies of requests that were not sent to a mirror: their bodies are not kept, or too many were under way.",
        );
        let polls = Histogram::with_opts(
            HistogramOpts::new(
                "mainstay_gateway_poll_duration_seconds",
                "Time for which a task held its worker's thread, of one poll in 16.",
            )
            .buckets(POLL_SECONDS.to_vec()),
        );
        Self {
            polls: polls.expect(valid),
            mirrors_left_out: mirrors_left_out.expect(valid),
            tcp: tcp::Meters::new(),
            decisions: decisions.expect(valid),
            refused: refused.expect(valid),
            connections: connections.expect(valid),
            requests: requests.expect(valid),
            latencies: latencies.expect(valid),
        }
    }

    /// All of them, to be registered where they are shown.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(self.connections.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.latencies.clone()),
            Box::new(self.decisions.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.mirrors_left_out.clone()),
            Box::new(self.polls.clone()),
        ];
        all.extend(self.tcp.collectors());
        all
    }

    /// The handles of one route.
    pub(crate) fn route(&self, route: &str) -> RouteMeters {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        RouteMeters {
            classes: classes.map(|class| self.requests.with_label_values(&[route, class])),
            latency: self.latencies.with_label_values(&[route]),
        }
    }

    /// Counts what a service's policies decide.
    pub(crate) fn decisions(&self, service: &str) -> Decisions {
        let of = |decision: Decision| self.decisions.with_label_values(&[service, decision.as_str()]);
        Decisions { service: service.to_owned(), counts: Decision::ALL.map(of) }
    }

    /// Counts a connection, or a stream of one, that was refused or given up.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

/// What a service's policies decide: counted, and an event of the span that it is decided in.
pub(crate) struct Decisions {
    service: String,
    counts: [IntCounter; Decision::ALL.len()],
}

impl Watch for Decisions {
    fn decided(&self, decision: Decision) {
        self.counts[decision as usize].inc();
        tracing::debug!(target: "mainstay::resilience", service = %self.service, decision = decision.as_str(), "policy decided");
    }
}

/// One route's handles.
#[derive(Debug)]
pub(crate) struct RouteMeters {
    classes: [IntCounter; 5],
    latency: Histogram,
}

impl RouteMeters {
    /// Counts one answer.
    pub(crate) fn count(&self, status: StatusCode, taken: Duration) {
        self.latency.observe(taken.as_std().as_secs_f64());
        self.classes[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].inc();
    }
}

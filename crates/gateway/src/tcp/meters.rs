//! What is counted of the connections of TCP listeners.

use std::net::SocketAddr;

use mainstay_base::units::Duration;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// Upper bounds for how long connections last: from one question to a session of a day.
const DURATION_SECONDS: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0];

/// The metrics of all TCP listeners. Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    open: IntGaugeVec,
    ended: IntCounterVec,
    bytes: IntCounterVec,
    durations: HistogramVec,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let valid = "a valid metric";
        let open = IntGaugeVec::new(
            Opts::new(
                "mainstay_gateway_tcp_connections",
                "Connections of TCP listeners open now, by listener.",
            ),
            &["listener", "state"],
        );
        let ended = IntCounterVec::new(
            Opts::new(
                "mainstay_gateway_tcp_connections_total",
                "Connections of TCP listeners that have ended, by listener and how.",
            ),
            &["listener", "result"],
        );
        let bytes = IntCounterVec::new(
            Opts::new(
                "mainstay_gateway_tcp_bytes_total",
                "Bytes passed on, from clients to services (in) and back (out), by listener.",
            ),
            &["listener", "direction"],
        );
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "mainstay_gateway_tcp_duration_seconds",
                "How long connections lasted that were passed on, by listener.",
            )
            .buckets(DURATION_SECONDS.to_vec()),
            &["listener"],
        );
        Self {
            open: open.expect(valid),
            ended: ended.expect(valid),
            bytes: bytes.expect(valid),
            durations: durations.expect(valid),
        }
    }

    /// All of them, to be registered where they are shown.
    pub(crate) fn collectors(&self) -> [Box<dyn Collector>; 4] {
        [
            Box::new(self.open.clone()),
            Box::new(self.ended.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.durations.clone()),
        ]
    }

    /// The handles of one listener.
    pub(crate) fn of_listener(&self, address: SocketAddr) -> OfListener {
        let listener = address.to_string();
        let open = |state| self.open.with_label_values(&[listener.as_str(), state]);
        let bytes = |direction| self.bytes.with_label_values(&[listener.as_str(), direction]);
        OfListener {
            beginning: open("beginning"),
            relaying: open("relaying"),
            bytes: [bytes("in"), bytes("out")],
            durations: self.durations.with_label_values(&[&listener]),
            ended: self.ended.clone(),
            listener,
        }
    }
}

/// One listener's handles.
#[derive(Debug)]
pub(crate) struct OfListener {
    /// Connections that are not passed on yet.
    pub(super) beginning: IntGauge,
    /// Those that are.
    pub(super) relaying: IntGauge,
    /// From clients, and to them.
    pub(super) bytes: [IntCounter; 2],
    durations: Histogram,
    ended: IntCounterVec,
    listener: String,
}

impl OfListener {
    /// Counts a connection that has ended so.
    pub(super) fn ended(&self, result: &str) {
        self.ended.with_label_values(&[self.listener.as_str(), result]).inc();
    }

    /// Counts how long one was passed on.
    pub(super) fn lasted(&self, time: Duration) {
        self.durations.observe(time.as_std().as_secs_f64());
    }
}

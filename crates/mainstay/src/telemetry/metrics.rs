//! The registry of metrics and its text for scrapers.
//!
//! A part asks for its handles once, when it starts, and keeps them: counting is then one relaxed atomic add, and
//! observing in a histogram a search for the bucket, three atomic adds (two of them ordered, so that a scrape sees
//! whole observations) and a compare-and-exchange for the sum, repeated when two threads meet there. No lock.
//! Looking a labelled metric up by its labels on a hot path costs several times as much.

pub mod collected;
mod process;

use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use mainstay_base::id::NodeId;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds for latencies in seconds, from 100 us to 30 s.
pub const LATENCY_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The metrics of one node. Cloning gives another handle to the same registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A registry with the process's own metrics and `mainstay_build_info`.
    pub fn new(node: &NodeId) -> Self {
        let labels = [("node".to_owned(), node.to_string())].into();
        let registry = Registry::new_custom(None, Some(labels)).expect("a valid label");
        let metrics = Self { registry };
        let process = Box::new(process::Process::new());
        metrics.registry.register(process).expect("the process's metrics are registered once");
        let build =
            metrics.gauges("mainstay_build_info", "Version of the running binary; always 1.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Counters by labels whose values are few and known.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric"))
    }

    /// Gauges by labels.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid metric"))
    }

    /// A single gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect("a valid metric"))
    }

    /// Histograms of seconds by labels.
    pub fn latencies(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(LATENCY_SECONDS.to_vec());
        self.register(HistogramVec::new(options, labels).expect("a valid metric"))
    }

    /// Takes in a metric that was made before the registry was.
    ///
    /// # Panics
    /// If the name is taken: two parts that share a name would hide each other.
    pub fn register<C: Collector + Clone + 'static>(&self, metric: C) -> C {
        self.registry.register(Box::new(metric.clone())).expect("a metric's name is used once");
        metric
    }

    /// Takes in a collector, which is asked at every scrape.
    ///
    /// # Panics
    /// If one of its names is taken.
    pub fn collect(&self, collector: impl Collector + 'static) {
        self.collect_boxed(Box::new(collector));
    }

    /// The same of one that is boxed already.
    ///
    /// # Panics
    /// If one of its names is taken.
    pub fn collect_boxed(&self, collector: Box<dyn Collector>) {
        self.registry.register(collector).expect("a metric's name is used once");
    }

    /// Everything in Prometheus's text format.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let families = self.registry.gather();
        let encoder = prometheus::TextEncoder::new();
        encoder.encode(&families, &mut out).expect("writing to memory cannot fail");
        out
    }
}

//! What the log counts, for scrapers.

use std::sync::Weak;

use mainstay_log::local::{Histogram, Local, Recovery, Stats};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

const MICROS_PER_SECOND: f64 = 1e6;

/// Reads the log's counters whenever someone scrapes. Does not keep the log open.
pub struct Collected {
    log: Weak<Local>,
    cut_bytes: u64,
    descriptions: Vec<Desc>,
}

/// The value of a metric.
enum Value {
    Counter(u64),
    Gauge(u64),
    /// With the number of the histogram's units in one of the metric's.
    Histogram(Box<Histogram>, f64),
    /// Counters by the values of one label.
    Counters(&'static str, [(&'static str, u64); 2]),
}

type Named = (&'static str, &'static str, Value);

impl Collected {
    /// The metrics of this log, which was opened with this outcome.
    pub fn new(log: Weak<Local>, recovery: &Recovery) -> Self {
        let cut_bytes = recovery.cut.as_ref().map_or(0, |cut| cut.bytes);
        let describe = |(name, help, value): Named| {
            let labels =
                if let Value::Counters(label, _) = value { vec![label.to_owned()] } else { Vec::new() };
            Desc::new(name.into(), help.into(), labels, [].into()).expect("a valid metric")
        };
        let descriptions = metrics(&Stats::default(), cut_bytes).into_iter().map(describe).collect();
        Self { log, cut_bytes, descriptions }
    }
}

fn metrics(stats: &Stats, cut_bytes: u64) -> Vec<Named> {
    let Stats { bytes_given, bytes_written, .. } = *stats;
    vec![
        ("mainstay_log_records_total", "Records acknowledged.", Value::Counter(stats.records)),
        (
            "mainstay_log_bytes_total",
            "Bytes of acknowledged records (given), and bytes written for them (written).",
            Value::Counters("kind", [("given", bytes_given), ("written", bytes_written)]),
        ),
        ("mainstay_log_groups_total", "Groups written.", Value::Counter(stats.groups)),
        (
            "mainstay_log_group_records",
            "Records in each group: what shared a sync.",
            Value::Histogram(Box::new(stats.group_records), 1.0),
        ),
        (
            "mainstay_log_sync_duration_seconds",
            "Time that each sync took.",
            Value::Histogram(Box::new(stats.sync_micros), MICROS_PER_SECOND),
        ),
        ("mainstay_log_segments", "Files that hold the log.", Value::Gauge(stats.segments)),
        ("mainstay_log_spares", "Files that are ready to become a segment.", Value::Gauge(stats.spares)),
        (
            "mainstay_log_pinned_bytes",
            "Bytes that the log keeps for the shard that holds back most.",
            Value::Gauge(stats.pinned_bytes),
        ),
        (
            "mainstay_log_poisoned",
            "1 when a write or sync has failed: nothing is acknowledged until a restart.",
            Value::Gauge(stats.poisoned.into()),
        ),
        (
            "mainstay_log_full",
            "1 when there was no space for the last segment that was needed.",
            Value::Gauge(stats.full.into()),
        ),
        (
            "mainstay_log_recovery_cut_bytes",
            "Bytes cut off at the start: a group that was being written when the node ended.",
            Value::Gauge(cut_bytes),
        ),
    ]
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(log) = self.log.upgrade() else { return Vec::new() };
        metrics(&log.stats(), self.cut_bytes).into_iter().map(family).collect()
    }
}

fn family((name, help, value): Named) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    let (kind, metrics) = match value {
        Value::Counter(value) => (MetricType::COUNTER, vec![counter(value, None)]),
        Value::Gauge(value) => (MetricType::GAUGE, vec![gauge(value)]),
        Value::Histogram(histogram, units) => (MetricType::HISTOGRAM, vec![buckets(&histogram, units)]),
        Value::Counters(label, values) => {
            let metrics = values.map(|(value, count)| counter(count, Some((label, value))));
            (MetricType::COUNTER, metrics.into())
        }
    };
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(value: u64, label: Option<(&str, &str)>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    if let Some((name, value)) = label {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        metric.set_label(vec![pair]);
    }
    metric
}

fn gauge(value: u64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

/// The log's powers of two as cumulative buckets; the last one has no bound.
fn buckets(from: &Histogram, units: f64) -> Metric {
    let mut histogram = proto::Histogram::default();
    let mut buckets = Vec::new();
    let mut count = 0;
    let (_, bounded) = from.counts.split_last().expect("there are 32 of them");
    for (bits, values) in bounded.iter().enumerate() {
        count += values;
        let mut bucket = Bucket::default();
        // Values of so many bits are below this power of two, and whole: at most one less.
        bucket.set_upper_bound(((1_u64 << bits) - 1) as f64 / units);
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(from.counts.iter().sum());
    histogram.set_sample_sum(from.sum as f64 / units);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_become_cumulative_buckets_that_hold_their_values() {
        let mut from = Histogram { sum: 1_000_008, ..Histogram::default() };
        // 0, 1, 7 and a million, which has 20 bits.
        for bits in [0, 1, 3, 20] {
            from.counts[bits] = 1;
        }
        let metric = buckets(&from, MICROS_PER_SECOND);
        let histogram = metric.get_histogram();
        let at = |bits: usize| histogram.get_bucket()[bits].clone();
        assert_eq!((at(0).upper_bound(), at(0).cumulative_count()), (0.0, 1));
        assert_eq!((at(3).upper_bound(), at(3).cumulative_count()), (7e-6, 3));
        assert!(at(20).upper_bound() >= 1.0, "a second is in its bucket");
        assert_eq!((at(19).cumulative_count(), at(20).cumulative_count()), (3, 4));
        assert_eq!((histogram.get_sample_count(), histogram.get_bucket().len()), (4, 31));
        assert!((histogram.get_sample_sum() - 1.000_008).abs() < 1e-9);
    }
}

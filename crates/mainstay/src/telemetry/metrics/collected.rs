//! Metrics that a part keeps by itself and is asked for at every scrape.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A metric: its name, its help, and its value.
pub type Named = (&'static str, &'static str, Value);

/// The value of a metric.
pub enum Value {
    /// Only grows.
    Counter(u64),
    /// Goes up and down.
    Gauge(u64),
    /// Buckets with their upper bounds, the last of which has none; then the sum of all values.
    Histogram(Vec<(f64, u64)>, f64),
    /// Counters by the values of one label.
    Counters(&'static str, Vec<(&'static str, u64)>),
    /// Gauges by the values of one label.
    Gauges(&'static str, Vec<(&'static str, u64)>),
}

/// Asks a part for its metrics whenever someone scrapes. The part gives all of them, or none when it is gone.
pub struct Collected<F> {
    metrics: F,
    descriptions: Vec<Desc>,
}

impl<F: Fn() -> Vec<Named> + Send + Sync> Collected<F> {
    /// The metrics that this gives; `described` are the same with any values.
    pub fn new(metrics: F, described: Vec<Named>) -> Self {
        let describe = |(name, help, value): Named| {
            let labels = match value {
                Value::Counters(label, _) | Value::Gauges(label, _) => vec![label.to_owned()],
                _ => Vec::new(),
            };
            Desc::new(name.into(), help.into(), labels, [].into()).expect("a valid metric")
        };
        let descriptions = described.into_iter().map(describe).collect();
        Self { metrics, descriptions }
    }
}

impl<F: Fn() -> Vec<Named> + Send + Sync> Collector for Collected<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.metrics)().into_iter().map(family).collect()
    }
}

fn family((name, help, value): Named) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    let (kind, metrics) = match value {
        Value::Counter(value) => (MetricType::COUNTER, vec![counter(value, None)]),
        Value::Gauge(value) => (MetricType::GAUGE, vec![gauge(value, None)]),
        Value::Histogram(buckets, sum) => (MetricType::HISTOGRAM, vec![histogram(&buckets, sum)]),
        Value::Counters(label, values) => {
            let metrics = values.iter().map(|(value, count)| counter(*count, Some((label, value))));
            (MetricType::COUNTER, metrics.collect())
        }
        Value::Gauges(label, values) => {
            let metrics = values.iter().map(|(value, count)| gauge(*count, Some((label, value))));
            (MetricType::GAUGE, metrics.collect())
        }
    };
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(value: u64, label: Option<(&str, &str)>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = labelled(label);
    metric.set_counter(counter);
    metric
}

fn gauge(value: u64, label: Option<(&str, &str)>) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = labelled(label);
    metric.set_gauge(gauge);
    metric
}

fn labelled(label: Option<(&str, &str)>) -> Metric {
    let mut metric = Metric::default();
    if let Some((name, value)) = label {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        metric.set_label(vec![pair]);
    }
    metric
}

/// The text format has cumulative buckets, and knows by itself the one without a bound.
fn histogram(buckets: &[(f64, u64)], sum: f64) -> Metric {
    let mut histogram = Histogram::default();
    let mut cumulative = Vec::new();
    let mut count = 0;
    for (upper_bound, values) in buckets {
        count += values;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*upper_bound);
        bucket.set_cumulative_count(count);
        cumulative.push(bucket);
    }
    cumulative.pop();
    histogram.set_bucket(cumulative);
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_cumulative_and_the_last_has_no_bound() {
        let metric = histogram(&[(0.5, 2), (1.0, 0), (f64::INFINITY, 3)], 9.25);
        let histogram = metric.get_histogram();
        let bounds = histogram.get_bucket().iter().map(|it| (it.upper_bound(), it.cumulative_count()));
        assert_eq!(bounds.collect::<Vec<_>>(), [(0.5, 2), (1.0, 2)]);
        assert_eq!((histogram.get_sample_count(), histogram.get_sample_sum()), (5, 9.25));
    }
}

//! What the log counts, for scrapers.

use std::sync::Weak;

use mainstay_log::local::{Histogram, Local, Recovery, Stats};
use prometheus::core::Collector;

use crate::telemetry::metrics::collected::{Collected, Named, Value};

const MICROS_PER_SECOND: f64 = 1e6;

/// The metrics of this log, which was opened with this outcome. Does not keep the log open.
pub fn collected(log: Weak<Local>, recovery: &Recovery) -> impl Collector + use<> {
    let cut_bytes = recovery.cut.as_ref().map_or(0, |cut| cut.bytes);
    let described = metrics(&Stats::default(), cut_bytes);
    let collect = move || log.upgrade().map_or_else(Vec::new, |log| metrics(&log.stats(), cut_bytes));
    Collected::new(collect, described)
}

fn metrics(stats: &Stats, cut_bytes: u64) -> Vec<Named> {
    let Stats { bytes_given, bytes_written, .. } = *stats;
    vec![
        ("mainstay_log_records_total", "Records acknowledged.", Value::Counter(stats.records)),
        (
            "mainstay_log_bytes_total",
            "Bytes of acknowledged records (given), and bytes written for them (written).",
            Value::Counters("kind", vec![("given", bytes_given), ("written", bytes_written)]),
        ),
        ("mainstay_log_groups_total", "Groups written.", Value::Counter(stats.groups)),
        (
            "mainstay_log_group_records",
            "Records in each group: what shared a sync.",
            histogram(&stats.group_records, 1.0),
        ),
        (
            "mainstay_log_sync_duration_seconds",
            "Time that each sync took.",
            histogram(&stats.sync_micros, MICROS_PER_SECOND),
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

/// The log's powers of two, with the number of the histogram's units in one of the metric's.
fn histogram(from: &Histogram, units: f64) -> Value {
    // Values of so many bits are below this power of two, and whole: at most one less.
    let buckets =
        from.counts.iter().enumerate().map(|(bits, values)| (((1_u64 << bits) - 1) as f64 / units, *values));
    Value::Histogram(buckets.collect(), from.sum as f64 / units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_become_buckets_that_hold_their_values() {
        let mut from = Histogram { sum: 1_000_008, ..Histogram::default() };
        // 0, 1, 7 and a million, which has 20 bits.
        for bits in [0, 1, 3, 20] {
            from.counts[bits] = 1;
        }
        let Value::Histogram(buckets, sum) = histogram(&from, MICROS_PER_SECOND) else { panic!("it is one") };
        assert_eq!((buckets[0], buckets[3]), ((0.0, 1), (7e-6, 1)));
        assert!(buckets[20].0 >= 1.0 && buckets[20].1 == 1, "a second is in its bucket");
        assert_eq!(buckets.iter().map(|(_, values)| values).sum::<u64>(), 4);
        assert!((sum - 1.000_008).abs() < 1e-9);
    }
}

//! What the shards and their stores count, for scrapers: all shards together; `/v1/shards` has each.

use std::sync::{Arc, Weak};

use mainstay_api::streams::{self, Streams};
use mainstay_shard::space::{Counts, ShardView, Space, State, Tending};
use mainstay_shard::store::{Pool, PoolStats, Stats};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::collected::{Collected, Named, Value};

/// Shows the counters to scrapers; keeps nothing open.
pub fn count(space: &Arc<Space>, pool: &Arc<Pool>, streams: &Streams, metrics: &Metrics) {
    let (space, pool, streams) = (Arc::downgrade(space), Arc::downgrade(pool), streams.clone());
    let described = named(&[], &Counts::default(), None, streams.counts());
    metrics.collect(Collected::new(move || collect(&space, &pool, &streams), described));
}

fn collect(space: &Weak<Space>, pool: &Weak<Pool>, streams: &Streams) -> Vec<Named> {
    let (Some(space), Some(pool)) = (space.upgrade(), pool.upgrade()) else { return Vec::new() };
    named(&space.view(), &space.counts(), Some(pool.stats()), streams.counts())
}

fn named(
    shards: &[ShardView],
    counts: &Counts,
    pool: Option<PoolStats>,
    streams: streams::Counts,
) -> Vec<Named> {
    let mut all = commits(shards, counts);
    all.extend(beside(shards, counts));
    all.extend(queries(counts));
    all.extend(feeds(counts, streams));
    all.extend(snapshots(counts));
    all.extend(stores(shards, pool));
    all
}

fn commits(shards: &[ShardView], counts: &Counts) -> Vec<Named> {
    let in_state =
        |is_it: fn(&State) -> bool| shards.iter().filter(|shard| is_it(&shard.state)).count() as u64;
    let revisions = shards.iter().map(|shard| shard.revision);
    let newest = revisions.clone().max().unwrap_or(0);
    let behind = revisions.clone().filter(|revision| *revision < newest).count() as u64;
    vec![
        (
            "mainstay_shard_commands_total",
            "Commands answered, by what became of them.",
            Value::Counters(
                "outcome",
                vec![
                    ("committed", counts.committed),
                    ("refused", counts.refused),
                    ("replayed", counts.replayed),
                    ("overloaded", counts.overloaded),
                    ("expired", counts.expired),
                    ("unknown", counts.unknown),
                    ("failed", counts.failed),
                ],
            ),
        ),
        (
            "mainstay_shard_waiting",
            "Commands that wait for their shard.",
            Value::Gauge(shards.iter().map(|shard| shard.waiting as u64).sum()),
        ),
        (
            "mainstay_shard_waiting_bytes",
            "Bytes of the commands that wait for their shard.",
            Value::Gauge(shards.iter().map(|shard| shard.waiting_bytes.bytes()).sum()),
        ),
        ("mainstay_shard_batches_total", "Records that carried changes.", Value::Counter(counts.batches)),
        (
            "mainstay_shard_batch_bytes_total",
            "Bytes of rows in those records.",
            Value::Counter(counts.batch_bytes),
        ),
        ("mainstay_shard_reads_total", "Readings of items and listings.", Value::Counter(counts.reads)),
        ("mainstay_shard_claims_total", "Times that a shard was owned.", Value::Counter(counts.claims)),
        (
            "mainstay_shard_definitions_revision",
            "The last revision of the definitions, and the one that every shard has.",
            Value::Gauges("of", vec![("newest", newest), ("everywhere", revisions.min().unwrap_or(0))]),
        ),
        (
            "mainstay_shard_definitions_behind",
            "Shards that do not have the last revision of the definitions yet.",
            Value::Gauge(behind),
        ),
        (
            "mainstay_shard_shards",
            "Shards, by what they are doing.",
            Value::Gauges(
                "state",
                vec![
                    ("recovering", in_state(|state| matches!(state, State::Recovering))),
                    ("serving", in_state(|state| matches!(state, State::Serving { .. }))),
                    ("waiting", in_state(|state| matches!(state, State::Waiting { .. }))),
                    ("failed", in_state(|state| matches!(state, State::Failed { .. }))),
                    ("closed", in_state(|state| matches!(state, State::Closed))),
                ],
            ),
        ),
    ]
}

fn beside(shards: &[ShardView], counts: &Counts) -> Vec<Named> {
    let doing =
        |is_it: fn(Tending) -> bool| shards.iter().filter(|shard| is_it(shard.tending)).count() as u64;
    let lag = |shard: &ShardView| match shard.tending {
        Tending::Expiry { lag } => lag.as_std().as_secs(),
        _ => 0,
    };
    vec![
        (
            "mainstay_shard_tending",
            "Shards that have something to do beside their traffic, by what it is.",
            Value::Gauges(
                "task",
                vec![
                    ("index", doing(|it| it == Tending::Index)),
                    ("schema", doing(|it| it == Tending::Schema)),
                    ("drop", doing(|it| it == Tending::Drop)),
                    ("purge", doing(|it| it == Tending::Purge)),
                    ("expiry", doing(|it| matches!(it, Tending::Expiry { .. }))),
                ],
            ),
        ),
        (
            "mainstay_shard_tended_steps_total",
            "Steps that were done beside the traffic, by what for.",
            Value::Counters(
                "task",
                vec![
                    ("index", counts.index_steps),
                    ("schema", counts.schema_steps),
                    ("drop", counts.drop_steps),
                    ("purge", counts.purge_steps),
                    ("expiry", counts.expiry_steps),
                ],
            ),
        ),
        (
            "mainstay_shard_tended_rows_total",
            "Items that were gone through or removed in those steps, and entries of dropped indexes.",
            Value::Counters(
                "task",
                vec![
                    ("index", counts.index_items),
                    ("schema", counts.schema_items),
                    ("drop", counts.drop_entries),
                    ("purge", counts.purge_items),
                    ("expiry", counts.expiry_items),
                ],
            ),
        ),
        (
            "mainstay_shard_expiry_lag_seconds",
            "How long ago the end of the earliest item had come that was to be removed, in the shard that is furthest behind.",
            Value::Gauge(shards.iter().map(lag).max().unwrap_or(0)),
        ),
    ]
}

fn queries(counts: &Counts) -> Vec<Named> {
    vec![
        (
            "mainstay_shard_queries_total",
            "Pages of items that were asked for, by what became of them.",
            Value::Counters(
                "outcome",
                vec![
                    ("answered", counts.queries_answered),
                    ("too_costly", counts.queries_too_costly),
                    ("refused", counts.queries_refused),
                    ("failed", counts.queries_failed),
                ],
            ),
        ),
        (
            "mainstay_shard_query_reads_total",
            "Entries of indexes, and items, that were read for pages that were answered.",
            Value::Counters("of", vec![("entries", counts.query_entries), ("items", counts.query_items)]),
        ),
    ]
}

fn feeds(counts: &Counts, streams: streams::Counts) -> Vec<Named> {
    vec![
        (
            "mainstay_feed_streams",
            "Streams of changes and of endpoints that are open.",
            Value::Gauge(streams.open),
        ),
        ("mainstay_feed_events_total", "Events that were told to readers.", Value::Counter(streams.events)),
        (
            "mainstay_feed_catch_ups_total",
            "Pages of changes that were read from the log, since the ring had them no more.",
            Value::Counter(counts.feed_catch_ups),
        ),
        (
            "mainstay_feed_gone_total",
            "Readers that were told that the log has what they want no more.",
            Value::Counter(counts.feed_gone),
        ),
        (
            "mainstay_feed_streams_ended_total",
            "Streams that were ended, by why.",
            Value::Counters("reason", vec![("gone", streams.gone), ("stalled", streams.stalled)]),
        ),
    ]
}

fn snapshots(counts: &Counts) -> Vec<Named> {
    vec![
        (
            "mainstay_shard_snapshots_total",
            "Snapshots, by whether they were taken.",
            Value::Counters("result", vec![("taken", counts.snapshots), ("failed", counts.snapshots_failed)]),
        ),
        (
            "mainstay_shard_snapshot_bytes_total",
            "Bytes of the snapshots that were taken.",
            Value::Counter(counts.snapshot_bytes),
        ),
    ]
}

fn stores(shards: &[ShardView], pool: Option<PoolStats>) -> Vec<Named> {
    let sum = |of: fn(&Stats) -> u64| shards.iter().filter_map(|shard| shard.store.as_ref()).map(of).sum();
    let memory = |of: fn(&PoolStats) -> u64| pool.as_ref().map_or(0, of);
    vec![
        (
            "mainstay_store_memory_bytes",
            "Memory of the stores, by what it is for.",
            Value::Gauges(
                "use",
                vec![
                    ("memtables", memory(|pool| pool.memtables.bytes())),
                    ("cache", memory(|pool| pool.cache.bytes())),
                ],
            ),
        ),
        ("mainstay_store_disk_bytes", "Tables of the stores.", Value::Gauge(sum(|stats| stats.disk.bytes()))),
        (
            "mainstay_store_bytes_total",
            "Bytes of rows applied, and bytes of tables written for them by flushes and compactions.",
            Value::Counters(
                "kind",
                vec![
                    ("applied", sum(|stats| stats.bytes_applied)),
                    ("flushed", sum(|stats| stats.bytes_flushed)),
                    ("compacted", sum(|stats| stats.bytes_compacted)),
                ],
            ),
        ),
        (
            "mainstay_store_runs_waiting",
            "Runs of tables that wait to be merged.",
            Value::Gauge(sum(|stats| stats.level0_runs as u64)),
        ),
        (
            "mainstay_store_failing",
            "Stores whose last flush or compaction has failed.",
            Value::Gauge(sum(|stats| stats.last_error.is_some().into())),
        ),
    ]
}

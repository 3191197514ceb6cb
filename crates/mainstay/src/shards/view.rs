//! The shards as the API shows them.

use mainstay_shard::space::{Counts, ShardView, Space, State};
use mainstay_shard::store::{Pool, PoolStats, Stats};
use serde_json::{Value, json};

/// All shards, and the memory that their stores share.
pub fn of(space: &Space, pool: &Pool) -> Value {
    let shards = space.view();
    let PoolStats { memtables, memtables_max, cache, cache_max, .. } = pool.stats();
    json!({
        "shards": shards.iter().map(shard).collect::<Vec<_>>(),
        "memory": {
            "memtable_bytes": memtables.bytes(),
            "memtable_bytes_max": memtables_max.bytes(),
            "cache_bytes": cache.bytes(),
            "cache_bytes_max": cache_max.bytes(),
        },
    })
}

fn shard(shard: &ShardView) -> Value {
    let (state, detail) = match &shard.state {
        State::Recovering => ("recovering", None),
        State::Serving { epoch } => ("serving", Some(("epoch", json!(epoch)))),
        State::Waiting { reason } => ("waiting", Some(("reason", json!(reason)))),
        State::Failed { reason } => ("failed", Some(("reason", json!(reason)))),
        State::Closed => ("closed", None),
    };
    let mut shown = json!({
        "shard": shard.id,
        "state": state,
        "applied": shard.applied,
        "definitions": shard.revision,
        "snapshot": shard.snapshot,
        "waiting": shard.waiting,
        "waiting_bytes": shard.waiting_bytes.bytes(),
        "counts": counts(&shard.counts),
        "store": shard.store.as_ref().map(store),
    });
    if let Some((name, value)) = detail {
        shown[name] = value;
    }
    shown
}

fn counts(counts: &Counts) -> Value {
    json!({
        "committed": counts.committed,
        "refused": counts.refused,
        "replayed": counts.replayed,
        "overloaded": counts.overloaded,
        "expired": counts.expired,
        "unknown": counts.unknown,
        "failed": counts.failed,
        "batches": counts.batches,
        "reads": counts.reads,
        "claims": counts.claims,
        "snapshots": counts.snapshots,
        "snapshots_failed": counts.snapshots_failed,
    })
}

fn store(stats: &Stats) -> Value {
    json!({
        "durable": stats.durable_applied,
        "memtable_bytes": stats.memtables.bytes(),
        "disk_bytes": stats.disk.bytes(),
        "tables": stats.tables,
        "runs": stats.runs,
        "write_amplification": stats.write_amplification(),
        "last_error": stats.last_error,
    })
}

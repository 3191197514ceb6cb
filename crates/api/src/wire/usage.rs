//! What a collection takes and what is done to it, as it is answered.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use mainstay_base::id::Name;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::Definition;
use mainstay_machine::usage::{Flow, HotKey, Part, Taken, Usage};

/// What a collection takes and what is done to it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CollectionUsage")]
pub struct UsageBody {
    /// The collection's name.
    name: Name,
    /// Its items, those too whose end has come and that are not removed yet.
    items: TakenBody,
    /// What finds those items that have an end.
    expiry: TakenBody,
    /// What its indexes take, by name.
    indexes: BTreeMap<Name, IndexUsageBody>,
    /// What is left of indexes that are not defined any more; it is being removed.
    dropped: TakenBody,
    /// What was written for it.
    written: WrittenBody,
    /// Its keys that are used most.
    hot_keys: HotKeysBody,
}

/// Rows of the store.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Taken")]
pub struct TakenBody {
    /// How many.
    count: u64,
    /// The bytes of their keys and values, before they are compressed.
    bytes: u64,
}

/// What an index takes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "IndexUsage")]
pub struct IndexUsageBody {
    /// Its entries.
    entries: TakenBody,
    /// What keeps its values unique; not there if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TakenBody")]
    unique: Option<TakenBody>,
}

/// Bytes that were written for a collection by this node.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Written")]
pub struct WrittenBody {
    /// Since when: the start of the node.
    since: Timestamp,
    /// Keys and values in commits that happened, as they were sent.
    given_bytes: u64,
    /// Rows of it in the log: its items, and what finds them.
    logged_bytes: u64,
    /// Its share of what flushes of the stores wrote, by bytes applied.
    flushed_bytes: u64,
    /// Its share of what compactions of the stores wrote, by bytes applied.
    compacted_bytes: u64,
    /// Bytes logged, flushed and compacted for each byte given; not there while nothing was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    amplification: Option<f64>,
}

/// Keys that are used most. Each count is an upper bound, and is halved in a fixed time.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HotKeys")]
pub struct HotKeysBody {
    /// In what time counts are halved.
    half_life: Duration,
    /// By reads of single items, of which one in eight is counted for eight; the most first.
    reads: Vec<HotKeyBody>,
    /// By changes; the most first.
    writes: Vec<HotKeyBody>,
}

/// A key that is used often.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HotKey")]
pub struct HotKeyBody {
    /// The key.
    key: String,
    /// How often it was used, at most.
    count: u64,
    /// By how much that may be too high.
    error_max: u64,
}

impl UsageBody {
    /// The usage of this collection, whose definition names its indexes.
    pub fn new(name: &Name, definition: &Definition, usage: Usage) -> Self {
        let Usage { rows, since, flow, reads, writes, half_life } = usage;
        let mut indexes = BTreeMap::new();
        let mut dropped = TakenBody::default();
        for (index, number, defined) in definition.indexes() {
            let unique = defined.unique.then(|| rows.get(Part::Held(number)).into());
            let entries = rows.get(Part::Entries(number)).into();
            indexes.insert(index.clone(), IndexUsageBody { entries, unique });
        }
        for (part, taken) in rows.parts() {
            if let Part::Entries(number) | Part::Held(number) = part
                && !definition.numbers.values().any(|it| *it == number)
            {
                dropped.count += taken.rows;
                dropped.bytes += taken.bytes;
            }
        }
        let hot = |keys: Vec<HotKey>| keys.into_iter().map(HotKeyBody::from).collect();
        Self {
            name: name.clone(),
            items: rows.get(Part::Items).into(),
            expiry: rows.get(Part::Ends).into(),
            indexes,
            dropped,
            written: WrittenBody::new(since, flow),
            hot_keys: HotKeysBody { half_life, reads: hot(reads), writes: hot(writes) },
        }
    }
}

impl WrittenBody {
    fn new(since: Timestamp, flow: Flow) -> Self {
        let Flow { given, logged, flushed, compacted } = flow;
        Self {
            since,
            given_bytes: given,
            logged_bytes: logged,
            flushed_bytes: flushed,
            compacted_bytes: compacted,
            amplification: flow.amplification().map(|ratio| (ratio * 100.0).round() / 100.0),
        }
    }
}

impl From<Taken> for TakenBody {
    fn from(Taken { rows, bytes }: Taken) -> Self {
        Self { count: rows, bytes }
    }
}

impl From<HotKey> for HotKeyBody {
    fn from(HotKey { key, count, error }: HotKey) -> Self {
        // Both upwards, so that they stay bounds.
        Self { key, count: count.ceil() as u64, error_max: error.ceil() as u64 }
    }
}

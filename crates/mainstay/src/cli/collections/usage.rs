//! What a collection takes, as people read it.
//!
//! Pure: from what a node has answered to text.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::told::columns;

/// What a collection takes and what is done to it.
#[derive(Debug, Deserialize)]
pub struct Usage {
    items: Taken,
    expiry: Taken,
    indexes: BTreeMap<String, IndexUsage>,
    dropped: Taken,
    written: Written,
    hot_keys: HotKeys,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Taken {
    count: u64,
    bytes: u64,
}

#[derive(Debug, Deserialize)]
struct IndexUsage {
    entries: Taken,
    unique: Option<Taken>,
}

#[derive(Debug, Deserialize)]
struct Written {
    since: String,
    given_bytes: u64,
    logged_bytes: u64,
    flushed_bytes: u64,
    compacted_bytes: u64,
    amplification: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct HotKeys {
    half_life: String,
    reads: Vec<HotKey>,
    writes: Vec<HotKey>,
}

#[derive(Debug, Deserialize)]
struct HotKey {
    key: String,
    count: u64,
    error_max: u64,
}

/// Tables of what it takes, what was written, and the keys that are used most.
pub fn told(usage: &Usage) -> String {
    let parts = [taken(usage), written(&usage.written), hot(&usage.hot_keys)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn taken(usage: &Usage) -> String {
    let mut rows = vec![("items".to_owned(), usage.items)];
    if usage.expiry.count > 0 {
        rows.push(("ends of items".to_owned(), usage.expiry));
    }
    for (name, index) in &usage.indexes {
        rows.push((format!("index {name}"), index.entries));
        rows.extend(index.unique.map(|unique| (format!("index {name}, unique values"), unique)));
    }
    if usage.dropped.count > 0 {
        rows.push(("dropped indexes".to_owned(), usage.dropped));
    }
    let bytes = rows.iter().map(|(_, taken)| taken.bytes).sum();
    let mut lines = vec![["STORED".to_owned(), "COUNT".to_owned(), "SIZE".to_owned()]];
    lines.extend(rows.into_iter().map(|(what, taken)| [what, taken.count.to_string(), size(taken.bytes)]));
    lines.push(["together".to_owned(), String::new(), size(bytes)]);
    columns(&lines)
}

fn written(written: &Written) -> String {
    let times = |bytes: u64| match written.given_bytes {
        0 => String::new(),
        given => format!("{:.2}", bytes as f64 / given as f64),
    };
    let mut lines = vec![["WRITTEN".to_owned(), "SIZE".to_owned(), "PER BYTE GIVEN".to_owned()]];
    lines.push(["given by callers".to_owned(), size(written.given_bytes), String::new()]);
    let kinds = [
        ("logged", written.logged_bytes),
        ("flushed", written.flushed_bytes),
        ("compacted", written.compacted_bytes),
    ];
    lines.extend(kinds.map(|(what, bytes)| [what.to_owned(), size(bytes), times(bytes)]));
    let all = kinds.iter().map(|(_, bytes)| bytes).sum();
    let amplification = written.amplification.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    lines.push(["together".to_owned(), size(all), amplification]);
    format!("{}since {}\n", columns(&lines), written.since)
}

fn hot(keys: &HotKeys) -> String {
    let HotKeys { half_life, reads, writes } = keys;
    if reads.is_empty() && writes.is_empty() {
        return String::new();
    }
    let rows = |what: &'static str, keys: &[HotKey]| {
        let head = [what.to_owned(), "COUNT".to_owned(), "AT LEAST".to_owned()];
        let rows = keys.iter().map(|hot| {
            [hot.key.clone(), hot.count.to_string(), hot.count.saturating_sub(hot.error_max).to_string()]
        });
        std::iter::once(head).chain(rows).collect::<Vec<_>>()
    };
    let told = [("MOST READ", reads), ("MOST CHANGED", writes)]
        .into_iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(what, keys)| columns(&rows(what, keys)));
    format!("{}counts are halved every {half_life}\n", told.collect::<Vec<_>>().join("\n"))
}

/// A size with three digits or more, for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut size, mut unit) = (bytes as f64, None);
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, Some(next));
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOLD: &str = "\
STORED                     COUNT  SIZE
items                      1200   3.3 MiB
ends of items              7      400 B
index isbn                 1200   64.5 KiB
index isbn, unique values  1200   68.4 KiB
dropped indexes            3      100 B
together                          3.5 MiB

WRITTEN           SIZE     PER BYTE GIVEN
given by callers  1000 B
logged            1.5 KiB  1.50
flushed           1000 B   1.00
compacted         2.0 KiB  2.00
together          4.4 KiB  4.50
since 2026-11-28T20:05:00Z

MOST READ  COUNT  AT LEAST
u7         120    112

MOST CHANGED  COUNT  AT LEAST
u9/a          40     40
counts are halved every 10m
";

    #[test]
    fn all_that_there_is_to_tell_stands_in_tables() {
        let taken = |count: u64, bytes: u64| json!({ "count": count, "bytes": bytes });
        let usage = json!({
            "name": "carts",
            "items": taken(1_200, 3_500_000),
            "expiry": taken(7, 400),
            "indexes": { "isbn": { "entries": taken(1_200, 66_000), "unique": taken(1_200, 70_000) } },
            "dropped": taken(3, 100),
            "written": {
                "since": "2026-11-28T20:05:00Z", "given_bytes": 1_000, "logged_bytes": 1_500,
                "flushed_bytes": 1_000, "compacted_bytes": 2_000, "amplification": 4.5,
            },
            "hot_keys": {
                "half_life": "10m",
                "reads": [{ "key": "u7", "count": 120, "error_max": 8 }],
                "writes": [{ "key": "u9/a", "count": 40, "error_max": 0 }],
            },
        });
        assert_eq!(told(&serde_json::from_value(usage).unwrap()), TOLD);
    }

    #[test]
    fn a_size_has_the_unit_that_fits() {
        let sizes = [0, 1_023, 1_024, 1_536, 10 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "16384.0 PiB"]);
    }
}

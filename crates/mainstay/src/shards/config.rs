//! The sections of a node's shards: what waits for them, the rows they keep, and the copies of these.
//!
//! What evaluation depends on is described beside it, in [`mainstay_machine::settings`]. Here is what else the shards are
//! told, what they are made from ([`Config::machine_settings`] and its neighbours), and the rules between all of it.

use std::path::Component;

use mainstay_base::units::{Duration, Size};
use mainstay_log::local;
use mainstay_log::record::HEADER_BYTES;
use mainstay_machine::Settings;
use mainstay_machine::settings::Limits;
use mainstay_shard::inbox::Bounds;
use mainstay_shard::{owner, store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Place;
use crate::config::{Broken, Config, directory};

/// The `inbox` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inbox {
    /// Requests that wait for one shard. One more is answered 503, or puts out the last of the tenant that has the most. Needs a
    /// restart to change.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub waiting_max: u32,
    /// Bytes of the requests that wait for one shard, at least `64KiB`, which is what a tenant's turn is worth; a
    /// larger request waits alone. Every shard has as much: 16 shards with the default take at most 128 MiB. Needs a restart
    /// to change.
    pub size_max: Size,
}

/// The `store` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Rows that are collected in memory before they are written to a table, of one shard: `16KiB` to `32MiB`. Smaller ones are
    /// more tables to merge, larger ones more of the log to replay at a start. Needs a restart to change.
    pub memtable: Size,
    /// All that is collected, of all shards together; at least four times `memtable`. From half of it on the shards slow down.
    /// The process takes up to twice as much for it. Needs a restart to change.
    pub memtables_max: Size,
    /// Blocks of tables that are kept in memory, of all shards together; at least `1MiB`. The rest is left to the page cache
    /// of the operating system. Needs a restart to change.
    pub cache: Size,
    /// Tables that are kept open, of all shards together. Each is a file descriptor: the default leaves half of the
    /// 1,024 that many systems grant. Needs a restart to change.
    #[schemars(range(min = 16, max = 65_536))]
    pub files_max: u32,
    /// Threads that write tables. One keeps up with a disk; a second is of use while logs are replayed. Needs a restart to
    /// change.
    #[schemars(range(min = 1, max = 16))]
    pub flush_threads: u32,
    /// Threads that merge tables. More take the processor and the disk from those who wait for answers. Needs a restart to
    /// change.
    #[schemars(range(min = 1, max = 16))]
    pub compaction_threads: u32,
}

/// The `snapshots` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshots {
    /// The folder they are kept in; without one, `snapshots` in the data directory. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Place>,
    /// How much a shard writes to its log until its next snapshot, at least `64KiB`. Less is a shorter start after a store was
    /// lost, more is less to copy. `keep` times as much must be within `log.pin_bytes_max`.
    pub every: Size,
    /// How many are kept of a shard. Two at least: when the latest is damaged, an older one and the log after it are
    /// all there is, and the log is trimmed to the oldest that is kept. Each takes the space of all rows.
    #[schemars(range(min = 2, max = 16))]
    pub keep: u32,
    /// How many bytes are written in a second at most, of one snapshot; at least `64KiB`. It leaves the disk to the log, whose
    /// syncs callers wait for.
    pub rate_max: Size,
}

/// The `backups` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backups {
    /// The folder they are kept in, best on another disk or machine; without one, `backups` in the data directory. Needs a
    /// restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Place>,
}

impl Default for Inbox {
    fn default() -> Self {
        let Bounds { waiting_max, size_max } = Bounds::default();
        Self { waiting_max: small(waiting_max), size_max }
    }
}

impl Default for Store {
    fn default() -> Self {
        let options = store::Options::default();
        Self {
            memtable: options.memtable,
            memtables_max: options.memtables_max,
            cache: options.cache,
            files_max: small(options.files_max),
            flush_threads: small(options.flush_threads),
            compaction_threads: small(options.compaction_threads),
        }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { to: None, every: Size::from_mib(256), keep: 2, rate_max: Size::from_mib(64) }
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a default is small")
}

fn wide(number: u32) -> usize {
    usize::try_from(number).expect("a size has at least 32 bits")
}

impl Store {
    /// The keys with their values as text.
    pub fn options(&self) -> [(&'static str, String); 6] {
        [
            ("memtable", self.memtable.to_string()),
            ("memtables_max", self.memtables_max.to_string()),
            ("cache", self.cache.to_string()),
            ("files_max", self.files_max.to_string()),
            ("flush_threads", self.flush_threads.to_string()),
            ("compaction_threads", self.compaction_threads.to_string()),
        ]
    }
}

impl Config {
    /// What commands are evaluated with.
    pub fn machine_settings(&self) -> Settings {
        Settings { limits: self.limits.clone(), retention: self.idempotency.clone() }
    }

    /// How the stores of all shards are kept.
    pub fn store_options(&self) -> store::Options {
        store::Options {
            memtable: self.store.memtable,
            memtables_max: self.store.memtables_max,
            cache: self.store.cache,
            files_max: wide(self.store.files_max),
            flush_threads: wide(self.store.flush_threads),
            compaction_threads: wide(self.store.compaction_threads),
            ..store::Options::default()
        }
    }

    /// How much may wait for one shard.
    pub fn inbox_bounds(&self) -> Bounds {
        Bounds { waiting_max: wide(self.inbox.waiting_max), size_max: self.inbox.size_max }
    }

    /// Where snapshots are kept.
    pub fn snapshots_to(&self) -> Place {
        self.place(self.snapshots.to.as_ref(), "snapshots")
    }

    /// Where backups are kept.
    pub fn backups_to(&self) -> Place {
        self.place(self.backups.to.as_ref(), "backups")
    }

    fn place(&self, chosen: Option<&Place>, folder: &str) -> Place {
        chosen.cloned().unwrap_or_else(|| Place::Folder(self.data.as_path().join(folder)))
    }
}

/// The least that is a snapshot's worth, or a turn's.
const SIZE_MIN: Size = Size::from_kib(64);

/// The rules that the types cannot state.
pub fn broken_rules(config: &Config) -> Vec<Broken> {
    let rules = [value, read, body, record, idempotency, inbox, store_options, snapshots, pins, places];
    let broken = rules.into_iter().filter_map(|rule| rule(config));
    let snapshots_to = config.snapshots.to.as_ref().and_then(|to| place(&["snapshots", "to"], to));
    let backups_to = config.backups.to.as_ref().and_then(|to| place(&["backups", "to"], to));
    broken.chain(snapshots_to).chain(backups_to).collect()
}

fn value(config: &Config) -> Option<Broken> {
    let Limits { value_size_max, commit_size_max, .. } = config.limits;
    let max = commit_size_max.min(Limits::VALUE_SIZE_MAX);
    if value_size_max <= max {
        return None;
    }
    let message = if value_size_max > Limits::VALUE_SIZE_MAX {
        format!("a value of {value_size_max} does not fit into a row of a snapshot")
    } else {
        format!("a value of {value_size_max} does not fit into a commit, which has at most {commit_size_max}")
    };
    let is_default = value_size_max == Limits::default().value_size_max;
    Some(Broken {
        path: if is_default { &["limits", "commit_size_max"] } else { &["limits", "value_size_max"] },
        message,
        help: format!("let `limits.value_size_max` be at most {max}"),
    })
}

fn read(config: &Config) -> Option<Broken> {
    let Limits { value_size_max, read_size_max, commit_size_max, .. } = config.limits;
    let value_size_max = value_size_max.min(commit_size_max).min(Limits::VALUE_SIZE_MAX);
    let is_default = read_size_max == Limits::default().read_size_max;
    (read_size_max < value_size_max).then(|| Broken {
        path: if is_default { &["limits", "value_size_max"] } else { &["limits", "read_size_max"] },
        message: format!(
            "a commit that looks at {read_size_max} could not change an item of {value_size_max}, which may be stored"
        ),
        help: format!("let `limits.read_size_max` be at least {value_size_max}"),
    })
}

fn body(config: &Config) -> Option<Broken> {
    let (commit, body) = (config.limits.commit_size_max, config.api.body_max);
    let needed = (commit.bytes() / 3).saturating_mul(4);
    let is_default = commit == Limits::default().commit_size_max;
    let shown = match needed.div_ceil(1 << 10) {
        kib @ 1024.. => Size::from_bytes(kib.saturating_mul(1 << 10)),
        _ => Size::from_bytes(needed),
    };
    (body.bytes() < needed).then(|| Broken {
        path: if is_default { &["api", "body_max"] } else { &["limits", "commit_size_max"] },
        message: format!(
            "a commit of {commit} takes up to {shown} in base64, and a request's body has at most {body}"
        ),
        help: format!(
            "let `api.body_max` be at least {shown}, or `limits.commit_size_max` at most {}",
            Size::from_bytes(body.bytes() / 4 * 3)
        ),
    })
}

fn record(config: &Config) -> Option<Broken> {
    let limits = &config.limits;
    let record = local::Options::default().record_max;
    let in_record = Size::from_bytes(record.bytes() - HEADER_BYTES as u64);
    let max = in_record.min(owner::Options::default().batch_size_max);
    let batch = limits.batch_size_max();
    if batch <= max {
        return None;
    }
    let is_default = limits.commit_size_max == Limits::default().commit_size_max;
    let heads = batch.bytes() - limits.commit_size_max.bytes();
    let help = match max.bytes().checked_sub(heads) {
        Some(room) => format!("let `limits.commit_size_max` be at most {}", Size::from_kib(room >> 10)),
        None => "lower `limits.operations_max`".to_owned(),
    };
    Some(Broken {
        path: if is_default { &["limits", "operations_max"] } else { &["limits", "commit_size_max"] },
        message: format!(
            "a commit of {} with {} operations takes up to {batch} in the log, and a record has at most {record}",
            limits.commit_size_max, limits.operations_max
        ),
        help,
    })
}

fn idempotency(config: &Config) -> Option<Broken> {
    let (keep, least) = (config.idempotency.keep, Duration::from_secs(1));
    (keep < least).then(|| Broken {
        path: &["idempotency", "keep"],
        message: format!(
            "after {keep} a repeated request would be done again, before its caller can send it"
        ),
        help: format!("keep outcomes for at least {least}"),
    })
}

fn inbox(config: &Config) -> Option<Broken> {
    let size = config.inbox.size_max;
    (size < SIZE_MIN).then(|| Broken {
        path: &["inbox", "size_max"],
        message: format!("{size} is less than what a tenant's turn is worth"),
        help: format!("allow at least {SIZE_MIN}"),
    })
}

fn store_options(config: &Config) -> Option<Broken> {
    const PATHS: [&[&str]; 6] = [
        &["store", "memtable"],
        &["store", "memtables_max"],
        &["store", "cache"],
        &["store", "files_max"],
        &["store", "flush_threads"],
        &["store", "compaction_threads"],
    ];
    let error = config.store_options().check().err()?;
    let store::Error::Options { field, found, allowed } = error else {
        unreachable!("the check of options finds nothing else")
    };
    let path = PATHS.into_iter().find(|path| path.ends_with(&[field]));
    Some(Broken {
        path: path.expect("what cannot be written is at its default"),
        message: format!("{found} is out of range"),
        help: match field {
            "memtables_max" => format!("use {allowed}, four times `store.memtable`"),
            _ => format!("use {allowed}"),
        },
    })
}

fn snapshots(config: &Config) -> Option<Broken> {
    let Snapshots { every, rate_max, .. } = config.snapshots;
    let (path, message): (&'static [&'static str], _) = if every < SIZE_MIN {
        (&["snapshots", "every"], format!("a snapshot for every {every} writes more than the log does"))
    } else if rate_max < SIZE_MIN {
        (&["snapshots", "rate_max"], format!("at {rate_max} a second the next one is due before one is done"))
    } else {
        return None;
    };
    Some(Broken { path, message, help: format!("use {SIZE_MIN} or more") })
}

/// What is kept of the log for the snapshots that are kept.
fn pins(config: &Config) -> Option<Broken> {
    let Snapshots { every, keep, .. } = config.snapshots;
    let pinned = Size::from_bytes(every.bytes().saturating_mul(keep.into()));
    let max = config.log.pin_bytes_max;
    let default = Snapshots::default();
    let path: &'static [&'static str] = match (every == default.every, keep == default.keep) {
        (false, _) => &["snapshots", "every"],
        (true, false) => &["snapshots", "keep"],
        (true, true) => &["log", "pin_bytes_max"],
    };
    // Less than a file of the log is a mistake of its own.
    (pinned > max && max >= local::Options::default().segment).then(|| Broken {
        path,
        message: format!(
            "{keep} snapshots that are {every} of the log apart keep {pinned} of it, and a shard may keep {max}"
        ),
        help: format!(
            "let `snapshots.every` be at most {}, or `log.pin_bytes_max` at least {pinned}",
            Size::from_kib((max.bytes() / u64::from(keep.max(1))) >> 10)
        ),
    })
}

/// Both have objects of the same names.
fn places(config: &Config) -> Option<Broken> {
    let (snapshots, backups) = (config.snapshots_to(), config.backups_to());
    let steps = |place: &Place| -> Option<Vec<_>> {
        let steps = place.folder()?.components().filter(|step| *step != Component::CurDir);
        Some(steps.map(|step| step.as_os_str().to_owned()).collect())
    };
    let are_same = match (steps(&snapshots), steps(&backups)) {
        (None, None) => snapshots == backups,
        (snapshots, backups) => snapshots == backups,
    };
    are_same.then(|| Broken {
        path: if config.backups.to.is_some() { &["backups", "to"] } else { &["snapshots", "to"] },
        message: format!(
            "{backups} would have both snapshots and backups, which are removed at different times"
        ),
        help: "name another place, best on another disk or machine".into(),
    })
}

/// Why files cannot be kept in a place.
fn place(path: &'static [&'static str], place: &Place) -> Option<Broken> {
    let folder = place.folder()?;
    let (message, help) = directory::problem(folder)?;
    Some(Broken { path, message, help })
}

//! The node's log: everything durable goes through it.

mod metrics;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy};
use mainstay_base::units::Size;
use mainstay_log::local::disk::{Directory, Disk};
use mainstay_log::local::{Local, Options, Recovery};
use mainstay_log::{Act, Durability, Error, Log};
use mainstay_shard::snapshot::keeper::Pinned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{self, Broken};
use crate::telemetry::metrics::Metrics;

/// The folder of the log below the data directory.
const FOLDER: &str = "log";

/// Nobody appends to it, so that waiting for its records ends with the log.
const NO_SHARD: ShardId = ShardId::new(u32::MAX);

/// Takes the folder of the log below the data directory for this process, and makes it if needed. Blocks on files.
/// Errors: [`Error::Unavailable`].
pub fn directory(data: &Path) -> Result<Arc<dyn Disk>, Error> {
    let place = data.join(FOLDER);
    match Directory::open(&place) {
        Ok(directory) => Ok(Arc::new(directory)),
        Err(error) => Err(match config::directory::problem(&place) {
            Some((reason, _)) => Error::Unavailable { act: Act::Open, reason },
            None => error,
        }),
    }
}

/// Why a node cannot start with its log, and what to do.
pub fn told(error: &Error) -> String {
    match error {
        Error::Unavailable { reason, .. } => {
            format!("the log cannot be used: {reason}; mend that, or choose another directory with `data`")
        }
        Error::Damaged { .. } => format!(
            "{error}; keep a copy of the data directory, then `mainstay inspect log` with it tells what a repair would lose"
        ),
        Error::Unproven { .. } => format!("{error}; the settings are `data` and `log.durability`"),
        error => error.to_string(),
    }
}

/// The `log` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What keeps the log. Needs a restart to change; records do not move from one engine to another.
    pub engine: Engine,
    /// What an acknowledged write has survived. Every answer says which it is. Needs a restart to change.
    pub durability: Chosen,
    /// The bytes that one shard may keep the log from forgetting, at least `64MiB`. A shard that holds back more is
    /// reported, and snapshotted so that it lets go. Needs a restart to change.
    pub pin_bytes_max: Size,
}

/// What keeps the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Files below `data`: no other server is needed.
    Local,
    /// Tables of a PostgreSQL that is there already.
    Postgres,
}

/// What an acknowledged write has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// The loss of power: it is on the storage device.
    Synced,
    /// The end of the process, not the loss of power: it is with the operating system. Acknowledged writes
    /// can be lost.
    Written,
}

impl Default for Config {
    fn default() -> Self {
        Self { engine: Engine::Local, durability: Chosen::Synced, pin_bytes_max: Size::from_mib(1024) }
    }
}

impl Config {
    /// The rules that the types cannot state.
    pub fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if self.engine == Engine::Postgres {
            broken.push(Broken {
                path: &["log", "engine"],
                message: "the engine `postgres` needs nodes that agree on who owns a shard, and this version has none"
                    .into(),
                help: "use `local`, whose files below `data` need no other server".into(),
            });
        }
        let file = Options::default().segment;
        if self.pin_bytes_max < file {
            broken.push(Broken {
                path: &["log", "pin_bytes_max"],
                message: format!(
                    "{} is less than one file of the log, and files are let go as a whole",
                    self.pin_bytes_max
                ),
                help: format!("allow at least {file}"),
            });
        }
        broken
    }
}

impl From<Chosen> for Durability {
    fn from(chosen: Chosen) -> Self {
        match chosen {
            Chosen::Synced => Self::Synced,
            Chosen::Written => Self::Written,
        }
    }
}

/// The log of a node that is up.
#[derive(Clone)]
pub struct NodeLog {
    local: Arc<Local>,
    recovery: Arc<Recovery>,
}

impl NodeLog {
    /// Opens the log on a disk, or makes one. It must have reached the indexes that are `known` from elsewhere. Blocks on files.
    /// Errors are those of the engine.
    pub fn open(
        config: &Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        known: BTreeMap<ShardId, Index>,
    ) -> Result<Self, Error> {
        let place = disk.place();
        let options = Options {
            durability: config.durability.into(),
            pin_max: config.pin_bytes_max,
            known,
            ..Options::default()
        };
        let (local, recovery) = Local::open_on(disk, &options, clock, entropy)?;
        tell(&place, &recovery);
        Ok(Self { local: Arc::new(local), recovery: Arc::new(recovery) })
    }

    /// Has the engine prove what it promises on this machine.
    pub async fn prove(&self) -> Result<(), Error> {
        let guarantees = self.local.preflight().await?;
        if guarantees.durability == Durability::Written {
            tracing::warn!(
                target: "mainstay::log",
                durability = %guarantees.durability,
                "acknowledged writes can be lost with the power; `log.durability` says so"
            );
        }
        Ok(())
    }

    /// Waits until it takes no more records, although nobody has closed it; returns why. Reading may go on.
    /// Cancel-safe.
    pub async fn failed(&self) -> String {
        match self.local.wait(NO_SHARD, Index::new(u64::MAX)).await {
            Err(Error::Poisoned { reason }) => reason,
            Err(error) => format!("{error}: its thread has ended, and another log line says why"),
            Ok(()) => unreachable!("nobody appends to that shard"),
        }
    }

    /// Shows its counters to scrapers.
    pub fn count_in(&self, metrics: &Metrics) {
        metrics.collect(metrics::collected(Arc::downgrade(&self.local), &self.recovery));
    }

    /// The port that shards append to.
    pub fn port(&self) -> Arc<dyn Log> {
        Arc::<Local>::clone(&self.local)
    }

    /// Names the shards that hold back too much of the log.
    pub fn pinned(&self) -> Pinned {
        let local = Arc::clone(&self.local);
        Box::new(move || local.pins().iter().map(|pin| pin.shard).collect())
    }

    /// Takes no more, finishes what waits and closes cleanly.
    pub async fn close(&self) -> Result<(), Error> {
        self.local.close().await
    }

    /// What the API shows.
    pub fn view(&self) -> Value {
        let stats = self.local.stats();
        let pins = self.local.pins();
        let pins = pins.iter().map(|pin| json!({ "shard": pin.shard, "bytes": pin.bytes, "from": pin.from }));
        json!({
            "engine": Engine::Local,
            "durability": self.local.guarantees().durability,
            "record_bytes_max": self.local.limits().record_bytes_max,
            "state": state(stats.poisoned, stats.full),
            "segments": stats.segments,
            "spares": stats.spares,
            "records": stats.records,
            "pinned_bytes": stats.pinned_bytes,
            "pins": pins.collect::<Vec<_>>(),
            "recovery": {
                "clean": self.recovery.is_clean,
                "cut_bytes": self.recovery.cut.as_ref().map_or(0, |cut| cut.bytes),
                "rewritten_bytes": self.recovery.rewritten_bytes,
            },
        })
    }
}

/// Whether the log takes records.
fn state(is_poisoned: bool, is_full: bool) -> &'static str {
    match (is_poisoned, is_full) {
        (true, _) => "poisoned",
        (false, true) => "full",
        (false, false) => "writing",
    }
}

/// Tells what opening the log has found.
fn tell(place: &str, recovery: &Recovery) {
    let Recovery { is_new, is_clean, segments, rewritten_bytes, .. } = *recovery;
    tracing::debug!(target: "mainstay::log", place, is_new, is_clean, segments, "log opened");
    if !is_clean {
        let cut_bytes = recovery.cut.as_ref().map_or(0, |cut| cut.bytes);
        tracing::info!(
            target: "mainstay::log",
            rewritten_bytes,
            cut_bytes,
            "the log was not closed cleanly; its end was made durable, and a last group that is not whole was cut off"
        );
    }
    if !recovery.foreign.is_empty() {
        let files = recovery.foreign.join(", ");
        tracing::warn!(target: "mainstay::log", files, "files that are not the log's lie in its folder");
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::time::{ManualClock, SeededEntropy};
    use mainstay_log::faulty::SimDisk;

    use super::*;

    #[tokio::test]
    async fn a_log_that_is_closed_although_nobody_asked_has_failed() {
        let (machine, clock) = (SimDisk::new(1), Arc::new(ManualClock::default()));
        let log = NodeLog::open(
            &Config::default(),
            machine.mount(),
            clock,
            &SeededEntropy::new(1),
            BTreeMap::new(),
        );
        let log = log.expect("a new log");
        // What a defect does to it, as far as those can see who wait.
        log.close().await.expect("it closes");
        let reason = log.failed().await;
        assert!(reason.starts_with("the log is closed: its thread has ended"), "{reason}");
    }
    #[test]
    fn a_disk_without_room_for_a_log_is_told_with_what_is_missing() {
        let (machine, clock) = (SimDisk::new(1), Arc::new(ManualClock::default()));
        machine.set_capacity(1 << 20);
        let opened = NodeLog::open(
            &Config::default(),
            machine.mount(),
            clock,
            &SeededEntropy::new(1),
            BTreeMap::new(),
        );
        let error = told(&opened.err().expect("there is no room"));
        assert!(error.starts_with("the log cannot be used: "), "{error}");
        assert!(error.contains(" has 1MiB left, and the next segment takes 4MiB; mend that, or "), "{error}");
    }
}

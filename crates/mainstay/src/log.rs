//! The node's log: everything durable goes through it.

mod metrics;

use std::path::Path;
use std::sync::Arc;

use mainstay_base::time::{Clock, Entropy};
use mainstay_base::units::Size;
use mainstay_log::local::{Local, Options, Recovery};
use mainstay_log::{Durability, Error, Log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Broken;
use crate::telemetry::metrics::Metrics;

/// The folder of the log below the data directory.
const FOLDER: &str = "log";

/// The `log` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What keeps the log. Needs a restart to change; records do not move from one engine to another.
    pub engine: Engine,
    /// What an acknowledged write has survived. Every answer says which it is. Needs a restart to change.
    pub durability: Chosen,
    /// The bytes that one shard may keep the log from forgetting. A shard that holds back more is reported, and
    /// snapshotted so that it lets go. Needs a restart to change.
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
    /// Opens the log below `data`, or makes one, and has it prove its guarantees. Blocks on files. Errors are those of
    /// the engine.
    pub fn open(
        config: &Config,
        data: &Path,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let place = data.join(FOLDER);
        let options = Options {
            durability: config.durability.into(),
            pin_max: config.pin_bytes_max,
            ..Options::default()
        };
        let (local, recovery) = Local::open(&place, &options, clock, entropy)?;
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

    /// Shows its counters to scrapers.
    pub fn count_in(&self, metrics: &Metrics) {
        metrics.collect(metrics::Collected::new(Arc::downgrade(&self.local), &self.recovery));
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
fn tell(place: &Path, recovery: &Recovery) {
    let Recovery { is_new, is_clean, segments, rewritten_bytes, .. } = *recovery;
    tracing::debug!(target: "mainstay::log", place = %place.display(), is_new, is_clean, segments, "log opened");
    if !is_clean {
        let cut_bytes = recovery.cut.as_ref().map_or(0, |cut| cut.bytes);
        tracing::info!(
            target: "mainstay::log",
            rewritten_bytes,
            cut_bytes,
            "the log was not closed cleanly; its end was made durable, and what nobody was told of was cut off"
        );
    }
    if !recovery.foreign.is_empty() {
        let files = recovery.foreign.join(", ");
        tracing::warn!(target: "mainstay::log", files, "files that are not the log's lie in its folder");
    }
}

//! `mainstay backup` and `mainstay restore`: all data of a node as of one time, and their way back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::Request;
use clap::Args;
use mainstay_base::id::Name;
use mainstay_base::time::{Clock, Entropy};
use mainstay_shard::backup::{self, Restored};
use serde_json::{Value, json};

use super::{OK, Output, OutputArg, Source, USAGE, ask, failed, output};
use crate::backups::{Backups, Named};
use crate::config::Config;
use crate::config::value::Place;
use crate::life::lock::{self, DataLock, Holder};
use crate::life::{Scope, Started};
use crate::system::{SystemClock, SystemEntropy};
use crate::{node, shards};

/// How long a node may take for a backup before the command gives up waiting; the node goes on.
const TAKE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long stores may take to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    #[command(flatten)]
    source: Source,
    /// What the backup is called below `backups.to`; without a name, by the time
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    #[command(flatten)]
    output: OutputArg,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    source: Source,
    /// The backup: a name below `backups.to`, the path of its folder, or `s3://bucket/prefix/name`
    #[arg(long, value_name = "NAME")]
    from: String,
    #[command(flatten)]
    output: OutputArg,
}

/// Takes a backup, by the node that is up or, if none is, by itself.
pub fn backup(backup: Backup) -> io::Result<u8> {
    let Ok(config) = backup.source.load() else { return Ok(USAGE) };
    match take(&config, backup.name) {
        Ok(named) => {
            match backup.output.output {
                Output::Json => output::json(&named)?,
                Output::Human => output::text(&taken(&named))?,
            }
            Ok(OK)
        }
        Err(error) => Ok(failed(&error)),
    }
}

/// Restores a backup into a new data directory.
pub fn restore(restore: Restore) -> io::Result<u8> {
    let Ok(config) = restore.source.load() else { return Ok(USAGE) };
    match bring_back(&config, &restore.from) {
        Ok(restored) => {
            match restore.output.output {
                Output::Json => output::json(&document(&config, &restored))?,
                Output::Human => output::text(&told(&config, &restored))?,
            }
            Ok(OK)
        }
        Err(error) => Ok(failed(&error)),
    }
}

fn take(config: &Config, name: Option<Name>) -> Result<Named> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match locked(config, &*clock) {
        Ok(lock) => runtime()?.block_on(take_here(config, &clock, name, lock)),
        Err(lock::Error::Held { holder: Some(holder), .. }) if holder.api.is_some() => {
            let api = holder.api.expect("it was just looked at");
            ask(&ask::Node::at(api, config), name.as_ref())
        }
        Err(error) => Err(error.into()),
    }
}

fn locked(config: &Config, clock: &dyn Clock) -> Result<DataLock, lock::Error> {
    let holder =
        Holder { pid: std::process::id(), node: config.node.id.clone(), since: clock.wall(), api: None };
    DataLock::acquire(config.data.as_path(), holder)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

/// Asks the node that has the data directory.
fn ask(node: &ask::Node, name: Option<&Name>) -> Result<Named> {
    let answer = node.send(Request::post("/v1/backups"), Some(&json!({ "name": name })), TAKE_MAX)?;
    ask::typed(answer)
}

/// Opens the data of a node that is not up, as it would.
async fn take_here(
    config: &Config,
    clock: &Arc<dyn Clock>,
    name: Option<Name>,
    lock: DataLock,
) -> Result<Named> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let (scope, _alarm) = Scope::new("backup");
    let mut started = Started::default();
    let kept = node::open_data(config, (clock, &entropy), &scope, &mut started, crate::log::directory).await;
    let named = match kept {
        Ok((_, shards)) => match shards.space().ready().await {
            Ok(()) => match Backups::new(config, shards.space(), clock) {
                Ok(backups) => backups.take(name).await.map_err(Into::into),
                Err(error) => Err(error.into()),
            },
            Err(reason) => Err(anyhow!(reason)),
        },
        Err(error) => Err(error.into()),
    };
    let undone = started.stop(CLOSE_MAX).await;
    drop(lock);
    undone.into_iter().for_each(|undone| output::note(&format!("warning: {undone}")));
    named
}

fn bring_back(config: &Config, from: &str) -> Result<Restored> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let place = match from.parse::<Place>() {
        Ok(place) if from.contains('/') => place,
        Err(reason) if from.contains('/') => bail!("{reason}"),
        _ => config.backups_to().below(from),
    };
    if let Some(folder) = place.folder()
        && !folder.is_dir()
    {
        bail!("there is no backup at {place}: name one below `backups.to`, or the path of its folder");
    }
    let from = shards::location("backups.to", &place, config)?;
    let lock = locked(config, &*clock)?;
    let data = config.data.as_path();
    if has_files(data, place.folder()).with_context(|| format!("cannot look into {}", data.display()))? {
        bail!(backup::Error::NotEmpty(data.display().to_string()));
    }
    let snapshots = shards::location("snapshots.to", &config.snapshots_to(), config)?;
    let restoring = backup::restore(&from, config.data.as_path(), &snapshots, &SystemEntropy);
    let restored = runtime()?.block_on(restoring);
    drop(lock);
    let restored = restored?;
    let shards = restored.backup.count();
    if shards != config.shards {
        output::note(&format!(
            "note: the backup has {shards} shards; set `shards: {shards}` before a node is started on it"
        ));
    }
    Ok(restored)
}

/// Whether a data directory has anything but its lock, folders without anything, and the backup itself.
fn has_files(data: &Path, backup: Option<&Path>) -> io::Result<bool> {
    let backup = backup.map(Path::canonicalize).transpose()?;
    for entry in data.canonicalize()?.read_dir()? {
        let path = entry?.path();
        let is_ours = path.ends_with(lock::FILE) || backup.as_ref().is_some_and(|it| it.starts_with(&path));
        if !is_ours && (!path.is_dir() || path.read_dir()?.next().is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn taken(Named { name, place, backup }: &Named) -> String {
    let (rows, bytes) = size(backup);
    format!(
        "backup {name} taken in {place}: {} shards, {rows} rows, {bytes} bytes, as of {}\n",
        backup.count(),
        backup.cut.time
    )
}

fn size(backup: &backup::Backup) -> (u64, u64) {
    let parts = backup.shards.iter();
    parts.fold((0, 0), |(rows, bytes), part| (rows + part.rows, bytes + part.bytes))
}

const REPEATED: &str = "\
What was committed later is not in it. Idempotency keys that were used later are unknown to it: a request that is sent again
under such a key is done again. Effects outside, such as calls that were made for later commits, can happen a second time.
Positions from before the restore are answered 410, and versions given out after the backup match nothing.
";

fn told(config: &Config, Restored { backup, timeline }: &Restored) -> String {
    let (rows, bytes) = size(backup);
    format!(
        "restored into {}: {} shards, {rows} rows, {bytes} bytes, as of {}; line of history {}\n\n{REPEATED}\n\
         Start a node on it: `mainstay up`\n",
        config.data,
        backup.count(),
        backup.cut.time,
        timeline.number
    )
}

fn document(config: &Config, Restored { backup, timeline }: &Restored) -> Value {
    json!({ "data": config.data, "backup": backup, "timeline": timeline.number, "note": REPEATED })
}

//! The node's shards: their stores and snapshots, the drivers that serve them, and what is told of them.
//!
//! The stores are opened before the log, since what they have durably the log must have as well; the shards are served after it.

pub mod config;
mod metrics;
mod view;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use mainstay_api::streams::Streams;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy};
use mainstay_machine::Settings;
use mainstay_machine::task::Declare;
use mainstay_shard::feed;
use mainstay_shard::inbox::Bounds;
use mainstay_shard::owner;
use mainstay_shard::snapshot::bucket;
use mainstay_shard::snapshot::keeper::{Keeper, Rules};
use mainstay_shard::snapshot::location::{self, Location};
use mainstay_shard::space::manifest::{self, Manifest};
use mainstay_shard::space::{Parts, Rebuilt, Space, Stores, Undeclared};
use mainstay_shard::store::{self, Pool};
use serde_json::Value;

use crate::config::Config;
use crate::config::value::Place;
use crate::life::{Scope, Unfinished};
use crate::log::NodeLog;
use crate::telemetry::metrics::Metrics;

/// The folder of the stores below the data directory.
pub const FOLDER: &str = "stores";

/// Why a node cannot have its shards.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the data directory was made as.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// Another number of shards.
    #[error(
        "`shards` is {configured}, and {} was made with {made}: set it to {made}; data do not move between shards yet", data.display()
    )]
    Shards {
        /// As configured.
        configured: u32,
        /// As the data directory was made.
        made: u32,
        /// The data directory.
        data: PathBuf,
    },
    /// Half of a backup.
    #[error(
        "a restore into {} was interrupted: remove the directory and restore the backup again", data.display()
    )]
    Restoring {
        /// The data directory.
        data: PathBuf,
    },
    /// The stores.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// A folder for snapshots or backups.
    #[error("cannot use the folder {} of `{key}`: {source}", folder.display())]
    Folder {
        /// The key that names it.
        key: &'static str,
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A bucket for snapshots or backups.
    #[error("cannot use {place} of `{key}`: {source}")]
    Bucket {
        /// The key that names it.
        key: &'static str,
        /// The bucket and the prefix.
        place: Place,
        /// Why not.
        source: bucket::Error,
    },
    /// The location of snapshots.
    #[error("{0}; it is needed to tell what the log must have")]
    Location(#[from] location::Error),
}

/// Why a node does not come up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BringUp {
    /// A shard is not served.
    #[error("{0}")]
    Unserved(String),
    /// What the configuration defines contradicts what there is.
    #[error("{0}")]
    Refused(String),
}

/// How long a node waits before it tries again to define what its configuration says.
const DECLARE_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a reload waits for all shards.
const DECLARE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// The stores of a node whose log is not open yet.
pub struct Opened {
    pool: Arc<Pool>,
    stores: Stores,
    snapshots: Location,
    shards: u32,
    /// The next indexes that the log must have reached.
    pub known: BTreeMap<ShardId, Index>,
}

/// The shards of a node that is up.
#[derive(Clone)]
pub struct NodeShards {
    space: Arc<Space>,
    pool: Arc<Pool>,
    settings: Arc<ArcSwap<Settings>>,
    rules: Arc<ArcSwap<Rules>>,
    resources: mainstay_api::Api,
    scope: Scope,
}

impl Opened {
    /// Opens the stores below the data directory, which this process has locked, or makes them.
    pub async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let snapshots = location("snapshots.to", &config.snapshots_to(), config)?;
        let (data, shards) = (config.data.as_path().to_owned(), config.shards);
        let (options, clock) = (config.store_options(), Arc::clone(clock));
        let opening = tokio::task::spawn_blocking(move || stores(&data, shards, &options, clock));
        let opened = opening.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let (manifest, pool, stores) = opened?;
        let (known, error) =
            mainstay_shard::space::known(&stores, &snapshots, manifest.timeline_number()).await;
        match error {
            None => {}
            // Whoever can't read a folder can mend it. A bucket that is out of reach must not keep a node down.
            Some(error) if config.snapshots_to().folder().is_some() => return Err(error.into()),
            Some(error) => {
                tracing::warn!(target: "mainstay::shard", %error, "snapshots not listed, so what the log must have is known from the stores alone");
            }
        }
        Ok(Self { pool, stores, snapshots, shards, known })
    }

    /// Serves the shards on a log that is open and proven.
    pub fn serve(
        self,
        config: &Config,
        log: &NodeLog,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
        scope: &Scope,
    ) -> NodeShards {
        let settings = Arc::new(ArcSwap::from_pointee(config.machine_settings()));
        let bounds: Bounds = config.inbox_bounds();
        let parts = Parts {
            log: log.port(),
            is_exclusive: true,
            settings: Arc::clone(&settings),
            inbox: bounds,
            owner: owner::Options::default(),
            feed: feed::Options::default(),
            snapshots: self.snapshots.clone(),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        };
        let (space, drivers) = Space::new(self.stores, &parts);
        let scope = scope.sibling("shards");
        for driver in drivers {
            scope.spawn("shard", driver.run());
        }
        let rolled = Arc::clone(&space);
        scope.spawn("definitions", async move { rolled.roll_out().await });
        let tended = Arc::clone(&space);
        scope.spawn("gardener", async move { tended.tend().await });
        let rules = Arc::new(ArcSwap::from_pointee(rules(config)));
        let keeper = Keeper {
            space: Arc::clone(&space),
            shards: self.shards,
            log: log.port(),
            pinned: log.pinned(),
            location: self.snapshots,
            rules: Arc::clone(&rules),
            clock: Arc::clone(clock),
        };
        let closing = scope.closing();
        scope.spawn("snapshots", async move { keeper.run(closing.cancelled()).await });
        let resources = mainstay_api::Api {
            shards: Arc::<Space>::clone(&space),
            settings: Arc::new(ArcSwap::from_pointee(config.api.committed(config.machine_settings()))),
            clock: Arc::clone(clock),
            streams: Streams::default(),
        };
        NodeShards { space, pool: self.pool, settings, rules, resources, scope }
    }
}

impl NodeShards {
    /// The port to what is committed.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// What the resources over what is committed work with.
    pub fn resources(&self) -> &mainstay_api::Api {
        &self.resources
    }

    /// Waits until every shard is served and has what the configuration defines.
    ///
    /// Errors: why that will not be before the node is started again.
    pub async fn bring_up(&self, declare: Declare) -> Result<(), BringUp> {
        self.space.ready().await.map_err(BringUp::Unserved)?;
        loop {
            match self.space.declare(declare.clone()).await {
                Ok(()) => return Ok(()),
                Err(Undeclared::Refused(refusal)) => {
                    return Err(BringUp::Refused(refusal.detail().to_owned()));
                }
                Err(error @ Undeclared::Failed(_)) => {
                    tracing::warn!(target: "mainstay::shard", %error, "what the configuration defines is not in force yet, trying again");
                    tokio::time::sleep(DECLARE_PAUSE).await;
                }
            }
        }
    }

    /// Puts what a new configuration defines in force. Errors: why it is not.
    pub async fn declare(&self, declare: Declare) -> Result<(), String> {
        let declared = tokio::time::timeout(DECLARE_MAX, self.space.declare(declare)).await;
        let late =
            |_| format!("not every shard has taken the definitions within {DECLARE_MAX:?}: reload again");
        declared.map_err(late)?.map_err(|error| error.to_string())
    }

    /// Puts a new configuration in force.
    pub fn configure(&self, config: &Config) {
        self.resources.settings.store(Arc::new(config.api.committed(config.machine_settings())));
        self.settings.store(Arc::new(config.machine_settings()));
        self.rules.store(Arc::new(rules(config)));
    }

    /// Shows its counters to scrapers.
    pub fn count_in(&self, metrics: &Metrics) {
        metrics::count(&self.space, &self.pool, &self.resources.streams, metrics);
    }

    /// What the API shows.
    pub fn view(&self) -> Value {
        view::of(&self.space, &self.pool)
    }

    /// Takes no more, finishes what is under way, and flushes the stores.
    pub async fn close(self, deadline: tokio::time::Instant) -> Result<(), Unfinished> {
        self.space.close();
        self.scope.close(deadline).await
    }
}

/// The manifest, and the stores of a data directory.
fn stores(
    data: &Path,
    shards: u32,
    options: &store::Options,
    clock: Arc<dyn Clock>,
) -> Result<(Manifest, Arc<Pool>, Stores), Error> {
    let manifest = match Manifest::read(data)? {
        Some(manifest) => manifest,
        None => {
            let manifest = Manifest { shards, timeline: owner::Applied::START.timeline, is_restoring: false };
            manifest.write(data)?;
            manifest
        }
    };
    let data = || data.to_owned();
    if manifest.is_restoring {
        return Err(Error::Restoring { data: data() });
    }
    if manifest.shards != shards {
        return Err(Error::Shards { configured: shards, made: manifest.shards, data: data() });
    }
    let pool = Arc::new(Pool::new(options, clock)?);
    let folder = data().join(FOLDER);
    let (stores, rebuilt) = mainstay_shard::space::open(&pool, &folder, shards, manifest.timeline_number())?;
    for Rebuilt { shard, error, aside } in rebuilt {
        let aside = aside.display();
        tracing::error!(target: "mainstay::shard", %shard, %error, %aside, "a damaged store was put aside and is made again");
    }
    Ok((manifest, pool, stores))
}

/// The place that a key names; a folder is made if it is not there. Errors: [`Error::Folder`], [`Error::Bucket`].
pub fn location(key: &'static str, place: &Place, config: &Config) -> Result<Location, Error> {
    match place {
        Place::Folder(folder) => {
            Location::folder(folder).map_err(|source| Error::Folder { key, folder: folder.clone(), source })
        }
        Place::S3 { bucket, prefix } => {
            let found = config.s3.access().bucket(bucket, prefix);
            found.map_err(|source| Error::Bucket { key, place: place.clone(), source })
        }
    }
}

fn rules(config: &Config) -> Rules {
    let keep = usize::try_from(config.snapshots.keep).ok().and_then(NonZeroUsize::new);
    Rules {
        every: config.snapshots.every,
        keep: keep.expect("the configuration was checked"),
        rate: Some(config.snapshots.rate_max),
    }
}

//! Opening the stores of a node, before its log: what they have durably, the log must have as well.
//!
//! A store is derived, so one that is damaged is put aside and made again, from a snapshot and the log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mainstay_base::position::{Index, ShardId};
use tokio::task::spawn_blocking;

use super::{folder_of, shard_ids};
use crate::owner::Applied;
use crate::snapshot::copy::{self, Loaded};
use crate::snapshot::format::Header;
use crate::snapshot::location::{self, Location};
use crate::store::{self, Error, Pool, Store};

/// The stores of all shards, in the order of shards.
pub type Stores = Vec<(ShardId, Opened)>;

/// A store that was damaged, and is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Of which shard.
    pub shard: ShardId,
    /// What was wrong.
    pub error: Error,
    /// Where it lies now.
    pub aside: PathBuf,
}

/// A store, and what it takes to make it again.
pub struct Opened {
    /// None only while it is made again.
    store: Option<Store>,
    folder: PathBuf,
    pool: Arc<Pool>,
    /// The line of history that its rows must be of, at least.
    pub(super) timeline_min: u32,
}

/// Opens the stores of so many shards below a folder, and that of `system`. Blocks on files.
///
/// `timeline_min` is the line of history that a restore has begun; 1 without one. Errors: those of [`Store::open`] but that it
/// is damaged.
pub fn open(
    pool: &Arc<Pool>,
    stores: &Path,
    shards: u32,
    timeline_min: u32,
) -> Result<(Stores, Vec<Rebuilt>), Error> {
    let (mut all, mut rebuilt) = (Vec::new(), Vec::new());
    for id in shard_ids(shards) {
        let folder = folder_of(stores, id);
        let store = match Store::open(pool, &folder) {
            Err(error @ Error::Damaged { .. }) => {
                let aside = folder.with_extension("damaged");
                put_aside(&folder, &aside)?;
                rebuilt.push(Rebuilt { shard: id, error, aside });
                Store::open(pool, &folder)?
            }
            opened => opened?,
        };
        all.push((id, Opened { store: Some(store), folder, pool: Arc::clone(pool), timeline_min }));
    }
    Ok((all, rebuilt))
}

/// Listings of snapshots that are under way at once.
const LISTINGS: usize = 16;

/// What the log must have, since it is elsewhere already: the next index of each shard of which something is known. If the
/// location of snapshots does not answer, the stores alone tell, and the error comes as well.
pub async fn known(
    stores: &Stores,
    snapshots: &Location,
    timeline_min: u32,
) -> (BTreeMap<ShardId, Index>, Option<location::Error>) {
    let durable = stores.iter().map(|(id, opened)| (*id, opened.store().durable_applied()));
    let mut reached: BTreeMap<_, _> = durable.collect();
    let latest = |(id, _): &(ShardId, Opened)| {
        let id = *id;
        async move { Ok((id, snapshots.list(id).await?.into_iter().next())) }
    };
    let listings = stream::iter(stores.iter().map(latest)).buffer_unordered(LISTINGS);
    let listed: Result<Vec<_>, _> = listings.try_collect().await;
    let (latest, error) = listed.map_or_else(|error| (Vec::new(), Some(error)), |latest| (latest, None));
    for (id, latest) in latest {
        // A snapshot of an earlier line of history speaks of another log.
        if let Some(latest) = latest.filter(|latest| latest.timeline >= timeline_min) {
            let index = reached.entry(id).or_insert(latest.index);
            *index = latest.index.max(*index);
        }
    }
    let known = reached.into_iter().filter(|(_, index)| index.get() > 0);
    (known.map(|(id, index)| (id, index.next())).collect(), error)
}

/// Fills an empty store from the latest snapshot that can be used, if there is one.
pub(super) async fn fill(
    opened: &mut Opened,
    location: &Location,
    shard: ShardId,
    shards: u32,
) -> Result<Option<Header>, copy::Error> {
    let loaded = copy::load_latest(location, shard, shards, opened.store()).await;
    if loaded.is_err() {
        // What was written of it is of no use.
        opened.renew().await?;
    }
    let Loaded { header, passed } = loaded?;
    for error in &passed {
        tracing::warn!(target: "mainstay::shard", %shard, %error, "snapshot passed over");
    }
    Ok(header)
}

impl Opened {
    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("it is there but while it is made again")
    }

    /// Whether it was not lost while it was made again.
    pub(super) fn is_there(&self) -> bool {
        self.store.is_some()
    }

    /// Whether anything was ever applied.
    pub(super) fn is_filled(&self) -> Result<bool, Error> {
        Ok(self.store().view().applied()?.is_some())
    }

    /// Where it stands. Errors: why that cannot be read.
    pub(super) fn applied(&self) -> Result<Applied, String> {
        let Some(store) = &self.store else { return Ok(Applied::START) };
        let applied = store.view().applied().map_err(|error| error.to_string())?;
        let Some(applied) = applied else { return Ok(Applied::START) };
        Applied::decode(&applied.memo).map_err(|error| error.to_string())
    }

    /// Makes it again, empty. Errors: [`Error::InUse`] while somebody still reads what it was, and others. Then it is not there, and
    /// this is to be done again before anything else.
    pub(super) async fn renew(&mut self) -> Result<(), Error> {
        let (store, folder, pool) = (self.store.take(), self.folder.clone(), Arc::clone(&self.pool));
        let store = blocking(move || {
            // Opened again it is nobody else's.
            let store = store.map_or_else(|| Store::open(&pool, &folder), Ok);
            match store.and_then(Store::close) {
                Ok(()) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
            store::remove(&folder)?;
            Store::open(&pool, &folder)
        });
        self.store = Some(store.await?);
        Ok(())
    }

    /// Flushes and closes it. Errors: what was not flushed is read from the log again.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        let Some(store) = self.store.take() else { return Ok(()) };
        blocking(move || {
            let flushed = store.flush();
            let closed = match store.close() {
                // A reader that is left keeps it open; the process ends all the same.
                Err(Error::InUse { .. }) => Ok(()),
                closed => closed,
            };
            flushed.and(closed)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Moves a store that cannot be opened out of the way, over one that was moved before.
fn put_aside(folder: &Path, aside: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Open { directory: folder.into(), reason: error.to_string() };
    match std::fs::remove_dir_all(aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    std::fs::rename(folder, aside).map_err(failed)
}

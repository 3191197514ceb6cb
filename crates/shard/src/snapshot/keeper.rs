//! When snapshots are taken, how many are kept, and how far the log is trimmed for them.
//!
//! A shard's next snapshot is due when as much was logged as is asked for, and at least as much as its last one has: so the bytes
//! that snapshots take are at most those that commits took. The log is trimmed to the oldest that is kept, so that any of them
//! can be gone. A shard that holds back too much of the log is due at once, and the log then trimmed to its latest one, which
//! was read back first. One snapshot is taken at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Instant};
use mainstay_base::units::{Duration, Size};
use mainstay_log::Log;
use tokio::time::sleep;

use super::copy::{self, Saved};
use super::format::Header;
use super::location::{Location, Name};
use crate::space::{Serving, Shard, Space};
use crate::store;

/// How often it is looked whether something is due.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// How long a shard is left alone after a snapshot of it could not be taken.
const PAUSE: Duration = Duration::from_secs(30);

/// How snapshots are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of a shard's changes after which its next snapshot is due.
    pub every: Size,
    /// How many of each shard.
    pub keep: NonZeroUsize,
    /// Bytes that are written in a second; none: as fast as it goes.
    pub rate: Option<Size>,
}

/// Names the shards that hold back too much of the log.
pub type Pinned = Box<dyn Fn() -> Vec<ShardId> + Send + Sync>;

/// Takes snapshots while a node runs.
pub struct Keeper {
    /// Whose.
    pub space: Arc<Space>,
    /// How many of them there are.
    pub shards: u32,
    /// What is trimmed.
    pub log: Arc<dyn Log>,
    /// Which of them must let go.
    pub pinned: Pinned,
    /// Where they are kept.
    pub location: Location,
    /// How; another value holds from the next look on.
    pub rules: Arc<ArcSwap<Rules>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What is known of a shard's snapshots.
#[derive(Default)]
pub(crate) struct Taken {
    /// What was applied since the last one.
    logged: AtomicU64,
    /// The length of the last one.
    bytes: AtomicU64,
    /// One more than its last record; 0 when there is none.
    latest: AtomicU64,
}

impl Taken {
    pub(crate) fn logged(&self, bytes: u64) {
        self.logged.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn latest(&self) -> Option<Index> {
        self.latest.load(Relaxed).checked_sub(1).map(Index::new)
    }

    fn is_due(&self, every: Size) -> bool {
        self.logged.load(Relaxed) >= every.bytes().max(self.bytes.load(Relaxed))
    }

    /// There is a snapshot of everything that was logged, of these bytes if it was taken now.
    fn note(&self, name: Name, bytes: Option<u64>, logged: u64) {
        self.logged.fetch_sub(logged, Relaxed);
        if let Some(bytes) = bytes {
            self.bytes.store(bytes, Relaxed);
        }
        self.latest.store(name.index.get() + 1, Relaxed);
    }
}

/// A snapshot that was not taken, or after which the log was not trimmed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Copy(#[from] copy::Error),
    #[error(transparent)]
    Location(#[from] super::location::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the log is not trimmed: {0}")]
    Log(#[from] mainstay_log::Error),
}

impl Keeper {
    /// Takes what is due until `closing` completes; then what is being taken is given up.
    pub async fn run(self, closing: impl Future<Output = ()>) {
        let mut closing = pin!(closing);
        let mut left_alone = BTreeMap::new();
        loop {
            tokio::select! {
                () = &mut closing => return,
                () = self.look(&mut left_alone) => {}
            }
            tokio::select! {
                () = &mut closing => return,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Takes every snapshot that is due now. `left_alone` says until when which shards are not looked at.
    async fn look(&self, left_alone: &mut BTreeMap<ShardId, Instant>) {
        let pinned = (self.pinned)();
        for shard in self.space.all() {
            let rules = self.rules.load_full();
            let is_pinned = pinned.contains(&shard.id);
            let is_early = left_alone.get(&shard.id).is_some_and(|until| self.clock.now() < *until);
            if is_early || !(is_pinned || shard.snapshots.is_due(rules.every)) {
                continue;
            }
            let Some(serving) = shard.serving.load_full() else { continue };
            if let Err(error) = self.take(shard, &serving, &rules, is_pinned).await {
                shard.counters.snapshot(None);
                tracing::warn!(target: "mainstay::shard", shard = %shard.id, %error, "snapshot not taken, the log keeps growing");
                left_alone.extend(self.clock.now().checked_add(PAUSE).map(|until| (shard.id, until)));
            }
        }
    }

    /// Takes a snapshot, lets go of old ones, and trims the log.
    async fn take(
        &self,
        shard: &Shard,
        serving: &Serving,
        rules: &Rules,
        is_pinned: bool,
    ) -> Result<(), Error> {
        let logged = shard.snapshots.logged.load(Relaxed);
        let view = serving.store.view();
        let header = Header::of(&view, shard.id, self.shards, self.clock.wall())?;
        let latest = self.location.list(shard.id).await?.into_iter().next();
        if latest == Some(header.name()) {
            drop(view);
            shard.snapshots.note(header.name(), None, logged);
        } else {
            let saved = copy::save(&self.location, &header, view, rules.rate, &*self.clock).await?;
            shard.snapshots.note(saved.name, Some(saved.bytes), logged);
            shard.counters.snapshot(Some(saved.bytes));
            let Saved { name, bytes, rows } = saved;
            tracing::debug!(target: "mainstay::shard", shard = %shard.id, index = %name.index, bytes, rows, "snapshot taken");
        }
        let kept = copy::keep(&self.location, shard.id, rules.keep).await?;
        let Some(to) = self.trim_to(&kept, rules, is_pinned).await? else { return Ok(()) };
        if serving.store.durable_applied() < to {
            let store = serving.store.clone();
            let flushing = tokio::task::spawn_blocking(move || store.flush());
            flushing.await.map_err(copy::Error::from)??;
        }
        Ok(self.log.trim(shard.id, to.next()).await?)
    }

    /// The last record that the log need not have any more.
    async fn trim_to(&self, kept: &[Name], rules: &Rules, is_pinned: bool) -> Result<Option<Index>, Error> {
        let Some(latest) = kept.first() else { return Ok(None) };
        if is_pinned {
            copy::verify(&self.location, *latest, self.shards).await?;
            return Ok(Some(latest.index));
        }
        // Those of another line of history say nothing of this log.
        let of_this_log = kept.iter().filter(|name| name.timeline == latest.timeline);
        Ok(of_this_log.map(|name| name.index).nth(rules.keep.get() - 1))
    }
}

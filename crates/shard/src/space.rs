//! The shards of a node as one: the port [`Shards`] over their drivers, inboxes and stores.
//!
//! Whoever asks finds the shard of a partition by its slot, leaves a command in that shard's inbox and waits; the shard's
//! [`Driver`] takes it from there. Reads look at the store by themselves, once they know that they may. The one idea is that
//! nothing is shared between shards but the log and the stores' threads, so that no lock is on the way of two of them.
//!
//! A driver is a future that its owner spawns, one for each shard; nothing here starts a task. It never knows HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Slot, slot};
use mainstay_base::position::{Epoch, ShardId};
use mainstay_base::time::{Clock, Entropy, Instant};
use mainstay_log::Log;
use mainstay_machine::feed::{Events, Follow};
use mainstay_machine::item::Item;
use mainstay_machine::purge::{Purging, Stock};
use mainstay_machine::query::Standing;
use mainstay_machine::shards::{
    Active, Answer, BoxFuture, Error, Get, List, Page, Reading, Rehearsed, Shards,
};
use mainstay_machine::usage::Usage;
use mainstay_machine::{Command, Definition, Definitions, Settings, item};
use tokio::sync::Semaphore;

use crate::feed;
use crate::inbox::Bounds;
use crate::owner::Options;
use crate::snapshot::location::Location;

mod counters;
mod definitions;
mod desk;
mod driver;
mod follow;
mod gardener;
mod list;
pub mod manifest;
mod open;
mod owning;
mod purge;
mod read;
mod rehearse;
mod status;
mod usage;

use counters::Counters;
pub use counters::{Counts, Tending};
pub use definitions::Undeclared;
pub use driver::Driver;
pub use open::{Opened, Rebuilt, Stores, known, open};
pub use status::{ShardView, State};

pub(crate) use definitions::SYSTEM;
pub(crate) use desk::Shard;
pub(crate) use read::Serving;

/// Listings of more than one partition that are made at once. Each may read for a while.
const LISTINGS_MAX: usize = 4;

/// What the shards of a node are kept with.
#[derive(Clone)]
pub struct Parts {
    /// Where records go. Proven, and for shards of this node alone.
    pub log: Arc<dyn Log>,
    /// Whether it is proven that nobody else can own the shards.
    pub is_exclusive: bool,
    /// What commits are evaluated under; another value holds from the next batch on.
    pub settings: Arc<ArcSwap<Settings>>,
    /// How much may wait for each shard.
    pub inbox: Bounds,
    /// How large batches are, and how long is waited for what.
    pub owner: Options,
    /// How much of its last changes each shard keeps for readers.
    pub feed: feed::Options,
    /// Where snapshots are.
    pub snapshots: Location,
    /// The clock of deadlines and stamps.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the ids of records.
    pub entropy: Arc<dyn Entropy>,
}

/// All shards of a node.
pub struct Space {
    /// Has the definitions, and no slot.
    system: Arc<Shard>,
    /// Have the slots, in their order.
    shards: Vec<Arc<Shard>>,
    settings: Arc<ArcSwap<Settings>>,
    clock: Arc<dyn Clock>,
    listings: Arc<Semaphore>,
    /// What is done over several shards.
    counters: Counters,
    /// The turn of a shard to do something beside its traffic: there is one, for all of them.
    turn: Semaphore,
    /// What followers read that the feeds do not have.
    source: follow::Source,
}

impl Space {
    /// The shards over stores that are open, each with the driver that makes it live.
    pub fn new(stores: Stores, parts: &Parts) -> (Arc<Self>, Vec<Driver>) {
        let count = u32::try_from(stores.len() - 1).expect("shards have numbers of 32 bits");
        let guarantees = parts.log.guarantees();
        let (mut shards, drivers): (Vec<_>, _) = stores
            .into_iter()
            .map(|(id, opened)| {
                let shard = Arc::new(Shard::new(id, parts, guarantees.durability));
                let driver = Driver::new(Arc::clone(&shard), opened, count, parts.clone());
                (shard, driver)
            })
            .unzip();
        let system = shards.remove(0);
        assert_eq!(system.id, SYSTEM, "the stores are in the order of shards");
        let (settings, clock) = (Arc::clone(&parts.settings), Arc::clone(&parts.clock));
        let listings = Arc::new(Semaphore::new(LISTINGS_MAX));
        let source = follow::Source::new(parts, count);
        (
            Arc::new(Self {
                system,
                shards,
                settings,
                clock,
                listings,
                counters: Counters::default(),
                turn: Semaphore::new(1),
                source,
            }),
            drivers,
        )
    }

    /// Waits until every shard is served. Errors: why one will not be before the node is started again.
    pub async fn ready(&self) -> Result<(), String> {
        let all = self.all().map(|shard| shard.status.ready());
        futures_util::future::try_join_all(all).await.map(drop)
    }

    /// Waits until a shard is not served any more, and will not be before the node is started again; returns why.
    /// Cancel-safe.
    pub async fn failed(&self) -> String {
        let failures = self.all().map(|shard| Box::pin(shard.status.failed()));
        futures_util::future::select_all(failures).await.0
    }

    /// Takes no more: what is under way is finished, what waits is refused, and the drivers end.
    pub fn close(&self) {
        self.all().for_each(|shard| shard.close());
    }

    /// What each shard is like.
    pub fn view(&self) -> Vec<ShardView> {
        self.all().map(|shard| ShardView::of(shard)).collect()
    }

    /// What the shards have done, together.
    pub fn counts(&self) -> Counts {
        self.all().map(|shard| shard.counters.counts()).chain([self.counters.counts()]).sum()
    }

    /// How many shards have slots.
    pub fn count(&self) -> u32 {
        u32::try_from(self.shards.len()).expect("shards have numbers of 32 bits")
    }

    /// The ownership of each shard; none of those that are not served.
    pub(crate) fn owners(&self) -> Vec<Option<Epoch>> {
        self.all().map(|shard| shard.status.epoch()).collect()
    }

    /// Each of them: `system`, then those that have slots.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Shard>> {
        std::iter::once(&self.system).chain(&self.shards)
    }

    fn shard(&self, slot: Slot) -> &Arc<Shard> {
        &self.shards[place_of(slot, self.shards.len())]
    }
}

/// Every shard among so many that have slots, in their order.
pub(crate) fn shard_ids(shards: u32) -> impl Iterator<Item = ShardId> {
    std::iter::once(SYSTEM).chain((0..shards as usize).map(shard_id))
}

/// Which of so many shards has a slot. Slots stand in order, so that a listing goes through the shards one after another.
fn place_of(slot: Slot, shards: usize) -> usize {
    usize::from(slot.get()) * shards / usize::from(Slot::COUNT)
}

/// The number of the shard at a place. 0 is [`SYSTEM`].
fn shard_id(place: usize) -> ShardId {
    ShardId::new(u32::try_from(place + 1).expect("there are fewer shards than slots"))
}

impl Shards for Space {
    fn submit(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
        let shard = self.shard(slot(&command.tenant, &command.partition));
        Box::pin(shard.submit(command.into(), deadline, &*self.clock))
    }

    fn get(
        &self,
        get: Get,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Option<Item>>, Error>> {
        Box::pin(async move {
            let slot = slot(&get.tenant, &get.partition);
            let seen = self.shard(slot).see(&get.consistency, deadline, &*self.clock).await?;
            let (collection, key) = (&get.item.collection, &get.item.key);
            let found = item::get(&seen.view, slot, &get.tenant, collection, key);
            let known = self.known();
            if known.get(&get.tenant, collection).is_some() {
                self.shard(slot).traffic.read(&get.tenant, collection, key, || self.clock.now());
            }
            let found = found.map(|found| match known.get(&get.tenant, collection) {
                Some(definition) => found.map(|item| definition.upgraded(item)),
                None => found,
            });
            let value = found.map_err(|error| Error::Broken { reason: error.to_string() })?;
            let now = self.clock.wall();
            Ok(seen.reading(value.filter(|item| !item.is_over(now))))
        })
    }

    fn list(&self, list: List, deadline: Option<Instant>) -> BoxFuture<'_, Result<Reading<Page>, Error>> {
        Box::pin(self.list_items(list, deadline))
    }

    fn changes(&self, follow: Follow, deadline: Option<Instant>) -> BoxFuture<'_, Result<Events, Error>> {
        Box::pin(self.follow_changes(follow, deadline))
    }

    fn definitions(&self) -> Arc<Definitions> {
        self.known()
    }

    fn active(&self, revision: u64) -> Active {
        self.active_in(revision)
    }

    fn define(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(self.define_in_system(command, deadline))
    }

    fn rehearse(
        &self,
        command: Command,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Rehearsed>, Error>> {
        Box::pin(self.rehearse_in_system(command, deadline))
    }

    fn standing(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Standing, Error>> {
        Box::pin(self.standing_of(of, deadline))
    }

    fn stock(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Stock, Error>> {
        Box::pin(self.stock_of(of, deadline))
    }

    fn purge(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Purging, Error>> {
        Box::pin(self.purge_everywhere(of, deadline))
    }

    fn purging(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Option<Purging>, Error>> {
        Box::pin(self.purging_of(of, deadline))
    }

    fn usage(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Usage>, Error>> {
        Box::pin(self.usage_of(of, deadline))
    }

    fn history(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Vec<Definition>>, Error>> {
        Box::pin(self.history_in_system(of, deadline))
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// The folder of a shard's store below that of all.
fn folder_of(stores: &Path, shard: ShardId) -> PathBuf {
    stores.join(format!("shard-{:04}", shard.get()))
}

#[cfg(test)]
mod cut_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_spread_evenly_and_in_order() {
        for shards in [1, 3, 16, 256] {
            let places: Vec<_> = Slot::all().map(|slot| place_of(slot, shards)).collect();
            assert!(places.is_sorted());
            assert_eq!((places[0], places[4095]), (0, shards - 1));
            let counts = (0..shards).map(|at| places.iter().filter(|place| **place == at).count());
            let (min, max) = (4096 / shards, 4096_usize.div_ceil(shards));
            assert!(counts.into_iter().all(|count| (min..=max).contains(&count)));
        }
    }
}

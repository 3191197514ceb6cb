//! What is done to the collections of a shard, counted in memory since the node was started.
//!
//! The owner counts what it applies, once for each batch; readers count one read in [`SAMPLE`] for as many, so that they seldom meet
//! at the lock. Collections are at most as many as may be defined. The keys of [`FOLLOWED_MAX`] of them are followed at once; whoever finds
//! no place gets, at the next half-life, that of those in which nothing is done any more, or else in which least is done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Key;
use mainstay_base::time::{Instant, Timestamp};
use mainstay_base::units::Duration;
use mainstay_machine::command::{Commit, Operation, Request};
use mainstay_machine::row::counted;
use mainstay_machine::usage::{Flow, HotKey, Part};
use mainstay_machine::{Input, Mutation};

use crate::store;

mod sketch;

use sketch::Sketch;

/// Of so many reads one is counted, for all of them.
const SAMPLE: u32 = 8;

/// In what time counts of keys are halved.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(HALF_LIFE_NANOS / 1_000_000_000);

const HALF_LIFE_NANOS: u64 = 600 * 1_000_000_000;

/// Keys that are told.
pub(crate) const TOP: usize = 10;

/// Collections of a shard whose keys are followed at once.
const FOLLOWED_MAX: usize = 64;

/// What is done to the collections of a shard.
pub(crate) struct Traffic {
    /// Since when.
    pub(crate) since: Timestamp,
    collections: Mutex<Collections>,
    reads: AtomicU64,
}

/// By tenant, 0 and collection.
#[derive(Default)]
struct Collections {
    all: BTreeMap<Vec<u8>, Collection>,
    /// How many have their keys followed.
    followed: usize,
    /// Whether one has found no place.
    is_short: bool,
    /// How many half-lives had passed when places were given up.
    halvings: u64,
}

#[derive(Default)]
struct Collection {
    given: u64,
    logged: u64,
    /// Bytes that the store was given, those of records that were read again too.
    applied: u64,
    keys: Option<Box<Keys>>,
}

#[derive(Default)]
struct Keys {
    reads: Sketch,
    writes: Sketch,
}

/// Bytes that a store was given, and has written for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    applied: u64,
    flushed: u64,
    compacted: u64,
}

impl From<store::Stats> for Stored {
    fn from(stats: store::Stats) -> Self {
        Self { applied: stats.bytes_applied, flushed: stats.bytes_flushed, compacted: stats.bytes_compacted }
    }
}

/// What is done to one collection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) flow: Flow,
    pub(crate) reads: Vec<HotKey>,
    pub(crate) writes: Vec<HotKey>,
}

/// What a commit gives, by collection.
pub(crate) struct GivenBytes {
    tenant: Tenant,
    bytes: Vec<(Name, u64)>,
}

impl GivenBytes {
    /// What is given by a commit; nothing by anything else.
    pub(crate) fn by(input: &Input) -> Option<Self> {
        let Input::Command(command) = input else { return None };
        let Request::Commit(Commit { operations, .. }) = &command.request else { return None };
        let mut bytes: Vec<(Name, u64)> = Vec::with_capacity(1);
        for operation in operations {
            let item = operation.item();
            let value = match operation {
                Operation::Put { value, .. } => value.bytes().len(),
                Operation::MergePatch { patch, .. } => patch.bytes().len(),
                Operation::Increment { path, .. } => path.as_str().len() + size_of::<i64>(),
                Operation::Hold { name, .. } | Operation::Release { name, .. } => name.as_str().len(),
                Operation::Delete { .. } => 0,
            };
            let given = (item.key.as_str().len() + value) as u64;
            match bytes.iter_mut().find(|(name, _)| *name == item.collection) {
                Some((_, sum)) => *sum += given,
                None => bytes.push((item.collection.clone(), given)),
            }
        }
        Some(Self { tenant: command.tenant.clone(), bytes })
    }
}

impl Traffic {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self { since, collections: Mutex::default(), reads: AtomicU64::default() }
    }

    /// A commit that gave this has happened.
    pub(crate) fn given(&self, GivenBytes { tenant, bytes }: GivenBytes) {
        let mut collections = self.collections();
        for (name, bytes) in bytes {
            collections.of(&account(&tenant, &name)).given += bytes;
        }
    }

    /// The changes of a record are in the store: of a new one, or of one that was read again.
    pub(crate) fn applied(&self, mutations: &[Mutation], is_new: bool, now: Instant) {
        let halvings = halvings(now);
        let mut collections = self.collections();
        let mut account = Vec::new();
        for mutation in mutations {
            let Some(row) = counted(mutation.key()) else { continue };
            let bytes = (mutation.key().len() + mutation.value().map_or(0, Bytes::len)) as u64;
            account.clear();
            [row.tenant, &[0], row.collection].into_iter().for_each(|part| account.extend_from_slice(part));
            let collection = collections.of(&account);
            collection.applied += bytes;
            if !is_new {
                continue;
            }
            collection.logged += bytes;
            if let (Part::Items, Ok(key)) = (row.part, str::from_utf8(row.rest)) {
                let keys = collections.keys_of(&account, halvings);
                keys.into_iter().for_each(|keys| keys.writes.add(key, 1, halvings));
            }
        }
    }

    /// An item was asked for.
    pub(crate) fn read(&self, tenant: &Tenant, name: &Name, key: &Key, now: impl FnOnce() -> Instant) {
        // Mixed, so that reads which come in turns are not passed over in turns.
        let number = self.reads.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if (number >> 32).is_multiple_of(SAMPLE.into()) {
            let halvings = halvings(now());
            let mut collections = self.collections();
            let keys = collections.keys_of(&account(tenant, name), halvings);
            keys.into_iter().for_each(|keys| keys.reads.add(key.as_str(), SAMPLE, halvings));
        }
    }

    /// What is done to a collection, with its share of what the store has written: all rows go through the same memtables and tables, so that it is
    /// as large as its share of what was applied.
    pub(crate) fn of(&self, tenant: &Tenant, name: &Name, store: Stored, now: Instant) -> Seen {
        let mut collections = self.collections();
        let Some(collection) = collections.all.get_mut(&account(tenant, name)) else {
            return Seen::default();
        };
        let share = |bytes: u64| {
            let (of, all) = (u128::from(collection.applied), u128::from(store.applied.max(1)));
            u64::try_from(u128::from(bytes) * of / all).unwrap_or(u64::MAX)
        };
        let flow = Flow {
            given: collection.given,
            logged: collection.logged,
            flushed: share(store.flushed),
            compacted: share(store.compacted),
        };
        let halvings = halvings(now);
        let (reads, writes) = match &mut collection.keys {
            Some(keys) => (keys.reads.top(TOP, halvings), keys.writes.top(TOP, halvings)),
            None => (Vec::new(), Vec::new()),
        };
        Seen { flow, reads, writes }
    }

    fn collections(&self) -> MutexGuard<'_, Collections> {
        // Counts are whole whenever the lock is free.
        self.collections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collections {
    fn of(&mut self, account: &[u8]) -> &mut Collection {
        if !self.all.contains_key(account) {
            self.all.insert(account.to_vec(), Collection::default());
        }
        self.all.get_mut(account).expect("it is there by now")
    }

    /// The sketches of a collection, if there is a place for them.
    fn keys_of(&mut self, account: &[u8], halvings: u64) -> Option<&mut Keys> {
        if self.halvings < halvings {
            self.halvings = halvings;
            self.give_up();
        }
        let has_place = self.followed < FOLLOWED_MAX;
        let collection = self.of(account);
        let is_new = collection.keys.is_none();
        if is_new && !has_place {
            self.is_short = true;
            return None;
        }
        self.followed += usize::from(is_new);
        Some(self.of(account).keys.get_or_insert_default())
    }

    /// Gives up places: those in which nothing is done any more, and if that is none and one is wanted, that in which least is done.
    fn give_up(&mut self) {
        let halvings = self.halvings;
        let mut followed: Vec<_> =
            self.all.values_mut().filter_map(|it| Some((it.keys.as_mut()?.total(halvings), it))).collect();
        followed.sort_by(|left, right| left.0.total_cmp(&right.0));
        let idle = followed.iter().take_while(|(total, _)| *total < 1.0).count();
        let given_up = if idle == 0 { usize::from(std::mem::take(&mut self.is_short)) } else { idle };
        followed.iter_mut().take(given_up).for_each(|(_, collection)| collection.keys = None);
        self.followed -= given_up;
    }
}

impl Keys {
    fn total(&mut self, halvings: u64) -> f64 {
        self.reads.total(halvings) + self.writes.total(halvings)
    }
}

fn halvings(now: Instant) -> u64 {
    now.as_nanos() / HALF_LIFE_NANOS
}

fn account(tenant: &Tenant, name: &Name) -> Vec<u8> {
    [tenant.name().as_str().as_bytes(), &[0], name.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use mainstay_base::key::Slot;
    use mainstay_machine::row::RowKey;

    use super::*;

    fn at(half_lives: u64) -> Instant {
        Instant::from_nanos(half_lives * HALF_LIFE_NANOS)
    }

    fn named(number: usize) -> Name {
        format!("c{number}").parse().unwrap()
    }

    fn put(collection: &Name, key: &str, bytes: usize) -> Mutation {
        let key: Key = key.parse().unwrap();
        let key = RowKey::item(Slot::new(1).unwrap(), &Tenant::DEFAULT, collection, &key).into_bytes();
        Mutation::Put { key, value: Bytes::from(vec![1; bytes]) }
    }

    fn stored(applied: u64) -> Stored {
        Stored { applied, flushed: 1_000, compacted: 600 }
    }

    #[test]
    fn what_the_store_writes_is_shared_by_what_was_applied() {
        let traffic = Traffic::new(Timestamp::from_micros(7));
        let (left, right) = (put(&named(1), "a", 80), put(&named(2), "a", 30));
        let bytes = |put: &Mutation| (put.key().len() + put.value().unwrap().len()) as u64;
        traffic.applied(&[left.clone(), right], true, at(1));
        traffic.applied(std::slice::from_ref(&left), false, at(1));
        let seen = traffic.of(&Tenant::DEFAULT, &named(1), stored(4 * bytes(&left)), at(1));
        let flow = Flow { given: 0, logged: bytes(&left), flushed: 500, compacted: 300 };
        assert_eq!(
            seen.flow, flow,
            "what is read again is not logged again, and goes through the store again"
        );
        assert_eq!((seen.writes.len(), seen.writes[0].count), (1, 1.0));
        assert_eq!(traffic.of(&Tenant::DEFAULT, &named(3), stored(1), at(1)).flow, Flow::default());
    }

    #[test]
    fn reads_are_counted_by_samples_that_come_to_all() {
        let traffic = Traffic::new(Timestamp::from_micros(7));
        let keys: Vec<Key> = ["a", "b"].iter().map(|key| key.parse().unwrap()).collect();
        for number in 0..16_000 {
            traffic.read(&Tenant::DEFAULT, &named(1), &keys[number % 2], || at(1));
        }
        let reads = traffic.of(&Tenant::DEFAULT, &named(1), stored(1), at(1)).reads;
        assert_eq!(reads.len(), 2);
        assert!(reads.iter().all(|hot| (7_000.0..9_000.0).contains(&hot.count)), "{reads:?}");
    }

    #[test]
    fn keys_are_followed_in_so_many_collections_and_the_least_gives_way() {
        let traffic = Traffic::new(Timestamp::from_micros(7));
        for number in 0..FOLLOWED_MAX + 9 {
            let puts: Vec<_> = (0..8 + number % 50).map(|_| put(&named(number), "a", 1)).collect();
            traffic.applied(&puts, true, at(1));
        }
        let followed = |at: Instant| {
            let is_followed = |number: &usize| {
                !traffic.of(&Tenant::DEFAULT, &named(*number), stored(1), at).writes.is_empty()
            };
            (0..FOLLOWED_MAX + 9).filter(is_followed).collect::<Vec<_>>()
        };
        assert_eq!(followed(at(1)), (0..FOLLOWED_MAX).collect::<Vec<_>>());
        traffic.applied(&[put(&named(FOLLOWED_MAX), "a", 1)], true, at(2));
        assert_eq!(followed(at(2)), (1..=FOLLOWED_MAX).collect::<Vec<_>>(), "the first has least");
        traffic.applied(&[put(&named(0), "a", 1)], true, at(40));
        assert_eq!(followed(at(40)), [0], "where nothing is done any more");
    }
}

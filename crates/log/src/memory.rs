//! The engine in memory: the contract and nothing else, for tests.
//!
//! It keeps the encoded bytes, bounded, and decodes them on every read, so that it answers as an engine with
//! storage does. It does not compare epochs: what is right on it rests on nothing but append-if-next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::units::Size;

use crate::error::{Error, Place};
use crate::log::{Appended, BoxFuture, Durability, Guarantees, Limits, Log, Tail};
use crate::record::Record;
use crate::waiters::{self, Waitable, Waiters};

/// Logs in memory. Clones share them; they are gone with the last clone.
#[derive(Debug, Clone)]
pub struct Memory {
    bounds: Bounds,
    shards: Arc<Mutex<Shards>>,
}

/// How much fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The largest record, with its header.
    pub record_max: Size,
    /// All records of all shards together.
    pub total_max: Size,
}

#[derive(Debug, Default)]
struct Shards {
    by_id: BTreeMap<ShardId, Shard>,
    bytes: usize,
}

#[derive(Debug)]
struct Shard {
    /// The index of the first of `records`, or the next index when there are none: that outlives trimming.
    begins: Index,
    records: VecDeque<Bytes>,
    waiters: Waiters,
}

const GUARANTEES: Guarantees = Guarantees { durability: Durability::Memory, fences_epochs: false };

impl Default for Bounds {
    /// Records up to 1 MiB, 256 MiB in all: more than a test should need, less than it should be allowed.
    fn default() -> Self {
        Self { record_max: Size::from_mib(1), total_max: Size::from_mib(256) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Memory {
    /// Empty logs. Panics when a bound does not fit in memory.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, shards: Arc::default() }
    }

    /// Overwrites one byte of a stored record with `change` of it, as failing hardware would. Returns whether there
    /// is such a byte.
    pub fn corrupt(&self, shard: ShardId, index: Index, byte: usize, change: impl FnOnce(u8) -> u8) -> bool {
        let mut shards = self.shards();
        let Some(stored) = shards.shard(shard).get_mut(index) else { return false };
        let mut bytes = stored.to_vec();
        let Some(byte) = bytes.get_mut(byte) else { return false };
        *byte = change(*byte);
        *stored = bytes.into();
        true
    }

    fn shards(&self) -> MutexGuard<'_, Shards> {
        // Every change is made by one assignment after all checks, so a panic elsewhere leaves whole records.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, record: &Record) -> Result<Appended, Error> {
        let (head, bytes) = (record.head(), record.encoded_bytes());
        let bytes_max = self.limits().record_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { shard: head.shard, bytes, bytes_max });
        }
        let mut shards = self.shards();
        let next = shards.shard(head.shard).next();
        if head.index != next {
            return Err(Error::Refused { shard: head.shard, index: head.index, next });
        }
        if (shards.bytes + bytes) as u64 > self.bounds.total_max.bytes() {
            return Err(Error::Full {
                bytes,
                reason: format!("{} are kept in memory", self.bounds.total_max),
            });
        }
        shards.bytes += bytes;
        let shard = shards.shard(head.shard);
        shard.records.push_back(record.encode());
        let waiters = shard.waiters.take();
        drop(shards);
        waiters.for_each(Waker::wake);
        Ok(Appended { index: head.index, durability: GUARANTEES.durability })
    }

    fn read_now(&self, id: ShardId, from: Index, bytes_max: usize) -> Result<Vec<Record>, Error> {
        let mut shards = self.shards();
        let shard = shards.shard(id);
        let Some(first) = from.checked_since(shard.begins) else {
            return Err(Error::Trimmed { shard: id, index: from, begins: shard.begins });
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        for stored in shard.records.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            match Record::decode(stored) {
                Ok(record) => records.push(record),
                Err(_) if !records.is_empty() => break,
                Err(error) => {
                    let place = Place::Record { shard: id, index: from };
                    return Err(Error::Damaged { place, damage: error.into() });
                }
            }
            bytes += stored.len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(records)
    }

    fn trim_now(&self, id: ShardId, to: Index) -> Result<(), Error> {
        let mut shards = self.shards();
        let shard = shards.shard(id);
        let next = shard.next();
        if to > next {
            return Err(Error::TrimBeyondEnd { shard: id, to, next });
        }
        let count = usize::try_from(to.checked_since(shard.begins).unwrap_or(0));
        let trimmed = shard.records.drain(..count.expect("no more than there are records"));
        let freed: usize = trimmed.map(|record| record.len()).sum();
        shard.begins = shard.begins.max(to);
        shards.bytes -= freed;
        Ok(())
    }
}

impl Shards {
    fn shard(&mut self, id: ShardId) -> &mut Shard {
        let empty = || Shard { begins: Index::FIRST, records: VecDeque::new(), waiters: Waiters::new() };
        self.by_id.entry(id).or_insert_with(empty)
    }
}

impl Shard {
    fn next(&self) -> Index {
        self.begins.checked_add(self.records.len() as u64).expect("indexes stay below 2^64")
    }

    fn get_mut(&mut self, index: Index) -> Option<&mut Bytes> {
        let place = index.checked_since(self.begins)?;
        self.records.get_mut(usize::try_from(place).ok()?)
    }
}

impl Log for Memory {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move { self.append_now(&record) })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        Box::pin(async move { self.read_now(shard, from, bytes_max) })
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        Box::pin(async move {
            let mut shards = self.shards();
            let shard = shards.shard(shard);
            Ok(Tail { begins: shard.begins, next: shard.next() })
        })
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        waiters::wait(self, shard, index)
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.trim_now(shard, to) })
    }

    fn limits(&self) -> Limits {
        let record_bytes_max = usize::try_from(self.bounds.record_max.bytes()).unwrap_or(usize::MAX);
        Limits { record_bytes_max }
    }

    fn guarantees(&self) -> Guarantees {
        GUARANTEES
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        Box::pin(async { Ok(GUARANTEES) })
    }
}

impl Waitable for Memory {
    fn register(&self, shard: ShardId, index: Index, number: u64, waker: &Waker) -> Result<bool, Error> {
        let mut shards = self.shards();
        let shard = shards.shard(shard);
        if shard.next() > index {
            return Ok(false);
        }
        let before = shard.waiters.insert(number, waker);
        drop(shards);
        drop(before);
        Ok(true)
    }

    fn forget(&self, shard: ShardId, number: u64) {
        let waker = self.shards().shard(shard).waiters.remove(number);
        drop(waker);
    }
}

#[cfg(test)]
mod tests;

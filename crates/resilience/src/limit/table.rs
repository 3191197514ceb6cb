//! What is known of callers, in bounded memory, split into shards that are locked one at a time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use mainstay_base::time::Instant;

use super::{Config, Gcra, Moments, Standing};
use crate::call::Key;
use crate::error::Rejection;

/// How many callers a shard has room for at least, if there are several: so many are looked through in some microseconds when it is full.
const SHARD_KEYS: u32 = 1_024;
/// The least time between two searches of a full shard, so that one that stays full does not become slow.
const SWEEP_EVERY_NS: u64 = 1_000_000;

/// What is known of callers.
#[derive(Debug)]
pub(super) struct Table {
    gcra: Gcra,
    /// A power of two of them.
    shards: Box<[Mutex<Shard>]>,
}

/// Callers whose keys have the same bits.
#[derive(Debug)]
pub(super) struct Shard {
    /// Never more than `keys_max`.
    known: HashMap<u128, Moments, BuildHasherDefault<Plain>>,
    keys_max: usize,
    /// That of all for which there was no room.
    shared: Moments,
    /// No known caller can be forgotten before this moment.
    idle_from_ns: u64,
    swept_ns: u64,
}

/// How a caller was answered, and whether it had to share.
pub(super) type Taken = (Result<Standing, Rejection>, bool);

impl Table {
    pub(super) fn new(config: &Config) -> Self {
        let count = 1 << (config.keys_max / SHARD_KEYS).max(1).ilog2();
        let keys_max = (config.keys_max / count).max(1) as usize;
        let shards = (0..count).map(|_| Mutex::new(Shard::new(keys_max))).collect();
        Self { gcra: Gcra::new(config), shards }
    }

    pub(super) fn take(&self, key: Key, cost: u32, now: Instant) -> Taken {
        // The other half of the bits tells callers in a shard apart.
        let place = (key.bits() >> 64) as usize & (self.shards.len() - 1);
        // Each method leaves a valid shard behind, whatever panics after it.
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        shard.take(&self.gcra, key, cost, now)
    }

    /// How many callers are known.
    pub(super) fn keys(&self) -> usize {
        let of = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).known.len();
        self.shards.iter().map(of).sum()
    }
}

impl Shard {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            known: HashMap::default(),
            keys_max,
            shared: Moments::default(),
            idle_from_ns: u64::MAX,
            swept_ns: 0,
        }
    }

    pub(super) fn take(&mut self, gcra: &Gcra, key: Key, cost: u32, now: Instant) -> Taken {
        if let Some(moments) = self.known.get_mut(&key.bits()) {
            return (gcra.take(moments, cost, now), false);
        }
        if !self.has_room(now.as_nanos()) {
            return (gcra.take(&mut self.shared, cost, now), true);
        }
        // It may be one of those that have shared: alone, it begins with what they have taken together, so that nobody gets a burst twice.
        let mut moments = self.shared;
        let taken = gcra.take(&mut moments, cost, now);
        // One that took nothing of its own is known no better than before.
        if taken.is_ok() && cost > 0 && moments.idle_from_ns() > now.as_nanos() {
            self.idle_from_ns = self.idle_from_ns.min(moments.idle_from_ns());
            self.known.insert(key.bits(), moments);
        }
        (taken, false)
    }

    /// Whether one more caller can be known, when those are forgotten of whom there is nothing to know any more.
    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.known.len() < self.keys_max {
            return true;
        }
        if now_ns < self.idle_from_ns || now_ns < self.swept_ns.saturating_add(SWEEP_EVERY_NS) {
            return false;
        }
        self.swept_ns = now_ns;
        self.known.retain(|_, moments| moments.idle_from_ns() > now_ns);
        self.idle_from_ns = self.known.values().map(Moments::idle_from_ns).min().unwrap_or(u64::MAX);
        self.known.len() < self.keys_max
    }
}

/// Takes the bits of a key as they are: they are those of a hash with a secret seed.
#[derive(Debug, Default)]
pub(super) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = bits as u64;
    }
}

#[cfg(test)]
impl Shard {
    pub(super) fn keys(&self) -> usize {
        self.known.len()
    }

    /// What a caller would be counted by, if it came now.
    pub(super) fn moments(&self, key: Key) -> Moments {
        self.known.get(&key.bits()).copied().unwrap_or(self.shared)
    }
}

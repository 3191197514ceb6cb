//! What readers and the writer share: where each shard begins and ends, and which segments there are.
//!
//! The writer alone changes it, after a group is as durable as the options demand; readers never see more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mainstay_base::position::{Index, ShardId};

use super::Pin;
use super::disk::Disk;
use super::group::Ends;
use super::segment::Segment;
use super::stats::{Counters, Stats};
use crate::waiters::{Waitable, Waiters};
use crate::{Error, Tail};

/// How many ended segments stay open, with the places of their records in memory.
const OPEN_MAX: usize = 16;

pub(crate) struct Catalogue {
    state: Mutex<State>,
    pub(crate) counters: Counters,
}

struct State {
    shards: HashMap<ShardId, Shard>,
    /// Oldest first, numbered one after another; never empty while the log is open.
    segments: VecDeque<Arc<Segment>>,
    /// The end of what may be read of the last segment.
    end: u64,
    /// The ended segments that were read last, the latest at the end.
    recent: VecDeque<Arc<Segment>>,
    poisoned: Option<String>,
    /// None when the log is closed, so that nobody keeps it locked.
    disk: Option<Arc<dyn Disk>>,
}

struct Shard {
    begins: Index,
    next: Index,
    hint: Option<Hint>,
    waiters: Waiters,
}

/// Where a read ended: records from `index` on are not before `offset` of the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    pub(crate) segment: u64,
    pub(crate) index: Index,
    pub(crate) offset: u64,
}

/// Where to read a record.
pub(crate) struct Look {
    pub(crate) segment: Arc<Segment>,
    /// The index behind the last one that this segment has.
    pub(crate) upto: Index,
    /// Where the segment's groups end.
    pub(crate) end: u64,
    pub(crate) hint: Option<Hint>,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Shard {
    const START: Self =
        Self { begins: Index::FIRST, next: Index::FIRST, hint: None, waiters: Waiters::new() };
}

impl Catalogue {
    /// What recovery has found.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segments: VecDeque<Arc<Segment>>,
        shards: impl IntoIterator<Item = (ShardId, Ends)>,
        end: u64,
    ) -> Self {
        let of = |ends: Ends| Shard { begins: ends.begins, next: ends.next, ..Shard::START };
        let state = State {
            shards: shards.into_iter().map(|(shard, ends)| (shard, of(ends))).collect(),
            segments,
            end,
            recent: VecDeque::new(),
            poisoned: None,
            disk: Some(disk),
        };
        Self { state: Mutex::new(state), counters: Counters::default() }
    }

    /// Shows the records up to the group that ends at `end`: every shard's new next index.
    pub(crate) fn publish(&self, nexts: impl IntoIterator<Item = (ShardId, Index)>, end: u64) {
        let mut wakers = Vec::new();
        let mut state = self.state();
        state.end = end;
        for (id, next) in nexts {
            let shard = state.shards.entry(id).or_insert(Shard::START);
            shard.next = next;
            wakers.extend(shard.waiters.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Adds the segment that the last one is followed by.
    pub(crate) fn begin(&self, segment: Arc<Segment>) {
        let mut state = self.state();
        state.end = segment.begins_at;
        if let Some(last) = state.segments.back().cloned() {
            state.remember(last);
        }
        state.segments.push_back(segment);
    }

    /// Hides what is trimmed.
    pub(crate) fn trim(&self, shard: ShardId, to: Index) {
        self.state().shards.entry(shard).or_insert(Shard::START).begins = to;
    }

    /// How many of the oldest segments hold nothing but trimmed records.
    pub(crate) fn freeable(&self) -> usize {
        let state = self.state();
        let is_trimmed = |successor: &Arc<Segment>| {
            let begins = |shard| state.shards.get(shard).map_or(Index::FIRST, |shard| shard.begins);
            successor.nexts().iter().all(|(shard, next)| begins(shard) >= *next)
        };
        state.segments.iter().skip(1).take_while(|successor| is_trimmed(successor)).count()
    }

    /// Takes the oldest segments out.
    pub(crate) fn free(&self, count: usize) -> Vec<Arc<Segment>> {
        let mut state = self.state();
        let freed: Vec<_> = state.segments.drain(..count).collect();
        state.recent.retain(|kept| freed.iter().all(|freed| !Arc::ptr_eq(kept, freed)));
        freed
    }

    /// Where the record is; none at and beyond the end.
    pub(crate) fn look(&self, id: ShardId, index: Index) -> Result<Option<Look>, Error> {
        let state = self.state();
        let disk = state.disk.clone().ok_or(Error::Closed)?;
        let shard = state.shards.get(&id).unwrap_or(const { &Shard::START });
        if index < shard.begins {
            return Err(Error::Trimmed { shard: id, index, begins: shard.begins });
        }
        if index >= shard.next {
            return Ok(None);
        }
        let behind = state.segments.partition_point(|segment| segment.first(id) <= index);
        let at = behind.checked_sub(1).expect("recovery refuses a log whose oldest records are missing");
        let segment = Arc::clone(&state.segments[at]);
        let upto = state.segments.get(behind).map_or(shard.next, |successor| successor.first(id));
        let end = segment.ended.get().map_or(state.end, |end| end.offset);
        let is_ours = |hint: &Hint| hint.segment == segment.home.segment && hint.index <= index;
        let hint = shard.hint.filter(is_ours);
        Ok(Some(Look { segment, upto, end, hint, disk }))
    }

    /// Remembers where a read ended.
    pub(crate) fn set_hint(&self, id: ShardId, hint: Hint) {
        if let Some(shard) = self.state().shards.get_mut(&id) {
            shard.hint = Some(hint);
        }
    }

    /// Keeps an ended segment open for the next reader; others are forgotten for it.
    pub(crate) fn remember(&self, segment: Arc<Segment>) {
        self.state().remember(segment);
    }

    pub(crate) fn tail(&self, id: ShardId) -> Result<Tail, Error> {
        let state = self.state();
        if state.disk.is_none() {
            return Err(Error::Closed);
        }
        let shard = state.shards.get(&id).unwrap_or(const { &Shard::START });
        Ok(Tail { begins: shard.begins, next: shard.next })
    }

    /// Nothing will be appended any more until the log is opened again: waits end, reads go on.
    pub(crate) fn poison(&self, reason: &str) {
        let mut state = self.state();
        state.poisoned.get_or_insert_with(|| reason.to_owned());
        let wakers: Vec<_> = state.shards.values_mut().flat_map(|shard| shard.waiters.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends reads and waits, and lets go of every file.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.disk = None;
        let segments = std::mem::take(&mut state.segments);
        let recent = std::mem::take(&mut state.recent);
        let shards = std::mem::take(&mut state.shards);
        drop(state);
        drop((segments, recent));
        shards.into_values().flat_map(|mut shard| shard.waiters.take()).for_each(Waker::wake);
    }

    /// The shards that hold back more than `bytes_max`, the one that holds back most first.
    pub(crate) fn pins(&self, bytes_max: u64) -> Vec<Pin> {
        let state = self.state();
        let mut pins: Vec<_> = state.pins().filter(|pin| pin.bytes > bytes_max).collect();
        pins.sort_by_key(|pin| (std::cmp::Reverse(pin.bytes), pin.shard));
        pins
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            segments: state.segments.len() as u64,
            pinned_bytes: state.pins().map(|pin| pin.bytes).max().unwrap_or(0),
            poisoned: state.poisoned.is_some(),
            ..self.counters.read()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Changes are single assignments and pushes, each of which leaves a state that readers understand.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waitable for Catalogue {
    fn register(&self, id: ShardId, index: Index, number: u64, waker: &Waker) -> Result<bool, Error> {
        let mut state = self.state();
        if state.disk.is_none() {
            return Err(Error::Closed);
        }
        if state.shards.get(&id).is_some_and(|shard| shard.next > index) {
            return Ok(false);
        }
        if let Some(reason) = &state.poisoned {
            return Err(Error::Poisoned { reason: reason.clone() });
        }
        let before = state.shards.entry(id).or_insert(Shard::START).waiters.insert(number, waker);
        drop(state);
        drop(before);
        Ok(true)
    }

    fn forget(&self, id: ShardId, number: u64) {
        let mut state = self.state();
        let Some(shard) = state.shards.get_mut(&id) else { return };
        let waker = shard.waiters.remove(number);
        // Whoever waits for shards that never come to be leaves nothing behind.
        if shard.next == Index::FIRST && shard.waiters.is_empty() {
            state.shards.remove(&id);
        }
        drop(state);
        drop(waker);
    }
}

impl State {
    fn remember(&mut self, segment: Arc<Segment>) {
        // It may have been freed while it was opened.
        if !self.segments.iter().any(|kept| Arc::ptr_eq(kept, &segment)) {
            return;
        }
        self.recent.retain(|kept| !Arc::ptr_eq(kept, &segment));
        self.recent.push_back(segment);
        if self.recent.len() > OPEN_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            oldest.forget();
        }
    }

    /// What each shard that has records holds back.
    fn pins(&self) -> impl Iterator<Item = Pin> {
        // The bytes from each segment on to the end of the log.
        let mut bytes = vec![0; self.segments.len()];
        let mut sum = 0;
        for (segment, to) in self.segments.iter().zip(&mut bytes).rev() {
            sum += segment.ended.get().map_or(self.end, |_| segment.bytes);
            *to = sum;
        }
        let kept = self.shards.iter().filter(|(_, shard)| shard.begins < shard.next);
        kept.filter_map(move |(&shard, ends)| {
            let behind = self.segments.partition_point(|segment| segment.first(shard) <= ends.begins);
            Some(Pin { shard, bytes: *bytes.get(behind.checked_sub(1)?)?, from: ends.begins })
        })
    }
}

//! Rows that are in no table yet: the versions of each key, found by its hash and walked over in the order of keys.
//!
//! Most commits write a key that was written a moment ago: of the items that are used, and of their slots. Such a row
//! costs a look into a hash map, and not a search through keys that are anywhere in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use lsm_tree::{InternalValue, Result, SeqNo, ValueType};

use super::merge::Direction;

/// What a key takes beside its bytes: its places in both maps and its newest version. Measured, with room that maps keep free.
const KEY_COST: u64 = 200;

/// What an older version takes beside its bytes.
const VERSION_COST: u64 = 60;

/// Rows that one look reads ahead, at most; the first looks read fewer.
const AHEAD_MAX: usize = 64;

/// Keys that one look passes over, at most: writers wait meanwhile.
const PASSED_MAX: usize = 256;

/// Written to by one batch at a time, and read meanwhile.
pub(super) struct Memtable {
    pub(super) id: u64,
    rows: RwLock<Rows>,
    size: AtomicU64,
}

#[derive(Default)]
struct Rows {
    places: HashMap<Bytes, usize>,
    order: BTreeMap<Bytes, usize>,
    rows: Vec<Row>,
}

struct Row {
    newest: Version,
    /// The oldest first.
    older: Vec<Version>,
}

/// What a row was from a batch on.
#[derive(Clone)]
pub(super) struct Version {
    seqno: SeqNo,
    /// None: the row was deleted.
    pub(super) value: Option<Bytes>,
}

impl Memtable {
    pub(super) fn new(id: u64) -> Self {
        Self { id, rows: RwLock::default(), size: AtomicU64::new(0) }
    }

    /// The bytes that it holds.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Writes the rows of a batch, whose number is above all before it. Returns what they add to the size.
    pub(super) fn write(&self, batch: impl Iterator<Item = (Bytes, Option<Bytes>)>, seqno: SeqNo) -> u64 {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = batch.map(|(key, value)| rows.put(key, Version { seqno, value })).sum();
        drop(rows);
        self.size.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }

    /// The newest version of a row below a number.
    pub(super) fn get(&self, key: &[u8], below: SeqNo) -> Option<Version> {
        let rows = self.read();
        rows.rows[*rows.places.get(key)?].below(below).cloned()
    }

    /// The newest version of each row, when nothing is written any more.
    pub(super) fn iter(self: &Arc<Self>) -> Walk {
        Walk::between(self, Bytes::new(), None, SeqNo::MAX, Direction::Forward)
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn put(&mut self, key: Bytes, version: Version) -> u64 {
        let value_bytes = version.value.as_ref().map_or(0, Bytes::len) as u64;
        if let Some(place) = self.places.get(&key) {
            let row = &mut self.rows[*place];
            if row.newest.seqno < version.seqno {
                row.older.push(std::mem::replace(&mut row.newest, version));
            } else {
                row.newest = version;
            }
            return VERSION_COST + value_bytes;
        }
        let bytes = KEY_COST + key.len() as u64 + value_bytes;
        self.places.insert(key.clone(), self.rows.len());
        self.order.insert(key, self.rows.len());
        self.rows.push(Row { newest: version, older: Vec::new() });
        bytes
    }
}

impl Row {
    fn below(&self, below: SeqNo) -> Option<&Version> {
        if self.newest.seqno < below {
            return Some(&self.newest);
        }
        let count = self.older.partition_point(|version| version.seqno < below);
        self.older[..count].last()
    }
}

/// The newest rows of a memtable below a number, in the order of keys or against it; deleted ones too.
///
/// It holds nothing of the memtable between two looks, so that it may take as long as it likes.
pub(super) struct Walk {
    memtable: Arc<Memtable>,
    /// Between it and the end is what was not read yet.
    start: Bound<Bytes>,
    end: Bound<Bytes>,
    below: SeqNo,
    direction: Direction,
    ahead: VecDeque<InternalValue>,
    ahead_max: usize,
    is_over: bool,
}

impl Walk {
    /// `start` is at most `end`.
    pub(super) fn between(
        memtable: &Arc<Memtable>,
        start: Bytes,
        end: Option<Bytes>,
        below: SeqNo,
        direction: Direction,
    ) -> Self {
        Self {
            memtable: Arc::clone(memtable),
            start: Bound::Included(start),
            end: end.map_or(Bound::Unbounded, Bound::Excluded),
            below,
            direction,
            ahead: VecDeque::new(),
            ahead_max: 1,
            is_over: false,
        }
    }

    /// Reads ahead. Returns the key behind which to go on; none at the end.
    fn look(&mut self) -> Option<Bytes> {
        let rows = self.memtable.read();
        let bounds = (self.start.as_ref().map(|key| &key[..]), self.end.as_ref().map(|key| &key[..]));
        let range = self.direction.along(rows.order.range::<[u8], _>(bounds));
        for (passed, (key, place)) in range.enumerate() {
            if let Some(Version { seqno, value }) = rows.rows[*place].below(self.below) {
                let kind = if value.is_some() { ValueType::Value } else { ValueType::Tombstone };
                let value = value.clone().unwrap_or_default();
                self.ahead.push_back(InternalValue::from_components(key.clone(), value, *seqno, kind));
            }
            if self.ahead.len() == self.ahead_max || passed == PASSED_MAX {
                return Some(key.clone());
            }
        }
        None
    }
}

impl Iterator for Walk {
    type Item = Result<InternalValue>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.is_empty() {
            self.ahead_max = (self.ahead_max * 2).min(AHEAD_MAX);
            while !self.is_over && self.ahead.is_empty() {
                match (self.look(), self.direction) {
                    (Some(key), Direction::Forward) => self.start = Bound::Excluded(key),
                    (Some(key), Direction::Backward) => self.end = Bound::Excluded(key),
                    (None, _) => self.is_over = true,
                }
            }
        }
        self.ahead.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn row(key: u16, value: Option<u64>) -> (Bytes, Option<Bytes>) {
        let value = value.map(|value| Bytes::copy_from_slice(&value.to_le_bytes()));
        (Bytes::copy_from_slice(&key.to_be_bytes()), value)
    }

    /// Keys of which some have no version below 100, in batches that each write every third key.
    fn memtable() -> Arc<Memtable> {
        let memtable = Arc::new(Memtable::new(0));
        for seqno in 1..200_u64 {
            let keys = (0..2_000_u16).filter(|key| (u64::from(*key) + seqno).is_multiple_of(3));
            let is_late = |key: &u16| *key % 1_000 < 700 && seqno < 100;
            let value = (seqno % 5 != 0).then_some(seqno);
            memtable.write(keys.filter(|key| !is_late(key)).map(|key| row(key, value)), seqno);
        }
        memtable
    }

    fn walk(memtable: &Arc<Memtable>, keys: Range<u16>, below: SeqNo, direction: Direction) -> Walk {
        let (start, end) = (row(keys.start, None).0, row(keys.end, None).0);
        Walk::between(memtable, start, Some(end), below, direction)
    }

    #[test]
    fn each_row_comes_once_in_its_newest_version_below_a_number() {
        let memtable = memtable();
        for below in [1, 2, 99, 100, 101, 150, SeqNo::MAX] {
            for direction in [Direction::Forward, Direction::Backward] {
                let rows: Vec<_> = walk(&memtable, 3..1_990, below, direction).map(Result::unwrap).collect();
                let found: Vec<_> = direction
                    .along(3..1_990_u16)
                    .filter_map(|key| {
                        let key = row(key, None).0;
                        memtable.get(&key, below).map(|version| (key, version.seqno, version.value))
                    })
                    .collect();
                assert_eq!(rows.len(), found.len(), "{direction:?} below {below}");
                for (walked, (key, seqno, value)) in rows.iter().zip(&found) {
                    assert_eq!((&walked.key.user_key[..], walked.key.seqno), (&key[..], *seqno));
                    assert_eq!(walked.is_tombstone(), value.is_none());
                    assert_eq!(&walked.value[..], value.as_deref().unwrap_or_default());
                    assert!(*seqno < below);
                }
            }
        }
        assert_eq!(memtable.iter().count(), 2_000);
    }

    #[test]
    fn a_walk_looks_ahead_little_at_first_and_never_far() {
        let memtable = memtable();
        for direction in [Direction::Forward, Direction::Backward] {
            let mut walk = walk(&memtable, 0..2_000, SeqNo::MAX, direction);
            for ahead_max in [2, 4, 8, 16, 32, AHEAD_MAX, AHEAD_MAX] {
                assert!(walk.next().is_some_and(|row| row.is_ok()));
                assert_eq!(walk.ahead.len(), ahead_max - 1, "{direction:?}");
                walk.ahead.clear();
            }
        }
    }

    #[test]
    fn a_look_passes_over_a_bounded_number_of_keys() {
        let memtable = memtable();
        // None of these keys was written early.
        let bounded = PASSED_MAX as u16;
        for (direction, last) in [(Direction::Forward, bounded), (Direction::Backward, 699 - bounded)] {
            let mut walk = walk(&memtable, 0..700, 100, direction);
            assert_eq!((walk.look(), walk.ahead.len()), (Some(row(last, None).0), 0));
            assert!(walk.next().is_none());
        }
    }

    #[test]
    fn a_version_is_found_by_the_batch_that_wrote_it() {
        let memtable = Memtable::new(0);
        for seqno in [2, 4, 6] {
            memtable.write([row(7, Some(seqno))].into_iter(), seqno);
        }
        let at = |below| memtable.get(&row(7, None).0, below).map(|version| version.seqno);
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(at), [None, None, Some(2), Some(2), Some(4), Some(4), Some(6)]);
        assert!(memtable.get(&row(8, None).0, 7).is_none());
    }

    #[test]
    fn the_last_change_of_a_batch_to_a_row_is_its_version() {
        let memtable = Memtable::new(0);
        memtable.write([row(7, Some(1)), row(7, Some(2))].into_iter(), 3);
        memtable.write([row(7, Some(3)), row(7, None)].into_iter(), 4);
        let at = |below| memtable.get(&row(7, None).0, below).and_then(|version| version.value);
        assert_eq!((at(4), at(5)), (row(7, Some(2)).1, None));
        assert_eq!(memtable.rows.read().unwrap().rows[0].older.len(), 1);
    }
}

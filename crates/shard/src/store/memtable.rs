//! A walk over a memtable that is written meanwhile.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use lsm_tree::{InternalValue, Memtable, Result, SeqNo, Slice, ValueType};

/// Rows that one search reads ahead, at most; the first searches read fewer.
const AHEAD_MAX: usize = 64;

/// Versions to pass over before searching anew is cheaper.
const PASSED_MAX: usize = 8;

/// The newest rows of a memtable below a sequence number, in the order of keys.
///
/// No place in the memtable is held between two searches, so that the walk may outlive everything but the memtable.
pub(super) struct Rows {
    memtable: Arc<Memtable>,
    /// Rows before it were read. Only its key counts.
    from: Bound<InternalValue>,
    /// Rows from it on are not walked over. Only its key counts.
    end: InternalValue,
    below: SeqNo,
    ahead: VecDeque<InternalValue>,
    ahead_max: usize,
    is_over: bool,
}

/// A place among the versions of a key, which go from the highest number to the lowest.
fn at(key: Slice, seqno: SeqNo) -> InternalValue {
    InternalValue::from_components(key, Slice::default(), seqno, ValueType::Value)
}

impl Rows {
    /// `start` is at most `end`.
    pub(super) fn new(memtable: Arc<Memtable>, start: Slice, end: Slice, below: SeqNo) -> Self {
        Self {
            memtable,
            from: Bound::Included(at(start, SeqNo::MAX)),
            end: at(end, SeqNo::MAX),
            below,
            ahead: VecDeque::new(),
            ahead_max: 1,
            is_over: false,
        }
    }

    /// Searches once, and reads ahead until there is enough or another search is worth it: from where; none at the end.
    fn search(&mut self) -> Option<Bound<InternalValue>> {
        let mut passed = 0;
        let bounds = (self.from.as_ref().map(|row| &row.key), Bound::Excluded(&self.end.key));
        for entry in self.memtable.items.range(bounds) {
            let key = entry.key();
            let is_hidden = key.seqno >= self.below;
            let is_older = self.ahead.back().is_some_and(|row| row.key.user_key == key.user_key);
            if is_hidden || is_older {
                passed += 1;
            } else {
                self.ahead.push_back(InternalValue::new(key.clone(), entry.value().clone()));
                passed = 0;
            }
            if is_hidden && passed > PASSED_MAX {
                return Some(Bound::Included(at(key.user_key.clone(), self.below.saturating_sub(1))));
            }
            if self.ahead.len() == self.ahead_max || is_older && passed > PASSED_MAX {
                return Some(Bound::Excluded(at(key.user_key.clone(), 0)));
            }
        }
        None
    }
}

impl Iterator for Rows {
    type Item = Result<InternalValue>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ahead.is_empty() {
            self.ahead_max = (self.ahead_max * 2).min(AHEAD_MAX);
            while !self.is_over && self.ahead.len() < self.ahead_max {
                match self.search() {
                    Some(from) => self.from = from,
                    None => self.is_over = true,
                }
            }
        }
        self.ahead.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_comes_once_however_many_versions_it_has() {
        let memtable = Arc::new(Memtable::new(0));
        let mut seqno = 0_u64;
        for key in 0..200_u8 {
            // The last versions of each are above what the walk may see, of some all are.
            for version in 0..u64::from(key % 40) {
                seqno += 1;
                let number = if version > 20 || key % 40 == 7 { 1_000_000 + seqno } else { seqno };
                memtable.insert(InternalValue::from_components(
                    [key],
                    seqno.to_le_bytes(),
                    number,
                    ValueType::Value,
                ));
            }
        }
        let (start, end) = (Slice::from([3]), Slice::from([190]));
        let rows: Vec<_> =
            Rows::new(Arc::clone(&memtable), start, end, 1_000_000).map(|row| row.unwrap().key).collect();
        let expected: Vec<_> =
            (3..190).filter(|key| key % 40 != 0 && key % 40 != 7).map(|key| vec![key]).collect();
        assert_eq!(rows.iter().map(|key| key.user_key.to_vec()).collect::<Vec<_>>(), expected);
        for key in rows {
            assert_eq!(
                memtable.get(&key.user_key, 1_000_000).unwrap().key.seqno,
                key.seqno,
                "the newest one"
            );
        }
    }
}

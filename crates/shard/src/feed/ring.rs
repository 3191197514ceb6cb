//! The last records of a shard that change items: the oldest go when there are too many, or too many bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_base::position::Index;
use mainstay_machine::feed::Changes;

use super::{Options, Part};

/// Every record after `floor` and up to `last` that changes items, in order.
pub(super) struct Ring {
    records: VecDeque<Arc<Changes>>,
    bytes: usize,
    floor: Index,
    last: Index,
    records_max: usize,
    bytes_max: usize,
}

impl Ring {
    pub(super) fn new(options: &Options) -> Self {
        let bytes_max = usize::try_from(options.size_max.bytes()).unwrap_or(usize::MAX);
        let (floor, last) = (Index::new(0), Index::new(0));
        Self { records: VecDeque::new(), bytes: 0, floor, last, records_max: options.records_max, bytes_max }
    }

    /// Has nothing up to this record, and goes on with the next.
    pub(super) fn restart(&mut self, at: Index) {
        self.records.clear();
        (self.bytes, self.floor, self.last) = (0, at, at);
    }

    pub(super) fn last(&self) -> Index {
        self.last
    }

    /// The record at this index changes this. What is between it and the one before changes nothing.
    pub(super) fn push(&mut self, index: Index, changes: Option<Changes>) {
        assert!(index > self.last, "records are applied in their order");
        self.last = index;
        let Some(changes) = changes else { return };
        self.bytes += changes.bytes();
        self.records.push_back(Arc::new(changes));
        while self.records.len() > self.records_max || (self.bytes > self.bytes_max && self.records.len() > 1)
        {
            let Some(gone) = self.records.pop_front() else { break };
            self.bytes -= gone.bytes();
            self.floor = gone.place.index;
        }
    }

    /// None when records after this one are gone.
    pub(super) fn after(&self, index: Index, bytes_max: usize) -> Option<Part> {
        if index < self.floor {
            return None;
        }
        let first = self.records.partition_point(|changes| changes.place.index <= index);
        let (mut records, mut bytes) = (Vec::new(), 0);
        for changes in self.records.range(first..) {
            if bytes >= bytes_max {
                let reached = records.last().map_or(index, |last: &Arc<Changes>| last.place.index);
                return Some(Part { records, reached });
            }
            bytes += changes.bytes();
            records.push(Arc::clone(changes));
        }
        Some(Part { records, reached: self.last.max(index) })
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::hlc::HybridTime;
    use mainstay_base::id::{Name, Tenant};
    use mainstay_base::key::Slot;
    use mainstay_base::units::Size;
    use mainstay_machine::Mutation;
    use mainstay_machine::batch::{Batch, Entry};
    use mainstay_machine::position::Place;
    use mainstay_machine::row::RowKey;

    use super::*;

    /// Of the key's 20 bytes.
    fn changes(index: u64) -> Option<Changes> {
        let name = Name::from_static("c");
        let key = RowKey::item(Slot::new(1).unwrap(), &Tenant::DEFAULT, &name, &"12345678".parse().unwrap());
        let entry = Entry {
            tenant: Tenant::DEFAULT,
            trace: None,
            mutations: vec![Mutation::Delete { key: key.into_bytes() }],
            before: vec![],
        };
        let batch = Batch { time: HybridTime::from_bits(0), entries: vec![entry] };
        Some(Changes::of(Place { timeline: 1, index: Index::new(index) }, &batch))
    }

    fn shown(ring: &Ring, after: u64, bytes_max: usize) -> Option<(Vec<u64>, u64)> {
        let part = ring.after(Index::new(after), bytes_max)?;
        let indexes = part.records.iter().map(|changes| changes.place.index.get());
        Some((indexes.collect(), part.reached.get()))
    }

    #[test]
    fn it_knows_what_it_does_not_have() {
        let bytes = changes(1).unwrap().bytes();
        let size_max = Size::from_bytes(bytes as u64 * 3);
        let mut ring = Ring::new(&Options { records_max: 9, size_max });
        ring.restart(Index::new(4));
        assert_eq!(shown(&ring, 3, 99), None);
        assert_eq!(shown(&ring, 4, 99), Some((vec![], 4)));
        for (index, changes) in [(5, changes(5)), (7, None), (8, changes(8)), (9, changes(9))] {
            ring.push(Index::new(index), changes);
        }
        assert_eq!(shown(&ring, 4, usize::MAX), Some((vec![5, 8, 9], 9)));
        assert_eq!(shown(&ring, 4, 1), Some((vec![5], 5)), "one record at least");
        assert_eq!(shown(&ring, 5, usize::MAX), Some((vec![8, 9], 9)));
        assert_eq!(shown(&ring, 9, usize::MAX), Some((vec![], 9)));
        assert_eq!(shown(&ring, 12, usize::MAX), Some((vec![], 12)), "nothing goes back");
        ring.push(Index::new(11), changes(11));
        assert_eq!(shown(&ring, 4, usize::MAX), None, "the first is gone");
        assert_eq!(shown(&ring, 5, usize::MAX), Some((vec![8, 9, 11], 11)));
        ring.restart(Index::new(20));
        assert_eq!(shown(&ring, 11, usize::MAX), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_the_last_record() {
        for (records_max, size_max, kept) in [(2, 1 << 20, 2), (9, 0, 1), (9, 1, 1), (0, 1 << 20, 0)] {
            let mut ring = Ring::new(&Options { records_max, size_max: Size::from_bytes(size_max) });
            (1..=5).for_each(|index| ring.push(Index::new(index), changes(index)));
            assert_eq!(ring.records.len(), kept);
            let bytes: usize = ring.records.iter().map(|changes| changes.bytes()).sum();
            assert_eq!(ring.bytes, bytes);
        }
    }
}

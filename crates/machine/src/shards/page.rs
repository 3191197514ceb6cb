//! Collecting a page of a listing: slot by slot, until it is full.
//!
//! What implementations of the port share, so that all of them end a page at the same item and name the same place to go on.

use std::ops::ControlFlow;

use mainstay_base::key::{Key, Slot, slot};
use mainstay_base::time::Timestamp;

use super::{Cursor, List, Page, Work};
use crate::definition::Definition;
use crate::item::{self, Listed};
use crate::query::{Failed, Filter, too_costly};
use crate::state::State;

/// Rows that are read at once. They are in memory before the page is found to be full.
const READ_MAX: usize = 32;

/// A page that is being collected.
///
/// It is full when the next item would make it longer than was asked, or when so much was looked at. Only then it has a place to go
/// on: the last page of a listing is known to be the last.
#[derive(Debug)]
pub struct PageBuilder<'l> {
    list: &'l List,
    definition: Option<&'l Definition>,
    filter: Filter<'l>,
    items: Vec<Listed>,
    /// Of keys and values.
    bytes: usize,
    /// The last item that was looked at.
    last: Option<(Slot, Key)>,
    work: Work,
    is_full: bool,
}

impl List {
    /// The slots that may have some of the page's items, in the order in which they are read.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let only = self.partition.as_ref().map(|partition| slot(&self.tenant, partition));
        let first = self.after_key().map_or(0, |(slot, _)| slot.get());
        Slot::all().skip(first.into()).filter(move |slot| only.is_none_or(|only| only == *slot))
    }

    /// Where a page before it ended that went through keys.
    pub fn after_key(&self) -> Option<(Slot, &Key)> {
        match &self.after {
            Some(Cursor::Key { slot, key }) => Some((*slot, key)),
            _ => None,
        }
    }
}

impl<'l> PageBuilder<'l> {
    /// A page with nothing on it yet, of what is there now, as the collection's definition has it.
    pub fn new(list: &'l List, definition: Option<&'l Definition>, now: Timestamp) -> Self {
        let filter = Filter::new(&list.search, now);
        let work = Work::default();
        Self { list, definition, filter, items: Vec::new(), bytes: 0, last: None, work, is_full: false }
    }

    /// Adds what a slot has, of these rows. Slots come in the order of [`List::slots`]; after `Break` none has to.
    ///
    /// Errors: [`Failed`]; the page is of no use then.
    pub fn read(&mut self, state: &dyn State, slot: Slot) -> Result<ControlFlow<()>, Failed> {
        let List { tenant, collection, prefix, limit, .. } = self.list;
        let after = self.list.after_key().filter(|(of, _)| *of == slot);
        let mut after = after.map(|(_, key)| key.clone());
        while !self.is_full {
            // One more than there is room for tells whether there is more.
            let count = limit.saturating_sub(self.items.len()).min(READ_MAX - 1) + 1;
            let found = item::list(state, (slot, tenant, collection), prefix, after.as_ref(), count)?;
            let is_end = found.len() < count;
            for Listed { key, item } in found {
                let item = match self.definition {
                    Some(definition) => definition.upgraded(item),
                    None => item,
                };
                if self.push(slot, Listed { key, item })?.is_break() {
                    break;
                }
            }
            if is_end {
                break;
            }
            after = self.last.as_ref().map(|(_, key)| key.clone());
        }
        Ok(if self.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Adds the next item, which is in this slot, if it is searched for; `Break` when there is no room for it.
    ///
    /// Errors: [`Failed::Refused`].
    fn push(&mut self, slot: Slot, listed: Listed) -> Result<ControlFlow<()>, Failed> {
        if self.work.items >= self.list.search.reads_max {
            self.is_full = true;
            if !self.list.search.may_scan && self.items.len() < self.list.limit {
                return Err(Failed::Refused(Box::new(too_costly(self.list, self.work.items))));
            }
            return Ok(ControlFlow::Break(()));
        }
        let is_wanted = self.filter.passes(&listed.item)?;
        let bytes = self.bytes.saturating_add(listed.key.as_str().len() + listed.item.bytes.len());
        let has_room = self.items.len() < self.list.limit && bytes <= self.list.bytes_max;
        if is_wanted && !(has_room || self.items.is_empty()) {
            self.is_full = true;
            return Ok(ControlFlow::Break(()));
        }
        self.work.items += 1;
        self.last = Some((slot, listed.key.clone()));
        if is_wanted {
            self.bytes = bytes;
            self.items.push(listed);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The page.
    pub fn finish(self) -> Page {
        let next = self.last.filter(|_| self.is_full).map(|(slot, key)| Cursor::Key { slot, key });
        Page { items: self.items, next, work: self.work }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mainstay_base::hlc::HybridTime;
    use mainstay_base::id::{Name, Tenant};
    use mainstay_base::key::Key;

    use std::collections::BTreeSet;

    use super::*;
    use crate::content::ContentType;
    use crate::item::Item;
    use crate::overlay::Mutation;
    use crate::row::RowKey;
    use crate::shards::{Consistency, Search};
    use crate::state::Memory;
    use crate::version::Version;

    /// Of every item here, with its key of three bytes.
    const ITEM_BYTES: usize = 10;

    /// These many items in each of these slots.
    fn filled(slots: &[(u16, usize)]) -> Memory {
        let mut rows = Memory::default();
        for (slot, count) in slots {
            for number in 0..*count {
                let key: Key = format!("k{number:02}").parse().unwrap();
                let slot = Slot::new(*slot).unwrap();
                let key = RowKey::item(slot, &Tenant::DEFAULT, &Name::from_static("orders"), &key);
                let item = Item {
                    version: Version { timeline: 1, sequence: 1 },
                    created: HybridTime::from_bits(0),
                    updated: HybridTime::from_bits(0),
                    expires: None,
                    holds: BTreeSet::new(),
                    schema: 0,
                    is_rewritten: false,
                    content_type: ContentType::JSON,
                    bytes: Bytes::from_static(b"1234567"),
                };
                rows.apply([&Mutation::Put { key: key.into_bytes(), value: item.encode() }]);
            }
        }
        rows
    }

    fn list(limit: usize, bytes_max: usize, after: Option<Cursor>) -> List {
        List {
            tenant: Tenant::DEFAULT,
            collection: Name::from_static("orders"),
            partition: None,
            prefix: String::new(),
            after,
            limit,
            bytes_max,
            search: Search::default(),
            consistency: Consistency::Linearizable,
        }
    }

    /// How many items each page has, and the slots and keys of all of them.
    fn pages(rows: &Memory, limit: usize, bytes_max: usize) -> (Vec<usize>, Vec<String>) {
        let (mut counts, mut keys, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let list = list(limit, bytes_max, after);
            let mut builder = PageBuilder::new(&list, None, Timestamp::from_micros(0));
            for slot in list.slots() {
                let before = builder.items.len();
                let flow = builder.read(rows, slot).unwrap();
                keys.extend(builder.items[before..].iter().map(|it| format!("{slot}/{}", it.key)));
                if flow.is_break() {
                    break;
                }
            }
            let page = builder.finish();
            counts.push(page.items.len());
            after = page.next;
            if after.is_none() {
                return (counts, keys);
            }
        }
    }

    #[test]
    fn a_page_ends_by_number_or_by_bytes_and_the_last_one_is_known() {
        const ALL: usize = usize::MAX;
        for (slots, limit, bytes_max, expected) in [
            (&[][..], 5, ALL, &[0][..]),
            (&[(3, 4)], 5, ALL, &[4]),
            (&[(3, 5)], 5, ALL, &[5]),
            (&[(3, 6)], 5, ALL, &[5, 1]),
            (&[(3, 5), (9, 1)], 5, ALL, &[5, 1]),
            (&[(0, 2), (3, 3), (4095, 5)], 5, ALL, &[5, 5]),
            (&[(3, 4)], 100, 4 * ITEM_BYTES, &[4]),
            (&[(3, 4)], 100, 4 * ITEM_BYTES - 1, &[3, 1]),
            (&[(3, 2), (9, 2)], 100, 3 * ITEM_BYTES, &[3, 1]),
            (&[(3, 3)], 100, 0, &[1, 1, 1]),
            (&[(3, 2)], 0, ALL, &[1, 1]),
            (&[(3, READ_MAX), (9, 1)], 100, ALL, &[READ_MAX + 1]),
            (&[(3, 99)], 98, ALL, &[98, 1]),
            (&[(3, 99)], 99, ALL, &[99]),
            (&[(3, 99)], 100, 70 * ITEM_BYTES, &[70, 29]),
        ] {
            let (counts, keys) = pages(&filled(slots), limit, bytes_max);
            assert_eq!(counts, expected, "{slots:?} by {limit} and {bytes_max} bytes");
            let all =
                slots.iter().flat_map(|(slot, count)| (0..*count).map(move |it| format!("{slot}/k{it:02}")));
            assert_eq!(keys, all.collect::<Vec<_>>(), "{slots:?} by {limit} and {bytes_max} bytes");
        }
    }

    #[test]
    fn what_is_full_takes_nothing_more() {
        let list = list(1, usize::MAX, None);
        let mut builder = PageBuilder::new(&list, None, Timestamp::from_micros(0));
        let rows = filled(&[(3, 2), (9, 1)]);
        let (slot, later) = (Slot::new(3).unwrap(), Slot::new(9).unwrap());
        assert!(builder.read(&rows, slot).unwrap().is_break());
        assert!(builder.read(&rows, later).unwrap().is_break());
        let page = builder.finish();
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.next, Some(Cursor::Key { slot, key: "k00".parse().unwrap() }));
    }
}

//! A page through an index: the entries of all shards merged in their order, and the items that they lead to.

use std::iter::Peekable;

use bytes::Bytes;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, slot};
use mainstay_base::time::Timestamp;

use super::{Filter, Through, too_costly};
use crate::definition::Definition;
use crate::index::{self, Span, split};
use crate::item::{self, Item, Listed};
use crate::outcome::Refusal;
use crate::row::{Error, IndexName, RowKey, RowRange};
use crate::shards::{Cursor, List, Page, Work};
use crate::state::{self, Walk};

/// Why a page was not made.
#[derive(Debug)]
pub enum Failed {
    /// It is not made.
    Refused(Box<Refusal>),
    /// The rows cannot be read.
    State(state::Error),
}

impl From<state::Error> for Failed {
    fn from(error: state::Error) -> Self {
        Self::State(error)
    }
}

impl From<Box<Refusal>> for Failed {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::Refused(refusal)
    }
}

/// Entries of an index in one shard, in the order of the walk.
type Entries<'a> = Peekable<Box<dyn Iterator<Item = Result<Bytes, state::Error>> + Send + 'a>>;

struct Search<'a> {
    list: &'a List,
    through: &'a Through,
    definition: &'a Definition,
    filter: Filter<'a>,
    work: Work,
    items: Vec<Listed>,
    bytes: usize,
    /// The last entry that was looked at.
    last: Option<Bytes>,
}

/// Makes a page of what is there now through an index of these shards. Errors: [`Failed`].
pub fn search(
    shards: &[&dyn Walk],
    through: &Through,
    list: &List,
    definition: &Definition,
    now: Timestamp,
) -> Result<Page, Failed> {
    let after = match &list.after {
        Some(Cursor::Entry { entry, .. }) => Some(entry.clone()),
        _ => None,
    };
    let of = IndexName { tenant: &list.tenant, collection: &list.collection, number: through.number };
    let mut entries: Vec<Entries<'_>> =
        shards.iter().map(|shard| walk(*shard, of, through, after.as_ref())).collect();
    let filter = Filter::new(&list.search, now);
    let work = Work { index: Some(through.name.clone()), ..Work::default() };
    let (items, last) = (Vec::new(), after);
    let mut search = Search { list, through, definition, filter, work, items, bytes: 0, last };
    let mut is_over = false;
    while let Some(shard) = search.next(&mut entries)? {
        if search.is_costly() {
            break;
        }
        let entry = match entries[shard].peek() {
            Some(Ok(entry)) => entry.clone(),
            _ => unreachable!("it was looked at"),
        };
        if !search.look(shards[shard], entry)? {
            break;
        }
        entries[shard].next();
        is_over = entries.iter_mut().all(|entries| entries.peek().is_none());
    }
    if !is_over && search.is_costly() && !search.is_full() && !list.search.may_scan {
        let read = search.read();
        return Err(Failed::Refused(Box::new(too_costly(list, read))));
    }
    Ok(search.finish(&mut entries))
}

/// The entries of all spans in one shard, behind the one that was looked at last.
fn walk<'a>(
    shard: &'a dyn Walk,
    of: IndexName<'a>,
    through: &'a Through,
    after: Option<&Bytes>,
) -> Entries<'a> {
    let is_back = through.is_back;
    let after = after.cloned();
    let spans: Box<dyn Iterator<Item = &Span> + Send> =
        if is_back { Box::new(through.spans.iter().rev()) } else { Box::new(through.spans.iter()) };
    let ranges = spans.map(move |span| {
        let range = of.entries(span);
        let Some(after) = &after else { return range };
        let row = of.entry_row(after);
        match is_back {
            // Rows below it.
            true if *row < range.end[..] => RowRange { end: row.into_bytes(), ..range },
            false if *row >= range.start[..] => range.after(&row),
            _ => range,
        }
    });
    let rows =
        ranges.filter(|range| range.start < range.end).flat_map(move |range| shard.walk(&range, is_back));
    let entries = rows.map(move |row| row.map(|(key, _)| of.entry(&key)));
    let entries: Box<dyn Iterator<Item = _> + Send> = Box::new(entries);
    entries.peekable()
}

impl Search<'_> {
    /// The shard whose entry comes next.
    fn next(&self, entries: &mut [Entries<'_>]) -> Result<Option<usize>, state::Error> {
        let mut found: Option<(usize, Bytes)> = None;
        for (shard, entries) in entries.iter_mut().enumerate() {
            let entry = match entries.peek() {
                None => continue,
                Some(Ok(entry)) => entry,
                Some(Err(error)) => return Err(error.clone()),
            };
            let is_sooner = found.as_ref().is_none_or(|(_, least)| (entry < least) != self.through.is_back);
            if is_sooner {
                found = Some((shard, entry.clone()));
            }
        }
        Ok(found.map(|(shard, _)| shard))
    }

    fn read(&self) -> u64 {
        self.work.entries + self.work.items
    }

    fn is_costly(&self) -> bool {
        self.read() >= self.list.search.reads_max
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.list.limit
    }

    /// Looks at an entry and its item; false when the item is wanted and there is no room for it.
    fn look(&mut self, shard: &dyn Walk, entry: Bytes) -> Result<bool, Failed> {
        if self.is_full() && !self.items.is_empty() {
            return Ok(false);
        }
        self.work.entries += 1;
        if let Some(listed) = self.find(shard, &entry)? {
            let bytes = self.bytes.saturating_add(listed.key.as_str().len() + listed.item.bytes.len());
            if bytes > self.list.bytes_max && !self.items.is_empty() {
                return Ok(false);
            }
            self.bytes = bytes;
            self.items.push(listed);
        }
        self.last = Some(entry);
        Ok(true)
    }

    /// The item of an entry, if it is searched for and was not found by an entry before.
    fn find(&mut self, shard: &dyn Walk, entry: &Bytes) -> Result<Option<Listed>, Failed> {
        let (tenant, collection) = (&self.list.tenant, &self.list.collection);
        let (tuple, key) = taken_apart((tenant, collection), self.through, entry)?;
        if !key.as_str().starts_with(&self.list.prefix) {
            return Ok(None);
        }
        let partition = self.definition.collection.partition_by.partition(&key);
        if self.list.partition.as_ref().is_some_and(|wanted| *wanted != partition) {
            return Ok(None);
        }
        let row = RowKey::item(slot(tenant, &partition), tenant, collection, &key);
        self.work.items += 1;
        let Some(stored) = item::at(shard, &row)? else { return Ok(None) };
        let is_first = self.is_first(&stored, tuple);
        let item = self.definition.upgraded(stored);
        let is_wanted = is_first && self.filter.passes(&item)?;
        Ok(is_wanted.then_some(Listed { key, item }))
    }

    /// Whether this is the first of an item's entries that the walk comes to. An array has several.
    fn is_first(&self, item: &Item, tuple: &[u8]) -> bool {
        let Ok(all) = index::entries(&self.through.index, item.document()) else { return false };
        let mut seen = all.iter().filter(|tuple| self.through.spans.iter().any(|span| span.contains(tuple)));
        let first = if self.through.is_back { seen.next_back() } else { seen.next() };
        first.is_some_and(|first| *first == tuple)
    }

    fn finish(mut self, entries: &mut [Entries<'_>]) -> Page {
        // Of each shard one entry was read ahead.
        let ahead = entries.iter_mut().filter_map(|entries| entries.peek()).count();
        self.work.entries += ahead as u64;
        let has_more = ahead > 0;
        let (number, is_back) = (self.through.number, self.through.is_back);
        let next = self.last.filter(|_| has_more).map(|entry| Cursor::Entry { number, is_back, entry });
        Page { items: self.items, next, work: self.work }
    }
}

fn taken_apart<'e>(
    (tenant, collection): (&Tenant, &Name),
    through: &Through,
    entry: &'e [u8],
) -> Result<(&'e [u8], Key), state::Error> {
    let of = IndexName { tenant, collection, number: through.number };
    let parts = split(entry, through.index.on.len());
    let parts = parts.and_then(|(tuple, key)| Some((tuple, str::from_utf8(key).ok()?.parse().ok()?)));
    parts.ok_or_else(|| {
        let row = of.entry_row(entry);
        let error =
            Error::Field { what: "an index entry", at: row.len(), why: "it does not end in an item's key" };
        state::Error::damaged(&row, &error)
    })
}

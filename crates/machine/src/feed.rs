//! The feed of a collection: each change of an item that is in a record, told once and in the order of the log.
//!
//! An event is one mutation of an item's row. Its number is that of the mutation among all of its record, items or not, so that an
//! event has one id whatever a reader asks for. What implementations of the port share is here: what of a batch is events
//! ([`Changes`]), and which of them a reader wants, until a page is full ([`EventsBuilder`]).

use bytes::Bytes;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition};
use mainstay_base::units::Duration;

use crate::batch::{Batch, Entry};
use crate::expression::Expression;
use crate::item::Item;
use crate::position::{EventId, Place};
use crate::row::{self, Parts, RowKey, SlotMeta};
use crate::version::Version;

mod page;

pub use page::EventsBuilder;

/// Changes that are to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow {
    /// Whose items.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// The one partition that all keys with this prefix are of, if there is only one: nothing else is looked at.
    pub partition: Option<Partition<'static>>,
    /// What their keys begin with.
    pub prefix: String,
    /// What must hold of an item as it is after the change, or as it was before it is deleted. An item on which it fails is left
    /// out; one that is deleted, and of which the record has nothing, is not.
    pub filter: Option<Expression>,
    /// Where to go on; none: with what is committed from now on. What an id says nothing of is followed from its beginning.
    pub after: Option<EventId>,
    /// How many events at most; a page takes one nonetheless.
    pub limit: usize,
    /// How many bytes their keys and values have at most together; a page takes one event nonetheless.
    pub bytes_max: usize,
    /// How long to wait for the first event.
    pub wait: Duration,
}

/// Some of the changes that were to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// The events: those of one shard in the order of its log.
    pub events: Vec<Event>,
    /// Where to go on.
    pub next: EventId,
}

/// A change of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who goes on after it has missed nothing.
    pub id: EventId,
    /// The item's key.
    pub key: Key,
    /// The version that it has now, or that of the commit which deleted it; none if no commit did, but its end had come.
    pub version: Option<Version>,
    /// The item as it is now; none if it is deleted.
    pub item: Option<Item>,
    /// The item as it was before the commit, if it was there and the record has it.
    pub before: Option<Item>,
}

/// What one record changes of items, in its order. Its rows share the bytes of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Where the record is.
    pub place: Place,
    rows: Vec<Row>,
}

/// A mutation of an item's row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// Its number among all mutations of the record, from 0.
    number: u32,
    key: Bytes,
    value: Option<Bytes>,
    before: Option<Bytes>,
    /// The number of the commit among those of its slot; only looked up for what is deleted.
    sequence: Option<u64>,
}

impl Changes {
    /// What is in the batch of a record.
    pub fn of(place: Place, batch: &Batch) -> Self {
        let (mut rows, mut first) = (Vec::new(), 0);
        for entry in &batch.entries {
            let mut before = entry.before.iter().peekable();
            for (at, mutation) in (0_u32..).zip(&entry.mutations) {
                let before = before.next_if(|before| before.mutation == at);
                if !row::is_item(mutation.key()) {
                    continue;
                }
                let value = mutation.value().cloned();
                rows.push(Row {
                    number: first + at,
                    key: mutation.key().clone(),
                    sequence: if value.is_some() { None } else { sequence(entry, mutation.key()) },
                    value,
                    before: before.map(|before| before.value.clone()),
                });
            }
            first += u32::try_from(entry.mutations.len()).expect("a record has fewer changes");
        }
        Self { place, rows }
    }

    /// Whether the record changes no item.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of keys and values.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        self.rows.iter().map(|row| row.key.len() + length(&row.value) + length(&row.before)).sum()
    }
}

/// The number of the commit that an item's row was changed by.
fn sequence(entry: &Entry, item: &[u8]) -> Option<u64> {
    let is_of_slot = |key: &[u8]| key.len() == RowKey::SLOT_BYTES && key[..2] == item[..2];
    let slot = entry.mutations.iter().find(|mutation| is_of_slot(mutation.key()))?;
    Some(SlotMeta::decode(slot.value()?).ok()?.sequence)
}

impl Row {
    /// The item's key, if the row is one of these.
    fn key_in(&self, follow: &Follow) -> Result<Option<Key>, row::Error> {
        let Parts::Item { tenant, collection, key, .. } = Parts::of(&self.key)? else { return Ok(None) };
        let is_wanted = tenant == follow.tenant.name().as_str()
            && collection == follow.collection.as_str()
            && key.starts_with(&follow.prefix);
        let wrong = |_| row::Error::Field { what: "a row's key", at: self.key.len(), why: "the key is none" };
        if is_wanted { key.parse().map(Some).map_err(wrong) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests;

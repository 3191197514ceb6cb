//! The rows that a shard's state is made of: one ordered map from bytes to bytes.
//!
//! A row's key places it. All rows of a slot stand together, and in a slot all rows of a tenant, so that a slot can be
//! scanned, moved and deleted, and a tenant within it.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | slot, big-endian |
//! | .. | tenant; empty for what belongs to the slot itself |
//! | 1 | 0: no name and no key holds it |
//! | 1 | kind |
//! | .. | what the kind adds |
//!
//! | kind | is | adds | value |
//! |---|---|---|---|
//! | 0 | the slot's, or the tenant's, own row | nothing | [`SlotMeta`], [`TenantMeta`] |
//! | 1 | an item | collection, 0, key | [`Item`](crate::item::Item) |
//! | 2 | the outcome kept for an idempotency key | hash of the scope (16 bytes) | [`Kept`] |
//! | 3 | the same, by age | hybrid time (8, big-endian), hash | one byte, the format |
//! | 4 | who has the values that only one item of a partition may have | collection, 0, number of the index (4, big-endian), partition, 0, tuple | [`Holder`] |
//! | 5 | an item, by an item that it refers to | collection and key referred to, each with 0, collection that refers, 0, number of the reference (4, big-endian), key that refers | one byte, the format |
//!
//! What belongs to the shard and to no slot stands behind all slots (`row/beside.rs`).
//!
//! Every value begins with the byte of its format, which is 1 where the value does not say otherwise. Integers in values are
//! little-endian. Changing any of this changes what is stored: the golden bytes of the tests hold it.

use std::ops::Deref;

use bytes::{BufMut, Bytes};
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, Slot};

pub use crate::codec::Error;

mod beside;
mod counted;
mod meta;

pub(crate) use beside::definition_of;
pub use beside::{End, IndexName, ShardMeta, index_of, purge_of};
pub use counted::{Counted, counted};
pub use meta::{Holder, Kept, SlotMeta, TenantMeta};

/// The format of all values that this program writes, and the newest that it reads.
pub const FORMAT: u8 = 1;

const META: u8 = 0;
const ITEM: u8 = 1;
const KEPT: u8 = 2;
const KEPT_BY_AGE: u8 = 3;
const HELD: u8 = 4;
const REFERRER: u8 = 5;

/// A hash that stands for tenant, caller, operation, partition and idempotency key together.
pub type Scope = [u8; 16];

/// The key of a row. Cloning shares its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Bytes);

/// A row's key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts<'a> {
    /// The row of a slot itself.
    Slot {
        /// The slot.
        slot: Slot,
    },
    /// The row of a tenant in a slot.
    Tenant {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
    },
    /// An item.
    Item {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
        /// The collection's name.
        collection: &'a str,
        /// The item's key.
        key: &'a str,
    },
    /// The outcome kept for an idempotency key.
    Kept {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
        /// What it is kept for.
        scope: Scope,
    },
    /// Who has values that only one item of a partition may have.
    Held {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
        /// The collection's name.
        collection: &'a str,
    },
    /// An item, by an item that it refers to.
    Referrer {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
        /// The name of the collection that is referred to.
        to: &'a str,
        /// The key there.
        to_key: &'a str,
        /// The name of the collection that refers.
        collection: &'a str,
        /// The number of the reference among what the collection has.
        number: u32,
        /// The key that refers.
        key: &'a str,
    },
    /// The place of a kept outcome in the order of age.
    KeptByAge {
        /// The slot.
        slot: Slot,
        /// The tenant's name.
        tenant: &'a str,
        /// When it was kept.
        time: HybridTime,
        /// What it is kept for.
        scope: Scope,
    },
}

/// Consecutive rows: those whose keys are at or above `start` and below `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRange {
    /// The first key that may be in it.
    pub start: Bytes,
    /// The first key after it.
    pub end: Bytes,
}

impl RowKey {
    /// The length of the key of a slot's row. No other key has it.
    pub const SLOT_BYTES: usize = 4;

    /// The row of a slot.
    pub fn slot(slot: Slot) -> Self {
        Self::build(slot, "", META, &[])
    }

    /// The row of a tenant in a slot.
    pub fn tenant(slot: Slot, tenant: &Tenant) -> Self {
        Self::build(slot, tenant.name().as_str(), META, &[])
    }

    /// The row of an item.
    pub fn item(slot: Slot, tenant: &Tenant, collection: &Name, key: &Key) -> Self {
        let parts = [collection.as_str().as_bytes(), &[0], key.as_str().as_bytes()];
        Self::build(slot, tenant.name().as_str(), ITEM, &parts)
    }

    /// The row of the outcome kept for an idempotency key.
    pub fn kept(slot: Slot, tenant: &Tenant, scope: &Scope) -> Self {
        Self::build(slot, tenant.name().as_str(), KEPT, &[scope])
    }

    /// The row that finds a kept outcome by its age.
    pub fn kept_by_age(slot: Slot, tenant: &Tenant, time: HybridTime, scope: &Scope) -> Self {
        Self::build(slot, tenant.name().as_str(), KEPT_BY_AGE, &[&time.to_bits().to_be_bytes(), scope])
    }

    /// The row of whoever has a tuple of a unique index in a partition.
    pub fn held(slot: Slot, of: IndexName<'_>, partition: &Partition<'_>, tuple: &[u8]) -> Self {
        let (collection, number) = (of.collection.as_str().as_bytes(), of.number.to_be_bytes());
        let parts = [collection, &[0], &number, partition.as_str().as_bytes(), &[0], tuple];
        Self::build(slot, of.tenant.name().as_str(), HELD, &parts)
    }

    /// The row of an item that refers to the item `to`, by a reference of this name.
    pub fn referrer(slot: Slot, of: IndexName<'_>, to: (&Name, &Key), key: &Key) -> Self {
        let (collection, number) = (of.collection.as_str().as_bytes(), of.number.to_be_bytes());
        let (to, to_key) = (to.0.as_str().as_bytes(), to.1.as_str().as_bytes());
        let parts = [to, &[0], to_key, &[0], collection, &[0], &number, key.as_str().as_bytes()];
        Self::build(slot, of.tenant.name().as_str(), REFERRER, &parts)
    }

    /// The key of a row that was read.
    pub(crate) fn of(key: Bytes) -> Self {
        Self(key)
    }

    fn build(slot: Slot, tenant: &str, kind: u8, parts: &[&[u8]]) -> Self {
        let rest: usize = parts.iter().map(|part| part.len()).sum();
        let mut key = Vec::with_capacity(2 + tenant.len() + 2 + rest);
        key.put_u16(slot.get());
        key.put_slice(tenant.as_bytes());
        key.put_slice(&[0, kind]);
        parts.iter().for_each(|part| key.put_slice(part));
        Self(key.into())
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The key's bytes, on their own.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for RowKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Parts<'a> {
    /// Takes a row's key apart.
    ///
    /// Names and keys are not checked to be such. Errors: [`Error`] when these bytes are no row's key, or that of a
    /// kind which this program does not know.
    pub fn of(key: &'a [u8]) -> Result<Self, Error> {
        let wrong = |at, why| Error::Field { what: "a row's key", at, why };
        let (slot, rest) = key.split_first_chunk().ok_or_else(|| wrong(key.len(), "the slot is cut off"))?;
        let slot = Slot::new(u16::from_be_bytes(*slot)).ok_or_else(|| wrong(2, "there is no such slot"))?;
        let (tenant, rest) = split_at_nul(rest).ok_or_else(|| wrong(key.len(), "the tenant is cut off"))?;
        let tenant = str::from_utf8(tenant).map_err(|_| wrong(2, "the tenant is not text"))?;
        let (kind, rest) = rest.split_first().ok_or_else(|| wrong(key.len(), "the kind is missing"))?;
        let scope = |bytes: &[u8]| bytes.try_into().map_err(|_| wrong(key.len(), "a hash has 16 bytes"));
        match (*kind, tenant) {
            (META, "") if rest.is_empty() => Ok(Self::Slot { slot }),
            (META, tenant) if rest.is_empty() => Ok(Self::Tenant { slot, tenant }),
            (ITEM, tenant) if !tenant.is_empty() => {
                let (collection, key) =
                    split_at_nul(rest).ok_or_else(|| wrong(key.len(), "the collection is cut off"))?;
                let text = |bytes| {
                    str::from_utf8(bytes).map_err(|_| wrong(key.len(), "a collection or key is not text"))
                };
                Ok(Self::Item { slot, tenant, collection: text(collection)?, key: text(key)? })
            }
            (KEPT, tenant) if !tenant.is_empty() => Ok(Self::Kept { slot, tenant, scope: scope(rest)? }),
            (HELD, tenant) if !tenant.is_empty() => {
                let (collection, _) =
                    split_at_nul(rest).ok_or_else(|| wrong(key.len(), "the collection is cut off"))?;
                let collection = str::from_utf8(collection);
                let collection = collection.map_err(|_| wrong(key.len(), "a collection is not text"))?;
                Ok(Self::Held { slot, tenant, collection })
            }
            (REFERRER, tenant) if !tenant.is_empty() => referrer(slot, tenant, rest)
                .ok_or_else(|| wrong(key.len(), "what refers to an item is not as it is written")),
            (KEPT_BY_AGE, tenant) if !tenant.is_empty() => {
                let (time, rest) =
                    rest.split_first_chunk().ok_or_else(|| wrong(key.len(), "the time is cut off"))?;
                let time = HybridTime::from_bits(u64::from_be_bytes(*time));
                Ok(Self::KeptByAge { slot, tenant, time, scope: scope(rest)? })
            }
            _ => Err(wrong(key.len(), "no row has this kind there")),
        }
    }
}

fn referrer<'a>(slot: Slot, tenant: &'a str, rest: &'a [u8]) -> Option<Parts<'a>> {
    let (to, rest) = split_at_nul(rest)?;
    let (to_key, rest) = split_at_nul(rest)?;
    let (collection, rest) = split_at_nul(rest)?;
    let (number, key) = rest.split_first_chunk()?;
    let text = |bytes| str::from_utf8(bytes).ok();
    let (to, to_key, collection, key) = (text(to)?, text(to_key)?, text(collection)?, text(key)?);
    Some(Parts::Referrer { slot, tenant, to, to_key, collection, number: u32::from_be_bytes(*number), key })
}

/// Whether a row is one of the few and small ones that commits of all items of a slot or of a collection read: a slot's own, or how far an
/// index is.
pub fn is_common(key: &[u8]) -> bool {
    key.len() == RowKey::SLOT_BYTES || key.starts_with(&beside::INDEX_STATE.to_be_bytes())
}

/// Whether a row is that of an item, by its kind alone.
pub(crate) fn is_item(key: &[u8]) -> bool {
    let Some((slot, rest)) = key.split_first_chunk() else { return false };
    let kind = split_at_nul(rest).and_then(|(tenant, rest)| rest.first().filter(|_| !tenant.is_empty()));
    Slot::new(u16::from_be_bytes(*slot)).is_some() && kind == Some(&ITEM)
}

fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

impl RowRange {
    /// All rows of all slots.
    pub fn slots() -> Self {
        Self { start: Bytes::from_static(&[0]), end: Slot::COUNT.to_be_bytes().to_vec().into() }
    }

    /// All rows of a slot.
    pub fn slot(slot: Slot) -> Self {
        Self::below(slot.get().to_be_bytes().to_vec())
    }

    /// All rows of a tenant in a slot.
    pub fn tenant(slot: Slot, tenant: &Tenant) -> Self {
        let mut prefix = slot.get().to_be_bytes().to_vec();
        prefix.put_slice(tenant.name().as_str().as_bytes());
        prefix.put_u8(0);
        Self::below(prefix)
    }

    /// The items of a collection in a slot whose keys begin with `key_prefix`, in the order of keys.
    pub fn items(slot: Slot, tenant: &Tenant, collection: &Name, key_prefix: &str) -> Self {
        let parts = [collection.as_str().as_bytes(), &[0], key_prefix.as_bytes()];
        Self::below(RowKey::build(slot, tenant.name().as_str(), ITEM, &parts).0.into())
    }

    /// The items that refer to the item `to` by a reference of this name, in the order of keys.
    pub fn referrers(slot: Slot, of: IndexName<'_>, to: (&Name, &Key)) -> Self {
        let (collection, number) = (of.collection.as_str().as_bytes(), of.number.to_be_bytes());
        let (to, to_key) = (to.0.as_str().as_bytes(), to.1.as_str().as_bytes());
        let parts = [to, &[0], to_key, &[0], collection, &[0], &number];
        Self::below(RowKey::build(slot, of.tenant.name().as_str(), REFERRER, &parts).0.into())
    }

    /// What refers to items of a collection in a slot, from a key on.
    pub fn referrers_from(slot: Slot, tenant: &Tenant, to: &Name, from: Option<&Key>) -> Self {
        let tenant = tenant.name().as_str();
        let (to, from) = (to.as_str().as_bytes(), from.map_or("", Key::as_str).as_bytes());
        let all = Self::below(RowKey::build(slot, tenant, REFERRER, &[to, &[0]]).0.into());
        Self { start: RowKey::build(slot, tenant, REFERRER, &[to, &[0], from]).0, end: all.end }
    }

    /// The kept outcomes of a tenant in a slot, the oldest first, from this time on.
    pub fn kept_by_age(slot: Slot, tenant: &Tenant, from: HybridTime) -> Self {
        let tenant = tenant.name().as_str();
        let all = Self::below(RowKey::build(slot, tenant, KEPT_BY_AGE, &[]).0.into());
        let start = RowKey::build(slot, tenant, KEPT_BY_AGE, &[&from.to_bits().to_be_bytes()]).0;
        Self { start, end: all.end }
    }

    /// From a row to another, both of them with it.
    pub(crate) fn from_to(first: &RowKey, last: &RowKey) -> Self {
        Self { start: first.0.clone(), end: [last, &[0][..]].concat().into() }
    }

    /// The rest of the range after this row.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        let mut start = Vec::with_capacity(key.len() + 1);
        start.put_slice(key);
        start.put_u8(0);
        Self { start: start.into(), end: self.end }
    }

    /// Whether a row is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start[..] <= *key && *key < self.end[..]
    }

    /// All rows whose keys begin with this.
    fn below(prefix: Vec<u8>) -> Self {
        let mut end = prefix.clone();
        let last = end.iter().rposition(|byte| *byte != u8::MAX).expect("slots are below 4096");
        end.truncate(last + 1);
        end[last] += 1;
        Self { start: prefix.into(), end: end.into() }
    }
}

#[cfg(test)]
mod tests;

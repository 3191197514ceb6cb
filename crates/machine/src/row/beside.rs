//! The keys of rows that belong to a shard and to none of its slots.
//!
//! They begin with a number that no slot has, so that whatever scans, moves or deletes a slot leaves them alone.
//!
//! | first 2 bytes | is | adds | value |
//! |---|---|---|---|
//! | 0x1000 | the shard's own row | 0 | [`ShardMeta`] |
//! | 0x1001 | a definition | tenant, 0, kind (1 byte), name | [`Definition`](crate::definition::Definition) |
//! | 0x1002 | what a definition was from a revision on; of the shard `system` only | tenant, 0, kind, name, 0, revision (8, big-endian) | the same |
//! | 0x1003 | how far an index is | tenant, 0, collection, 0, number (4, big-endian) | [`IndexState`](crate::index::State) |
//! | 0x1004 | an entry of an index | tenant, 0, collection, 0, number, the tuple, the item's key | one byte, the format |
//! | 0x1005 | an item by its end | microseconds (8, big-endian), tenant, 0, collection, 0, key | one byte, the format |
//! | 0x1006 | how far the purge of a retired collection is | tenant, 0, collection | [`Purge`](crate::purge::Purge) |
//! | 0x1007 | what the rows of a collection take | tenant, 0, collection | [`Rows`](crate::usage::Rows) |
//! | 0x1007 | that all rows are counted | nothing | one byte, the format |

use std::str::FromStr;

use bytes::{BufMut, Bytes};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Key;
use mainstay_base::time::Timestamp;

use super::{Error, FORMAT, RowKey, RowRange, split_at_nul};
use crate::codec::Reader;
use crate::index::Span;

const SHARD: u16 = 0x1000;
const DEFINITION: u16 = 0x1001;
const HISTORY: u16 = 0x1002;
pub(super) const INDEX_STATE: u16 = 0x1003;
pub(super) const INDEX_ENTRY: u16 = 0x1004;
pub(super) const END: u16 = 0x1005;
const PURGE: u16 = 0x1006;
const USAGE: u16 = 0x1007;

/// The kind of collections among definitions.
const COLLECTION: u8 = 1;

/// What a shard remembers of itself. Encoded as the format and the revision (8 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardMeta {
    /// The last revision of the definitions that it has.
    pub revision: u64,
}

impl ShardMeta {
    /// The value of the row.
    pub fn encode(self) -> Bytes {
        let mut out = Vec::with_capacity(9);
        out.put_u8(FORMAT);
        out.put_u64_le(self.revision);
        out.into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("the row of a shard", value, FORMAT)?;
        let revision = reader.u64()?;
        reader.end()?;
        Ok(Self { revision })
    }
}

/// Names an index of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexName<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Of which collection.
    pub collection: &'a Name,
    /// Its number among those of the collection.
    pub number: u32,
}

impl IndexName<'_> {
    /// The number of what is no index: the bringing of documents to the version of their schema. It goes through items as the building of
    /// an index does.
    pub const DOCUMENTS: u32 = u32::MAX;
}

impl RowKey {
    /// The shard's own row. Costs nothing: each command is asked whether it has changed it.
    pub fn shard() -> Self {
        const KEY: [u8; 3] = [SHARD.to_be_bytes()[0], SHARD.to_be_bytes()[1], 0];
        Self(Bytes::from_static(&KEY))
    }

    /// The row of a collection's definition.
    pub fn definition(tenant: &Tenant, name: &Name) -> Self {
        Self::beside(
            DEFINITION,
            &[tenant.name().as_str().as_bytes(), &[0, COLLECTION], name.as_str().as_bytes()],
        )
    }

    /// The row of what a collection's definition was from a revision on.
    pub fn history(tenant: &Tenant, name: &Name, revision: u64) -> Self {
        let (tenant, name) = (tenant.name().as_str().as_bytes(), name.as_str().as_bytes());
        Self::beside(HISTORY, &[tenant, &[0, COLLECTION], name, &[0], &revision.to_be_bytes()])
    }

    /// The row of how far an index is in a shard.
    pub fn index_state(of: IndexName<'_>) -> Self {
        Self::beside(INDEX_STATE, &[&of.bytes()])
    }

    /// The row of an item's entry in an index.
    pub fn index_entry(of: IndexName<'_>, tuple: &[u8], key: &Key) -> Self {
        Self::beside(INDEX_ENTRY, &[&of.bytes(), tuple, key.as_str().as_bytes()])
    }

    /// The row that finds an item by its end.
    pub fn end(expires: Timestamp, tenant: &Tenant, collection: &Name, key: &Key) -> Self {
        let (tenant, collection) = (tenant.name().as_str().as_bytes(), collection.as_str().as_bytes());
        let time = expires.as_micros().to_be_bytes();
        Self::beside(END, &[&time, tenant, &[0], collection, &[0], key.as_str().as_bytes()])
    }

    /// The row of how far the purge of a collection is.
    pub fn purge(tenant: &Tenant, collection: &Name) -> Self {
        let (tenant, collection) = (tenant.name().as_str().as_bytes(), collection.as_str().as_bytes());
        Self::beside(PURGE, &[tenant, &[0], collection])
    }

    /// The row of what the rows of a collection take.
    pub fn usage(tenant: &Tenant, collection: &Name) -> Self {
        let (tenant, collection) = (tenant.name().as_str().as_bytes(), collection.as_str().as_bytes());
        Self::usage_of(&[tenant, &[0], collection].concat())
    }

    /// The same, by tenant, 0 and collection.
    pub(crate) fn usage_of(account: &[u8]) -> Self {
        Self::beside(USAGE, &[account])
    }

    /// The row that says that all rows of the shard are counted.
    pub(crate) fn is_counted() -> Self {
        Self::beside(USAGE, &[])
    }

    fn beside(area: u16, parts: &[&[u8]]) -> Self {
        Self([&area.to_be_bytes()[..], &parts.concat()].concat().into())
    }
}

impl RowRange {
    /// All definitions, by tenant and name.
    pub fn definitions() -> Self {
        Self::below(DEFINITION.to_be_bytes().to_vec())
    }

    /// The items whose end has come, the earliest first.
    pub fn ends(now: Timestamp) -> Self {
        let bound = |time: u64| Bytes::from([&END.to_be_bytes()[..], &time.to_be_bytes()].concat());
        Self { start: bound(0), end: bound(now.as_micros().saturating_add(1)) }
    }

    /// How far all indexes are, by tenant, collection and number.
    pub fn index_states() -> Self {
        Self::below(INDEX_STATE.to_be_bytes().to_vec())
    }

    /// How far all purges are, by tenant and collection.
    pub fn purges() -> Self {
        Self::below(PURGE.to_be_bytes().to_vec())
    }

    /// What the rows of all collections take, by tenant and collection, after the row that says that they are counted.
    pub fn usages() -> Self {
        Self::below(USAGE.to_be_bytes().to_vec())
    }

    /// What a collection's definition was, the oldest first.
    pub fn history(tenant: &Tenant, name: &Name) -> Self {
        let (tenant, name) = (tenant.name().as_str().as_bytes(), name.as_str().as_bytes());
        Self::below(RowKey::beside(HISTORY, &[tenant, &[0, COLLECTION], name, &[0]]).0.into())
    }
}

impl<'a> IndexName<'a> {
    fn bytes(self) -> Vec<u8> {
        let (tenant, collection) =
            (self.tenant.name().as_str().as_bytes(), self.collection.as_str().as_bytes());
        [tenant, &[0], collection, &[0], &self.number.to_be_bytes()].concat()
    }

    /// What stands before the tuples of its entries.
    fn entries_prefix(self) -> Vec<u8> {
        [&INDEX_ENTRY.to_be_bytes()[..], &self.bytes()].concat()
    }

    /// The entries in a span of it.
    pub fn entries(self, span: &Span) -> RowRange {
        let prefix = self.entries_prefix();
        let bound = |bound: &[u8]| Bytes::from([&prefix[..], bound].concat());
        RowRange { start: bound(&span.start), end: bound(&span.end) }
    }

    /// The tuple and the item's key of an entry, as one.
    pub fn entry(self, row: &Bytes) -> Bytes {
        row.slice(self.entries_prefix().len()..)
    }

    /// The row of that entry.
    pub fn entry_row(self, entry: &[u8]) -> RowKey {
        RowKey([&self.entries_prefix()[..], entry].concat().into())
    }
}

/// Whose index the row of its state is, of which collection, and its number.
///
/// Errors: [`Error`] when these bytes are not the key of one.
pub fn index_of(key: &[u8]) -> Result<(Tenant, Name, u32), Error> {
    let mut parts = Apart::new("the key of an index", INDEX_STATE, key)?;
    let (tenant, collection) = (parts.tenant()?, parts.collection()?);
    let number = parts.rest.try_into().map_err(|_| parts.wrong("a number has 4 bytes"))?;
    Ok((tenant, collection, u32::from_be_bytes(number)))
}

/// Whose purge the row of its progress is, and of which collection. Errors: [`Error`] when these bytes are not the key of one.
pub fn purge_of(key: &[u8]) -> Result<(Tenant, Name), Error> {
    let mut parts = Apart::new("the key of a purge", PURGE, key)?;
    Ok((parts.tenant()?, parts.parsed(parts.rest, NO_NAME)?))
}

/// An item and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The end.
    pub expires: Timestamp,
    /// Whose item.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// Its key.
    pub key: Key,
}

impl End {
    /// What the key of a row says that finds an item by its end. Errors: [`Error`] when these bytes are not the key of one.
    pub fn of(key: &[u8]) -> Result<Self, Error> {
        let mut parts = Apart::new("the key of an end", END, key)?;
        let time = parts.chunk("the time is cut off")?;
        let expires = Timestamp::checked_from_micros(u64::from_be_bytes(time));
        Ok(Self {
            expires: expires.ok_or_else(|| parts.wrong("the time is out of range"))?,
            tenant: parts.tenant()?,
            collection: parts.collection()?,
            key: parts.parsed(parts.rest, "the item's key is none")?,
        })
    }
}

/// Whose definition a row is, and of which collection.
///
/// Errors: [`Error`] when these bytes are not the key of a definition, or of one of a kind that this program does not know.
pub(crate) fn definition_of(key: &[u8]) -> Result<(Tenant, Name), Error> {
    let mut parts = Apart::new("the key of a definition", DEFINITION, key)?;
    let tenant = parts.tenant()?;
    if parts.chunk("the kind is missing")? != [COLLECTION] {
        return Err(parts.wrong("no definition has this kind, unless a newer program wrote it"));
    }
    Ok((tenant, parts.parsed(parts.rest, NO_NAME)?))
}

const NO_NAME: &str = "the name is none";

/// A key that is taken apart from its front.
struct Apart<'a> {
    what: &'static str,
    key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Apart<'a> {
    fn new(what: &'static str, area: u16, key: &'a [u8]) -> Result<Self, Error> {
        let parts = Self { what, key, rest: key };
        let rest = key.strip_prefix(&area.to_be_bytes()[..]);
        Ok(Self { rest: rest.ok_or_else(|| parts.wrong("it is another row's"))?, ..parts })
    }

    fn wrong(&self, why: &'static str) -> Error {
        Error::Field { what: self.what, at: self.key.len(), why }
    }

    fn chunk<const N: usize>(&mut self, cut_off: &'static str) -> Result<[u8; N], Error> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(|| self.wrong(cut_off))?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn tenant(&mut self) -> Result<Tenant, Error> {
        self.until_nul("the tenant is cut off", "the tenant is no name")
    }

    fn collection(&mut self) -> Result<Name, Error> {
        self.until_nul("the collection is cut off", NO_NAME)
    }

    fn until_nul<T: FromStr>(&mut self, cut_off: &'static str, none: &'static str) -> Result<T, Error> {
        let (bytes, rest) = split_at_nul(self.rest).ok_or_else(|| self.wrong(cut_off))?;
        self.rest = rest;
        self.parsed(bytes, none)
    }

    fn parsed<T: FromStr>(&self, bytes: &[u8], none: &'static str) -> Result<T, Error> {
        let text = str::from_utf8(bytes).map_err(|_| self.wrong("a name is not text"))?;
        text.parse().map_err(|_| self.wrong(none))
    }
}

//! The keys of rows that belong to a shard and to none of its slots.
//!
//! They begin with a number that no slot has, so that whatever scans, moves or deletes a slot leaves them alone.
//!
//! | first 2 bytes | is | adds | value |
//! |---|---|---|---|
//! | 0x1000 | the shard's own row | 0 | [`ShardMeta`] |
//! | 0x1001 | a definition | tenant, 0, kind (1 byte), name | [`Definition`](crate::definition::Definition) |
//! | 0x1002 | what a definition was from a revision on; of the shard `system` only | tenant, 0, kind, name, 0, revision (8, big-endian) | the same |

use bytes::{BufMut, Bytes};
use mainstay_base::id::{Name, Tenant};

use super::{Error, FORMAT, RowKey, RowRange, split_at_nul};
use crate::codec::Reader;

const SHARD: u16 = 0x1000;
const DEFINITION: u16 = 0x1001;
const HISTORY: u16 = 0x1002;

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

impl RowKey {
    /// The shard's own row.
    pub fn shard() -> Self {
        Self::beside(SHARD, &[&[0]])
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

    fn beside(area: u16, parts: &[&[u8]]) -> Self {
        Self([&area.to_be_bytes()[..], &parts.concat()].concat().into())
    }
}

impl RowRange {
    /// All definitions, by tenant and name.
    pub fn definitions() -> Self {
        Self::below(DEFINITION.to_be_bytes().to_vec())
    }

    /// What a collection's definition was, the oldest first.
    pub fn history(tenant: &Tenant, name: &Name) -> Self {
        let (tenant, name) = (tenant.name().as_str().as_bytes(), name.as_str().as_bytes());
        Self::below(RowKey::beside(HISTORY, &[tenant, &[0, COLLECTION], name, &[0]]).0.into())
    }
}

/// Whose definition a row is, and of which collection.
///
/// Errors: [`Error`] when these bytes are not the key of a definition, or of one of a kind that this program does not know.
pub(crate) fn definition_of(key: &[u8]) -> Result<(Tenant, Name), Error> {
    let wrong = |why| Error::Field { what: "the key of a definition", at: key.len(), why };
    let rest = key.strip_prefix(&DEFINITION.to_be_bytes()[..]).ok_or_else(|| wrong("it is another row's"))?;
    let (tenant, rest) = split_at_nul(rest).ok_or_else(|| wrong("the tenant is cut off"))?;
    let (kind, name) = rest.split_first().ok_or_else(|| wrong("the kind is missing"))?;
    if *kind != COLLECTION {
        return Err(wrong("no definition has this kind, unless a newer program wrote it"));
    }
    let text = |bytes| str::from_utf8(bytes).map_err(|_| wrong("a name is not text"));
    let tenant = text(tenant)?.parse().map_err(|_| wrong("the tenant is no name"))?;
    let name = text(name)?.parse().map_err(|_| wrong("the name is none"))?;
    Ok((tenant, name))
}

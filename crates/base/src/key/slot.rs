//! The slot that a partition lives in.

use std::fmt::{self, Display, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Key, Partition};
use crate::id::{Name, Tenant};

/// One of 4096 equal shares of all partitions: the unit in which data is placed and moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slot(u16);

impl Slot {
    /// How many slots there are. Slots are below it.
    pub const COUNT: u16 = 4096;

    /// The first slot.
    pub const FIRST: Self = Self(0);

    /// The last slot.
    pub const LAST: Self = Self(Self::COUNT - 1);

    /// The slot after it; none after the last.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The slot with this number; none from [`Slot::COUNT`] on.
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The slot's number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every slot, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// The slot of a tenant's partition.
///
/// XXH3 with 64 bits and seed 0 of `tenant's length as one byte | tenant | partition`, modulo 4096. The length
/// keeps apart what would read the same when joined. Fixed for ever: the golden vectors of the tests are part
/// of the format of what is stored.
///
/// Source: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.
pub fn slot(tenant: &Tenant, partition: &Partition<'_>) -> Slot {
    let (tenant, partition) = (tenant.name().as_str().as_bytes(), partition.as_str().as_bytes());
    let mut encoded = [0; 1 + Name::BYTES_MAX + Key::BYTES_MAX];
    let (head, tail) = encoded.split_at_mut(1 + tenant.len());
    head[0] = u8::try_from(tenant.len()).expect("a name has at most 63 bytes");
    head[1..].copy_from_slice(tenant);
    tail[..partition.len()].copy_from_slice(partition);
    let hash = xxh3_64(&encoded[..1 + tenant.len() + partition.len()]);
    Slot(u16::try_from(hash % u64::from(Slot::COUNT)).expect("below 4096"))
}

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u16> for Slot {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("{number} is not a slot: slots are below {}", Self::COUNT))
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl JsonSchema for Slot {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Slot".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Slot",
            "description": "One of the equal shares in which data is placed.",
            "type": "integer",
            "minimum": 0,
            "maximum": Self::COUNT - 1,
        })
    }
}

#[cfg(test)]
mod tests;

//! The values of the rows that keep account: of a slot, of a tenant in it, and of outcomes kept for replay.

use bytes::{BufMut, Bytes};
use mainstay_base::hlc::HybridTime;
use mainstay_base::key::Key;

use super::{Error, FORMAT};
use crate::codec::{Reader, put_varint};
use crate::outcome::Outcome;

/// What a slot remembers. Encoded as the format and the sequence (8 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotMeta {
    /// The number of the last commit that changed something; 0 before the first.
    pub sequence: u64,
}

/// What a slot remembers of a tenant. Encoded as the format, the count (varint) and the time (8 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantMeta {
    /// How many outcomes are kept, those past their time included.
    pub kept: u64,
    /// No kept outcome is older. A search for the oldest begins here, not among rows that were deleted.
    pub oldest: HybridTime,
}

/// An outcome that is kept for its idempotency key. Encoded as the format, the fingerprint (16 bytes), the time (8 bytes)
/// and the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The hash of the request that it answered.
    pub fingerprint: [u8; 16],
    /// When it was kept.
    pub time: HybridTime,
    /// What was answered.
    pub outcome: Outcome,
}

/// Who has values that only one item of a partition may have. Encoded as the format and the item's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The item.
    pub key: Key,
}

impl Holder {
    /// The value of the row.
    pub fn encode(&self) -> Bytes {
        [&[FORMAT], self.key.as_str().as_bytes()].concat().into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("the holder of values", value, FORMAT)?;
        let key = reader.text_of(reader.left())?;
        let key = key.parse().map_err(|_| reader.field("the item's key is none"))?;
        Ok(Self { key })
    }
}

impl SlotMeta {
    /// The value of the row.
    pub fn encode(self) -> Bytes {
        let mut out = Vec::with_capacity(9);
        out.put_u8(FORMAT);
        out.put_u64_le(self.sequence);
        out.into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("the row of a slot", value, FORMAT)?;
        let sequence = reader.u64()?;
        reader.end()?;
        Ok(Self { sequence })
    }
}

impl TenantMeta {
    /// The value of the row.
    pub fn encode(self) -> Bytes {
        let mut out = Vec::with_capacity(14);
        out.put_u8(FORMAT);
        put_varint(&mut out, self.kept);
        out.put_u64_le(self.oldest.to_bits());
        out.into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("the row of a tenant", value, FORMAT)?;
        let (kept, oldest) = (reader.varint()?, HybridTime::from_bits(reader.u64()?));
        reader.end()?;
        Ok(Self { kept, oldest })
    }
}

impl Kept {
    /// The value of the row.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(48);
        out.put_u8(FORMAT);
        out.put_slice(&self.fingerprint);
        out.put_u64_le(self.time.to_bits());
        self.outcome.encode(&mut out);
        out.into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("a kept outcome", value, FORMAT)?;
        let fingerprint = reader.array()?;
        let time = HybridTime::from_bits(reader.u64()?);
        let outcome = Outcome::decode(&mut reader)?;
        reader.end()?;
        Ok(Self { fingerprint, time, outcome })
    }
}

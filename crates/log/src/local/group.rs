//! Groups, the unit in which a segment is written, and their bytes in format 1.
//!
//! A group begins on a block of 4,096 bytes and is padded with zeros to one. Its head says where it belongs, so
//! that whatever a recycled file still holds never passes for data. Integers are little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 7 | `msgroup` |
//! | 7 | 1 | format: 1 |
//! | 8 | 8 | id of the log, the same in all of its segments |
//! | 16 | 8 | number of the segment |
//! | 24 | 8 | offset of the group in the segment |
//! | 32 | 8 | durable_to: everything of this segment before it was synced when the group was written |
//! | 40 | 4 | length of the body |
//! | 44 | 4 | CRC32C of the body |
//! | 48 | 4 | number of trims |
//! | 52 | 4 | number of records |
//! | 56 | 1 | kind: 1 opening, 2 records, 3 seal |
//! | 57 | 7 | zeros |
//! | 64 | 4 | follows: the CRC32C of the head before it, in this segment or at the end of the last one |
//! | 68 | 4 | CRC32C of the head up to here |
//! | 72 | | body, then zeros to the end of the block |
//!
//! The body of `records` and `seal`: trims of 12 bytes (shard 4, index that it begins at 8), then records in
//! their own format back to back. The body of an `opening`, the first group of every segment: length of the
//! segment 8, number of the segment before 8 and the end of its last group 8 (both 0 in segment 1), then for each
//! shard 28 bytes: shard 4, begins 8, next 8, highest epoch 8.
//!
//! The fields up to the offset, and the CRC of the head, mean the same in every format to come, so that a newer
//! group is refused by name and never taken for a torn one.

use std::fmt::{self, Display, Formatter};

use bytes::{Buf, BufMut};
use mainstay_base::position::{Epoch, Index, ShardId};

use crate::record::Record;
use crate::rules::{Rule, holds};

/// What the device is believed to write as a whole or not at all is less; groups are aligned to this.
pub(crate) const BLOCK: u64 = 4096;

/// The same, for lengths in memory.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// The length of a head.
pub(crate) const HEAD_BYTES: usize = 72;

/// The length of one trim in a body.
pub(crate) const TRIM_BYTES: usize = 12;

/// The length of an opening's body without shards.
const OPENING_BYTES: usize = 24;

/// The length of a shard in an opening.
pub(crate) const ENTRY_BYTES: usize = 28;

const FORMAT: u8 = 1;
const MAGIC: &[u8; 7] = b"msgroup";
const CRC_AT: usize = HEAD_BYTES - 4;

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first of its segment: what the segments before it come to.
    Opening,
    /// Trims and records.
    Records,
    /// The last one of a clean stop.
    Seal,
}

/// Where groups belong: the log and the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) log: u64,
    pub(crate) segment: u64,
}

impl Home {
    /// Whether what has this home belongs to that one.
    pub(crate) fn is(self, home: Self) -> bool {
        (self.log == home.log || !holds(Rule::LogInHeads))
            && (self.segment == home.segment || !holds(Rule::SegmentInHeads))
    }
}

/// The head of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) home: Home,
    pub(crate) offset: u64,
    pub(crate) durable_to: u64,
    pub(crate) body_bytes: u32,
    pub(crate) body_crc: u32,
    pub(crate) trims: u32,
    pub(crate) records: u32,
    pub(crate) kind: Kind,
    pub(crate) follows: u32,
}

/// What the first bytes of a block turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A head, and its CRC.
    Head(Head, u32),
    /// The whole head of a format that this program does not know.
    Newer { format: u8, home: Home, offset: u64 },
    /// Nothing that was written as a head, or not all of it.
    Not(NotHead),
}

/// Why bytes are not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHead {
    /// The CRC is not that of the bytes.
    Crc,
    /// The CRC fits, and a field does not: not written by this program.
    Field(&'static str),
}

impl Display for NotHead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crc => f.write_str("no group begins there, or its head is not what was written"),
            Self::Field(field) => write!(f, "the head of the group there has no valid {field}"),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The length that a group with such a body has in its segment.
pub(crate) const fn padded(body_bytes: usize) -> u64 {
    (HEAD_BYTES as u64 + body_bytes as u64).next_multiple_of(BLOCK)
}

impl Head {
    /// Where the group ends: the first block behind it.
    pub(crate) const fn end(&self) -> u64 {
        self.offset.saturating_add(padded(self.body_bytes as usize))
    }

    /// The head's bytes and their CRC.
    pub(crate) fn encode(&self) -> ([u8; HEAD_BYTES], u32) {
        let mut bytes = [0; HEAD_BYTES];
        let mut to = &mut bytes[..];
        to.put_slice(MAGIC);
        to.put_u8(FORMAT);
        to.put_u64_le(self.home.log);
        to.put_u64_le(self.home.segment);
        to.put_u64_le(self.offset);
        to.put_u64_le(self.durable_to);
        to.put_u32_le(self.body_bytes);
        to.put_u32_le(self.body_crc);
        to.put_u32_le(self.trims);
        to.put_u32_le(self.records);
        to.put_u8(self.kind.number());
        let crc = crc32c::crc32c(&bytes[..CRC_AT - 4]);
        let crc = crc32c::crc32c_append(crc, &self.follows.to_le_bytes());
        bytes[CRC_AT - 4..CRC_AT].copy_from_slice(&self.follows.to_le_bytes());
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// What the first [`HEAD_BYTES`] of these bytes are; there are as many.
    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        let crc = u32_at(bytes, CRC_AT);
        let is_whole = crc32c::crc32c(&bytes[..CRC_AT]) == crc || !holds(Rule::HeadCrc);
        if &bytes[..7] != MAGIC || !is_whole {
            return Decoded::Not(NotHead::Crc);
        }
        let home = Home { log: u64_at(bytes, 8), segment: u64_at(bytes, 16) };
        let offset = u64_at(bytes, 24);
        match bytes[7] {
            FORMAT => {}
            0 => return Decoded::Not(NotHead::Field("format")),
            format => return Decoded::Newer { format, home, offset },
        }
        let Some(kind) = Kind::from_number(bytes[56]) else { return Decoded::Not(NotHead::Field("kind")) };
        if bytes[57..64] != [0; 7] {
            return Decoded::Not(NotHead::Field("reserved bytes"));
        }
        let head = Self {
            home,
            offset,
            durable_to: u64_at(bytes, 32),
            body_bytes: u32_at(bytes, 40),
            body_crc: u32_at(bytes, 44),
            trims: u32_at(bytes, 48),
            records: u32_at(bytes, 52),
            kind,
            follows: u32_at(bytes, 64),
        };
        if head.durable_to > head.offset {
            return Decoded::Not(NotHead::Field("durable_to"));
        }
        Decoded::Head(head, crc)
    }

    /// Whether these bytes were once a head that belongs here, whole or not: three of the four things that say so
    /// are enough unless the CRC shows that the fourth was written differently.
    pub(crate) fn is_trace(bytes: &[u8], home: Home, offset: u64) -> bool {
        let same = [
            &bytes[..7] == MAGIC,
            u64_at(bytes, 8) == home.log,
            u64_at(bytes, 16) == home.segment,
            u64_at(bytes, 24) == offset,
        ];
        let count = same.iter().filter(|same| **same).count();
        count == 4 || count == 3 && Self::decode(bytes) == Decoded::Not(NotHead::Crc)
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Opening => 1,
            Self::Records => 2,
            Self::Seal => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Opening),
            2 => Some(Self::Records),
            3 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// What is known of a shard without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The lowest index that is not trimmed.
    pub(crate) begins: Index,
    /// One above the highest index ever appended.
    pub(crate) next: Index,
    /// The highest epoch ever appended.
    pub(crate) epoch: Epoch,
}

impl Ends {
    /// A shard before its first record.
    pub(crate) const START: Self = Self { begins: Index::FIRST, next: Index::FIRST, epoch: Epoch::NONE };
}

/// What an opening says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The length of the segment.
    pub(crate) bytes: u64,
    /// The number of the segment before, 0 in the first.
    pub(crate) previous: u64,
    /// Where the last group of the segment before ends. The head of that group is what the opening follows.
    pub(crate) previous_end: u64,
    /// Every shard that had a record or a trim before this segment, in their order.
    pub(crate) shards: Vec<(ShardId, Ends)>,
}

impl Opening {
    /// The length of the body with this many shards.
    #[cfg(test)]
    pub(crate) const fn body_bytes(shards: usize) -> usize {
        OPENING_BYTES + shards * ENTRY_BYTES
    }

    fn encode_into(&self, to: &mut impl BufMut) {
        to.put_u64_le(self.bytes);
        to.put_u64_le(self.previous);
        to.put_u64_le(self.previous_end);
        for (shard, ends) in &self.shards {
            to.put_u32_le(shard.get());
            to.put_u64_le(ends.begins.get());
            to.put_u64_le(ends.next.get());
            to.put_u64_le(ends.epoch.get());
        }
    }

    /// Reads the body of an opening; none when it is not one.
    pub(crate) fn decode(mut body: &[u8]) -> Option<Self> {
        let shards = body.len().checked_sub(OPENING_BYTES)?;
        if shards % ENTRY_BYTES != 0 {
            return None;
        }
        let (bytes, previous, previous_end) = (body.get_u64_le(), body.get_u64_le(), body.get_u64_le());
        let mut opening =
            Self { bytes, previous, previous_end, shards: Vec::with_capacity(shards / ENTRY_BYTES) };
        while body.has_remaining() {
            let shard = ShardId::new(body.get_u32_le());
            let (begins, next) = (Index::new(body.get_u64_le()), Index::new(body.get_u64_le()));
            let ends = Ends { begins, next, epoch: Epoch::new(body.get_u64_le()) };
            let is_next = opening.shards.last().is_none_or(|(last, _)| *last < shard);
            if !is_next || begins < Index::FIRST || next < begins {
                return None;
            }
            opening.shards.push((shard, ends));
        }
        Some(opening)
    }
}

/// Shards with the index that each is to begin at.
pub(crate) type Trims = Vec<(ShardId, Index)>;

/// The trims at the front of a body, and the rest of it; none when they are not all there.
pub(crate) fn split_trims(mut body: &[u8], count: u32) -> Option<(Trims, &[u8])> {
    let bytes = usize::try_from(count).ok()?.checked_mul(TRIM_BYTES)?;
    let records = body.get(bytes..)?;
    let trims = (0..count).map(|_| (ShardId::new(body.get_u32_le()), Index::new(body.get_u64_le())));
    Some((trims.collect(), records))
}

/// A group in the making: the one buffer between records and the file, used again for every group.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Room for the head, then the body so far.
    bytes: Vec<u8>,
    /// Of the bytes before `summed`.
    body_crc: u32,
    summed: usize,
    trims: u32,
    records: u32,
}

/// Where a group goes, and what it goes behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) home: Home,
    pub(crate) offset: u64,
    pub(crate) durable_to: u64,
    pub(crate) follows: u32,
}

impl Draft {
    /// Begins a group that carries these trims.
    pub(crate) fn begin<'a>(&mut self, trims: impl IntoIterator<Item = (&'a ShardId, &'a Index)>) {
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        (self.trims, self.records, self.body_crc, self.summed) = (0, 0, 0, HEAD_BYTES);
        for (shard, to) in trims {
            self.bytes.put_u32_le(shard.get());
            self.bytes.put_u64_le(to.get());
            self.trims += 1;
        }
    }

    /// Adds a record: the one copy of it.
    pub(crate) fn push(&mut self, record: &Record) {
        record.encode_into(&mut self.bytes);
        self.records += 1;
        // Now, while others come, and not when they wait for the write.
        self.sum();
    }

    fn sum(&mut self) {
        self.body_crc = crc32c::crc32c_append(self.body_crc, &self.bytes[self.summed..]);
        self.summed = self.bytes.len();
    }

    /// The length of the body so far.
    pub(crate) fn body_bytes(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// The bytes to write, and the CRC of their head.
    pub(crate) fn finish(&mut self, kind: Kind, at: At) -> (&[u8], u32) {
        self.sum();
        let head = Head {
            home: at.home,
            offset: at.offset,
            durable_to: at.durable_to,
            body_bytes: u32::try_from(self.body_bytes()).expect("the options keep groups below 4 GiB"),
            body_crc: self.body_crc,
            trims: self.trims,
            records: self.records,
            kind,
            follows: at.follows,
        };
        let (head, crc) = head.encode();
        self.bytes[..HEAD_BYTES].copy_from_slice(&head);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        (&self.bytes, crc)
    }

    /// The bytes of an opening, and the CRC of their head.
    pub(crate) fn opening(&mut self, opening: &Opening, home: Home, follows: u32) -> (&[u8], u32) {
        self.begin([]);
        opening.encode_into(&mut self.bytes);
        self.finish(Kind::Opening, At { home, offset: 0, durable_to: 0, follows })
    }

    /// Gives memory back that only an unusually large group needed.
    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        if self.bytes.capacity() > bytes_max {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;

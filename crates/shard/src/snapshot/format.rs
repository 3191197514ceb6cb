//! The bytes of a snapshot: one shard's rows as of one index, in the order of their keys.
//!
//! Format 1, integers little-endian. Written and read piece by piece; neither side ever holds more than a block.
//!
//! | part | bytes | field |
//! |---|---|---|
//! | head | 8 | `mainsnap` |
//! | | 1 | format: 1 |
//! | | 4 | shard |
//! | | 4 | how many shards there are |
//! | | 4 | number of the timeline |
//! | | 8 | index of the last record that is in it |
//! | | 8 | when it was taken, microseconds since 1970 |
//! | | 2 + n | what the owner keeps with the index, with its length |
//! | | 4 | CRC32C of the head |
//! | block | 4 | length of the body as it is stored, from 1 |
//! | | 4 | length of the body as it was, from 1 to 64 MiB; another one than above: the body is compressed (LZ4) |
//! | | n | body: for each row 2 bytes length of the key, 4 of the value, key, value |
//! | | 4 | CRC32C of the block, going on from that of the part before |
//! | foot | 4 | 0 |
//! | | 8 | rows |
//! | | 4 | CRC32C of the foot, going on from that of the part before |
//!
//! A checksum that goes on finds blocks that are missing, doubled or in another order as well.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::Timestamp;
use thiserror::Error;

const MAGIC: &[u8; 8] = b"mainsnap";
const FORMAT: u8 = 1;

/// A block is closed when it has as much: few enough to hold, enough to compress.
const BLOCK_BYTES: usize = 256 << 10;

/// More than a block with the largest row; what claims more is damaged.
const BODY_BYTES_MAX: usize = 64 << 20;

const HEAD_FIXED_BYTES: usize = 8 + 1 + 4 + 4 + 4 + 8 + 8 + 2;
const ROW_FIXED_BYTES: usize = 2 + 4;
const BLOCK_FIXED_BYTES: usize = 4 + 4;
const FOOT_BYTES: usize = 4 + 8;
const CRC_BYTES: usize = 4;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose rows.
    pub shard: ShardId,
    /// Of how many shards: with another number, other rows belong to it.
    pub shards: u32,
    /// The number of the line of history.
    pub timeline: u32,
    /// The last record that is in it.
    pub index: Index,
    /// When it was taken, by the wall clock.
    pub taken: Timestamp,
    /// What the owner keeps with the index; up to 64 KiB.
    pub memo: Bytes,
}

/// Bytes that are not a snapshot that this program can read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// It is of a newer format.
    #[error("it is written in format {found}, and this program reads format 1: use a newer one")]
    Format {
        /// The format.
        found: u8,
    },
    /// It is not what was written.
    #[error("it is damaged at byte {offset}: {what}")]
    Bytes {
        /// Where the part begins that is.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It ends before its foot.
    #[error("it ends at byte {offset}, in the middle")]
    Cut {
        /// How many bytes there are.
        offset: u64,
    },
}

/// Writes a snapshot.
#[derive(Debug)]
pub struct Encoder {
    body: Vec<u8>,
    rows: u64,
    crc: u32,
}

impl Encoder {
    /// Begins one; the bytes are its head. Panics when `memo` has more than 64 KiB.
    pub fn new(header: &Header) -> (Self, Bytes) {
        let mut out = BytesMut::with_capacity(HEAD_FIXED_BYTES + header.memo.len() + CRC_BYTES);
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        out.put_u32_le(header.shard.get());
        out.put_u32_le(header.shards);
        out.put_u32_le(header.timeline);
        out.put_u64_le(header.index.get());
        out.put_u64_le(header.taken.as_micros());
        out.put_u16_le(u16::try_from(header.memo.len()).expect("an owner says it in fewer bytes"));
        out.put_slice(&header.memo);
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        (Self { body: Vec::with_capacity(BLOCK_BYTES), rows: 0, crc }, out.freeze())
    }

    /// Adds a row; keys ascend. The bytes, if there are any, follow those before. Panics for keys of more than 64 KiB and values of
    /// more than 32 MiB.
    #[must_use]
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Option<Bytes> {
        assert!(value.len() <= BODY_BYTES_MAX / 2, "a value of {} bytes is no row's", value.len());
        self.rows += 1;
        self.body.put_u16_le(u16::try_from(key.len()).expect("keys are short"));
        self.body.put_u32_le(u32::try_from(value.len()).expect("asserted above"));
        self.body.put_slice(key);
        self.body.put_slice(value);
        (self.body.len() >= BLOCK_BYTES).then(|| self.block())
    }

    /// Ends it; the bytes are its last ones.
    pub fn finish(mut self) -> Bytes {
        let mut out = BytesMut::new();
        if !self.body.is_empty() {
            out.put(self.block());
        }
        let begins = out.len();
        out.put_u32_le(0);
        out.put_u64_le(self.rows);
        out.put_u32_le(crc32c::crc32c_append(self.crc, &out[begins..]));
        out.freeze()
    }

    fn block(&mut self) -> Bytes {
        let packed = lz4_flex::block::compress(&self.body);
        let stored = if packed.len() < self.body.len() { &packed } else { &self.body };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a block is below 64 MiB");
        let mut out = BytesMut::with_capacity(BLOCK_FIXED_BYTES + stored.len() + CRC_BYTES);
        out.put_u32_le(length(stored));
        out.put_u32_le(length(&self.body));
        out.put_slice(stored);
        self.crc = crc32c::crc32c_append(self.crc, &out);
        out.put_u32_le(self.crc);
        self.body.clear();
        out.freeze()
    }
}

/// What a decoder has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet: it needs more bytes.
    More,
    /// What it is a snapshot of.
    Header(Header),
    /// The next rows, in the order of their keys.
    Rows(Vec<(Bytes, Bytes)>),
    /// Everything was read, and nothing is missing.
    End,
}

/// Reads a snapshot.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Of the first byte of the buffer.
    offset: u64,
    part: Part,
    crc: u32,
    rows: u64,
    last: Bytes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    Blocks,
    Behind,
}

impl Decoder {
    /// Adds the bytes that follow.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Finds the next part, which is checked. Errors: [`Damage`]; nothing that follows is to be believed then.
    pub fn advance(&mut self) -> Result<Found, Damage> {
        match self.part {
            Part::Head => self.head(),
            Part::Blocks => self.block_or_foot(),
            Part::Behind if self.buffer.is_empty() => Ok(Found::End),
            Part::Behind => Err(self.damaged("bytes follow its foot")),
        }
    }

    /// There are no more bytes. Errors: [`Damage::Cut`] unless it was read to its end.
    pub fn finish(&self) -> Result<(), Damage> {
        if self.part == Part::Behind && self.buffer.is_empty() {
            return Ok(());
        }
        Err(Damage::Cut { offset: self.offset + self.buffer.len() as u64 })
    }

    fn head(&mut self) -> Result<Found, Damage> {
        let known = self.buffer.len().min(MAGIC.len());
        if self.buffer[..known] != MAGIC[..known] {
            return Err(self.damaged("it does not begin as a snapshot does"));
        }
        match self.buffer.get(MAGIC.len()) {
            None => return Ok(Found::More),
            Some(&FORMAT) => {}
            Some(&found) => return Err(Damage::Format { found }),
        }
        if self.buffer.len() < HEAD_FIXED_BYTES {
            return Ok(Found::More);
        }
        let mut fields = &self.buffer[MAGIC.len() + 1..];
        let (shard, shards) = (ShardId::new(fields.get_u32_le()), fields.get_u32_le());
        let (timeline, index) = (fields.get_u32_le(), Index::new(fields.get_u64_le()));
        let (taken, length) = (fields.get_u64_le(), usize::from(fields.get_u16_le()));
        let Some(mut part) = self.take(HEAD_FIXED_BYTES + length, 0)? else { return Ok(Found::More) };
        let Some(taken) = Timestamp::checked_from_micros(taken) else {
            return Err(self.damaged("its time is none"));
        };
        let memo = part.split_off(HEAD_FIXED_BYTES);
        self.part = Part::Blocks;
        Ok(Found::Header(Header { shard, shards, timeline, index, taken, memo }))
    }

    fn block_or_foot(&mut self) -> Result<Found, Damage> {
        let Some(mut fields) = self.buffer.get(..BLOCK_FIXED_BYTES) else { return Ok(Found::More) };
        let (stored, length) = (fields.get_u32_le() as usize, fields.get_u32_le() as usize);
        if stored == 0 {
            return self.foot();
        }
        if length == 0 || length > BODY_BYTES_MAX || stored > length {
            return Err(self.damaged("a block has a length that none has"));
        }
        let begins = self.offset;
        let Some(part) = self.take(BLOCK_FIXED_BYTES + stored, self.crc)? else { return Ok(Found::More) };
        let mut body = part.slice(BLOCK_FIXED_BYTES..);
        if stored != length {
            let unpacked = lz4_flex::block::decompress(&body, length).ok();
            let is_whole = |unpacked: &Vec<u8>| unpacked.len() == length;
            let what = "a block cannot be unpacked";
            body = unpacked.filter(is_whole).ok_or(Damage::Bytes { offset: begins, what })?.into();
        }
        self.rows_of(body).map(Found::Rows).map_err(|what| Damage::Bytes { offset: begins, what })
    }

    fn rows_of(&mut self, mut body: Bytes) -> Result<Vec<(Bytes, Bytes)>, &'static str> {
        let mut rows = Vec::new();
        while body.has_remaining() {
            if body.remaining() < ROW_FIXED_BYTES {
                return Err("a row is cut off");
            }
            let (key, value) = (usize::from(body.get_u16_le()), body.get_u32_le() as usize);
            if body.remaining() < key || body.remaining() - key < value {
                return Err("a row is cut off");
            }
            let row = (body.split_to(key), body.split_to(value));
            if self.rows > 0 && row.0 <= self.last {
                return Err("its rows are not in the order of their keys");
            }
            self.last = row.0.clone();
            self.rows += 1;
            rows.push(row);
        }
        Ok(rows)
    }

    fn foot(&mut self) -> Result<Found, Damage> {
        let Some(part) = self.take(FOOT_BYTES, self.crc)? else { return Ok(Found::More) };
        if (&part[4..]).get_u64_le() != self.rows {
            return Err(self.damaged("rows are missing"));
        }
        self.part = Part::Behind;
        self.advance()
    }

    /// Takes so many bytes and the checksum behind them, which goes on from `crc`; none if they are not all there.
    fn take(&mut self, length: usize, crc: u32) -> Result<Option<Bytes>, Damage> {
        if self.buffer.len() < length + CRC_BYTES {
            return Ok(None);
        }
        let crc = crc32c::crc32c_append(crc, &self.buffer[..length]);
        if (&self.buffer[length..]).get_u32_le() != crc {
            return Err(self.damaged("a checksum is wrong"));
        }
        let part = self.buffer.split_to(length).freeze();
        self.buffer.advance(CRC_BYTES);
        self.offset += (length + CRC_BYTES) as u64;
        self.crc = crc;
        Ok(Some(part))
    }

    fn damaged(&self, what: &'static str) -> Damage {
        Damage::Bytes { offset: self.offset, what }
    }
}

impl Classify for Damage {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests;

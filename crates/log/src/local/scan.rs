//! Reading segments: one group at a time, checked, and what lies behind a group that is not one.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;
use mainstay_base::position::{Index, ShardId};

use super::disk::File;
use super::group::{self, BLOCK, BLOCK_BYTES, Decoded, HEAD_BYTES, Head, Home, NotHead};
use crate::record::{self, FORMAT, HEADER_BYTES, Record};
use crate::rules::{Rule, holds};

/// How much is read at once where blocks are only looked at.
const CHUNK_BYTES: u64 = 1 << 20;

/// A group whose head and body are what was written.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) head: Head,
    /// The CRC of the head.
    pub(crate) crc: u32,
    body: Bytes,
    /// Where the records begin in the body.
    records_at: usize,
    trims: Vec<(ShardId, Index)>,
}

/// Why there is no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// No head, or a broken one.
    Head(NotHead),
    /// A head of another log, segment or place: what the file held before.
    Elsewhere,
    /// A head of a newer format.
    Newer(u8),
    /// It ends behind the part of the segment that is looked at.
    Beyond,
    /// The head is whole, and the body is not what was written.
    Body,
    /// It does not follow the group before it.
    Follows,
}

impl Display for Invalid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(why) => why.fmt(f),
            Self::Elsewhere => f.write_str("the group there belongs to another place"),
            Self::Newer(format) => write!(
                f,
                "the group there is written in format {format} of local logs, and this program reads format 1: \
                 use a newer one"
            ),
            Self::Beyond => f.write_str("the group there is longer than the place it has"),
            Self::Body => f.write_str("the body of the group there is not what was written"),
            Self::Follows => f.write_str("the group there does not follow the one before it"),
        }
    }
}

/// Reads the group at `offset`, which is to end at `limit` or before. Whether it follows the one before is for the caller to compare.
pub(crate) fn group(
    file: &dyn File,
    home: Home,
    offset: u64,
    limit: u64,
) -> io::Result<Result<Group, Invalid>> {
    if limit < offset.saturating_add(BLOCK) {
        return Ok(Err(Invalid::Beyond));
    }
    let mut bytes = vec![0; BLOCK_BYTES];
    file.read_at(&mut bytes, offset)?;
    let (head, crc) = match Head::decode(&bytes) {
        Decoded::Head(head, crc) if head.home.is(home) && head.offset == offset => (head, crc),
        Decoded::Newer { format, home: found, offset: at } if found == home && at == offset => {
            return Ok(Err(Invalid::Newer(format)));
        }
        Decoded::Head(..) | Decoded::Newer { .. } => return Ok(Err(Invalid::Elsewhere)),
        Decoded::Not(why) => return Ok(Err(Invalid::Head(why))),
    };
    if head.end() > limit {
        return Ok(Err(Invalid::Beyond));
    }
    let end = HEAD_BYTES + head.body_bytes as usize;
    if end > BLOCK_BYTES {
        bytes.resize(end, 0);
        file.read_at(&mut bytes[BLOCK_BYTES..], offset + BLOCK)?;
    }
    let body = Bytes::from(bytes).slice(HEAD_BYTES..end);
    if crc32c::crc32c(&body) != head.body_crc && holds(Rule::BodyCrc) {
        return Ok(Err(Invalid::Body));
    }
    let Some((trims, records)) = group::split_trims(&body, head.trims) else { return Ok(Err(Invalid::Body)) };
    let records_at = body.len() - records.len();
    Ok(Ok(Group { head, crc, records_at, trims, body }))
}

impl Group {
    /// Its body, of whatever kind.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The trims that it carries.
    pub(crate) fn trims(&self) -> &[(ShardId, Index)] {
        &self.trims
    }

    /// Its records' bytes, one after another; the checksum over the body proves where each begins.
    pub(crate) fn records(&self) -> Slices<'_> {
        Slices { rest: &self.body[self.records_at..] }
    }

    /// Its records, decoded, sharing its memory.
    pub(crate) fn decoded(&self) -> impl Iterator<Item = Result<Record, record::Error>> {
        self.records().map(|bytes| Record::decode(&self.body.slice_ref(bytes?)))
    }
}

/// The bytes of records back to back.
pub(crate) struct Slices<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Slices<'a> {
    type Item = Result<&'a [u8], record::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match record::split_first(self.rest) {
            Ok((first, rest)) => {
                self.rest = rest;
                Ok(first)
            }
            Err(error) => {
                self.rest = &[];
                Err(error)
            }
        })
    }
}

/// The shard of a record of the format that this program writes, from its fixed place; none for any other.
pub(crate) fn shard_of(record: &[u8]) -> Option<ShardId> {
    let shard = record.get(12..16).filter(|_| record.len() >= HEADER_BYTES && record[8] == FORMAT)?;
    Some(ShardId::new(u32::from_le_bytes(shard.try_into().expect("four bytes"))))
}

/// Shows every block from `from` to `to`, in order, until it is told to stop.
pub(crate) fn each_block(
    file: &dyn File,
    from: u64,
    to: u64,
    mut look: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut offset = from;
    while offset + BLOCK <= to {
        let chunk = (to - offset).min(CHUNK_BYTES) / BLOCK * BLOCK;
        bytes.resize(usize::try_from(chunk).expect("no more than a chunk"), 0);
        file.read_at(&mut bytes, offset)?;
        for (block, at) in bytes.chunks_exact(BLOCK_BYTES).zip((offset..).step_by(BLOCK_BYTES)) {
            if look(at, block).is_break() {
                return Ok(());
            }
        }
        offset += chunk;
    }
    Ok(())
}

/// What lies behind a place where no group is.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The first whole head that shows that the place was synced.
    pub(crate) proof: Option<u64>,
    /// A whole head of a newer format.
    pub(crate) newer: Option<(u64, u8)>,
    /// The blocks that once began a group of this segment.
    pub(crate) traces: Vec<u64>,
    /// The end of the last of them, as far as its head tells.
    pub(crate) end: u64,
}

/// Looks for what belongs to this segment from `bad` on.
pub(crate) fn look_ahead(file: &dyn File, home: Home, bad: u64, bytes: u64) -> io::Result<Ahead> {
    let mut ahead = Ahead { end: bad, ..Ahead::default() };
    each_block(file, bad, bytes, |offset, block| {
        if Head::is_trace(block, home, offset) {
            ahead.traces.push(offset);
            ahead.end = ahead.end.max(offset + BLOCK);
        }
        match Head::decode(block) {
            Decoded::Head(head, _) if head.home.is(home) && head.offset == offset => {
                if head.end() <= bytes {
                    ahead.end = ahead.end.max(head.end());
                }
                if head.durable_to > bad && ahead.proof.is_none() {
                    ahead.proof = Some(offset);
                }
            }
            Decoded::Newer { format, home: found, offset: at } if found == home && at == offset => {
                ahead.newer = ahead.newer.or(Some((offset, format)));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(ahead)
}

/// The first whole head of this segment from `from` on and before `to`.
pub(crate) fn next_head(file: &dyn File, home: Home, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut found = None;
    each_block(file, from, to, |offset, block| match Head::decode(block) {
        Decoded::Head(head, _) if head.home.is(home) && head.offset == offset => {
            found = Some(offset);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok(found)
}

//! The record of a shard's log, and its bytes in format 1.
//!
//! A record is made once, by [`Draft::seal`], and every engine stores the same bytes: the checksum over all
//! of it and the link to the record before it are in the record, not in what an engine puts around it. What
//! the payload means is not known here.
//!
//! Format 1, integers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | checksum: CRC32C of everything after it |
//! | 4 | 4 | length of the record in bytes, from offset 0 |
//! | 8 | 1 | format: 1 |
//! | 9 | 1 | kind: 1 data, 2 epoch, 3 barrier |
//! | 10 | 2 | length of the extensions in bytes |
//! | 12 | 4 | shard |
//! | 16 | 8 | index, from 1 |
//! | 24 | 8 | epoch, from 1 |
//! | 32 | 16 | id |
//! | 48 | 4 | prev: checksum of the last accepted record, 0 before the first |
//! | 52 | | extensions, then the payload to the end |
//!
//! The first nine bytes mean the same in every format to come, so that a flipped bit is never taken for a
//! newer format, nor a newer format for damage.

use std::fmt::{self, Debug, Display, Formatter};

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::position::{Epoch, Index, ShardId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod extensions;

pub use extensions::{Context, Extensions, Timeline, TraceContext};

/// The record format that this program writes, and the newest that it reads.
pub const FORMAT: u8 = 1;

/// The length of a record of format 1 without extensions and payload.
pub const HEADER_BYTES: usize = 52;

/// The part that every format has in common: checksum, length, format.
const ENVELOPE_BYTES: usize = 9;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Carries what the owner committed.
    Data,
    /// Begins an ownership: the first record that its owner appends.
    Epoch,
    /// Carries nothing: it is appended for its acknowledgement.
    Barrier,
}

/// Names one record for its writer, who recognises by it what became of an append: 16 random bytes.
///
/// A record that is appended again keeps its id. Text: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

/// The CRC32C of a record, by which the record after it names it. Text: 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checksum(u32);

/// A record without its place: what a writer wants in the log, wherever that will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is for.
    pub kind: Kind,
    /// Its name, kept when it is sealed again at another place.
    pub id: RecordId,
    /// Tenant, timeline and trace context.
    pub extensions: Extensions,
    /// What it carries: at most [`Record::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Bytes,
}

/// The fixed fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is for.
    pub kind: Kind,
    /// Whose log it belongs to.
    pub shard: ShardId,
    /// Its place in that log.
    pub index: Index,
    /// The ownership that it was written under.
    pub epoch: Epoch,
    /// Its name.
    pub id: RecordId,
    /// The checksum of the record that its writer had accepted last.
    pub prev: Checksum,
}

/// A record at its place, with its checksum. Cloning shares the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    head: Head,
    extensions: Extensions,
    payload: Bytes,
    /// Always that of the other fields: both ways to make a record compute it.
    checksum: Checksum,
}

/// Bytes that are not a record that this program can read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There are too few bytes for the smallest record.
    #[error("a record has at least {needed} bytes, and there are {bytes}")]
    Short {
        /// The bytes there are.
        bytes: usize,
        /// The bytes needed to go on reading.
        needed: usize,
    },
    /// The record says another length than its bytes have.
    #[error("the record says that it has {declared} bytes, and there are {bytes}")]
    Length {
        /// The length in the record.
        declared: usize,
        /// The bytes there are.
        bytes: usize,
    },
    /// The bytes are not those that were written.
    #[error("the record's checksum is {declared}, and its bytes have {computed}")]
    Checksum {
        /// The checksum in the record.
        declared: Checksum,
        /// The checksum of its bytes.
        computed: Checksum,
    },
    /// It is whole, and written in a format that this program does not know.
    #[error(
        "the record is written in format {found}, and this program reads format {FORMAT}: use a newer one"
    )]
    Format {
        /// The record's format.
        found: u8,
    },
    /// Its kind is not one of format 1.
    #[error("format {FORMAT} has no kind {found} of records")]
    Kind {
        /// The number of the kind.
        found: u8,
    },
    /// Its index or epoch is zero.
    #[error("the record's {field} is 0, and they count from 1")]
    Zero {
        /// Which of the two.
        field: &'static str,
    },
    /// An extension that must be understood is not known.
    #[error("the record has the extension {tag}, which this program does not know and must not ignore")]
    UnknownExtension {
        /// The extension's tag, below 128.
        tag: u8,
    },
    /// The extensions are not well formed.
    #[error("the record's extensions are not well formed at byte {at}: {what}")]
    Extensions {
        /// The place, counted from the first extension.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// The parts of a whole record; nothing is copied.
struct Parts<'a> {
    head: Head,
    checksum: Checksum,
    extensions: &'a [u8],
    payload: &'a [u8],
}

/// Checks the bytes of one record, no more and no less, and takes them apart. Any bytes may be given.
fn parse(bytes: &[u8]) -> Result<Parts<'_>, Error> {
    let declared_bytes = declared_bytes(bytes)?;
    if declared_bytes != bytes.len() {
        return Err(Error::Length { declared: declared_bytes, bytes: bytes.len() });
    }
    let declared = Checksum(u32_at(bytes, 0));
    let checksum = Checksum(crc32c::crc32c(&bytes[4..]));
    if declared != checksum {
        return Err(Error::Checksum { declared, computed: checksum });
    }
    if bytes[8] != FORMAT {
        return Err(Error::Format { found: bytes[8] });
    }
    if bytes.len() < HEADER_BYTES {
        return Err(Error::Short { bytes: bytes.len(), needed: HEADER_BYTES });
    }
    let needed = HEADER_BYTES + usize::from(u16::from_le_bytes(array_at(bytes, 10)));
    let extensions = bytes.get(HEADER_BYTES..needed).ok_or(Error::Short { bytes: bytes.len(), needed })?;
    extensions::check(extensions)?;
    Ok(Parts { head: head(bytes)?, checksum, extensions, payload: &bytes[needed..] })
}

/// The fixed fields; there are at least [`HEADER_BYTES`].
fn head(bytes: &[u8]) -> Result<Head, Error> {
    let head = Head {
        kind: Kind::from_number(bytes[9])?,
        shard: ShardId::new(u32_at(bytes, 12)),
        index: Index::new(u64::from_le_bytes(array_at(bytes, 16))),
        epoch: Epoch::new(u64::from_le_bytes(array_at(bytes, 24))),
        id: RecordId(array_at(bytes, 32)),
        prev: Checksum(u32_at(bytes, 48)),
    };
    if head.index < Index::FIRST {
        return Err(Error::Zero { field: "index" });
    }
    if head.epoch == Epoch::NONE {
        return Err(Error::Zero { field: "epoch" });
    }
    Ok(head)
}

/// The length that a record of any format gives itself.
fn declared_bytes(bytes: &[u8]) -> Result<usize, Error> {
    if bytes.len() < ENVELOPE_BYTES {
        return Err(Error::Short { bytes: bytes.len(), needed: ENVELOPE_BYTES });
    }
    let declared = u32_at(bytes, 4) as usize;
    if declared < ENVELOPE_BYTES {
        return Err(Error::Length { declared, bytes: bytes.len() });
    }
    Ok(declared)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// Cuts the first record off bytes that hold one after another, by the length that it gives itself.
///
/// The record is not checked, so a caller that has no other proof of where records begin must not go on
/// after one that does not decode.
pub fn split_first(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let declared = declared_bytes(bytes)?;
    bytes.split_at_checked(declared).ok_or(Error::Length { declared, bytes: bytes.len() })
}

impl Draft {
    /// A barrier with this id.
    pub fn barrier(id: RecordId) -> Self {
        Self { kind: Kind::Barrier, id, extensions: Extensions::default(), payload: Bytes::new() }
    }

    /// A data record that carries the payload.
    pub fn data(id: RecordId, payload: Bytes) -> Self {
        Self { kind: Kind::Data, id, extensions: Extensions::default(), payload }
    }

    /// The epoch record with this id.
    pub fn epoch(id: RecordId) -> Self {
        Self { kind: Kind::Epoch, id, extensions: Extensions::default(), payload: Bytes::new() }
    }

    /// The record at this place, after the accepted record with the checksum `prev`. Reads the payload once,
    /// for its checksum, and shares it.
    ///
    /// Panics when index or epoch is zero, or the payload larger than [`Record::PAYLOAD_BYTES_MAX`].
    pub fn seal(&self, shard: ShardId, index: Index, epoch: Epoch, prev: Checksum) -> Record {
        assert!(index >= Index::FIRST && epoch > Epoch::NONE, "indexes and epochs of records count from 1");
        assert!(self.payload.len() <= Record::PAYLOAD_BYTES_MAX, "the payload fits into a record");
        let head = Head { kind: self.kind, shard, index, epoch, id: self.id, prev };
        let (extensions, payload) = (self.extensions.clone(), self.payload.clone());
        let mut record = Record { head, extensions, payload, checksum: Checksum::START };
        let crc = crc32c::crc32c(&record.encode_head()[4..]);
        let crc = crc32c::crc32c_append(crc, record.extensions.as_bytes());
        record.checksum = Checksum(crc32c::crc32c_append(crc, &record.payload));
        record
    }
}

impl Record {
    /// The largest payload: what format 1 can express beside the largest extensions.
    pub const PAYLOAD_BYTES_MAX: usize = u32::MAX as usize - HEADER_BYTES - u16::MAX as usize;

    /// Reads one record from all of these bytes, whatever they are; the record shares them.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let Parts { head, checksum, extensions, payload } = parse(bytes)?;
        let extensions = Extensions::from_checked(bytes.slice_ref(extensions));
        Ok(Self { head, extensions, payload: bytes.slice_ref(payload), checksum })
    }

    /// Reads one record from all of these bytes, whatever they are, into memory of its own.
    pub fn decode_copied(bytes: &[u8]) -> Result<Self, Error> {
        let Parts { head, checksum, extensions, payload } = parse(bytes)?;
        let extensions = Extensions::from_checked(Bytes::copy_from_slice(extensions));
        Ok(Self { head, extensions, payload: Bytes::copy_from_slice(payload), checksum })
    }

    /// The fixed fields.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Tenant, timeline, trace context, and what a newer program may have added.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What it carries.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The CRC32C of the record.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The record's length in bytes.
    pub fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.extensions.as_bytes().len() + self.payload.len()
    }

    /// The fixed fields in format 1. The extensions' bytes and the payload come after them.
    pub fn encode_head(&self) -> [u8; HEADER_BYTES] {
        let Head { kind, shard, index, epoch, id, prev } = self.head;
        let extensions = u16::try_from(self.extensions.as_bytes().len());
        let bytes = u32::try_from(self.encoded_bytes());
        let mut head = [0; HEADER_BYTES];
        let mut to = &mut head[..];
        to.put_u32_le(self.checksum.0);
        to.put_u32_le(bytes.expect("the payload's limit leaves room for the rest"));
        to.put_u8(FORMAT);
        to.put_u8(kind.number());
        to.put_u16_le(extensions.expect("extensions are checked to be below 64 KiB"));
        to.put_u32_le(shard.get());
        to.put_u64_le(index.get());
        to.put_u64_le(epoch.get());
        to.put_slice(&id.0);
        to.put_u32_le(prev.0);
        head
    }

    /// Appends the record in format 1: the one copy of the payload on its way to storage. Panics when a buffer
    /// that does not grow is too small.
    pub fn encode_into(&self, to: &mut impl BufMut) {
        to.put_slice(&self.encode_head());
        to.put_slice(self.extensions.as_bytes());
        to.put_slice(&self.payload);
    }

    /// The record in format 1, in memory of its own.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.encoded_bytes());
        self.encode_into(&mut bytes);
        bytes.freeze()
    }

    /// What it takes to seal the same record at another place.
    pub fn draft(&self) -> Draft {
        let Head { kind, id, .. } = self.head;
        Draft { kind, id, extensions: self.extensions.clone(), payload: self.payload.clone() }
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Epoch => 2,
            Self::Barrier => 3,
        }
    }

    const fn from_number(number: u8) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::Data),
            2 => Ok(Self::Epoch),
            3 => Ok(Self::Barrier),
            found => Err(Error::Kind { found }),
        }
    }
}

impl RecordId {
    /// The id with these bytes, which should come from [`Entropy`](mainstay_base::time::Entropy).
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Checksum {
    /// What the first record of a log has for its `prev`.
    pub const START: Self = Self(0);

    /// The checksum with this value.
    pub const fn new(crc32c: u32) -> Self {
        Self(crc32c)
    }

    /// The checksum as a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Data => "data",
            Self::Epoch => "epoch",
            Self::Barrier => "barrier",
        })
    }
}

impl Display for RecordId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Debug for RecordId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Checksum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Debug for Checksum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Shows the payload's length only: what is in it belongs to users.
impl Debug for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("head", &self.head)
            .field("payload_bytes", &self.payload.len())
            .field("checksum", &self.checksum)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

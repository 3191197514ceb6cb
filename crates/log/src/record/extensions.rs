//! What a record may carry beside its payload: tenant, timeline, trace context.
//!
//! Each extension is a tag (1 byte), a length (2 bytes, little-endian) and that many bytes. Tags ascend, so
//! every set of extensions has one encoding. A tag below 128 changes what the record means: a program that
//! does not know it refuses the record. One from 128 on may be ignored, and is kept.

use std::fmt::{self, Debug, Formatter};

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_base::id::Tenant;

use super::{Error, array_at};

const TENANT: u8 = 1;
const TIMELINE: u8 = 2;
const TRACE: u8 = 3;
const IGNORABLE: u8 = 0x80;

const TIMELINE_BYTES: usize = 24;
const TRACE_BYTES: usize = 25;

/// The extensions of a record, encoded and well formed. Cloning shares them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Extensions(Bytes);

/// The extensions that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Whose data the record carries, when it is all of one tenant.
    pub tenant: Option<Tenant>,
    /// The timeline that it was written in; without one, the first.
    pub timeline: Option<Timeline>,
    /// The request that caused it.
    pub trace: Option<TraceContext>,
}

/// A line of history: each restore of a backup begins one. Encoded as the number and the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeline {
    /// Grows with every restore.
    pub number: u64,
    /// Drawn at the restore, so that two restores of one backup differ.
    pub id: [u8; 16],
}

/// The caller's place in a distributed trace (W3C Trace Context, section 3.2). Encoded as the ids, then the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The caller's span.
    pub span_id: [u8; 8],
    /// The trace's flags, of which the lowest bit is "sampled".
    pub flags: u8,
}

/// Checks that these bytes are extensions which this program may read past.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut at = 0;
    let mut last: Option<u8> = None;
    while at < bytes.len() {
        let (tag, value) =
            first(&bytes[at..]).ok_or(Error::Extensions { at, what: "an extension is cut off" })?;
        if last.is_some_and(|last| last >= tag) {
            return Err(Error::Extensions { at, what: "tags do not ascend" });
        }
        check_value(tag, value, at)?;
        last = Some(tag);
        at += 3 + value.len();
    }
    Ok(())
}

fn check_value(tag: u8, value: &[u8], at: usize) -> Result<(), Error> {
    let (is_good, what) = match tag {
        TENANT => (tenant(value).is_some(), "the tenant is not a name"),
        TIMELINE => (value.len() == TIMELINE_BYTES, "a timeline has 24 bytes"),
        TRACE => (value.len() == TRACE_BYTES, "a trace context has 25 bytes"),
        IGNORABLE.. => (true, ""),
        _ => return Err(Error::UnknownExtension { tag }),
    };
    if is_good { Ok(()) } else { Err(Error::Extensions { at, what }) }
}

/// The first extension of these, if it is whole.
fn first(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    Some((tag, rest.get(..usize::from(u16::from_le_bytes(*length)))?))
}

fn tenant(value: &[u8]) -> Option<Tenant> {
    str::from_utf8(value).ok()?.parse().ok()
}

impl Extensions {
    /// The extensions that say this.
    pub fn new(context: &Context) -> Self {
        let mut bytes = BytesMut::new();
        let mut put = |tag: u8, parts: &[&[u8]]| {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            bytes.put_u8(tag);
            bytes.put_u16_le(u16::try_from(length).expect("the known extensions are short"));
            parts.iter().for_each(|part| bytes.put_slice(part));
        };
        if let Some(tenant) = &context.tenant {
            put(TENANT, &[tenant.name().as_str().as_bytes()]);
        }
        if let Some(timeline) = &context.timeline {
            put(TIMELINE, &[&timeline.number.to_le_bytes(), &timeline.id]);
        }
        if let Some(trace) = &context.trace {
            put(TRACE, &[&trace.trace_id, &trace.span_id, &[trace.flags]]);
        }
        Self(bytes.freeze())
    }

    /// Extensions that [`check`] has passed.
    pub(super) fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// What of the extensions this program knows.
    pub fn context(&self) -> Context {
        Context {
            tenant: self.get(TENANT).and_then(tenant),
            timeline: self.get(TIMELINE).map(|value| Timeline {
                number: u64::from_le_bytes(array_at(value, 0)),
                id: array_at(value, 8),
            }),
            trace: self.get(TRACE).map(|value| TraceContext {
                trace_id: array_at(value, 0),
                span_id: array_at(value, 16),
                flags: value[24],
            }),
        }
    }

    /// The encoded extensions.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn get(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = &self.0[..];
        while let Some((tag, value)) = first(rest) {
            if tag == wanted {
                return Some(value);
            }
            rest = &rest[3 + value.len()..];
        }
        None
    }
}

impl Debug for Extensions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.context().fmt(f)
    }
}

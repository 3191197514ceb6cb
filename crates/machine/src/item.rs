//! An item as it is stored: its version, its times and its value, which is handed out without copying.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes};
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Slot};
use mainstay_base::time::Timestamp;

use crate::codec::{Reader, put_varint};
use crate::content::ContentType;
use crate::expression::{self, Expression};
use crate::row::{self, FORMAT, Parts, RowKey, RowRange};
use crate::state::{self, State};
use crate::version::Version;

/// An item. The value's bytes share those of its row.
///
/// Encoded as the format, the version (timeline 4 bytes, sequence 8), the times of creation and of the last change (8 bytes
/// each), the optional parts, the length of the content type (1 byte, 0 for JSON), the content type, and the value to the end.
///
/// Format 1 has no optional part. Format 3 has a byte of flags, and then those whose flags are set, at least one:
///
/// | flag | part |
/// |---|---|
/// | 1 | the end in microseconds (8 bytes) |
/// | 2 | the number of holds (1 byte, 1 to 16), then the length (1 byte) and the name of each, in their order |
/// | 4 | the number of the schema (varint, not 0) |
/// | 8 | nothing: the row was written to bring the item to its schema, for a hold, or to have it end along with another, which is no change of it |
///
/// Format 2 is read only: the end, without a byte of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The commit that wrote it last.
    pub version: Version,
    /// When it was created.
    pub created: HybridTime,
    /// When it was last written.
    pub updated: HybridTime,
    /// From when on it is taken for absent, unless it is held.
    pub expires: Option<Timestamp>,
    /// What keeps it as it is, by name: at most [`Item::HOLDS_MAX`].
    pub holds: BTreeSet<Name>,
    /// The version of its collection's schema that it was written under, from 1; 0 when there was no schema.
    pub schema: u32,
    /// Whether it was only brought to that schema, held, released or had its end moved along with another's since its last change.
    pub is_rewritten: bool,
    /// What the bytes are.
    pub content_type: ContentType,
    /// The value.
    pub bytes: Bytes,
}

/// An item with its key, as a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The item's key.
    pub key: Key,
    /// The item.
    pub item: Item,
}

/// What stands before the content type of an item without holds, at most.
const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 8 + 1 + 8 + 5 + 1;

/// The format of an earlier program: items with an end, and no other optional part.
const FORMAT_WITH_END: u8 = 2;

/// The format of items with optional parts.
const FORMAT_WITH_PARTS: u8 = 3;

const HAS_END: u8 = 1;
const HAS_HOLDS: u8 = 2;
const HAS_SCHEMA: u8 = 4;
const IS_REWRITTEN: u8 = 8;

impl Item {
    /// How many holds an item has at most.
    pub const HOLDS_MAX: usize = 16;

    /// The value of the item's row.
    pub fn encode(&self) -> Bytes {
        let content_type = self.content_type.stored().unwrap_or_default();
        let mut out = Vec::with_capacity(HEAD_BYTES + content_type.len() + self.bytes.len());
        let flags = self.flags();
        out.put_u8(if flags == 0 { FORMAT } else { FORMAT_WITH_PARTS });
        out.put_u32_le(self.version.timeline);
        out.put_u64_le(self.version.sequence);
        out.put_u64_le(self.created.to_bits());
        out.put_u64_le(self.updated.to_bits());
        if flags != 0 {
            self.put_parts(flags, &mut out);
        }
        out.put_u8(u8::try_from(content_type.len()).expect("a content type has at most 255 bytes"));
        out.put_slice(content_type.as_bytes());
        out.put_slice(&self.bytes);
        out.into()
    }

    /// Which optional parts it has.
    fn flags(&self) -> u8 {
        let flag = |has, flag| if has { flag } else { 0 };
        flag(self.expires.is_some(), HAS_END)
            | flag(!self.holds.is_empty(), HAS_HOLDS)
            | flag(self.schema != 0, HAS_SCHEMA)
            | flag(self.is_rewritten, IS_REWRITTEN)
    }

    fn put_parts(&self, flags: u8, out: &mut Vec<u8>) {
        out.put_u8(flags);
        if let Some(expires) = self.expires {
            out.put_u64_le(expires.as_micros());
        }
        if !self.holds.is_empty() {
            assert!(self.holds.len() <= Self::HOLDS_MAX, "evaluation keeps to the limit");
            out.put_u8(self.holds.len() as u8);
            for name in &self.holds {
                out.put_u8(u8::try_from(name.as_str().len()).expect("a name has at most 63 bytes"));
                out.put_slice(name.as_str().as_bytes());
            }
        }
        if self.schema != 0 {
            put_varint(out, self.schema.into());
        }
    }

    /// Reads the value of an item's row. Errors: [`row::Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, row::Error> {
        let known = [FORMAT, FORMAT_WITH_END].into_iter().find(|known| value.first() == Some(known));
        let format = known.unwrap_or(FORMAT_WITH_PARTS);
        let mut reader = Reader::new("an item", value, format)?;
        let version = Version { timeline: reader.u32()?, sequence: reader.u64()? };
        let created = HybridTime::from_bits(reader.u64()?);
        let updated = HybridTime::from_bits(reader.u64()?);
        let flags = match format {
            FORMAT => 0,
            FORMAT_WITH_END => HAS_END,
            _ => flags(&mut reader)?,
        };
        let expires = if flags & HAS_END == 0 { None } else { Some(end(&mut reader)?) };
        let holds = if flags & HAS_HOLDS == 0 { BTreeSet::new() } else { holds(&mut reader)? };
        let schema = if flags & HAS_SCHEMA == 0 { 0 } else { schema(&mut reader)? };
        let content_type = match reader.u8()? {
            0 => ContentType::JSON,
            length => {
                let text = reader.text_of(length.into())?;
                let parsed = text.parse::<ContentType>().ok().filter(|parsed| parsed.stored() == Some(text));
                parsed.ok_or_else(|| reader.field("the content type is none"))?
            }
        };
        let is_rewritten = flags & IS_REWRITTEN != 0;
        let bytes = reader.rest();
        Ok(Self { version, created, updated, expires, holds, schema, is_rewritten, content_type, bytes })
    }

    /// The value as JSON text; none if it is not JSON.
    pub(crate) fn document(&self) -> Option<&str> {
        let json = Some(&self.bytes).filter(|_| self.content_type.is_json());
        json.and_then(|json| str::from_utf8(json).ok())
    }

    /// Whether an expression holds for it. Errors: [`expression::Error`].
    pub(crate) fn satisfies(
        &self,
        expression: &Expression,
        steps: &mut u64,
    ) -> Result<bool, expression::Error> {
        let version = self.version.to_string();
        let subject = expression::Item { value: self.document(), version: Some(&version), exists: true };
        expression.holds(&subject, steps)
    }

    /// From when on it is absent, if nothing happens before: what is held does not end.
    pub fn end(&self) -> Option<Timestamp> {
        self.expires.filter(|_| self.holds.is_empty())
    }

    /// Whether its end has come.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end().is_some_and(|end| end <= now)
    }
}

fn flags(reader: &mut Reader<'_>) -> Result<u8, row::Error> {
    match reader.u8()? {
        0 => Err(reader.field("an item without optional parts has format 1")),
        flags if flags & !(HAS_END | HAS_HOLDS | HAS_SCHEMA | IS_REWRITTEN) != 0 => {
            Err(reader.field("an item has parts that a newer program wrote"))
        }
        flags => Ok(flags),
    }
}

fn end(reader: &mut Reader<'_>) -> Result<Timestamp, row::Error> {
    let end = Timestamp::checked_from_micros(reader.u64()?);
    end.ok_or_else(|| reader.field("the end is out of range"))
}

fn holds(reader: &mut Reader<'_>) -> Result<BTreeSet<Name>, row::Error> {
    let count = usize::from(reader.u8()?);
    if !(1..=Item::HOLDS_MAX).contains(&count) {
        return Err(reader.field("an item has 1 to 16 holds there"));
    }
    let mut holds = BTreeSet::new();
    for _ in 0..count {
        let length = reader.u8()?.into();
        let name: Name = reader.text_of(length)?.parse().map_err(|_| reader.field("a hold has no name"))?;
        if holds.last().is_some_and(|last| *last >= name) {
            return Err(reader.field("the holds are not in their order"));
        }
        holds.insert(name);
    }
    Ok(holds)
}

fn schema(reader: &mut Reader<'_>) -> Result<u32, row::Error> {
    let number = u32::try_from(reader.varint()?).ok().filter(|number| *number != 0);
    number.ok_or_else(|| reader.field("a schema has no such number"))
}

/// Reads an item, whose end may have come; none if there is none. Errors: [`state::Error`].
pub fn get(
    state: &dyn State,
    slot: Slot,
    tenant: &Tenant,
    collection: &Name,
    key: &Key,
) -> Result<Option<Item>, state::Error> {
    at(state, &RowKey::item(slot, tenant, collection, key))
}

/// Reads the item of this row; none if there is none.
pub(crate) fn at<S: State + ?Sized>(state: &S, row: &RowKey) -> Result<Option<Item>, state::Error> {
    state::read(state, row, Item::decode)
}

/// Lists at most `limit` items of a collection in one slot whose keys begin with `prefix`, in the order of their keys' bytes,
/// after the key `after`. Errors: [`state::Error`].
///
/// A prefix that is longer than every key, or no prefix of a key, lists nothing.
pub fn list(
    state: &dyn State,
    (slot, tenant, collection): (Slot, &Tenant, &Name),
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Listed>, state::Error> {
    let mut range = RowRange::items(slot, tenant, collection, prefix);
    if let Some(after) = after {
        let row = RowKey::item(slot, tenant, collection, after);
        if *row >= range.start[..] {
            range = range.after(&row);
        }
    }
    if range.start >= range.end {
        return Ok(Vec::new());
    }
    let rows = state.scan(&range, limit)?;
    rows.iter().map(|(row, value)| listed(row, value)).collect()
}

/// An item and its key by its row. Errors: [`state::Error`] when they are damaged.
pub(crate) fn listed(row: &[u8], value: &Bytes) -> Result<Listed, state::Error> {
    let item = Item::decode(value).map_err(|error| state::Error::damaged(row, &error))?;
    Ok(Listed { key: key_of(row)?, item })
}

/// The item's key in the key of its row. Errors: [`state::Error`] when these bytes are not the key of an item's row.
pub fn key_of(row: &[u8]) -> Result<Key, state::Error> {
    let wrong = |why| row::Error::Field { what: "a row's key", at: row.len(), why };
    let key = Parts::of(row).and_then(|parts| match parts {
        Parts::Item { key, .. } => key.parse().map_err(|_| wrong("the item's key is none")),
        _ => Err(wrong("an item was expected")),
    });
    key.map_err(|error| state::Error::damaged(row, &error))
}

/// The first of the slots from one to another that has items of a collection with this prefix. Slots without any are passed over
/// by looking where the next row is. Errors: [`state::Error`].
pub fn next_slot<S: State + ?Sized>(
    state: &S,
    (mut from, last): (Slot, Slot),
    (tenant, collection, prefix): (&Tenant, &Name, &str),
) -> Result<Option<Slot>, state::Error> {
    loop {
        if from > last {
            return Ok(None);
        }
        let items = RowRange::items(from, tenant, collection, prefix);
        let rest = RowRange { start: items.start.clone(), end: RowRange::slot(last).end };
        let Some((row, _)) = state.scan(&rest, 1)?.into_iter().next() else { return Ok(None) };
        if items.contains(&row) {
            return Ok(Some(from));
        }
        let next = match slot_of(&row) {
            // The row is behind the items of this slot, or of another slot whose items may come later in it.
            Some(slot) if slot > from => slot,
            _ => match from.next() {
                Some(next) => next,
                None => return Ok(None),
            },
        };
        from = next;
    }
}

fn slot_of(row: &[u8]) -> Option<Slot> {
    match Parts::of(row).ok()? {
        Parts::Slot { slot }
        | Parts::Tenant { slot, .. }
        | Parts::Item { slot, .. }
        | Parts::Held { slot, .. }
        | Parts::Referrer { slot, .. }
        | Parts::Kept { slot, .. }
        | Parts::KeptByAge { slot, .. } => Some(slot),
    }
}

//! An item as it is stored: its version, its times and its value, which is handed out without copying.

use bytes::{BufMut, Bytes};
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Slot};
use mainstay_base::time::Timestamp;

use crate::codec::Reader;
use crate::content::ContentType;
use crate::row::{self, FORMAT, Parts, RowKey, RowRange};
use crate::state::{self, State};
use crate::version::Version;

/// An item. The value's bytes share those of its row.
///
/// Encoded as the format, the version (timeline 4 bytes, sequence 8), the times of creation and of the last change (8 bytes
/// each), in format 2 the end in microseconds (8 bytes), the length of the content type (1 byte, 0 for JSON), the content type, and
/// the value to the end. Format 1 is that of items without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The commit that wrote it last.
    pub version: Version,
    /// When it was created.
    pub created: HybridTime,
    /// When it was last written.
    pub updated: HybridTime,
    /// From when on it is taken for absent.
    pub expires: Option<Timestamp>,
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

const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 8 + 8 + 1;

/// The format of items with an end.
const FORMAT_WITH_END: u8 = 2;

impl Item {
    /// The value of the item's row.
    pub fn encode(&self) -> Bytes {
        let content_type = self.content_type.stored().unwrap_or_default();
        let mut out = Vec::with_capacity(HEAD_BYTES + content_type.len() + self.bytes.len());
        out.put_u8(if self.expires.is_some() { FORMAT_WITH_END } else { FORMAT });
        out.put_u32_le(self.version.timeline);
        out.put_u64_le(self.version.sequence);
        out.put_u64_le(self.created.to_bits());
        out.put_u64_le(self.updated.to_bits());
        if let Some(expires) = self.expires {
            out.put_u64_le(expires.as_micros());
        }
        out.put_u8(u8::try_from(content_type.len()).expect("a content type has at most 255 bytes"));
        out.put_slice(content_type.as_bytes());
        out.put_slice(&self.bytes);
        out.into()
    }

    /// Reads the value of an item's row. Errors: [`row::Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, row::Error> {
        let has_end = value.first() == Some(&FORMAT_WITH_END);
        let format = if value.first() == Some(&FORMAT) { FORMAT } else { FORMAT_WITH_END };
        let mut reader = Reader::new("an item", value, format)?;
        let version = Version { timeline: reader.u32()?, sequence: reader.u64()? };
        let created = HybridTime::from_bits(reader.u64()?);
        let updated = HybridTime::from_bits(reader.u64()?);
        let expires = if has_end {
            let expires = Timestamp::checked_from_micros(reader.u64()?);
            Some(expires.ok_or_else(|| reader.field("the end is out of range"))?)
        } else {
            None
        };
        let content_type = match reader.u8()? {
            0 => ContentType::JSON,
            length => {
                let text = reader.text_of(length.into())?;
                let parsed = text.parse::<ContentType>().ok().filter(|parsed| parsed.stored() == Some(text));
                parsed.ok_or_else(|| reader.field("the content type is none"))?
            }
        };
        Ok(Self { version, created, updated, expires, content_type, bytes: reader.rest() })
    }

    /// Whether its end has come.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
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
    let Some(value) = state.get(row)? else { return Ok(None) };
    Item::decode(&value).map(Some).map_err(|error| state::Error::damaged(row, &error))
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

fn listed(row: &[u8], value: &Bytes) -> Result<Listed, state::Error> {
    let damaged = |error: &row::Error| state::Error::damaged(row, error);
    let Parts::Item { key, .. } = Parts::of(row).map_err(|error| damaged(&error))? else {
        let error = row::Error::Field { what: "a row's key", at: row.len(), why: "an item was expected" };
        return Err(damaged(&error));
    };
    let key = key.parse().map_err(|_| {
        damaged(&row::Error::Field { what: "a row's key", at: row.len(), why: "the item's key is none" })
    })?;
    Ok(Listed { key, item: Item::decode(value).map_err(|error| damaged(&error))? })
}

//! Merge patch: a JSON Merge Patch goes into the item (RFC 7396).

use mainstay_base::error::Code;

use super::commit::Change;
use super::place::Place;
use super::{Stop, state};
use crate::item::Item;
use crate::json::{self, Json};

pub(super) fn merge_patch(
    place: Place<'_>,
    item: Option<&Item>,
    row: &[u8],
    patch: &Json,
) -> Result<Change, Stop> {
    check_json(place, item)?;
    let merged = json::merge_patch(item.map(|item| &item.bytes[..]), patch);
    merged.map(Change::Json).ok_or_else(|| not_json(row).into())
}

/// Refuses an operation on JSON for an item that is not.
pub(super) fn check_json(place: Place<'_>, item: Option<&Item>) -> Result<(), Stop> {
    match item {
        Some(item) if !item.content_type.is_json() => {
            let detail = format!("needs JSON, and the item is {}: put it whole", item.content_type);
            let refusal = place.refuse(Code::UnsupportedMediaType, &detail);
            Err(refusal.fact("content_type", item.content_type.as_str()).into())
        }
        _ => Ok(()),
    }
}

/// A row says that it holds JSON and does not.
pub(super) fn not_json(row: &[u8]) -> state::Error {
    state::Error::damaged_value(row, "the item's value is not JSON, and was when it was stored")
}

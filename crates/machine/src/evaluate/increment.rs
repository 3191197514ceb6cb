//! Increment: a whole number in the item's JSON changes, within bounds.

use mainstay_base::error::Code;

use super::Stop;
use super::commit::Change;
use super::merge_patch::{check_json, not_json};
use super::place::Place;
use crate::item::Item;
use crate::json::{self, IncrementError, Incremented, Pointer};

pub(super) struct Increment<'a> {
    pub(super) path: &'a Pointer,
    pub(super) by: i64,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

pub(super) fn increment(
    place: Place<'_>,
    item: Option<&Item>,
    row: &[u8],
    Increment { path, by, min, max }: Increment<'_>,
) -> Result<Change, Stop> {
    check_json(place, item)?;
    let incremented = json::increment(item.map(|item| &item.bytes[..]), path, by);
    let Incremented { text, before, after } = match incremented {
        Ok(incremented) => incremented,
        Err(IncrementError::Malformed) => return Err(not_json(row).into()),
        Err(error) => {
            let detail = format!("cannot add {by} at {:?}: {error}", path.as_str());
            return Err(place.refuse(Code::Invalid, &detail).fact("path", path.as_str()).into());
        }
    };
    let bound = match (min, max) {
        (Some(min), _) if after < min => ("below its minimum", "min", min),
        (_, Some(max)) if after > max => ("above its maximum", "max", max),
        _ => return Ok(Change::Json(text)),
    };
    let (word, name, bound) = bound;
    let detail = format!("would bring the number from {before} to {after}, {word} of {bound}");
    let refusal = place.refuse(Code::ConditionFailed, &detail);
    Err(refusal.fact("path", path.as_str()).fact("value", before).fact(name, bound).into())
}

//! Holds: an item that has one stays as it is, past its end too, until the last is released.
//!
//! A hold is no part of the value: to set or release one leaves the item its version and its times.

use mainstay_base::error::Code;
use mainstay_base::id::Name;

use super::Stop;
use super::place::Place;
use crate::command::Operation;
use crate::item::Item;

/// The item with its holds as the operation leaves them; none if it leaves them as they are, or is of another kind.
///
/// Refuses to hold what is not there, to set more holds than an item can have, and any other change of an item that is held.
pub(super) fn hold(
    place: Place<'_>,
    operation: &Operation,
    item: Option<&Item>,
) -> Result<Option<Item>, Stop> {
    match (operation, item) {
        (Operation::Hold { .. }, None) => Err(place
            .refuse(Code::NotFound, "holds nothing, since there is no such item: put it first")
            .into()),
        (Operation::Hold { name, .. }, Some(item)) => set(place, name, item),
        (Operation::Release { name, .. }, Some(item)) if item.holds.contains(name) => {
            let mut released = item.clone();
            released.holds.remove(name);
            Ok(Some(released))
        }
        (Operation::Release { .. }, _) => Ok(None),
        (_, Some(item)) if !item.holds.is_empty() => {
            let names: Vec<_> = item.holds.iter().map(Name::as_str).collect();
            let detail = format!(
                "would change an item that is held by {}: release every hold first",
                names.join(", ")
            );
            Err(place.refuse(Code::Conflict, &detail).fact("holds", names).into())
        }
        _ => Ok(None),
    }
}

fn set(place: Place<'_>, name: &Name, item: &Item) -> Result<Option<Item>, Stop> {
    if item.holds.contains(name) {
        return Ok(None);
    }
    let max = Item::HOLDS_MAX;
    if item.holds.len() >= max {
        let detail = format!("would give the item more than {max} holds: release one of them first");
        return Err(place.refuse(Code::Conflict, &detail).fact("limit", "holds_max").fact("max", max).into());
    }
    let mut held = item.clone();
    held.holds.insert(name.clone());
    Ok(Some(held))
}

//! The items of a retired collection are removed, all but those that are held, or that items of other
//! collections refer to.

use mainstay_base::key::slot;

use super::index::Home;
use super::{Context, Stop, reference, removal};
use crate::item;
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::purge::{self, Purge};
use crate::row::RowKey;
use crate::task::{Remove, StartPurge};

/// Starts a purge, unless there is one: nothing comes into a retired collection, so only one that left something starts anew.
pub(super) fn start(
    StartPurge { tenant, collection }: &StartPurge,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    purge::check(context.definitions, tenant, collection)?;
    if purge::of(overlay, tenant, collection)?.is_none_or(|purge| purge.is_done && purge.held > 0) {
        overlay.write(RowKey::purge(tenant, collection), Some(Purge::default().encode()));
    }
    Ok(Vec::new())
}

/// Removes the next items, as they are now.
pub(super) fn remove(
    remove: &Remove,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let Remove { tenant, collection, from, items, is_last } = remove;
    let Some(mut purge) = purge::of(overlay, tenant, collection)? else { return Ok(Vec::new()) };
    if purge.is_done || purge.at != *from {
        return Ok(Vec::new());
    }
    let Some(definition) = context.definitions.get(tenant, collection) else { return Ok(Vec::new()) };
    for place in items {
        let key = &place.key;
        let partition = definition.collection.partition_by.partition(key);
        let home = Home { tenant, slot: slot(tenant, &partition), partition: &partition };
        let row = RowKey::item(home.slot, tenant, collection, key);
        let Some(item) = item::at(overlay, &row)? else { continue };
        let is_held = !item.holds.is_empty();
        if is_held || reference::is_needed((home, context), (collection, key), overlay)? {
            purge.held += 1;
            continue;
        }
        removal::remove(definition, (home, context), (collection, key), &item, overlay)?;
        purge.removed += 1;
    }
    purge.at = items.last().cloned().or(purge.at);
    purge.is_done = *is_last;
    overlay.write(RowKey::purge(tenant, collection), Some(purge.encode()));
    Ok(Vec::new())
}

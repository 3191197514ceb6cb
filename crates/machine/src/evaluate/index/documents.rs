//! Documents that were there before a version of their schema are brought to it, as they are read already: with their versions, times
//! and ends, so that it is no change of them.
//!
//! All are brought, valid or not: what is not valid is counted, and what an index cannot take makes the index invalid, as when it is built.

use mainstay_base::key::Slot;

use super::{Context, Home, IndexName, IndexState, Stop, after_step, change_or_tell, reference};
use crate::definition::Definition;
use crate::index;
use crate::index::state::{Building, Reached};
use crate::item::{self, Item};
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::RowKey;
use crate::state;
use crate::task::Fill;

/// Brings the next documents to the version of their schema, as they are now.
pub(super) fn bring(
    fill: &Fill,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let Fill { tenant, collection, number, .. } = fill;
    let of = IndexName { tenant, collection, number: *number };
    let Some(IndexState::Building(mut building)) = index::state::of(overlay, of)? else {
        return Ok(Vec::new());
    };
    let Some(definition) = context.definitions.get(tenant, collection) else { return Ok(Vec::new()) };
    if building.at != fill.from {
        return Ok(Vec::new());
    }
    for place in &fill.items {
        let Some(slot) = place.slot() else { continue };
        bring_one((fill, definition), (slot, place), &mut building, (overlay, context))?;
    }
    overlay.write(RowKey::index_state(of), Some(after_step(fill, building).encode()));
    Ok(Vec::new())
}

fn bring_one(
    (fill, definition): (&Fill, &Definition),
    (slot, place): (Slot, &Reached),
    building: &mut Building,
    (overlay, context): (&mut Overlay<'_>, &Context<'_>),
) -> Result<(), state::Error> {
    let Fill { tenant, collection, .. } = fill;
    building.items += 1;
    let row = RowKey::item(slot, tenant, collection, &place.key);
    let Some(before) = item::at(overlay, &row)? else { return Ok(()) };
    let after = definition.upgraded(before.clone());
    if let Err(why) = definition.check(&after) {
        building.misfit(&place.key, &why);
    }
    if after.bytes == before.bytes {
        return Ok(());
    }
    let partition = definition.collection.partition_by.partition(&place.key);
    let home = Home { tenant, slot, partition: &partition };
    let (name, change) = ((collection, &place.key), (Some(&before), Some(&after)));
    change_or_tell(definition, home, name, change, overlay)?;
    reference::change_or_tell(definition, (home, context), name, change, overlay)?;
    overlay.write(row, Some(Item { is_rewritten: true, ..after }.encode()));
    Ok(())
}

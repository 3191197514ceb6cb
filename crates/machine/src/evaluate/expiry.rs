//! The ends of items: rows that find them by time, and the removal of those whose end has come.

use bytes::Bytes;
use mainstay_base::id::Tenant;
use mainstay_base::key::slot;

use super::index::Home;
use super::reference::Ended;
use super::{Context, Stop, removal};
use crate::command::ItemName;
use crate::item::{self, Item};
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::{End, FORMAT, RowKey};
use crate::task::Reap;

const ROW: Bytes = Bytes::from_static(&[FORMAT]);

/// Changes the row that finds an item by its end. What is held has none, so that it is looked at no more until it is released.
pub(super) fn change(
    tenant: &Tenant,
    name: &ItemName,
    (before, after): (Option<&Item>, Option<&Item>),
    overlay: &mut Overlay<'_>,
) {
    let end = |item: Option<&Item>| item.and_then(Item::end);
    let (before, after) = (end(before), end(after));
    if before == after {
        return;
    }
    let row = |expires| RowKey::end(expires, tenant, &name.collection, &name.key);
    if let Some(expires) = before {
        overlay.write(row(expires), None);
    }
    if let Some(expires) = after {
        overlay.write(row(expires), Some(ROW));
    }
}

/// Removes items whose end has come, and has been neither moved nor suspended, with what follows for those that refer to them.
pub(super) fn reap(
    reap: &Reap,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let mut over = Vec::new();
    for end in &reap.ends {
        let End { expires, tenant, collection, key } = end;
        let row = RowKey::end(*expires, tenant, collection, key);
        let Some(definition) = context.definitions.get(tenant, collection) else {
            overlay.write(row, None);
            continue;
        };
        let partition = definition.collection.partition_by.partition(key);
        let slot = slot(tenant, &partition);
        let item = item::at(overlay, &RowKey::item(slot, tenant, collection, key))?;
        match item.filter(|item| item.end() == Some(*expires)) {
            None => overlay.write(row, None),
            // Else the clock of whoever looked is ahead of the log's.
            Some(item) if item.is_over(context.moment.time.wall()) => {
                let name = ItemName { collection: collection.clone(), key: key.clone() };
                over.push((tenant, slot, partition, definition, name));
            }
            Some(_) => {}
        }
    }
    let mut ended = Ended::new(context);
    let mut has_cleared = false;
    for (tenant, slot, partition, _, name) in &over {
        let home = Home { tenant, slot: *slot, partition };
        has_cleared |= ended.clear(home, name, overlay)?;
    }
    if has_cleared {
        return Ok(Vec::new());
    }
    for (tenant, slot, partition, definition, name) in &over {
        let home = Home { tenant, slot: *slot, partition };
        if !ended.take_along(home, name, overlay)? {
            break;
        }
        let row = RowKey::item(*slot, tenant, &name.collection, &name.key);
        if let Some(item) = item::at(overlay, &row)? {
            removal::remove(definition, (home, context), (&name.collection, &name.key), &item, overlay)?;
        }
    }
    Ok(Vec::new())
}

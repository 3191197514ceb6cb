//! The ends of items: rows that find them by time, and the removal of those whose end has come.

use bytes::Bytes;
use mainstay_base::id::Tenant;
use mainstay_base::key::slot;

use super::index::{self, Home};
use super::{Context, Stop};
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

/// Removes items whose end has come, and has been neither moved nor suspended.
pub(super) fn reap(
    reap: &Reap,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    for end in &reap.ends {
        let End { expires, tenant, collection, key } = end;
        overlay.write(RowKey::end(*expires, tenant, collection, key), None);
        let Some(definition) = context.definitions.get(tenant, collection) else { continue };
        let partition = definition.collection.partition_by.partition(key);
        let home = Home { tenant, slot: slot(tenant, &partition), partition: &partition };
        let row = RowKey::item(home.slot, tenant, collection, key);
        let Some(item) = item::at(overlay, &row)? else { continue };
        if item.end() != Some(*expires) {
            continue;
        }
        if !item.is_over(context.moment.time.wall()) {
            // The clock of whoever looked is ahead of the log's.
            overlay.write(RowKey::end(*expires, tenant, collection, key), Some(ROW));
            continue;
        }
        index::remove(definition, home, (collection, key), &item, overlay)?;
        overlay.write(row, None);
    }
    Ok(Vec::new())
}

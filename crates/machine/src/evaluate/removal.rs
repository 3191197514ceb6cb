//! An item goes that no operation names: with what finds it by its end, by its fields and by what it refers to.

use mainstay_base::id::Name;
use mainstay_base::key::Key;

use super::index::{self, Home};
use super::{Context, expiry, reference};
use crate::command::ItemName;
use crate::definition::Definition;
use crate::item::Item;
use crate::overlay::Overlay;
use crate::row::RowKey;
use crate::state;

/// Removes an item as its row has it, and all rows that find it.
pub(super) fn remove(
    definition: &Definition,
    (home, context): (Home<'_>, &Context<'_>),
    (collection, key): (&Name, &Key),
    item: &Item,
    overlay: &mut Overlay<'_>,
) -> Result<(), state::Error> {
    let name = ItemName { collection: collection.clone(), key: key.clone() };
    let change = (Some(item), None);
    expiry::change(home.tenant, &name, change, overlay);
    index::change_or_tell(definition, home, (collection, key), change, overlay)?;
    reference::change_or_tell(definition, (home, context), (collection, key), change, overlay)?;
    overlay.write(RowKey::item(home.slot, home.tenant, collection, key), None);
    Ok(())
}

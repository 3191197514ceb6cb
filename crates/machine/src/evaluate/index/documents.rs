//! Documents that were there before a version of their schema are brought to it, as they are read already: with their versions, times
//! and ends, so that it is no change of them.
//!
//! All are brought, valid or not: what is not valid is counted, and what an index cannot take makes the index invalid, as when it is built.

use mainstay_base::id::Name;
use mainstay_base::key::Key;

use super::{Context, Home, change_or_tell, reference};
use crate::definition::Definition;
use crate::item::Item;
use crate::overlay::Overlay;
use crate::row::RowKey;
use crate::state;

/// Brings a document to the version of its schema. Returns why it is not valid then, if it is not.
pub(super) fn bring(
    (collection, definition): (&Name, &Definition),
    (home, context): (Home<'_>, &Context<'_>),
    (key, before): (&Key, &Item),
    overlay: &mut Overlay<'_>,
) -> Result<Option<String>, state::Error> {
    let after = definition.upgraded(before.clone());
    let misfit = definition.check(&after).err();
    if after.bytes == before.bytes {
        return Ok(misfit);
    }
    let (name, change) = ((collection, key), (Some(before), Some(&after)));
    change_or_tell(definition, home, name, change, overlay)?;
    reference::change_or_tell(definition, (home, context), name, change, overlay)?;
    let row = RowKey::item(home.slot, home.tenant, collection, key);
    overlay.write(row, Some(Item { is_rewritten: true, ..after }.encode()));
    Ok(misfit)
}

//! What items were before a command or a task, kept for the feeds of collections that want it.

use crate::batch::Before;
use crate::definition::Definitions;
use crate::overlay::{Mutation, Overlay};
use crate::row::Parts;
use crate::state;

/// What the items among the changed rows were, in the order of the changes; nothing of those that are new.
pub(super) fn before(
    effects: &[Mutation],
    overlay: &Overlay<'_>,
    definitions: &Definitions,
) -> Result<Vec<Before>, state::Error> {
    let mut kept = Vec::new();
    if !definitions.has_old_values() {
        return Ok(kept);
    }
    for (place, mutation) in effects.iter().enumerate() {
        // Rows that belong to no slot have no parts.
        let Ok(Parts::Item { tenant, collection, .. }) = Parts::of(mutation.key()) else { continue };
        let (Ok(tenant), Ok(name)) = (tenant.parse(), collection.parse()) else { continue };
        let collection = definitions.collection(&tenant, &name);
        if !collection.is_some_and(|collection| collection.changes.old_values) {
            continue;
        }
        if let Some(value) = overlay.before(place)? {
            let mutation = u32::try_from(place).expect("a commit has fewer changes");
            kept.push(Before { mutation, value });
        }
    }
    Ok(kept)
}

//! Definitions come to a shard: those of a later revision, in its own log.

use std::collections::BTreeMap;

use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};

use super::{Refusal, Stop};
use crate::definition::{self, Definition};
use crate::index;
use crate::index::State as IndexState;
use crate::index::state::Building;
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::purge;
use crate::row::{IndexName, RowKey, RowRange, ShardMeta};
use crate::schema::Step;
use crate::state::State;
use crate::task::Adopt;

/// Writes what changed, unless the shard has a later revision already.
pub(super) fn adopt(adopt: &Adopt, overlay: &mut Overlay<'_>) -> Result<Vec<OperationResult>, Stop> {
    let revision = definition::revision(overlay)?;
    if revision >= adopt.to {
        return Ok(Vec::new());
    }
    if revision < adopt.after {
        let detail =
            format!("the shard has the definitions of revision {revision}, not those of {}", adopt.after);
        return Err(Refusal::new(Code::Conflict, detail).fact("revision", revision).into());
    }
    // Before it ever had definitions a shard may have had items.
    let is_known = revision > 0 || overlay.scan(&RowRange::slots(), 1)?.is_empty();
    for (tenant, name, definition) in &adopt.changed {
        let before = definition::get(overlay, tenant, name)?;
        let is_new = before.is_none() && is_known;
        bring_documents(tenant, name, (before.as_ref(), definition, is_new), overlay)?;
        let before = before.as_ref().map_or_else(BTreeMap::new, numbered);
        let next = numbered(definition);
        for (number, dropping) in before.iter().filter(|(number, _)| !next.contains_key(*number)) {
            overlay.write(state_row(tenant, name, *number), Some(dropping.encode()));
        }
        for number in next.keys().filter(|number| !before.contains_key(*number)) {
            let state = if is_new { IndexState::Ready } else { IndexState::Building(Building::default()) };
            overlay.write(state_row(tenant, name, *number), Some(state.encode()));
        }
        // Being served ends a purge.
        if !definition.is_retired && purge::of(overlay, tenant, name)?.is_some() {
            overlay.write(RowKey::purge(tenant, name), None);
        }
        overlay.write(RowKey::definition(tenant, name), Some(definition.encode()));
    }
    overlay.write(RowKey::shard(), Some(ShardMeta { revision: adopt.to }.encode()));
    Ok(Vec::new())
}

/// Has items brought to the version of their schema, unless they are there.
///
/// Items that could not be are looked at again after every change of the definition.
fn bring_documents(
    tenant: &Tenant,
    name: &Name,
    (before, next, is_new): (Option<&Definition>, &Definition, bool),
    overlay: &mut Overlay<'_>,
) -> Result<(), Stop> {
    let of = IndexName { tenant, collection: name, number: IndexName::DOCUMENTS };
    let version = before.map_or(0, |before| before.schema);
    let state = index::state::of(overlay, of)?;
    let is_settled = matches!(state, None | Some(IndexState::Ready));
    if version == next.schema && is_settled {
        return Ok(());
    }
    let is_there = |step: &Step| step.is_proven && step.is_nothing();
    let is_ready = is_new || (is_settled && next.steps_after(version).all(is_there));
    let state = if is_ready { IndexState::Ready } else { IndexState::Building(Building::default()) };
    overlay.write(RowKey::index_state(of), Some(state.encode()));
    Ok(())
}

/// The indexes and references of a collection by their numbers, and how each is dropped.
fn numbered(definition: &Definition) -> BTreeMap<u32, IndexState> {
    let indexes = definition.indexes().map(|(_, number, index)| {
        (number, IndexState::Dropping { fields: index.on.len(), is_unique: index.unique })
    });
    let references = definition.references().map(|(_, number, reference)| {
        (number, IndexState::DroppingReference { to: reference.collection.clone(), at: None })
    });
    indexes.chain(references).collect()
}

fn state_row(tenant: &Tenant, collection: &Name, number: u32) -> RowKey {
    RowKey::index_state(IndexName { tenant, collection, number })
}

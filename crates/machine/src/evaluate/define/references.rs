//! Whether definitions that refer to each other go together, once all of a change are written: so those of one file are in any order.

use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};

use super::{Refusal, refuse};
use crate::definition::{Definition, Definitions};
use crate::reference::Reference;

/// Checks the definitions that there are now. Errors: the refusal of one that changed at this revision and does not go with the rest.
pub(super) fn check(all: &Definitions, revision: u64) -> Result<(), Refusal> {
    for (tenant, name, definition) in all.all().filter(|(_, _, definition)| !definition.is_retired) {
        for (reference, _, found) in definition.references() {
            if all.collection(tenant, &found.collection).is_none() {
                return Err(missing((tenant, name, definition), (reference, found), (all, revision)));
            }
        }
        check_end((tenant, name, definition), (all, revision))?;
    }
    Ok(())
}

/// The refusal of a reference to what is not served, or of whoever takes that away.
fn missing(
    (tenant, name, definition): (&Tenant, &Name, &Definition),
    (reference, found): (&Name, &Reference),
    (all, revision): (&Definitions, u64),
) -> Refusal {
    let (from, to, reference) = (name.as_str(), found.collection.as_str(), reference.as_str());
    let is_known = all.get(tenant, &found.collection).is_some();
    if definition.revision() == revision || !is_known {
        let detail = format!(
            "has the reference {reference:?} to the collection {to:?}, which does not exist: create it first"
        );
        let refusal = refuse(name, Code::Invalid, &detail).fact("reference", reference);
        return refusal.fact("target_collection", to);
    }
    let detail = format!(
        "cannot be retired: the reference {reference:?} of {from:?} is to it; take that out first, or retire {from:?}"
    );
    let refusal = refuse(&found.collection, Code::Conflict, &detail).fact("reference", reference);
    refusal.fact("referring_collection", from)
}

/// Items that others hold on to must not end.
fn check_end(
    (tenant, name, definition): (&Tenant, &Name, &Definition),
    (all, revision): (&Definitions, u64),
) -> Result<(), Refusal> {
    let (Some(ttl), Some(edge)) = (definition.collection.ttl, all.graph().lasting(tenant, name)) else {
        return Ok(());
    };
    let (shown, word) = (edge.shown(), edge.reference.on_delete.as_str());
    let refusal = if definition.revision() == revision {
        let detail = format!(
            "has `ttl: {ttl}`, and its items must not end, because of {shown} ({word}): leave the `ttl` out, or have that reference say \
             `cascade` or `set_null`"
        );
        refuse(name, Code::Conflict, &detail)
    } else {
        let detail = format!(
            "has references because of which items of {:?} must not end ({word}), and they do, by `ttl: {ttl}`: take that `ttl` out \
             first, or say `cascade` or `set_null`",
            name.as_str()
        );
        refuse(&edge.collection, Code::Conflict, &detail).fact("target_collection", name.as_str())
    };
    Err(refusal.fact("reference", edge.name.as_str()).fact("referring_collection", edge.collection.as_str()))
}

//! References: rows that find items by what they refer to, changed in the same record as the item; and what must hold at the end of
//! a commit.
//!
//! Whether what is referred to is there is looked at when all operations are done, so that both can be made in one commit in any
//! order. Only what an operation changes is looked at: what was there before has been, or is told as a misfit of the reference.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use bytes::Bytes;
use mainstay_base::error::Code;
use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Key;
use mainstay_base::time::Timestamp;

use super::index::{self, Home};
use super::place::Place;
use super::{Context, Refusal, Stop};
use crate::command::ItemName;
use crate::definition::Definition;
use crate::index::State as IndexState;
use crate::index::state::Reached;
use crate::item::{self, Item};
use crate::overlay::Overlay;
use crate::reference::{self, Edge, OnDelete, Reference};
use crate::row::{FORMAT, IndexName, Parts, RowKey, RowRange};
use crate::state::{self, State};
use crate::task::Clear;
use crate::version::Version;

mod ended;
mod settle;

pub(super) use ended::Ended;
pub(super) use settle::{Scene, settle};

const ROW: Bytes = Bytes::from_static(&[FORMAT]);

/// Rows that are read at once.
const PAGE: usize = 64;

/// A reference, and whose items refer by it.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) of: IndexName<'a>,
    pub(super) reference: &'a Reference,
    pub(super) home: Home<'a>,
    pub(super) context: &'a Context<'a>,
}

/// Why an item does not fit a reference.
pub(super) enum Fault {
    /// It has no key there.
    Value(reference::Error),
    /// What it refers to is in another partition.
    Elsewhere(ItemName, String),
    /// What it refers to is not there.
    Missing(ItemName),
    /// What it refers to must not end, and will.
    Ends(ItemName, Timestamp),
    State(state::Error),
}

impl From<state::Error> for Fault {
    fn from(error: state::Error) -> Self {
        Self::State(error)
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Elsewhere(item, partition) => write!(
                f,
                "{item} belongs to partition {partition:?}, and an item refers to those of its own partition only"
            ),
            Self::Missing(item) => write!(f, "{item} is not there"),
            Self::Ends(item, end) => {
                write!(
                    f,
                    "{item} ends at {end}, and what is held by a reference must not: put it without a `ttl`"
                )
            }
            Self::State(error) => error.fmt(f),
        }
    }
}

/// What an item refers to after a change.
enum Refers {
    Nothing,
    /// What it did before.
    Still,
    Now(Key),
}

impl<'a> Link<'a> {
    /// The key that an item refers to.
    fn target(self, item: &Item) -> Result<Option<Key>, Fault> {
        let Some(key) = self.reference.target(item.document()).map_err(Fault::Value)? else {
            return Ok(None);
        };
        let to = self.context.definitions.get(self.of.tenant, &self.reference.collection);
        let by = to.map(|to| to.collection.partition_by).unwrap_or_default();
        let partition = by.partition(&key);
        if partition == *self.home.partition {
            return Ok(Some(key));
        }
        let partition = partition.as_str().to_owned();
        Err(Fault::Elsewhere(self.named(key), partition))
    }

    fn named(self, key: Key) -> ItemName {
        ItemName { collection: self.reference.collection.clone(), key }
    }

    fn row(self, target: &Key, key: &Key) -> RowKey {
        RowKey::referrer(self.home.slot, self.of, (&self.reference.collection, target), key)
    }

    /// Changes the row that finds an item by what it refers to.
    fn change(
        self,
        key: &Key,
        (before, after): (Option<&Item>, Option<&Item>),
        overlay: &mut Overlay<'_>,
    ) -> Result<Refers, Fault> {
        // What could not refer did not.
        let had = before.and_then(|item| self.target(item).ok().flatten());
        let has = after.map(|item| self.target(item)).transpose()?.flatten();
        if let Some(had) = had.as_ref().filter(|had| Some(*had) != has.as_ref()) {
            overlay.write(self.row(had, key), None);
        }
        let Some(has) = has else { return Ok(Refers::Nothing) };
        // Of an item that was over, the row may be gone.
        let was_over = before.is_some_and(|item| item.is_over(self.context.moment.time.wall()));
        if had.as_ref() == Some(&has) && !was_over {
            return Ok(Refers::Still);
        }
        overlay.write(self.row(&has, key), Some(ROW));
        Ok(Refers::Now(has))
    }

    /// Checks that what is referred to is there.
    fn check(self, target: &Key, overlay: &Overlay<'_>) -> Result<(), Fault> {
        let row = RowKey::item(self.home.slot, self.of.tenant, &self.reference.collection, target);
        let now = self.context.moment.time.wall();
        match item::at(overlay, &row)?.filter(|item| !item.is_over(now)).map(|item| item.expires) {
            None => Err(Fault::Missing(self.named(target.clone()))),
            Some(Some(end)) if self.reference.on_delete == OnDelete::Restrict => {
                Err(Fault::Ends(self.named(target.clone()), end))
            }
            Some(_) => Ok(()),
        }
    }

    /// The rows of items that refer to a key.
    fn referrers(self, to: &Key) -> RowRange {
        RowRange::referrers(self.home.slot, self.of, (&self.reference.collection, to))
    }
}

/// All references of a collection, for items that are at home there.
fn links<'a>(
    definition: &'a Definition,
    collection: &'a Name,
    (home, context): (Home<'a>, &'a Context<'a>),
) -> impl Iterator<Item = (&'a Name, Link<'a>)> {
    definition.references().map(move |(name, number, reference)| {
        let of = IndexName { tenant: home.tenant, collection, number };
        (name, Link { of, reference, home, context })
    })
}

/// Some items that refer to a key.
struct Page {
    /// The rows, with the keys of the items.
    referrers: Vec<(RowKey, Key)>,
    /// Where the next are, when there may be more.
    rest: Option<RowRange>,
}

impl Page {
    fn read(range: &RowRange, overlay: &Overlay<'_>) -> Result<Self, state::Error> {
        let rows = overlay.scan(range, PAGE)?;
        let rest = rows.last().filter(|_| rows.len() == PAGE).map(|(last, _)| range.clone().after(last));
        let referrers = rows.into_iter().map(|(row, _)| {
            let key = match Parts::of(&row) {
                Ok(Parts::Referrer { key, .. }) => key.parse(),
                Ok(_) => return Err(state::Error::damaged_value(&row, "it is another row's")),
                Err(error) => return Err(state::Error::damaged(&row, &error)),
            };
            let key = key.map_err(|_| state::Error::damaged_value(&row, "the key that refers is none"))?;
            Ok((RowKey::of(row), key))
        });
        Ok(Self { referrers: referrers.collect::<Result<_, _>>()?, rest })
    }
}

/// Whether something refers to an item by a reference that is meant, be it over or not.
fn is_referred_to(
    (home, context): (Home<'_>, &Context<'_>),
    (collection, key): (&Name, &Key),
    is_meant: impl Fn(&Edge) -> bool,
    overlay: &Overlay<'_>,
) -> Result<bool, state::Error> {
    let edges = context.definitions.graph().to(home.tenant, collection);
    for edge in edges.iter().filter(|edge| is_meant(edge)) {
        let of = IndexName { tenant: home.tenant, collection: &edge.collection, number: edge.number };
        let link = Link { of, reference: &edge.reference, home, context };
        if !overlay.scan(&link.referrers(key), 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether items of other collections refer to an item.
pub(super) fn is_needed(
    scene: (Home<'_>, &Context<'_>),
    (collection, key): (&Name, &Key),
    overlay: &Overlay<'_>,
) -> Result<bool, state::Error> {
    is_referred_to(scene, (collection, key), |edge| edge.collection != *collection, overlay)
}

/// Changes the rows of an item that no operation names; a reference that it does not fit tells so.
pub(super) fn change_or_tell(
    definition: &Definition,
    (home, context): (Home<'_>, &Context<'_>),
    (collection, key): (&Name, &Key),
    change: (Option<&Item>, Option<&Item>),
    overlay: &mut Overlay<'_>,
) -> Result<(), state::Error> {
    for (_, link) in links(definition, collection, (home, context)) {
        let checked = link.change(key, change, overlay).and_then(|refers| match refers {
            Refers::Now(to) => link.check(&to, overlay),
            Refers::Nothing | Refers::Still => Ok(()),
        });
        match checked {
            Ok(()) => {}
            Err(Fault::State(error)) => return Err(error),
            Err(misfit) => index::tell(link.of, key, &misfit.to_string(), overlay)?,
        }
    }
    Ok(())
}

/// Has an item that was there before a reference found by it. Errors: why it does not fit, if it is not over.
pub(super) fn fill(
    link: Link<'_>,
    key: &Key,
    item: &Item,
    overlay: &mut Overlay<'_>,
) -> Result<Option<String>, state::Error> {
    let is_over = item.is_over(link.context.moment.time.wall());
    let checked = link.change(key, (None, Some(item)), overlay).and_then(|refers| match refers {
        Refers::Now(to) if !is_over => link.check(&to, overlay),
        _ => Ok(()),
    });
    match checked {
        Err(Fault::State(error)) => Err(error),
        Err(misfit) if !is_over => Ok(Some(misfit.to_string())),
        Ok(()) | Err(_) => Ok(None),
    }
}

/// Removes rows of a reference that is not defined any more. Returns how far that is; nothing when it is done.
pub(super) fn clear(
    of: IndexName<'_>,
    (to, at): (Name, Option<Reached>),
    clear: &Clear,
    overlay: &mut Overlay<'_>,
) -> Option<IndexState> {
    let mut at = at;
    for row in &clear.entries {
        let Ok(Parts::Referrer { slot, tenant, to: name, to_key, collection, number, .. }) = Parts::of(row)
        else {
            continue;
        };
        let is_of =
            (tenant, collection, number) == (of.tenant.name().as_str(), of.collection.as_str(), of.number);
        if let (true, Ok(key)) = (is_of && name == to.as_str(), to_key.parse()) {
            at = Some(Reached { slot: slot.get(), key });
            overlay.write(RowKey::of(row.clone()), None);
        }
    }
    (!clear.is_last).then_some(IndexState::DroppingReference { to, at })
}

/// What the operations of a commit leave to look at when all are done.
#[derive(Default)]
pub(super) struct Ledger {
    /// Items that are there and refer to others, by what wrote them last.
    written: BTreeMap<(Name, Key), Written>,
    /// Items that are not there any more and can be referred to, and the operation that deleted them.
    gone: BTreeMap<(Name, Key), usize>,
}

#[derive(Default)]
struct Written {
    operation: usize,
    claims: Vec<Claim>,
}

/// That an item refers to another, and what made it do so.
#[derive(Clone)]
struct Claim {
    operation: usize,
    name: Name,
    to: Key,
}

impl Ledger {
    /// Brings the rows that find an operation's item by what it refers to from what it was to what it is, and takes note of it.
    pub(super) fn follow(
        &mut self,
        (place, definition): (Place<'_>, &Definition),
        (home, context): (Home<'_>, &Context<'_>),
        change: (Option<&Item>, Option<&Item>),
        overlay: &mut Overlay<'_>,
    ) -> Result<(), Stop> {
        let item = place.item();
        let refers = !definition.collection.references.is_empty();
        let is_referred_to = !context.definitions.graph().to(home.tenant, &item.collection).is_empty();
        let Place::Operation(operation, _) = place else { return Ok(()) };
        if !refers && !is_referred_to {
            return Ok(());
        }
        let name = (item.collection.clone(), item.key.clone());
        let last = self.written.remove(&name).unwrap_or_default();
        let mut claims = Vec::new();
        for (reference, link) in links(definition, &item.collection, (home, context)) {
            match link.change(&item.key, change, overlay) {
                Ok(Refers::Nothing) => {}
                Ok(Refers::Now(to)) => claims.push(Claim { operation, name: reference.clone(), to }),
                Ok(Refers::Still) => {
                    claims.extend(last.claims.iter().find(|claim| claim.name == *reference).cloned());
                }
                Err(Fault::State(error)) => return Err(error.into()),
                Err(fault) => return Err(refuse(place, reference, link.reference, &fault).into()),
            }
        }
        if change.1.is_none() {
            if is_referred_to {
                self.gone.insert(name, operation);
            }
            return Ok(());
        }
        self.gone.remove(&name);
        if refers {
            self.written.insert(name, Written { operation, claims });
        }
        Ok(())
    }
}

/// The refusal of an operation that leaves an item which does not fit a reference.
fn refuse(place: Place<'_>, name: &Name, reference: &Reference, fault: &Fault) -> Refusal {
    let (on, name) = (&reference.on, name.as_str());
    let refusal = match fault {
        Fault::Missing(item) => {
            let detail = format!(
                "refers to {item} by {name:?} at {on}, which is not there at the end of the commit: put it in the same commit, or \
                 refer to another"
            );
            place.refuse(Code::Invalid, &detail)
        }
        fault => {
            place.refuse(Code::Invalid, &format!("does not fit the reference {name:?} at {on}: {fault}"))
        }
    };
    let refusal = refusal.fact("reference", name).fact("pointer", on.as_str());
    let refusal = refusal.fact("target_collection", reference.collection.as_str());
    match fault {
        Fault::Elsewhere(item, _) | Fault::Missing(item) | Fault::Ends(item, _) => {
            refusal.fact("target_key", item.key.as_str())
        }
        Fault::Value(_) | Fault::State(_) => refusal,
    }
}

/// Checks that an item may be given an end. Errors: the refusal, with the reference that it may not for.
pub(super) fn check_end(place: Place<'_>, tenant: &Tenant, context: &Context<'_>) -> Result<(), Refusal> {
    let Some(edge) = context.definitions.graph().lasting(tenant, &place.item().collection) else {
        return Ok(());
    };
    let detail = format!(
        "has a `ttl`, and items of the collection must not end, which {} ({}) would not let them: leave it out",
        edge.shown(),
        edge.reference.on_delete.as_str()
    );
    let refusal = place.refuse(Code::Invalid, &detail).fact("reference", edge.name.as_str());
    Err(refusal.fact("referring_collection", edge.collection.as_str()))
}

/// The item with null where a reference is, as its schema has it. Errors: why it cannot be.
fn cleared(
    reference: &Reference,
    definition: &Definition,
    item: &Item,
    (version, updated): (Version, HybridTime),
) -> Result<Item, String> {
    let upgraded = definition.upgraded(item.clone());
    let bytes = upgraded.document().and_then(|text| reference.cleared(text)).map(Bytes::from);
    let bytes = bytes.unwrap_or_else(|| upgraded.bytes.clone());
    let after = Item { version, updated, bytes, schema: definition.schema, is_rewritten: false, ..upgraded };
    definition.check(&after)?;
    Ok(after)
}

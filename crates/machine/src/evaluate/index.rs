//! The entries of items in indexes: changed in the same record as the item, so that an index is never ahead of its items or
//! behind, and caught up on for items that were there before it.

use std::fmt::{self, Display, Formatter};

use bytes::Bytes;
use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, Slot};

use super::place::Place;
use super::reference::{self, Link};
use super::{Context, Refusal, Stop};
use crate::definition::Definition;
use crate::index::state::{Building, Reached};
use crate::index::{self, Index, State as IndexState, entries, has_absent, split};
use crate::item::{self, Item, Listed};
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::{FORMAT, Holder, IndexName, RowKey, RowRange};
use crate::state::{self, State as _};
use crate::task::{Clear, Fill};

mod documents;

const ENTRY: Bytes = Bytes::from_static(&[FORMAT]);

/// An index, and whose items are put into it.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    of: IndexName<'a>,
    index: &'a Index,
    slot: Slot,
    partition: &'a Partition<'a>,
}

/// Where the items of a commit are.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) slot: Slot,
    pub(super) partition: &'a Partition<'a>,
}

/// Why an item is not in an index.
enum Fault {
    /// It cannot be.
    Entries(index::Error),
    /// Another item of its partition has the values.
    Held(Key),
    State(state::Error),
}

impl From<state::Error> for Fault {
    fn from(error: state::Error) -> Self {
        Self::State(error)
    }
}

impl From<index::Error> for Fault {
    fn from(error: index::Error) -> Self {
        Self::Entries(error)
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries(error) => error.fmt(f),
            Self::Held(key) => write!(f, "the item {:?} has the same values", key.as_str()),
            Self::State(error) => error.fmt(f),
        }
    }
}

/// Changes the entries of an item in all indexes of its collection.
pub(super) fn change(
    place: Place<'_>,
    definition: &Definition,
    home: Home<'_>,
    (before, after): (Option<&Item>, Option<&Item>),
    overlay: &mut Overlay<'_>,
) -> Result<(), Stop> {
    let item = place.item();
    for (name, target) in targets(definition, home, &item.collection) {
        match target.change(&item.key, (before, after), overlay) {
            Ok(()) => {}
            Err(Fault::State(error)) => return Err(error.into()),
            Err(fault) => return Err(refuse(place, name.as_str(), &fault).into()),
        }
    }
    Ok(())
}

/// Changes the entries of an item that no operation names; an index that it does not fit into tells so.
pub(super) fn change_or_tell(
    definition: &Definition,
    home: Home<'_>,
    (collection, key): (&Name, &Key),
    change: (Option<&Item>, Option<&Item>),
    overlay: &mut Overlay<'_>,
) -> Result<(), state::Error> {
    for (_, target) in targets(definition, home, collection) {
        match target.change(key, change, overlay) {
            Ok(()) => {}
            Err(Fault::State(error)) => return Err(error),
            Err(misfit) => tell(target.of, key, &misfit.to_string(), overlay)?,
        }
    }
    Ok(())
}

/// Changes the entries of an item that no operation names. Returns into which index it does not fit, and why.
pub(super) fn unfit(
    definition: &Definition,
    home: Home<'_>,
    (collection, key): (&Name, &Key),
    change: (Option<&Item>, Option<&Item>),
    overlay: &mut Overlay<'_>,
) -> Result<Option<String>, state::Error> {
    for (name, target) in targets(definition, home, collection) {
        match target.change(key, change, overlay) {
            Ok(()) => {}
            Err(Fault::State(error)) => return Err(error),
            Err(fault) => {
                return Ok(Some(format!("it does not fit into the index {:?}: {fault}", name.as_str())));
            }
        }
    }
    Ok(None)
}

/// The indexes of a collection, for items that are at home there.
fn targets<'a>(
    definition: &'a Definition,
    Home { tenant, slot, partition }: Home<'a>,
    collection: &'a Name,
) -> impl Iterator<Item = (&'a Name, Target<'a>)> {
    definition.indexes().map(move |(name, number, index)| {
        let of = IndexName { tenant, collection, number };
        (name, Target { of, index, slot, partition })
    })
}

/// Has an index or a reference tell of an item that does not fit.
pub(super) fn tell(
    of: IndexName<'_>,
    key: &Key,
    reason: &str,
    overlay: &mut Overlay<'_>,
) -> Result<(), state::Error> {
    if let Some(state) = index::state::of(overlay, of)? {
        overlay.write(RowKey::index_state(of), Some(state.with_misfit(key, reason).encode()));
    }
    Ok(())
}

fn refuse(place: Place<'_>, index: &str, fault: &Fault) -> Refusal {
    let (code, held) = match fault {
        Fault::Held(key) => (Code::Conflict, Some(key.as_str())),
        Fault::Entries(_) | Fault::State(_) => (Code::Invalid, None),
    };
    let refusal = place.refuse(code, &format!("does not fit into the index {index:?}: {fault}"));
    let refusal = refusal.fact("index", index);
    match held {
        Some(key) => refusal.fact("held_by", key),
        None => refusal,
    }
}

impl Target<'_> {
    fn change(
        self,
        key: &Key,
        (before, after): (Option<&Item>, Option<&Item>),
        overlay: &mut Overlay<'_>,
    ) -> Result<(), Fault> {
        // What could not be in it was not.
        let had =
            before.map_or_else(Vec::new, |item| entries(self.index, item.document()).unwrap_or_default());
        let has = after.map_or(Ok(Vec::new()), |item| entries(self.index, item.document()))?;
        // Both are in their order.
        if had == has {
            return Ok(());
        }
        // Then it has an entry for each tuple, and no other.
        let is_whole = matches!(index::state::of(overlay, self.of)?, Some(IndexState::Ready));
        let lacks = |tuples: &[Bytes], tuple: &Bytes| tuples.binary_search(tuple).is_err();
        for tuple in had.iter().filter(|tuple| lacks(&has, tuple)) {
            self.remove(tuple, key, is_whole, overlay)?;
        }
        let mut added = has.iter().filter(|tuple| lacks(&had, tuple));
        added.try_for_each(|tuple| self.add(tuple, key, is_whole, overlay))
    }

    fn add(self, tuple: &[u8], key: &Key, is_whole: bool, overlay: &mut Overlay<'_>) -> Result<(), Fault> {
        if self.index.unique && !has_absent(tuple) {
            let row = RowKey::held(self.slot, self.of, self.partition, tuple);
            match holder(&row, overlay)? {
                Some(holder) if holder != *key => return Err(Fault::Held(holder)),
                _ => overlay.write(row, Some(Holder { key: key.clone() }.encode())),
            }
        }
        self.write((tuple, key), is_whole, Some(ENTRY), overlay);
        Ok(())
    }

    fn remove(self, tuple: &[u8], key: &Key, is_whole: bool, overlay: &mut Overlay<'_>) -> Result<(), Fault> {
        if self.index.unique && !has_absent(tuple) {
            let row = RowKey::held(self.slot, self.of, self.partition, tuple);
            // Where the index is being built, another may hold them.
            if holder(&row, overlay)?.is_some_and(|holder| holder == *key) {
                overlay.write(row, None);
            }
        }
        self.write((tuple, key), is_whole, None, overlay);
        Ok(())
    }

    /// Writes or removes an entry. Of an index that is whole it is known whether it was there: only what was not is written, and what was is removed.
    fn write(
        self,
        (tuple, key): (&[u8], &Key),
        is_whole: bool,
        value: Option<Bytes>,
        overlay: &mut Overlay<'_>,
    ) {
        let row = RowKey::index_entry(self.of, tuple, key);
        if is_whole {
            let before = value.is_none().then_some(ENTRY);
            overlay.write_over(row, before.as_ref(), value);
        } else {
            overlay.write(row, value);
        }
    }
}

fn holder(row: &RowKey, overlay: &Overlay<'_>) -> Result<Option<Key>, state::Error> {
    Ok(state::read(overlay, row, Holder::decode)?.map(|holder| holder.key))
}

/// Puts the next items that were there before an index into it, as they are now.
pub(super) fn fill(
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
    building.items += fill.items.len() as u64;
    for (slot, Listed { key, item }) in items_at(overlay, (tenant, collection), &fill.items)? {
        let partition = definition.collection.partition_by.partition(&key);
        let home = Home { tenant, slot, partition: &partition };
        let (scene, item) = ((home, context), (&key, &item));
        let misfit = match *number {
            IndexName::DOCUMENTS => documents::bring((collection, definition), scene, item, overlay)?,
            _ => fill_one((of, definition), scene, item, overlay)?,
        };
        if let Some(misfit) = misfit {
            building.misfit(&key, &misfit);
        }
    }
    overlay.write(RowKey::index_state(of), Some(after_step(fill, building).encode()));
    Ok(Vec::new())
}

/// The items at these places that are there, in the places' order. They are next to each other, so walking costs less than looking for each.
fn items_at(
    overlay: &Overlay<'_>,
    (tenant, collection): (&Tenant, &Name),
    places: &[Reached],
) -> Result<Vec<(Slot, Listed)>, state::Error> {
    let mut found = Vec::with_capacity(places.len());
    for places in places.chunk_by(|one, other| one.slot == other.slot) {
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        let Some(slot) = first.slot() else { continue };
        let row = |place: &Reached| RowKey::item(slot, tenant, collection, &place.key);
        let mut range = RowRange::from_to(&row(first), &row(last));
        loop {
            let page = overlay.scan(&range, places.len())?;
            for (row, value) in &page {
                let listed = item::listed(row, value)?;
                if places.binary_search_by(|place| place.key.cmp(&listed.key)).is_ok() {
                    found.push((slot, listed));
                }
            }
            match page.last() {
                Some((row, _)) if page.len() == places.len() => range = range.after(row),
                _ => break,
            }
        }
    }
    Ok(found)
}

/// How far it is after a step through the items.
fn after_step(fill: &Fill, mut building: Building) -> IndexState {
    match (fill.is_last, building.misfits.take()) {
        (true, None) => IndexState::Ready,
        (true, Some(misfits)) => IndexState::Invalid(misfits),
        (false, misfits) => {
            let at = fill.items.last().cloned().or(building.at);
            IndexState::Building(Building { at, misfits, ..building })
        }
    }
}

/// Puts an item into what has this number. Returns why it does not fit.
fn fill_one(
    (of, definition): (IndexName<'_>, &Definition),
    (home, context): (Home<'_>, &Context<'_>),
    (key, item): (&Key, &Item),
    overlay: &mut Overlay<'_>,
) -> Result<Option<String>, state::Error> {
    let index = definition.indexes().find(|(_, number, _)| *number == of.number);
    let reference = definition.references().find(|(_, number, _)| *number == of.number);
    if let Some((_, _, reference)) = reference {
        return reference::fill(Link { of, reference, home, context }, key, item, overlay);
    }
    let Some((_, _, index)) = index else { return Ok(None) };
    let target = Target { of, index, slot: home.slot, partition: home.partition };
    match target.change(key, (None, Some(item)), overlay) {
        Ok(()) => Ok(None),
        Err(Fault::State(error)) => Err(error),
        Err(misfit) => Ok(Some(misfit.to_string())),
    }
}

/// Removes entries of an index that is not defined any more, or the rows of a reference.
pub(super) fn clear(
    clear: &Clear,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    let Clear { tenant, collection, number, entries, is_last } = clear;
    let of = IndexName { tenant, collection, number: *number };
    let (fields, is_unique) = match index::state::of(overlay, of)? {
        Some(IndexState::Dropping { fields, is_unique }) => (fields, is_unique),
        Some(IndexState::DroppingReference { to, at }) => {
            let next = reference::clear(of, (to, at), clear, overlay);
            overlay.write(RowKey::index_state(of), next.map(|next| next.encode()));
            return Ok(Vec::new());
        }
        _ => return Ok(Vec::new()),
    };
    let by = context.definitions.get(tenant, collection).map(|found| found.collection.partition_by);
    for entry in entries {
        overlay.write(of.entry_row(entry), None);
        let held = split(entry, fields).filter(|_| is_unique);
        let held =
            held.and_then(|(tuple, key)| Some((tuple, str::from_utf8(key).ok()?.parse::<Key>().ok()?)));
        if let (Some((tuple, key)), Some(by)) = (held, by) {
            let partition = by.partition(&key);
            let slot = mainstay_base::key::slot(tenant, &partition);
            overlay.write(RowKey::held(slot, of, &partition, tuple), None);
        }
    }
    if *is_last {
        overlay.write(RowKey::index_state(of), None);
    }
    Ok(Vec::new())
}

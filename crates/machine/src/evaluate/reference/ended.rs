//! What follows from the end of an item that others refer to.
//!
//! Nobody is there to refuse it to, so it is done in steps that are bounded: until nothing refers to it any more, an item whose end has
//! come stays where it is, absent for everybody. What goes along and is referred to itself ends now, and is removed in its own
//! turn, so that no depth and no cycle takes a step of more than its bound.

use std::collections::BTreeMap;

use mainstay_base::key::{Key, Slot};

use super::{Home, Link, Page, change_or_tell, cleared, is_referred_to};
use crate::command::ItemName;
use crate::definition::Definition;
use crate::evaluate::{Context, Stop, commit, expiry, index, removal};
use crate::item::{self, Item};
use crate::overlay::Overlay;
use crate::reference::{Edge, OnDelete};
use crate::row::{IndexName, RowKey, SlotMeta};
use crate::state;
use crate::version::Version;

/// What is left of a step.
pub(in crate::evaluate) struct Ended<'a> {
    context: &'a Context<'a>,
    items_left: usize,
    bytes: usize,
    /// Those of the items with a member that became null, by slot.
    versions: BTreeMap<Slot, Version>,
}

/// An item that refers to one whose end has come.
struct Referrer<'a> {
    edge: &'a Edge,
    definition: &'a Definition,
    home: Home<'a>,
    key: Key,
    item: Item,
}

impl<'a> Ended<'a> {
    pub(in crate::evaluate) fn new(context: &'a Context<'a>) -> Self {
        let items_left = context.settings.limits.operations_max as usize;
        Self { context, items_left, bytes: 0, versions: BTreeMap::new() }
    }

    /// Makes members null that refer to an item. Returns whether there were any.
    ///
    /// It is a change with a version, and so a step of its own: what is deleted in the step is told to have ended.
    pub(in crate::evaluate) fn clear(
        &mut self,
        home: Home<'a>,
        name: &ItemName,
        overlay: &mut Overlay<'_>,
    ) -> Result<bool, Stop> {
        let mut has_changed = false;
        self.each(
            (home, name),
            |on_delete| on_delete == OnDelete::SetNull,
            overlay,
            |ended, referrer, overlay| {
                let version = ended.version(home.slot, overlay)?;
                let Referrer { edge, definition, key, item, .. } = &referrer;
                let stamp = (version, ended.context.moment.time);
                if !item.holds.is_empty() {
                    return Ok(false);
                }
                let Ok(after) = cleared(&edge.reference, definition, item, stamp) else { return Ok(false) };
                let (named, change) = ((&edge.collection, key), (Some(item), Some(&after)));
                index::change_or_tell(definition, home, named, change, overlay)?;
                change_or_tell(definition, (home, ended.context), named, change, overlay)?;
                overlay.write(referrer.row(), Some(after.encode()));
                let sequence = version.sequence;
                overlay.write(RowKey::slot(home.slot), Some(SlotMeta { sequence }.encode()));
                has_changed = true;
                Ok(true)
            },
        )?;
        Ok(has_changed)
    }

    /// Has items go along with one that they refer to. Returns whether the item can go; else there is more to do.
    pub(in crate::evaluate) fn take_along(
        &mut self,
        home: Home<'a>,
        name: &ItemName,
        overlay: &mut Overlay<'_>,
    ) -> Result<bool, Stop> {
        self.each(
            (home, name),
            |_| true,
            overlay,
            |ended, referrer, overlay| {
                let Referrer { edge, definition, key, item, .. } = &referrer;
                if edge.reference.on_delete != OnDelete::Cascade || !item.holds.is_empty() {
                    // An item that came before the reference, or cannot have null there, or is held as it is.
                    let reason = format!("{name}, to which it refers, has ended");
                    let of =
                        IndexName { tenant: home.tenant, collection: &edge.collection, number: edge.number };
                    index::tell(of, key, &reason, overlay)?;
                    return Ok(false);
                }
                if is_referred_to((home, ended.context), (&edge.collection, key), |_| true, overlay)? {
                    let now = Some(ended.context.moment.time.wall());
                    let over = Item { expires: now, is_rewritten: true, ..item.clone() };
                    let item_name = ItemName { collection: edge.collection.clone(), key: key.clone() };
                    expiry::change(home.tenant, &item_name, (Some(item), Some(&over)), overlay);
                    overlay.write(referrer.link(ended.context).row(&name.key, key), None);
                    overlay.write(referrer.row(), Some(over.encode()));
                } else {
                    let scene = (home, ended.context);
                    removal::remove(definition, scene, (&edge.collection, key), item, overlay)?;
                }
                Ok(true)
            },
        )
    }

    /// Does something to each item that refers to one and is not over, which returns whether it was a change. Returns whether it was all.
    fn each(
        &mut self,
        (home, name): (Home<'a>, &ItemName),
        is_meant: impl Fn(OnDelete) -> bool,
        overlay: &mut Overlay<'_>,
        mut act: impl FnMut(&mut Self, Referrer<'a>, &mut Overlay<'_>) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        let definitions = self.context.definitions;
        let edges = definitions.graph().to(home.tenant, &name.collection);
        for edge in edges.iter().filter(|edge| is_meant(edge.reference.on_delete)) {
            let Some(definition) = definitions.get(home.tenant, &edge.collection) else { continue };
            let of = IndexName { tenant: home.tenant, collection: &edge.collection, number: edge.number };
            let link = Link { of, reference: &edge.reference, home, context: self.context };
            let mut range = Some(link.referrers(&name.key));
            while let Some(next) = range {
                let Page { referrers, rest } = Page::read(&next, overlay)?;
                for (row, key) in referrers {
                    let item =
                        item::at(overlay, &RowKey::item(home.slot, home.tenant, &edge.collection, &key))?;
                    let Some(item) = item else { continue };
                    let length = item.bytes.len();
                    if !self.has_room(length) {
                        return Ok(false);
                    }
                    let is_change = if item.is_over(self.context.moment.time.wall()) {
                        // It is absent for everybody, and goes in its own turn.
                        overlay.write(row, None);
                        true
                    } else {
                        act(self, Referrer { edge, definition, home, key, item }, overlay)?
                    };
                    if is_change {
                        self.items_left -= 1;
                        self.bytes += length;
                    }
                }
                range = rest;
            }
        }
        Ok(true)
    }

    /// Whether a step may change one more item. One alone always fits.
    fn has_room(&self, length: usize) -> bool {
        let max = self.context.settings.limits.commit_size_max.bytes();
        self.items_left > 0 && (self.bytes == 0 || (self.bytes + length) as u64 <= max)
    }

    /// The version of all items of a slot that the step changes.
    fn version(&mut self, slot: Slot, overlay: &Overlay<'_>) -> Result<Version, state::Error> {
        if let Some(version) = self.versions.get(&slot) {
            return Ok(*version);
        }
        let sequence = commit::next_sequence(overlay, &RowKey::slot(slot))?;
        let version = Version { timeline: self.context.moment.timeline, sequence };
        self.versions.insert(slot, version);
        Ok(version)
    }
}

impl<'a> Referrer<'a> {
    fn row(&self) -> RowKey {
        RowKey::item(self.home.slot, self.home.tenant, &self.edge.collection, &self.key)
    }

    fn link(&self, context: &'a Context<'a>) -> Link<'a> {
        let (tenant, collection) = (self.home.tenant, &self.edge.collection);
        let of = IndexName { tenant, collection, number: self.edge.number };
        Link { of, reference: &self.edge.reference, home: self.home, context }
    }
}

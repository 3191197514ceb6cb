//! The end of a commit: what is referred to must be there, and deletions do to those that refer what their references say.
//!
//! What operations wrote is what was asked for: an item that one of them wrote is never changed or deleted along, but refuses the commit if
//! what it refers to goes. What holds an item is looked at last, since it may go along with another.

use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::key::Key;

use super::{Fault, Home, Ledger, Link, Page, cleared, links, refuse};
use crate::command::{Commit, ItemName};
use crate::definition::Definition;
use crate::evaluate::place::Place;
use crate::evaluate::{Context, Stop, expiry, index, limits, removal};
use crate::item::{self, Item};
use crate::outcome::Refusal;
use crate::overlay::Overlay;
use crate::reference::{Edge, OnDelete};
use crate::row::{IndexName, RowKey};
use crate::version::Version;

/// A commit whose operations are done.
#[derive(Clone, Copy)]
pub(in crate::evaluate) struct Scene<'a> {
    pub(in crate::evaluate) commit: &'a Commit,
    pub(in crate::evaluate) home: Home<'a>,
    pub(in crate::evaluate) context: &'a Context<'a>,
    pub(in crate::evaluate) version: Version,
    /// What it has looked at and written so far.
    pub(in crate::evaluate) bytes: (usize, usize),
}

/// Checks what operations have left, and does what follows from what they deleted.
pub(in crate::evaluate) fn settle(
    ledger: &Ledger,
    scene: Scene<'_>,
    overlay: &mut Overlay<'_>,
) -> Result<(), Stop> {
    check_claims(ledger, scene, overlay)?;
    if ledger.gone.is_empty() {
        return Ok(());
    }
    let (bytes_read, bytes_written) = scene.bytes;
    let looked_at = scene.commit.operations.len();
    let gone = ledger.gone.iter().map(|((collection, key), operation)| Gone {
        operation: *operation,
        item: ItemName { collection: collection.clone(), key: key.clone() },
    });
    let mut gone: Vec<Gone> = gone.collect();
    gone.sort_by_key(|gone| gone.operation);
    let mut following = Following { ledger, scene, overlay, gone, looked_at, bytes_read, bytes_written };
    let mut at = 0;
    while at < following.gone.len() {
        following.follow(at)?;
        at += 1;
    }
    (0..at).try_for_each(|at| following.check_free(at))
}

fn check_claims(ledger: &Ledger, scene: Scene<'_>, overlay: &Overlay<'_>) -> Result<(), Stop> {
    let Scene { home, context, .. } = scene;
    for ((collection, _), written) in ledger.written.iter().filter(|(_, written)| !written.claims.is_empty())
    {
        let Some(definition) = context.definitions.get(home.tenant, collection) else { continue };
        for (name, link) in links(definition, collection, (home, context)) {
            let Some(claim) = written.claims.iter().find(|claim| claim.name == *name) else { continue };
            match link.check(&claim.to, overlay) {
                Ok(()) => {}
                Err(Fault::State(error)) => return Err(error.into()),
                Err(fault) => {
                    let place = scene.place(claim.operation);
                    return Err(refuse(place, name, link.reference, &fault).into());
                }
            }
        }
    }
    Ok(())
}

impl<'a> Scene<'a> {
    fn place(self, operation: usize) -> Place<'a> {
        Place::Operation(operation, &self.commit.operations[operation])
    }
}

/// An item that was there, and the operation that it went with.
#[derive(Clone)]
struct Gone {
    operation: usize,
    item: ItemName,
}

/// Goes through what refers to items that are gone.
struct Following<'a, 'c, 'o> {
    ledger: &'a Ledger,
    scene: Scene<'a>,
    overlay: &'c mut Overlay<'o>,
    /// In the order in which they went.
    gone: Vec<Gone>,
    /// Operations, and items that refer.
    looked_at: usize,
    bytes_read: usize,
    bytes_written: usize,
}

impl<'a> Following<'a, '_, '_> {
    /// Does what the references to one of those that are gone say, all but what they refuse.
    fn follow(&mut self, at: usize) -> Result<(), Stop> {
        let gone = self.gone[at].clone();
        let edges = self.scene.context.definitions.graph().to(self.scene.home.tenant, &gone.item.collection);
        for edge in edges.iter().filter(|edge| edge.reference.on_delete != OnDelete::Restrict) {
            let Some((definition, link)) = self.link(edge) else { continue };
            let mut range = Some(link.referrers(&gone.item.key));
            while let Some(next) = range {
                let Page { referrers, rest } = Page::read(&next, self.overlay)?;
                for (_, key) in referrers {
                    self.follow_one(&gone, (edge, definition, link), key)?;
                }
                range = rest;
            }
        }
        Ok(())
    }

    fn follow_one(
        &mut self,
        gone: &Gone,
        (edge, definition, link): (&'a Edge, &'a Definition, Link<'a>),
        key: Key,
    ) -> Result<(), Stop> {
        let Some(item) = self.read(gone, &edge.collection, &key)? else { return Ok(()) };
        let place = self.scene.place(gone.operation);
        let name = (edge.collection.clone(), key);
        if let Some(written) = self.ledger.written.get(&name) {
            let fault = Fault::Missing(gone.item.clone());
            let place = self.scene.place(written.operation);
            return Err(refuse(place, &edge.name, link.reference, &fault).into());
        }
        let (collection, key) = name;
        if !item.holds.is_empty() {
            let refer = ItemName { collection, key };
            return Err(kept(place, gone, (edge, &refer), &item).into());
        }
        let limits = &self.scene.context.settings.limits;
        self.bytes_written += key.as_str().len();
        if edge.reference.on_delete == OnDelete::Cascade {
            limits::check_commit(place, self.bytes_written, limits)?;
            let scene = (self.scene.home, self.scene.context);
            removal::remove(definition, scene, (&collection, &key), &item, self.overlay)?;
            let item = ItemName { collection, key };
            self.gone.push(Gone { operation: gone.operation, item });
            return Ok(());
        }
        let refer = ItemName { collection, key };
        let cannot = |why: &str| cannot_clear(place, gone, (edge, &refer), why);
        let time = self.scene.context.moment.time;
        let after = cleared(&edge.reference, definition, &item, (self.scene.version, time));
        let after = after.map_err(|why| cannot(&why))?;
        self.bytes_written += after.bytes.len();
        limits::check_commit(place, self.bytes_written, limits)?;
        self.clear((definition, &refer), (&item, &after), &cannot)
    }

    /// Puts an item with null in the place of one that refers.
    fn clear(
        &mut self,
        (definition, refer): (&Definition, &ItemName),
        (before, after): (&Item, &Item),
        cannot: &dyn Fn(&str) -> Refusal,
    ) -> Result<(), Stop> {
        let Scene { home, context, .. } = self.scene;
        let change = (Some(before), Some(after));
        expiry::change(home.tenant, refer, change, self.overlay);
        let name = (&refer.collection, &refer.key);
        if let Some(why) = index::unfit(definition, home, name, change, self.overlay)? {
            return Err(cannot(&why).into());
        }
        for (_, link) in links(definition, &refer.collection, (home, context)) {
            match link.change(&refer.key, change, self.overlay) {
                Ok(_) => {}
                Err(Fault::State(error)) => return Err(error.into()),
                Err(fault) => return Err(cannot(&fault.to_string()).into()),
            }
        }
        let row = RowKey::item(home.slot, home.tenant, &refer.collection, &refer.key);
        self.overlay.write(row, Some(after.encode()));
        Ok(())
    }

    /// Checks that nothing that is there refers to one of those that are gone.
    fn check_free(&mut self, at: usize) -> Result<(), Stop> {
        let gone = self.gone[at].clone();
        let edges = self.scene.context.definitions.graph().to(self.scene.home.tenant, &gone.item.collection);
        for edge in edges.iter().filter(|edge| edge.reference.on_delete == OnDelete::Restrict) {
            let Some((definition, link)) = self.link(edge) else { continue };
            let mut range = Some(link.referrers(&gone.item.key));
            while let Some(next) = range {
                let Page { referrers, rest } = Page::read(&next, self.overlay)?;
                for (_, key) in referrers {
                    if self.read(&gone, &edge.collection, &key)?.is_some() {
                        let refer = ItemName { collection: edge.collection.clone(), key };
                        return Err(self.held(&gone, (edge, definition), &refer).into());
                    }
                }
                range = rest;
            }
        }
        Ok(())
    }

    fn held(&self, gone: &Gone, (edge, definition): (&Edge, &Definition), refer: &ItemName) -> Refusal {
        let place = self.scene.place(gone.operation);
        let (item, name) = (&gone.item, edge.name.as_str());
        let along = if place.item() == item { "" } else { ", which goes along" };
        let retired = if definition.is_retired { " of a retired collection" } else { "" };
        let detail = format!(
            "deletes {item}{along}, to which {refer}{retired} refers by {name:?} (restrict): delete or change what refers to it first, \
             or in the same commit"
        );
        let refusal = place.refuse(Code::Conflict, &detail).fact("reference", name);
        refusal
            .fact("referring_collection", refer.collection.as_str())
            .fact("referring_key", refer.key.as_str())
    }

    fn link(&self, edge: &'a Edge) -> Option<(&'a Definition, Link<'a>)> {
        let Scene { home, context, .. } = self.scene;
        let of = IndexName { tenant: home.tenant, collection: &edge.collection, number: edge.number };
        let definition = context.definitions.get(home.tenant, &edge.collection)?;
        Some((definition, Link { of, reference: &edge.reference, home, context }))
    }

    /// An item that refers, if its end has not come.
    fn read(&mut self, gone: &Gone, collection: &Name, key: &Key) -> Result<Option<Item>, Stop> {
        let Scene { home, context, .. } = self.scene;
        let (place, limits) = (self.scene.place(gone.operation), &context.settings.limits);
        self.looked_at += 1;
        if self.looked_at as u64 > limits.operations_max.into() {
            let max = limits.operations_max;
            let detail = format!(
                "makes the commit change more than {max} items, as many refer to {}, or to what goes along: delete or change those \
                 first, in several commits",
                gone.item
            );
            let refusal = place.refuse(Code::TooLarge, &detail).fact("limit", "operations_max");
            return Err(refusal.fact("max", max).into());
        }
        let item = item::at(self.overlay, &RowKey::item(home.slot, home.tenant, collection, key))?;
        self.bytes_read += item.as_ref().map_or(0, |item| item.bytes.len());
        limits::check_read(place, self.bytes_read, limits)?;
        Ok(item.filter(|item| !item.is_over(context.moment.time.wall())))
    }
}

fn kept(place: Place<'_>, gone: &Gone, (edge, refer): (&Edge, &ItemName), item: &Item) -> Refusal {
    let names: Vec<_> = item.holds.iter().map(Name::as_str).collect();
    let detail = format!(
        "deletes {}, and {refer}, which refers to it by {:?}, is held by {}: release every hold first",
        gone.item,
        edge.name.as_str(),
        names.join(", ")
    );
    let refusal =
        place.refuse(Code::Conflict, &detail).fact("reference", edge.name.as_str()).fact("holds", names);
    refusal.fact("referring_collection", refer.collection.as_str()).fact("referring_key", refer.key.as_str())
}

fn cannot_clear(place: Place<'_>, gone: &Gone, (edge, refer): (&Edge, &ItemName), why: &str) -> Refusal {
    let (item, on, name) = (&gone.item, &edge.reference.on, edge.name.as_str());
    let detail = format!(
        "deletes {item}, and {refer}, which refers to it by {name:?}, cannot have null at {on}: {why}"
    );
    let refusal = place.refuse(Code::Conflict, &detail).fact("reference", name);
    refusal.fact("referring_collection", refer.collection.as_str()).fact("referring_key", refer.key.as_str())
}

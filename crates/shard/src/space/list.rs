//! Listings: through an index of all shards together, or through the slots in their order, each shard as it was at one moment.
//!
//! Slots without a row of the collection are passed over by looking where the next row is, so that a small collection is not
//! looked for in all 4,096 slots.

use std::sync::Arc;

use mainstay_base::key::{Slot, slot};
use mainstay_base::time::{Instant, Timestamp};
use mainstay_base::units::Duration;
use mainstay_machine::query::{self, Failed, Plan};
use mainstay_machine::shards::{Consistency, Cursor, Durability, Error, List, Page, PageBuilder, Reading};
use mainstay_machine::state::Walk;
use mainstay_machine::{Definition, Position, State, item};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::read::Seen;
use super::{Space, place_of};
use crate::store::View;

impl Space {
    pub(super) async fn list_items(
        &self,
        list: List,
        deadline: Option<Instant>,
    ) -> Result<Reading<Page>, Error> {
        let slots = slots_of(&list);
        // Before anything is looked at: what waits holds on to nothing.
        let is_short = slots.0 >= slots.1 && is_by_keys(&list);
        let place = if is_short { None } else { Some(self.listing(deadline).await?) };
        let places = place_of(slots.0.min(slots.1), self.shards.len())..=place_of(slots.1, self.shards.len());
        let mut seen = Vec::new();
        for shard in &self.shards[places] {
            seen.push(shard.see(&list.consistency, deadline, &*self.clock).await?);
        }
        let shown = shown(&seen);
        let views: Vec<View> = seen.into_iter().map(|seen| seen.view).collect();
        let now = self.clock.wall();
        let definition = self.known().get(&list.tenant, &list.collection).cloned();
        let page = match place {
            None => walk((&views, definition.as_deref()), slots, &list, now),
            Some(place) => {
                let finding = tokio::task::spawn_blocking(move || {
                    // Also when nobody waits any more.
                    let _place = place;
                    find((&views, slots), &list, definition.as_deref(), now)
                });
                finding.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
        };
        let value: Result<Page, Error> = page.map_err(|failed| match failed {
            Failed::Refused(refusal) => Error::Refused(refusal),
            Failed::State(error) => Error::Broken { reason: error.to_string() },
        });
        self.counters.queried(&value);
        let value = value?;
        let Reading { position, consistency, age, durability, .. } = shown;
        Ok(Reading { value, position, consistency, age, durability })
    }

    /// A place among the listings that are made at once.
    pub(super) async fn listing(&self, deadline: Option<Instant>) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.listings).acquire_owned();
        let place = match deadline.map(|deadline| deadline.saturating_since(self.clock.now())) {
            Some(left) => timeout(left.as_std(), place).await.map_err(|_| Error::Deadline)?,
            None => place.await,
        };
        Ok(place.expect("it is never closed"))
    }
}

/// Finds a page through an index, if one helps, or by keys.
fn find(
    (views, slots): (&[View], (Slot, Slot)),
    list: &List,
    definition: Option<&Definition>,
    now: Timestamp,
) -> Result<Page, Failed> {
    let (Some(definition), false) = (definition, is_by_keys(list)) else {
        return walk((views, definition), slots, list, now);
    };
    let states: Vec<&dyn State> = views.iter().map(|view| view as &dyn State).collect();
    let usable = query::usable(&states, &list.tenant, (&list.collection, definition))?;
    match query::plan(list, &usable)? {
        Plan::Keys => walk((views, Some(definition)), slots, list, now),
        Plan::Index(through) => {
            let walks: Vec<&dyn Walk> = views.iter().map(|view| view as &dyn Walk).collect();
            query::search(&walks, &through, list, definition, now)
        }
    }
}

/// Whether no index can help, or is asked for: the keys of one partition are gone through where neither an index is named nor an order.
fn is_by_keys(list: &List) -> bool {
    let search = &list.search;
    let is_narrow = search.filter.is_none() || list.partition.is_some();
    match &list.after {
        None => is_narrow && search.order.is_empty() && search.index.is_none(),
        Some(Cursor::Key { .. }) => true,
        Some(Cursor::Entry { .. }) => false,
    }
}

/// The first and the last slot that are to be looked through; the first is behind the last when there is nothing.
fn slots_of(list: &List) -> (Slot, Slot) {
    let (first, last) = match &list.partition {
        Some(partition) => {
            let slot = slot(&list.tenant, partition);
            (slot, slot)
        }
        None => (Slot::FIRST, Slot::LAST),
    };
    (list.after_key().map_or(first, |(slot, _)| slot.max(first)), last)
}

/// What is said of all that was seen together: the positions merged, and the least of the rest.
pub(super) fn shown(seen: &[Seen]) -> Reading<()> {
    let mut shown = Reading {
        value: (),
        position: Position::default(),
        consistency: Consistency::Linearizable,
        age: Duration::ZERO,
        durability: Durability::Replicated,
    };
    for Seen { position, consistency, age, durability, .. } in seen {
        shown.position.merge(position);
        if *consistency != Consistency::Linearizable {
            shown.consistency = consistency.clone();
        }
        shown.age = shown.age.max(*age);
        shown.durability = shown.durability.min(*durability);
    }
    shown
}

/// Lists from views that together have these slots, in their order.
fn walk(
    (views, definition): (&[View], Option<&Definition>),
    (mut from, last): (Slot, Slot),
    list: &List,
    now: Timestamp,
) -> Result<Page, Failed> {
    let mut page = PageBuilder::new(list, definition, now);
    for view in views {
        let of = (&list.tenant, &list.collection, &*list.prefix);
        while let Some(slot) = item::next_slot(view, (from, last), of)? {
            let is_full = page.read(view, slot)?.is_break();
            match slot.next().filter(|next| !is_full && *next <= last) {
                Some(next) => from = next,
                None => return Ok(page.finish()),
            }
        }
    }
    Ok(page.finish())
}

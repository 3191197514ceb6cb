//! What a shard does beside its traffic until it is done: items whose end has come are removed, items that were there before an index or a
//! reference are put into it, the rows of dropped ones removed, and so are the items of collections that are purged.
//!
//! What is to be done is in the shard's rows, and so is how far it is; nothing is remembered here. Each step is a task in the shard's
//! inbox like any command, small, and followed by a rest in proportion to what it took, so that traffic goes before. Shards take turns, since
//! they have the same processors: sixteen that each rest half of the time leave none to the traffic.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Slot;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::index::state::Reached;
use mainstay_machine::index::{Span, State as IndexState};
use mainstay_machine::purge::Purge;
use mainstay_machine::row::{End, IndexName, Parts, RowKey, RowRange, index_of, purge_of};
use mainstay_machine::shards::Answer;
use mainstay_machine::state::Walk;
use mainstay_machine::task::{Clear, Fill, Reap, Remove};
use mainstay_machine::{Outcome, State, Task, item, state};
use tokio::sync::SemaphorePermit;
use tokio::time::sleep;

use super::Space;
use super::counters::Tending;
use super::desk::Shard;
use crate::store::View;

/// Items or entries of one step.
const STEP_MAX: usize = 256;

/// Rests take one of so many parts of the time of the steps before them. With one turn for all shards the building of an index takes about a seventh of the rate of a
/// busy node's writers (`mainstay lab run index-build`), and longer rests would make it last longer.
const REST_PART: u32 = 2;

/// How long a shard that did not take a step is left alone.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How often it is looked whether the end of items has come.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Whatever is to be done next.
enum Next {
    Nothing,
    Step(Task),
}

impl Space {
    /// Does what shards have to do beside their traffic, as long as the space is open.
    pub async fn tend(&self) {
        join_all(self.shards.iter().map(|shard| self.tend_one(shard))).await;
    }

    async fn tend_one(&self, shard: &Arc<Shard>) {
        let mut definitions = shard.definitions.subscribe();
        let mut step_max = STEP_MAX;
        while !shard.is_ending() {
            if shard.serving.load().is_none() {
                let _ = shard.status.ready().await;
                rest(shard, PAUSE).await;
                continue;
            }
            // Kept for the rest after the step, too: the others rest as well.
            let turn = self.turn.acquire().await.expect("it is never closed");
            let Some(view) = shard.serving.load_full().map(|serving| serving.store.view()) else { continue };
            let now = self.clock.wall();
            let looking = tokio::task::spawn_blocking(move || next(&view, step_max, now));
            let found = looking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            match found {
                Ok(Next::Nothing) => {
                    shard.tending.send_replace(Tending::Nothing);
                    drop(turn);
                    tokio::select! {
                        changed = definitions.changed() => changed.expect("the sender is in `self`"),
                        () = sleep(LOOK) => {}
                        () = shard.status.closed() => return,
                    }
                    step_max = STEP_MAX;
                }
                Ok(Next::Step(task)) => {
                    shard.tending.send_replace(tending(&task, now).0);
                    step_max = self.step(shard, task, step_max, turn).await;
                }
                Err(error) => {
                    drop(turn);
                    tracing::warn!(target: "mainstay::shard", shard = %shard.id, %error, "what is to be done beside the traffic cannot be read");
                    rest(shard, PAUSE).await;
                }
            }
        }
    }

    /// Does a step, and rests. Returns how large the next may be.
    async fn step(
        &self,
        shard: &Arc<Shard>,
        task: Task,
        step_max: usize,
        turn: SemaphorePermit<'_>,
    ) -> usize {
        let begun = self.clock.now();
        let (what, rows) = tending(&task, self.clock.wall());
        match shard.submit(task.into(), None, &*self.clock).await {
            Ok(Answer { outcome: Outcome::Committed(_), .. }) => {
                shard.counters.stepped(what, rows);
                rest(shard, self.clock.now().saturating_since(begun).as_std() / REST_PART).await;
                (step_max * 2).min(STEP_MAX)
            }
            Ok(Answer { outcome: Outcome::Refused(refusal), .. }) if refusal.code() == Code::TooLarge => {
                // One item fits alone, as its change did.
                (step_max / 4).max(1)
            }
            Ok(Answer { outcome: Outcome::Refused(refusal), .. }) => {
                drop(turn);
                tracing::warn!(target: "mainstay::shard", shard = %shard.id, %refusal, "a step beside the traffic was refused, trying again");
                rest(shard, PAUSE).await;
                step_max
            }
            Err(error) => {
                drop(turn);
                tracing::debug!(target: "mainstay::shard", shard = %shard.id, %error, "a step beside the traffic was not done, trying again");
                rest(shard, PAUSE).await;
                step_max
            }
        }
    }
}

/// What a step is of, and its items or entries.
fn tending(task: &Task, now: Timestamp) -> (Tending, usize) {
    match task {
        Task::Fill(fill) if fill.number == IndexName::DOCUMENTS => (Tending::Schema, fill.items.len()),
        Task::Fill(fill) => (Tending::Index, fill.items.len()),
        Task::Clear(clear) => (Tending::Drop, clear.entries.len()),
        Task::Reap(reap) => {
            let first = reap.ends.first().map_or(now, |end| end.expires);
            (Tending::Expiry { lag: now.since(first).unwrap_or(Duration::ZERO) }, reap.ends.len())
        }
        Task::Remove(remove) => (Tending::Purge, remove.items.len()),
        Task::Declare(_) | Task::Adopt(_) | Task::StartPurge(_) => (Tending::Nothing, 0),
    }
}

/// Sleeps, but for the end of the shard.
async fn rest(shard: &Shard, time: std::time::Duration) {
    tokio::select! {
        () = sleep(time) => {}
        () = shard.status.closed() => {}
    }
}

/// Looks for what is to be done next, at most so many items or entries of it.
fn next(view: &View, step_max: usize, now: Timestamp) -> Result<Next, state::Error> {
    let ends = ends(view, step_max, now)?;
    if !ends.is_empty() {
        return Ok(Next::Step(Reap { ends }.into()));
    }
    let mut range = RowRange::index_states();
    while let Some((row, value)) = view.scan(&range, 1)?.pop() {
        let damaged = |error| state::Error::damaged(&row, &error);
        let (tenant, collection, number) = index_of(&row).map_err(damaged)?;
        let of = IndexName { tenant: &tenant, collection: &collection, number };
        match IndexState::decode(&value).map_err(damaged)? {
            IndexState::Building(building) => {
                let items = items_after(view, (&tenant, &collection), building.at.as_ref(), step_max)?;
                let is_last = items.len() < step_max;
                let (from, collection, tenant) = (building.at, collection.clone(), tenant.clone());
                return Ok(Next::Step(Fill { tenant, collection, number, from, items, is_last }.into()));
            }
            IndexState::Dropping { .. } => {
                let rows = view.scan(&of.entries(&Span::of(&[])), step_max)?;
                let entries: Vec<_> = rows.iter().map(|(row, _)| of.entry(row)).collect();
                let is_last = entries.len() < step_max;
                let (collection, tenant) = (collection.clone(), tenant.clone());
                return Ok(Next::Step(Clear { tenant, collection, number, entries, is_last }.into()));
            }
            IndexState::DroppingReference { to, at } => {
                let entries = referrers_from(view, of, (&to, at.as_ref()), step_max)?;
                let is_last = entries.len() < step_max;
                let (collection, tenant) = (collection.clone(), tenant.clone());
                return Ok(Next::Step(Clear { tenant, collection, number, entries, is_last }.into()));
            }
            IndexState::Ready | IndexState::Invalid(_) => range = range.after(&row),
        }
    }
    Ok(removal(view, step_max)?.map_or(Next::Nothing, |remove| Next::Step(remove.into())))
}

/// The next items of a collection that is purged.
fn removal(view: &View, step_max: usize) -> Result<Option<Remove>, state::Error> {
    let mut range = RowRange::purges();
    while let Some((row, value)) = view.scan(&range, 1)?.pop() {
        let damaged = |error| state::Error::damaged(&row, &error);
        let (tenant, collection) = purge_of(&row).map_err(damaged)?;
        let Purge { at: from, is_done, .. } = Purge::decode(&value).map_err(damaged)?;
        if !is_done {
            let items = items_after(view, (&tenant, &collection), from.as_ref(), step_max)?;
            let is_last = items.len() < step_max;
            return Ok(Some(Remove { tenant, collection, from, items, is_last }));
        }
        range = range.after(&row);
    }
    Ok(None)
}

/// Items whose end has come.
fn ends(view: &View, step_max: usize, now: Timestamp) -> Result<Vec<End>, state::Error> {
    let rows = view.scan(&RowRange::ends(now), step_max)?;
    rows.iter().map(|(row, _)| End::of(row).map_err(|error| state::Error::damaged(row, &error))).collect()
}

/// The next items of a collection, by slot and key.
fn items_after(
    view: &View,
    (tenant, collection): (&Tenant, &Name),
    at: Option<&Reached>,
    count: usize,
) -> Result<Vec<Reached>, state::Error> {
    let mut found = Vec::new();
    let first = at.and_then(Reached::slot);
    let mut from = Some(first.unwrap_or(Slot::FIRST));
    while let Some(start) = from.filter(|_| found.len() < count) {
        let slots = (start, Slot::LAST);
        let Some(slot) = item::next_slot(view, slots, (tenant, collection, ""))? else { break };
        let items = RowRange::items(slot, tenant, collection, "");
        let range = match at.filter(|_| first == Some(slot)) {
            Some(at) => items.after(&RowKey::item(slot, tenant, collection, &at.key)),
            None => items,
        };
        for row in view.walk(&range, false).take(count - found.len()) {
            found.push(Reached { slot: slot.get(), key: item::key_of(&row?.0)? });
        }
        from = slot.next();
    }
    Ok(found)
}

/// The next rows of a reference, by slot and by what they refer to.
fn referrers_from(
    view: &View,
    of: IndexName<'_>,
    (to, at): (&Name, Option<&Reached>),
    count: usize,
) -> Result<Vec<Bytes>, state::Error> {
    let mut found = Vec::new();
    let first = at.and_then(Reached::slot);
    let mut slot = Some(first.unwrap_or(Slot::FIRST));
    while let Some(current) = slot.filter(|_| found.len() < count) {
        let from = at.filter(|_| first == Some(current)).map(|at| &at.key);
        for row in view.walk(&RowRange::referrers_from(current, of.tenant, to, from), false) {
            let (row, _) = row?;
            let is_of_it = matches!(Parts::of(&row), Ok(Parts::Referrer { collection, number, .. })
                if number == of.number && collection == of.collection.as_str());
            if is_of_it {
                found.push(row);
            }
            if found.len() == count {
                break;
            }
        }
        if found.len() < count {
            slot = next_slot(view, current)?;
        }
    }
    Ok(found)
}

/// The next slot that has rows.
fn next_slot(view: &View, after: Slot) -> Result<Option<Slot>, state::Error> {
    let Some(next) = after.next() else { return Ok(None) };
    let rest = RowRange { start: RowRange::slot(next).start, end: RowRange::slots().end };
    let Some((row, _)) = view.scan(&rest, 1)?.pop() else { return Ok(None) };
    Ok(row.first_chunk().and_then(|slot| Slot::new(u16::from_be_bytes(*slot))))
}

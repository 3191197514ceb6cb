//! A commit: conditions on the state before it, then operations that see each other, all or nothing.

use std::collections::BTreeSet;

use mainstay_base::error::Code;
use mainstay_base::key::Slot;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;

use super::index::{self, Home};
use super::place::Place;
use super::reference::{self, Ledger};
use super::{Context, Stop, condition, delete, expiry, hold, increment, limits, merge_patch, put, valid};
use crate::collection::Collection;
use crate::command::{Command, Commit, Operation};
use crate::content::{ContentType, Value};
use crate::definition::Definition;
use crate::item::{self, Item};
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::{RowKey, SlotMeta};
use crate::state;
use crate::version::Version;

/// What an operation leaves of its item.
pub(super) enum Change {
    /// This value, of the type that the item had, or of JSON for a new one.
    Json(Vec<u8>),
    /// This value.
    Value(Value),
    /// Nothing.
    Gone,
}

/// What operations and conditions of one commit share.
struct Evaluation<'c, 'o, 's> {
    command: &'c Command,
    slot: Slot,
    overlay: &'c mut Overlay<'o>,
    context: &'c Context<'s>,
    /// That of every item written.
    version: Version,
    /// Keys and values, each time that they are written.
    bytes_written: usize,
    /// Values, each time that they are looked at.
    bytes_read: usize,
    ledger: Ledger,
    has_changed: bool,
}

pub(super) fn evaluate(
    command: &Command,
    commit: &Commit,
    slot: Slot,
    overlay: &mut Overlay<'_>,
    context: &Context<'_>,
) -> Result<Vec<OperationResult>, Stop> {
    limits::check(commit, &context.settings.limits)?;
    let row = RowKey::slot(slot);
    let sequence = next_sequence(overlay, &row)?;
    let version = Version { timeline: context.moment.timeline, sequence };
    let mut evaluation = Evaluation {
        command,
        slot,
        overlay,
        context,
        version,
        bytes_written: 0,
        bytes_read: 0,
        ledger: Ledger::default(),
        has_changed: false,
    };
    evaluation.check_conditions(commit)?;
    let operations = commit.operations.iter().enumerate();
    let results: Result<Vec<_>, _> =
        operations.map(|(index, operation)| evaluation.operate(index, operation)).collect();
    let results = results?;
    evaluation.settle(commit)?;
    if evaluation.has_changed {
        overlay.write(row, Some(SlotMeta { sequence }.encode()));
    }
    Ok(results)
}

pub(super) fn next_sequence(overlay: &Overlay<'_>, row: &RowKey) -> Result<u64, state::Error> {
    let Some(meta) = state::read(overlay, row, SlotMeta::decode)? else { return Ok(1) };
    let next = meta.sequence.checked_add(1);
    next.ok_or_else(|| state::Error::damaged_value(row, "no commit can have the number there"))
}

impl<'s> Evaluation<'_, '_, 's> {
    fn check_conditions(&mut self, commit: &Commit) -> Result<(), Stop> {
        let mut steps = self.context.settings.limits.check_steps_max;
        for (index, found) in commit.conditions.iter().enumerate() {
            let place = Place::Condition(index, found);
            let (row, definition) = self.locate(place)?;
            let item = self.read(place, &row)?.map(|item| definition.upgraded(item));
            let item = self.live(item.as_ref());
            condition::check(place, found, (&row, item), &mut steps, &self.context.settings.limits)?;
        }
        Ok(())
    }

    /// The item's row and its collection's definition, if the item belongs to this commit.
    fn locate(&self, place: Place<'_>) -> Result<(RowKey, &'s Definition), Stop> {
        let (tenant, item) = (&self.command.tenant, place.item());
        let definition = self.context.definitions.get(tenant, &item.collection);
        let Some(definition) = definition.filter(|definition| !definition.is_retired) else {
            let detail = format!(
                "names the collection {:?}, which does not exist: create it first",
                item.collection.as_str()
            );
            return Err(place.refuse(Code::NotFound, &detail).into());
        };
        let by = definition.collection.partition_by;
        let (theirs, ours) = (by.partition(&item.key), &self.command.partition);
        if theirs != *ours {
            let (theirs, ours) = (theirs.as_str(), ours.as_str());
            let detail = format!(
                "belongs to partition {theirs:?}, and the commit is for {ours:?}: a commit changes items of one partition"
            );
            let refusal = place.refuse(Code::PartitionMismatch, &detail);
            return Err(refusal.fact("partition", ours).fact("item_partition", theirs).into());
        }
        Ok((RowKey::item(self.slot, tenant, &item.collection, &item.key), definition))
    }

    /// The item, if its end has not come.
    fn live<'i>(&self, item: Option<&'i Item>) -> Option<&'i Item> {
        item.filter(|item| !item.is_over(self.context.moment.time.wall()))
    }

    /// The item of a row, if there is one. Its end may have come.
    fn read(&mut self, place: Place<'_>, row: &RowKey) -> Result<Option<Item>, Stop> {
        let item = item::at(self.overlay, row)?;
        self.bytes_read += item.as_ref().map_or(0, |item| item.bytes.len());
        limits::check_read(place, self.bytes_read, &self.context.settings.limits)?;
        Ok(item)
    }

    fn operate(&mut self, index: usize, operation: &Operation) -> Result<OperationResult, Stop> {
        let place = Place::Operation(index, operation);
        let (row, definition) = self.locate(place)?;
        let stored = self.read(place, &row)?;
        let held = hold::hold(place, operation, self.live(stored.as_ref()))?;
        let current = stored.clone().map(|item| definition.upgraded(item));
        let before = self.live(current.as_ref());
        let change = match operation {
            Operation::Put { value, .. } => put::put(value),
            Operation::MergePatch { patch, .. } => merge_patch::merge_patch(place, before, &row, patch)?,
            Operation::Delete { .. } => delete::delete(),
            Operation::Hold { .. } | Operation::Release { .. } => {
                return self.keep(place, row, (self.live(stored.as_ref()), held));
            }
            Operation::Increment { path, by, min, max, .. } => {
                let increment = increment::Increment { path, by: *by, min: *min, max: *max };
                increment::increment(place, before, &row, increment)?
            }
        };
        let existed = before.is_some();
        let value = match change {
            Change::Gone => {
                if existed {
                    self.has_changed = true;
                    self.written(place, 0)?;
                    self.follow(place, definition, (stored.as_ref(), None))?;
                    self.overlay.write(row, None);
                }
                return Ok(OperationResult { version: None, existed });
            }
            Change::Value(value) => (value.content_type().clone(), value.bytes().clone()),
            Change::Json(text) => {
                let content_type = before.map_or(ContentType::JSON, |item| item.content_type.clone());
                (content_type, text.into())
            }
        };
        let (content_type, bytes) = value;
        limits::check_value(place, bytes.len(), &self.context.settings.limits)?;
        self.written(place, bytes.len())?;
        check_type(place, &definition.collection, &content_type)?;
        let (version, updated) = (self.version, self.context.moment.time);
        let created = before.map_or(updated, |item| item.created);
        let expires = self.expires(place, operation, definition, before)?;
        let (holds, schema, is_rewritten) = (BTreeSet::new(), definition.schema, false);
        let item =
            Item { version, created, updated, expires, holds, schema, is_rewritten, content_type, bytes };
        valid::check(place, definition, &item)?;
        self.follow(place, definition, (stored.as_ref(), Some(&item)))?;
        self.overlay.write(row, Some(item.encode()));
        self.has_changed = true;
        Ok(OperationResult { version: Some(version), existed })
    }

    /// Writes an item whose holds have changed, if they have. Neither its value nor its version did, so unless this commit has
    /// written it before, that is no change of it.
    fn keep(
        &mut self,
        place: Place<'_>,
        row: RowKey,
        (before, after): (Option<&Item>, Option<Item>),
    ) -> Result<OperationResult, Stop> {
        if let Some(after) = after {
            self.written(place, after.bytes.len())?;
            expiry::change(&self.command.tenant, place.item(), (before, Some(&after)), self.overlay);
            let is_rewritten = after.version != self.version;
            self.overlay.write(row, Some(Item { is_rewritten, ..after }.encode()));
            self.has_changed = true;
        }
        Ok(OperationResult { version: None, existed: before.is_some() })
    }

    /// When a written item ends. Without a word of its own it is there as long as its collection says from now on; where that says
    /// nothing, a change of a part of it leaves its end as it is.
    fn expires(
        &self,
        place: Place<'_>,
        operation: &Operation,
        definition: &Definition,
        before: Option<&Item>,
    ) -> Result<Option<Timestamp>, Stop> {
        let (own, kept) = match operation {
            Operation::Put { ttl, .. } => (*ttl, None),
            _ => (None, before.and_then(|item| item.expires)),
        };
        if own.is_some() {
            reference::check_end(place, &self.command.tenant, self.context)?;
        }
        let Some(ttl) = own.or(definition.collection.ttl) else { return Ok(kept) };
        let end = self.context.moment.time.wall().checked_add(ttl).filter(|_| ttl > Duration::ZERO);
        let end = end.ok_or_else(|| {
            let refusal =
                place.refuse(Code::Invalid, &format!("cannot be there for {ttl}: name a time that ends"));
            refusal.fact("ttl", ttl.to_string())
        })?;
        Ok(Some(end))
    }

    /// Brings the rows that find the item from what it was to what it is.
    fn follow(
        &mut self,
        place: Place<'_>,
        definition: &Definition,
        change: (Option<&Item>, Option<&Item>),
    ) -> Result<(), Stop> {
        let Command { tenant, partition, .. } = self.command;
        let home = Home { tenant, slot: self.slot, partition };
        expiry::change(tenant, place.item(), change, self.overlay);
        index::change(place, definition, home, change, self.overlay)?;
        self.ledger.follow((place, definition), (home, self.context), change, self.overlay)
    }

    /// When all operations are done: what is referred to must be there, and what was deleted may take others along.
    fn settle(&mut self, commit: &Commit) -> Result<(), Stop> {
        let Command { tenant, partition, .. } = self.command;
        let scene = reference::Scene {
            commit,
            home: Home { tenant, slot: self.slot, partition },
            context: self.context,
            version: self.version,
            bytes: (self.bytes_read, self.bytes_written),
        };
        reference::settle(&self.ledger, scene, self.overlay)
    }

    fn written(&mut self, place: Place<'_>, value_bytes: usize) -> Result<(), Stop> {
        self.bytes_written += place.item().key.as_str().len() + value_bytes;
        Ok(limits::check_commit(place, self.bytes_written, &self.context.settings.limits)?)
    }
}

fn check_type(place: Place<'_>, collection: &Collection, found: &ContentType) -> Result<(), Stop> {
    match &collection.content_type {
        Some(wanted) if !wanted.takes(found) => {
            let detail = format!("has the content type {found}, and the collection takes {wanted} only");
            let refusal = place.refuse(Code::UnsupportedMediaType, &detail);
            Err(refusal.fact("content_type", found.as_str()).fact("accepted", vec![wanted.as_str()]).into())
        }
        _ => Ok(()),
    }
}

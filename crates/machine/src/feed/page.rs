//! Collecting a page of events: record by record, until it is full.

use std::ops::ControlFlow;

use mainstay_base::position::{Index, ShardId};

use super::{Changes, Event, Events, Follow, Row};
use crate::item::Item;
use crate::position::{EventId, Place, Position};
use crate::row;
use crate::version::Version;

/// A page that is being collected.
///
/// Records of one shard come in their order, each with the shard that it is of. A page is full when it has as many events as were
/// asked for, or the next would make it longer; then it goes on after its last event, else after everything that was looked at.
#[derive(Debug)]
pub struct EventsBuilder<'f> {
    follow: &'f Follow,
    /// What the filter may take for one item.
    steps_max: u64,
    /// Everything up to here was looked at.
    position: Position,
    /// A record that the page before this one has told in part.
    partly: Option<(ShardId, u32)>,
    events: Vec<Event>,
    /// Of keys and values.
    bytes: usize,
    is_full: bool,
}

impl<'f> EventsBuilder<'f> {
    /// A page with nothing on it yet, which goes on after an id that says something of every shard that is followed.
    pub fn new(follow: &'f Follow, after: &EventId, steps_max: u64) -> Self {
        Self {
            follow,
            steps_max,
            position: after.position().clone(),
            partly: after.partly(),
            events: Vec::new(),
            bytes: 0,
            is_full: false,
        }
    }

    /// The last record of a shard of which nothing has to be looked at any more.
    pub fn seen(&self, shard: ShardId) -> Index {
        let index = self.position.get(shard).map_or(0, |place| place.index.get());
        let is_partly = self.partly.is_some_and(|(partly, _)| partly == shard);
        Index::new(if is_partly { index.saturating_sub(1) } else { index })
    }

    /// The shard whose record the page before this one has told in part, until that is told: nothing else may come before it.
    pub fn partly(&self) -> Option<ShardId> {
        self.partly.map(|(shard, _)| shard)
    }

    /// Adds what a shard's next record has; `Break` when there is no room for more. Panics when another record is told in part.
    ///
    /// Errors: [`row::Error`] when a row is damaged; the page is of no use then.
    pub fn read(&mut self, shard: ShardId, changes: &Changes) -> Result<ControlFlow<()>, row::Error> {
        let place = changes.place;
        if self.is_full {
            return Ok(ControlFlow::Break(()));
        }
        assert!(self.partly().is_none_or(|partly| partly == shard), "a record is told to its end");
        let after = self.partly.filter(|_| self.position.get(shard) == Some(place));
        let after = after.map(|(_, number)| number);
        let is_new = |row: &&Row| after.is_none_or(|after| row.number > after);
        for row in changes.rows.iter().filter(is_new) {
            let Some(event) = self.event(row, place)? else { continue };
            if self.push(event, (shard, place), row.number).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.reach(shard, place);
        Ok(ControlFlow::Continue(()))
    }

    /// Everything of a shard up to here was looked at.
    pub fn reach(&mut self, shard: ShardId, place: Place) {
        if self.is_full || place.index <= self.seen(shard) {
            return;
        }
        self.position.reach(shard, place);
        self.partly = self.partly.filter(|(partly, _)| *partly != shard);
    }

    /// Whether there is room for no more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The page.
    pub fn finish(self) -> Events {
        let looked_at = || match self.partly {
            Some((shard, number)) => EventId::within(self.position.clone(), shard, number),
            None => self.position.clone().into(),
        };
        let last = self.events.last().filter(|_| self.is_full);
        let next = last.map_or_else(looked_at, |last| last.id.clone());
        Events { events: self.events, next }
    }

    /// The event of a row, if it is wanted.
    fn event(&self, row: &Row, place: Place) -> Result<Option<Event>, row::Error> {
        let Some(key) = row.key_in(self.follow)? else { return Ok(None) };
        let item = row.value.as_ref().map(Item::decode).transpose()?;
        if item.as_ref().is_some_and(|item| item.is_rewritten) {
            return Ok(None);
        }
        let before = row.before.as_ref().map(Item::decode).transpose()?;
        if let Some(looked_at) = item.as_ref().or(before.as_ref())
            && !self.matches(looked_at)
        {
            return Ok(None);
        }
        let of_commit = row.sequence.map(|sequence| Version { timeline: place.timeline, sequence });
        let version = item.as_ref().map(|item| item.version).or(of_commit);
        Ok(Some(Event { id: EventId::default(), key, version, item, before }))
    }

    fn matches(&self, item: &Item) -> bool {
        let Some(filter) = &self.follow.filter else { return true };
        let mut steps = self.steps_max;
        item.satisfies(filter, &mut steps).unwrap_or(false)
    }

    fn push(&mut self, mut event: Event, (shard, place): (ShardId, Place), number: u32) -> ControlFlow<()> {
        let length = |item: &Option<Item>| item.as_ref().map_or(0, |item| item.bytes.len());
        let bytes = event.key.as_str().len() + length(&event.item) + length(&event.before);
        let bytes = self.bytes.saturating_add(bytes);
        if bytes > self.follow.bytes_max && !self.events.is_empty() {
            self.is_full = true;
            return ControlFlow::Break(());
        }
        let mut position = self.position.clone();
        position.reach(shard, place);
        event.id = EventId::within(position, shard, number);
        self.bytes = bytes;
        self.events.push(event);
        self.is_full = self.events.len() >= self.follow.limit;
        if self.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

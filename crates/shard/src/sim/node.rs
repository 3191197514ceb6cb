//! A node of the simulation: an owner, or none, a store that loses what was not flushed, and the clock on its wall.
//!
//! What the driver of an owner does, done one piece at a time, so that everything else may happen in between.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mainstay_base::position::Index;
use mainstay_base::time::{Instant, Timestamp};
use mainstay_log::faulty::Faulty;
use mainstay_log::record::Record;
use mainstay_log::{Appended, BoxFuture, Error, Log, Tail};
use mainstay_machine::usage::Ledger;
use mainstay_machine::{Definitions, Mutation, state::Memory};

use super::SHARD;
use crate::inbox::{Bounds, Inbox};
use crate::owner::{Action, Applied, Attempt, Env, Event, Owner, Work};

/// Rows, and where the log then stands.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) rows: Memory,
    pub(super) applied: Bytes,
}

/// A store in memory: what is read, and what a crash leaves.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) current: Rows,
    pub(super) durable: Rows,
}

pub(super) struct Node {
    pub(super) number: usize,
    pub(super) store: Store,
    pub(super) owner: Option<Owner>,
    /// What the rows take, as the owner's driver knows it; looked up by the next one.
    pub(super) ledger: Option<Ledger>,
    pub(super) inbox: Inbox<Work>,
    asked: Asked,
    applies: VecDeque<(Index, Vec<Mutation>, Bytes)>,
    /// How far the wall clock is from the true time, in microseconds.
    pub(super) wall_offset: i64,
    /// It does nothing before this step.
    pub(super) paused_until: u64,
}

/// What was asked of the log and is not answered.
enum Asked {
    Nothing,
    Tail(Attempt, BoxFuture<'static, Result<Tail, Error>>),
    Records(Attempt, BoxFuture<'static, Result<Vec<Record>, Error>>),
    Append(Attempt, BoxFuture<'static, Result<Appended, Error>>),
}

impl Rows {
    /// Those of a store in which nothing was applied, with definitions as if from a snapshot.
    pub(super) fn defining(definitions: &Definitions) -> Self {
        let mut rows = Memory::default();
        rows.apply(&definitions.rows());
        Self { rows, applied: Applied::START.encode() }
    }

    pub(super) fn applied(&self) -> Applied {
        Applied::decode(&self.applied).expect("it was encoded by an owner")
    }
}

impl Store {
    pub(super) fn flush(&mut self) {
        self.durable = self.current.clone();
    }

    pub(super) fn crash(&mut self) {
        self.current = self.durable.clone();
    }

    pub(super) fn load(&mut self, snapshot: &Rows) {
        (self.current, self.durable) = (snapshot.clone(), snapshot.clone());
    }
}

impl Node {
    pub(super) fn new(number: usize, bounds: Bounds, first: &Rows) -> Self {
        Self {
            number,
            store: Store { current: first.clone(), durable: first.clone() },
            owner: None,
            ledger: None,
            inbox: Inbox::new(bounds),
            asked: Asked::Nothing,
            applies: VecDeque::new(),
            wall_offset: 0,
            paused_until: 0,
        }
    }

    /// Tells the owner what happened; what it then wants of log and store is under way, the rest is returned.
    pub(super) fn tell(
        &mut self,
        event: Event,
        now: Instant,
        wall: Timestamp,
        engine: &Faulty,
    ) -> Vec<Action> {
        let Some(owner) = &mut self.owner else { return Vec::new() };
        let mut actions = Vec::new();
        owner.on(event, &Env { now, wall, state: &self.store.current.rows }, &mut actions);
        actions.retain(|action| !self.start(action, engine));
        actions
    }

    fn start(&mut self, action: &Action, engine: &Faulty) -> bool {
        let engine = engine.clone();
        match action {
            Action::Tail { attempt } => {
                self.asked = Asked::Tail(*attempt, Box::pin(async move { engine.tail(SHARD).await }));
            }
            Action::ReadLog { attempt, from, bytes_max } => {
                let (from, bytes_max) = (*from, *bytes_max);
                let future = Box::pin(async move { engine.read(SHARD, from, bytes_max).await });
                self.asked = Asked::Records(*attempt, future);
            }
            Action::Append { attempt, record } => {
                let record = record.clone();
                self.asked = Asked::Append(*attempt, Box::pin(async move { engine.append(record).await }));
            }
            Action::Apply { index, mutations, applied, .. } => {
                self.applies.push_back((*index, mutations.clone(), applied.clone()));
            }
            Action::Stopped(_) => {
                (self.asked, self.owner) = (Asked::Nothing, None);
                self.applies.clear();
                return false;
            }
            Action::Answer { .. } | Action::Look { .. } | Action::Cut { .. } | Action::Owned { .. } => {
                return false;
            }
        }
        true
    }

    /// What the log has answered.
    pub(super) fn poll(&mut self) -> Option<Event> {
        let context = &mut Context::from_waker(Waker::noop());
        let event = match &mut self.asked {
            Asked::Nothing => return None,
            Asked::Tail(attempt, future) => event(*attempt, future.as_mut().poll(context), Event::Tail),
            Asked::Records(attempt, future) => event(*attempt, future.as_mut().poll(context), Event::Records),
            Asked::Append(attempt, future) => event(*attempt, future.as_mut().poll(context), Event::Appended),
        }?;
        self.asked = Asked::Nothing;
        Some(event)
    }

    pub(super) fn has_to_apply(&self) -> bool {
        !self.applies.is_empty()
    }

    /// The next that goes into the store. Returns its index.
    pub(super) fn apply(&mut self) -> Option<Index> {
        let (index, mutations, applied) = self.applies.pop_front()?;
        assert!(index > self.store.current.applied().index(), "what is applied goes on");
        let rows = &mut self.store.current.rows;
        let ledger = self.ledger.get_or_insert_with(|| {
            let loaded = Ledger::load(rows).expect("rows in memory are readable");
            loaded.unwrap_or_else(|| counted(rows))
        });
        let counts = ledger.note(&mutations, rows).expect("rows in memory are readable");
        rows.apply(mutations.iter().chain(&counts));
        self.store.current.applied = applied;
        Some(index)
    }

    /// What the owner is to do next, if it wants something and something waits.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Work>> {
        let owner = self.owner.as_ref()?;
        let taken = self.inbox.take(owner.wants_work()?, now);
        (!taken.is_empty() || owner.has_waiting_reads())
            .then(|| taken.into_iter().map(|entry| entry.item).collect())
    }

    /// The process ends: nobody is answered.
    pub(super) fn crash(&mut self) {
        self.owner = None;
        self.asked = Asked::Nothing;
        self.applies.clear();
        drop(self.inbox.clear());
        self.store.crash();
    }

    /// Lets the log's answer be lost.
    pub(super) fn forget_asked(&mut self) {
        self.asked = Asked::Nothing;
    }

    pub(super) fn is_serving(&self) -> bool {
        self.owner.as_ref().is_some_and(Owner::is_serving)
    }
}

fn event<T>(attempt: Attempt, answer: Poll<T>, of: fn(Attempt, T) -> Event) -> Option<Event> {
    match answer {
        Poll::Ready(outcome) => Some(of(attempt, outcome)),
        Poll::Pending => None,
    }
}

/// The counts of rows, by going through all of them.
pub(super) fn counted(rows: &Memory) -> Ledger {
    let rows = rows.rows().map(|(key, value)| Ok::<_, Infallible>((key.clone(), value.clone())));
    let Ok(ledger) = Ledger::count(rows);
    ledger
}

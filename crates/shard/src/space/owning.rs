//! One owner and what it asks for: the log, the store, and those who wait for answers.
//!
//! The owner says what to do; this does it and tells the owner what came of it. One thing at a time: whatever is known at once is
//! told at once, then it waits for the log, the store, the bell or the time, whichever comes first.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use mainstay_base::hlc::HybridTime;
use mainstay_base::position::Index;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_machine::feed::Changes;
use mainstay_machine::row::{RowRange, is_common};
use mainstay_machine::shards::{Answer, Error};
use mainstay_machine::usage::Ledger;
use mainstay_machine::{Mutation, Outcome, Position, Settings, State as Rows, state};
use slab::Slab;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Sleep, sleep};

use super::desk::{Given, Pending, Shard};
use super::driver::Driver;
use super::status::State;
use crate::inbox::Entry;
use crate::owner::{Action, Applied, Env, Event, Owner, Read, Stop, Ticket, Work};
use crate::store::{self, Store, View};
use crate::traffic::GivenBytes;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long to wait before a store on a full disk is tried again.
const FULL_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// After so many turns others get theirs, also when there was nothing to wait for.
const TURNS_MAX: u32 = 64;

/// Whoever waits for an answer.
enum Waiter {
    Command(oneshot::Sender<Result<Answer, Error>>, Option<GivenBytes>),
    Read(oneshot::Sender<Result<Position, Error>>),
    Cut(oneshot::Sender<Result<(View, HybridTime), Error>>),
}

/// What goes into the store.
struct Applying {
    index: Index,
    mutations: Vec<Mutation>,
    changes: Option<Changes>,
    applied: store::Applied,
    /// The rows of counts that change with it.
    counts: Vec<Mutation>,
}

impl Applying {
    fn apply_to(&self, store: &Store) -> Result<Duration, store::Error> {
        store.apply(self.mutations.iter().chain(&self.counts), &self.applied)
    }
}

/// An owner at work.
pub(super) struct Owning<'d> {
    shard: &'d Arc<Shard>,
    driver: &'d Driver,
    store: &'d Store,
    owner: Owner,
    settings: Arc<Settings>,
    /// Those of [`is_common`], as they are in the store: small, and few. In the store they are where most versions are, and so the
    /// slowest to find.
    common: RefCell<Known>,
    /// Rows that were read since the store changed last: what evaluation reads is counted when its changes are made.
    read: RefCell<Known>,
    /// What the rows of the store take.
    ledger: Ledger,
    waiters: Slab<Waiter>,
    events: VecDeque<Event>,
    /// What the log is asked.
    asked: Option<BoxFuture<Event>>,
    to_apply: VecDeque<Applying>,
    /// The store does not take it at once.
    applying: Option<BoxFuture<(Applying, Result<Duration, store::Error>)>>,
    /// Work that is begun earlier would wait for the disk.
    not_before: Option<Instant>,
    alarm: Alarm,
    is_ending: bool,
    stop: Option<Stop>,
}

/// A timer that is moved only when it has to be earlier: most of what it is set for never comes.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Option<Instant>,
}

/// The rows as an event finds them; looked up only if it needs them.
struct Lazy<'s> {
    store: &'s Store,
    view: OnceCell<View>,
    common: &'s RefCell<Known>,
    read: &'s RefCell<Known>,
}

/// What rows are, by their keys.
type Known = HashMap<Bytes, Option<Bytes>>;

/// So many rows that were read are kept at most.
const READ_ROWS_MAX: usize = 4096;

impl Rows for Lazy<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, state::Error> {
        let find = || self.view.get_or_init(|| self.store.view()).get(key);
        let known = if is_common(key) { self.common } else { self.read };
        if let Some(row) = known.borrow().get(key) {
            return Ok(row.clone());
        }
        let row = find()?;
        self.note(Bytes::copy_from_slice(key), row.clone());
        Ok(row)
    }

    fn scan(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, state::Error> {
        let rows = self.view.get_or_init(|| self.store.view()).scan(range, limit)?;
        rows.iter().for_each(|(key, value)| self.note(key.clone(), Some(value.clone())));
        Ok(rows)
    }

    fn hear(&self, key: &Bytes, row: Option<&Bytes>) {
        self.note(key.clone(), row.cloned());
    }
}

impl<'s> Lazy<'s> {
    fn over(store: &'s Store, common: &'s RefCell<Known>, read: &'s RefCell<Known>) -> Self {
        Self { store, view: OnceCell::new(), common, read }
    }

    fn note(&self, key: Bytes, row: Option<Bytes>) {
        if is_common(&key) {
            // A copy: the value may be part of something large.
            let row = row.map(|row| Bytes::copy_from_slice(&row));
            self.common.borrow_mut().insert(key, row);
        } else if self.read.borrow().len() < READ_ROWS_MAX {
            self.read.borrow_mut().insert(key, row);
        }
    }
}

impl<'d> Owning<'d> {
    pub(super) fn new(driver: &'d Driver, applied: &Applied, ledger: Ledger) -> Self {
        let settings = driver.parts.settings.load_full();
        let entropy = Arc::clone(&driver.parts.entropy);
        driver.shard.feed.stands(applied.cursor);
        let owner = Owner::new(driver.config.clone(), Arc::clone(&settings), entropy, applied);
        Self {
            shard: &driver.shard,
            driver,
            store: driver.opened.store(),
            owner,
            settings,
            common: RefCell::default(),
            read: RefCell::default(),
            ledger,
            waiters: Slab::new(),
            events: VecDeque::from([Event::Tick]),
            asked: None,
            to_apply: VecDeque::new(),
            applying: None,
            not_before: None,
            alarm: Alarm { sleep: Box::pin(sleep(std::time::Duration::ZERO)), at: None },
            is_ending: false,
            stop: None,
        }
    }

    /// Drives the owner to its end.
    pub(super) async fn run(mut self) -> Stop {
        self.store.set_replaying(true);
        let (mut turns, mut has_rested) = (0, false);
        loop {
            while let Some(event) = self.events.pop_front() {
                self.tell(event);
            }
            if let Some(stop) = self.stop.take() {
                // Nothing is applied behind the back of the next owner.
                if let Some(applying) = self.applying.take() {
                    let _ = applying.await;
                }
                self.store.set_replaying(false);
                return stop;
            }
            self.apply_some();
            if self.events.is_empty() && self.owner.wants_work().is_some() && !has_rested {
                // Those who were just answered, and others who are about to ask, get their turn: they come into one batch.
                tokio::task::yield_now().await;
                has_rested = true;
            }
            if self.events.is_empty() {
                self.feed();
                has_rested &= self.events.is_empty();
            }
            if self.events.is_empty() {
                self.wait().await;
            }
            turns = (turns + 1) % TURNS_MAX;
            if turns == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn now(&self) -> Instant {
        self.driver.parts.clock.now()
    }

    fn tell(&mut self, event: Event) {
        let (now, wall) = (self.now(), self.driver.parts.clock.wall());
        if let Event::Appended(_, Ok(_)) = &event {
            self.shard.append_is_confirmed();
        }
        let rows = Lazy::over(self.store, &self.common, &self.read);
        let mut actions = Vec::new();
        self.owner.on(event, &Env { now, wall, state: &rows }, &mut actions);
        if self.owner.is_serving() {
            // Before anyone is answered who has changed them.
            self.shard.defines(self.owner.definitions());
        }
        actions.into_iter().for_each(|action| self.act(action, now));
    }

    fn act(&mut self, action: Action, now: Instant) {
        let (log, id) = (Arc::clone(&self.driver.parts.log), self.shard.id);
        match action {
            Action::Tail { attempt } => {
                self.asked = Some(Box::pin(async move { Event::Tail(attempt, log.tail(id).await) }));
            }
            Action::ReadLog { attempt, from, bytes_max } => {
                let read = async move { Event::Records(attempt, log.read(id, from, bytes_max).await) };
                self.asked = Some(Box::pin(read));
            }
            Action::Append { attempt, record } => {
                self.shard.append_begins(now);
                self.asked =
                    Some(Box::pin(async move { Event::Appended(attempt, log.append(record).await) }));
            }
            Action::Apply { index, mutations, changes, applied } => {
                let applied = store::Applied { index, memo: applied };
                let counts = Vec::new();
                self.to_apply.push_back(Applying { index, mutations, changes, applied, counts });
            }
            Action::Answer { ticket, answer } => {
                self.shard.counters.answered(&answer);
                if let Some(Waiter::Command(waiter, given)) = self.waiter(ticket) {
                    if let (Ok(Answer { outcome: Outcome::Committed(_), replayed: false, .. }), Some(given)) =
                        (&answer, given)
                    {
                        self.shard.traffic.given(given);
                    }
                    // Who waits no longer need not know.
                    let _ = waiter.send(answer);
                }
            }
            Action::Look { ticket, position } => {
                if let Some(Waiter::Read(waiter)) = self.waiter(ticket) {
                    let _ = waiter.send(position);
                }
            }
            Action::Cut { ticket, time } => {
                if let Some(Waiter::Cut(waiter)) = self.waiter(ticket) {
                    let _ = waiter.send(time.map(|time| (self.store.view(), time)));
                }
            }
            Action::Owned { epoch } => self.owned(epoch),
            Action::Stopped(stop) => self.stop = Some(stop),
        }
    }

    fn owned(&mut self, epoch: mainstay_base::position::Epoch) {
        self.store.set_replaying(false);
        match self.driver.opened.applied() {
            Ok(applied) => {
                let timeline = u32::try_from(applied.timeline.number).expect("decoding has checked it");
                self.shard.serve(self.store, timeline);
                self.shard.open_desk();
                self.shard.counters.claimed();
                self.shard.status.set(State::Serving { epoch });
                tracing::debug!(target: "mainstay::shard", shard = %self.shard.id, %epoch, index = %applied.index(), "shard owned");
            }
            Err(reason) => self.events.push_back(Event::Applied(Err(reason))),
        }
    }

    fn waiter(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.waiters.try_remove(usize::try_from(ticket.0).ok()?)
    }

    /// Gives to the store what it takes without waiting.
    fn apply_some(&mut self) {
        while self.applying.is_none()
            && let Some(mut next) = self.to_apply.pop_front()
        {
            let rows = Lazy::over(self.store, &self.common, &self.read);
            match self.ledger.note(&next.mutations, &rows) {
                Ok(counts) => next.counts = counts,
                Err(error) => return self.events.push_back(Event::Applied(Err(error.to_string()))),
            }
            if self.store.is_waited_for() {
                self.applying = Some(Box::pin(apply(self.store.clone(), next)));
                return;
            }
            let outcome = next.apply_to(self.store);
            self.applied(next, outcome);
        }
    }

    fn applied(&mut self, what: Applying, outcome: Result<Duration, store::Error>) {
        match outcome {
            Ok(delay) => {
                self.not_before = (delay > Duration::ZERO).then(|| self.now().checked_add(delay)).flatten();
                let bytes = what.mutations.iter().map(mutation_bytes).sum();
                self.read.borrow_mut().clear();
                self.note_common(&what.mutations);
                self.shard.traffic.applied(&what.mutations, self.owner.is_serving(), self.now());
                if !what.mutations.is_empty() {
                    self.shard.counters.batch(bytes);
                    self.shard.snapshots.logged(bytes as u64);
                }
                self.show(what.index, what.changes, &what.applied.memo);
                self.events.push_back(Event::Applied(Ok(what.index)));
                self.shard.applied.notify_waiters();
            }
            Err(store::Error::Full { .. }) => {
                let store = self.store.clone();
                self.applying = Some(Box::pin(async move {
                    sleep(FULL_PAUSE).await;
                    apply(store, what).await
                }));
            }
            Err(error) => self.events.push_back(Event::Applied(Err(error.to_string()))),
        }
    }

    /// Leaves what is in the store to the readers of the shard's feed.
    fn show(&self, index: Index, changes: Option<Changes>, memo: &Bytes) {
        let cursor = || Applied::decode(memo).ok().map(|applied| applied.cursor);
        if self.owner.is_serving() {
            self.shard.feed.applied(index, changes, cursor);
        } else {
            self.shard.feed.replayed(index, cursor);
        }
    }

    fn note_common(&self, mutations: &[Mutation]) {
        let mut common = self.common.borrow_mut();
        for mutation in mutations.iter().filter(|mutation| is_common(mutation.key())) {
            // Copies: they may be part of something large.
            let key = Bytes::copy_from_slice(mutation.key());
            common.insert(key, mutation.value().map(|value| Bytes::copy_from_slice(value)));
        }
    }

    /// Gives the owner what waits, if it wants it.
    fn feed(&mut self) {
        let wanted = self.owner.wants_work();
        if self.shard.is_ending() && !self.is_ending && (wanted.is_some() || !self.owner.is_serving()) {
            self.is_ending = true;
            return self.events.push_back(Event::End);
        }
        let now = self.now();
        self.not_before = self.not_before.filter(|not_before| now < *not_before);
        let take = wanted.filter(|_| self.not_before.is_none());
        if take.is_none() && self.shard.is_exclusive {
            return;
        }
        let Given { work, reads, cuts } = self.shard.take(take, now);
        for read in reads {
            let ticket = self.ticket(Waiter::Read(read.answer));
            self.events.push_back(Event::Read(Read { ticket, deadline: read.deadline }));
        }
        for cut in cuts {
            let ticket = self.ticket(Waiter::Cut(cut.answer));
            self.events.push_back(Event::Cut(ticket, cut.at));
        }
        let is_carried = self.owner.has_waiting_reads() || !self.events.is_empty();
        if take.is_some() && (is_carried || !work.is_empty()) {
            self.renew_settings();
            let work = work.into_iter().map(|entry| self.work(entry)).collect();
            self.events.push_back(Event::Work(work));
        }
    }

    fn work(&mut self, entry: Entry<Pending>) -> Work {
        let given = GivenBytes::by(&entry.item.input);
        let ticket = self.ticket(Waiter::Command(entry.item.answer, given));
        Work { ticket, input: entry.item.input, deadline: entry.deadline }
    }

    fn ticket(&mut self, waiter: Waiter) -> Ticket {
        Ticket(self.waiters.insert(waiter) as u64)
    }

    fn renew_settings(&mut self) {
        let settings = self.driver.parts.settings.load();
        if !Arc::ptr_eq(&settings, &self.settings) {
            self.settings = Arc::clone(&settings);
            self.owner.set_settings(Arc::clone(&settings));
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        let early = self.not_before.filter(|_| self.owner.wants_work().is_some());
        let due = [self.owner.wake_at(), early].into_iter().flatten().min();
        let due = self.shard.sleeps_until(due);
        let now = self.now();
        self.alarm.set(due, now);
        let shard = Arc::clone(self.shard);
        let mut rung = pin!(shard.rung());
        poll_fn(|context| {
            if self.poll(context) || rung.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether something happened.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(asked) = &mut self.asked
            && let Poll::Ready(event) = asked.as_mut().poll(context)
        {
            self.asked = None;
            self.events.push_back(event);
            return true;
        }
        if let Some(applying) = &mut self.applying
            && let Poll::Ready((what, outcome)) = applying.as_mut().poll(context)
        {
            self.applying = None;
            self.applied(what, outcome);
            return true;
        }
        if self.alarm.poll(context) {
            self.shard.expire(self.now());
            self.events.push_back(Event::Tick);
            return true;
        }
        false
    }
}

impl Alarm {
    fn set(&mut self, due: Option<Instant>, now: Instant) {
        let Some(due) = due else { return };
        if self.at.is_none_or(|at| due < at) {
            self.sleep.as_mut().reset(tokio::time::Instant::now() + due.saturating_since(now).as_std());
            self.at = Some(due);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let is_over = self.at.is_some() && self.sleep.as_mut().poll(context).is_ready();
        if is_over {
            self.at = None;
        }
        is_over
    }
}

/// Applies on a thread that may wait.
async fn apply(store: Store, what: Applying) -> (Applying, Result<Duration, store::Error>) {
    let applying = spawn_blocking(move || {
        let outcome = what.apply_to(&store);
        (what, outcome)
    });
    applying.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn mutation_bytes(mutation: &Mutation) -> usize {
    mutation.key().len() + mutation.value().map_or(0, Bytes::len)
}

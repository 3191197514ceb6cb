//! A simulation of several owners who all believe that they own one shard, of their stores, and of clients.
//!
//! The log is one that may lose what it shows ([`mainstay_log::faulty`]), stores lose what they did not flush, wall clocks
//! jump, answers are lost, owners are deposed, and clients send again what they have no answer to. Everything is drawn from
//! one seed, also which of that happens at all; one thing happens in a step, and the same seed gives the same run.
//!
//! What was promised is checked throughout and in the end: what was answered stays, is there once and as a whole, in one order
//! that explains what everyone saw ([`linear`]); every store is what the log makes of it; and when nothing fails any more, work
//! gets done. [`without`] takes a rule of the owner away, to prove that this notices.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mainstay_base::hlc::HybridTime;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Instant, SeededEntropy, Timestamp};
use mainstay_base::units::{Duration, Size};
use mainstay_log::Log;
use mainstay_log::accept::Acceptance;
use mainstay_log::faulty::{self, Faulty, Random};
use mainstay_log::memory::{self, Memory};
use mainstay_log::record::{Checksum, Draft, Record};
use mainstay_machine::shards::Error;
use mainstay_machine::{Collection, Definitions, Settings};

use crate::inbox::{Bounds, Entry};
use crate::owner::{Action, Config, Event, Owner, Read, Stop, Ticket, Work};
pub use crate::rules::{Rule, without};

mod check;
mod clients;
pub mod linear;
mod model;
mod node;
mod odds;
mod trace;

use clients::Clients;
use model::COLLECTION;
use node::{Node, Rows};
use odds::{Odds, draw_config, draw_faults};
use trace::Trace;

const SHARD: ShardId = ShardId::new(3);

/// The true time at the first step: 2026-01-01.
const BEGIN_MICROS: u64 = 1_767_225_600_000_000;
const STEP_MICROS: u64 = 1_000;

/// How far a wall clock is from the true time at most: an hour.
const JUMP_MICROS_MAX: i64 = 3_600_000_000;

/// The steps in which things fail, and how many more the rest may take.
const STEPS: u64 = 2_500;
const CALM_STEPS_MAX: u64 = 30_000;

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// The same for the same run.
    pub digest: u64,
    /// Outcomes and reads that clients were given.
    pub answered: u64,
    /// Commands of which clients were told that nobody knows.
    pub unknown: u64,
    /// Requests of which clients were told that nothing was done.
    pub not_done: u64,
    /// Shards that were owned.
    pub claims: u64,
    /// Owners that ended by themselves.
    pub deposed: u64,
    /// Stores that were loaded from a snapshot.
    pub loaded: u64,
    /// Owners that did not claim because of their clock.
    pub clocks: u64,
    /// Commands that were refused for the inbox.
    pub overloaded: u64,
    /// The length of the log.
    pub records: u64,
}

/// A run in which something was not as it was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed that gives the same run again.
    pub seed: u64,
    /// What was not as promised.
    pub what: String,
    /// What happened last, a line each.
    pub trace: String,
}

struct World {
    random: Random,
    step: u64,
    engine: Faulty,
    nodes: Vec<Node>,
    /// Only these may own.
    candidates: usize,
    clients: Clients,
    odds: Odds,
    config: Config,
    settings: Arc<Settings>,
    /// Every durable record.
    records: Vec<Record>,
    /// What every store begins with.
    first: Rows,
    snapshot: Rows,
    trims: Vec<mainstay_log::BoxFuture<'static, Result<(), mainstay_log::Error>>>,
    trace: Trace,
    report: Report,
}

type Checked = Result<(), String>;

/// Runs a seed. Errors: [`Failure`], also when something panics.
pub fn run(seed: u64) -> Result<Report, Box<Failure>> {
    let mut world = World::new(seed);
    let checked = catch_unwind(AssertUnwindSafe(|| world.run()));
    let what = match checked {
        Ok(Ok(())) => return Ok(world.report()),
        Ok(Err(what)) => what,
        Err(panic) => message(panic.as_ref()),
    };
    let trace = format!("{}{}", world.engine.history(), world.trace.lines());
    Err(Box::new(Failure { seed, what, trace }))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

impl World {
    fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let bounds = Bounds {
            waiting_max: random.between(2, 12) as usize,
            size_max: Size::from_bytes(random.between(1_000, 8_192)),
        };
        let memory = Memory::new(memory::Bounds {
            record_max: Size::from_bytes(random.between(1_000, 6_000)),
            total_max: Size::from_mib(64),
        });
        let inner: Arc<dyn Log> = Arc::new(memory);
        let config = draw_config(&random, inner.as_ref());
        let engine = Faulty::new(inner, draw_faults(&random), random.number());
        let nodes = 1 + random.below(5).div_ceil(2) as usize;
        let clients = Clients::draw(&random);
        let defined =
            clients.tenants.iter().map(|tenant| (tenant.clone(), COLLECTION, Collection::default()));
        let first = Rows::defining(&Definitions::sample(defined));
        Self {
            odds: Odds::draw(&random),
            nodes: (0..nodes).map(|number| Node::new(number, bounds.clone(), &first)).collect(),
            candidates: nodes,
            clients,
            config,
            settings: Arc::default(),
            engine,
            random,
            step: 0,
            records: Vec::new(),
            snapshot: first.clone(),
            first,
            trims: Vec::new(),
            trace: Trace::default(),
            report: Report::default(),
        }
    }

    /// Things fail for a while, then nothing does, and all that is wanted must get done.
    fn run(&mut self) -> Checked {
        while self.step < STEPS {
            self.step()?;
        }
        self.calm();
        let end = self.step + CALM_STEPS_MAX;
        for place in 0..self.clients.places.len() {
            self.clients.look_at(0, place);
            while self.clients.has_wish(0) {
                self.step()?;
                if self.step >= end {
                    return Err("nothing gets done although nothing fails".into());
                }
            }
        }
        (0..self.clients.count()).for_each(|client| self.clients.give_up(client));
        self.check_stores()?;
        self.check_histories()
    }

    fn report(&self) -> Report {
        let Clients { committed, unknown, not_done, .. } = self.clients;
        let records = self.records.len() as u64;
        Report { digest: self.trace.digest(), answered: committed, unknown, not_done, records, ..self.report }
    }

    /// From now on nothing fails, one node owns, and its clock is right.
    fn calm(&mut self) {
        self.engine.set_odds(faulty::Odds::NONE);
        self.odds = Odds::CALM;
        self.clients.give_up = 0;
        self.candidates = 1;
        // Ahead of every time that a clock can have given to the log.
        self.nodes[0].wall_offset = 2 * JUMP_MICROS_MAX;
        self.nodes[0].paused_until = 0;
        (1..self.nodes.len()).for_each(|node| self.nodes[node].crash());
    }

    fn step(&mut self) -> Checked {
        self.step += 1;
        match self.random.below(16) {
            0..=4 => self.engine.step(),
            5..=10 => {
                let node = self.random.below(self.nodes.len() as u64) as usize;
                self.act(node)?;
            }
            11..=13 => {
                let client = self.random.below(self.clients.count() as u64) as usize;
                self.ask(client)?;
            }
            _ => self.disturb()?,
        }
        self.poll_trims();
        if self.step.is_multiple_of(16) {
            self.look()?;
        }
        Ok(())
    }

    /// One piece of a node's work.
    fn act(&mut self, at: usize) -> Checked {
        let now = self.now();
        if self.step < self.nodes[at].paused_until {
            return Ok(());
        }
        for expired in self.nodes[at].inbox.expire(now) {
            self.answer(expired.item.ticket, Err(Error::Deadline));
        }
        let first = self.random.below(3);
        for piece in 0..3 {
            let node = &mut self.nodes[at];
            match (first + piece) % 3 {
                0 if node.has_to_apply() && self.random.one_in(self.odds.fail_store) => {
                    return self.tell(at, Event::Applied(Err("a simulated disk".into())));
                }
                0 => {
                    if let Some(index) = node.apply() {
                        return self.applied(at, index);
                    }
                }
                1 => {
                    if let Some(event) = node.poll() {
                        if self.random.one_in(self.odds.lose_log_answer) {
                            node.forget_asked();
                            return Ok(());
                        }
                        return self.tell(at, event);
                    }
                }
                _ => {
                    if let Some(work) = node.take(now) {
                        return self.tell(at, Event::Work(work));
                    }
                }
            }
        }
        match self.nodes[at].owner.as_ref() {
            None if at < self.candidates && self.random.one_in(self.odds.take_over) => self.take_over(at),
            Some(owner) if owner.wake_at().is_some_and(|due| due <= now) => self.tell(at, Event::Tick),
            _ => Ok(()),
        }
    }

    fn applied(&mut self, at: usize, index: Index) -> Checked {
        self.look()?;
        if index.get() > self.records.len() as u64 {
            return Err(format!(
                "node {at} has applied index {index}, which a crash of the log can take away"
            ));
        }
        self.tell(at, Event::Applied(Ok(index)))
    }

    /// A node becomes a candidate, whoever owns the shard now.
    fn take_over(&mut self, at: usize) -> Checked {
        if self.config.is_exclusive {
            // What was locked is free: every other process has ended.
            (0..self.nodes.len()).filter(|other| *other != at).for_each(|other| self.nodes[other].crash());
        }
        self.note(at, "takes over", [0, 0]);
        let entropy = Arc::new(SeededEntropy::new(self.random.number()));
        let applied = self.nodes[at].store.current.applied();
        let owner = Owner::new(self.config.clone(), Arc::clone(&self.settings), entropy, &applied);
        self.nodes[at].owner = Some(owner);
        self.nodes[at].ledger = None;
        self.tell(at, Event::Tick)
    }

    fn tell(&mut self, at: usize, event: Event) -> Checked {
        self.note_event(at, &event);
        let (now, wall) = (self.now(), self.wall(at));
        let before = self.nodes[at].store.current.applied().index();
        for action in self.nodes[at].tell(event, now, wall, &self.engine) {
            match action {
                Action::Answer { ticket, answer } => {
                    let answer = answer.map(|answer| model::result(&answer.outcome));
                    self.answer(ticket, answer);
                }
                Action::Look { ticket, position } => {
                    let place = self.clients.place_of(ticket);
                    let seen = position
                        .and_then(|_| place.map_or(Err(Error::Deadline), |place| Ok(self.see(at, place))));
                    self.answer(ticket, seen);
                }
                Action::Owned { epoch } => {
                    self.report.claims += 1;
                    self.note(at, "owns in epoch", [epoch.get(), before.get()]);
                }
                Action::Stopped(stop) => self.stopped(at, &stop)?,
                Action::Tail { .. }
                | Action::ReadLog { .. }
                | Action::Append { .. }
                | Action::Apply { .. }
                | Action::Cut { .. } => {
                    unreachable!("the node has begun it")
                }
            }
        }
        Ok(())
    }

    fn see(&self, at: usize, place: usize) -> model::Result {
        let (tenant, partition) = self.clients.places[place];
        let rows = &self.nodes[at].store.current.rows;
        model::Result::Seen(model::look(rows, &self.clients.tenants[tenant], partition))
    }

    /// An answer sets out, and may get lost.
    fn answer(&mut self, ticket: Ticket, answer: Result<model::Result, Error>) {
        let kind = match &answer {
            Ok(_) => "an outcome for",
            Err(Error::OutcomeUnknown { .. }) => "an unknown outcome for",
            Err(_) => "not done",
        };
        self.trace.note(self.step, usize::MAX, kind, [ticket.0, 0]);
        if !self.random.one_in(self.odds.lose_answer) {
            self.clients.answered(ticket, answer, &self.random);
        }
    }

    fn stopped(&mut self, at: usize, stop: &Stop) -> Checked {
        use mainstay_log::writer::Stop as Log;
        self.note(at, "has stopped", [0, 0]);
        for entry in self.nodes[at].inbox.clear() {
            self.answer(entry.item.ticket, Err(Error::Unavailable { reason: stop.to_string() }));
        }
        match stop {
            Stop::Ended | Stop::Store { .. } => {}
            Stop::ClockBehind { .. } => self.report.clocks += 1,
            Stop::Log(Log::Deposed { .. } | Log::Trimmed { .. } | Log::GroundLost { .. }) => {
                self.report.deposed += 1;
            }
            Stop::Behind { .. }
                if self.snapshot.applied().index() > self.nodes[at].store.durable.applied().index() =>
            {
                self.report.loaded += 1;
                self.nodes[at].store.load(&self.snapshot);
            }
            stop => return Err(format!("node {at} has stopped: {stop}")),
        }
        Ok(())
    }

    /// A client sends what it wants, or stops waiting.
    fn ask(&mut self, client: usize) -> Checked {
        if let Some(since) = self.clients.waits_since(client) {
            if self.step - since > self.odds.patience {
                self.clients.wait_no_longer(client, &self.random);
            }
            return Ok(());
        }
        let Some((tenant, command)) = self.clients.request(client, &self.random) else { return Ok(()) };
        let Some(at) = self.choose_node() else { return Ok(()) };
        let ticket = self.clients.sent(client, self.step);
        let deadline = self.draw_deadline();
        self.note(at, "is asked", [ticket.0, client as u64]);
        let Some(command) = command else {
            return self.tell(at, Event::Read(Read { ticket, deadline }));
        };
        let bytes = 100 + self.random.below(400) as usize;
        let entry = Entry { tenant, bytes, deadline, item: Work { ticket, input: command.into(), deadline } };
        let now = self.now();
        for out in self.nodes[at].inbox.push(entry, now) {
            self.report.overloaded += 1;
            let error = Error::Overloaded { what: "it".into(), waiting: out.waiting, after: out.after };
            self.answer(out.item.ticket, Err(error));
        }
        Ok(())
    }

    /// A node that may own the shard.
    fn choose_node(&self) -> Option<usize> {
        let owners: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].owner.is_some()).collect();
        let serving: Vec<usize> = owners.iter().copied().filter(|at| self.nodes[*at].is_serving()).collect();
        let among = if serving.is_empty() || self.random.one_in(8) { owners } else { serving };
        (!among.is_empty()).then(|| among[self.random.below(among.len() as u64) as usize])
    }

    fn draw_deadline(&self) -> Option<Instant> {
        let after = match self.odds.deadline_ms {
            0 => return None,
            longest => 1 + self.random.below(longest),
        };
        self.now().checked_add(Duration::from_millis(after))
    }

    /// Perhaps something bad happens.
    fn disturb(&mut self) -> Checked {
        let at = self.random.below(self.nodes.len() as u64) as usize;
        match self.random.below(7) {
            0 if self.random.one_in(self.odds.crash) => {
                self.note(at, "crashes", [0, 0]);
                self.nodes[at].crash();
            }
            1 if self.random.one_in(self.odds.end) && self.nodes[at].owner.is_some() => {
                return self.tell(at, Event::End);
            }
            2 if self.random.one_in(self.odds.jump) => {
                let reach = if self.random.one_in(4) { JUMP_MICROS_MAX } else { 600_000 };
                self.nodes[at].wall_offset = self.random.below(2 * reach as u64) as i64 - reach;
                self.note(at, "wall clock jumps", [0, 0]);
            }
            3 if self.random.one_in(self.odds.flush) => self.nodes[at].store.flush(),
            4 if self.random.one_in(self.odds.trim) => self.trim(at)?,
            5 if self.random.one_in(self.odds.stray) => self.stray()?,
            6 if self.random.one_in(self.odds.pause) => {
                self.nodes[at].paused_until = self.step + self.random.between(1, 600);
            }
            _ => {}
        }
        Ok(())
    }

    /// A snapshot of what a store holds durably, and then the log is trimmed to it.
    fn trim(&mut self, at: usize) -> Checked {
        let durable = self.nodes[at].store.durable.clone();
        if durable.applied().index() <= self.snapshot.applied().index() {
            return Ok(());
        }
        self.look()?;
        let to = durable.applied().cursor.next;
        self.note(at, "trims to", [to.get(), 0]);
        self.snapshot = durable;
        let engine = self.engine.clone();
        self.trims.push(Box::pin(async move { engine.trim(SHARD, to).await }));
        Ok(())
    }

    /// A writer that is not the owner any more, and does not keep to the contract, appends at the end.
    fn stray(&mut self) -> Checked {
        self.look()?;
        let next = Index::new(self.records.len() as u64 + 1);
        let (visible, _) = self.engine.peek(SHARD, next).map_err(|error| error.to_string())?;
        let index = visible.last().map_or(next, |record| record.head().index.next());
        let mut acceptance = Acceptance::new(SHARD);
        self.records.iter().for_each(|record| drop(acceptance.offer(record)));
        let epoch = acceptance.cursor().epoch.get();
        if epoch > 1 {
            let (tenant, partition) = self.clients.places[0];
            let time = HybridTime::new(self.wall(0), 0);
            let payload = model::stray(&self.clients.tenants[tenant], partition, time).encode();
            let draft = Draft::data(self.random.id(), payload);
            let record = draft.seal(SHARD, index, Epoch::new(epoch - 1), Checksum::START);
            self.note(0, "a stray record at", [index.get(), u64::from(self.engine.put(record))]);
        }
        Ok(())
    }

    fn poll_trims(&mut self) {
        use std::task::{Context, Waker};
        let context = &mut Context::from_waker(Waker::noop());
        self.trims.retain_mut(|trim| trim.as_mut().poll(context).is_pending());
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.step * STEP_MICROS * 1_000)
    }

    fn true_micros(&self) -> u64 {
        BEGIN_MICROS + self.step * STEP_MICROS
    }

    fn wall(&self, at: usize) -> Timestamp {
        Timestamp::from_micros(self.true_micros().saturating_add_signed(self.nodes[at].wall_offset))
    }

    fn note(&mut self, node: usize, what: &'static str, numbers: [u64; 2]) {
        self.trace.note(self.step, node, what, numbers);
    }

    fn note_event(&mut self, at: usize, event: &Event) {
        let (what, numbers) = match event {
            Event::Tick => ("tick", [0, 0]),
            Event::Tail(_, Ok(tail)) => ("the log ends at", [tail.begins.get(), tail.next.get()]),
            Event::Records(_, Ok(records)) => {
                let first = records.first().map_or(0, |record| record.head().index.get());
                ("has read", [first, records.len() as u64])
            }
            Event::Appended(_, Ok(appended)) => ("has appended", [appended.index.get(), 0]),
            Event::Tail(_, Err(_)) | Event::Records(_, Err(_)) => ("cannot read", [0, 0]),
            Event::Appended(_, Err(error)) => ("has not appended", [u64::from(error_kind(error)), 0]),
            Event::Applied(index) => ("has applied", [index.as_ref().map_or(0, |index| index.get()), 0]),
            Event::Work(work) => {
                let first = work.first().map_or(0, |work| work.ticket.0);
                ("takes work", [work.len() as u64, first])
            }
            Event::Read(read) => ("is read", [read.ticket.0, 0]),
            Event::Cut(ticket, _) => ("is cut", [ticket.0, 0]),
            Event::End => ("is to end", [0, 0]),
        };
        self.note(at, what, numbers);
    }
}

fn error_kind(error: &mainstay_log::Error) -> u8 {
    use mainstay_log::Error::{Fenced, Full, OutcomeUnknown, Refused, TooLarge, Unavailable};
    match error {
        Refused { .. } => 1,
        Fenced { .. } => 2,
        TooLarge { .. } => 3,
        Full { .. } => 4,
        OutcomeUnknown { .. } => 5,
        Unavailable { .. } => 6,
        _ => 0,
    }
}

//! The owner of a shard: what turns commands into records, records into rows, and only then answers.
//!
//! [`Owner`] is sans-I/O. It is told what happened and what time it is, looks at the rows as they are committed, and says
//! what to do next; a task in production and the simulator drive the same decisions. It knows no store: rows come in through
//! [`State`], and go out as [`Action::Apply`] with bytes that say where the log then stands ([`Applied`]).
//!
//! The one idea is that a batch is evaluated on committed rows only, one batch at a time: evaluate, append, apply, answer. So
//! nothing that is answered rests on what could still be lost, and what the store holds never has to be taken back. The life
//! of an owner is recovering (`recover`), claiming (`claim`), owning (`commit`), and one end. What an append that is not
//! acknowledged means is decided by [`mainstay_log::writer::Writer`], of which this is the caller.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_base::hlc::{HybridClock, HybridTime};
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Entropy, Instant, Timestamp};
use mainstay_base::units::{Duration, Size};
use mainstay_log::record::{Draft, Record, RecordId, Timeline};
use mainstay_log::writer::{Step, Writer};
use mainstay_log::{Appended, Guarantees, Limits, Tail};
use mainstay_machine::feed::Changes;
use mainstay_machine::position::Place;
use mainstay_machine::shards::{Answer, Durability, Error};
use mainstay_machine::{Definitions, Input, Mutation, Position, Settings, State};

mod applied;
mod claim;
mod commit;
mod io;
mod recover;
mod stop;

pub use applied::{Applied, DecodeError};
pub use stop::Stop;

use commit::Flight;
use io::{Io, Operation};
use recover::{Held, Recovery};

use crate::rules::{Rule, holds};

/// Names a request for whoever waits for its answer. Its driver gives each number once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names an operation of the log, so that the answer to one that was given up is not taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt(u64);

/// What an owner is made for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The shard.
    pub shard: ShardId,
    /// What the log's engine takes.
    pub limits: Limits,
    /// What the log's engine promises.
    pub guarantees: Guarantees,
    /// Whether it is proven that nobody else can own the shard while this owner lives, as a locked directory proves it. Then
    /// what is only read is answered without an append.
    pub is_exclusive: bool,
    /// What can be chosen.
    pub options: Options,
}

/// How large batches are, and how long an owner waits for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Commands of one batch.
    pub batch_commands_max: usize,
    /// Bytes of one batch: of its commands as they come in, and of its record. The engine's limit applies besides.
    pub batch_size_max: Size,
    /// How much of the log is read at once while recovering.
    pub read_size: Size,
    /// Reads that wait for an append. Beyond it they are refused.
    pub reads_max: usize,
    /// How long to wait for the log before an operation is given up and tried again. It is safe at any length; a short one
    /// makes work when the log is slow.
    pub log_timeout: Duration,
    /// How long to wait before an operation of the log is tried again for the first time; twice as long each time after it.
    pub retry_delay_min: Duration,
    /// The longest wait before an operation of the log is tried again.
    pub retry_delay_max: Duration,
    /// How far the wall clock may be behind the last time in the log. Beyond it the shard is not owned, since every time
    /// that is given out would be ahead of the clock by as much.
    pub clock_offset_max: Duration,
}

/// What surrounds an owner when something happens.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// Monotonic time, of the clock that deadlines are readings of.
    pub now: Instant,
    /// Wall time.
    pub wall: Timestamp,
    /// The rows: everything that was applied, and nothing else.
    pub state: &'a dyn State,
}

/// A command or a task that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Who waits.
    pub ticket: Ticket,
    /// What is asked.
    pub input: Input,
    /// Until when.
    pub deadline: Option<Instant>,
}

/// A linearizable read that waits until it may look at the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Who waits.
    pub ticket: Ticket,
    /// Until when.
    pub deadline: Option<Instant>,
}

/// What happens to an owner.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time has passed: the first event, and later whenever [`Owner::wake_at`] is reached.
    Tick,
    /// The answer to [`Action::Tail`].
    Tail(Attempt, Result<Tail, mainstay_log::Error>),
    /// The answer to [`Action::ReadLog`].
    Records(Attempt, Result<Vec<Record>, mainstay_log::Error>),
    /// The answer to [`Action::Append`].
    Appended(Attempt, Result<Appended, mainstay_log::Error>),
    /// What [`Action::Apply`] gave is in the store up to this index, and can be read. Or the store has failed, with the reason.
    Applied(Result<Index, String>),
    /// Commands, in this order, no more than [`Owner::wants_work`] has asked for; perhaps none.
    Work(Vec<Work>),
    /// A read.
    Read(Read),
    /// A cut through the shard's history is wanted at this time.
    Cut(Ticket, HybridTime),
    /// The owner is to end: everyone who waits is answered.
    End,
}

/// What is to be done, in the order in which it is said.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the log for its two ends. Any earlier operation of the log is given up.
    Tail {
        /// To be given back.
        attempt: Attempt,
    },
    /// Read the log. Any earlier operation of the log is given up.
    ReadLog {
        /// To be given back.
        attempt: Attempt,
        /// The first record.
        from: Index,
        /// As many bytes, and at least one record.
        bytes_max: usize,
    },
    /// Append a record. Any earlier operation of the log is given up; a future that is dropped may still happen.
    Append {
        /// To be given back.
        attempt: Attempt,
        /// The record.
        record: Record,
    },
    /// Bring rows and `applied` into the store in one step that crashes keep or lose as a whole, after everything that was to be
    /// applied before, and then say [`Event::Applied`]. It need not be durable: what is lost is read again from the log.
    Apply {
        /// Everything in the log up to here is then in the store.
        index: Index,
        /// The rows that change, in this order; there may be none.
        mutations: Vec<Mutation>,
        /// What of them is of items, if there is any and it was committed while the shard is served.
        changes: Option<Changes>,
        /// [`Applied`], encoded.
        applied: bytes::Bytes,
    },
    /// Answer a command.
    Answer {
        /// Who waits.
        ticket: Ticket,
        /// What became of it.
        answer: Result<Answer, Error>,
    },
    /// Let a read look at the rows as they are now.
    Look {
        /// Who waits.
        ticket: Ticket,
        /// The state that it sees, or why it sees none.
        position: Result<Position, Error>,
    },
    /// The rows as they are now are all that was committed up to the time of the cut: whatever is committed from now on gets a
    /// later one. Or there is no such moment.
    Cut {
        /// Who waits.
        ticket: Ticket,
        /// The last time in the rows, or why there is no cut.
        time: Result<HybridTime, Error>,
    },
    /// From now on the shard is served from here.
    Owned {
        /// The ownership.
        epoch: Epoch,
    },
    /// The owner has ended: everyone who waited is answered, and it does nothing any more.
    Stopped(Stop),
}

/// How much work an owner takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// At most so many commands.
    pub commands_max: usize,
    /// At most so many bytes, but for a single command.
    pub bytes_max: usize,
}

enum Stage {
    Recovering(Recovery),
    Claiming(Writer),
    Owning(Writer),
    Stopped,
}

/// One attempt to own one shard, from reading its log to the end. After the end, make another.
pub struct Owner {
    config: Config,
    settings: Arc<Settings>,
    /// What the rows define, once it is serving.
    definitions: Arc<Definitions>,
    entropy: Arc<dyn Entropy>,
    stage: Stage,
    io: Io,
    /// After the last time in the log.
    clock: HybridClock,
    timeline: Timeline,
    /// The epoch record of the claim, once there is one.
    epoch_draft: Option<Draft>,
    /// Accepted records that are not settled, and so not in the store.
    held: VecDeque<Held>,
    /// The last index that was given to the store, until the store has it.
    applying: Option<Index>,
    /// What the store has.
    applied: Index,
    /// Whether the claim is committed and everything below it applied.
    is_serving: bool,
    flight: Option<Flight>,
    /// Commands that were taken and did not fit into the last batch.
    again: VecDeque<Work>,
    /// Reads that wait for the next append.
    reads: Vec<Read>,
    /// Cuts that wait until nothing is in flight.
    cuts: Vec<(Ticket, HybridTime)>,
    /// Not after any deadline of those who wait; none when nobody has one.
    deadline_min: Option<Instant>,
    /// The largest batch in bytes. Lowered when the engine refuses a smaller one than it has announced.
    payload_bytes_max: usize,
}

impl Owner {
    /// An owner that goes on where the store stands; give it [`Event::Tick`] to begin.
    ///
    /// `applied` is what the store has kept from [`Action::Apply`], [`Applied::START`] for an empty one.
    pub fn new(
        config: Config,
        settings: Arc<Settings>,
        entropy: Arc<dyn Entropy>,
        applied: &Applied,
    ) -> Self {
        let resumed = if holds(Rule::ResumeWhereApplied) { *applied } else { Applied::START };
        let payload_bytes_max = commit::payload_bytes_max(&config);
        Self {
            io: Io::new(&config.options),
            stage: Stage::Recovering(Recovery::new(config.shard, resumed.cursor)),
            clock: HybridClock::starting_after(applied.time),
            timeline: applied.timeline,
            epoch_draft: None,
            held: VecDeque::new(),
            applying: None,
            applied: applied.index(),
            is_serving: false,
            flight: None,
            again: VecDeque::new(),
            reads: Vec::new(),
            cuts: Vec::new(),
            deadline_min: None,
            payload_bytes_max,
            config,
            settings,
            definitions: Arc::default(),
            entropy,
        }
    }

    /// Says what to do about an event: the actions are added to `out`.
    ///
    /// Panics when an event does not belong to what was asked for, which is a defect of the driver.
    pub fn on(&mut self, event: Event, env: &Env<'_>, out: &mut Vec<Action>) {
        match event {
            Event::Read(read) => return self.on_read(read, env, out),
            Event::Cut(ticket, at) if !self.is_stopped() => self.cuts.push((ticket, at)),
            Event::Cut(ticket, _) => {
                let time = Err(Error::Unavailable { reason: "its owner has ended".to_owned() });
                return out.push(Action::Cut { ticket, time });
            }
            Event::Work(work) => return self.on_work(work, env, out),
            Event::End => return self.stop(Stop::Ended, self.is_sent(), out),
            _ if matches!(self.stage, Stage::Stopped) => return,
            Event::Tick => self.on_tick(env, out),
            Event::Tail(attempt, outcome) if self.io.is_answer(attempt) => self.on_tail(&outcome, env, out),
            Event::Records(attempt, outcome) if self.io.is_answer(attempt) => {
                self.on_records(outcome, env, out);
            }
            Event::Appended(attempt, outcome) if self.io.is_answer(attempt) => {
                self.on_appended(outcome, env, out);
            }
            Event::Tail(..) | Event::Records(..) | Event::Appended(..) => {}
            Event::Applied(Ok(index)) => self.on_applied(index, env, out),
            Event::Applied(Err(reason)) => self.stop(Stop::Store { reason }, true, out),
        }
        self.proceed(env, out);
    }

    /// How much work may be given to it now; none while a batch is in flight or the shard is not owned.
    pub fn wants_work(&self) -> Option<Take> {
        (self.is_idle() && self.again.is_empty()).then(|| Take {
            commands_max: self.config.options.batch_commands_max.max(1),
            bytes_max: size_bytes(self.config.options.batch_size_max),
        })
    }

    /// Whether reads wait for the next append. Then [`Event::Work`] is to be given when it is wanted, also if there is no work:
    /// whatever comes with it carries them.
    pub fn has_waiting_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    /// When to send [`Event::Tick`] if nothing else happens before. It may be early.
    pub fn wake_at(&self) -> Option<Instant> {
        [self.io.due(), self.deadline_min].into_iter().flatten().min()
    }

    /// Evaluates under other settings from the next batch on.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// What the rows define; nothing before it is serving.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// Whether commands and reads are served: the shard is owned, as far as anyone here knows.
    pub fn is_serving(&self) -> bool {
        self.is_serving
    }

    /// Whether it has ended.
    pub fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopped)
    }

    fn on_tick(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        if self.io.due().is_none() && matches!(&self.stage, Stage::Recovering(recovery) if recovery.is_new())
        {
            return self.io.ask(Operation::Tail, env.now, out);
        }
        match self.io.tick(env.now, out) {
            None => {}
            Some(Operation::Append(record)) => {
                let (shard, index) = (self.config.shard, record.head().index);
                let reason = format!("there was no answer within {}", self.config.options.log_timeout);
                let unknown = mainstay_log::Error::OutcomeUnknown { shard, index, reason };
                self.on_appended(Err(unknown), env, out);
            }
            // Reading leaves nothing behind.
            Some(operation) => self.io.ask(operation, env.now, out),
        }
    }

    fn on_records(
        &mut self,
        outcome: Result<Vec<Record>, mainstay_log::Error>,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        if matches!(self.stage, Stage::Recovering(_)) {
            return self.recover(outcome, env, out);
        }
        let step = self.writer().on_read(outcome.map(|records| records.into_iter().next()));
        self.drive(step, env, out);
    }

    fn on_appended(
        &mut self,
        outcome: Result<Appended, mainstay_log::Error>,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        if let (Ok(appended), Some(flight)) = (&outcome, &mut self.flight) {
            flight.durability = durability(appended.durability);
        }
        let step = self.writer().on_append(outcome);
        self.drive(step, env, out);
    }

    /// Does what the writer says until it waits for something.
    fn drive(&mut self, mut step: Step, env: &Env<'_>, out: &mut Vec<Action>) {
        loop {
            step = match step {
                Step::Append(record) => return self.io.ask(Operation::Append(record), env.now, out),
                Step::Read(from) => {
                    return self.io.ask(Operation::Read { from, bytes_max: 1 }, env.now, out);
                }
                Step::Apply(record) => {
                    if let Err(stop) = self.hold_found(&record, out) {
                        return self.stop(stop, false, out);
                    }
                    self.writer().applied()
                }
                Step::Barrier => {
                    let barrier = Draft::barrier(self.draw_id());
                    self.writer().append(&barrier)
                }
                Step::Committed(record) => return self.on_committed(&record, env, out),
                Step::Rejected(error) => return self.on_rejected(error, env, out),
                Step::Stopped { stop, in_doubt } => return self.stop(Stop::Log(stop), in_doubt, out),
            };
        }
    }

    fn on_applied(&mut self, index: Index, env: &Env<'_>, out: &mut Vec<Action>) {
        if self.applying.is_none_or(|applying| index < applying) {
            return;
        }
        (self.applying, self.applied) = (None, index);
        match &self.stage {
            Stage::Recovering(_) => self.go_on_recovering(env, out),
            Stage::Owning(_) if !self.is_serving => self.begin_serving(env, out),
            Stage::Owning(_) => self.land(out),
            Stage::Claiming(_) | Stage::Stopped => {}
        }
    }

    /// Begins what can begin, after whatever happened.
    fn proceed(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        self.expire(env.now, out);
        self.cut(out);
        if self.is_idle() && !self.again.is_empty() {
            let again = std::mem::take(&mut self.again);
            self.begin(again, env, out);
        }
        if !self.reads.is_empty() && self.may_look() {
            let position = self.position();
            let looks = self.reads.drain(..);
            out.extend(
                looks.map(|Read { ticket, .. }| Action::Look { ticket, position: Ok(position.clone()) }),
            );
        }
    }

    /// Whether what is applied may be shown to reads without an append.
    fn may_look(&self) -> bool {
        if !holds(Rule::ClaimBeforeServing) && matches!(self.stage, Stage::Claiming(_)) {
            return true;
        }
        self.is_serving && (self.config.is_exclusive || !holds(Rule::BarrierBeforeReading))
    }

    fn is_idle(&self) -> bool {
        self.is_serving && self.flight.is_none() && self.applying.is_none()
    }

    /// Whether data was sent to the log of which it is not known what became.
    fn is_sent(&self) -> bool {
        self.flight.as_ref().is_some_and(Flight::has_changes)
    }

    fn writer(&mut self) -> &mut Writer {
        match &mut self.stage {
            Stage::Claiming(writer) | Stage::Owning(writer) => writer,
            Stage::Recovering(_) | Stage::Stopped => panic!("the log answers what no writer has asked"),
        }
    }

    fn draw_id(&self) -> RecordId {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        RecordId::new(bytes)
    }

    /// Who reads here or later sees everything that was applied.
    fn position(&self) -> Position {
        Position::of(self.config.shard, self.place(self.applied))
    }

    fn place(&self, index: Index) -> Place {
        let timeline = u32::try_from(self.timeline.number).expect("checked when it came in");
        Place { timeline, index }
    }

    /// The last time in the log.
    fn log_time(&self) -> HybridTime {
        self.clock.latest()
    }

    fn note_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline_min = [self.deadline_min, deadline].into_iter().flatten().min();
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_commands_max: 256,
            batch_size_max: Size::from_mib(8),
            read_size: Size::from_mib(4),
            reads_max: 4_096,
            log_timeout: Duration::from_secs(10),
            retry_delay_min: Duration::from_millis(5),
            retry_delay_max: Duration::from_secs(1),
            clock_offset_max: Duration::from_millis(500),
        }
    }
}

fn size_bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

pub(crate) fn durability(of_log: mainstay_log::Durability) -> Durability {
    match of_log {
        mainstay_log::Durability::Memory => Durability::Memory,
        mainstay_log::Durability::Written => Durability::Written,
        mainstay_log::Durability::Synced => Durability::Synced,
        mainstay_log::Durability::Replicated => Durability::Replicated,
    }
}

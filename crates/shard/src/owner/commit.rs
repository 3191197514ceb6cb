//! Owning: batches of commands, one in flight, and the answers that wait for it.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_base::error::Code;
use mainstay_base::hlc::{HybridClock, HybridTime};
use mainstay_base::time::{Instant, Timestamp};
use mainstay_log::record::{Draft, HEADER_BYTES, Kind, Record};
use mainstay_machine::batch::{Batch, Before};
use mainstay_machine::shards::{Answer, Durability, Error};
use mainstay_machine::{
    Command, Context, Definitions, Evaluated, Input, Moment, Mutation, Outcome, Overlay, Refusal, evaluate,
};

use super::{Action, Applied, Config, Env, Owner, Read, Stage, Stop, Work, durability, size_bytes};
use crate::rules::{Rule, holds};

/// A record between its first append and its answers.
pub(super) struct Flight {
    /// What it changes; none for a barrier, and once the changes are given to the store.
    batch: Option<Batch>,
    /// Whether it carries data.
    has_changes: bool,
    draft: Draft,
    waiting: Vec<Waiting>,
    reads: Vec<Read>,
    /// What the rows define with it, if it changes that.
    definitions: Option<Arc<Definitions>>,
    /// What was answered with the append's acknowledgement.
    pub(super) durability: Durability,
}

/// A command with an outcome that must not be told yet.
struct Waiting {
    work: Work,
    outcome: Outcome,
    replayed: bool,
}

/// What became of the commands that were taken.
struct Batching {
    batch: Batch,
    bytes: usize,
    waiting: Vec<Waiting>,
    definitions: Option<Arc<Definitions>>,
}

impl Flight {
    pub(super) fn has_changes(&self) -> bool {
        self.has_changes
    }
}

/// The largest batch: what a record takes, and what is configured.
pub(super) fn payload_bytes_max(config: &Config) -> usize {
    let record_bytes_max = config.limits.record_bytes_max.min(Record::PAYLOAD_BYTES_MAX);
    record_bytes_max.saturating_sub(HEADER_BYTES).min(size_bytes(config.options.batch_size_max))
}

impl Owner {
    pub(super) fn on_work(&mut self, work: Vec<Work>, env: &Env<'_>, out: &mut Vec<Action>) {
        assert!(self.wants_work().is_some(), "work is given when it is asked for");
        self.begin(work.into(), env, out);
        self.proceed(env, out);
    }

    /// Evaluates these commands, and sends what changes; or a barrier, if something waits for one.
    pub(super) fn begin(&mut self, mut work: VecDeque<Work>, env: &Env<'_>, out: &mut Vec<Action>) {
        let mut clock = self.clock.clone();
        let time = tick(&mut clock, env.wall);
        let Batching { batch, waiting, definitions, .. } = self.evaluate(&mut work, time, env, out);
        work.iter().for_each(|left| self.note_deadline(left.deadline));
        self.again = work;
        let has_changes = !batch.entries.is_empty();
        // Where nobody else can own the shard, reads look at once.
        let reads = if self.config.is_exclusive { Vec::new() } else { std::mem::take(&mut self.reads) };
        if !has_changes && waiting.is_empty() && reads.is_empty() {
            return;
        }
        let id = self.draw_id();
        let draft = if has_changes {
            self.clock = clock;
            Draft::data(id, batch.encode())
        } else {
            Draft::barrier(id)
        };
        waiting.iter().for_each(|waiting| self.note_deadline(waiting.work.deadline));
        let durability = durability(self.config.guarantees.durability);
        let batch = has_changes.then_some(batch);
        let step = self.writer().append(&draft);
        self.flight = Some(Flight { batch, has_changes, draft, waiting, reads, definitions, durability });
        self.drive(step, env, out);
        if !holds(Rule::AnswerWhenCommitted) {
            self.tell(out);
        }
    }

    /// Evaluates commands in their order until the batch is full. What is left stays in `work`.
    fn evaluate(
        &self,
        work: &mut VecDeque<Work>,
        time: HybridTime,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) -> Batching {
        let timeline = u32::try_from(self.timeline.number).expect("checked when it came in");
        let moment = Moment { time, timeline };
        let mut overlay = Overlay::new(env.state);
        let mut done =
            Batching { batch: Batch::new(time), bytes: BATCH_BYTES, waiting: Vec::new(), definitions: None };
        while let Some(next) = work.pop_front() {
            if is_over(next.deadline, env.now) {
                out.push(Action::Answer { ticket: next.ticket, answer: Err(Error::Deadline) });
                continue;
            }
            let definitions = done.definitions.as_ref().unwrap_or(&self.definitions);
            let context = Context { moment, settings: &self.settings, definitions };
            let evaluated = if holds(Rule::KeepOutcomes) {
                evaluate(&next.input, &mut overlay, &context)
            } else {
                evaluate(&without_key(&next.input), &mut overlay, &context)
            };
            let Evaluated { outcome, replayed, effects, before, definitions } = match evaluated {
                Ok(evaluated) => evaluated,
                Err(error) => {
                    let error = Error::Broken { reason: error.to_string() };
                    out.push(Action::Answer { ticket: next.ticket, answer: Err(error) });
                    continue;
                }
            };
            let bytes = done.bytes + entry_bytes_max(&next, &effects, &before);
            if bytes > self.payload_bytes_max && !effects.is_empty() {
                if !done.batch.entries.is_empty() {
                    work.push_front(next);
                    break;
                }
                // Alone in its batch, so nothing but its own changes is given up.
                overlay = Overlay::new(env.state);
                let outcome = self.too_large(bytes);
                done.waiting.push(Waiting { work: next, outcome, replayed: false });
                continue;
            }
            if effects.is_empty() && self.is_certain(replayed, &done.batch) {
                let durability = durability(self.config.guarantees.durability);
                let answer = Answer { outcome, replayed, position: self.position(), durability };
                out.push(Action::Answer { ticket: next.ticket, answer: Ok(answer) });
                continue;
            }
            if !effects.is_empty() {
                done.bytes = bytes;
                done.batch.push(&next.input, effects, before);
                done.definitions = definitions.or(done.definitions);
            }
            done.waiting.push(Waiting { work: next, outcome, replayed });
        }
        done
    }

    /// Whether an outcome that changed nothing may be told at once: it was found in committed rows, and these are the last
    /// ones, or it is one that was committed itself.
    fn is_certain(&self, replayed: bool, batch: &Batch) -> bool {
        let is_on_committed = batch.entries.is_empty() || !holds(Rule::ReleaseWithBatch);
        let is_current = self.config.is_exclusive || replayed || !holds(Rule::BarrierBeforeRefusing);
        is_on_committed && is_current
    }

    fn too_large(&self, bytes: usize) -> Outcome {
        let bytes_max = self.payload_bytes_max;
        let detail = format!(
            "the commit changes up to {bytes} bytes, and a batch has at most {bytes_max}: split the commit, or raise \
             the limits of the batch and of the log's records"
        );
        Refusal::new(Code::TooLarge, detail).fact("bytes_max", bytes_max).into()
    }

    /// The writer's last record is committed.
    pub(super) fn on_committed(&mut self, record: &Record, env: &Env<'_>, out: &mut Vec<Action>) {
        if record.head().kind == Kind::Epoch {
            return self.claimed(record, env, out);
        }
        let cursor = self.writer().acceptance().cursor();
        let flight = self.flight.as_mut().expect("a record in flight has a flight");
        assert_eq!(flight.draft.id, record.head().id, "what was asked for is what is committed");
        let Some(batch) = flight.batch.take() else { return self.land(out) };
        let applied = Applied { cursor, time: batch.time, timeline: self.timeline };
        if !holds(Rule::AnswerWhenApplied) {
            self.tell(out);
        }
        self.apply(Some(batch), &applied, out);
    }

    /// The record in flight is committed, and the store has it.
    pub(super) fn land(&mut self, out: &mut Vec<Action>) {
        self.tell(out);
        let flight = self.flight.take();
        if let Some(definitions) = flight.and_then(|flight| flight.definitions) {
            self.definitions = definitions;
        }
    }

    /// Answers everyone who waits for the record in flight.
    fn tell(&mut self, out: &mut Vec<Action>) {
        let position = self.position();
        let Some(flight) = &mut self.flight else { return };
        let durability = flight.durability;
        for Waiting { work, outcome, replayed } in flight.waiting.drain(..) {
            let answer = Answer { outcome, replayed, position: position.clone(), durability };
            out.push(Action::Answer { ticket: work.ticket, answer: Ok(answer) });
        }
        for Read { ticket, .. } in flight.reads.drain(..) {
            out.push(Action::Look { ticket, position: Ok(position.clone()) });
        }
    }

    /// The record in flight is not in the log and never will be.
    pub(super) fn on_rejected(&mut self, error: mainstay_log::Error, env: &Env<'_>, out: &mut Vec<Action>) {
        use mainstay_log::Error::{Full, TooLarge};
        let Some(flight) = self.flight.take() else {
            return match error {
                TooLarge { .. } => {
                    self.stop(Stop::Log(mainstay_log::writer::Stop::Failed(error)), false, out);
                }
                _ => self.claim_again(env, out),
            };
        };
        match error {
            TooLarge { bytes_max, .. } if flight.has_changes => {
                // The engine takes less than it has announced. Smaller batches, down to one command, which is refused.
                let sent = flight.draft.payload.len();
                self.payload_bytes_max = bytes_max.saturating_sub(HEADER_BYTES).min(sent / 2);
                let works = flight.waiting.into_iter().map(|waiting| waiting.work);
                self.again = works.chain(std::mem::take(&mut self.again)).collect();
                self.reads.extend(flight.reads);
            }
            Full { .. } if flight.has_changes => {
                let reason = error.to_string();
                fail(flight, &Error::StorageFull { reason }, out);
            }
            _ => fail(flight, &Error::Unavailable { reason: error.to_string() }, out),
        }
    }

    pub(super) fn on_read(&mut self, read: Read, env: &Env<'_>, out: &mut Vec<Action>) {
        let Read { ticket, deadline } = read;
        let waiting = self.reads.len();
        if matches!(self.stage, Stage::Stopped) {
            let reason = "its owner has ended".to_owned();
            return out.push(Action::Look { ticket, position: Err(Error::Unavailable { reason }) });
        }
        if waiting >= self.config.options.reads_max {
            let what = format!("shard {}", self.config.shard);
            let after = self.config.options.retry_delay_max;
            return out
                .push(Action::Look { ticket, position: Err(Error::Overloaded { what, waiting, after }) });
        }
        self.reads.push(read);
        self.note_deadline(deadline);
        self.proceed(env, out);
    }

    /// Answers those who want a cut, once everything that was begun is in the rows.
    pub(super) fn cut(&mut self, out: &mut Vec<Action>) {
        if !self.is_idle() {
            return;
        }
        for (ticket, at) in self.cuts.drain(..) {
            let time = self.clock.latest();
            let time = if time > at {
                let reason = format!("there are commits of {time}, after the cut at {at}");
                Err(Error::Unavailable { reason })
            } else {
                self.clock = HybridClock::starting_after(at);
                Ok(time)
            };
            out.push(Action::Cut { ticket, time });
        }
    }

    /// Answers those whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !is_over(self.deadline_min, now) {
            return;
        }
        self.again.retain(|work| {
            let is_over = is_over(work.deadline, now);
            if is_over {
                out.push(Action::Answer { ticket: work.ticket, answer: Err(Error::Deadline) });
            }
            !is_over
        });
        let mut reads = std::mem::take(&mut self.reads);
        expire_reads(&mut reads, now, out);
        let deadlines = reads.iter().map(|read| read.deadline);
        let mut deadline_min = deadlines.chain(self.again.iter().map(|work| work.deadline)).flatten().min();
        self.reads = reads;
        if let Some(flight) = &mut self.flight {
            let has_changes = flight.has_changes;
            for over in flight.waiting.extract_if(.., |waiting| is_over(waiting.work.deadline, now)) {
                let error =
                    if has_changes { in_doubt("the log has not answered yet") } else { Error::Deadline };
                out.push(Action::Answer { ticket: over.work.ticket, answer: Err(error) });
            }
            expire_reads(&mut flight.reads, now, out);
            let waiting = flight.waiting.iter().map(|waiting| waiting.work.deadline);
            let deadlines = waiting.chain(flight.reads.iter().map(|read| read.deadline)).flatten();
            deadline_min = deadlines.chain(deadline_min).min();
        }
        self.deadline_min = deadline_min;
    }

    /// Ends. Whoever waits is told what is known of the record in flight.
    pub(super) fn stop(&mut self, stop: Stop, is_in_doubt: bool, out: &mut Vec<Action>) {
        if matches!(self.stage, Stage::Stopped) {
            return;
        }
        let reason = stop.to_string();
        if let Some(flight) = self.flight.take() {
            let error = if is_in_doubt && flight.has_changes {
                in_doubt(&reason)
            } else {
                Error::Unavailable { reason: reason.clone() }
            };
            fail(flight, &error, out);
        }
        for work in self.again.drain(..) {
            let answer = Err(Error::Unavailable { reason: reason.clone() });
            out.push(Action::Answer { ticket: work.ticket, answer });
        }
        for read in self.reads.drain(..) {
            let position = Err(Error::Unavailable { reason: reason.clone() });
            out.push(Action::Look { ticket: read.ticket, position });
        }
        for (ticket, _) in self.cuts.drain(..) {
            let time = Err(Error::Unavailable { reason: reason.clone() });
            out.push(Action::Cut { ticket, time });
        }
        (self.stage, self.is_serving, self.deadline_min) = (Stage::Stopped, false, None);
        self.io.cancel();
        out.push(Action::Stopped(stop));
    }
}

/// What a command asks, as if it had no idempotency key.
fn without_key(input: &Input) -> Input {
    match input {
        Input::Command(command) => Command { idempotency: None, ..command.clone() }.into(),
        task @ Input::Task(_) => task.clone(),
    }
}

/// A batch without commands, in bytes, or more.
const BATCH_BYTES: usize = 32;

/// What a command adds to a batch in bytes, or more.
fn entry_bytes_max(work: &Work, effects: &[Mutation], before: &[Before]) -> usize {
    const ENTRY_BYTES: usize = 64;
    const MUTATION_BYTES: usize = 24;
    let mutation = |mutation: &Mutation| {
        MUTATION_BYTES + mutation.key().len() + mutation.value().map_or(0, bytes::Bytes::len)
    };
    let before: usize = before.iter().map(|before| MUTATION_BYTES + before.value.len()).sum();
    let effects: usize = effects.iter().map(mutation).sum();
    ENTRY_BYTES + work.input.tenant().name().as_str().len() + effects + before
}

/// The next time. A wall clock beyond what can be stamped is taken for one that stands still.
fn tick(clock: &mut HybridClock, wall: Timestamp) -> HybridTime {
    let wall = if wall > HybridTime::WALL_MAX { clock.latest().wall() } else { wall };
    clock.tick(wall)
}

fn in_doubt(reason: &str) -> Error {
    if holds(Rule::DoubtIsUnknown) {
        Error::OutcomeUnknown { reason: reason.to_owned() }
    } else {
        Error::Deadline
    }
}

/// Nothing of the flight happened, or nobody knows: everyone gets this error, and reads that they can't be served.
fn fail(flight: Flight, error: &Error, out: &mut Vec<Action>) {
    for waiting in flight.waiting {
        out.push(Action::Answer { ticket: waiting.work.ticket, answer: Err(error.clone()) });
    }
    for Read { ticket, .. } in flight.reads {
        let position = Err(Error::Unavailable { reason: error.to_string() });
        out.push(Action::Look { ticket, position });
    }
}

fn expire_reads(reads: &mut Vec<Read>, now: Instant, out: &mut Vec<Action>) {
    for Read { ticket, .. } in reads.extract_if(.., |read| is_over(read.deadline, now)) {
        out.push(Action::Look { ticket, position: Err(Error::Deadline) });
    }
}

fn is_over(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

//! Recovering: the log is read from where the store stands to its end, and what is settled goes into the store.
//!
//! What was read and is not settled may vanish from the log, and a store takes nothing back. So an accepted batch is held
//! until one above it settles it; there is at most one such batch at the end of the log, and the claim settles that.

use mainstay_base::hlc::HybridClock;
use mainstay_base::position::{Index, ShardId};
use mainstay_log::accept::{Acceptance, Cursor, Verdict};
use mainstay_log::record::{Kind, Record};
use mainstay_log::{Damage, Error, Place, Tail};
use mainstay_machine::Mutation;
use mainstay_machine::batch::Batch;
use mainstay_machine::feed::Changes;

use super::io::Operation;
use super::{Action, Applied, Env, Owner, Stage, Stop, size_bytes};
use crate::rules::{Rule, holds};

/// How the log was read so far.
pub(super) struct Recovery {
    acceptance: Acceptance,
    /// Damage that was found beyond the settled part. It is believed when it is found again.
    suspect: Option<(Place, Damage)>,
    /// Records that were read, and wait until the store has those before them.
    page: Option<Vec<Record>>,
    /// Whether the log was not looked at yet.
    is_new: bool,
}

/// An accepted batch, and where the log stands after it.
pub(super) struct Held {
    index: Index,
    batch: Batch,
    applied: Applied,
}

impl Recovery {
    pub(super) fn new(shard: ShardId, settled: Cursor) -> Self {
        Self { acceptance: Acceptance::resume(shard, settled), suspect: None, page: None, is_new: true }
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Owner {
    pub(super) fn on_tail(&mut self, outcome: &Result<Tail, Error>, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Recovering(recovery) = &mut self.stage else { unreachable!("recovery asks for the ends") };
        let (applied, at) = (self.applied, recovery.acceptance.cursor().next);
        match outcome {
            Err(Error::Unavailable { .. }) => self.io.ask(Operation::Tail, env.now, out),
            Err(error) => self.stop(Stop::Unreadable(error.clone()), false, out),
            Ok(tail) if tail.begins > at => {
                self.stop(Stop::Behind { applied, begins: tail.begins }, false, out);
            }
            Ok(tail) if tail.next < at => self.stop(Stop::Ahead { applied, next: tail.next }, false, out),
            Ok(_) => {
                recovery.is_new = false;
                self.read_on(env, out);
            }
        }
    }

    fn read_on(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Recovering(recovery) = &self.stage else { return };
        let from = recovery.acceptance.cursor().next;
        let bytes_max = size_bytes(self.config.options.read_size);
        self.io.ask(Operation::Read { from, bytes_max }, env.now, out);
    }

    pub(super) fn recover(
        &mut self,
        outcome: Result<Vec<Record>, Error>,
        env: &Env<'_>,
        out: &mut Vec<Action>,
    ) {
        let Stage::Recovering(recovery) = &mut self.stage else { unreachable!("checked by the caller") };
        match outcome {
            Err(Error::Unavailable { .. }) => self.read_on(env, out),
            Err(Error::Trimmed { begins, .. }) => {
                self.stop(Stop::Behind { applied: self.applied, begins }, false, out);
            }
            Err(Error::Damaged { place, damage }) => self.suspect(place, damage, env, out),
            Err(error) => self.stop(Stop::Unreadable(error), false, out),
            Ok(records) => {
                recovery.page = Some(records);
                self.go_on_recovering(env, out);
            }
        }
    }

    /// Goes through the records that were read, as soon as the store has those before them.
    pub(super) fn go_on_recovering(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Recovering(recovery) = &mut self.stage else { return };
        if self.applying.is_some() {
            return;
        }
        let Some(records) = recovery.page.take() else { return };
        if records.is_empty() {
            return self.begin_claim(env, out);
        }
        for record in &records {
            let Stage::Recovering(recovery) = &mut self.stage else { return };
            let verdict = recovery.acceptance.offer(record);
            let (cursor, settled) = (recovery.acceptance.cursor(), recovery.acceptance.settled());
            let is_wanted = match verdict {
                Verdict::Accepted => true,
                Verdict::Skipped(_) => !holds(Rule::ApplyWhatIsAccepted),
                Verdict::Damaged { place, damage } => return self.suspect(place, damage, env, out),
            };
            if is_wanted && let Err(stop) = self.hold(record, cursor) {
                return self.stop(stop, false, out);
            }
            self.release(settled.next, out);
        }
        // While the store works, the log is read.
        self.read_on(env, out);
    }

    /// Damage on ground that is not settled may be what took the place of records that were lost: the ground is read again.
    fn suspect(&mut self, place: Place, damage: Damage, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Recovering(recovery) = &mut self.stage else { return };
        let acceptance = &mut recovery.acceptance;
        let settled = acceptance.settled();
        let found = (place, damage);
        if acceptance.cursor() == settled || recovery.suspect.as_ref() == Some(&found) {
            let (place, damage) = found;
            return self.stop(Stop::Damaged { place, damage }, false, out);
        }
        recovery.suspect = Some(found);
        *acceptance = Acceptance::resume(self.config.shard, settled);
        self.held.clear();
        self.read_on(env, out);
    }

    /// A record of an earlier owner that a claim has found below itself.
    pub(super) fn hold_found(&mut self, record: &Record, out: &mut Vec<Action>) -> Result<(), Stop> {
        let (cursor, settled) = {
            let acceptance = self.writer().acceptance();
            (acceptance.cursor(), acceptance.settled())
        };
        self.hold(record, cursor)?;
        self.release(settled.next, out);
        Ok(())
    }

    /// Keeps what an accepted record carries until it is settled.
    fn hold(&mut self, record: &Record, cursor: Cursor) -> Result<(), Stop> {
        let index = record.head().index;
        if let Some(timeline) = record.extensions().context().timeline
            && timeline.number > self.timeline.number
        {
            u32::try_from(timeline.number).map_err(|_| Stop::Exhausted { what: "timelines" })?;
            self.timeline = timeline;
        }
        if record.head().kind != Kind::Data {
            return Ok(());
        }
        let batch = Batch::decode(record.payload()).map_err(|error| Stop::Batch { index, error })?;
        if holds(Rule::TimeAfterLog) {
            self.clock = HybridClock::starting_after(self.clock.latest().max(batch.time));
        }
        let applied = Applied { cursor, time: batch.time, timeline: self.timeline };
        self.held.push_back(Held { index, batch, applied });
        Ok(())
    }

    /// Gives to the store what is below this index.
    pub(super) fn release(&mut self, settled: Index, out: &mut Vec<Action>) {
        let is_settled = |held: &Held| held.index < settled || !holds(Rule::ApplyWhatIsSettled);
        while let Some(Held { batch, applied, .. }) = self.held.pop_front_if(|held| is_settled(held)) {
            self.apply(Some(batch), &applied, out);
        }
    }

    /// Gives to the store what a record carries, if it carries anything, and where the log then stands.
    pub(super) fn apply(&mut self, batch: Option<Batch>, applied: &Applied, out: &mut Vec<Action>) {
        let index = applied.index();
        self.applying = Some(index);
        let served = batch.as_ref().filter(|_| self.is_serving);
        let changes = served.map(|batch| Changes::of(self.place(index), batch));
        let changes = changes.filter(|changes| !changes.is_empty());
        let mutations = batch.map(mutations).unwrap_or_default();
        out.push(Action::Apply { index, mutations, changes, applied: applied.encode() });
    }

    /// The end of the log: the shard is claimed with all that was read.
    fn begin_claim(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Recovering(recovery) = &self.stage else { return };
        let acceptance = recovery.acceptance.clone();
        self.claim(acceptance, env, out);
    }
}

fn mutations(batch: Batch) -> Vec<Mutation> {
    batch.entries.into_iter().flat_map(|entry| entry.mutations).collect()
}

//! Claiming: the epoch record, and what turns out to be below it; then the shard is served.

use std::sync::Arc;

use mainstay_base::position::Epoch;
use mainstay_log::accept::Acceptance;
use mainstay_log::record::{Context, Draft, Extensions, Record};
use mainstay_log::writer::Writer;
use mainstay_machine::Definitions;

use super::{Action, Applied, Env, Owner, Stage, Stop};
use crate::rules::{Rule, holds};

impl Owner {
    /// Claims the shard at the end of the log.
    pub(super) fn claim(&mut self, acceptance: Acceptance, env: &Env<'_>, out: &mut Vec<Action>) {
        if let Err(stop) = self.check_clock(env) {
            return self.stop(stop, false, out);
        }
        let Some(epoch) = epoch_above(&acceptance) else {
            return self.stop(Stop::Exhausted { what: "epochs" }, false, out);
        };
        let mut draft = Draft::epoch(self.draw_id());
        if self.timeline != Applied::START.timeline {
            let context = Context { timeline: Some(self.timeline), ..Context::default() };
            draft.extensions = Extensions::new(&context);
        }
        let (writer, step) = Writer::claim(acceptance, epoch, &draft);
        (self.stage, self.epoch_draft) = (Stage::Claiming(writer), Some(draft));
        self.drive(step, env, out);
    }

    /// The epoch record was refused, and nothing was done: the same again, after a while.
    pub(super) fn claim_again(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let (Stage::Claiming(writer), Some(draft)) = (&self.stage, &self.epoch_draft) else {
            unreachable!("only a claim sends a record without a flight")
        };
        let (writer, step) = Writer::claim(writer.acceptance().clone(), writer.epoch(), draft);
        self.stage = Stage::Claiming(writer);
        self.drive(step, env, out);
    }

    /// The epoch record is committed, and so is everything below it.
    pub(super) fn claimed(&mut self, record: &Record, env: &Env<'_>, out: &mut Vec<Action>) {
        // What turned up during the claim may have brought a later time.
        if let Err(stop) = self.check_clock(env) {
            return self.stop(stop, false, out);
        }
        let Stage::Claiming(writer) = std::mem::replace(&mut self.stage, Stage::Stopped) else {
            unreachable!("an epoch record is committed by a claim")
        };
        let cursor = writer.acceptance().settled();
        assert_eq!(cursor.epoch, record.head().epoch, "the last accepted epoch is the claimed one");
        self.stage = Stage::Owning(writer);
        self.release(cursor.next, out);
        // Also without rows: so that a store that only ever changes owners does not pin the log.
        let applied = Applied { cursor, time: self.log_time(), timeline: self.timeline };
        self.apply(None, &applied, out);
    }

    /// The store has everything below the epoch record.
    pub(super) fn begin_serving(&mut self, env: &Env<'_>, out: &mut Vec<Action>) {
        let Stage::Owning(writer) = &self.stage else { unreachable!("checked by the caller") };
        let epoch = writer.epoch();
        match Definitions::load(env.state) {
            Ok(definitions) => self.definitions = Arc::new(definitions),
            Err(error) => return self.stop(Stop::Store { reason: error.to_string() }, false, out),
        }
        self.is_serving = true;
        out.push(Action::Owned { epoch });
    }

    fn check_clock(&self, env: &Env<'_>) -> Result<(), Stop> {
        let (log, wall, offset_max) = (self.log_time(), env.wall, self.config.options.clock_offset_max);
        match log.wall().since(wall) {
            Some(behind) if behind > offset_max => Err(Stop::ClockBehind { wall, log, offset_max }),
            _ => Ok(()),
        }
    }
}

fn epoch_above(acceptance: &Acceptance) -> Option<Epoch> {
    if holds(Rule::EpochAboveAll) {
        acceptance.epoch_seen().checked_next()
    } else {
        Some(acceptance.epoch_seen().max(Epoch::new(1)))
    }
}

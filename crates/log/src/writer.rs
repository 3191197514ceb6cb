//! The owner's side of the contract: which append, read or barrier comes next, and when a record is committed.
//!
//! [`Writer`] is sans-I/O: it is told what the engine answered and says what to do next, so that the owner of
//! a shard in production and the simulator drive the same decisions. It has one record in flight. Waiting,
//! backing off and giving up are its caller's.
//!
//! The one idea is *settled ground*. A record counts if everything that its writer believes to be below it is
//! there and stays there. An acknowledgement proves the first only for what can't be lost, so a writer whose
//! ground is not settled (it took over a log whose end it merely read, or found its own record by reading)
//! appends an epoch record or a barrier, never data, and reads the ground again once that is acknowledged.

use mainstay_base::position::{Epoch, Index};
use thiserror::Error;

use crate::accept::{Acceptance, Verdict};
use crate::error::{Damage, Error, Place};
use crate::log::Appended;
use crate::record::{Draft, Kind, Record};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Append this record and report to [`Writer::on_append`]. It may be an append that was tried before; the
    /// caller decides when to repeat it. An append that was given up is reported as [`Error::OutcomeUnknown`].
    Append(Record),
    /// Read the record at this index, begun now, and report to [`Writer::on_read`].
    Read(Index),
    /// This record of an earlier owner is part of the history: apply it, then call [`Writer::applied`]. Only
    /// while the ownership is being claimed.
    Apply(Record),
    /// What waits is proven only by a later append: call [`Writer::append`] with a barrier.
    Barrier,
    /// This record, the last that the caller asked for, is committed, and so is everything below it. After a
    /// claim it is the epoch record, and the shard is owned.
    Committed(Record),
    /// The record that the caller asked for is not in the log and never will be. The writer is as it was before; after a
    /// rejected claim, claim again.
    Rejected(Error),
    /// This writer appends nothing any more. Whoever waits gets an unknown outcome if `in_doubt`, and otherwise
    /// an error that says that nothing was done.
    Stopped {
        /// Why.
        stop: Stop,
        /// Whether the record that the caller asked for may be, or come to be, in the log.
        in_doubt: bool,
    },
}

/// Why a writer has stopped. A new claim, which begins by reading, is right after each but damage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Stop {
    /// The log has a foreign record of an epoch that is not below this writer's.
    #[error("the shard has a later owner: there is a record of epoch {epoch}")]
    Deposed {
        /// The foreign epoch; a new claim goes above it.
        epoch: Epoch,
    },
    /// The index was trimmed, so a later owner has gone beyond it.
    #[error("the shard has a later owner: the log was trimmed to {begins}")]
    Trimmed {
        /// The lowest index that can be read.
        begins: Index,
    },
    /// Records that were read, and never acknowledged, are gone.
    #[error(
        "records from index {from} on are not what they were before: they were lost before they were durable"
    )]
    GroundLost {
        /// The first index that may have changed.
        from: Index,
    },
    /// The log is damaged.
    #[error("the log is damaged at {place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
    /// The engine takes nothing any more.
    #[error(transparent)]
    Failed(Error),
}

/// One ownership of one shard's log, from the claim to the end.
#[derive(Debug, Clone)]
pub struct Writer {
    epoch: Epoch,
    /// What this writer believes the log to be, up to the record before the pending one.
    acceptance: Acceptance,
    phase: Phase,
    /// The record in flight; there is one in every phase but `Idle` and `Stopped`.
    pending: Option<Record>,
    /// The caller's record, found by reading and not proven yet.
    found: Option<Record>,
    /// The caller's data record, whose place a record that counts for nobody has taken. It waits for
    /// settled ground.
    displaced: Option<Draft>,
    /// Whether a record that was sent since the ground was last settled may be in the log.
    in_doubt: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The pending record is to be appended.
    Appending,
    /// The record at the pending one's index is read to find out what became of it.
    ReadingBack,
    /// The record at the pending one's index is being applied.
    Applying,
    /// The pending record is acknowledged, and the ground below it is read again.
    Settling(Box<Acceptance>),
    Stopped,
}

impl Writer {
    /// Claims the shard for an owner who has read the whole log through `acceptance` and applied what it
    /// accepted. `draft` is the epoch record.
    ///
    /// Panics unless `epoch` is above every epoch in the log and the draft is an epoch record.
    pub fn claim(acceptance: Acceptance, epoch: Epoch, draft: &Draft) -> (Self, Step) {
        assert!(epoch > acceptance.epoch_seen(), "a claim goes above every epoch in the log");
        assert_eq!(draft.kind, Kind::Epoch, "an ownership begins with an epoch record");
        let mut writer = Self {
            epoch,
            acceptance,
            phase: Phase::Idle,
            pending: None,
            found: None,
            displaced: None,
            in_doubt: false,
        };
        let step = writer.send(draft);
        (writer, step)
    }

    /// Appends a record of the caller's. Panics unless the writer is ready, or asked for a barrier and is given one.
    pub fn append(&mut self, draft: &Draft) -> Step {
        assert_eq!(self.phase, Phase::Idle, "one record is in flight");
        match draft.kind {
            Kind::Data => assert!(self.is_ready(), "data is appended on settled ground"),
            Kind::Barrier => assert!(self.is_owner() || self.found.is_some(), "the claim comes first"),
            Kind::Epoch => panic!("an epoch record is appended by a claim"),
        }
        self.send(draft)
    }

    /// What became of the append: the answer to any attempt with this very record, also to one that was given up.
    pub fn on_append(&mut self, outcome: Result<Appended, Error>) -> Step {
        assert_eq!(self.phase, Phase::Appending, "an append was asked for");
        let index = self.pending().head().index;
        match outcome {
            Ok(appended) => {
                assert_eq!(appended.index, index, "the engine acknowledges what was appended");
                self.acknowledged()
            }
            Err(Error::Refused { next, .. }) if next < index => {
                self.in_doubt = true;
                self.stop(Stop::GroundLost { from: next })
            }
            Err(Error::Refused { next, .. }) if next > index => {
                self.in_doubt = true;
                self.phase = Phase::ReadingBack;
                Step::Read(index)
            }
            Err(Error::Refused { .. } | Error::OutcomeUnknown { .. }) => {
                self.in_doubt = true;
                self.send_again()
            }
            Err(Error::Fenced { highest, .. }) => {
                self.in_doubt = true;
                self.stop(Stop::Deposed { epoch: highest })
            }
            // The attempt did nothing; an earlier one that is in doubt still has to be resolved.
            Err(Error::TooLarge { .. } | Error::Full { .. } | Error::Unavailable { .. }) if self.in_doubt => {
                self.send_again()
            }
            Err(error @ (Error::TooLarge { .. } | Error::Full { .. } | Error::Unavailable { .. })) => {
                (self.phase, self.pending) = (Phase::Idle, None);
                Step::Rejected(error)
            }
            Err(error) => self.fail(error),
        }
    }

    /// What was read at the index of [`Step::Read`]: the record there, or none because the log ends before it.
    pub fn on_read(&mut self, outcome: Result<Option<Record>, Error>) -> Step {
        assert!(
            matches!(self.phase, Phase::ReadingBack | Phase::Settling(_)),
            "a read was asked for, and not in {:?}",
            self.phase
        );
        match outcome {
            Err(Error::Unavailable { .. }) => self.read_again(),
            Err(Error::Trimmed { begins, .. }) => self.stop(Stop::Trimmed { begins }),
            Err(error) => self.fail(error),
            Ok(record) if self.phase == Phase::ReadingBack => self.read_back(record),
            Ok(record) => self.settle(record),
        }
    }

    /// The record of [`Step::Apply`] was applied.
    pub fn applied(&mut self) -> Step {
        assert_eq!(self.phase, Phase::Applying, "a record was to be applied");
        self.yield_place()
    }

    /// Whether data may be appended now.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Idle && self.is_owner() && self.is_grounded()
    }

    /// Whether the record that the caller asked for may be, or come to be, in the log: what to answer when the
    /// caller gives up.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// The epoch of this ownership.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What this writer believes the log to be. The settled part is what it may trim to and make snapshots of.
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    fn is_owner(&self) -> bool {
        self.acceptance.cursor().epoch == self.epoch
    }

    /// Nothing that this writer believes to be below the next record can be lost.
    fn is_grounded(&self) -> bool {
        self.acceptance.cursor() == self.acceptance.settled()
    }

    fn pending(&self) -> &Record {
        self.pending.as_ref().expect("a record is in flight in this phase")
    }

    fn send(&mut self, draft: &Draft) -> Step {
        let cursor = self.acceptance.cursor();
        self.pending = Some(draft.seal(self.acceptance.shard(), cursor.next, self.epoch, cursor.prev));
        self.send_again()
    }

    /// The identical record: same index, same id, same bytes.
    fn send_again(&mut self) -> Step {
        self.phase = Phase::Appending;
        Step::Append(self.pending().clone())
    }

    fn read_again(&self) -> Step {
        match &self.phase {
            Phase::Settling(again) => Step::Read(again.cursor().next),
            _ => Step::Read(self.pending().head().index),
        }
    }

    fn acknowledged(&mut self) -> Step {
        let was_grounded = self.is_grounded();
        self.accept_own();
        if was_grounded {
            return self.settled();
        }
        let again = Box::new(self.acceptance.again());
        let from = again.cursor().next;
        self.phase = Phase::Settling(again);
        Step::Read(from)
    }

    /// The pending record joins what this writer believes the log to be.
    fn accept_own(&mut self) {
        let verdict = self.acceptance.offer(self.pending.as_ref().expect("a record was in flight"));
        assert_eq!(verdict, Verdict::Accepted, "a record follows what its writer has accepted");
    }

    /// Everything up to the pending record is there to stay.
    fn settled(&mut self) -> Step {
        self.acceptance.settle();
        self.phase = Phase::Idle;
        self.in_doubt = false;
        let last = self.pending.take().expect("a record was in flight");
        let found = self.found.take();
        match self.displaced.take() {
            Some(draft) => self.send(&draft),
            None => Step::Committed(found.unwrap_or(last)),
        }
    }

    fn read_back(&mut self, record: Option<Record>) -> Step {
        let Some(record) = record else {
            // What had taken the place was lost before it was durable.
            return self.send_again();
        };
        if record == *self.pending() {
            self.accept_own();
            self.phase = Phase::Idle;
            // When barriers follow one another, the first that was found is what the caller asked for.
            let own = self.pending.take();
            self.found = self.found.take().or(own);
            return Step::Barrier;
        }
        let epoch = record.head().epoch;
        if epoch >= self.epoch {
            return self.stop(Stop::Deposed { epoch });
        }
        match self.acceptance.offer(&record) {
            Verdict::Accepted => {
                self.phase = Phase::Applying;
                Step::Apply(record)
            }
            Verdict::Skipped(_) => self.yield_place(),
            Verdict::Damaged { place, damage } if self.is_grounded() => {
                self.stop(Stop::Damaged { place, damage })
            }
            // It follows what has taken the place of the records that this writer had read.
            Verdict::Damaged { .. } => self.stop(Stop::GroundLost { from: self.acceptance.settled().next }),
        }
    }

    /// A record of an earlier owner is where the pending one was to be: go on behind it. Data waits until that
    /// record can't be lost any more, since only then no copy of the data can come to be in its place.
    fn yield_place(&mut self) -> Step {
        let draft = self.pending().draft();
        if draft.kind == Kind::Data {
            self.phase = Phase::Idle;
            (self.pending, self.displaced) = (None, Some(draft));
            return Step::Barrier;
        }
        self.send(&draft)
    }

    /// One more record of the ground below the acknowledged one.
    fn settle(&mut self, record: Option<Record>) -> Step {
        let Phase::Settling(again) = &mut self.phase else { unreachable!("checked by the caller") };
        let from = self.acceptance.settled().next;
        let Some(record) = record else { return self.stop(Stop::GroundLost { from }) };
        match again.offer(&record) {
            Verdict::Damaged { place, damage } => return self.stop(Stop::Damaged { place, damage }),
            Verdict::Accepted | Verdict::Skipped(_) => {}
        }
        let believed = self.acceptance.cursor();
        if again.cursor().next < believed.next {
            return self.read_again();
        }
        // Checksums chain: where the last accepted record is the same, all before it are.
        if again.cursor() == believed { self.settled() } else { self.stop(Stop::GroundLost { from }) }
    }

    fn fail(&mut self, error: Error) -> Step {
        match error {
            Error::Damaged { place, damage } => self.stop(Stop::Damaged { place, damage }),
            error => self.stop(Stop::Failed(error)),
        }
    }

    fn stop(&mut self, stop: Stop) -> Step {
        self.phase = Phase::Stopped;
        Step::Stopped { stop, in_doubt: self.in_doubt }
    }
}

#[cfg(test)]
mod tests;

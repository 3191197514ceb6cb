//! Which records of a log count: the decision that every reader makes in the same way.
//!
//! [`Acceptance`] is a pure state machine. Owners, followers, recovery, archives and inspection all feed it
//! the records of one shard in the order of their indexes and act only on those that it accepts, so that all
//! of them see one history, whatever engine the bytes came from.
//!
//! A reader may see a record that is lost again before it was ever acknowledged. What it has read is *settled*
//! once that cannot happen any more ([`Acceptance::settled`]).

use mainstay_base::position::{Epoch, Index, ShardId};
use serde::{Deserialize, Serialize};

use crate::error::{Damage, Place};
use crate::record::{Checksum, Kind, Record};

/// Where a reader stands in a shard's log: what it needs to go on from there, for instance after a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The index of the record to offer next.
    pub next: Index,
    /// The highest accepted epoch.
    pub epoch: Epoch,
    /// The checksum of the last accepted record.
    pub prev: Checksum,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the shard's history.
    Accepted,
    /// It is whole, but counts for nobody, and never will.
    Skipped(Skip),
    /// The log is not what its writers made of it. The acceptance has not moved.
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
}

/// Why a record is not part of the history although nothing is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Its epoch is below the highest accepted one: its writer was not the owner any more (R6).
    Stale,
    /// It is an epoch record or a barrier on top of records that were lost before they were acknowledged (R7).
    Orphan,
}

/// What an acceptance has decided since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records that are part of the history.
    pub accepted: u64,
    /// Records of writers that were not the owner any more.
    pub stale: u64,
    /// Epoch records and barriers on top of lost records.
    pub orphans: u64,
}

/// Decides record by record, for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    shard: ShardId,
    cursor: Cursor,
    /// Never ahead of `cursor`: where the records begin that could still be lost.
    settled: Cursor,
    /// The highest epoch offered, accepted or not.
    epoch_seen: Epoch,
    counts: Counts,
}

impl Cursor {
    /// Before the first record.
    pub const START: Self = Self { next: Index::FIRST, epoch: Epoch::NONE, prev: Checksum::START };
}

impl Acceptance {
    /// Reads a log from its first record.
    pub const fn new(shard: ShardId) -> Self {
        Self::resume(shard, Cursor::START)
    }

    /// Reads on from a cursor, which must be a settled one: records below it are never looked at again.
    pub const fn resume(shard: ShardId, settled: Cursor) -> Self {
        let counts = Counts { accepted: 0, stale: 0, orphans: 0 };
        Self { shard, cursor: settled, settled, epoch_seen: settled.epoch, counts }
    }

    /// Whose log is read.
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// Where it stands.
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Up to where what was read can't be lost any more. Snapshots and everything that acts on the outside go
    /// no further, and damage that is found beyond it counts only if it is found again by reading from here.
    pub const fn settled(&self) -> Cursor {
        self.settled
    }

    /// The highest epoch that was offered, accepted or not: a candidate goes above it.
    pub const fn epoch_seen(&self) -> Epoch {
        self.epoch_seen
    }

    /// How many records were accepted and skipped.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Decides about the record that the engine gave for the cursor's index.
    ///
    /// A damaged record leaves the acceptance as it was; after any other, the cursor is at the next index.
    pub fn offer(&mut self, record: &Record) -> Verdict {
        let verdict = self.judge(record);
        match &verdict {
            Verdict::Damaged { .. } => return verdict,
            Verdict::Skipped(Skip::Stale) => self.counts.stale += 1,
            Verdict::Skipped(Skip::Orphan) => self.counts.orphans += 1,
            Verdict::Accepted => {
                let head = record.head();
                if head.kind == Kind::Data {
                    // Data is appended only on settled records (R10), so everything below it is.
                    self.settled = self.cursor;
                }
                self.cursor.epoch = head.epoch;
                self.cursor.prev = record.checksum();
                self.counts.accepted += 1;
            }
        }
        self.epoch_seen = self.epoch_seen.max(record.head().epoch);
        self.cursor.next = self.cursor.next.next();
        verdict
    }

    /// Notes that everything offered so far can't be lost any more: an append at the last of it, or above, was
    /// acknowledged, and what was offered was read since then or appended on settled records.
    pub(crate) const fn settle(&mut self) {
        self.settled = self.cursor;
    }

    /// The same log from the settled cursor again.
    pub(crate) const fn again(&self) -> Self {
        Self::resume(self.shard, self.settled)
    }

    fn judge(&self, record: &Record) -> Verdict {
        let head = record.head();
        let damaged = |damage| Verdict::Damaged {
            place: Place::Record { shard: self.shard, index: self.cursor.next },
            damage,
        };
        if head.shard != self.shard {
            return damaged(Damage::Shard { found: head.shard });
        }
        if head.index != self.cursor.next {
            return damaged(Damage::Index { found: head.index });
        }
        if head.epoch < self.cursor.epoch {
            return Verdict::Skipped(Skip::Stale);
        }
        if head.prev != self.cursor.prev {
            return match head.kind {
                Kind::Epoch | Kind::Barrier => Verdict::Skipped(Skip::Orphan),
                Kind::Data => damaged(Damage::Chain { expected: self.cursor.prev, found: head.prev }),
            };
        }
        let begins_epoch = head.epoch > self.cursor.epoch;
        match (begins_epoch, head.kind) {
            (true, Kind::Epoch) | (false, Kind::Data | Kind::Barrier) => Verdict::Accepted,
            (true, Kind::Data | Kind::Barrier) => damaged(Damage::EpochUnannounced { found: head.epoch }),
            (false, Kind::Epoch) => damaged(Damage::EpochRepeated { found: head.epoch }),
        }
    }
}

#[cfg(test)]
mod tests;

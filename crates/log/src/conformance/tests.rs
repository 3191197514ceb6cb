//! The suite finds engines that break one rule each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::*;
use crate::memory::{Bounds, Memory};
use crate::{Appended, Durability, Guarantees, Limits};
use mainstay_base::units::Size;

/// What is wrong with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    TakesAnyIndex,
    AcceptsTheSameAgain,
    LosesRaces,
    ForgetsTheNextIndexWhenEmpty,
    ReadsNothingBelowTheBeginning,
    TrimsBeyondTheEnd,
    TrimsBackwards,
    HasNoLimit,
    MixesShards,
    ClaimsToFence,
    IgnoresTheBytesMax,
    ChangesPayloads,
    OverstatesDurability,
    LosesTheLastAtRestart,
    FailsWaits,
}

/// An engine in memory with a flaw.
struct Flawed {
    flaw: Flaw,
    memory: Memory,
    is_restarted: bool,
}

struct FlawedHarness {
    flaw: Flaw,
    last: Mutex<Memory>,
}

impl Harness for FlawedHarness {
    fn create(&self) -> Arc<dyn Log> {
        let memory = Memory::new(Bounds { record_max: Size::from_kib(64), ..Bounds::default() });
        *self.last.lock().unwrap() = memory.clone();
        Arc::new(Flawed { flaw: self.flaw, memory, is_restarted: false })
    }

    fn restart(&self, _: Arc<dyn Log>) -> Arc<dyn Log> {
        let memory = self.last.lock().unwrap().clone();
        Arc::new(Flawed { flaw: self.flaw, memory, is_restarted: true })
    }
}

fn at(record: &Record, shard: ShardId, index: Index, payload: Option<Bytes>) -> Record {
    let mut draft = record.draft();
    draft.payload = payload.unwrap_or(draft.payload);
    draft.seal(shard, index, record.head().epoch, record.head().prev)
}

impl Flawed {
    fn shard(&self, shard: ShardId) -> ShardId {
        if self.flaw == Flaw::MixesShards { SHARD } else { shard }
    }
}

impl Log for Flawed {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let head = *record.head();
            let tail = self.memory.tail(SHARD).await?;
            match self.flaw {
                Flaw::TakesAnyIndex if head.index != tail.next => {
                    let record = at(&record, head.shard, tail.next, None);
                    let appended = self.memory.append(record).await?;
                    return Ok(Appended { index: head.index, ..appended });
                }
                Flaw::AcceptsTheSameAgain if head.index < tail.next => {
                    let there = read_one(&self.memory, head.index).await;
                    if there == Ok(Some(record.clone())) {
                        return Ok(Appended { index: head.index, durability: Durability::Memory });
                    }
                }
                Flaw::LosesRaces => {
                    return match self.memory.append(record).await {
                        Err(Error::Refused { next, .. }) if next == head.index.next() => {
                            Ok(Appended { index: head.index, durability: Durability::Memory })
                        }
                        outcome => outcome,
                    };
                }
                Flaw::ForgetsTheNextIndexWhenEmpty if self.is_restarted && tail.begins == tail.next => {
                    return Ok(Appended { index: head.index, durability: Durability::Memory });
                }
                Flaw::HasNoLimit if record.encoded_bytes() > self.limits().record_bytes_max => {
                    return Ok(Appended { index: head.index, durability: Durability::Memory });
                }
                _ => {}
            }
            self.memory.append(at(&record, self.shard(head.shard), head.index, None)).await
        })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        Box::pin(async move {
            let bytes_max = if self.flaw == Flaw::IgnoresTheBytesMax { ALL } else { bytes_max };
            let mut read = match self.memory.read(self.shard(shard), from, bytes_max).await {
                Err(Error::Trimmed { .. }) if self.flaw == Flaw::ReadsNothingBelowTheBeginning => Vec::new(),
                outcome => outcome?,
            };
            if self.flaw == Flaw::LosesTheLastAtRestart && self.is_restarted {
                read.pop();
            }
            if self.flaw == Flaw::ChangesPayloads {
                let changed =
                    |record: &Record| at(record, shard, record.head().index, Some(Bytes::from_static(b"!")));
                read = read.iter().map(changed).collect();
            }
            Ok(read)
        })
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        self.memory.tail(shard)
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        if self.flaw == Flaw::FailsWaits {
            return Box::pin(async { Err(Error::Closed) });
        }
        self.memory.wait(shard, index)
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let tail = self.memory.tail(shard).await?;
            match self.flaw {
                Flaw::TrimsBeyondTheEnd if to > tail.next => Ok(()),
                Flaw::TrimsBackwards if to < tail.begins => Err(Error::Closed),
                _ => self.memory.trim(shard, to).await,
            }
        })
    }

    fn limits(&self) -> Limits {
        self.memory.limits()
    }

    fn guarantees(&self) -> Guarantees {
        let durability = match self.flaw {
            Flaw::OverstatesDurability => Durability::Synced,
            _ => Durability::Memory,
        };
        Guarantees { durability, fences_epochs: self.flaw == Flaw::ClaimsToFence }
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        Box::pin(async { Ok(self.guarantees()) })
    }
}

/// The case that must find the flaw, and what it must say.
#[test]
fn each_flaw_is_found_by_its_case() {
    let found = |flaw, case: Case, rule: &str| {
        let harness = FlawedHarness { flaw, last: Mutex::default() };
        let panic =
            catch_unwind(AssertUnwindSafe(|| case(&harness))).expect_err(&format!("{flaw:?} is not found"));
        let message = panic.downcast_ref::<String>().expect("the message is formatted");
        assert!(message.contains(rule), "{flaw:?} is found for another reason: {message}");
    };
    found(Flaw::TakesAnyIndex, appends_follow_one_another, "leaves a gap");
    found(Flaw::AcceptsTheSameAgain, an_appended_record_is_not_appended_again, "the same record again");
    found(Flaw::LosesRaces, of_racing_appends_one_wins, "one wins");
    found(Flaw::ForgetsTheNextIndexWhenEmpty, trimming_does_not_give_indexes_back, "nothing is left");
    found(Flaw::ReadsNothingBelowTheBeginning, reading_what_is_trimmed_tells_where_the_log_begins, "R14");
    found(Flaw::TrimsBeyondTheEnd, trimming_stays_within_the_log, "a trim beyond the end");
    found(Flaw::TrimsBackwards, trimming_stays_within_the_log, "trimming to 2");
    found(Flaw::HasNoLimit, a_record_that_is_too_large_is_refused, "above the limit");
    found(Flaw::MixesShards, shards_are_independent, "waits for no other");
    found(Flaw::ClaimsToFence, a_lower_epoch_never_counts, "says that it fences");
    found(Flaw::IgnoresTheBytesMax, reads_are_bounded_and_go_on, "a read of 0 bytes");
    found(Flaw::ChangesPayloads, records_come_back_byte_for_byte, "other bytes");
    found(Flaw::OverstatesDurability, appends_follow_one_another, "how durable");
    found(Flaw::LosesTheLastAtRestart, a_restart_keeps_what_was_acknowledged, "R2");
    found(Flaw::FailsWaits, a_wait_ends_with_an_append, "R15");
}

//! Without faults the wrapped engine is the engine inside, and with them it keeps the contract.

use std::task::Context;

use mainstay_base::position::Epoch;

use super::*;
use crate::block_on::block_on;
use crate::conformance::{self, Harness};
use crate::memory::Memory;
use crate::record::{Checksum, Draft, RecordId};

const SHARD: ShardId = ShardId::new(1);
/// Everything takes its time, and nothing fails.
const SLOW: Odds = Odds { delay_steps: 3, ..Odds::NONE };

struct Wrapped(Mutex<Option<Faulty>>);

impl Harness for Wrapped {
    fn create(&self) -> Arc<dyn Log> {
        let log = Faulty::new(Arc::new(Memory::default()), Odds::NONE, 1);
        *self.0.lock().unwrap() = Some(log.clone());
        Arc::new(log)
    }

    fn restart(&self, _: Arc<dyn Log>) -> Arc<dyn Log> {
        let log = self.0.lock().unwrap().clone().unwrap();
        log.crash_process();
        Arc::new(log)
    }
}

#[test]
fn it_conforms() {
    conformance::all(&Wrapped(Mutex::default()));
}

fn slow(odds: Odds) -> Faulty {
    Faulty::new(Arc::new(Memory::default()), odds, 1)
}

fn record(index: u64) -> Record {
    let draft = Draft::barrier(RecordId::new([0; 16]));
    draft.seal(SHARD, Index::new(index), Epoch::new(1), Checksum::START)
}

/// What a future has become after so many steps.
fn after_steps<T>(log: &Faulty, steps: u64, future: &mut BoxFuture<'_, T>) -> Option<T> {
    for _ in 0..=steps {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
        log.step();
    }
    None
}

fn visible(log: &Faulty) -> u64 {
    let (records, _) = log.peek(SHARD, Index::FIRST).unwrap();
    records.len() as u64
}

#[test]
fn what_is_asked_takes_steps_and_is_answered() {
    let log = slow(SLOW);
    let mut append = log.append(record(1));
    assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(after_steps(&log, 10, &mut append).unwrap().unwrap().index, Index::FIRST);
    assert_eq!(after_steps(&log, 10, &mut log.read(SHARD, Index::FIRST, 1)), Some(Ok(vec![record(1)])));
    let tail = Tail { begins: Index::FIRST, next: Index::new(2) };
    assert_eq!(after_steps(&log, 10, &mut log.tail(SHARD)), Some(Ok(tail)));
    assert_eq!(after_steps(&log, 10, &mut log.trim(SHARD, Index::new(2))), Some(Ok(())));
    let refused = Error::Refused { shard: SHARD, index: Index::new(5), next: Index::new(2) };
    assert_eq!(after_steps(&log, 10, &mut log.append(record(5))), Some(Err(refused)));
}

#[test]
fn what_is_visible_and_not_acknowledged_may_vanish_and_what_is_acknowledged_stays() {
    let mut left = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let odds = Odds { sync: u64::MAX, ..SLOW };
        let log = Faulty::new(Arc::new(Memory::default()), Odds::NONE, seed);
        let _ = block_on(log.append(record(1))).unwrap();
        log.set_odds(odds);
        assert!(log.put(record(2)) && log.put(record(3)));
        let mut append = log.append(record(4));
        assert_eq!(after_steps(&log, 5, &mut append), None, "it is visible, and nobody is told");
        assert_eq!(visible(&log), 4);
        log.crash_process();
        assert_eq!(visible(&log), 4, "the end of the process loses no record");
        log.crash_machine();
        left.insert(visible(&log));
        log.crash_machine();
        assert!(left.contains(&visible(&log)), "what was left is durable");
    }
    assert_eq!(left, [1, 2, 3, 4].into());
}

#[test]
fn a_doubled_append_arrives_once_more_and_also_after_a_crash() {
    let log = slow(Odds { double: 1, delay_steps: 8, late: 2, ..Odds::NONE });
    let mut append = log.append(record(1));
    assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(append);
    log.crash_machine();
    assert_eq!(visible(&log), 0);
    (0..600).for_each(|_| log.step());
    assert_eq!(visible(&log), 1, "it was on its way");
    let refusals = log.history().lines().filter(|line| line.contains("not appended")).count();
    assert_eq!(refusals, 1, "the second copy is refused");
}

#[test]
fn answers_and_appends_are_lost() {
    for odds in [Odds { lose: 1, ..SLOW }, Odds { drop: 1, ..SLOW }] {
        let log = slow(odds);
        assert_eq!(after_steps(&log, 300, &mut log.append(record(1))), None);
        assert_eq!(visible(&log), odds.lose);
    }
}

#[test]
fn outages_answer_that_nothing_was_done_and_pauses_answer_nothing() {
    let log = slow(Odds { unavailable: 1, ..SLOW });
    let outcome = after_steps(&log, 20, &mut log.append(record(1))).unwrap();
    assert!(matches!(outcome, Err(Error::Unavailable { act: Act::Append, .. })), "{outcome:?}");
    let outcome = after_steps(&log, 20, &mut log.read(SHARD, Index::FIRST, 1)).unwrap();
    assert!(matches!(outcome, Err(Error::Unavailable { act: Act::Read, .. })), "{outcome:?}");

    let log = slow(Odds { full: 1, ..SLOW });
    let outcome = after_steps(&log, 20, &mut log.append(record(1))).unwrap();
    assert!(matches!(outcome, Err(Error::Full { .. })), "{outcome:?}");

    // Of one of two copies nobody can say that the append will never be done.
    let log = slow(Odds { full: 1, double: 1, ..SLOW });
    let outcome = after_steps(&log, 20, &mut log.append(record(1))).unwrap();
    assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{outcome:?}");

    let log = slow(Odds { pause: 1, ..SLOW });
    log.step();
    let mut append = log.append(record(1));
    assert_eq!(after_steps(&log, 100, &mut append), None, "each pause is followed by another");
    log.set_odds(SLOW);
    assert!(after_steps(&log, 100, &mut append).unwrap().is_ok());
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let odds = Odds { double: 2, lose: 3, drop: 3, late: 4, sync: 3, crash_machine: 8, ..SLOW };
        let log = Faulty::new(Arc::new(Memory::default()), odds, seed);
        for index in 1..20 {
            let _ = after_steps(&log, 9, &mut log.append(record(index.min(visible(&log) + 1))));
        }
        log.history()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

//! What every engine must pass: the contract's rules for engines as ordinary functions.
//!
//! Each case panics with the rule and what failed. An engine's tests implement [`Harness`] and call [`all`], or
//! run [`CASES`] one by one.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;

use bytes::Bytes;
use mainstay_base::id::Tenant;
use mainstay_base::position::{Epoch, Index, ShardId};

use crate::accept::{Acceptance, Skip, Verdict};
use crate::block_on::block_on;
use crate::record::{
    Checksum, Context, Draft, Extensions, HEADER_BYTES, Record, RecordId, Timeline, TraceContext,
};
use crate::writer::{Step, Stop, Writer};
use crate::{BoxFuture, Error, Log, Tail};

/// How the suite gets at an engine.
pub trait Harness: Sync {
    /// Empty logs, which share nothing with any made before.
    fn create(&self) -> Arc<dyn Log>;

    /// Ends this log, as a clean stop would, and opens what it has stored. Panics when it is not the log that
    /// was made or restarted last.
    fn restart(&self, log: Arc<dyn Log>) -> Arc<dyn Log>;

    /// Runs a future to its end on this thread; an engine that needs its runtime enters it here.
    fn block_on(&self, work: BoxFuture<'_, ()>) {
        block_on(work);
    }
}

/// One case of the suite.
pub type Case = fn(&dyn Harness);

/// Every case with its name.
pub const CASES: [(&str, Case); 15] = [
    ("appends_follow_one_another", appends_follow_one_another),
    ("an_appended_record_is_not_appended_again", an_appended_record_is_not_appended_again),
    ("of_racing_appends_one_wins", of_racing_appends_one_wins),
    ("records_come_back_byte_for_byte", records_come_back_byte_for_byte),
    ("reads_are_bounded_and_go_on", reads_are_bounded_and_go_on),
    ("a_restart_keeps_what_was_acknowledged", a_restart_keeps_what_was_acknowledged),
    ("trimming_does_not_give_indexes_back", trimming_does_not_give_indexes_back),
    (
        "reading_what_is_trimmed_tells_where_the_log_begins",
        reading_what_is_trimmed_tells_where_the_log_begins,
    ),
    ("trimming_stays_within_the_log", trimming_stays_within_the_log),
    ("a_record_that_is_too_large_is_refused", a_record_that_is_too_large_is_refused),
    ("shards_are_independent", shards_are_independent),
    ("a_lower_epoch_never_counts", a_lower_epoch_never_counts),
    ("of_two_writers_one_is_deposed", of_two_writers_one_is_deposed),
    ("an_unknown_outcome_is_resolved", an_unknown_outcome_is_resolved),
    ("a_wait_ends_with_an_append", a_wait_ends_with_an_append),
];

/// Runs every case.
pub fn all(harness: &dyn Harness) {
    for (_, case) in CASES {
        case(harness);
    }
}

const SHARD: ShardId = ShardId::new(7);
const EPOCH: Epoch = Epoch::new(1);
/// More bytes than any case reads at once.
const ALL: usize = 1 << 20;

fn id() -> RecordId {
    static LAST: AtomicU64 = AtomicU64::new(1);
    RecordId::new(u128::from(LAST.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
}

fn data(payload: &[u8]) -> Draft {
    Draft::data(id(), Bytes::copy_from_slice(payload))
}

/// A record as an engine sees it: engines know nothing of chains.
fn record(shard: ShardId, index: u64) -> Record {
    data(&index.to_le_bytes()).seal(shard, Index::new(index), EPOCH, Checksum::START)
}

async fn append_up_to(log: &dyn Log, last: u64) {
    for index in 1..=last {
        let appended = log.append(record(SHARD, index)).await;
        let appended = appended.unwrap_or_else(|error| panic!("R1: append at {index} failed: {error}"));
        assert_eq!(appended.index, Index::new(index), "R1: another index is acknowledged");
        assert_eq!(appended.durability, log.guarantees().durability, "R2: an answer says how durable it is");
    }
}

async fn assert_refused(log: &dyn Log, at: u64, next: u64, when: &str) {
    let (index, next) = (Index::new(at), Index::new(next));
    let outcome = log.append(record(SHARD, at)).await;
    assert_eq!(outcome, Err(Error::Refused { shard: SHARD, index, next }), "R1: append at {at} {when}");
}

async fn assert_tail(log: &dyn Log, begins: u64, next: u64, when: &str) {
    let expected = Tail { begins: Index::new(begins), next: Index::new(next) };
    assert_eq!(log.tail(SHARD).await, Ok(expected), "R14: the tail {when}");
}

async fn read_one(log: &dyn Log, index: Index) -> Result<Option<Record>, Error> {
    Ok(log.read(SHARD, index, 1).await?.into_iter().next())
}

fn appends_follow_one_another(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let log = &*log;
        let proven = log.preflight().await.expect("R2: the engine proves its guarantees");
        assert_eq!(proven, log.guarantees(), "R2: preflight proves what is promised");
        assert_tail(log, 1, 1, "of an empty log").await;
        assert_eq!(
            log.read(SHARD, Index::FIRST, ALL).await,
            Ok(Vec::new()),
            "R3: an empty log has no record"
        );
        assert_refused(log, 2, 1, "leaves a gap").await;
        append_up_to(log, 10).await;
        assert_refused(log, 12, 11, "leaves a gap").await;
        assert_refused(log, 10, 11, "is taken").await;
        assert_refused(log, 1, 11, "is taken").await;
        assert_tail(log, 1, 11, "after ten appends").await;
    }));
}

fn an_appended_record_is_not_appended_again(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let first = record(SHARD, 1);
        let _ = log.append(first.clone()).await.expect("R1: the first append succeeds");
        let (index, next) = (Index::FIRST, Index::new(2));
        let outcome = log.append(first.clone()).await;
        assert_eq!(outcome, Err(Error::Refused { shard: SHARD, index, next }), "R1: the same record again");
        assert_eq!(log.read(SHARD, index, ALL).await, Ok(vec![first]), "R1: it is there once");
    }));
}

fn of_racing_appends_one_wins(harness: &dyn Harness) {
    const RACERS: usize = 32;
    let log = harness.create();
    for index in 1..=4 {
        let won = std::sync::Mutex::new(Vec::new());
        let start = std::sync::Barrier::new(RACERS);
        let race = || {
            let own = record(SHARD, index);
            start.wait();
            harness.block_on(Box::pin(async {
                match log.append(own.clone()).await {
                    Ok(_) => won.lock().expect("no racer panics with the list").push(own),
                    Err(Error::Refused { next, .. }) => {
                        assert_eq!(next, Index::new(index + 1), "R1: the next index");
                    }
                    Err(error) => panic!("R1: a lost race is refused, and not: {error}"),
                }
            }));
        };
        thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
            racers.into_iter().for_each(|racer| racer.join().unwrap_or_else(|panic| resume_unwind(panic)));
        });
        let won = won.into_inner().expect("no racer panics with the list");
        assert_eq!(won.len(), 1, "R1: of {RACERS} appends at {index}, one wins");
        let log = &*log;
        harness.block_on(Box::pin(async move {
            assert_eq!(
                read_one(log, Index::new(index)).await,
                Ok(won.into_iter().next()),
                "R1: who won is there"
            );
        }));
    }
}

fn records_come_back_byte_for_byte(harness: &dyn Harness) {
    let log = harness.create();
    let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let timeline = Timeline { number: 2, id: [3; 16] };
    let context = Context { tenant: Some(Tenant::DEFAULT), timeline: Some(timeline), trace: Some(trace) };
    let mut records: Vec<Record> = Vec::new();
    for (index, bytes) in (1..).zip([0, 1, 255, 4095, 4096, 4097, 20_000]) {
        let prev = records.last().map_or(Checksum::START, Record::checksum);
        let payload: Vec<u8> =
            (0..bytes).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let mut draft = data(&payload);
        if index % 2 == 0 {
            draft.extensions = Extensions::new(&context);
        }
        records.push(draft.seal(SHARD, Index::new(index), EPOCH, prev));
    }
    let written = records.clone();
    let log = &log;
    harness.block_on(Box::pin(async move {
        for record in written {
            let _ = log.append(record).await.expect("R1: an append at the next index succeeds");
        }
    }));
    let check = |log: Arc<dyn Log>| {
        let (expected, log) = (&records, &*log);
        harness.block_on(Box::pin(async move {
            let read = log.read(SHARD, Index::FIRST, ALL).await.expect("R3: the log can be read");
            assert_eq!(read.len(), expected.len(), "R3: as many records are read as were written");
            for (read, expected) in read.iter().zip(expected) {
                let is_same = read.encode() == expected.encode();
                assert!(
                    is_same,
                    "R3: other bytes are read than were written: {read:?}, and not {expected:?}"
                );
            }
        }));
    };
    check(Arc::clone(log));
    check(harness.restart(Arc::clone(log)));
}

fn reads_are_bounded_and_go_on(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        append_up_to(&*log, 10).await;
        let bytes = record(SHARD, 1).encoded_bytes();
        for (bytes_max, expected) in [(0, 1), (1, 1), (bytes, 1), (bytes + 1, 2), (3 * bytes, 3), (ALL, 7)] {
            let read = log.read(SHARD, Index::new(4), bytes_max).await.expect("R3: the log can be read");
            let indexes: Vec<u64> = read.iter().map(|record| record.head().index.get()).collect();
            let expected: Vec<u64> = (4..4 + expected).collect();
            assert_eq!(indexes, expected, "R3: a read of {bytes_max} bytes");
        }
        for from in [11, 12, u64::MAX] {
            let read = log.read(SHARD, Index::new(from), ALL).await;
            assert_eq!(read, Ok(Vec::new()), "R3: there is nothing at {from}");
        }
    }));
}

fn a_restart_keeps_what_was_acknowledged(harness: &dyn Harness) {
    let mut log = harness.create();
    for round in 0..3 {
        let first = round * 5 + 1;
        let current = Arc::clone(&log);
        harness.block_on(Box::pin(async move {
            for index in first..first + 5 {
                let _ =
                    current.append(record(SHARD, index)).await.expect("R1: appends go on after a restart");
            }
        }));
        log = harness.restart(log);
        let current = Arc::clone(&log);
        harness.block_on(Box::pin(async move {
            assert_tail(&*current, 1, first + 5, "after a restart").await;
            let read = current.read(SHARD, Index::FIRST, ALL).await.expect("R3: the log can be read");
            let indexes: Vec<u64> = read.iter().map(|record| record.head().index.get()).collect();
            assert_eq!(indexes, (1..first + 5).collect::<Vec<_>>(), "R2: what was acknowledged is there");
        }));
    }
}

fn trimming_does_not_give_indexes_back(harness: &dyn Harness) {
    let log = harness.create();
    let first = Arc::clone(&log);
    harness.block_on(Box::pin(async move {
        append_up_to(&*first, 10).await;
        first.trim(SHARD, Index::new(8)).await.expect("R14: the log can be trimmed");
        assert_refused(&*first, 5, 11, "was trimmed").await;
        assert_tail(&*first, 8, 11, "after a trim").await;
    }));
    let log = harness.restart(log);
    let second = Arc::clone(&log);
    harness.block_on(Box::pin(async move {
        assert_refused(&*second, 5, 11, "was trimmed before a restart").await;
        second.trim(SHARD, Index::new(11)).await.expect("R14: the log can be trimmed to its end");
        assert_tail(&*second, 11, 11, "after everything is trimmed").await;
        for index in [1, 8, 10] {
            assert_refused(&*second, index, 11, "is taken though nothing is left").await;
        }
    }));
    let third = harness.restart(log);
    harness.block_on(Box::pin(async move {
        let tail = third.tail(SHARD).await.expect("R14: the tail can be told");
        assert_eq!(tail.next, Index::new(11), "R14: the next index outlives the records");
        for index in [1, 10] {
            assert_refused(&*third, index, 11, "is taken though nothing is left after a restart").await;
        }
        let _ = third.append(record(SHARD, 11)).await.expect("R1: the log goes on");
    }));
}

fn reading_what_is_trimmed_tells_where_the_log_begins(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        append_up_to(&*log, 10).await;
        log.trim(SHARD, Index::new(8)).await.expect("R14: the log can be trimmed");
        for index in [1, 7].map(Index::new) {
            let begins = Index::new(8);
            let read = log.read(SHARD, index, ALL).await;
            assert_eq!(read, Err(Error::Trimmed { shard: SHARD, index, begins }), "R14: a read at {index}");
        }
        let kept = log.read(SHARD, Index::new(8), ALL).await.expect("R14: what is not trimmed is there");
        assert_eq!(kept.len(), 3, "R14: the records 8, 9 and 10 are there");
    }));
}

fn trimming_stays_within_the_log(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        append_up_to(&*log, 3).await;
        let (to, next) = (Index::new(5), Index::new(4));
        let outcome = log.trim(SHARD, to).await;
        assert_eq!(
            outcome,
            Err(Error::TrimBeyondEnd { shard: SHARD, to, next }),
            "R14: a trim beyond the end"
        );
        for to in [3, 2, 1, 0, 3].map(Index::new) {
            assert_eq!(
                log.trim(SHARD, to).await,
                Ok(()),
                "R14: trimming to {to}, where the log begins at 3 or before"
            );
        }
        assert_tail(&*log, 3, 4, "after trims to lower indexes").await;
    }));
}

fn a_record_that_is_too_large_is_refused(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let bytes_max = log.limits().record_bytes_max;
        let of_bytes = |bytes: usize| {
            let draft = Draft::data(id(), Bytes::from(vec![b'x'; bytes - HEADER_BYTES]));
            draft.seal(SHARD, Index::FIRST, EPOCH, Checksum::START)
        };
        let outcome = log.append(of_bytes(bytes_max + 1)).await;
        let error = Error::TooLarge { shard: SHARD, bytes: bytes_max + 1, bytes_max };
        assert_eq!(outcome, Err(error), "R4: a record above the limit");
        assert_tail(&*log, 1, 1, "after a record that was too large").await;
        let largest = of_bytes(bytes_max);
        let _ = log.append(largest.clone()).await.expect("R4: a record at the limit is taken");
        assert_eq!(read_one(&*log, Index::FIRST).await, Ok(Some(largest)), "R4: it comes back");
    }));
}

fn shards_are_independent(harness: &dyn Harness) {
    const SHARDS: u32 = 64;
    let log = harness.create();
    thread::scope(|scope| {
        let append = |number| {
            let log = &*log;
            harness.block_on(Box::pin(async move {
                for index in 1..=5 {
                    let appended = log.append(record(ShardId::new(number), index)).await;
                    let _ = appended.expect("R1: an append waits for no other shard's index");
                }
            }));
        };
        let threads: Vec<_> = (0..SHARDS).map(|number| scope.spawn(move || append(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    harness.block_on(Box::pin(async move {
        log.trim(ShardId::new(0), Index::new(6)).await.expect("R14: one shard is trimmed");
        for number in 1..SHARDS {
            let shard = ShardId::new(number);
            let read = log.read(shard, Index::FIRST, ALL).await.expect("R3: another shard is not");
            assert_eq!(read.len(), 5, "R3: shard {shard} has its records");
            assert!(read.iter().all(|record| record.head().shard == shard), "R3: they are its own");
        }
    }));
}

fn a_lower_epoch_never_counts(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let mut acceptance = Acceptance::new(SHARD);
        let begin = Draft::epoch(id()).seal(SHARD, Index::FIRST, Epoch::new(3), Checksum::START);
        assert_eq!(acceptance.offer(&begin), Verdict::Accepted);
        let prev = begin.checksum();
        let _ = log.append(begin).await.expect("R1: the first append succeeds");
        let stale = data(b"stale").seal(SHARD, Index::new(2), Epoch::new(2), prev);
        let outcome = log.append(stale).await;
        if log.guarantees().fences_epochs {
            let fenced = Error::Fenced { shard: SHARD, epoch: Epoch::new(2), highest: Epoch::new(3) };
            assert_eq!(outcome, Err(fenced), "R9: the engine says that it fences");
            assert_tail(&*log, 1, 2, "after an append of a lower epoch").await;
        } else {
            let _ = outcome.expect("R1: an engine that does not fence looks at the index alone");
            let read = read_one(&*log, Index::new(2)).await.expect("R3: the log can be read");
            let verdict = acceptance.offer(&read.expect("R1: the record is there"));
            assert_eq!(verdict, Verdict::Skipped(Skip::Stale), "R6: readers skip it");
        }
    }));
}

/// Does what the writer says until it has something to tell.
async fn drive(log: &dyn Log, writer: &mut Writer, mut step: Step) -> Step {
    loop {
        step = match step {
            Step::Append(record) => writer.on_append(log.append(record).await),
            Step::Read(index) => writer.on_read(read_one(log, index).await),
            Step::Apply(_) => writer.applied(),
            Step::Barrier => writer.append(&Draft::barrier(id())),
            end => return end,
        }
    }
}

async fn read_all(log: &dyn Log) -> Acceptance {
    let mut acceptance = Acceptance::new(SHARD);
    loop {
        let read = log.read(SHARD, acceptance.cursor().next, ALL).await.expect("R3: the log can be read");
        if read.is_empty() {
            return acceptance;
        }
        for record in read {
            let verdict = acceptance.offer(&record);
            assert!(!matches!(verdict, Verdict::Damaged { .. }), "R5: {verdict:?}");
        }
    }
}

async fn own(log: &dyn Log, epoch: u64) -> Writer {
    let (mut writer, step) = Writer::claim(read_all(log).await, Epoch::new(epoch), &Draft::epoch(id()));
    let step = drive(log, &mut writer, step).await;
    assert!(matches!(step, Step::Committed(_)), "R11: a claim without a rival succeeds, and not: {step:?}");
    writer
}

async fn commit(log: &dyn Log, writer: &mut Writer, payload: &'static [u8]) {
    let step = writer.append(&data(payload));
    match drive(log, writer, step).await {
        Step::Committed(record) => {
            assert_eq!(record.payload(), payload, "R10: what was asked for is committed");
        }
        step => panic!("R10: an owner without a rival commits, and not: {step:?}"),
    }
}

fn of_two_writers_one_is_deposed(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let log = &*log;
        let mut first = own(log, 1).await;
        commit(log, &mut first, b"one").await;
        let mut second = own(log, 2).await;
        commit(log, &mut second, b"two").await;

        let step = first.append(&data(b"lost"));
        let step = drive(log, &mut first, step).await;
        let deposed = Stop::Deposed { epoch: Epoch::new(2) };
        assert!(
            matches!(&step, Step::Stopped { stop, .. } if *stop == deposed),
            "R9: the first writer is deposed, and not: {step:?}"
        );
        commit(log, &mut second, b"three").await;
        log.trim(SHARD, Index::new(5)).await.expect("R14: the log can be trimmed");

        let read = log.read(SHARD, Index::new(5), ALL).await.expect("R3: the log can be read");
        let payloads: Vec<&[u8]> = read.iter().map(|record| &record.payload()[..]).collect();
        assert_eq!(payloads, [&b"three"[..]], "R9: nothing of the deposed writer is there");
    }));
}

fn an_unknown_outcome_is_resolved(harness: &dyn Harness) {
    let log = harness.create();
    harness.block_on(Box::pin(async move {
        let log = &*log;
        let mut writer = own(log, 1).await;
        for was_appended in [true, false] {
            let Step::Append(record) = writer.append(&data(b"what became of it?")) else {
                panic!("R10: a writer that is ready appends");
            };
            let index = record.head().index;
            if was_appended {
                let _ = log.append(record).await.expect("R1: the append succeeds");
            }
            let lost = Error::OutcomeUnknown { shard: SHARD, index, reason: "the answer was lost".into() };
            let step = writer.on_append(Err(lost));
            let step = drive(log, &mut writer, step).await;
            assert!(
                matches!(&step, Step::Committed(record) if record.head().index == index),
                "R12: it is found, or appended: {step:?}"
            );
        }
        let counts = read_all(log).await.counts();
        assert_eq!(counts.accepted, 4, "R12: an epoch record, two data records, one barrier");
    }));
}

fn a_wait_ends_with_an_append(harness: &dyn Harness) {
    let log = harness.create();
    let log = &*log;
    for index in (1..=20).map(Index::new) {
        let has_begun = &std::sync::Barrier::new(2);
        let wait = move || {
            harness.block_on(Box::pin(async move {
                let mut wait = log.wait(SHARD, index);
                let begun = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
                has_begun.wait();
                let ended = match begun {
                    Poll::Ready(early) => early,
                    Poll::Pending => wait.await,
                };
                assert_eq!(ended, Ok(()), "R15: a wait ends");
            }));
        };
        thread::scope(|scope| {
            let waiter = scope.spawn(wait);
            has_begun.wait();
            harness.block_on(Box::pin(async move {
                let _ = log.append(record(SHARD, index.get())).await.expect("R1: the append succeeds");
                log.wait(SHARD, index).await.expect("R15: a wait for what is there ends");
            }));
            waiter.join().unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
}

#[cfg(test)]
mod tests;

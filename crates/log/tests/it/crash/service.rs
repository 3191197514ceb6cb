//! The local engine with its threads, on the simulated disk.

use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::Size;
use mainstay_log::conformance::{self, Harness};
use mainstay_log::faulty::{Act, Fault, Faulty, Odds, SimDisk};
use mainstay_log::local::{Local, Options};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use mainstay_log::{BoxFuture, Error, Log};

use super::WHENS;

/// More bytes than any shard has.
const ALL: usize = 1 << 30;

/// A machine that loses power at every restart.
#[derive(Default)]
struct Powerless {
    disk: Mutex<Option<SimDisk>>,
    /// Whether the log is seen through the engine that can fail, which does not.
    is_wrapped: bool,
}

fn options() -> Options {
    Options {
        segment: Size::from_kib(192),
        first_segment: Size::from_kib(64),
        record_max: Size::from_kib(64),
        group_max: Size::from_kib(64),
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Result<Local, Error> {
    let clock = Arc::new(ManualClock::default());
    Ok(Local::open_on(disk.mount(), &options(), clock, &SeededEntropy::new(1))?.0)
}

impl Powerless {
    fn open(&self, disk: &SimDisk) -> Arc<dyn Log> {
        let log = Arc::new(open(disk).expect("nothing fails on this disk"));
        if self.is_wrapped { Arc::new(Faulty::new(log, Odds::NONE, 1)) } else { log }
    }
}

impl Harness for Powerless {
    fn create(&self) -> Arc<dyn Log> {
        let disk = SimDisk::new(3);
        *self.disk.lock().expect("no test panics with it") = Some(disk.clone());
        self.open(&disk)
    }

    fn restart(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        let disk = self.disk.lock().expect("no test panics with it").clone().expect("a log was made");
        disk.crash_machine();
        drop(log);
        self.open(&disk)
    }
}

#[test]
fn it_conforms_when_every_restart_is_a_loss_of_power() {
    for is_wrapped in [false, true] {
        conformance::all(&Powerless { is_wrapped, ..Powerless::default() });
    }
}

/// Waits on this thread.
fn run(work: BoxFuture<'_, ()>) {
    Powerless::default().block_on(work);
}

fn record(shard: u32, index: u64) -> Record {
    let id = RecordId::new((u128::from(shard) << 64 | u128::from(index)).to_be_bytes());
    let payload = Bytes::from(vec![index.to_le_bytes()[0]; 100 * (index as usize % 30)]);
    Draft::data(id, payload).seal(ShardId::new(shard), Index::new(index), Epoch::new(1), Checksum::START)
}

/// Appends to one shard until the log fails. Returns how many were acknowledged.
fn append_until_it_fails(log: &dyn Log, shard: u32, count: u64) -> u64 {
    for index in 1..=count {
        let mut outcome = None;
        let append = async { outcome = Some(log.append(record(shard, index)).await) };
        run(Box::pin(append));
        match outcome.expect("it was awaited") {
            Ok(appended) => assert_eq!(appended.index.get(), index),
            Err(_) => return index - 1,
        }
    }
    count
}

#[test]
fn what_any_thread_was_told_survives_a_stop_at_any_operation() {
    const SHARDS: u32 = 4;
    for at in (1..60).step_by(3) {
        let disk = SimDisk::new(at);
        let log = open(&disk).expect("an empty disk takes a log");
        disk.fault_at(disk.operations() + at, Fault::Stop(WHENS[at as usize % 3]));
        let log = &log;
        let acknowledged: Vec<u64> = thread::scope(|scope| {
            let append = |shard| scope.spawn(move || append_until_it_fails(log, shard, 30));
            let threads: Vec<_> = (0..SHARDS).map(append).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        disk.crash_machine();
        let log = open(&disk).expect("the log opens after a loss of power");
        run(Box::pin(async {
            for (shard, acknowledged) in (0..).zip(acknowledged) {
                let read = log.read(ShardId::new(shard), Index::FIRST, ALL).await.expect("it can be read");
                let count = read.len() as u64;
                assert!(
                    count >= acknowledged,
                    "shard {shard} has {count} of {acknowledged}:\n{}",
                    disk.history()
                );
                assert!(count <= acknowledged + 1, "shard {shard} has one append in flight");
                let expected: Vec<Record> = (1..=count).map(|index| record(shard, index)).collect();
                assert_eq!(read, expected, "shard {shard} has what was appended");
            }
        }));
    }
}

#[test]
fn nothing_is_acknowledged_while_its_sync_waits() {
    const WAITING: u32 = 20;
    let disk = SimDisk::new(1);
    let log = open(&disk).expect("an empty disk takes a log");
    disk.hold(Act::Sync);
    thread::scope(|scope| {
        let log = &log;
        let append = |shard| scope.spawn(move || append_until_it_fails(log, shard, 1));
        let threads: Vec<_> = (0..WAITING).map(append).collect();
        disk.wait_until_held();
        assert_eq!(log.stats().records, 0);
        assert!(threads.iter().all(|thread| !thread.is_finished()), "nobody is told");
        disk.release();
        for thread in threads {
            assert_eq!(thread.join().expect("it does not panic"), 1);
        }
    });
    assert_eq!(log.stats().records, u64::from(WAITING));
}

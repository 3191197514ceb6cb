//! The engine in memory passes the suite, keeps within its bounds, and shows what was corrupted.

use mainstay_base::position::Epoch;

use std::task::{Context, Wake};

use super::*;
use crate::block_on::block_on;
use crate::conformance::{self, Harness};
use crate::record::{self, Checksum, Draft, HEADER_BYTES, RecordId};
use crate::{Damage, Error};

const SHARD: ShardId = ShardId::new(1);

/// A restart of memory keeps what another clone holds.
struct Clones(Mutex<Memory>);

impl Harness for Clones {
    fn create(&self) -> Arc<dyn Log> {
        let memory = Memory::new(Bounds { record_max: Size::from_kib(64), ..Bounds::default() });
        *self.0.lock().unwrap() = memory.clone();
        Arc::new(memory)
    }

    fn restart(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        drop(log);
        Arc::new(self.0.lock().unwrap().clone())
    }
}

#[test]
fn it_conforms() {
    conformance::all(&Clones(Mutex::default()));
}

fn record(index: u64, payload_bytes: usize) -> Record {
    let draft = Draft::data(RecordId::new([0; 16]), vec![7; payload_bytes].into());
    draft.seal(SHARD, Index::new(index), Epoch::new(1), Checksum::START)
}

#[test]
fn a_full_memory_takes_nothing_until_it_is_trimmed() {
    let memory = Memory::new(Bounds { record_max: Size::from_kib(4), total_max: Size::from_kib(10) });
    let append = |index| block_on(memory.append(record(index, 4096 - HEADER_BYTES)));
    let _ = append(1).unwrap();
    let _ = append(2).unwrap();
    assert_eq!(append(3), Err(Error::Full { bytes: 4096, reason: "10KiB are kept in memory".into() }));
    block_on(memory.trim(SHARD, Index::new(2))).unwrap();
    assert_eq!(append(3).unwrap().index, Index::new(3));
}

#[test]
fn a_corrupted_record_is_damage_at_its_place_and_hides_nothing_before_it() {
    let memory = Memory::default();
    for index in 1..=3 {
        let _ = block_on(memory.append(record(index, 10))).unwrap();
    }
    assert!(memory.corrupt(SHARD, Index::new(2), 60, |byte| byte ^ 1));
    assert!(!memory.corrupt(SHARD, Index::new(4), 0, |byte| byte));
    let read = |from| block_on(memory.read(SHARD, Index::new(from), 1 << 20));
    assert_eq!(read(1).unwrap(), [record(1, 10)]);
    assert_eq!(read(3).unwrap(), [record(3, 10)]);
    let Err(Error::Damaged { place, damage: Damage::Record(record::Error::Checksum { .. }) }) = read(2)
    else {
        panic!("a flipped bit is read");
    };
    assert_eq!(place.to_string(), "index 2 of shard 1");
}

#[test]
fn a_wait_that_is_dropped_leaves_nothing_behind() {
    let memory = Memory::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut wait = memory.wait(SHARD, Index::FIRST);
    assert!(wait.as_mut().poll(&mut context).is_pending());
    assert!(wait.as_mut().poll(&mut context).is_pending());
    assert!(!memory.shards().shard(SHARD).waiters.is_empty());
    drop(wait);
    assert!(memory.shards().shard(SHARD).waiters.is_empty());
}

/// A waker that uses the log when it is dropped, as one does that is the last to know of a task.
struct Uses(Memory);

impl Drop for Uses {
    fn drop(&mut self) {
        assert!(block_on(self.0.tail(SHARD)).is_ok());
    }
}

impl Wake for Uses {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_use_the_log_when_it_is_dropped() {
    let memory = Memory::default();
    let waker = || Waker::from(Arc::new(Uses(memory.clone())));
    let mut wait = memory.wait(SHARD, Index::FIRST);
    for _ in 0..2 {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    }
    drop(wait);
}

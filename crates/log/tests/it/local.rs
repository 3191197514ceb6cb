//! The local engine keeps the contract, on a directory and on a disk that fails.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::Size;
use mainstay_log::local::{Engine, Options, Recovery};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use mainstay_log::{Appended, Error};

mod damage;
mod files;
mod service;
mod space;
mod torn;
mod writing;

use files::Files;

const SHARD: ShardId = ShardId::new(7);
const OTHER: ShardId = ShardId::new(8);
const BLOCK: usize = 4096;
/// More bytes than any test reads at once.
const ALL: usize = 1 << 30;

/// Segments of 64 KiB, which hold at most 14 groups of one block.
fn options() -> Options {
    Options {
        segment: Size::from_kib(64),
        first_segment: Size::from_kib(64),
        record_max: Size::from_kib(12),
        group_max: Size::from_kib(16),
        ..Options::default()
    }
}

fn record_of(shard: ShardId, index: u64, epoch: u64, payload: &[u8]) -> Record {
    let id = RecordId::new((u128::from(shard.get()) << 64 | u128::from(index)).to_be_bytes());
    let draft = Draft::data(id, Bytes::copy_from_slice(payload));
    draft.seal(shard, Index::new(index), Epoch::new(epoch), Checksum::START)
}

/// A record whose payload is its own.
fn record(shard: ShardId, index: u64) -> Record {
    record_of(shard, index, 1, format!("record {index} of shard {shard}").as_bytes())
}

fn try_open(files: &Files, options: &Options) -> Result<(Engine, Recovery), Error> {
    let entropy = SeededEntropy::new(9);
    Engine::open(Arc::new(files.clone()), options, Arc::new(ManualClock::default()), &entropy)
}

fn open(files: &Files) -> (Engine, Recovery) {
    try_open(files, &options()).expect("the log opens")
}

/// Appends the record at each index in a group of its own.
fn append(engine: &mut Engine, shard: ShardId, indexes: std::ops::RangeInclusive<u64>) {
    for index in indexes {
        let _ = append_one(engine, record(shard, index)).expect("the append succeeds");
    }
}

fn append_one(engine: &mut Engine, record: Record) -> Result<Appended, Error> {
    engine.commit(vec![record]).pop().expect("one record has one answer")
}

/// Everything that a shard has.
fn read_all(engine: &Engine, shard: ShardId) -> Result<Vec<Record>, Error> {
    let reader = engine.reader();
    reader.read(shard, reader.tail(shard)?.begins, ALL)
}

/// The indexes of a shard, whose records are those that the tests append.
fn indexes(engine: &Engine, shard: ShardId) -> Vec<u64> {
    let records = read_all(engine, shard).expect("the log can be read");
    let index = |record: Record| {
        let index = record.head().index.get();
        assert_eq!(record, self::record(shard, index), "what was appended is read");
        index
    };
    records.into_iter().map(index).collect()
}

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

fn refused(index: u64, next: u64) -> Result<Appended, Error> {
    Err(Error::Refused { shard: SHARD, index: Index::new(index), next: Index::new(next) })
}

fn known(shard: ShardId, next: u64) -> Options {
    Options { known: BTreeMap::from([(shard, Index::new(next))]), ..options() }
}

/// The place that an error of damage names.
fn place(error: &Error) -> String {
    match error {
        Error::Damaged { place, .. } => place.to_string(),
        error => panic!("it is damage, and not: {error}"),
    }
}

fn segment(number: u64) -> String {
    format!("segment-{number:016x}")
}

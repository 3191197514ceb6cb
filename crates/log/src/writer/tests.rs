//! The writer's decisions one by one; the simulation has them meet.

use bytes::Bytes;
use mainstay_base::position::ShardId;

use super::*;
use crate::accept::Cursor;
use crate::error::Act;
use crate::log::Durability;
use crate::record::{Checksum, RecordId};

const SHARD: ShardId = ShardId::new(2);

fn id(number: u8) -> RecordId {
    RecordId::new([number; 16])
}

fn acked(index: u64) -> Result<Appended, Error> {
    Ok(Appended { index: Index::new(index), durability: Durability::Memory })
}

fn refused(index: u64, next: u64) -> Result<Appended, Error> {
    Err(Error::Refused { shard: SHARD, index: Index::new(index), next: Index::new(next) })
}

fn unknown(index: u64) -> Result<Appended, Error> {
    Err(Error::OutcomeUnknown { shard: SHARD, index: Index::new(index), reason: "no answer".into() })
}

fn unavailable() -> Error {
    Error::Unavailable { act: Act::Append, reason: "no connection".into() }
}

fn sent(step: Step) -> Record {
    match step {
        Step::Append(record) => record,
        step => panic!("an append, and not {step:?}"),
    }
}

/// An owner under epoch 2 whose epoch record is at index 1.
fn owner() -> (Writer, Record) {
    let (mut writer, step) = Writer::claim(Acceptance::new(SHARD), Epoch::new(2), &Draft::epoch(id(1)));
    let record = sent(step);
    assert_eq!(writer.on_append(acked(1)), Step::Committed(record.clone()));
    assert!(writer.is_ready());
    (writer, record)
}

fn data(writer: &mut Writer, number: u8) -> Record {
    sent(writer.append(&Draft::data(id(number), Bytes::from_static(b"value"))))
}

fn foreign(index: u64, epoch: u64, kind: Kind, prev: Checksum) -> Record {
    let draft = Draft { kind, ..Draft::barrier(id(200)) };
    draft.seal(SHARD, Index::new(index), Epoch::new(epoch), prev)
}

#[test]
fn r10_an_acknowledged_record_on_settled_ground_is_committed() {
    let (mut writer, first) = owner();
    let record = data(&mut writer, 2);
    assert_eq!(record.head().index, Index::new(2));
    assert_eq!(record.head().prev, first.checksum());
    assert_eq!(writer.on_append(acked(2)), Step::Committed(record));
    assert_eq!(writer.acceptance().settled().next, Index::new(3));
}

#[test]
fn r12_an_unknown_outcome_is_retried_identically_and_found_by_reading() {
    let (mut writer, _) = owner();
    let record = data(&mut writer, 2);
    assert_eq!(writer.on_append(unknown(2)), Step::Append(record.clone()));
    assert!(writer.is_in_doubt());
    assert_eq!(writer.on_append(refused(2, 3)), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Ok(Some(record.clone()))), Step::Barrier);
    assert!(!writer.is_ready(), "data waits for settled ground");

    let barrier = sent(writer.append(&Draft::barrier(id(3))));
    assert_eq!(barrier.head().prev, record.checksum());
    // What was found is read again, since only now it can't be lost any more.
    assert_eq!(writer.on_append(acked(3)), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Err(unavailable())), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Ok(Some(record.clone()))), Step::Read(Index::new(3)));
    assert_eq!(writer.on_read(Ok(Some(barrier))), Step::Committed(record));
    assert!(writer.is_ready() && !writer.is_in_doubt());
}

#[test]
fn r12_what_was_found_and_is_gone_after_the_barrier_is_not_committed() {
    let (mut writer, first) = owner();
    let record = data(&mut writer, 2);
    assert_eq!(writer.on_append(refused(2, 3)), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Ok(Some(record))), Step::Barrier);
    let barrier = sent(writer.append(&Draft::barrier(id(3))));
    assert_eq!(writer.on_append(acked(3)), Step::Read(Index::new(2)));
    let other = foreign(2, 5, Kind::Epoch, first.checksum());
    assert_eq!(writer.on_read(Ok(Some(other))), Step::Read(Index::new(3)));
    let stop = Stop::GroundLost { from: Index::new(2) };
    assert_eq!(writer.on_read(Ok(Some(barrier))), Step::Stopped { stop, in_doubt: true });
}

#[test]
fn r9_a_foreign_epoch_that_is_not_lower_deposes() {
    for epoch in [2, 3] {
        let (mut writer, first) = owner();
        let _ = data(&mut writer, 2);
        assert_eq!(writer.on_append(refused(2, 3)), Step::Read(Index::new(2)));
        let stop = Stop::Deposed { epoch: Epoch::new(epoch) };
        let step = writer.on_read(Ok(Some(foreign(2, epoch, Kind::Barrier, first.checksum()))));
        assert_eq!(step, Step::Stopped { stop, in_doubt: true });
    }
}

#[test]
fn r14_a_trimmed_index_deposes_and_leaves_doubt() {
    let (mut writer, _) = owner();
    let _ = data(&mut writer, 2);
    assert_eq!(writer.on_append(refused(2, 9)), Step::Read(Index::new(2)));
    let begins = Index::new(8);
    let step = writer.on_read(Err(Error::Trimmed { shard: SHARD, index: Index::new(2), begins }));
    assert_eq!(step, Step::Stopped { stop: Stop::Trimmed { begins }, in_doubt: true });
}

#[test]
fn r10_data_goes_behind_a_lower_epoch_only_after_a_barrier() {
    let (mut writer, first) = owner();
    let record = data(&mut writer, 2);
    assert_eq!(writer.on_append(refused(2, 3)), Step::Read(Index::new(2)));
    let stale = foreign(2, 1, Kind::Data, first.checksum());
    assert_eq!(writer.on_read(Ok(Some(stale.clone()))), Step::Barrier);
    let barrier = sent(writer.append(&Draft::barrier(id(3))));
    assert_eq!(barrier.head().index, Index::new(3));
    assert_eq!(barrier.head().prev, first.checksum(), "what is skipped is not followed");
    assert_eq!(writer.on_append(acked(3)), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Ok(Some(stale))), Step::Read(Index::new(3)));

    let again = sent(writer.on_read(Ok(Some(barrier.clone()))));
    assert_eq!(again.head().index, Index::new(4));
    assert_eq!(again.head().prev, barrier.checksum());
    assert_eq!(again.draft(), record.draft(), "the same record at another place");
    assert_eq!(writer.on_append(acked(4)), Step::Committed(again));
}

#[test]
fn r11_a_candidate_applies_what_an_earlier_owner_still_appended_and_goes_behind_it() {
    let (mut first, _) = owner();
    let (mut second, step) = Writer::claim(first.acceptance().clone(), Epoch::new(3), &Draft::epoch(id(9)));
    let claim = sent(step);
    let late = data(&mut first, 2);
    assert_eq!(second.on_append(refused(2, 3)), Step::Read(Index::new(2)));
    assert_eq!(second.on_read(Ok(Some(late.clone()))), Step::Apply(late.clone()));
    let again = sent(second.applied());
    assert_eq!((again.head().index, again.head().id), (Index::new(3), claim.head().id));
    assert_eq!(again.head().prev, late.checksum());
    // The late record was only read, so it is read again once it can't be lost any more.
    assert_eq!(second.on_append(acked(3)), Step::Read(Index::new(2)));
    assert!(!second.is_ready(), "a candidate serves nothing");
    assert_eq!(second.on_read(Ok(Some(late))), Step::Read(Index::new(3)));
    assert_eq!(second.on_read(Ok(Some(again.clone()))), Step::Committed(again));
    assert!(second.is_ready());
}

#[test]
fn r8_an_attempt_that_did_nothing_is_rejected_unless_an_earlier_one_is_in_doubt() {
    let (mut writer, _) = owner();
    let record = data(&mut writer, 2);
    let full = || Err(Error::Full { bytes: 60, reason: "the disk is full".into() });
    assert!(matches!(writer.on_append(full()), Step::Rejected(Error::Full { .. })));
    assert!(writer.is_ready() && !writer.is_in_doubt());

    assert_eq!(data(&mut writer, 2), record, "the place is still free");
    assert_eq!(writer.on_append(unknown(2)), Step::Append(record.clone()));
    for error in [full(), Err(unavailable())] {
        assert_eq!(writer.on_append(error), Step::Append(record.clone()), "the first attempt is still open");
    }
    assert_eq!(writer.on_append(acked(2)), Step::Committed(record));
}

#[test]
fn r16_a_poisoned_log_stops_its_writers() {
    let (mut writer, _) = owner();
    let _ = data(&mut writer, 2);
    let poisoned = Error::Poisoned { reason: "fdatasync: I/O error".into() };
    let stopped = |in_doubt| Step::Stopped { stop: Stop::Failed(poisoned.clone()), in_doubt };
    assert_eq!(writer.clone().on_append(Err(poisoned.clone())), stopped(false));
    let _ = writer.on_append(unknown(2));
    assert_eq!(writer.on_append(Err(poisoned.clone())), stopped(true));
}

#[test]
fn a_log_that_is_shorter_than_before_stops_its_writers() {
    let (mut writer, _) = owner();
    let _ = data(&mut writer, 2);
    let stop = Stop::GroundLost { from: Index::FIRST };
    assert_eq!(writer.on_append(refused(2, 1)), Step::Stopped { stop, in_doubt: true });
}

#[test]
fn a_fence_of_the_engine_deposes() {
    let (mut writer, _) = owner();
    let _ = data(&mut writer, 2);
    let highest = Epoch::new(7);
    let step = writer.on_append(Err(Error::Fenced { shard: SHARD, epoch: Epoch::new(2), highest }));
    assert_eq!(step, Step::Stopped { stop: Stop::Deposed { epoch: highest }, in_doubt: true });
}

#[test]
fn a_place_that_is_free_again_is_tried_again() {
    let (mut writer, _) = owner();
    let record = data(&mut writer, 2);
    assert_eq!(writer.on_append(refused(2, 3)), Step::Read(Index::new(2)));
    assert_eq!(writer.on_read(Ok(None)), Step::Append(record));
}

#[test]
#[should_panic(expected = "above every epoch in the log")]
fn r9_a_claim_goes_above_every_epoch_in_the_log() {
    let settled = Cursor { next: Index::new(9), epoch: Epoch::new(4), prev: Checksum::new(1) };
    let _ = Writer::claim(Acceptance::resume(SHARD, settled), Epoch::new(4), &Draft::epoch(id(1)));
}

#[test]
#[should_panic(expected = "one record is in flight")]
fn r10_one_record_is_in_flight() {
    let (mut writer, _) = owner();
    let _ = data(&mut writer, 2);
    let _ = data(&mut writer, 3);
}

//! What is acknowledged, what is refused, and what a failure leaves behind.

use std::io::ErrorKind;

use mainstay_base::position::{Epoch, Index};
use mainstay_log::{Appended, Durability, Error, Tail};

use super::files::{Call, Files};
use super::*;

#[test]
fn what_waits_together_is_one_write_and_one_sync() {
    let files = Files::new();
    let (mut engine, recovery) = open(&files);
    assert!(recovery.is_new && recovery.is_clean);
    files.take_calls();
    let answers = engine.commit((1..=50).map(|index| record(SHARD, index)).collect());
    let appended = |index| Ok(Appended { index: Index::new(index), durability: Durability::Synced });
    assert_eq!(answers, (1..=50).map(appended).collect::<Vec<_>>());
    assert_eq!(
        files.take_calls(),
        [format!("WriteSegment {}", segment(1)), format!("SyncSegment {}", segment(1))]
    );
    assert_eq!(indexes(&engine, SHARD), up_to(50));
}

#[test]
fn a_group_is_closed_when_it_is_large_enough() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    files.take_calls();
    let large = |index| record_of(SHARD, index, 1, &[7; 9000]);
    assert!(engine.commit((1..=4).map(large).collect()).iter().all(Result::is_ok));
    assert_eq!(files.take_calls().len(), 4, "two groups of two records");
    assert_eq!(read_all(&engine, SHARD), Ok((1..=4).map(large).collect()));
}

#[test]
fn the_answers_of_a_batch_are_in_its_order_and_follow_one_another() {
    let (mut engine, _) = open(&Files::new());
    let _ = append_one(&mut engine, record_of(OTHER, 1, 5, b"")).unwrap();
    let answers = engine.commit(vec![
        record(SHARD, 1),
        record(SHARD, 3),
        record(SHARD, 2),
        record(SHARD, 2),
        record_of(OTHER, 2, 4, b""),
        record_of(OTHER, 2, 5, b""),
        record_of(SHARD, 3, 1, &[0; 13_000]),
        record(SHARD, 3),
    ]);
    let appended = |index| Ok(Appended { index: Index::new(index), durability: Durability::Synced });
    assert_eq!(
        answers,
        [
            appended(1),
            refused(3, 2),
            appended(2),
            refused(2, 3),
            Err(Error::Fenced { shard: OTHER, epoch: Epoch::new(4), highest: Epoch::new(5) }),
            appended(2),
            Err(Error::TooLarge { shard: SHARD, bytes: 13_052, bytes_max: 12 << 10 }),
            appended(3),
        ]
    );
}

#[test]
fn records_are_seen_only_when_they_are_synced() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=2);
    files.fail(Call::SyncSegment, ErrorKind::Other);
    assert!(append_one(&mut engine, record(SHARD, 3)).is_err());
    assert_eq!(indexes(&engine, SHARD), up_to(2));
    let tail = Tail { begins: Index::FIRST, next: Index::new(3) };
    assert_eq!(engine.reader().tail(SHARD), Ok(tail));
}

#[test]
fn the_highest_epoch_and_the_next_index_outlive_restarts_and_segments() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    let _ = append_one(&mut engine, record_of(OTHER, 1, 9, b"")).unwrap();
    append(&mut engine, SHARD, 1..=60);
    engine.trim(OTHER, Index::new(2)).unwrap();
    engine.trim(SHARD, Index::new(61)).unwrap();
    engine.prepare();
    engine.close().unwrap();
    assert_eq!(files.named("segment").len(), 1, "nothing but the last segment is kept");
    let (mut engine, _) = open(&files);
    let fenced = Error::Fenced { shard: OTHER, epoch: Epoch::new(8), highest: Epoch::new(9) };
    assert_eq!(append_one(&mut engine, record_of(OTHER, 2, 8, b"")), Err(fenced));
    assert_eq!(append_one(&mut engine, record(SHARD, 60)), refused(60, 61));
    append(&mut engine, SHARD, 61..=62);
    assert_eq!(indexes(&engine, SHARD), [61, 62]);
}

#[test]
fn a_failed_sync_or_write_poisons_the_log_and_reads_go_on() {
    for call in [Call::SyncSegment, Call::WriteSegment] {
        let files = Files::new();
        let (mut engine, _) = open(&files);
        append(&mut engine, SHARD, 1..=2);
        files.fail(call, ErrorKind::Other);
        let answers = engine.commit(vec![record(SHARD, 3), record(SHARD, 3), record(OTHER, 1)]);
        let unknown = |answer: &Result<_, _>| matches!(answer, Err(Error::OutcomeUnknown { .. }));
        assert!(unknown(&answers[0]) && unknown(&answers[2]), "{answers:?}");
        let is_poisoned =
            |error: &Error| matches!(error, Error::Poisoned { reason } if reason.contains("segment-"));
        assert!(
            answers[1].as_ref().is_err_and(is_poisoned),
            "it cannot be known that 3 is taken: {answers:?}"
        );
        files.mend();
        assert!(append_one(&mut engine, record(SHARD, 3)).is_err_and(|error| is_poisoned(&error)));
        assert!(engine.trim(SHARD, Index::new(2)).is_err_and(|error| is_poisoned(&error)));
        assert_eq!(indexes(&engine, SHARD), up_to(2));
        files.take_calls();
        assert!(engine.close().is_err_and(|error| is_poisoned(&error)));
        assert_eq!(files.take_calls(), [""; 0], "a poisoned log writes nothing, and no seal");
    }
}

#[test]
fn of_a_batch_only_the_group_that_failed_is_unknown() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    files.fail(Call::SyncSegment, ErrorKind::Other);
    let large = |index| record_of(SHARD, index, 1, &[7; 9000]);
    let answers = engine.commit((1..=3).map(large).collect());
    assert!(matches!(answers[..2], [Err(Error::OutcomeUnknown { .. }), Err(Error::OutcomeUnknown { .. })]));
    assert!(matches!(answers[2], Err(Error::Poisoned { .. })), "nothing of it was written: {answers:?}");
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_again_before_it_is_shown() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=2);
    files.fail(Call::SyncSegment, ErrorKind::Other);
    assert!(append_one(&mut engine, record(SHARD, 3)).is_err());
    files.mend();
    // The process ends; the operating system still has the pages, and believes that they are clean.
    drop(engine);
    let (engine, recovery) = open(&files);
    assert!(!recovery.is_clean && recovery.rewritten_bytes > 0);
    assert_eq!(indexes(&engine, SHARD), up_to(3), "the record was whole");
    drop(engine);
    files.lose_power();
    let (engine, _) = open(&files);
    assert_eq!(indexes(&engine, SHARD), up_to(3), "it was shown, and so it stays");
}

#[test]
fn a_seal_whose_sync_failed_does_not_hide_what_comes_after_it() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=2);
    files.fail(Call::SyncSegment, ErrorKind::Other);
    assert!(engine.close().is_err());
    files.mend();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 3..=3);
    drop(engine);
    files.lose_power();
    let (engine, _) = open(&files);
    assert_eq!(indexes(&engine, SHARD), up_to(3));
}

#[test]
fn durability_written_acknowledges_before_the_sync_and_says_so() {
    let files = Files::new();
    let options = Options { durability: Durability::Written, ..options() };
    let (mut engine, _) = try_open(&files, &options).unwrap();
    assert_eq!(engine.guarantees().durability, Durability::Written);
    files.take_calls();
    let appended = append_one(&mut engine, record(SHARD, 1)).unwrap();
    assert_eq!(appended.durability, Durability::Written);
    assert_eq!(files.take_calls(), [format!("WriteSegment {}", segment(1))]);
    append(&mut engine, SHARD, 2..=5);
    // The process ends: what the operating system has is there.
    drop(engine);
    let (mut engine, _) = try_open(&files, &options).unwrap();
    assert_eq!(indexes(&engine, SHARD), up_to(5));
    append(&mut engine, SHARD, 6..=8);
    drop(engine);
    // The power fails: what was shown after a restart had been synced by it.
    files.lose_power();
    let (mut engine, _) = try_open(&files, &options).unwrap();
    assert_eq!(indexes(&engine, SHARD), up_to(5));
    append(&mut engine, SHARD, 6..=60);
    engine.close().unwrap();
    files.lose_power();
    let (engine, recovery) = try_open(&files, &options).unwrap();
    assert!(recovery.is_clean, "closing syncs");
    assert_eq!(indexes(&engine, SHARD), up_to(60));
}

#[test]
fn a_failure_while_a_segment_is_begun_poisons_and_appends_nothing() {
    for call in [Call::Rename, Call::SyncDirectory, Call::WriteSegment, Call::SyncSegment] {
        let files = Files::new();
        let (mut engine, _) = open(&files);
        let mut index = 0;
        let outcome = loop {
            index += 1;
            // The segment is full when a spare is opened for it.
            engine.prepare();
            if index == 14 {
                files.fail(call, ErrorKind::Other);
            }
            if let Err(error) = append_one(&mut engine, record(SHARD, index)) {
                break error;
            }
        };
        files.mend();
        assert_eq!(index, 14, "{call:?}");
        assert!(matches!(outcome, Error::Poisoned { .. }), "{call:?}: {outcome}");
        assert_eq!(indexes(&engine, SHARD), up_to(13));
        drop(engine);
        let (mut engine, _) = open(&files);
        assert_eq!(indexes(&engine, SHARD), up_to(13), "{call:?}");
        append(&mut engine, SHARD, 14..=40);
        assert_eq!(indexes(&engine, SHARD), up_to(40));
    }
}

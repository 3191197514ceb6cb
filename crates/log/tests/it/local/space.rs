//! Trims, recycled segments and full disks.

use std::io::ErrorKind;
use std::sync::Mutex;

use mainstay_log::Tail;

use super::files::{Call, Files};
use super::*;

fn tail(engine: &Engine, shard: ShardId) -> (u64, u64) {
    let Tail { begins, next } = engine.reader().tail(shard).unwrap();
    (begins.get(), next.get())
}

fn segments(files: &Files) -> Vec<String> {
    files.named("segment")
}

/// Appends until another segment is needed and cannot be had.
fn fill(engine: &mut Engine, shard: ShardId) -> (u64, Error) {
    let mut index = tail(engine, shard).1;
    loop {
        match append_one(engine, record(shard, index)) {
            Ok(_) => index += 1,
            Err(error) => return (index, error),
        }
    }
}

#[test]
fn trimmed_segments_are_used_again_and_never_show_what_they_held() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    for round in 0..40 {
        let first = round * 10 + 1;
        append(&mut engine, SHARD, first..=first + 9);
        engine.trim(SHARD, Index::new(first + 8)).unwrap();
        engine.prepare();
        assert_eq!(indexes(&engine, SHARD), [first + 8, first + 9]);
        assert!(files.names().len() <= 5, "{:?}", files.names());
        if round % 7 == 3 {
            drop(engine);
            (engine, _) = open(&files);
            assert_eq!(indexes(&engine, SHARD).last(), Some(&(first + 9)));
            assert_eq!(tail(&engine, SHARD).1, first + 10);
        }
    }
    files.take_calls();
    append(&mut engine, SHARD, 401..=430);
    let calls = files.take_calls();
    assert!(calls.iter().any(|call| call.starts_with("Rename")), "segments began");
    let created = calls.iter().filter(|call| call.starts_with("Create")).count();
    assert!(created <= 1, "at most one file was new: {calls:?}");
}

#[test]
fn trims_are_carried_by_the_next_group_and_cost_nothing_before() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=5);
    files.take_calls();
    engine.trim(SHARD, Index::new(4)).unwrap();
    assert_eq!(files.take_calls(), [""; 0]);
    assert_eq!(tail(&engine, SHARD), (4, 6));
    let crashed = files.copy();
    append(&mut engine, OTHER, 1..=1);
    drop(engine);
    let (engine, _) = open(&files);
    assert_eq!(tail(&engine, SHARD), (4, 6));
    let (engine, _) = open(&crashed);
    assert_eq!(indexes(&engine, SHARD), up_to(5), "a crash may show again what was trimmed");
    drop(engine);
}

#[test]
fn a_segment_is_let_go_only_after_the_trim_is_synced() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=20);
    assert_eq!(segments(&files), [segment(1), segment(2)]);
    files.take_calls();
    engine.trim(SHARD, Index::new(14)).unwrap();
    let calls = files.take_calls();
    let expected = [
        format!("WriteSegment {}", segment(2)),
        format!("SyncSegment {}", segment(2)),
        format!("Rename {}", segment(1)),
    ];
    assert_eq!(calls, expected);
    assert_eq!(segments(&files), [segment(2)]);
    files.lose_power();
    drop(engine);
    let (engine, _) = open(&files);
    assert_eq!(tail(&engine, SHARD), (14, 21));
}

#[test]
fn a_segment_that_one_shard_needs_stays_and_the_shard_is_told() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, OTHER, 1..=1);
    append(&mut engine, SHARD, 1..=40);
    engine.trim(SHARD, Index::new(41)).unwrap();
    assert_eq!(segments(&files).len(), 4);
    engine.trim(OTHER, Index::new(2)).unwrap();
    engine.prepare();
    assert_eq!(segments(&files).len(), 1);
    assert_eq!((tail(&engine, SHARD), tail(&engine, OTHER)), ((41, 41), (2, 2)));
}

#[test]
fn leftovers_of_several_segments_let_go_at_once_are_removed() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=40);
    let oldest = files.get(&segment(1));
    engine.trim(SHARD, Index::new(40)).unwrap();
    engine.prepare();
    drop(engine);
    assert_eq!(segments(&files), [segment(4)]);
    // Of the changes to the directory the first was lost and the others were not.
    files.put(&segment(1), &oldest);
    let (mut engine, _) = open(&files);
    assert_eq!(indexes(&engine, SHARD), [40]);
    engine.prepare();
    assert_eq!(segments(&files), [segment(4)]);
}

#[test]
fn a_reader_finishes_what_it_has_begun_while_the_segment_is_let_go() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=30);
    let reader = engine.reader();
    engine.trim(SHARD, Index::new(28)).unwrap();
    let trimmed = Error::Trimmed { shard: SHARD, index: Index::new(1), begins: Index::new(28) };
    assert_eq!(reader.read(SHARD, Index::FIRST, ALL), Err(trimmed));
    assert_eq!(reader.read(SHARD, Index::new(28), ALL).unwrap().len(), 3);
    drop(engine);
    assert_eq!(reader.read(SHARD, Index::new(28), ALL), Err(Error::Closed));
}

#[test]
fn more_followers_than_open_segments_read_each_byte_a_few_times() {
    const FOLLOWERS: u32 = 30;
    let files = Files::new();
    let (mut engine, _) = open(&files);
    // Each has a segment of its own.
    (0..FOLLOWERS).for_each(|shard| append(&mut engine, ShardId::new(shard), 1..=13));
    append(&mut engine, SHARD, 14..=14);
    let reader = engine.reader();
    files.take_bytes_read();
    for index in (1..=13).map(Index::new) {
        for shard in (0..FOLLOWERS).map(ShardId::new) {
            assert_eq!(reader.read(shard, index, 1).unwrap(), [record(shard, index.get())]);
        }
    }
    let written = FOLLOWERS as usize * 14 * BLOCK;
    let read = files.take_bytes_read();
    assert!(read < 3 * written, "{read} bytes are read of {written}");
}

#[test]
fn a_segment_is_not_written_again_while_it_is_read() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=40);
    let reader = engine.reader();
    let engine = Arc::new(Mutex::new(engine));
    let writer = Arc::clone(&engine);
    // In the middle of a read the segment is let go, and three others are begun.
    files.on_read(move || {
        let mut engine = writer.lock().unwrap();
        engine.trim(SHARD, Index::new(41)).unwrap();
        append(&mut engine, SHARD, 41..=90);
    });
    let read = reader.read(SHARD, Index::FIRST, ALL).unwrap();
    assert_eq!(read, (1..=13).map(|index| record(SHARD, index)).collect::<Vec<_>>());
    let mut engine = engine.lock().unwrap();
    assert_eq!(indexes(&engine, SHARD), (41..=90).collect::<Vec<_>>());
    append(&mut engine, SHARD, 91..=200);
    assert_eq!(indexes(&engine, SHARD), (41..=200).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_refuses_appends_and_keeps_reads_and_recovers_by_itself() {
    for is_hidden in [false, true] {
        let files = Files::new();
        files.set_room(Some(130 << 10));
        let (mut engine, _) = open(&files);
        engine.prepare();
        if is_hidden {
            files.hide_room();
        }
        append(&mut engine, OTHER, 1..=1);
        let (next, error) = fill(&mut engine, SHARD);
        assert!(matches!(&error, Error::Full { bytes: 72, .. }), "{error}");
        assert!(files.named("spare").is_empty(), "what could not be finished is gone");
        assert_eq!(indexes(&engine, SHARD), up_to(next - 1), "reads go on");
        assert_eq!(append_one(&mut engine, record(SHARD, next)), Err(error));
        // Trims go on too, and the one that lets a segment go ends it.
        engine.trim(SHARD, Index::new(next)).unwrap();
        assert!(append_one(&mut engine, record(SHARD, next)).is_err(), "another shard needs the segment");
        engine.trim(OTHER, Index::new(2)).unwrap();
        append(&mut engine, SHARD, next..=next);
        assert_eq!(indexes(&engine, SHARD), [next]);
        // So does space from elsewhere.
        let (_, error) = fill(&mut engine, SHARD);
        assert!(matches!(&error, Error::Full { .. }), "{error}");
        drop(engine);
        files.set_room(None);
        let (mut engine, _) = open(&files);
        let next = tail(&engine, SHARD).1;
        append(&mut engine, SHARD, next..=next + 20);
    }
}

#[test]
fn space_from_elsewhere_ends_a_full_disk_without_a_restart() {
    let files = Files::new();
    files.set_room(Some(64 << 10));
    let (mut engine, _) = open(&files);
    let (next, error) = fill(&mut engine, SHARD);
    assert!(error.to_string().contains("the next segment takes 64KiB"), "{error}");
    files.set_room(Some(200 << 10));
    append(&mut engine, SHARD, next..=next + 5);
}

#[test]
fn what_is_left_of_a_full_segment_still_takes_what_fits_and_the_seal() {
    let files = Files::new();
    files.set_room(Some(64 << 10));
    let (mut engine, _) = open(&files);
    append(&mut engine, SHARD, 1..=9);
    let large = record_of(SHARD, 10, 1, &[1; 12_000]);
    let _ = append_one(&mut engine, large).unwrap();
    let large = |index| record_of(SHARD, index, 1, &[1; 12_000]);
    assert!(matches!(append_one(&mut engine, large(11)), Err(Error::Full { .. })));
    let _ = append_one(&mut engine, record(SHARD, 11)).unwrap();
    engine.close().unwrap();
    let (engine, recovery) = open(&files);
    assert!(recovery.is_clean, "a full log stops cleanly");
    assert_eq!(tail(&engine, SHARD), (1, 12));
}

#[test]
fn a_full_log_opens_and_trims_again_and_again() {
    let files = Files::new();
    files.set_room(Some(128 << 10));
    let (mut engine, _) = open(&files);
    let mut last = 0;
    for _ in 0..20 {
        let (next, error) = fill(&mut engine, SHARD);
        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert!(next > last, "every trim makes room");
        last = next;
        drop(engine);
        (engine, _) = open(&files);
        assert_eq!(tail(&engine, SHARD).1, next);
        engine.trim(SHARD, Index::new(next)).unwrap();
        engine.prepare();
    }
}

#[test]
fn a_disk_that_breaks_while_a_segment_is_made_is_no_poison() {
    for call in [Call::Create, Call::WriteSpare, Call::SyncSpare] {
        let files = Files::new();
        let clock = Arc::new(ManualClock::default());
        let entropy = SeededEntropy::new(1);
        let (mut engine, _) =
            Engine::open(Arc::new(files.clone()), &options(), Arc::clone(&clock) as _, &entropy).unwrap();
        files.fail(call, ErrorKind::Other);
        let (next, error) = fill(&mut engine, SHARD);
        assert!(matches!(error, Error::Unavailable { .. }), "{call:?}: {error}");
        assert_eq!(indexes(&engine, SHARD), up_to(next - 1));
        files.mend();
        assert!(append_one(&mut engine, record(SHARD, next)).is_err(), "it is not tried again at once");
        clock.advance(mainstay_base::units::Duration::from_secs(1));
        append(&mut engine, SHARD, next..=next + 20);
    }
}

#[test]
fn a_spare_that_cannot_be_opened_for_a_moment_is_used_afterwards() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    engine.prepare();
    let spares = files.named("spare");
    files.fail(Call::Open, ErrorKind::Other);
    let (next, error) = fill(&mut engine, SHARD);
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(append_one(&mut engine, record(SHARD, next)).is_err());
    files.mend();
    files.take_calls();
    append(&mut engine, SHARD, next..=next);
    let calls = files.take_calls();
    assert!(calls.contains(&format!("Rename {}", spares[0])), "it is used: {calls:?}");
    assert_eq!(files.named("spare"), [""; 0], "no other one was made");
    assert_eq!(indexes(&engine, SHARD), up_to(next));
}

#[test]
fn records_larger_than_what_is_left_of_the_first_segment_go_to_the_next() {
    let files = Files::new();
    let options = Options { first_segment: Size::from_kib(16), ..options() };
    let (mut engine, _) = try_open(&files, &options).unwrap();
    let large = |index| record_of(SHARD, index, 1, &[1; 12_000]);
    assert!(engine.commit((1..=10).map(large).collect()).iter().all(Result::is_ok));
    assert_eq!(read_all(&engine, SHARD), Ok((1..=10).map(large).collect()));
    engine.trim(SHARD, Index::new(11)).unwrap();
    engine.prepare();
    drop(engine);
    for name in files.names() {
        assert_eq!(files.get(&name).len(), 64 << 10, "the short one is gone for good: {name}");
    }
    let (engine, _) = try_open(&files, &options).unwrap();
    assert_eq!(tail(&engine, SHARD), (11, 11));
}

#[test]
fn a_log_has_as_many_shards_as_its_segments_can_name() {
    let files = Files::new();
    let (mut engine, _) = open(&files);
    let first = |shard| record(ShardId::new(shard), 1);
    let answers = engine.commit((0..400).map(first).collect());
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken, 292);
    assert!(answers[292].as_ref().is_err_and(|error| error.to_string().contains("use larger ones")));
    append(&mut engine, ShardId::new(0), 2..=60);
    drop(engine);
    let (engine, _) = open(&files);
    assert_eq!(indexes(&engine, ShardId::new(291)), [1]);
    drop(engine);
    let smaller = Options { segment: Size::from_kib(56), ..options() };
    let error = try_open(&files, &smaller).map(drop).unwrap_err();
    assert!(error.to_string().contains("use larger ones"), "{error}");
}

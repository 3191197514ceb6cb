//! Looking at a log's directory, and repairing it at a chosen price.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy, Timestamp};
use mainstay_base::units::Size;
use mainstay_log::Error;
use mainstay_log::local::disk::Directory;
use mainstay_log::local::{Bad, Choice, Engine, Inspection, LogEnd, Options, Range, inspect, repair};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};

const SHARDS: u32 = 3;

struct Case {
    folder: tempfile::TempDir,
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::EPOCH))
}

fn record(shard: u32, index: u64) -> Record {
    let payload = Bytes::from(vec![u8::try_from(shard).unwrap(); 700]);
    let id = RecordId::new(u128::from(index).to_be_bytes());
    Draft::data(id, payload).seal(ShardId::new(shard), Index::new(index), Epoch::new(1), Checksum::START)
}

impl Case {
    /// A log with this many records in each of three shards, in segments of 64 KiB.
    fn new(records: u64) -> Self {
        let case = Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let mut engine = case.open().unwrap();
        for index in 1..=records {
            engine.prepare();
            let group = (0..SHARDS).map(|shard| record(shard, index)).collect();
            assert!(engine.commit(group).iter().all(Result::is_ok), "records {index} are appended");
        }
        engine.close().unwrap();
        case
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Result<Engine, Error> {
        let options = Options {
            segment: Size::from_kib(64),
            first_segment: Size::from_kib(64),
            record_max: Size::from_kib(8),
            ..Options::default()
        };
        let disk = Arc::new(Directory::open(self.path())?);
        Ok(Engine::open(disk, &options, clock(), &SeededEntropy::new(1))?.0)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path().join(format!("segment-{number:016x}"))
    }

    /// Flips a bit of the segment.
    fn flip(&self, number: u64, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(self.segment(number)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }

    fn inspect(&self) -> Inspection {
        inspect(self.path()).unwrap()
    }

    fn repair(&self, choice: Choice) -> Result<Inspection, Error> {
        let repaired = repair(self.path(), choice, clock(), &SeededEntropy::new(2))?;
        assert!(fs::read_dir(&repaired.aside).unwrap().count() > 0, "what was taken out is kept");
        Ok(repaired.now)
    }

    /// What each shard can still be read from and to, by reading all of it.
    fn readable(&self) -> Vec<(u64, u64)> {
        let engine = self.open().unwrap();
        let reader = engine.reader();
        (0..SHARDS)
            .map(|shard| {
                let tail = reader.tail(ShardId::new(shard)).unwrap();
                let mut next = tail.begins;
                while next < tail.next {
                    let read = reader.read(ShardId::new(shard), next, 1 << 20).unwrap();
                    for got in &read {
                        assert_eq!(*got, record(shard, next.get()));
                        next = next.next();
                    }
                    assert!(!read.is_empty(), "every record is there");
                }
                (tail.begins.get(), tail.next.get())
            })
            .collect()
    }
}

/// First and last of each shard, which are in order.
fn named(ranges: &[Range]) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.first.get(), range.last.get())).collect()
}

fn the_one(found: &Inspection) -> &Bad {
    let [bad] = &found.damage[..] else { panic!("one bad place: {:?}", found.damage) };
    bad
}

#[test]
fn a_whole_log_is_told_segment_by_segment_and_shard_by_shard() {
    let case = Case::new(60);
    fs::write(case.path().join("notes.txt"), "not ours").unwrap();
    let found = case.inspect();
    assert_eq!((found.end, &found.damage[..]), (LogEnd::Sealed, &[][..]));
    assert_eq!(found.foreign, ["notes.txt"]);
    assert!(found.segments.len() > 3, "{found:?}");
    assert_eq!(found.segments.iter().map(|segment| segment.records).sum::<u64>(), 180);
    for (at, shard) in found.shards.iter().enumerate() {
        assert_eq!((shard.shard.get() as usize, shard.begins.get(), shard.next.get()), (at, 1, 61));
        let mut next = 1;
        for range in found.segments.iter().filter_map(|segment| segment.shards.get(at)) {
            assert_eq!(range.first.get(), next, "segments follow one another");
            next = range.last.get() + 1;
        }
        assert_eq!(next, 61);
    }
    let shown = serde_json::to_value(&found).unwrap();
    assert_eq!(shown["end"], "sealed");
    assert_eq!(shown["shards"][1], serde_json::json!({ "shard": 1, "begins": 1, "next": 61, "epoch": 1 }));
}

#[test]
fn nothing_and_a_missing_directory_are_told_apart() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    assert_eq!(inspect(folder.path()).unwrap().end, LogEnd::None);
    let error = inspect(&folder.path().join("no-such")).unwrap_err().to_string();
    assert!(error.contains("no-such") && error.contains("No such file"), "{error}");
}

#[test]
fn cutting_loses_what_was_told_and_keeps_the_rest() {
    let case = Case::new(60);
    case.flip(2, 5 * 4096 + 500);
    let found = case.inspect();
    let bad = the_one(&found);
    assert_eq!((bad.segment, bad.offset), (2, 5 * 4096));
    let first = bad.lost_by_cut[0].first.get();
    assert_eq!(named(&bad.lost_by_cut), [(first, 60); 3]);
    let now = case.repair(Choice::Cut).unwrap();
    assert_eq!(now.damage, []);
    assert_eq!(case.readable(), [(1, first); 3]);
    // It goes on where it was cut.
    let mut engine = case.open().unwrap();
    engine.prepare();
    assert!(engine.commit(vec![record(0, first)])[0].is_ok());
}

#[test]
fn forgetting_loses_what_was_told_and_keeps_the_rest() {
    let case = Case::new(60);
    case.flip(2, 5 * 4096 + 500);
    let found = case.inspect();
    let lost = the_one(&found).lost_by_forget.clone().unwrap();
    let last = lost[0].last.get();
    assert_eq!(named(&lost), [(1, last); 3]);
    let now = case.repair(Choice::Forget).unwrap();
    assert_eq!((now.damage.len(), now.end), (0, LogEnd::Sealed));
    assert_eq!(case.readable(), [(last + 1, 61); 3]);
}

#[test]
fn a_segment_that_is_gone_is_damage_and_can_be_forgotten() {
    let case = Case::new(60);
    fs::remove_file(case.segment(2)).unwrap();
    let found = case.inspect();
    let bad = the_one(&found);
    assert_eq!((bad.segment, bad.what.as_str()), (2, "the file is missing"));
    assert!(matches!(case.open(), Err(Error::Damaged { .. })));
    let last = bad.lost_by_forget.clone().unwrap()[0].last.get();
    case.repair(Choice::Forget).unwrap();
    assert_eq!(case.readable(), [(last + 1, 61); 3]);
}

#[test]
fn damage_in_the_last_segment_can_only_be_cut() {
    let case = Case::new(10);
    case.flip(1, 4 * 4096 + 500);
    let found = case.inspect();
    assert_eq!((the_one(&found).lost_by_forget.as_ref(), found.end), (None, LogEnd::Sealed));
    let error = case.repair(Choice::Forget).unwrap_err().to_string();
    assert!(error.contains("nothing is kept behind it"), "{error}");
    let first = the_one(&found).lost_by_cut[0].first.get();
    case.repair(Choice::Cut).unwrap();
    assert_eq!(case.readable(), [(1, first); 3]);
}

#[test]
fn cutting_everything_is_refused() {
    let case = Case::new(3);
    case.flip(1, 30);
    let error = case.repair(Choice::Cut).unwrap_err().to_string();
    assert!(error.contains("nothing would be left"), "{error}");
}

#[test]
fn a_torn_end_is_no_damage_and_needs_no_repair() {
    let case = Case::new(10);
    // The seal is the last group.
    let seal = case.inspect().segments[0].used_bytes / 4096 - 1;
    let file = OpenOptions::new().write(true).open(case.segment(1)).unwrap();
    file.write_all_at(&[1], seal * 4096 + 40).unwrap();
    let found = case.inspect();
    assert!(matches!(found.end, LogEnd::Torn(cut) if cut.offset == seal * 4096), "{found:?}");
    let error = case.repair(Choice::Cut).unwrap_err().to_string();
    assert!(error.contains("not damaged"), "{error}");
}

#[test]
fn a_log_in_use_is_inspected_and_not_repaired() {
    let case = Case::new(10);
    let engine = case.open().unwrap();
    assert_eq!(case.inspect().shards.len(), 3);
    let error = case.repair(Choice::Cut).unwrap_err().to_string();
    assert!(error.contains("in use by process"), "{error}");
    drop(engine);
}

#[test]
fn without_its_oldest_segment_only_that_one_is_forgotten() {
    let case = Case::new(60);
    let first = case.inspect().segments[1].shards[0].first.get();
    fs::remove_file(case.segment(1)).unwrap();
    assert!(matches!(case.open(), Err(Error::Damaged { .. })));
    let found = case.inspect();
    let bad = the_one(&found);
    assert_eq!((bad.segment, bad.offset), (1, 0), "{}", bad.what);
    assert_eq!(named(&bad.lost_by_cut), [(1, 60); 3], "nothing is left before it");
    assert_eq!(named(bad.lost_by_forget.as_ref().unwrap()), [(1, first - 1); 3]);
    let error = case.repair(Choice::Cut).unwrap_err().to_string();
    assert!(error.contains("can only be forgotten"), "{error}");
    repair(case.path(), Choice::Forget, clock(), &SeededEntropy::new(2)).unwrap();
    assert_eq!(case.readable(), [(first, 61); 3]);
}

#[test]
fn what_is_forgotten_is_written_down_though_the_segment_is_full() {
    // Two segments of 13 groups and a seal.
    let case = Case::new(26);
    let mut engine = case.open().unwrap();
    engine.trim(ShardId::new(0), Index::new(2)).unwrap();
    engine.close().unwrap();
    let found = case.inspect();
    assert_eq!((found.segments.len(), found.segments[1].used_bytes), (2, 64 << 10), "{found:?}");
    fs::remove_file(case.segment(1)).unwrap();
    let now = repair(case.path(), Choice::Forget, clock(), &SeededEntropy::new(2)).unwrap().now;
    assert_eq!(now.damage, []);
    assert_eq!(case.readable(), [(14, 27); 3]);
}

#[test]
fn a_cut_that_takes_trims_leaves_a_log_that_opens() {
    let case = Case::new(60);
    let mut engine = case.open().unwrap();
    for shard in 0..SHARDS {
        engine.trim(ShardId::new(shard), Index::new(50)).unwrap();
    }
    assert!(engine.commit(vec![record(0, 61)])[0].is_ok());
    engine.close().unwrap();
    let found = case.inspect();
    let (oldest, last) = (&found.segments[0], found.segments.last().unwrap());
    assert!(oldest.number > 1 && oldest.number < last.number, "segments were let go: {found:?}");
    let (kept, cut) = (oldest.shards[0].first.get(), last.shards[0].first.get());
    // Every group behind the opening but the last two: the record and the seal.
    (1..last.used_bytes / 4096 - 2).for_each(|block| case.flip(last.number, block * 4096 + 80));
    let found = case.inspect();
    let bad = found.cut_at().unwrap();
    assert_eq!((bad.segment, bad.offset), (found.segments.last().unwrap().number, 4096));
    assert_eq!(named(&bad.lost_by_cut)[0], (cut, 61));
    assert_eq!(case.repair(Choice::Cut).unwrap().damage, []);
    assert_eq!(case.readable(), [(kept, cut); 3]);
}

#[test]
fn a_file_that_only_got_its_name_goes_with_what_is_cut() {
    let case = Case::new(60);
    let last = case.inspect().segments.len() as u64;
    fs::write(case.segment(last + 1), vec![0; 64 << 10]).unwrap();
    case.flip(2, 5 * 4096 + 500);
    let first = the_one(&case.inspect()).lost_by_cut[0].first.get();
    assert_eq!(case.repair(Choice::Cut).unwrap().damage, []);
    assert_eq!(case.readable(), [(1, first); 3]);
}

#[test]
fn an_interrupted_cut_opens_for_nobody_and_is_begun_again() {
    let case = Case::new(60);
    case.flip(2, 5 * 4096 + 500);
    let first = the_one(&case.inspect()).lost_by_cut[0].first.get();
    // The first of the segments behind has gone.
    fs::remove_file(case.segment(3)).unwrap();
    assert!(matches!(case.open(), Err(Error::Damaged { .. })));
    let found = case.inspect();
    assert_eq!(
        found.damage.iter().map(|bad| (bad.segment, bad.offset)).collect::<Vec<_>>(),
        [(2, 5 * 4096), (3, 0)]
    );
    assert_eq!(case.repair(Choice::Cut).unwrap().damage, []);
    assert_eq!(case.readable(), [(1, first); 3]);
}

#[test]
fn segments_beside_a_gap_end_where_they_end() {
    let case = Case::new(0);
    let mut engine = case.open().unwrap();
    let mut append = |index, bytes| {
        engine.prepare();
        let draft = Draft::data(RecordId::new([7; 16]), vec![1; bytes].into());
        let record = draft.seal(ShardId::new(0), Index::new(index), Epoch::new(1), Checksum::START);
        assert!(engine.commit(vec![record])[0].is_ok());
    };
    // Groups of three blocks do not fill the first segment as far as those of one block fill the second.
    append(1, 100);
    (2..=5).for_each(|index| append(index, 8100));
    (6..=40).for_each(|index| append(index, 100));
    engine.close().unwrap();
    let found = case.inspect();
    assert!(found.segments[0].used_bytes < found.segments[1].used_bytes, "{found:?}");
    fs::remove_file(case.segment(2)).unwrap();
    let found = case.inspect();
    assert_eq!((the_one(&found).segment, the_one(&found).offset), (2, 0));
}

#[test]
fn a_log_that_is_written_meanwhile_is_whole() {
    let case = Case::new(60);
    let mut engine = case.open().unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in (61..).take_while(|_| !is_done.load(Relaxed)) {
                engine.prepare();
                let group = (0..SHARDS).map(|shard| record(shard, index)).collect();
                assert!(engine.commit(group).iter().all(Result::is_ok));
                if index % 20 == 0 {
                    for shard in 0..SHARDS {
                        engine.trim(ShardId::new(shard), Index::new(index - 15)).unwrap();
                    }
                }
            }
        });
        let found: Vec<_> = (0..300).map(|_| inspect(case.path())).collect();
        is_done.store(true, Relaxed);
        for found in found {
            assert_eq!(found.unwrap().damage, []);
        }
    });
}

#[test]
fn what_a_newer_program_has_written_is_told_and_not_repaired() {
    for block in [0, 5, 12] {
        let case = Case::new(20);
        let file = OpenOptions::new().read(true).write(true).open(case.segment(1)).unwrap();
        let mut head = [0; 72];
        file.read_exact_at(&mut head, block * 4096).unwrap();
        head[7] = 2;
        let crc = crc32c::crc32c(&head[..68]);
        head[68..].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&head, block * 4096).unwrap();
        let found = case.inspect();
        assert!(found.is_newer && found.damage[0].what.contains("format 2"), "{found:?}");
        for choice in [Choice::Cut, Choice::Forget] {
            let error = case.repair(choice).unwrap_err().to_string();
            assert!(error.contains("newer program"), "{error}");
        }
        assert_eq!(case.inspect(), found, "nothing was changed");
    }
}

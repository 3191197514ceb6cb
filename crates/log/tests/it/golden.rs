//! A local log as version 1 of the format writes it, kept as files: every later version reads it, and this one writes the same.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy, Timestamp};
use mainstay_base::units::Size;
use mainstay_log::local::disk::Directory;
use mainstay_log::local::{Engine, LogEnd, Options, inspect};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};

/// Makes the files again. What is there is only ever added to: logs of users are in it.
const WRITE: &str = "MAINSTAY_WRITE_FIXTURES";

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/local-format-1")
}

/// Shown in the guide: the same log with a bit flipped.
fn damaged() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/damaged-log")
}

fn segment(number: u64) -> String {
    format!("segment-{number:016x}")
}

fn record(shard: u32, index: u64) -> Record {
    let id = RecordId::new((u128::from(shard) << 64 | u128::from(index)).to_be_bytes());
    let (index, epoch) = (Index::new(index), Epoch::new(3));
    if index == Index::FIRST {
        return Draft::epoch(id).seal(ShardId::new(shard), index, epoch, Checksum::START);
    }
    let payload = Bytes::from(format!("shard {shard}, record {index}: ").repeat(20));
    Draft::data(id, payload).seal(ShardId::new(shard), index, epoch, Checksum::START)
}

/// Three shards with twelve records each, of which one is trimmed to 3 and one to its end.
fn write(directory: &Path) {
    let options = Options {
        segment: Size::from_kib(40),
        first_segment: Size::from_kib(40),
        record_max: Size::from_kib(4),
        ..Options::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let disk = Arc::new(Directory::open(directory).unwrap());
    let (mut engine, _) = Engine::open(disk, &options, clock, &SeededEntropy::new(1)).unwrap();
    for index in 1..=12 {
        engine.prepare();
        let group = [0, 1, 7].map(|shard| record(shard, index));
        assert!(engine.commit(group.into()).iter().all(Result::is_ok));
    }
    engine.trim(ShardId::new(1), Index::new(3)).unwrap();
    engine.trim(ShardId::new(7), Index::new(13)).unwrap();
    engine.close().unwrap();
}

fn segments(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| name.starts_with("segment-"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_local_log_of_format_1_is_these_files() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    write(folder.path());
    let written = segments(folder.path());
    assert_eq!(written.len(), 2, "the workload rolls over");
    if std::env::var_os(WRITE).is_some() {
        for directory in [kept(), damaged()] {
            fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &written {
                fs::write(directory.join(name), bytes).unwrap();
            }
        }
        let path = damaged().join(segment(1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[5 * 4096 + 700] ^= 0x20;
        fs::write(path, bytes).unwrap();
    }
    let kept = segments(&kept());
    for ((name, bytes), (kept_name, kept)) in written.iter().zip(&kept) {
        assert_eq!(name, kept_name);
        let differs = bytes.iter().zip(kept).position(|(a, b)| a != b);
        assert_eq!((differs, bytes.len()), (None, kept.len()), "{name} is written differently");
    }
    assert_eq!(written.len(), kept.len());
}

#[test]
fn a_kept_log_of_format_1_is_read() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, bytes) in segments(&kept()) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let found = inspect(folder.path()).unwrap();
    assert_eq!((found.end, found.damage.len()), (LogEnd::Sealed, 0));
    let disk = Arc::new(Directory::open(folder.path()).unwrap());
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let (engine, recovery) = Engine::open(disk, &Options::default(), clock, &SeededEntropy::new(2)).unwrap();
    assert!(recovery.is_clean);
    let reader = engine.reader();
    for (shard, begins) in [(0, 1), (1, 3), (7, 13)] {
        let tail = reader.tail(ShardId::new(shard)).unwrap();
        assert_eq!((tail.begins.get(), tail.next.get()), (begins, 13));
        let read = reader.read(ShardId::new(shard), tail.begins, 1 << 20).unwrap();
        let appended: Vec<_> = (begins..13).map(|index| record(shard, index)).collect();
        assert_eq!(read, appended);
    }
}

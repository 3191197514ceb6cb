//! `mainstay inspect log`: what people and programs are told of a log, and what a repair does and leaves alone.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{ManualClock, SeededEntropy, Timestamp};
use mainstay_base::units::Size;
use mainstay_log::Durability;
use mainstay_log::local::disk::Directory;
use mainstay_log::local::{Engine, Options};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Node;

/// Of no node: what is in the records are no commits.
const FIRST_SHARD: u32 = 900;
const SHARDS: u32 = 2;

/// The length of a block: groups begin on one.
const BLOCK: u64 = 4096;

/// A folder with a data directory, in whose log there are records.
struct Case {
    folder: tempfile::TempDir,
}

/// How a log was left.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Closed,
    Open,
}

fn record(shard: u32, index: u64) -> Record {
    let id = RecordId::new(u128::from(index).to_be_bytes());
    let payload = Bytes::from(vec![7; 700]);
    Draft::data(id, payload).seal(ShardId::new(shard), Index::new(index), Epoch::new(1), Checksum::START)
}

impl Case {
    /// So many groups with a record of each shard, one block each; a segment of 64 KiB has room for 13.
    fn new(groups: u64, left: Left) -> Self {
        Self::durable(Durability::Synced, groups, left)
    }

    fn durable(durability: Durability, groups: u64, left: Left) -> Self {
        let case = Self { folder: tempfile::tempdir().expect("a folder") };
        let options = Options {
            durability,
            segment: Size::from_kib(64),
            first_segment: Size::from_kib(64),
            record_max: Size::from_kib(8),
            ..Options::default()
        };
        let disk = Arc::new(Directory::open(&case.log()).expect("a directory"));
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let (mut engine, _) = Engine::open(disk, &options, clock, &SeededEntropy::new(1)).expect("a new log");
        for index in 1..=groups {
            engine.prepare();
            let group = (0..SHARDS).map(|shard| record(FIRST_SHARD + shard, index)).collect();
            assert!(engine.commit(group).iter().all(Result::is_ok));
        }
        if left == Left::Closed {
            engine.close().expect("it closes");
        }
        case
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.data().join("log")
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.log().join(format!("segment-{number:016x}"))
    }

    /// Flips a bit in the body of a group; group 1 is the first with records.
    fn flip(&self, segment: u64, group: u64) -> &Self {
        let file = OpenOptions::new().read(true).write(true).open(self.segment(segment)).expect("a segment");
        let (mut byte, at) = ([0], group * BLOCK + 900);
        file.read_exact_at(&mut byte, at).expect("a byte");
        file.write_all_at(&[byte[0] ^ 4], at).expect("a byte");
        self
    }

    fn inspect(&self, arguments: &[&str]) -> Told {
        inspect(self.folder.path(), &[&["data"], arguments].concat())
    }

    fn inspect_json(&self, arguments: &[&str]) -> (Told, Value) {
        let told = self.inspect(&[arguments, &["--output", "json"]].concat());
        let document = serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {told:?}"));
        (told, document)
    }

    /// Every file of the log with its bytes, also those in folders.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.log()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), fs::read(&path).expect("a file"));
                }
            }
        }
        files
    }
}

/// What came out of a command.
#[derive(Debug)]
struct Told {
    code: i32,
    out: String,
    err: String,
}

fn inspect(folder: &Path, arguments: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["inspect", "log"]).args(arguments).env_clear().current_dir(folder).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Told { code: status.code().expect("it ends by itself"), out: text(stdout), err: text(stderr) }
}

#[test]
fn a_whole_log_is_shown_to_people() {
    let told = Case::new(5, Left::Closed).inspect(&[]);
    let shown = "data/log: whole, closed cleanly\n\
                 \n  SHARD      BEGINS        NEXT  EPOCH\
                 \n    900           1           6      1\
                 \n    901           1           6      1\
                 \n\
                 \nSEGMENT      LENGTH        USED   GROUPS    RECORDS\
                 \n      1       64KiB       28KiB        7         10\
                 \n\
                 \nfiles that are ready for what comes: 1\n";
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (0, shown, ""));
}

#[test]
fn a_whole_log_is_one_document_for_programs() {
    let case = Case::new(5, Left::Closed);
    let (told, document) = case.inspect_json(&[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert_eq!((&document["directory"], &document["end"]), (&"data/log".into(), &"sealed".into()));
    assert_eq!((&document["damage"], &document["is_newer"]), (&json!([]), &false.into()));
    assert_eq!(document["shards"][1], json!({ "shard": 901, "begins": 1, "next": 6, "epoch": 1 }));
    assert_eq!(document["segments"][0]["records"], 10);
    assert!(document.get("repair").is_none());
    let of_the_folder = inspect(&case.data(), &["log", "--output", "json"]);
    assert_eq!(of_the_folder.code, 0, "the folder itself is as good");
}

#[test]
fn where_there_is_no_log_it_is_said_what_to_name() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    fs::create_dir(folder.path().join("other")).expect("a folder");
    fs::write(folder.path().join("other/notes.txt"), "precious").expect("a file");
    let advice = "name the data directory of a node (its setting `data`), or the folder `log` in it\n";
    for (directory, what) in [
        ("nothing", "nothing cannot be looked at: No such file or directory"),
        ("file", "file is not a directory"),
        ("other", "there is no log in other"),
    ] {
        for repair in [&[][..], &["--repair", "cut", "--yes"]] {
            let told = inspect(folder.path(), &[&[directory], repair].concat());
            assert_eq!((told.code, told.out.as_str()), (1, ""), "{told:?}");
            assert!(
                told.err.starts_with(&format!("error: {what}")) && told.err.ends_with(advice),
                "{told:?}"
            );
        }
    }
    let told = inspect(folder.path(), &["other", "--output", "json"]);
    let document: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(
        (told.code, &document["end"], &document["foreign"][0]),
        (1, &"none".into(), &"notes.txt".into())
    );
    let left: Vec<_> = fs::read_dir(folder.path().join("other")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing was made there");
}

#[test]
fn damage_is_a_failure_with_its_place() {
    let case = Case::new(5, Left::Closed);
    case.flip(1, 3);
    let told = case.inspect(&[]);
    assert_eq!(told.code, 1);
    assert!(
        told.out.starts_with("data/log: DAMAGED in one place\ndamaged at segment 1, byte 12288: "),
        "{told:?}"
    );
    assert_eq!(
        told.err,
        "the log is damaged; `mainstay inspect log data --repair cut` or `forget` tells what a repair would lose\n"
    );
    let (told, document) = case.inspect_json(&[]);
    let bad = &document["damage"][0];
    assert_eq!((told.code, &bad["segment"], &bad["offset"]), (1, &1.into(), &12288.into()));
    assert_eq!(bad["lost_by_cut"][0], json!({ "shard": 900, "first": 3, "last": 5 }));
    assert_eq!(bad["lost_by_forget"], Value::Null);
    assert!(told.err.starts_with("the log is damaged; "), "{told:?}");
}

#[test]
fn a_torn_end_is_no_damage() {
    let case = Case::new(5, Left::Open);
    assert!(case.inspect(&[]).out.starts_with("data/log: whole, and in use or not closed cleanly; "));
    case.flip(1, 5);
    let told = case.inspect(&[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(
        told.out.starts_with(
            "data/log: whole up to its last group (segment 1, byte 20480), which the next start"
        ),
        "{told:?}"
    );
    let (_, document) = case.inspect_json(&[]);
    assert_eq!(document["end"]["torn"], json!({ "segment": 1, "offset": 20480, "bytes": 4096 }));
    let before = case.files();
    let told = case.inspect(&["--repair", "cut", "--yes"]);
    assert_eq!((told.code, told.err.as_str()), (0, "there is nothing to repair, and nothing was changed\n"));
    assert_eq!(case.files(), before);
}

#[test]
fn in_a_log_that_was_not_closed_nothing_proves_the_last_group() {
    let torn = |durability, group| {
        let case = Case::durable(durability, 5, Left::Open);
        let document = case.flip(1, group).inspect_json(&[]).1;
        document.pointer("/end/torn/bytes").and_then(Value::as_u64)
    };
    for group in 1..=4 {
        assert_eq!(torn(Durability::Synced, group), None, "group {group} is proven by the next");
        assert_eq!(torn(Durability::Written, group), Some((6 - group) * BLOCK), "group {group} by none");
    }
    assert_eq!(torn(Durability::Synced, 5), Some(BLOCK));
}

#[test]
fn a_log_in_use_is_looked_at_and_never_repaired() {
    let case = Case::new(20, Left::Closed);
    case.flip(1, 3);
    let data = case.data();
    // A node starts on damage in an older segment, and serves what is around it.
    let node = Node::start_in(case.folder, "");
    let look = |arguments: &[&str]| inspect(node.folder(), &[&["data"], arguments].concat());
    let told = look(&[]);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("damaged at segment 1, byte 12288: "), "{told:?}");
    let damaged = fs::read(data.join("log/segment-0000000000000001")).expect("a segment");
    let told = look(&["--repair", "cut", "--yes"]);
    assert_eq!(told.code, 1);
    let holder = format!("is in use by process {}: stop it first", node.pid());
    assert!(
        told.err.starts_with("error: the log was not repaired: ") && told.err.contains(&holder),
        "{told:?}"
    );
    assert!(fs::read(data.join("log/segment-0000000000000001")).expect("a segment") == damaged);

    let whole = Node::start("");
    let told = inspect(whole.folder(), &["data"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(told.out.starts_with("data/log: whole, and in use or not closed cleanly; "), "{told:?}");
    whole.signal(Signal::TERM);
    let (_, _, folder) = whole.ended();
    assert!(inspect(folder.path(), &["data"]).out.starts_with("data/log: whole, closed cleanly\n"));
}

#[test]
fn without_yes_a_repair_tells_what_it_would_lose_and_changes_nothing() {
    let case = Case::new(20, Left::Closed);
    case.flip(1, 3);
    let before = case.files();
    for (choice, lost) in [
        (
            "cut",
            "\ncutting at segment 1, byte 12288, loses records 3 to 20 of shard 900, records 3 to 20 of shard 901, and",
        ),
        ("forget", "\nforgetting everything up to the end of segment 1 loses records 1 to 13 of shard 900, "),
    ] {
        let told = case.inspect(&["--repair", choice]);
        assert_eq!(told.code, 1);
        assert!(told.out.contains(lost), "{told:?}");
        assert!(told.err.starts_with("nothing was changed; with `--yes` it is done"), "{told:?}");
        let (told, document) = case.inspect_json(&["--repair", choice]);
        let repair = &document["repair"];
        assert_eq!((told.code, &repair["choice"], &repair["done"]), (1, &choice.into(), &Value::Null));
        let lost = if choice == "cut" { (3, 20) } else { (1, 13) };
        assert_eq!(repair["lost"][1], json!({ "shard": 901, "first": lost.0, "last": lost.1 }));
        assert!(told.err.starts_with("nothing was changed"), "{told:?}");
    }
    assert!(case.files() == before);
}

#[test]
fn with_yes_a_repaired_log_is_whole_and_a_node_starts_on_it() {
    for (choice, begins, next) in [("cut", 1, 3), ("forget", 14, 21)] {
        let case = Case::new(20, Left::Closed);
        case.flip(1, 3);
        let damaged = fs::read(case.segment(1)).expect("a segment");
        let (told, document) = case.inspect_json(&["--repair", choice, "--yes"]);
        assert_eq!((told.code, told.err.as_str()), (0, ""));
        let done = &document["repair"]["done"];
        assert_eq!(done["now"]["damage"], json!([]));
        let aside = done["aside"].as_str().expect("a path");
        assert_eq!(aside, "data/log/aside-1");
        let kept = fs::read(case.folder.path().join(aside).join("segment-0000000000000001"));
        assert!(kept.expect("a copy") == damaged, "what was there is kept");
        let (told, document) = case.inspect_json(&[]);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{choice}");
        assert_eq!(
            document["shards"][0],
            json!({ "shard": 900, "begins": begins, "next": next, "epoch": 1 })
        );
        let node = Node::start_in(case.folder, "");
        assert_eq!(node.get("/v1/log").json()["state"], "writing");
    }
}

#[test]
fn people_are_told_of_a_repair_where_the_files_are() {
    let case = Case::new(5, Left::Closed);
    case.flip(1, 3);
    let told = case.inspect(&["--repair", "cut", "--yes"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(
        told.out.ends_with("done; what was taken out is in data/log/aside-1\nnow: whole, closed cleanly\n"),
        "{told:?}"
    );
    assert_eq!(case.inspect(&["--repair", "cut", "--yes"]).code, 0, "nothing is left to repair");
}

#[test]
fn a_directory_whose_name_is_no_text_is_as_good() {
    let case = Case::new(5, Left::Closed);
    case.flip(1, 3);
    let name = OsStr::from_bytes(b"data-\xff");
    fs::rename(case.data(), case.folder.path().join(name)).expect("another name");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["inspect", "log", "--repair", "cut", "--yes", "--output", "json"]).arg(name);
    let output = command.env_clear().current_dir(case.folder.path()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["repair"]["done"]["aside"], "data-\u{fffd}/log/aside-1");
}

#[test]
fn a_repair_that_cannot_be_is_refused_with_the_one_that_can() {
    let case = Case::new(20, Left::Closed);
    fs::remove_file(case.segment(1)).expect("a segment");
    let last = Case::new(5, Left::Closed);
    last.flip(1, 3);
    for (case, choice, other) in
        [(&case, "cut", "only `forget` is possible"), (&last, "forget", "only `cut` is possible")]
    {
        let before = case.files();
        let told = case.inspect(&["--repair", choice, "--yes"]);
        assert_eq!(told.code, 2, "{told:?}");
        assert!(told.err.starts_with("error: ") && told.err.contains(other), "{told:?}");
        assert!(case.files() == before);
    }
    for wrong in [&["--yes"][..], &["--repair"], &["--repair", "all"]] {
        let told = case.inspect(wrong);
        assert_eq!((told.code, told.out.as_str()), (2, ""), "{told:?}");
        assert!(told.err.contains("--repair"), "{told:?}");
    }
}

#[test]
fn what_a_newer_version_has_written_is_left_to_it() {
    let case = Case::new(5, Left::Closed);
    let mut bytes = fs::read(case.segment(1)).expect("a segment");
    let head = &mut bytes[usize::try_from(3 * BLOCK).expect("a place")..][..72];
    head[7] = 2;
    let crc = crc32c(&head[..68]);
    head[68..].copy_from_slice(&crc.to_le_bytes());
    fs::write(case.segment(1), bytes).expect("a segment");
    let before = case.files();
    for arguments in [&[][..], &["--repair", "cut", "--yes"]] {
        let told = case.inspect(arguments);
        assert_eq!(told.code, 1);
        assert!(
            told.out.starts_with("data/log: written by a newer version, at least in part\nnot readable at"),
            "{told:?}"
        );
        assert_eq!(
            told.err,
            "error: part of the log is written by a newer version: inspect and repair it with that one\n"
        );
    }
    assert!(case.files() == before);
}

/// CRC-32C, bit by bit (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

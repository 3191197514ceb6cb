//! Processes that write a local log while something is taken away from them: system calls that fail, by strace, and
//! space, on a small file system of their own.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/history.rs"]
mod history;

use child::{Child, Job, Report};
use history::History;

mod full;

/// A system call that fails, once, in each thread.
struct Fault {
    call: &'static str,
    error: &'static str,
    /// Which of the calls fails, counted in each thread: more than opening makes.
    number: u32,
}

/// What a process told whose writing thread met the fault.
struct Told {
    reports: Vec<Report>,
}

impl Told {
    /// The appends with an unknown outcome.
    fn unknown(&self) -> Vec<(u32, u64)> {
        let unknown = |report: &Report| match *report {
            Report::Unknown { shard, index } => Some((shard, index)),
            _ => None,
        };
        self.reports.iter().filter_map(unknown).collect()
    }

    fn is_in_doubt(&self) -> bool {
        !self.unknown().is_empty()
    }

    fn is_poisoned(&self) -> bool {
        self.reports.last() == Some(&Report::Closed { poisoned: true })
    }

    /// What must have come of the fault, wherever it was met. That what is told is so is asserted where it is told.
    fn check_end(&self) {
        let count = |is_counted: fn(&Report) -> bool| self.reports.iter().filter(|it| is_counted(it)).count();
        let refused = count(|report| matches!(report, Report::Poisoned { .. }));
        let read = count(|report| matches!(report, Report::ReadBack { .. }));
        let shards = child::shards().len();
        if self.is_poisoned() {
            assert!(refused == shards && read >= shards, "{refused} shards are refused, {read} are read");
            return;
        }
        // It was met when a file was made that is no segment yet.
        assert_eq!(self.reports.last(), Some(&Report::Closed { poisoned: false }));
        let unavailable = count(|report| matches!(report, Report::Unavailable { .. } | Report::Full { .. }));
        assert!(unavailable > 0 && refused == 0 && !self.is_in_doubt(), "{:?}", self.reports);
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

/// Lets a process meet the fault after another one has left something, and checks all that does not depend on the fault.
fn meet(fault: &Fault, history: &mut History) -> Told {
    work_and_die(history);
    let Fault { call, error, number } = fault;
    let folder = temporary();
    let trace = folder.path().join("trace");
    let expressions = (format!("trace={call}"), format!("inject={call}:error={error}:when={number}"));
    let words = ["strace", "-f", "-qq", "-e", &expressions.0, "-e", &expressions.1, "-o"];
    let strace: Vec<&OsStr> = words.into_iter().map(OsStr::new).chain([trace.as_os_str()]).collect();
    let (reports, status) = Child::start(&Job { turns: 300, ..history.next_job() }, &strace).finish();
    let trace =
        fs::read_to_string(&trace).expect("strace is there and may trace: `make conformance` installs it");
    assert!(trace.contains("(INJECTED)"), "{call} number {number} was not reached:\n{trace}");
    assert!(status.success(), "the process noticed something: {status}");
    reports.iter().for_each(|report| history.note(report));
    let told = Told { reports };
    for (shard, index) in told.unknown() {
        let is_it = |report: &Report| matches!(*report, Report::Acknowledged { shard: of, index: at, .. } if of == shard && at >= index);
        assert!(!told.reports.iter().any(is_it), "shard {shard}, index {index} is not known to be there");
    }
    told.check_end();
    history.check(false);
    told
}

/// Lets processes meet the fault, each one call later, until one meets it where it is wanted.
fn meet_until(mut fault: Fault, history: &mut History, is_wanted: fn(&Told) -> bool) -> Told {
    for _ in 0..20 {
        let told = meet(&fault, history);
        if is_wanted(&told) {
            return told;
        }
        fault.number += 1;
    }
    panic!("{} fails at other places only", fault.call)
}

/// A process without faults, which is killed when it has told something.
fn work_and_die(history: &mut History) {
    let mut child = Child::start(&history.next_job(), &[]);
    let before = history.acknowledged;
    while history.acknowledged < before + 100 {
        history.note(&child.next().expect("it works until it is killed"));
    }
    child.kill().iter().for_each(|report| history.note(report));
    history.check(false);
}

#[test]
fn a_failed_sync_leaves_a_group_in_doubt_until_a_restart_keeps_it() {
    let directory = temporary();
    let mut history = History::new(directory.path(), 11);
    let told =
        meet_until(Fault { call: "fdatasync", error: "EIO", number: 60 }, &mut history, Told::is_in_doubt);
    for (shard, index) in told.unknown() {
        assert!(history.next(shard) > index, "what was written was not taken away: shard {shard}, {index}");
    }
    work_and_die(&mut history);
}

#[test]
fn a_failed_write_leaves_a_group_in_doubt_until_a_restart_finds_nothing_of_it() {
    for error in ["EIO", "ENOSPC"] {
        let directory = temporary();
        let mut history = History::new(directory.path(), 12);
        let told = meet_until(Fault { call: "pwrite64", error, number: 60 }, &mut history, Told::is_in_doubt);
        for (shard, index) in told.unknown() {
            assert!(history.next(shard) <= index, "nothing was written: shard {shard}, {index}");
        }
        work_and_die(&mut history);
    }
}

#[test]
fn a_failed_sync_of_the_directory_stops_the_log_until_a_restart() {
    let directory = temporary();
    let mut history = History::new(directory.path(), 13);
    meet_until(Fault { call: "fsync", error: "EIO", number: 12 }, &mut history, Told::is_poisoned);
    work_and_die(&mut history);
}

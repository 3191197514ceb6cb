//! `mainstay bench log`: what it prints, what it refuses, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["bench", "log"]).args(arguments).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the binary runs")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

/// A short measurement; on a disk that others keep busy it takes the advice to measure for longer.
fn measure(folder: &Path) -> Output {
    let work = ["--producers", "2", "--payload", "64B", "--run-in", "1MiB", "--output", "json"];
    let mut tried = ["1", "10", "100"].into_iter().map(|seconds| {
        let arguments: Vec<&str> = work.into_iter().chain(["--seconds", seconds]).collect();
        run(folder, &arguments)
    });
    let is_long_enough =
        |output: &Output| !String::from_utf8_lossy(&output.stderr).contains("measure for longer");
    tried.find(is_long_enough).expect("a record in 20 seconds")
}

#[test]
fn it_measures_the_log_beside_the_disk_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = measure(folder.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let samples = results.pointer("/cells/0/measured/0/clean").and_then(|it| it.as_array()).expect("samples");
    assert_eq!(samples.len(), 5, "none is dropped for what others do");
    let of = |sample: &Value, figure| sample.pointer(figure).and_then(Value::as_f64).expect("a number");
    for figure in ["/records_per_s", "/disk_block/0/syncs_per_s", "/cpu_us_per_record"] {
        assert!(samples.iter().all(|sample| of(sample, figure) > 0.0), "{figure}");
    }
    // The sync of an acknowledged record may have ended just before the window began.
    assert!(samples.iter().any(|sample| of(sample, "/syncs_per_s") > 0.0));
    let settings = results.pointer("/subjects/0/settings").expect("settings").to_string();
    assert!(settings.contains("1MiB appended and trimmed before each sample"), "{settings}");
    assert!(is_empty(folder.path()));
}

#[test]
fn an_interrupt_ends_it_and_removes_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    // Without the interrupt it would never come to measure.
    let arguments = ["--seconds", "600", "--run-in", "1024GiB"];
    let mut child = command(folder.path(), &arguments).spawn().expect("the binary runs");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let begun = told.by_ref().map_while(Result::ok).find(|line| line.contains("1 producer,"));
    assert!(begun.is_some(), "it says what it measures");
    assert!(!is_empty(folder.path()));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not zero");
    kill_process(pid, Signal::INT).expect("it runs");
    let last = told.map_while(Result::ok).last();
    assert_eq!(last.as_deref(), Some("error: the log could not be measured: interrupted"));
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(is_empty(folder.path()));
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code, reason) in [
        (&["--dir", "no/such"][..], 1, "find no/such"),
        (&["--producers", "0"], 2, "0 is not in 1..=4096"),
        (&["--payload", "256"], 2, "unit"),
        (&["--producers", "4096", "--payload", "1MiB"], 1, "use fewer or smaller ones"),
        (&["--durability", "replicated"], 2, "synced"),
    ] {
        let output = run(folder.path(), arguments);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(reason), "{told}");
    }
    assert!(is_empty(folder.path()));
}

//! `mainstay bench`: what it prints, what it refuses, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn command(folder: &Path, what: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["bench", what]).args(arguments).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, what: &str, arguments: &[&str]) -> Output {
    command(folder, what, arguments).output().expect("the binary runs")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

/// A short measurement; on a disk that others keep busy it takes the advice to measure for longer.
fn measure(folder: &Path) -> Output {
    let work = ["--producers", "2", "--payload", "64B", "--run-in", "1MiB", "--output", "json"];
    let mut tried = ["1", "10", "100"].into_iter().map(|seconds| {
        let arguments: Vec<&str> = work.into_iter().chain(["--seconds", seconds]).collect();
        run(folder, "log", &arguments)
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

/// Interrupts a measurement when it says that it has begun, and returns the last thing it says.
fn interrupt(folder: &Path, what: &str, arguments: &[&str], begun: &str) -> Option<String> {
    let mut child = command(folder, what, arguments).spawn().expect("the binary runs");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let has_begun = told.by_ref().map_while(Result::ok).find(|line| line.contains(begun));
    assert!(has_begun.is_some(), "it says what it measures");
    assert!(!is_empty(folder));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not zero");
    kill_process(pid, Signal::INT).expect("it runs");
    let last = told.map_while(Result::ok).last();
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{last:?}");
    assert!(is_empty(folder));
    last
}

#[test]
fn an_interrupt_ends_it_and_removes_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    // Without the interrupt it would never come to measure.
    let arguments = ["--seconds", "600", "--run-in", "1024GiB"];
    let last = interrupt(folder.path(), "log", &arguments, "1 producer,");
    assert_eq!(last.as_deref(), Some("error: the log could not be measured: interrupted"));
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
        let output = run(folder.path(), "log", arguments);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(reason), "{told}");
    }
    assert!(is_empty(folder.path()));
}

/// A short measurement of items.
fn items(folder: &Path, what: &str, more: &[&str]) -> Value {
    let work = ["--clients", "4", "--items", "100", "--value", "100B", "--shards", "2", "--seconds", "1"];
    let arguments: Vec<&str> = work.iter().chain(more).chain(&["--output", "json"]).copied().collect();
    let output = run(folder, what, &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(is_empty(folder));
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(results["name"], what);
    assert_eq!(results["errors"], serde_json::json!({}));
    assert!(results["operations"].as_u64() > Some(0), "{results}");
    results
}

fn figure(results: &Value, figure: &str) -> f64 {
    results.pointer(figure).and_then(Value::as_f64).unwrap_or_else(|| panic!("{figure} of {results}"))
}

#[test]
fn commits_are_measured_over_http_and_in_the_process() {
    for (more, mode) in [(&[][..], "http"), (&["--embedded"], "embedded")] {
        let folder = tempfile::tempdir().expect("a folder");
        let results = items(folder.path(), "commits", more);
        assert_eq!(results["settings"]["mode"], mode);
        for at_least_one in ["/commands_per_batch", "/records_per_sync_group", "/written_per_given/log"] {
            assert!(figure(&results, at_least_one) >= 1.0, "{at_least_one} of {results}");
        }
        let (p50, max) = (figure(&results, "/latency/p50_us"), figure(&results, "/latency/max_us"));
        assert!(p50 > 0.0 && p50 <= max && figure(&results, "/rss_bytes") > 0.0, "{results}");
        assert_eq!(results["clients_cpu_us_per_operation"].is_number(), mode == "http");
    }
}

#[test]
fn reads_find_what_was_stored_and_commit_nothing() {
    for more in [&[][..], &["--embedded"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let results = items(folder.path(), "reads", more);
        assert!(
            results["commands_per_batch"].is_null() && results["written_per_given"].is_null(),
            "{results}"
        );
        assert_eq!(results["settings"]["value"], "100B");
    }
}

#[test]
fn recovery_is_measured_from_a_log_without_snapshots() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = ["--values", "64KiB", "--value", "100B", "--items", "100", "--shards", "2", "--rounds", "2"];
    let arguments: Vec<&str> = work.into_iter().chain(["--output", "json"]).collect();
    let output = run(folder.path(), "recovery", &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(is_empty(folder.path()));
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&results["upserts"], &results["value"]), (&656.into(), &"100B".into()), "{results}");
    assert_eq!(results["rounds"].as_array().map(Vec::len), Some(2));
    assert!(figure(&results, "/log_bytes") > 656.0 * 100.0, "{results}");
    assert!(figure(&results, "/median_seconds") > 0.0 && figure(&results, "/rounds/1/rss_bytes") > 0.0);
}

#[test]
fn an_interrupt_ends_a_node_that_was_started_for_it() {
    for more in ["--output=human", "--embedded"] {
        let folder = tempfile::tempdir().expect("a folder");
        let last = interrupt(folder.path(), "commits", &["--seconds", "600", more], "Ctrl-C");
        assert_eq!(last.as_deref(), Some("error: commits could not be measured: interrupted"));
    }
}

#[test]
fn items_that_nobody_can_store_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code, reason) in [
        (&["--dir", "no/such"][..], 1, "find no/such"),
        (&["--value", "0B"], 1, "use 1B or more"),
        (&["--value", "2MiB"], 1, "1MiB at most"),
        (&["--shards", "257"], 2, "257 is not in 1..=256"),
        (&["--clients", "0"], 2, "0 is not in 1..=4096"),
    ] {
        let output = run(folder.path(), "reads", arguments);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(reason), "{told}");
    }
    assert!(is_empty(folder.path()));
}

//! `mainstay bench log`: what it prints, what it refuses, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

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

#[test]
fn it_measures_the_log_beside_the_disk_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--seconds", "1", "--producers", "2", "--payload", "64B", "--output", "json"];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let samples = results.pointer("/cells/0/measured/0/clean").and_then(|it| it.as_array()).expect("samples");
    assert_eq!(samples.len(), 5);
    for sample in samples {
        for figure in ["/records_per_s", "/syncs_per_s", "/disk_block/0/syncs_per_s", "/cpu_us_per_record"] {
            assert!(
                sample.pointer(figure).and_then(serde_json::Value::as_f64).is_some_and(|it| it > 0.0),
                "{figure}"
            );
        }
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn an_interrupt_ends_it_and_removes_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &["--seconds", "600"]).spawn().expect("the binary runs");
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

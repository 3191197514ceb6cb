//! Results that cannot be written.

use std::process::{Command, Output, Stdio};

const COMMANDS: [&[&str]; 8] = [
    &["config", "schema"],
    &["config", "reference"],
    &["check"],
    &["check", "--explain"],
    &["check", "--output", "json"],
    &["lab", "list"],
    &["version"],
    &["--help"],
];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).env_clear().current_dir(folder.path()).stdout(stdout);
    command.output().expect("the binary runs")
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_that_says_so() {
    for arguments in COMMANDS {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let output = run(arguments, full);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.starts_with("error: the result could not be written: No space left"), "{told}");
    }
}

#[test]
fn whoever_closes_the_pipe_has_read_enough() {
    for arguments in COMMANDS {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = run(arguments, writer);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

//! A node whose log cannot be what it should: what it says, and that it says what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use mainstay_log::local::disk::{Directory, Disk};

use crate::support::Node;

/// Runs a node that cannot start; returns its error.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = Node::command(folder).args(arguments).output().expect("the binary runs");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    let last = told.lines().last().expect("a line");
    let line: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"the node ended with an error".into()));
    line["error"].as_str().expect("an error").to_owned()
}

#[test]
fn what_is_no_place_for_a_log_is_named_with_what_to_do() {
    const ADVICE: &str = "; mend that, or choose another directory with `data`";
    for (what, make) in [
        ("./data/log exists and is not a directory", (|log| fs::write(log, "a file")) as fn(&Path) -> _),
        ("./data/log is a link to nothing", |log| symlink("nothing", log)),
        ("./data/log/segment-0000000000000001: Is a directory", |log| {
            fs::create_dir_all(log.join("segment-0000000000000001"))
        }),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("data")).expect("a folder");
        make(&folder.path().join("data/log")).expect("it is made");
        let error = refused(folder.path(), &[]);
        assert!(error.starts_with(&format!("the log cannot be used: {what}")), "{error}");
        assert!(error.ends_with(ADVICE), "{error}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("data/log");
    fs::create_dir_all(&log).expect("a folder");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o500)).expect("closed");
    if fs::write(log.join("probe"), "").is_ok() {
        // Permissions do not bind this user.
        return;
    }
    let error = refused(folder.path(), &[]);
    assert!(
        error.starts_with("the log cannot be used: the directory ./data/log cannot be written to: "),
        "{error}"
    );
}

#[test]
fn a_file_system_in_memory_proves_nothing_and_the_setting_that_takes_it_is_named() {
    // Kept in memory by most systems; where it is not, there is nothing to see here.
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    let disk = Directory::open(&folder.path().join("probe")).expect("a directory");
    let is_weak = disk.weakness().expect("a file system").is_some();
    if !is_weak || disk.available().expect("a number") < 16 << 20 {
        return;
    }
    let error = refused(folder.path(), &[]);
    assert!(
        error.contains("./data/log is on tmpfs, which is in memory: use a directory on a disk"),
        "{error}"
    );
    assert!(error.ends_with("; the settings are `data` and `log.durability`"), "{error}");
    let mut node = Node::start_in(folder, "log: { durability: written }");
    assert_eq!(node.get("/v1/log").json()["durability"], "written");
    node.signal(rustix::process::Signal::TERM);
    node.wait_for("stopped");
}

#[test]
fn a_damaged_log_is_named_with_the_command_that_looks_at_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("data/log")).expect("a folder");
    fs::write(folder.path().join("data/log/segment-0000000000000001"), [0; 100]).expect("a file");
    let error = refused(folder.path(), &[]);
    assert!(
        error.starts_with("the log is damaged at ./data/log/segment-0000000000000001, byte 100: "),
        "{error}"
    );
    assert!(error.contains("keep a copy") && error.contains("`mainstay inspect log`"), "{error}");
}

#[test]
fn a_log_that_another_program_has_open_is_told_with_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let _held = Directory::open(&folder.path().join("data/log")).expect("a directory");
    let error = refused(folder.path(), &[]);
    let holder = format!("./data/log is in use by process {}: stop it first", std::process::id());
    assert!(error.contains(&holder), "{error}");
}

#[test]
fn what_a_node_makes_is_for_its_user_alone() {
    let node = Node::start("");
    let data = fs::metadata(node.folder().join("data")).expect("a directory");
    assert_eq!(data.permissions().mode() & 0o777, 0o700);
}

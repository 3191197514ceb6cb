//! `mainstay backup` and `mainstay restore`, with a node that is up and without one.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Node, run};

const CONFIG: &str = "{ shards: 4, collections: { kv: {} }, backups: { to: ./backups } }";
const RESTORED: &str = "{ shards: 4, collections: { kv: {} }, backups: { to: ./backups }, data: ./restored }";
const INTO: &str = "data=./restored";

#[track_caller]
fn done(folder: &Path, arguments: &[&str]) -> String {
    let (code, printed) = run(folder, arguments);
    assert_eq!(code, Some(0), "{printed}");
    printed
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], words: &[&str]) {
    let (code, printed) = run(folder, arguments);
    assert_eq!(code, Some(1), "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

fn path(key: u64) -> String {
    format!("/v1/collections/kv/items/u{}/{key}", key % 9)
}

/// Puts these keys; returns the version and the position of the last.
fn put(node: &Node, keys: std::ops::Range<u64>, value: &str) -> (String, String) {
    let mut last = None;
    for key in keys {
        let answer = node.connect().request("PUT", &path(key), &[("Content-Type", "text/plain")], value);
        assert!(matches!(answer.status, 201 | 204), "{answer:?}");
        let header = |name| answer.header(name).expect("it is in every answer").to_owned();
        last = Some((header("etag"), header("mainstay-position")));
    }
    last.expect("there are keys")
}

fn stopped(mut node: Node) -> TempDir {
    node.signal(Signal::TERM);
    node.wait_for("stopped");
    node.ended().2
}

/// A node that has stopped, with ten items and the backup `first` of them.
fn backed_up() -> TempDir {
    let node = Node::start(CONFIG).serving();
    put(&node, 0..10, "old");
    done(node.folder(), &["backup", "--name", "first"]);
    stopped(node)
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_backup_of_a_node_that_is_up_is_restored_beside_it() {
    let node = Node::start(CONFIG).serving();
    put(&node, 0..50, "old");
    let text = done(node.folder(), &["backup", "--name", "first"]);
    assert!(text.starts_with("backup first taken in ") && text.contains("4 shards"), "{text}");
    let (_, position) = put(&node, 40..60, "new");
    fails(node.folder(), &["backup", "--name", "first"], &["409", "already"]);
    let second: Value =
        serde_json::from_str(&done(node.folder(), &["backup", "--output", "json"])).expect("JSON");
    let listed = node.get("/v1/backups").json();
    let names: Vec<_> = listed["backups"].as_array().expect("backups").iter().map(|it| &it["name"]).collect();
    assert!(names.len() == 2 && names.contains(&&"first".into()) && names.contains(&&second["name"]));

    let text = done(node.folder(), &["restore", "--from", "first", "--set", INTO]);
    assert!(text.contains("line of history 2") && text.contains("done again"), "{text}");
    let folder = stopped(node);
    let node = Node::start_in(folder, RESTORED).serving();
    for key in 0..50 {
        assert_eq!(node.get(&path(key)).body, "old", "{key}");
    }
    (50..60).for_each(|key| drop(node.get(&path(key)).problem(404, "not_found")));
    let late = [("Mainstay-Consistency", "session"), ("Mainstay-Position", &*position)];
    node.connect().request("GET", &path(59), &late, "").problem(410, "gone");
    // What is new is later than all that was, also the second time.
    let (version, _) = put(&node, 59..60, "after");
    assert!(version.starts_with("\"2-"), "{version}");
    let folder = stopped(node);
    let node = Node::start_in(folder, RESTORED).serving();
    assert_eq!(node.get(&path(59)).body, "after");
    // The other is as it was.
    let folder = stopped(node);
    let node = Node::start_in(folder, CONFIG).serving();
    assert_eq!(node.get(&path(59)).body, "new");
}

#[test]
fn a_backup_needs_no_node_that_is_up() {
    let folder = backed_up();
    let node = Node::start_in(folder, CONFIG).serving();
    put(&node, 5..15, "new");
    node.signal(Signal::KILL);
    let folder = node.ended().2;
    let text = done(folder.path(), &["backup", "--name", "second"]);
    assert!(text.starts_with("backup second taken in "), "{text}");
    done(folder.path(), &["restore", "--from", "./backups/second", "--set", INTO]);
    let node = Node::start_in(folder, RESTORED).serving();
    for (key, value) in [(4, "old"), (5, "new"), (14, "new")] {
        assert_eq!(node.get(&path(key)).body, value, "{key}");
    }
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let folder = backed_up();
    fails(folder.path(), &["restore", "--from", "frist", "--set", INTO], &["there is no backup at", "frist"]);
    fs::create_dir(folder.path().join("backups/half")).expect("a folder");
    fails(
        folder.path(),
        &["restore", "--from", "half", "--set", INTO],
        &["there is no backup", "backup.json"],
    );
    assert!(!folder.path().join("restored/log").exists());
    let (code, printed) = run(folder.path(), &["backup", "--name", "No Name"]);
    assert_eq!(code, Some(2), "{printed}");
    // After all of that it can be restored.
    done(folder.path(), &["restore", "--from", "first", "--set", INTO]);
}

#[test]
fn a_restore_overwrites_nothing() {
    let folder = backed_up();
    fails(folder.path(), &["restore", "--from", "first"], &["./data is not empty", "a new one"]);
    // Whatever it is.
    for other in ["log", "stores", "snapshots", "notes"] {
        let restored = folder.path().join("restored");
        fs::create_dir_all(restored.join(other)).expect("a folder");
        fs::write(restored.join(other).join("file"), "of somebody").expect("a file");
        fails(folder.path(), &["restore", "--from", "first", "--set", INTO], &["./restored is not empty"]);
        fs::remove_dir_all(restored).expect("it is there");
    }
    let node = Node::start_in(folder, CONFIG).serving();
    fails(node.folder(), &["restore", "--from", "first"], &["in use", &node.pid().to_string()]);
    assert_eq!(node.get(&path(3)).body, "old");
}

#[test]
fn a_restore_that_was_interrupted_serves_nobody() {
    let folder = backed_up();
    let backup = folder.path().join("backups/first");
    let document: Value =
        serde_json::from_slice(&fs::read(backup.join("backup.json")).expect("a document")).expect("JSON");
    let mut parts = files(&backup);
    parts.retain(|it| !it.ends_with("backup.json"));
    parts.sort();
    assert_eq!(document["shards"].as_array().map(Vec::len), Some(parts.len()));
    let last = parts.last().expect("a part");
    let bytes = fs::read(last).expect("a part");
    fs::write(last, &bytes[..bytes.len() / 2]).expect("half a part");
    let restore = ["restore", "--from", "first", "--set", INTO];
    fails(folder.path(), &restore, &["it ends at byte"]);
    fs::write(folder.path().join("mainstay.yaml"), RESTORED).expect("a file");
    let output = Node::command(folder.path()).output().expect("the binary runs");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("a restore into ./restored was interrupted: remove the directory"), "{told}");
    fs::write(last, &bytes).expect("a whole part");
    fails(folder.path(), &restore, &["./restored is not empty"]);
    fs::remove_dir_all(folder.path().join("restored")).expect("it is there");
    done(folder.path(), &restore);
    let node = Node::start_in(folder, RESTORED).serving();
    assert_eq!(node.get(&path(9)).body, "old");
}

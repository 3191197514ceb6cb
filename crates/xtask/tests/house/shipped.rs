//! What the shipped binary is built of: nothing that is for tests, for comparisons, or for an engine that it refuses.

use crate::Finding;
use crate::cargo;

const BINARY: &str = "mainstay";

/// Features of rooms that a node has no use for.
const FEATURES: [&str; 4] = ["conformance", "faulty", "fuzz", "postgres"];

/// Crates that a node has no use for.
const FOREIGN: [&str; 4] = ["insta", "proptest", "tokio-postgres", "tokio-postgres-rustls"];

/// What the log is compared with; only `xtask` links it.
const PEERS: [&str; 3] = ["fjall", "libsqlite3-sys", "rusqlite"];

/// Only these may ask for it: those who measure in folders that are removed afterwards, and the tables of the store, which
/// write a file beside its place and rename it.
const TEMPFILE: &str = "tempfile";
const ASKS: [&str; 3] = ["mainstay", "mainstay-lab", "lsm-tree"];

fn manifest(package: &str) -> String {
    format!("crates/{}/Cargo.toml", package.trim_start_matches("mainstay-"))
}

/// Each line of the tree: the way from the root, and the features of its last crate.
fn lines(tree: &str) -> Vec<(Vec<&str>, Vec<&str>)> {
    let mut way: Vec<&str> = Vec::new();
    let read = |line| {
        let words: Vec<&str> = str::split_whitespace(line).collect();
        let features = words.iter().find_map(|word| word.strip_prefix("features="));
        let (Some(Ok(depth)), Some(name), Some(features)) =
            (words.first().map(|depth| depth.parse::<usize>()), words.get(1), features)
        else {
            panic!("cargo tree prints `depth name version features=`, not {line:?}");
        };
        way.truncate(depth);
        way.push(name);
        (way.clone(), features.split(',').collect())
    };
    tree.lines().map(read).collect()
}

fn check_shipped(tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::new(&manifest(BINARY), 1, what));
    for (way, features) in lines(tree) {
        let (name, by) = (*way.last().expect("a way ends somewhere"), way.join(" -> "));
        let is_room = name == BINARY || name.starts_with("mainstay-");
        for feature in features.into_iter().filter(|feature| is_room && FEATURES.contains(feature)) {
            find(format!("the binary must not have the feature `{feature}` of `{name}`, and has it by {by}"));
        }
        if FOREIGN.contains(&name) {
            find(format!("the binary must not link `{name}`, and does by {by}"));
        }
        let asks = way.len().checked_sub(2).map_or("", |above| way[above]);
        if name == TEMPFILE && !ASKS.contains(&asks) {
            find(format!(
                "the binary makes temporary files for measurements and tables only, and has `{name}` by {by}"
            ));
        }
    }
    findings
}

fn check_peers(package: &str, tree: &str) -> Vec<Finding> {
    let lines = lines(tree);
    let linked = lines.iter().filter(|(way, _)| way.last().is_some_and(|name| PEERS.contains(name)));
    let what =
        |way: &[&str]| format!("only `xtask` may link what the log is compared with: {}", way.join(" -> "));
    linked.map(|(way, _)| Finding::new(&manifest(package), 1, what(way))).collect()
}

#[test]
fn the_binary_has_nothing_that_is_for_tests() {
    crate::finding::assert_none(check_shipped(&cargo::tree(BINARY)));
}

#[test]
fn only_xtask_links_what_the_log_is_compared_with() {
    let crates = cargo::crates();
    let others = crates.iter().map(|it| it.name.as_str()).filter(|name| *name != "xtask");
    crate::finding::assert_none(others.flat_map(|name| check_peers(name, &cargo::tree(name))).collect());
}

#[test]
fn what_does_not_belong_is_found_with_its_way() {
    let tree = "0 mainstay v0.1.0 (/a b/crates/mainstay) features=\n\
                1 mainstay-log v0.1.0 (/a b/crates/log) features=default,faulty\n\
                2 tempfile v3.1.0 features=default\n\
                2 tokio-postgres v0.7.0 features=runtime (*)\n\
                1 mainstay-lab v0.1.0 (/a b/crates/lab) features=default\n\
                2 tempfile v3.1.0 features=default (*)\n\
                2 fuzz v1.0.0 features=fuzz\n\
                1 mainstay-shard v0.1.0 (/a b/crates/shard) features=\n\
                2 lsm-tree v3.1.0 features=lz4\n\
                3 tempfile v3.1.0 features=default (*)\n\
                1 tempfile v3.1.0 features=default (*)\n";
    let found: Vec<String> = check_shipped(tree).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        found,
        [
            "the binary must not have the feature `faulty` of `mainstay-log`, and has it by mainstay -> mainstay-log",
            "the binary makes temporary files for measurements and tables only, and has `tempfile` by \
             mainstay -> mainstay-log -> tempfile",
            "the binary must not link `tokio-postgres`, and does by mainstay -> mainstay-log -> tokio-postgres",
        ]
    );
    let tree = "0 mainstay-lab v0.1.0 (/a) features=\n1 rusqlite v0.43.0 features=bundled\n";
    let found: Vec<String> = check_peers("mainstay-lab", tree).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "crates/lab/Cargo.toml:1: only `xtask` may link what the log is compared with: mainstay-lab -> rusqlite"
        ]
    );
}

//! Which room may use which, and which foreign crates must never reach a room.

use crate::Finding;
use crate::cargo::{self, Crate, Dependency};
use crate::{purity, repo};

/// A room: the crate, and the crates of the workspace that it may use. A new crate begins with a line here.
/// Tests and examples of every room may also use `mainstay-lab`.
const ROOMS: [(&str, &[&str]); 15] = [
    (BASE, &[]),
    (RESILIENCE, &[BASE]),
    (LOG, &[BASE]),
    (MACHINE, &[BASE]),
    (SHARD, &[BASE, LOG, MACHINE]),
    (UPSTREAM, &[BASE, RESILIENCE]),
    (GATEWAY, &[BASE, RESILIENCE, UPSTREAM, MACHINE]),
    (DELIVERY, &[BASE, RESILIENCE, UPSTREAM, MACHINE]),
    (API, &[BASE, RESILIENCE, MACHINE, UPSTREAM, GATEWAY, DELIVERY]),
    (CLUSTER, &[BASE, LOG, MACHINE, RESILIENCE, UPSTREAM]),
    (CONSOLE, &[API]),
    (LAB, &[BASE, LOG, RESILIENCE, UPSTREAM]),
    (
        MAINSTAY,
        &[BASE, RESILIENCE, LOG, MACHINE, SHARD, UPSTREAM, GATEWAY, DELIVERY, API, CLUSTER, CONSOLE, LAB],
    ),
    // An application: it knows Mainstay by its public API alone, and measures with the lab.
    ("shop", &[LAB]),
    (
        "xtask",
        &[
            BASE, RESILIENCE, LOG, MACHINE, SHARD, UPSTREAM, GATEWAY, DELIVERY, API, CLUSTER, CONSOLE, LAB,
            MAINSTAY,
        ],
    ),
];

const BASE: &str = "mainstay-base";
const RESILIENCE: &str = "mainstay-resilience";
const LOG: &str = "mainstay-log";
const MACHINE: &str = "mainstay-machine";
const SHARD: &str = "mainstay-shard";
const UPSTREAM: &str = "mainstay-upstream";
const GATEWAY: &str = "mainstay-gateway";
const DELIVERY: &str = "mainstay-delivery";
const API: &str = "mainstay-api";
const CLUSTER: &str = "mainstay-cluster";
const CONSOLE: &str = "mainstay-console";
const LAB: &str = "mainstay-lab";
const MAINSTAY: &str = "mainstay";

/// Rooms that do no I/O and ask nobody for the time or for chance.
const PURE: [&str; 2] = [BASE, MACHINE];
const IMPURE: [&str; 12] = [
    "tokio",
    "mio",
    "async-io",
    "socket2",
    "rustix",
    "libc",
    "hyper",
    "axum",
    "reqwest",
    "rand",
    "getrandom",
    "fastrand",
];

/// Libraries that a pure room may use although their hash maps draw seeds and take locks: no order of a map is seen, since
/// what they find is sorted.
const SEEDED: [&str; 1] = ["jsonschema"];
const OF_SEEDED: [&str; 2] = ["getrandom", "libc"];

const TABLE: &str = "the table in crates/xtask/tests/house/rooms.rs";

fn check_directions(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in crates {
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room.name) else {
            let what = format!("add `{}` to {TABLE}, with the rooms it may use", room.name);
            findings.push(Finding::new(&room.manifest, 1, what));
            continue;
        };
        for Dependency { name, is_dev } in &room.dependencies {
            // A room's tests may use it with more of its features.
            let for_tests = *is_dev && (name == LAB || *name == room.name);
            if !allowed.contains(&name.as_str()) && !for_tests {
                let line = line_of_dependency(&room.manifest_text, name, *is_dev);
                let what = format!("`{}` must not use `{name}`: move the code, or change {TABLE}", room.name);
                findings.push(Finding::new(&room.manifest, line, what));
            }
        }
    }
    findings
}

fn line_of_dependency(manifest: &str, name: &str, is_dev: bool) -> usize {
    let section = if is_dev { "[dev-dependencies]" } else { "[dependencies]" };
    let is_named = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '=', ' ']));
    let lines = (1..).zip(manifest.lines());
    lines
        .skip_while(|(_, line)| *line != section)
        .find(|(_, line)| is_named(line))
        .map_or(1, |(number, _)| number)
}

/// `tree` has a `depth name version ...` per line, each below what needs it.
fn check_purity(room: &str, tree: &str) -> Vec<Finding> {
    let manifest = format!("crates/{}/Cargo.toml", room.trim_start_matches("mainstay-"));
    let mut way: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(Ok(depth)), Some(name)) = (words.next().map(str::parse::<usize>), words.next()) else {
            panic!("cargo tree prints `depth name`, not {line:?}");
        };
        way.truncate(depth);
        way.push(name);
        let is_for_seeds = || OF_SEEDED.contains(&name) && way.iter().any(|above| SEEDED.contains(above));
        if IMPURE.contains(&name) && !is_for_seeds() {
            let what = format!("`{room}` must not reach `{name}`, and does by {}", way.join(" -> "));
            findings.push(Finding::new(&manifest, 1, what));
        }
    }
    findings
}

#[test]
fn rooms_use_only_what_they_may() {
    crate::finding::assert_none(check_directions(&cargo::crates()));
}

#[test]
fn pure_rooms_reach_no_io_time_or_chance() {
    let crates = cargo::crates();
    let pure = crates.iter().map(|room| room.name.as_str()).filter(|name| PURE.contains(name));
    crate::finding::assert_none(pure.flat_map(|room| check_purity(room, &cargo::tree(room))).collect());
}

#[test]
fn pure_rooms_name_no_io_or_time() {
    let folders = PURE.map(|room| format!("crates/{}/src/", room.trim_start_matches("mainstay-")));
    let is_pure = |file: &&repo::SourceFile| folders.iter().any(|folder| file.path.starts_with(folder));
    crate::finding::assert_none(repo::rust_files().iter().filter(is_pure).flat_map(purity::check).collect());
}

#[test]
fn the_table_has_no_circle_and_names_no_stranger() {
    for (place, (name, allowed)) in ROOMS.iter().enumerate() {
        for used in *allowed {
            let at = ROOMS.iter().position(|(room, _)| room == used);
            assert!(at.is_some(), "{name} may use {used}, which is no room");
        }
        let uses_itself = reaches(name, name);
        assert!(!uses_itself, "row {place}: {name} reaches itself");
    }
}

fn reaches(from: &str, to: &str) -> bool {
    let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == from).expect("a room");
    allowed.iter().any(|used| *used == to || reaches(used, to))
}

#[test]
fn forbidden_directions_are_found() {
    let room = |name: &str, dependencies: &[(&str, bool)]| Crate {
        name: name.into(),
        manifest: format!("crates/{name}/Cargo.toml"),
        manifest_text: "[package]\nname = \"x\"\n\n[dependencies]\nmainstay-gateway.workspace = true\n\n\
                        [dev-dependencies]\nmainstay-log = { path = \"../log\" }\n"
            .into(),
        dependencies: dependencies
            .iter()
            .map(|&(name, is_dev)| Dependency { name: name.into(), is_dev })
            .collect(),
    };
    let crates = [
        room(SHARD, &[(BASE, false), (GATEWAY, false), (LOG, true), (LAB, true)]),
        room(GATEWAY, &[(LOG, true), (LAB, false)]),
        room("mainstay-shed", &[]),
    ];
    let found: Vec<String> = check_directions(&crates).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            format!(
                "crates/mainstay-shard/Cargo.toml:5: `mainstay-shard` must not use `mainstay-gateway`: move the code, \
                 or change {TABLE}"
            ),
            format!(
                "crates/mainstay-gateway/Cargo.toml:8: `mainstay-gateway` must not use `mainstay-log`: move the code, \
                 or change {TABLE}"
            ),
            format!(
                "crates/mainstay-gateway/Cargo.toml:1: `mainstay-gateway` must not use `mainstay-lab`: move the code, \
                 or change {TABLE}"
            ),
            format!(
                "crates/mainstay-shed/Cargo.toml:1: add `mainstay-shed` to {TABLE}, with the rooms it may use"
            ),
        ]
    );
}

#[test]
fn an_impure_dependency_is_found_with_its_way() {
    let tree =
        "0 mainstay-base v0.1.0\n1 serde v1\n2 serde_core v1\n1 uuid v1\n2 rand v0.9\n3 getrandom v0.3\n";
    let found: Vec<String> = check_purity(BASE, tree).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        found,
        [
            "`mainstay-base` must not reach `rand`, and does by mainstay-base -> uuid -> rand",
            "`mainstay-base` must not reach `getrandom`, and does by mainstay-base -> uuid -> rand -> getrandom",
        ]
    );
    assert_eq!(check_purity(BASE, "0 mainstay-base v0.1.0\n1 serde v1 (*)\n"), []);
    let seeded = "0 mainstay-machine v1\n1 jsonschema v1\n2 getrandom v1\n2 tokio v1\n1 libc v1\n";
    let found: Vec<String> = check_purity(MACHINE, seeded).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        found,
        [
            "`mainstay-machine` must not reach `tokio`, and does by mainstay-machine -> jsonschema -> tokio",
            "`mainstay-machine` must not reach `libc`, and does by mainstay-machine -> libc",
        ]
    );
}

//! Schemas over real stores: documents brought to their versions through crashes, and what a rehearsal finds among them.

use mainstay_log::faulty::SimDisk;
use mainstay_machine::Version;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::definition::Definition;
use mainstay_machine::json::Json;
use mainstay_machine::query::Progress;
use mainstay_machine::shards::{List, Rehearsed, Search};
use serde_json::json;

use super::world::Engine;
use super::*;

const DOCS: Name = Name::from_static("docs");
const COUNT: usize = 1200;

/// A collection whose documents are closed objects of one member, which had another name before.
fn of_member(name: &str, before: Option<&str>, compatibility: &str) -> Collection {
    let renames: serde_json::Map<_, _> =
        before.iter().map(|before| (format!("/{name}"), json!(format!("/{before}")))).collect();
    let schema = json!({"properties": { name: {"type": "integer"} }, "additionalProperties": false});
    let documents =
        json!({"json_schema": schema, "compatibility": compatibility, "evolution": {"renames": renames}});
    serde_json::from_value(json!({ "schema": documents })).unwrap()
}

fn define(change: Change) -> Command {
    let define = Define { name: DOCS, change, expected: Expected::Anything, settled: 0 };
    let partition = define.partition();
    let (tenant, caller, request) = (Tenant::DEFAULT, Caller::ANONYMOUS, Request::Define(define));
    Command { tenant, caller, partition, idempotency: None, trace: None, request }
}

fn put_collection(collection: Collection) -> Command {
    define(Change::Put(Box::new(collection)))
}

async fn defined(space: &Space, command: Command) {
    let answer = space.define(command, None).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
}

async fn fill(space: &Space) {
    for number in 0..COUNT {
        let key = format!("u{}/{number}", number % 60);
        let item = ItemName { collection: DOCS, key: parse(&key) };
        let value = Json::new(format!("{{\"a\":{number}}}").into()).unwrap().into();
        let operations = vec![Operation::Put { item, value, ttl: None }];
        let _ = done(space, command(&key, Commit { conditions: vec![], operations })).await;
    }
}

/// Every document as it is read, as text.
async fn documents(space: &Space) -> Vec<String> {
    let list = List {
        tenant: Tenant::DEFAULT,
        collection: DOCS,
        partition: None,
        prefix: String::new(),
        after: None,
        limit: 10 * COUNT,
        bytes_max: usize::MAX,
        search: Search { reads_max: 100_000, ..Search::default() },
        consistency: Consistency::Linearizable,
    };
    let page = space.list(list, None).await.unwrap().value;
    let mut texts: Vec<_> =
        page.items.iter().map(|it| String::from_utf8(it.item.bytes.to_vec()).unwrap()).collect();
    texts.sort();
    texts
}

fn expected(name: &str) -> Vec<String> {
    let mut texts: Vec<_> = (0..COUNT).map(|number| format!("{{\"{name}\":{number}}}")).collect();
    texts.sort();
    texts
}

async fn progress(space: &Space) -> Progress {
    space.standing((Tenant::DEFAULT, DOCS), None).await.unwrap().documents.unwrap()
}

async fn through(space: &Space) {
    while progress(space).await.as_str() != "ready" {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

fn now_defined(space: &Space) -> Definition {
    Definition::clone(space.definitions().get(&Tenant::DEFAULT, &DOCS).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_brought_to_their_version_through_crashes_and_back() {
    let disk = SimDisk::new(11);
    let world = World { shards: 2, ..World::new(Engine::Disk(disk.clone())) };
    let mut running = world.start().await;
    defined(&running.space, put_collection(of_member("a", None, "backward"))).await;
    let first: Version = now_defined(&running.space).version;
    fill(&running.space).await;
    defined(&running.space, put_collection(of_member("b", Some("a"), "backward"))).await;
    for life in 1..5 {
        assert_eq!(
            documents(&running.space).await,
            expected("b"),
            "in every life all are read as it has them"
        );
        tokio::time::sleep(std::time::Duration::from_millis(life)).await;
        running.crash().await;
        disk.crash_machine();
        running = world.start().await;
    }
    through(&running.space).await;
    assert_eq!(documents(&running.space).await, expected("b"));
    defined(&running.space, put_collection(of_member("c", Some("b"), "backward"))).await;
    assert_eq!(now_defined(&running.space).steps.len(), 1, "all are known to be past the step before");
    defined(&running.space, define(Change::Rollback(first))).await;
    running.crash().await;
    disk.crash_machine();
    let running = world.start().await;
    assert_eq!(documents(&running.space).await, expected("a"));
    through(&running.space).await;
    assert_eq!((documents(&running.space).await, now_defined(&running.space).schema), (expected("a"), 4));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_looks_at_documents_that_are_there() {
    let world = World { shards: 3, ..World::new(Engine::Folder) };
    let running = world.start().await;
    let space = &running.space;
    defined(space, put_collection(of_member("a", None, "backward"))).await;
    fill(space).await;
    let rehearse = |collection| space.rehearse(put_collection(collection), None);
    let Rehearsed { outcome, sample } = rehearse(of_member("b", Some("a"), "backward")).await.unwrap().value;
    let sample = sample.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert!(sample.items >= 3 * 64 && sample.failing == 0, "{sample:?}");
    for compatibility in ["none", "backward"] {
        let told = rehearse(of_member("b", None, compatibility)).await.unwrap().value;
        let sample = told.sample.unwrap();
        assert_eq!(matches!(told.outcome, Outcome::Committed(_)), compatibility == "none");
        assert_eq!((sample.failing, sample.examples.len()), (sample.items, 5));
        let (key, reason) = &sample.examples[0];
        assert!(key.as_str().starts_with('u') && reason.contains("\"a\""), "{key} {reason}");
    }
    let told = rehearse(of_member("a", None, "backward")).await.unwrap().value;
    assert_eq!(told.sample, None, "it is the same version");
    assert_eq!(documents(space).await, expected("a"));
    running.stop().await;
}

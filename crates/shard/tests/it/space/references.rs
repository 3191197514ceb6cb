//! References over real stores: built beside writers and through crashes, dropped again; and ends that take others along.

use mainstay_log::faulty::SimDisk;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::json::Json;
use mainstay_machine::query::Progress;
use mainstay_machine::reference::{OnDelete, Reference};

use serde_json::json;

use super::world::Engine;
use super::*;

const DOCS: Name = Name::from_static("docs");
const UP: Name = Name::from_static("up");

async fn define(space: &Space, reference: Option<OnDelete>) -> Answer {
    let reference = reference.map(|on_delete| {
        let on = "/up".parse().unwrap();
        (UP, Reference { on, collection: DOCS, on_delete })
    });
    define_as(space, Collection { references: reference.into_iter().collect(), ..Collection::default() })
        .await
}

async fn define_as(space: &Space, collection: Collection) -> Answer {
    let change = Change::Put(Box::new(collection));
    let define = Define { name: DOCS, change, expected: Expected::Anything, settled: 0 };
    let partition = define.partition();
    let (tenant, caller, request) = (Tenant::DEFAULT, Caller::ANONYMOUS, Request::Define(define));
    let command = Command { tenant, caller, partition, idempotency: None, trace: None, request };
    space.define(command, None).await.unwrap()
}

/// Documents whose reference `up` is at this member, which had another name before.
async fn define_at(space: &Space, member: &str, before: Option<&str>) {
    let renames: serde_json::Map<_, _> =
        before.iter().map(|before| (format!("/{member}"), json!(format!("/{before}")))).collect();
    let schema = json!({"properties": { member: {"type": "string"} }, "additionalProperties": false});
    let collection = json!({
        "schema": {"json_schema": schema, "evolution": {"renames": renames}},
        "references": {"up": {"on": format!("/{member}"), "collection": "docs", "on_delete": "restrict"}},
    });
    define_as(space, serde_json::from_value(collection).unwrap()).await;
}

fn doc(key: &str) -> ItemName {
    ItemName { collection: DOCS, key: parse(key) }
}

fn put_doc(key: &str, up: Option<&str>, ttl: Option<Duration>) -> Command {
    put_text(key, up.map_or("{}".to_owned(), |up| format!("{{\"up\":\"{up}\"}}")), ttl)
}

fn put_text(key: &str, text: String, ttl: Option<Duration>) -> Command {
    let value = Json::new(text.into()).unwrap().into();
    let operations = vec![Operation::Put { item: doc(key), value, ttl }];
    command(key, Commit { conditions: vec![], operations })
}

fn delete_doc(key: &str) -> Command {
    let operations = vec![Operation::Delete { item: doc(key) }];
    command(key, Commit { conditions: vec![], operations })
}

async fn outcome(space: &Space, command: Command) -> Outcome {
    space.submit(command, None).await.unwrap().outcome
}

async fn is_there(space: &Space, key: &str) -> bool {
    let (item, consistency) = (doc(key), Consistency::Linearizable);
    let get = Get { tenant: Tenant::DEFAULT, partition: partition(key), item, consistency };
    space.get(get, None).await.unwrap().value.is_some()
}

async fn progress(space: &Space) -> Option<Progress> {
    let standing = space.standing((Tenant::DEFAULT, DOCS), None).await.unwrap();
    standing.references.get(&UP).cloned()
}

/// Waits until every shard has gone through all items.
async fn built(space: &Space) -> &'static str {
    loop {
        let found = progress(space).await.unwrap().as_str();
        if found != "building" {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// A root in each of 40 partitions, and items that refer to it.
async fn fill(space: &Space, count: usize) {
    for number in 0..count {
        let root = format!("u{}", number % 40);
        let up = (number >= 40).then_some(root.as_str());
        let key = if number < 40 { root.clone() } else { format!("{root}/{number}") };
        let _ = done(space, put_doc(&key, up, None)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_is_built_beside_writers_and_guards_what_was_there() {
    let world = World { shards: 3, ..World::new(Engine::Folder) };
    let running = world.start().await;
    let space = &running.space;
    define(space, None).await;
    fill(space, 900).await;
    define(space, Some(OnDelete::Restrict)).await;
    for number in 0..40 {
        let key = format!("u{number}/new");
        let _ = done(space, put_doc(&key, Some(&format!("u{number}")), None)).await;
        let dangling = outcome(space, put_doc(&key, Some(&format!("u{number}/none")), None)).await;
        assert!(matches!(dangling, Outcome::Refused(_)), "checked from the definition on");
    }
    assert_eq!(built(space).await, "ready");
    for number in 0..40 {
        let held = outcome(space, delete_doc(&format!("u{number}"))).await;
        assert!(matches!(held, Outcome::Refused(_)), "{held:?}");
    }
    let _ = done(space, delete_doc("u7/47")).await;
    // What a deletion does is looked up, and not built again.
    define(space, Some(OnDelete::Cascade)).await;
    assert_eq!(progress(space).await.unwrap().as_str(), "ready");
    let _ = done(space, delete_doc("u7")).await;
    assert!(!is_there(space, "u7/new").await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_building_and_dropping_of_a_reference_goes_on_after_a_crash() {
    let disk = SimDisk::new(11);
    let world = World { shards: 2, ..World::new(Engine::Disk(disk.clone())) };
    let mut running = world.start().await;
    define(&running.space, None).await;
    fill(&running.space, 1200).await;
    for on_delete in [Some(OnDelete::Restrict), None, Some(OnDelete::Cascade)] {
        define(&running.space, on_delete).await;
        for life in 1..4 {
            running.crash().await;
            disk.crash_machine();
            running = world.start().await;
            tokio::time::sleep(std::time::Duration::from_millis(life)).await;
        }
    }
    assert_eq!(built(&running.space).await, "ready");
    let _ = done(&running.space, delete_doc("u3")).await;
    define(&running.space, Some(OnDelete::Restrict)).await;
    let held = outcome(&running.space, delete_doc("u4")).await;
    assert!(matches!(held, Outcome::Refused(_)), "{held:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_guards_while_its_member_gets_another_name_and_afterwards() {
    let world = World { shards: 2, ..World::new(Engine::Folder) };
    let running = world.start().await;
    let space = &running.space;
    define_at(space, "up", None).await;
    fill(space, 1200).await;
    for (member, before) in [("parent", "up"), ("above", "parent")] {
        define_at(space, member, Some(before)).await;
        for number in 0..40 {
            let root = format!("u{number}");
            let dangling = json!({ member: format!("{root}/none") }).to_string();
            let dangling = outcome(space, put_text(&format!("{root}/new"), dangling, None)).await;
            assert!(matches!(dangling, Outcome::Refused(_)), "by its new name at once: {dangling:?}");
            let _ = done(space, put_text(&format!("{root}/new"), json!({ member: root }).to_string(), None))
                .await;
        }
        assert_eq!(built(space).await, "ready");
        for number in 0..40 {
            let held = outcome(space, delete_doc(&format!("u{number}"))).await;
            assert!(matches!(held, Outcome::Refused(_)), "{held:?}");
        }
    }
    // Nothing is left of what it was at before: with those that refer gone, so does the root.
    for number in (40..1200).filter(|number| number % 40 == 9) {
        let _ = done(space, delete_doc(&format!("u9/{number}"))).await;
    }
    let _ = done(space, delete_doc("u9/new")).await;
    let _ = done(space, delete_doc("u9")).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_along_what_refers_to_it_in_a_while() {
    let world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let space = &*running.space;
    define(space, Some(OnDelete::Cascade)).await;
    let _ = done(space, put_doc("u1", None, Some(Duration::from_millis(500)))).await;
    for depth in 1..20 {
        let up = if depth == 1 { "u1".to_owned() } else { format!("u1/{}", depth - 1) };
        let _ = done(space, put_doc(&format!("u1/{depth}"), Some(&up), None)).await;
    }
    assert!(is_there(space, "u1/19").await);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    while is_there(space, "u1/19").await {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    running.stop().await;
}

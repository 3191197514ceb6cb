//! Indexes over real stores: built beside writers, through crashes, and searched across shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_log::faulty::SimDisk;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::expression::Expression;
use mainstay_machine::index::Index;
use mainstay_machine::json::Json;
use mainstay_machine::shards::{List, Page, Search};

use super::world::Engine;
use super::*;

const DOCS: Name = Name::from_static("docs");

fn define<'s>(space: &'s Space, indexes: &[&str]) -> BoxFuture<'s, Result<Answer, Error>> {
    let named = indexes.iter().map(|field| {
        let on = vec![format!("/{field}").parse().unwrap()];
        (format!("by-{field}").parse().unwrap(), Index::new(on, false).unwrap())
    });
    let collection = Collection { indexes: named.collect(), ..Collection::default() };
    let define = Define {
        name: DOCS,
        change: Change::Put(Box::new(collection)),
        expected: Expected::Anything,
        settled: 0,
    };
    let partition = define.partition();
    let (tenant, caller, request) = (Tenant::DEFAULT, Caller::ANONYMOUS, Request::Define(define));
    space.define(Command { tenant, caller, partition, idempotency: None, trace: None, request }, None)
}

fn put_doc(key: &str, text: String) -> Command {
    let item = ItemName { collection: DOCS, key: parse(key) };
    let value = Json::new(text.into()).unwrap().into();
    command(key, Commit { conditions: vec![], operations: vec![Operation::Put { item, value, ttl: None }] })
}

fn query(filter: &str, limit: usize) -> List {
    List {
        tenant: Tenant::DEFAULT,
        collection: DOCS,
        partition: None,
        prefix: String::new(),
        after: None,
        limit,
        bytes_max: usize::MAX,
        search: Search {
            filter: Some(Expression::parse(filter).unwrap()),
            reads_max: 100_000,
            ..Search::default()
        },
        consistency: Consistency::Linearizable,
    }
}

async fn page(space: &Space, list: List) -> Page {
    space.list(list, None).await.unwrap_or_else(|error| panic!("it is found, not {error}")).value
}

/// Waits until a query goes through an index.
async fn built(space: &Space, filter: &str) -> Page {
    loop {
        let found = page(space, query(filter, 10_000)).await;
        if found.work.index.is_some() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

fn keys(page: &Page) -> Vec<String> {
    let mut keys: Vec<_> = page.items.iter().map(|listed| listed.key.to_string()).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_built_beside_writers_and_has_what_they_write() {
    let world = World { shards: 3, ..World::new(Engine::Folder) };
    let running = world.start().await;
    let space = &running.space;
    define(space, &[]).await.unwrap();
    let mut model = BTreeMap::new();
    for number in 0..600 {
        let (key, state) = (format!("u{}/{number}", number % 40), number % 3);
        let _ = done(space, put_doc(&key, format!("{{\"state\":{state}}}"))).await;
        model.insert(key, state);
    }
    define(space, &["state"]).await.unwrap();
    for number in 0..300 {
        let (key, state) = (format!("u{}/{}", number % 40, number), (number + 1) % 3);
        let _ = done(space, put_doc(&key, format!("{{\"state\":{state}}}"))).await;
        model.insert(key, state);
    }
    let found = built(space, "value.state == 1").await;
    let mut expected: Vec<_> =
        model.iter().filter(|(_, state)| **state == 1).map(|(key, _)| key.clone()).collect();
    expected.sort();
    assert_eq!(keys(&found), expected);
    assert!(found.work.entries as usize <= expected.len() + 3, "{:?}", found.work);
    let small = page(space, query("value.state == 1", 100)).await;
    assert!(small.next.is_some() && small.work.entries <= 103 && small.work.items == 100, "{:?}", small.work);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_building_and_dropping_of_an_index_goes_on_after_a_crash() {
    let disk = SimDisk::new(7);
    let world = World { shards: 2, ..World::new(Engine::Disk(disk.clone())) };
    let running = world.start().await;
    define(&running.space, &[]).await.unwrap();
    for number in 0..1500 {
        let (key, text) = (format!("u{}/{number}", number % 60), format!("{{\"state\":{}}}", number % 5));
        let _ = done(&running.space, put_doc(&key, text)).await;
    }
    let running = {
        define(&running.space, &["state"]).await.unwrap();
        running.crash().await;
        disk.crash_machine();
        let mut running = world.start().await;
        for life in 1..6 {
            tokio::time::sleep(std::time::Duration::from_millis(life)).await;
            running.crash().await;
            disk.crash_machine();
            running = world.start().await;
        }
        running
    };
    let found = built(&running.space, "value.state == 2").await;
    assert_eq!(found.items.len(), 300);
    define(&running.space, &[]).await.unwrap();
    running.crash().await;
    disk.crash_machine();
    let running = world.start().await;
    define(&running.space, &["state"]).await.unwrap();
    let found = built(&running.space, "value.state == 2").await;
    assert_eq!((found.items.len(), &found.work.index), (300, &Some("by-state".parse().unwrap())));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_of_a_new_collection_is_there_at_once() {
    let world = World { shards: 4, ..World::memory() };
    let running = world.start().await;
    let space = Arc::clone(&running.space);
    define(&space, &["state"]).await.unwrap();
    assert!(page(&space, query("value.state == 1", 10)).await.work.index.is_some());
    let _ = done(&space, put_doc("u/1", "{\"state\":1}".to_owned())).await;
    assert_eq!(keys(&page(&space, query("value.state == 1", 10)).await), ["u/1"]);
    drop(space);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_index_and_an_order_are_obeyed_within_one_partition() {
    let world = World { shards: 3, ..World::memory() };
    let running = world.start().await;
    let space = &running.space;
    define(space, &["state"]).await.unwrap();
    for number in 0..40 {
        let (key, state) = (format!("u{}/{:02}", number % 2, number / 2), (number * 7) % 10);
        let _ = done(space, put_doc(&key, format!("{{\"state\":{state}}}"))).await;
    }
    let of_u1 = |filter: &str, limit: usize| List {
        partition: Some(partition("u1/x")),
        prefix: "u1/".to_owned(),
        ..query(filter, limit)
    };
    let by_state = || Some("by-state".parse().unwrap());
    let filter = "value.state >= 5";
    // Left to choose, it goes by keys.
    let by_keys = page(space, of_u1(filter, 100)).await;
    assert_eq!((by_keys.work.index.clone(), by_keys.items.len()), (None, 12), "{:?}", by_keys.work);
    let mut named = of_u1(filter, 100);
    named.search.index = by_state();
    let through = page(space, named.clone()).await;
    assert_eq!((keys(&through), &through.work.index), (keys(&by_keys), &by_state()));
    let mut ordered = of_u1(filter, 100);
    (ordered.search.order, ordered.search.is_descending) = (vec!["/state".parse().unwrap()], true);
    let ordered = page(space, ordered).await;
    assert_eq!(keys(&ordered), keys(&by_keys));
    let states: Vec<_> = ordered.items.iter().map(|listed| listed.item.bytes.clone()).collect();
    assert!(states.is_sorted_by(|one, next| one >= next), "{states:?}");
    // A page after another goes through it too, and all of them are what the one was, in its order.
    let (mut found, mut next) = (Vec::new(), named);
    next.limit = 5;
    loop {
        let page = page(space, next.clone()).await;
        assert_eq!(page.work.index, by_state());
        found.extend(page.items);
        next.after = page.next;
        if next.after.is_none() {
            break;
        }
    }
    assert_eq!(found, through.items);
    let mut unknown = of_u1(filter, 100);
    unknown.search.index = Some("by-nothing".parse().unwrap());
    assert!(matches!(space.list(unknown, None).await, Err(Error::Refused(_))));
    running.stop().await;
}

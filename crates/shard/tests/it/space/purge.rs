//! Purges over real stores: refused where they would lose what must stay, done beside the traffic, and through crashes.

use mainstay_log::faulty::SimDisk;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::index::Index;
use mainstay_machine::purge::{Purging, Stock};
use mainstay_machine::shards::{List, Search};

use super::world::Engine;
use super::*;

const DOCS: Name = Name::from_static("docs");

fn of() -> (Tenant, Name) {
    (Tenant::DEFAULT, DOCS)
}

async fn define(space: &Space, change: Change) {
    let define = Define { name: DOCS, change, expected: Expected::Anything, settled: 0 };
    let (tenant, caller, partition) = (Tenant::DEFAULT, Caller::ANONYMOUS, define.partition());
    let request = Request::Define(define);
    let command = Command { tenant, caller, partition, idempotency: None, trace: None, request };
    let answer = space.define(command, None).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
}

/// With an index, so that its entries have to go as well.
async fn serve(space: &Space) {
    let index = Index::new(vec!["/n".parse().unwrap()], true).unwrap();
    let collection =
        Collection { indexes: [(Name::from_static("value"), index)].into(), ..Collection::default() };
    define(space, Change::Put(Box::new(collection))).await;
}

fn doc(number: u32) -> ItemName {
    ItemName { collection: DOCS, key: parse(&format!("u{}/{number}", number % 30)) }
}

async fn operate(space: &Space, operation: Operation) {
    let key = operation.item().key.as_str().to_owned();
    let _ = done(space, command(&key, Commit { conditions: vec![], operations: vec![operation] })).await;
}

async fn put_all(space: &Space, count: u32) {
    for number in 0..count {
        let value = Value::new(ContentType::JSON, format!("{{\"n\":{number}}}").into()).unwrap();
        operate(space, Operation::Put { item: doc(number), value, ttl: None }).await;
    }
}

async fn found(space: &Space, order: &[&str]) -> usize {
    let order = order.iter().map(|pointer| pointer.parse().unwrap()).collect();
    let list = List {
        tenant: Tenant::DEFAULT,
        collection: DOCS,
        partition: None,
        prefix: String::new(),
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
        search: Search { order, ..Search::default() },
        consistency: Consistency::Linearizable,
    };
    space.list(list, None).await.unwrap().value.items.len()
}

async fn refused(space: &Space) -> String {
    match space.purge(of(), None).await {
        Err(Error::Refused(refusal)) => refusal.detail().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn purged(space: &Space) -> Purging {
    for _ in 0..1000 {
        let purging = space.purging(of(), None).await.unwrap().unwrap();
        if purging.done == purging.of {
            return purging;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it is never done")
}

#[tokio::test(start_paused = true)]
async fn a_retired_collection_is_purged_and_empty_when_it_is_defined_again() {
    let world = World { shards: 3, ..World::memory() };
    let running = world.start().await;
    let space = &*running.space;
    assert!(refused(space).await.contains("was never defined"));
    serve(space).await;
    put_all(space, 900).await;
    assert!(refused(space).await.contains("is served, and only a retired one is purged: retire it first"));
    define(space, Change::Retire).await;
    assert_eq!(space.stock(of(), None).await, Ok(Stock { items: 900, held: 0 }));
    assert_eq!(space.purging(of(), None).await, Ok(None), "to count begins nothing");
    let begun = space.purge(of(), None).await.unwrap();
    assert_eq!((begun.begun, begun.of), (3, 3));
    let Purging { removed, held, .. } = purged(space).await;
    assert_eq!((removed, held), (900, 0));
    assert_eq!(space.stock(of(), None).await, Ok(Stock::default()));
    assert_eq!(space.purge(of(), None).await.unwrap().removed, 900, "to ask again begins nothing anew");
    serve(space).await;
    assert_eq!(space.purging(of(), None).await, Ok(None), "that is over");
    assert_eq!((found(space, &[]).await, found(space, &["/n"]).await), (0, 0));
    put_all(space, 30).await;
    assert_eq!((found(space, &[]).await, found(space, &["/n"]).await), (30, 30), "nobody has the values");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_refuses_a_purge() {
    let world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let space = &*running.space;
    serve(space).await;
    put_all(space, 40).await;
    let name = Name::from_static("case-7");
    operate(space, Operation::Hold { item: doc(7), name: name.clone() }).await;
    define(space, Change::Retire).await;
    assert_eq!(space.stock(of(), None).await, Ok(Stock { items: 40, held: 1 }));
    let why = refused(space).await;
    assert!(
        why.contains("are held (1): define it again, release them, retire it, and purge it then"),
        "{why}"
    );
    assert_eq!(space.purging(of(), None).await, Ok(None));
    serve(space).await;
    assert_eq!(found(space, &[]).await, 40, "nothing was removed");
    operate(space, Operation::Release { item: doc(7), name }).await;
    define(space, Change::Retire).await;
    assert!(space.purge(of(), None).await.is_ok());
    assert_eq!(purged(space).await.removed, 40);
    running.stop().await;
}

#[tokio::test]
async fn a_purge_goes_on_after_a_crash() {
    let disk = SimDisk::new(1);
    let world = World { shards: 2, ..World::new(Engine::Disk(disk.clone())) };
    let running = world.start().await;
    serve(&running.space).await;
    put_all(&running.space, 900).await;
    define(&running.space, Change::Retire).await;
    let _ = running.space.purge(of(), None).await.unwrap();
    running.crash().await;
    disk.crash_machine();
    let running = world.start().await;
    assert_eq!(purged(&running.space).await.removed, 900);
    assert_eq!(running.space.stock(of(), None).await, Ok(Stock::default()));
    running.stop().await;
}

//! What a collection takes, over real stores: exact through commits, expiry, crashes, snapshots and stores that were never counted.

use mainstay_log::faulty::SimDisk;
use mainstay_machine::State;
use mainstay_machine::command::{Change, Define, Expected};
use mainstay_machine::index::Index;
use mainstay_machine::json::Json;
use mainstay_machine::row::{RowKey, RowRange};
use mainstay_machine::usage::{Ledger, Part, Rows, Usage};
use mainstay_shard::store::{Applied, Pool, Store, every_row, remove};

use super::world::Engine;
use super::*;

const DOCS: Name = Name::from_static("docs");

async fn usage(space: &Space, name: Name) -> Usage {
    let read = space.usage((Tenant::DEFAULT, name), None).await;
    read.unwrap_or_else(|error| panic!("it is told, not {error}")).value
}

/// The counts of a collection by going through the rows of the stores, which nobody has open.
fn naive(world: &World, name: &Name) -> Rows {
    let clock: std::sync::Arc<dyn Clock> = world.clock.clone();
    let pool = Pool::new(&world.stores, clock).unwrap();
    let mut all = Rows::default();
    for shard in 1..=world.shards {
        let store = Store::open(&pool, &world.store_of(shard)).unwrap();
        let ledger = Ledger::count(store.view().rows(&every_row())).unwrap();
        let account = format!("{}\0{name}", Tenant::DEFAULT.name());
        let found = ledger.accounts().find(|(it, _)| *it == account.as_bytes());
        found.into_iter().for_each(|(_, rows)| all.merge(rows));
        store.close().unwrap();
    }
    all
}

async fn define(space: &Space, indexes: &[(&str, bool)]) {
    let named = indexes.iter().map(|(field, unique)| {
        let on = vec![format!("/{field}").parse().unwrap()];
        (format!("by-{field}").parse().unwrap(), Index::new(on, *unique).unwrap())
    });
    let collection = Collection { indexes: named.collect(), ..Collection::default() };
    let change = Change::Put(Box::new(collection));
    let define = Define { name: DOCS, change, expected: Expected::Anything, settled: 0 };
    let partition = define.partition();
    let (tenant, caller, request) = (Tenant::DEFAULT, Caller::ANONYMOUS, Request::Define(define));
    let command = Command { tenant, caller, partition, idempotency: None, trace: None, request };
    let answer = space.define(command, None).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
}

fn put_doc(key: &str, text: String, ttl: Option<Duration>) -> Command {
    let item = ItemName { collection: DOCS, key: parse(key) };
    let value = Json::new(text.into()).unwrap().into();
    command(key, Commit { conditions: vec![], operations: vec![Operation::Put { item, value, ttl }] })
}

fn delete_doc(key: &str) -> Command {
    let item = ItemName { collection: DOCS, key: parse(key) };
    command(key, Commit { conditions: vec![], operations: vec![Operation::Delete { item }] })
}

/// Writes, overwrites and deletes, some with an end that is near.
async fn work(space: &Space, round: u64) {
    for number in 0..60_u64 {
        let key = format!("u{}/{}", number % 7, (number * 13 + round) % 40);
        let text = format!(
            r#"{{"kind":"{}","number":{},"text":"{}"}}"#,
            number % 3,
            number + 1_000 * round,
            "x".repeat(usize::try_from(number).unwrap())
        );
        let ttl = (number % 5 == 0).then_some(Duration::from_millis(1));
        let command = if number % 4 == 3 { delete_doc(&key) } else { put_doc(&key, text, ttl) };
        let _ = done(space, command).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_those_of_the_rows_through_crashes_expiry_and_indexes() {
    let world = World { shards: 3, ..World::new(Engine::Disk(SimDisk::new(7))) };
    let mut running = world.start().await;
    for round in 0..6 {
        let indexes: &[_] =
            if round % 3 == 2 { &[("kind", false)] } else { &[("kind", false), ("number", true)] };
        define(&running.space, indexes).await;
        work(&running.space, round).await;
        if round % 2 == 0 {
            running.crash().await;
            running = world.start().await;
        }
        // Nothing is changed any more once what is to be removed is removed, and indexes are built.
        let settled = async |space: &Space| {
            let rows = usage(space, DOCS).await.rows;
            tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
            rows == usage(space, DOCS).await.rows
        };
        while !settled(&running.space).await {}
        let told = usage(&running.space, DOCS).await.rows;
        running.stop().await;
        assert_eq!(told, naive(&world, &DOCS), "round {round}");
        assert!(told.get(Part::Items).rows > 10 && told.parts().count() >= 2, "{told:?}");
        running = world.start().await;
        assert_eq!(usage(&running.space, DOCS).await.rows, told, "after a restart");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_removed_through_crashes_and_nothing_is_left_of_it() {
    let disk = SimDisk::new(23);
    let world = World { shards: 2, ..World::new(Engine::Disk(disk.clone())) };
    let mut running = world.start().await;
    define(&running.space, &[("kind", false), ("number", true)]).await;
    for number in 0..1_000 {
        let key = format!("u{}/{number}", number % 60);
        let text = format!(r#"{{"kind":"k","number":{number}}}"#);
        let ttl = (number % 10 > 0).then_some(Duration::from_millis(1_500));
        let _ = done(&running.space, put_doc(&key, text, ttl)).await;
    }
    let items = async |space: &Space| usage(space, DOCS).await.rows.get(Part::Items).rows;
    while items(&running.space).await == 1_000 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut lives = 0;
    while items(&running.space).await > 100 {
        running.crash().await;
        disk.crash_machine();
        running = world.start().await;
        lives += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5 * lives)).await;
    }
    assert!(lives > 1, "crashes came in the middle of it");
    let told = usage(&running.space, DOCS).await.rows;
    running.stop().await;
    assert_eq!(told, naive(&world, &DOCS));
    let left: Vec<_> = told.parts().map(|(part, taken)| (part, taken.rows)).collect();
    let parts = [Part::Items, Part::Entries(0), Part::Entries(1), Part::Held(1)];
    assert_eq!(left, parts.map(|part| (part, 100)), "no end, and no entry of what has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_never_counted_is_counted_at_the_start() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    for number in 0..50 {
        let _ = done(&running.space, commit(vec![put(&format!("u/{number}"), "text")])).await;
    }
    let told = usage(&running.space, THINGS).await.rows;
    assert_eq!(told.get(Part::Items).rows, 50);
    running.stop().await;
    forget_counts(&world);
    let running = world.start().await;
    assert_eq!(usage(&running.space, THINGS).await.rows, told);
    let _ = done(&running.space, commit(vec![put("u/1", "another")])).await;
    let more = usage(&running.space, THINGS).await.rows.get(Part::Items);
    assert_eq!((more.rows, more.bytes), (50, told.get(Part::Items).bytes + 3));
    running.stop().await;
}

/// Leaves the store as an earlier program would have.
fn forget_counts(world: &World) {
    let clock: std::sync::Arc<dyn Clock> = world.clock.clone();
    let pool = Pool::new(&world.stores, clock).unwrap();
    let folder = world.store_of(1);
    let store = Store::open(&pool, &folder).unwrap();
    let memo = store.view().get(b"\xffapplied").unwrap().unwrap().slice(9..);
    let applied = Applied { index: store.applied(), memo };
    let (rows, counts): (Vec<_>, Vec<_>) = store
        .view()
        .rows(&every_row())
        .map(Result::unwrap)
        .partition(|(row, _)| !RowRange::usages().contains(row));
    assert!(counts.iter().any(|(row, _)| row == RowKey::usage(&Tenant::DEFAULT, &THINGS).bytes()));
    store.close().unwrap();
    remove(&folder).unwrap();
    let store = Store::open(&pool, &folder).unwrap();
    let mut loader = store.load().unwrap();
    rows.iter().for_each(|(key, value)| loader.write(key, value).unwrap());
    loader.finish(&applied).unwrap();
    store.close().unwrap();
}

#[tokio::test(start_paused = true)]
async fn counts_are_there_again_with_a_snapshot_and_what_the_log_has_since() {
    let world = World::memory();
    let running = world.start().await;
    let keeping = snapshots::two(&world, &running);
    snapshots::snapshot_with(&running, "one").await;
    let _ = done(&running.space, commit(vec![put("a/since", "since"), put("a/one", "another")])).await;
    let told = usage(&running.space, THINGS).await.rows;
    assert_eq!(told.get(Part::Items).rows, 3);
    keeping.end().await;
    running.stop().await;
    std::fs::remove_dir_all(world.stores()).unwrap();
    let running = world.start().await;
    assert_eq!(usage(&running.space, THINGS).await.rows, told);
    assert!(counts(&running.space).batches > 0, "some of it is from the log");
    running.stop().await;
    assert_eq!(naive(&world, &THINGS), told);
}

#[tokio::test(start_paused = true)]
async fn what_callers_give_and_which_keys_they_use_is_counted() {
    let world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let space = &*running.space;
    for number in 0..40 {
        let _ = done(space, commit(vec![put("u/hot", "12345678")])).await;
        let _ = done(space, commit(vec![put(&format!("u{number}/cold"), "12345678")])).await;
    }
    let before = usage(space, THINGS).await;
    let keys = "u/hot".len() * 40 + (0..40).map(|number| format!("u{number}/cold").len()).sum::<usize>();
    assert_eq!(before.flow.given, (keys + 80 * 10) as u64);
    let told = &before.writes[0];
    assert_eq!((&*told.key, told.count, told.error, before.writes.len()), ("u/hot", 40.0, 0.0, 10));
    assert!(before.flow.logged > before.flow.given && before.reads.is_empty(), "{before:?}");

    let refused = command(
        "u/hot",
        Commit {
            conditions: vec![Condition::Absent { item: item("u/hot") }],
            operations: vec![put("u/hot", "no")],
        },
    );
    let answer = space.submit(refused, None).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Refused(_)));
    let repeated = with_key("k", commit(vec![put("u/hot", "1")]));
    let _ = done(space, repeated.clone()).await;
    let _ = done(space, repeated).await;
    let after = usage(space, THINGS).await;
    assert_eq!(after.flow.given - before.flow.given, "u/hot".len() as u64 + 3, "what has happened, once");

    for _ in 0..800 {
        let _ = now(space, "u/hot").await;
    }
    let reads = usage(space, THINGS).await.reads;
    assert!(reads.len() == 1 && (600.0..1_000.0).contains(&reads[0].count), "{reads:?}");
    assert_eq!(usage(space, DOCS).await.rows, Rows::default(), "of what there is not");
    running.stop().await;
}

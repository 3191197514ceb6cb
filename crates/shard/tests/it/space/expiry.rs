//! Items that end, over real stores: exact for readers, removed in a while.

use mainstay_machine::shards::{List, Search};

use super::world::Engine;
use super::*;

fn put_for(key: &str, millis: u64) -> Command {
    let value = Value::new(ContentType::JSON, "1".into()).unwrap();
    commit(vec![Operation::Put { item: item(key), value, ttl: Some(Duration::from_millis(millis)) }])
}

async fn listed(space: &Space) -> usize {
    let list = List {
        tenant: Tenant::DEFAULT,
        collection: THINGS,
        partition: None,
        prefix: String::new(),
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
        search: Search::default(),
        consistency: Consistency::Linearizable,
    };
    space.list(list, None).await.unwrap().value.items.len()
}

#[tokio::test(start_paused = true)]
async fn an_item_is_there_until_its_end_and_its_rows_go_later() {
    let world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let space = &*running.space;
    let stored =
        || space.view().iter().filter_map(|shard| shard.store.as_ref()).map(|store| store.memtables).max();
    for number in 0..600 {
        let _ = done(space, put_for(&format!("u{}/{number}", number % 30), 2_000)).await;
    }
    let _ = done(space, put_for("u1/long", 3_600_000)).await;
    assert!(stored().is_some());
    assert_eq!((listed(space).await, now(space, "u1/1").await), (601, "1".to_owned()));
    let before = space.counts().committed;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert_eq!((listed(space).await, now(space, "u1/1").await), (1, String::new()), "at once");
    until(|| space.counts().committed > before).await;
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let steps = space.counts().committed - before;
    assert!((3..20).contains(&steps), "by some steps and no more: {steps}");
    assert_eq!(now(space, "u1/long").await, "1");
    running.stop().await;
    let running = world.start().await;
    assert_eq!(listed(&running.space).await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_while_the_node_was_down_is_absent_when_it_is_up() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    for number in 0..10 {
        let _ = done(&running.space, put_for(&format!("u/{number}"), 300)).await;
    }
    running.crash().await;
    tokio::time::sleep(std::time::Duration::from_millis(310)).await;
    let running = world.start().await;
    assert_eq!(listed(&running.space).await, 0);
    let _ = done(&running.space, commit(vec![put("u/1", "again")])).await;
    assert_eq!(now(&running.space, "u/1").await, "\"again\"");
    running.stop().await;
}

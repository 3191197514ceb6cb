//! Listings across shards while commits go on: nothing that was there all the time is missed or doubled.

use mainstay_machine::shards::{Cursor, List, Search};

use super::world::Engine;
use super::*;

const ITEMS: usize = 150;

fn list(limit: usize, after: Option<Cursor>) -> List {
    List {
        tenant: Tenant::DEFAULT,
        collection: THINGS,
        partition: None,
        prefix: String::new(),
        after,
        limit,
        bytes_max: usize::MAX,
        search: Search::default(),
        consistency: Consistency::Linearizable,
    }
}

async fn keys(space: &Space, limit: usize) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = space.list(list(limit, after), None).await.expect("it is listed").value;
        assert!(page.items.len() <= limit);
        keys.extend(page.items.iter().map(|listed| listed.key.to_string()));
        after = page.next;
        if after.is_none() {
            return keys;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_all_the_time_is_listed_once() {
    for engine in [Engine::Folder, World::memory().engine] {
        let world = World { shards: 4, ..World::new(engine) };
        let running = world.start().await;
        let space = running.space.clone();
        let stays = |number: usize| format!("p{number}/stays");
        let mut expected: Vec<_> = (0..ITEMS)
            .map(|number| (slot(&Tenant::DEFAULT, &partition(&stays(number))), stays(number)))
            .collect();
        let puts = (0..ITEMS).map(|number| done(&space, commit(vec![put(&stays(number), "1")])));
        futures_util::future::join_all(puts).await;
        expected.sort();
        let expected: Vec<_> = expected.into_iter().map(|(_, key)| key).collect();
        let mut others = tokio::task::JoinSet::new();
        let is_over = tokio::sync::watch::Sender::new(false);
        for writer in 0..3 {
            let (space, is_over) = (space.clone(), is_over.subscribe());
            others.spawn(async move {
                let mut number = writer;
                while !*is_over.borrow() {
                    number = (number + 7) % ITEMS;
                    let (before, behind) = (format!("p{number}/a-{writer}"), format!("p{number}/z-{writer}"));
                    let _ = done(
                        &space,
                        commit(vec![
                            put(&before, "1"),
                            put(&behind, "1"),
                            put(&format!("p{number}/stays"), "2"),
                        ]),
                    )
                    .await;
                    let delete = |key: &str| Operation::Delete { item: item(key) };
                    let _ = done(&space, commit(vec![delete(&before), delete(&behind)])).await;
                }
            });
        }
        for limit in [1, 7, 50, 1_000] {
            let listed = keys(&space, limit).await;
            let stays: Vec<_> = listed.into_iter().filter(|key| key.ends_with("/stays")).collect();
            assert_eq!(stays, expected, "in pages of {limit}");
        }
        is_over.send_replace(true);
        while let Some(ended) = others.join_next().await {
            ended.expect("it writes");
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_behind_a_partition_lists_nothing_of_it() {
    let world = World { shards: 3, ..World::memory() };
    let running = world.start().await;
    let mut keys: Vec<_> = (0..9).map(|number| format!("p{number}/a")).collect();
    keys.sort_by_key(|key| slot(&Tenant::DEFAULT, &partition(key)));
    for key in &keys {
        let _ = done(&running.space, commit(vec![put(key, "1")])).await;
    }
    let cursor = |key: &str| Cursor::Key { slot: slot(&Tenant::DEFAULT, &partition(key)), key: parse(key) };
    for (after, expected) in [(&keys[2], 1), (&keys[4], 0), (&keys[6], 0)] {
        let within = List { partition: Some(partition(&keys[4])), ..list(10, Some(cursor(after))) };
        let page = running.space.list(within, None).await.unwrap().value;
        assert_eq!((page.items.len(), page.next), (expected, None), "after {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_for_its_shards_no_longer_than_it_may() {
    let gate = gate::Gated::new();
    let world = World { shards: 2, ..World::new(Engine::Shared(gate.clone())) };
    let running = world.start().await;
    let space = &*running.space;
    let _ = done(space, commit(vec![put("a/1", "1")])).await;
    gate.close();
    // As many as are made at once, without an end.
    let mut others: Vec<BoxFuture<'_, _>> = (0..4).map(|_| space.list(list(10, None), None)).collect();
    others.iter_mut().for_each(|other| assert!(begin(other).is_pending()));
    let late = space.list(list(10, None), after(&*world.clock, 100)).await;
    assert_eq!(late.map(|_| ()), Err(Error::Deadline));
    gate.open();
    for other in others {
        assert_eq!(other.await.unwrap().value.items.len(), 1);
    }
    let after_all = space.list(list(10, None), after(&*world.clock, 100)).await.unwrap();
    assert_eq!(after_all.value.items.len(), 1);
}

//! From one life of a node to the next: what was answered is there, and time and ownership go on.

use mainstay_base::position::Index;
use mainstay_log::faulty::SimDisk;
use mainstay_machine::Position;
use mainstay_machine::position::Place;
use mainstay_machine::shards::conformance;

use super::world::Engine;
use super::*;

async fn conforms(engine: Engine) {
    let source = Source { file: "test.yaml".to_owned(), line: None };
    let needed = conformance::collections().into_iter();
    let needed = needed.map(|(name, collection)| ((Tenant::DEFAULT, name), (collection, source.clone())));
    let world = World {
        shards: 3,
        declared: Declare { collections: needed.collect(), ..Declare::default() },
        ..World::new(engine)
    };
    let running = world.start().await;
    // Of the line of history before the first.
    let place = Place { timeline: 0, index: Index::new(1) };
    let mut ended = Position::default();
    (1..=3).for_each(|shard| ended.merge(&Position::of(ShardId::new(shard), place)));
    conformance::all(&*running.space, Some(ended)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_where_others_may_own() {
    conforms(Engine::Memory(mainstay_log::memory::Memory::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_where_nobody_else_can_own() {
    conforms(Engine::Folder).await;
}

async fn answered_commits_outlive(engine: Engine) {
    let world = World::new(engine);
    let mut last: Option<(Position, Epoch)> = None;
    for life in 0..6 {
        let running = world.start().await;
        let space = &running.space;
        for earlier in 0..life {
            assert_eq!(now(space, &format!("a/{earlier}")).await, format!("\"{earlier}\""), "in life {life}");
        }
        if let Some((position, epoch)) = &last {
            let seen = get(space, "a/0", Consistency::Session(position.clone()), None).await.unwrap();
            assert!(covers(&seen.position, position), "positions go on: {} after {position}", seen.position);
            assert!(self::epoch(space) > *epoch, "an epoch is higher than all before it");
        }
        let replayed = counts(space).batches;
        let was_stopped = life % 2 == 1;
        // The first life brings the definitions.
        assert_eq!(replayed > 0, !was_stopped, "a stop leaves nothing to be read again: {replayed}");
        let answer = done(space, commit(vec![put(&format!("a/{life}"), &life.to_string())])).await;
        if let Some((position, _)) = &last {
            assert!(covers(&answer.position, position) && answer.position != *position, "positions grow");
        }
        last = Some((answer.position, epoch(space)));
        // The lives with even numbers end in order.
        if life % 2 == 0 {
            running.stop().await;
        } else {
            running.crash().await;
        }
        if let (Engine::Disk(disk), 1) = (&world.engine, life % 2) {
            disk.crash_machine();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answered_commits_outlive_crashes_and_stops_where_others_may_own() {
    answered_commits_outlive(Engine::Memory(mainstay_log::memory::Memory::default())).await;
}

#[tokio::test]
async fn answered_commits_outlive_crashes_and_stops_in_a_folder() {
    answered_commits_outlive(Engine::Folder).await;
}

#[tokio::test]
async fn answered_commits_outlive_the_loss_of_power() {
    answered_commits_outlive(Engine::Disk(SimDisk::new(7))).await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_with_nothing_to_do_does_nothing() {
    // So small that one commit asks the next to wait for the disk.
    let mut world = World::memory();
    world.stores.memtable = mainstay_base::units::Size::from_kib(16);
    world.stores.memtables_max = mainstay_base::units::Size::from_kib(64);
    let running = world.start().await;
    done(&running.space, commit(vec![put("a/1", &"x".repeat(50_000))])).await;
    // Beyond any wait that a store asks for.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let looks = || world.clock.looks.load(std::sync::atomic::Ordering::Relaxed);
    let before = looks();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(looks() - before < 10, "it sleeps: {} looks at the clock", looks() - before);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_driver_that_is_gone_is_told() {
    let gate = gate::Gated::new();
    let world = World::new(Engine::Shared(gate.clone()));
    let mut running = world.start().await;
    gate.close();
    let space = running.space.clone();
    let in_flight = sent(&space, commit(vec![put("a/1", "1")]), None);
    gate.has_attempts(1).await;
    let waits = sent(&space, commit(vec![put("a/2", "1")]), None);
    let mut look = Box::pin(get(&space, "a/1", Consistency::Linearizable, None)) as BoxFuture<'_, _>;
    assert!(begin(&mut look).is_pending());
    // The driver takes note of the reading.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    running.drivers.shutdown().await;
    assert!(matches!(in_flight.await, Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(waits.await, Err(Error::Unavailable { .. })), "it was not begun");
    assert!(matches!(look.await, Err(Error::Unavailable { .. })), "a reading is never in doubt");
    let late = space.submit(commit(vec![put("a/3", "1")]), None).await;
    assert!(matches!(late, Err(Error::Unavailable { .. })), "{late:?}");
    assert!(space.failed().await.contains("has ended"));
}

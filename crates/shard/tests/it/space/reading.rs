//! How fresh readings are, how long they wait, and what they say of it.

use mainstay_base::position::Index;
use mainstay_machine::position::Place;

use super::gate::Gated;
use super::world::Engine;
use super::*;

fn session(timeline: u32, index: Index) -> Consistency {
    Consistency::Session(Position::of(SHARD, Place { timeline, index }))
}

async fn pass(millis: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_reading_waits_for_an_append_that_was_begun_later() {
    let gate = Gated::new();
    let world = World::new(Engine::Shared(gate.clone()));
    let running = world.start().await;
    let space = &*running.space;
    let _ = done(space, commit(vec![put("a/1", "1")])).await;
    gate.close();
    let mut reads: Vec<BoxFuture<'_, _>> = Vec::new();
    for _ in 0..3 {
        let mut read: BoxFuture<'_, _> = Box::pin(get(space, "a/1", Consistency::Linearizable, None));
        assert!(begin(&mut read).is_pending(), "nothing proves that it is still the owner");
        reads.push(read);
    }
    pass(1_000).await;
    assert!(reads.iter_mut().all(|read| begin(read).is_pending()));
    let old = get(space, "a/1", Consistency::Eventual, None).await.unwrap();
    assert!(old.value.is_some() && old.age >= Duration::from_secs(1));
    gate.open();
    for read in reads {
        let reading = read.await.unwrap();
        assert_eq!((reading.value.as_deref(), reading.age), (Some("\"1\""), Duration::ZERO));
        assert_eq!(reading.consistency, Consistency::Linearizable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_position_and_not_for_ever() {
    let world = World::memory();
    let running = world.start().await;
    let space = &*running.space;
    let position = done(space, commit(vec![put("a/1", "1")])).await.position;
    let next = position.get(SHARD).unwrap().index.next();
    let at_once = get(space, "a/1", Consistency::Session(position.clone()), None).await.unwrap();
    assert!(covers(&at_once.position, &position));

    let mut waits: BoxFuture<'_, _> = Box::pin(get(space, "a/1", session(1, next), None));
    assert!(begin(&mut waits).is_pending());
    let _ = done(space, commit(vec![put("a/1", "2")])).await;
    assert_eq!(waits.await.unwrap().value.as_deref(), Some("\"2\""), "it sees what it has waited for");

    let begun = world.clock.now();
    let passed = || world.clock.now().saturating_since(begun);
    let far = Index::new(1_000);
    let read = get(space, "a/1", session(1, far), after(&*world.clock, 300)).await;
    assert_eq!((read, passed()), (Err(Error::Deadline), Duration::from_millis(300)));
    let read = get(space, "a/1", session(1, far), None).await;
    let Err(Error::Unavailable { reason }) = read else { panic!("it does not wait for ever: {read:?}") };
    assert!(reason.contains("and the position asks for 1000"), "{reason}");
    assert_eq!(passed(), Duration::from_millis(10_300));
    let read = get(space, "a/1", session(2, Index::new(1)), after(&*world.clock, 300)).await;
    assert_eq!(read.map(|_| ()), Err(Error::Deadline), "a later line of history is waited for");
    assert_eq!(get(space, "a/1", session(0, Index::new(1)), None).await.map(|_| ()), Err(Error::Gone));
    let elsewhere = Position::of(ShardId::new(77), Place { timeline: 0, index: far });
    assert!(get(space, "a/1", Consistency::Session(elsewhere), None).await.is_ok(), "of no shard here");
}

#[tokio::test(start_paused = true)]
async fn readings_say_how_old_they_may_be() {
    let world = World::memory();
    let running = world.start().await;
    let space = &*running.space;
    let _ = done(space, commit(vec![put("a/1", "1")])).await;
    pass(500).await;
    let second = Duration::from_secs(1);
    let bounded = get(space, "a/1", Consistency::Bounded(second), None).await.unwrap();
    assert_eq!(bounded.consistency, Consistency::Bounded(second));
    assert_eq!(bounded.age, Duration::from_millis(500), "since then nobody else owned it for sure");
    pass(600).await;
    let eventual = get(space, "a/1", Consistency::Eventual, None).await.unwrap();
    assert_eq!((eventual.consistency, eventual.age), (Consistency::Eventual, Duration::from_millis(1_100)));
    let proven = get(space, "a/1", Consistency::Bounded(second), None).await.unwrap();
    assert_eq!(
        (proven.consistency, proven.age),
        (Consistency::Linearizable, Duration::ZERO),
        "too old otherwise"
    );
    let fresh = get(space, "a/1", Consistency::Eventual, None).await.unwrap();
    assert_eq!(fresh.age, Duration::ZERO, "what was proven for one holds for others");
    assert_eq!(fresh.durability, mainstay_machine::shards::Durability::Memory);
}

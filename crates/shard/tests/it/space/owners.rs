//! Two nodes that both believe to own a shard: one of them is right, and the other says nothing old.

use super::*;

async fn served(space: &Space, above: Epoch) {
    until(|| matches!(state(space), State::Serving { epoch } if epoch > above)).await;
}

/// How long it takes.
async fn time(world: &World, what: impl Future<Output = ()>) -> u128 {
    let begun = world.clock.now();
    what.await;
    world.clock.now().saturating_since(begun).as_std().as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_deposed_owner_shows_and_refuses_nothing_by_an_old_state() {
    let first_world = World::memory();
    let second_world = first_world.rival();
    let first = first_world.start().await;
    let _ = done(&first.space, commit(vec![put("a/1", "first")])).await;
    let second = second_world.start().await;
    assert!(epoch(&second.space) > epoch(&first.space));
    let _ = done(&second.space, commit(vec![put("a/1", "second"), put("a/2", "second")])).await;
    assert!(matches!(state(&first.space), State::Serving { .. }), "it does not know");
    let eventual = get(&first.space, "a/1", Consistency::Eventual, None).await.unwrap();
    assert_eq!(eventual.value.as_deref(), Some("\"first\""), "who may be shown something old is");

    let read = get(&first.space, "a/1", Consistency::Linearizable, None).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "not an old answer: {read:?}");
    // Deposed, it tries again, and then the second does not know.
    served(&first.space, epoch(&second.space)).await;
    assert_eq!(now(&first.space, "a/1").await, "\"second\"");
    let _ = done(&first.space, commit(vec![put("a/3", "first")])).await;
    let present = Condition::Present { item: item("a/3") };
    let refused = command("a/3", Commit { conditions: vec![present], operations: vec![add("a/n", 1)] });
    let answer = second.space.submit(refused.clone(), None).await;
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "not a refusal by an old state: {answer:?}");
    served(&second.space, epoch(&first.space)).await;
    let _ = done(&second.space, refused).await;
    let write = first.space.submit(commit(vec![put("a/1", "late")]), None).await;
    let is_told = matches!(write, Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }));
    assert!(is_told, "a deposed owner commits nothing: {write:?}");
    assert_eq!(now(&second.space, "a/1").await, "\"second\"");
}

#[tokio::test(start_paused = true)]
async fn owners_that_depose_each_other_wait_longer_each_time() {
    let first_world = World::memory();
    let second_world = first_world.rival();
    let (first, second) = (first_world.start().await, second_world.start().await);
    let mut spaces = [&first.space, &second.space];
    let mut pauses = Vec::new();
    for _ in 0..18 {
        let [deposed, owner] = spaces;
        let read = get(deposed, "a/1", Consistency::Linearizable, None).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        pauses.push(time(&first_world, served(deposed, epoch(owner))).await);
        spaces.reverse();
    }
    for pair in pauses.windows(3) {
        let grows = pair[2] >= 2 * pair[0] - 2 || pair[2] >= 5_000;
        assert!(pair[0] >= 50 && grows, "each one's pauses grow up to 5 s: {pauses:?}");
    }
    // Once it was left alone for a while it begins anew.
    let [deposed, owner] = spaces;
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let _ = get(deposed, "a/1", Consistency::Linearizable, None).await.unwrap_err();
    let pause = time(&first_world, served(deposed, epoch(owner))).await;
    assert!((50..200).contains(&pause), "{pause}");
}

#[tokio::test(start_paused = true)]
async fn readers_that_wait_at_a_deposed_owner_are_told() {
    let first_world = World::memory();
    let second_world = first_world.rival();
    let first = first_world.start().await;
    let answer = done(&first.space, commit(vec![put("a/1", "1")])).await;
    let place = answer.position.get(SHARD).unwrap();
    let later = mainstay_machine::position::Place { index: place.index.next().next().next(), ..place };
    let session = Consistency::Session(Position::of(SHARD, later));
    let mut waits: BoxFuture<'_, _> = Box::pin(get(&first.space, "a/1", session, None));
    assert!(begin(&mut waits).is_pending());
    let _second = second_world.start().await;
    let _ = get(&first.space, "a/1", Consistency::Linearizable, None).await.unwrap_err();
    let begun = first_world.clock.now();
    assert!(matches!(waits.await, Err(Error::Unavailable { .. })));
    assert_eq!(first_world.clock.now(), begun, "at once");
}

#[tokio::test(start_paused = true)]
async fn two_busy_owners_get_on() {
    let first_world = World::memory();
    let second_world = first_world.rival();
    let (first, second) = (first_world.start().await, second_world.start().await);
    let end = after(&*first_world.clock, 30_000).unwrap();
    let work = async |space: &Space| {
        let mut count = 0;
        while first_world.clock.now() < end {
            count += usize::from(space.submit(commit(vec![add("a/n", 1)]), None).await.is_ok());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        count
    };
    let (one, other) = tokio::join!(work(&first.space), work(&second.space));
    let claims = first.space.counts().claims + second.space.counts().claims;
    assert!(claims < 40, "they do not only take it from each other: {claims}");
    assert!(one + other > 1_000, "{one} and {other} of 1500 and 1500");
    served(&first.space, Epoch::new(0)).await;
    while get(&first.space, "a/n", Consistency::Linearizable, None).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let total: usize = now(&first.space, "a/n").await.parse().unwrap();
    assert!(total >= one + other, "{total}: what was answered counts");
}

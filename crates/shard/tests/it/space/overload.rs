//! A log that does not answer: what waits is bounded, fair and in time, and whoever is gone is not served.

use std::sync::Arc;

use mainstay_base::units::Size;
use mainstay_machine::shards::BoxFuture;
use mainstay_shard::inbox::Bounds;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};

use super::gate::Gated;
use super::world::Engine;
use super::*;

const WAITING_MAX: usize = 8;

/// A shard whose log does not answer, and a command of which it waits to hear.
async fn stuck(gate: &Arc<Gated>) -> (World, Running, BoxFuture<'static, Result<Answer, Error>>) {
    let mut world = World::new(Engine::Shared(gate.clone()));
    world.inbox = Bounds { waiting_max: WAITING_MAX, size_max: Size::from_mib(1) };
    let running = world.start().await;
    gate.close();
    let before = gate.attempts();
    let space = running.space.clone();
    let mut in_flight: BoxFuture<'static, _> =
        Box::pin(async move { space.submit(commit(vec![add("a/flight", 1)]), None).await });
    assert!(begin(&mut in_flight).is_pending());
    gate.has_attempts(before + 1).await;
    (world, running, in_flight)
}

fn count_of(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.parse().expect("it is a number") }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_what_does_not_fit_is_sent_away_until_later() {
    let gate = Gated::new();
    let (_world, running, in_flight) = stuck(&gate).await;
    let space = &*running.space;
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| sent(space, commit(vec![add("a/n", 1)]), None)).collect();
    for _ in 0..3 {
        let error = space.submit(commit(vec![add("a/n", 1)]), None).await.unwrap_err();
        let Error::Overloaded { what, waiting, after } = &error else { panic!("it is too much: {error}") };
        assert_eq!((what.as_str(), *waiting), ("shard 1", WAITING_MAX));
        assert!((Duration::from_millis(10)..=Duration::from_secs(30)).contains(after), "{after}");
    }
    let view = view(space);
    assert_eq!((view.waiting, view.counts.overloaded), (WAITING_MAX, 3));
    assert!(view.waiting_bytes > Size::ZERO);
    gate.open();
    for waiting in waiting.into_iter().chain([in_flight]) {
        assert!(waiting.await.is_ok(), "what was taken in is answered");
    }
    assert_eq!(count_of(&now(space, "a/n").await), WAITING_MAX, "and what was sent away is not done");
    assert_eq!(super::view(space).waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn one_tenant_does_not_fill_it_against_another() {
    let gate = Gated::new();
    let (_world, running, in_flight) = stuck(&gate).await;
    let space = &*running.space;
    let of = |name: &str| of_tenant(name, commit(vec![add("a/n", 1)]));
    let one: Vec<_> = (0..WAITING_MAX).map(|_| sent(space, of("one"), None)).collect();
    let other: Vec<_> = (0..WAITING_MAX / 2).map(|_| sent(space, of("other"), None)).collect();
    let mut out = 0;
    let mut kept = Vec::new();
    for mut waiting in one {
        match begin(&mut waiting) {
            Poll::Ready(Err(Error::Overloaded { .. })) => out += 1,
            Poll::Ready(answer) => panic!("the log has not answered: {answer:?}"),
            Poll::Pending => kept.push(waiting),
        }
    }
    assert_eq!((out, kept.len()), (WAITING_MAX / 2, WAITING_MAX / 2), "each has half");
    assert!(matches!(space.submit(of("one"), None).await, Err(Error::Overloaded { .. })));
    gate.open();
    for waiting in kept.into_iter().chain(other).chain([in_flight]) {
        assert!(waiting.await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_pass_while_the_log_does_not_answer() {
    let gate = Gated::new();
    let mut world = World::new(Engine::Shared(gate.clone()));
    world.owner.batch_commands_max = 2;
    let running = world.start().await;
    let space = &*running.space;
    gate.close();
    let looks = get(space, "a/stays", Consistency::Linearizable, after(&*world.clock, 401));
    let mut looks: BoxFuture<'_, _> = Box::pin(async { looks.await.map(|_| ()) });
    let in_flight = sent(space, commit(vec![add("a/flight", 1)]), after(&*world.clock, 301));
    gate.has_attempts(1).await;
    assert!(begin(&mut looks).is_pending());
    // The driver has nothing more to do now, and only a sooner deadline wakes it.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let begun = world.clock.now();
    let stays = sent(space, commit(vec![add("a/stays", 1)]), None);
    let late = sent(space, commit(vec![add("a/late", 1)]), after(&*world.clock, 200));
    let sooner = sent(space, commit(vec![add("a/sooner", 1)]), after(&*world.clock, 100));
    let passed = || world.clock.now().saturating_since(begun).as_std().as_millis();
    let (_, _, _, _) = tokio::join!(
        async { assert_eq!((sooner.await, passed()), (Err(Error::Deadline), 100)) },
        async { assert_eq!((late.await, passed()), (Err(Error::Deadline), 200)) },
        async {
            let unknown = in_flight.await;
            assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })), "it was begun: {unknown:?}");
            assert_eq!(passed(), 300);
        },
        async { assert_eq!((looks.await, passed()), (Err(Error::Deadline), 400)) },
    );
    assert_eq!(view(space).waiting, 1);
    // Long enough for the append to be given up and sent again.
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    gate.open();
    assert!(stays.await.is_ok());
    for (key, expected) in [("a/flight", "1"), ("a/stays", "1"), ("a/late", ""), ("a/sooner", "")] {
        assert_eq!(now(space, key).await, expected, "{key}");
    }
    running.stop().await;
    let running = world.start().await;
    assert_eq!(now(&running.space, "a/late").await, "", "nor later");
}

#[tokio::test(start_paused = true)]
async fn deadlines_pass_while_the_shard_is_recovered() {
    let gate = Gated::new();
    let world = World::new(Engine::Shared(gate.clone()));
    gate.close();
    let running = world.begin().await.unwrap();
    let space = &*running.space;
    // Its claim is not answered.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let stays = sent(space, commit(vec![add("a/stays", 1)]), None);
    let begun = world.clock.now();
    let late = space.submit(commit(vec![add("a/late", 1)]), after(&*world.clock, 200)).await;
    let passed = world.clock.now().saturating_since(begun);
    assert_eq!((late, passed), (Err(Error::Deadline), Duration::from_millis(200)));
    let read = get(space, "a/stays", Consistency::Eventual, None).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    gate.open();
    assert!(stays.await.is_ok(), "what came early is done as soon as it can be");
    assert_eq!(now(space, "a/late").await, "");
}

#[tokio::test(start_paused = true)]
async fn deadlines_and_the_end_do_not_wait_for_snapshots_to_be_found() {
    let slow = ThrottleConfig {
        wait_list_per_call: std::time::Duration::from_secs(3_600),
        ..ThrottleConfig::default()
    };
    let store = Arc::new(ThrottledStore::new(InMemory::new(), slow));
    let mut world = World::memory();
    world.snapshots = mainstay_shard::snapshot::location::Location::within(store, "");
    // What is known is listed before.
    let running = world.begin().await.unwrap();
    let begun = world.clock.now();
    let space = &*running.space;
    let late = space.submit(commit(vec![add("a/late", 1)]), after(&*world.clock, 200)).await;
    let passed = world.clock.now().saturating_since(begun);
    assert_eq!((late, passed), (Err(Error::Deadline), Duration::from_millis(200)));
    running.stop().await;
    assert_eq!(world.clock.now().saturating_since(begun), passed, "it ends at once");
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_caller_has_gone_is_not_evaluated() {
    let gate = Gated::new();
    let (_world, running, in_flight) = stuck(&gate).await;
    let space = &*running.space;
    drop(sent(space, commit(vec![add("a/gone", 1)]), None));
    let stays = sent(space, commit(vec![add("a/stays", 1)]), None);
    gate.open();
    assert!(in_flight.await.is_ok() && stays.await.is_ok());
    assert_eq!((now(space, "a/gone").await, now(space, "a/stays").await), (String::new(), "1".into()));
    // With that of its definitions.
    assert_eq!(counts(space).committed, 3);
}

#[tokio::test(start_paused = true)]
async fn callers_that_have_gone_do_not_hide_those_behind_them() {
    let gate = Gated::new();
    let mut world = World::new(Engine::Shared(gate.clone()));
    world.owner.batch_commands_max = 2;
    let running = world.start().await;
    let space = &*running.space;
    gate.close();
    let in_flight = sent(space, commit(vec![add("a/flight", 1)]), None);
    gate.has_attempts(1).await;
    (0..7).for_each(|_| drop(sent(space, commit(vec![add("a/gone", 1)]), None)));
    let stays = sent(space, commit(vec![add("a/stays", 1)]), None);
    gate.open();
    assert!(in_flight.await.is_ok());
    let answered = tokio::time::timeout(std::time::Duration::from_secs(3_600), stays).await;
    assert!(answered.expect("it is answered in time").is_ok());
    assert_eq!(now(space, "a/gone").await, "");
}

//! Following changes: each once and in the order of the log, wherever a reader goes on and whatever has happened to the node.

use bytes::Bytes;
use mainstay_base::hlc::HybridTime;
use mainstay_base::position::Index;
use mainstay_base::units::Size;
use mainstay_log::Log;
use mainstay_log::memory::Memory;
use mainstay_log::record::{Checksum, Draft, RecordId};
use mainstay_machine::Mutation;
use mainstay_machine::batch::{Batch, Entry};
use mainstay_machine::collection::Feed;
use mainstay_machine::feed::{Event, Events, Follow};
use mainstay_machine::position::{EventId, Place};
use mainstay_machine::row::RowKey;
use mainstay_shard::feed;

use super::gate::Gated;
use super::snapshots::{begins, settled, snapshot_with, snapshots, two};
use super::world::Engine;
use super::*;

/// All that comes after a place, in one page.
fn follow(after: &EventId) -> Follow {
    Follow {
        tenant: Tenant::DEFAULT,
        collection: THINGS,
        partition: None,
        prefix: String::new(),
        filter: None,
        after: Some(after.clone()),
        limit: usize::MAX,
        bytes_max: usize::MAX,
        wait: Duration::ZERO,
    }
}

async fn page(space: &Space, after: &EventId, limit: usize) -> Result<Events, Error> {
    space.changes(Follow { limit, ..follow(after) }, None).await
}

/// What there is after a place, page by page, and where it ends.
async fn pages(space: &Space, after: &EventId, limits: &[usize]) -> (Vec<Event>, EventId) {
    let (mut all, mut after) = (Vec::new(), after.clone());
    let mut limits = limits.iter().cycle();
    loop {
        let page = page(space, &after, *limits.next().unwrap()).await;
        let page = page.unwrap_or_else(|error| panic!("changes are followed, not {error}"));
        after = page.next;
        if page.events.is_empty() {
            return (all, after);
        }
        all.extend(page.events);
    }
}

fn shown(event: &Event) -> String {
    let text = |item: &mainstay_machine::item::Item| String::from_utf8(item.bytes.to_vec()).unwrap();
    let value = event.item.as_ref().map_or_else(|| "-".to_owned(), text);
    format!("{}={}", event.key, value.trim_matches('"'))
}

fn all_shown(events: &[Event]) -> Vec<String> {
    events.iter().map(shown).collect()
}

fn delete(key: &str) -> Operation {
    Operation::Delete { item: item(key) }
}

/// Where everything begins.
fn start() -> EventId {
    EventId::default()
}

fn small_ring() -> feed::Options {
    feed::Options { records_max: 3, size_max: Size::from_mib(1) }
}

/// Commits of several changes each; returns how they are told. What a commit changes more than once is told once.
async fn write(space: &Space, from: usize, count: usize) -> Vec<String> {
    let mut expected = Vec::new();
    for number in from..from + count {
        let (text, own) = (number.to_string(), format!("a/{number}"));
        let mut operations = vec![put("a/1", &text), put(&own, &text)];
        let (is_first_gone, is_own_gone) = (number % 4 == 1, number % 3 == 0);
        operations.extend(is_first_gone.then(|| delete("a/1")));
        operations.extend(is_own_gone.then(|| delete(&own)));
        let value = |is_gone| if is_gone { "-" } else { &*text };
        expected.extend([format!("a/1={}", value(is_first_gone)), format!("{own}={}", value(is_own_gone))]);
        let _ = done(space, commit(operations)).await;
    }
    expected
}

async fn goes_on_anywhere(engine: Engine, feed: feed::Options) {
    let world = World { feed, ..World::new(engine) };
    let running = world.start().await;
    let expected = write(&running.space, 2, 9).await;
    let (events, end) = pages(&running.space, &start(), &[usize::MAX]).await;
    assert_eq!(all_shown(&events), expected);
    for limits in [&[1][..], &[2, 1, 5], &[3]] {
        let (paged, paged_end) = pages(&running.space, &start(), limits).await;
        assert_eq!((&paged, &paged_end), (&events, &end), "in pages of {limits:?}");
    }
    for (at, event) in events.iter().enumerate() {
        let (rest, _) = pages(&running.space, &event.id, &[2]).await;
        assert_eq!(rest, events[at + 1..], "after {}", event.id);
    }
    running.stop().await;
    // None of it is in memory any more.
    let running = world.start().await;
    for (at, event) in events.iter().enumerate() {
        let (rest, _) = pages(&running.space, &event.id, &[3, 1]).await;
        assert_eq!(rest, events[at + 1..], "after {} in another life", event.id);
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_after_any_event() {
    goes_on_anywhere(Engine::Memory(Memory::default()), feed::Options::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_left_behind_goes_on_from_the_log() {
    goes_on_anywhere(Engine::Memory(Memory::default()), small_ring()).await;
}

#[tokio::test]
async fn a_reader_of_files_goes_on_after_any_event() {
    goes_on_anywhere(Engine::Folder, small_ring()).await;
}

#[tokio::test]
async fn nothing_is_lost_or_told_twice_across_crashes() {
    for (feed, limits) in [(small_ring(), [1, 4]), (feed::Options::default(), [2, 1])] {
        let world = World { feed, shards: 2, ..World::new(Engine::Folder) };
        let (mut expected, mut told, mut after) = (Vec::new(), Vec::new(), start());
        for life in 0..6 {
            let running = world.start().await;
            for turn in 0..4 {
                expected.extend(write(&running.space, 100 * life + 10 * turn + 2, 3).await);
                if (life + turn) % 3 != 0 {
                    // Some of it, so that many records are told in part.
                    let page = page(&running.space, &after, limits[turn % 2]).await.unwrap();
                    told.extend(page.events);
                    after = page.next.to_string().parse().unwrap();
                }
            }
            if life % 2 == 0 { running.crash().await } else { running.stop().await }
        }
        let running = world.start().await;
        let (rest, _) = pages(&running.space, &after, &limits).await;
        told.extend(rest);
        assert_eq!(all_shown(&told), expected);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_it_is_in_the_store_and_not_before() {
    let gate = Gated::new();
    let world = World::new(Engine::Shared(gate.clone()));
    let running = world.start().await;
    let _ = write(&running.space, 2, 1).await;
    let now = running.space.changes(Follow { after: None, ..follow(&start()) }, None).await.unwrap();
    assert_eq!(now.events, [], "it begins now");
    let waiting = Follow { wait: Duration::from_secs(60), ..follow(&now.next) };
    let mut waits = running.space.changes(waiting, None);
    assert!(begin(&mut waits).is_pending());
    gate.close();
    let mut written = sent(&running.space, commit(vec![put("a/9", "9")]), None);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(begin(&mut waits).is_pending() && begin(&mut written).is_pending(), "it may still be lost");
    gate.open();
    assert_eq!(all_shown(&waits.await.unwrap().events), ["a/9=9"]);
    written.await.unwrap();
    let begun = world.clock.now();
    let ended = Follow { wait: Duration::from_secs(7), ..follow(&now.next) };
    let none = running.space.changes(Follow { prefix: "b".into(), ..ended }, None).await.unwrap();
    assert_eq!(none.events, []);
    assert!(
        covers(none.next.position(), now.next.position()) && none.next != now.next,
        "it goes on nonetheless"
    );
    let waited = world.clock.now().saturating_since(begun).as_std().as_secs_f64();
    assert!((7.0..8.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_where_nobody_serves_is_told() {
    let world = World::memory();
    let running = world.start().await;
    let waiting = Follow { after: None, wait: Duration::from_secs(60), ..follow(&start()) };
    let mut waits = running.space.changes(waiting, None);
    assert!(begin(&mut waits).is_pending());
    running.space.close();
    let begun = world.clock.now();
    assert!(matches!(waits.await, Err(Error::Unavailable { .. })));
    assert!(world.clock.now().saturating_since(begun) < Duration::from_secs(5), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_reader_behind_the_ring_is_caught_up_and_nobody_waits_for_it() {
    let world = World { feed: small_ring(), ..World::memory() };
    let running = world.start().await;
    let (_, slow) = pages(&running.space, &start(), &[9]).await;
    let expected = write(&running.space, 2, 200).await;
    let (_, fast) = pages(&running.space, &start(), &[usize::MAX]).await;
    let before = counts(&running.space).feed_catch_ups;
    let (events, end) = pages(&running.space, &slow, &[50]).await;
    assert_eq!((all_shown(&events), &end), (expected, &fast));
    let caught_up = counts(&running.space).feed_catch_ups - before;
    assert!((5..20).contains(&caught_up), "pages from the log: {caught_up}");
    let _ = write(&running.space, 300, 1).await;
    let before = counts(&running.space).feed_catch_ups;
    let _ = pages(&running.space, &end, &[1]).await;
    assert_eq!(counts(&running.space).feed_catch_ups, before, "who keeps up does not read the log");
}

#[tokio::test(start_paused = true)]
async fn what_a_deposed_owner_wrote_is_told_nowhere() {
    let memory = Memory::default();
    let first_world = World { feed: small_ring(), ..World::new(Engine::Memory(memory.clone())) };
    let second_world = World { feed: small_ring(), ..first_world.rival() };
    let first = first_world.start().await;
    let mut expected = write(&first.space, 2, 1).await;
    let stale_epoch = epoch(&first.space);
    let second = second_world.start().await;
    expected.extend(write(&second.space, 5, 1).await);
    // A late append of the first, which this engine takes.
    let row =
        RowKey::item(slot(&Tenant::DEFAULT, &partition("a/1")), &Tenant::DEFAULT, &THINGS, &parse("a/stale"));
    let mutations = vec![Mutation::Put { key: row.into_bytes(), value: Bytes::from_static(b"stale") }];
    let entry = Entry { tenant: Tenant::DEFAULT, trace: None, mutations, before: vec![] };
    let batch = Batch { time: HybridTime::from_bits(1), entries: vec![entry] };
    let at = memory.tail(SHARD).await.unwrap().next;
    let stale =
        Draft::data(RecordId::new([9; 16]), batch.encode()).seal(SHARD, at, stale_epoch, Checksum::new(7));
    let _ = memory.append(stale).await.unwrap();
    expected.extend(write(&second.space, 8, 20).await);
    let (events, _) = pages(&second.space, &start(), &[3]).await;
    assert_eq!(all_shown(&events), expected, "by who has skipped it, from its log");
    let deposed = get(&first.space, "a/1", Consistency::Linearizable, None).await;
    assert!(matches!(deposed, Err(Error::Unavailable { .. })), "{deposed:?}");
    until(|| matches!(state(&first.space), State::Serving { epoch } if epoch > stale_epoch)).await;
    let (events, _) = pages(&first.space, &start(), &[2]).await;
    assert_eq!(all_shown(&events), expected, "by who has written it");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_owner_tells_nothing_that_it_has_not_applied() {
    let first_world = World { feed: small_ring(), ..World::memory() };
    let second_world = first_world.rival();
    let first = first_world.start().await;
    let mut expected = write(&first.space, 2, 9).await;
    let second = second_world.start().await;
    let later = write(&second.space, 20, 9).await;
    assert!(matches!(state(&first.space), State::Serving { .. }), "it does not know");
    let (events, end) = pages(&first.space, &start(), &[usize::MAX]).await;
    assert_eq!(all_shown(&events), expected, "what its readings show, though its log has more");
    expected.extend(later);
    let (all, _) = pages(&second.space, &start(), &[3]).await;
    assert_eq!(all_shown(&all), expected);
    let (rest, _) = pages(&second.space, &end, &[3]).await;
    assert_eq!(rest, all[events.len()..], "elsewhere it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_busy_shard_keeps_nobody_from_the_others() {
    let world = World { shards: 2, ..World::memory() };
    let running = world.start().await;
    let keys: Vec<_> = (0..64).map(|number| format!("p{number}/a")).collect();
    let mut by_shard: [Option<&str>; 2] = [None; 2];
    for key in &keys {
        let answer = done(&running.space, commit(vec![put(key, "0")])).await;
        let (shard, _) = answer.position.places().next().unwrap();
        by_shard[shard.get() as usize - 1] = Some(key);
    }
    let keys = by_shard.map(|key| key.expect("64 partitions are on both"));
    for (busy, quiet) in [(keys[0], keys[1]), (keys[1], keys[0])] {
        let (_, mut after) = pages(&running.space, &start(), &[usize::MAX]).await;
        let _ = done(&running.space, commit(vec![put(quiet, "1")])).await;
        let mut told = Vec::new();
        for number in 0..4 {
            let _ = done(&running.space, commit(vec![put(busy, &number.to_string())])).await;
            let _ = done(&running.space, commit(vec![put(busy, "again")])).await;
            let page = page(&running.space, &after, 1).await.unwrap();
            told.extend(all_shown(&page.events));
            after = page.next;
        }
        assert!(told.contains(&format!("{quiet}=1")), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_is_gone_and_a_snapshot_is_where_the_rest_begins() {
    let feed = feed::Options { records_max: 1, ..small_ring() };
    let world = World { feed, ..World::memory() };
    let running = world.start().await;
    let keeping = two(&world, &running);
    let (_, early) = pages(&running.space, &start(), &[9]).await;
    for text in ["one", "two", "three"] {
        snapshot_with(&running, text).await;
        settled().await;
    }
    keeping.end().await;
    let (begins, names) = (begins(&running).await, snapshots(&world).await);
    assert!(begins > Index::FIRST);
    let gone = page(&running.space, &early, 9).await;
    assert!(matches!(&gone, Err(Error::Trimmed { reason }) if reason.contains("begins at")), "{gone:?}");
    assert!(matches!(page(&running.space, &start(), 9).await, Err(Error::Trimmed { .. })));
    let oldest = names.last().unwrap();
    let first = Position::of(SHARD, Place { timeline: 1, index: Index::new(begins.get() - 1) });
    assert_eq!(oldest.index.next(), begins);
    let (events, _) = pages(&running.space, &first.clone().into(), &[1]).await;
    assert!(all_shown(&events).iter().any(|event| event == "a/three=three"), "{events:?}");
    running.stop().await;
    // What the process before knew of the log is forgotten, and the oldest snapshot knows.
    let running = world.start().await;
    let (again, _) = pages(&running.space, &first.into(), &[2]).await;
    assert_eq!(again, events);
    assert!(matches!(page(&running.space, &early, 9).await, Err(Error::Trimmed { .. })));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_lost_is_gone() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    let far = Position::of(SHARD, Place { timeline: 1, index: Index::new(1 << 40) });
    let gone = page(&running.space, &far.into(), 9).await;
    assert!(matches!(gone, Err(Error::Trimmed { .. })), "{gone:?}");
    let earlier = Position::of(SHARD, Place { timeline: 0, index: Index::new(1) });
    let gone = page(&running.space, &earlier.into(), 9).await;
    assert!(matches!(&gone, Err(Error::Trimmed { reason }) if reason.contains("restore")), "{gone:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn old_values_are_told_where_they_are_kept() {
    let mut world = World { feed: small_ring(), ..World::memory() };
    for (collection, _) in world.declared.collections.values_mut() {
        collection.changes = Feed { old_values: true };
    }
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/1", "1"), put("a/1", "2")])).await;
    let _ = done(&running.space, commit(vec![put("a/2", "2"), put("a/1", "3"), delete("a/3")])).await;
    let _ = done(&running.space, commit(vec![delete("a/1"), put("a/2", "3")])).await;
    let expected = ["a/1=2 was none", "a/2=2 was none", "a/1=3 was 2", "a/1=- was 3", "a/2=3 was 2"];
    let before = |event: &Event| {
        let text = |item: &mainstay_machine::item::Item| String::from_utf8(item.bytes.to_vec()).unwrap();
        event.before.as_ref().map_or("none".to_owned(), text).trim_matches('"').to_owned()
    };
    let told = |events: Vec<Event>| -> Vec<_> {
        events.iter().map(|event| format!("{} was {}", shown(event), before(event))).collect()
    };
    assert_eq!(told(pages(&running.space, &start(), &[9]).await.0), expected);
    running.stop().await;
    let running = world.start().await;
    assert_eq!(told(pages(&running.space, &start(), &[1]).await.0), expected, "also in another life");
}

//! Items that end: absent from the moment on, and removed with all that finds them.

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::position::ShardId;
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::batch::Batch;
use mainstay_machine::command::Operation;
use mainstay_machine::feed::{Changes, EventsBuilder, Follow};
use mainstay_machine::index::Index;
use mainstay_machine::position::{EventId, Place};
use mainstay_machine::row::{End, RowRange};
use mainstay_machine::state::State;
use mainstay_machine::task::Reap;
use mainstay_machine::{Collection, Definitions, Outcome, Task};
use proptest::prelude::*;

use crate::world::*;

const DOCS: Name = Name::from_static("docs");

/// With a collection `docs` that has an index, and this `ttl`.
fn world(ttl: Option<Duration>) -> World {
    let index = Index::new(vec!["/state".parse().unwrap()], true).unwrap();
    let collection =
        Collection { ttl, indexes: [(Name::from_static("state"), index)].into(), ..Collection::default() };
    World { definitions: Definitions::sample([(Tenant::DEFAULT, DOCS, collection)]), ..World::new() }
}

pub(crate) fn put_for(name: &str, value: &str, secs: u64) -> Operation {
    Operation::Put { item: named(name), value: json(value).into(), ttl: Some(Duration::from_secs(secs)) }
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl World {
    pub(crate) fn ends(&self, now: Timestamp) -> Vec<End> {
        let rows = self.state.scan(&RowRange::ends(now), 1000).unwrap();
        rows.iter().map(|(row, _)| End::of(row).unwrap()).collect()
    }

    pub(crate) fn reap(&mut self) -> usize {
        let ends = self.ends(self.now.wall());
        let count = ends.len();
        let outcome = self.run_input(&Task::from(Reap { ends }).into()).outcome;
        assert!(matches!(outcome, Outcome::Committed(_)));
        count
    }

    fn end(&self, name: &str) -> Option<Timestamp> {
        self.item(name).and_then(|item| item.expires)
    }
}

#[test]
fn an_item_is_absent_from_its_end_on_for_everything_that_looks_at_it() {
    let mut world = world(None);
    world.done(vec![put_for("docs/u7", "{\"state\":1,\"n\":5}", 60)]);
    world.pass(secs(59));
    assert!(world.done(vec![increment("docs/u7", "/n", 1)])[0].existed);
    let refusal = world.refused(vec![absent("docs/u7")], vec![]);
    assert_eq!(refusal.code(), Code::ConditionFailed);
    world.pass(secs(1));
    assert_eq!(world.refused(vec![present("docs/u7")], vec![]).code(), Code::ConditionFailed);
    assert!(matches!(
        world.commit(vec![absent("docs/u7"), check("docs/u7", "!exists")], vec![]),
        Outcome::Committed(_)
    ));
    assert!(!world.done(vec![delete("docs/u7")])[0].existed, "it is left to be reaped");
    let before = world.item("docs/u7").unwrap();
    let done = world.done(vec![merge_patch("docs/u7", "{\"a\":1}")]);
    assert!(!done[0].existed);
    assert_eq!(world.text("docs/u7").as_deref(), Some("{\"a\":1}"), "it begins anew");
    let after = world.item("docs/u7").unwrap();
    assert!(after.version > before.version && after.created > before.created && after.expires.is_none());
    assert_eq!(world.ends(Timestamp::MAX), [], "and has no end");
}

#[test]
fn an_end_is_what_the_last_write_says() {
    let mut plain = world(None);
    plain.done(vec![put_for("docs/u7", "{}", 60)]);
    let end = plain.end("docs/u7").unwrap();
    plain.pass(secs(10));
    plain.done(vec![merge_patch("docs/u7", "{\"a\":1}")]);
    assert_eq!(plain.end("docs/u7"), Some(end), "a part does not move it");
    plain.done(vec![put("docs/u7", "{}")]);
    assert_eq!(plain.end("docs/u7"), None);

    let mut ending = world(Some(secs(100)));
    ending.done(vec![put("docs/u7", "{}")]);
    let first = ending.end("docs/u7").unwrap();
    ending.pass(secs(10));
    ending.done(vec![merge_patch("docs/u7", "{\"a\":1}")]);
    assert!(ending.end("docs/u7").unwrap() >= first.checked_add(secs(10)).unwrap(), "each write moves it");
    ending.done(vec![put_for("docs/u7", "{}", 5)]);
    assert!(ending.end("docs/u7").unwrap() < first);
    assert_eq!(ending.ends(Timestamp::MAX).len(), 1);
    let refusal = ending.refused(vec![], vec![put_for("docs/u7", "{}", 0)]);
    assert!(refusal.detail().contains("cannot be there for 0s"), "{refusal}");
}

#[test]
fn what_is_reaped_leaves_nothing_and_what_was_moved_stays() {
    let mut world = world(None);
    for number in 0..10 {
        let value = format!("{{\"state\":{number}}}");
        world.done(vec![put_for(&format!("docs/u7/{number}"), &value, 10 + number)]);
    }
    world.pass(secs(14));
    let stale = world.ends(world.now.wall());
    world.done(vec![put_for("docs/u7/0", "{\"state\":0}", 1000)]);
    assert!(matches!(
        world.run_input(&Task::from(Reap { ends: stale }).into()).outcome,
        Outcome::Committed(_)
    ));
    let left: Vec<_> = (0..10).filter(|number| world.item(&format!("docs/u7/{number}")).is_some()).collect();
    assert_eq!(left, [0, 5, 6, 7, 8, 9]);
    let early = world.ends(Timestamp::MAX);
    world.run_input(&Task::from(Reap { ends: early.clone() }).into());
    assert_eq!(world.ends(Timestamp::MAX), early, "what is not over stays, whoever says so");
    world.pass(secs(5000));
    assert_eq!(world.reap(), 6);
    let rows: Vec<_> = world.state.rows().map(|(row, _)| row.clone()).collect();
    assert_eq!(rows.len(), 1, "the slot's own row is left: {rows:?}");
    world.done(vec![put("docs/u7/1", "{\"state\":1}")]);
}

#[test]
fn the_feed_tells_what_has_ended_from_what_was_deleted() {
    let mut world = world(None);
    world.done(vec![put_for("docs/u7/a", "{\"state\":1}", 1), put("docs/u7/b", "{\"state\":2}")]);
    world.pass(secs(2));
    let reap = Task::from(Reap { ends: world.ends(world.now.wall()) }).into();
    let removed = [world.run_input(&reap), world.run(&command("u7", vec![], vec![delete("docs/u7/b")]))];
    let versions = removed.map(|evaluated| {
        let mut batch = Batch::new(world.now);
        batch.push(&reap, evaluated.effects, evaluated.before);
        let place = Place { timeline: 1, index: mainstay_base::position::Index::new(7) };
        let changes = Changes::of(place, &batch);
        let follow = Follow {
            tenant: Tenant::DEFAULT,
            collection: DOCS,
            partition: None,
            prefix: String::new(),
            filter: None,
            after: None,
            limit: 9,
            bytes_max: usize::MAX,
            wait: Duration::ZERO,
        };
        let mut events = EventsBuilder::new(&follow, &EventId::default(), 1000);
        let _ = events.read(ShardId::new(1), &changes).unwrap();
        let page = events.finish();
        page.events.into_iter().map(|event| event.version.is_some()).collect::<Vec<_>>()
    });
    assert_eq!(versions, [vec![false], vec![true]]);
}

proptest! {
    /// Whatever is written, passes and is reaped: what is there is what a model says, and every end has its row.
    #[test]
    fn items_are_there_exactly_as_long_as_was_said(
        steps in proptest::collection::vec((0u8..4, 0u8..6, 1u64..20), 1..60),
        ttl in proptest::option::of(1u64..20),
    ) {
        let mut world = world(ttl.map(secs));
        let mut model: std::collections::BTreeMap<u8, Option<Timestamp>> = Default::default();
        for (what, key, time) in steps {
            let name = format!("docs/u7/{key}");
            let value = format!("{{\"state\":{key}}}");
            match what {
                0 => {
                    world.done(vec![put_for(&name, &value, time)]);
                    model.insert(key, world.now.wall().checked_add(secs(time)));
                }
                1 => {
                    world.done(vec![put(&name, &value)]);
                    model.insert(key, ttl.and_then(|ttl| world.now.wall().checked_add(secs(ttl))));
                }
                2 => world.pass(secs(time)),
                _ => drop(world.reap()),
            }
            // Evaluation is one step of time later.
            let now = world.now.next().wall();
            for (key, end) in &model {
                let is_there = end.is_none_or(|end| end > now);
                let condition = if is_there { present } else { absent };
                let outcome = world.commit(vec![condition(&format!("docs/u7/{key}"))], vec![]);
                prop_assert!(matches!(outcome, Outcome::Committed(_)), "{key} {end:?} at {now}");
            }
            let ends = world.ends(Timestamp::MAX).len();
            let stored = (0..6).filter(|key| world.end(&format!("docs/u7/{key}")).is_some()).count();
            prop_assert_eq!(ends, stored);
        }
    }
}

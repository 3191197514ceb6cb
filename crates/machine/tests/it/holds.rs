//! Holds: an item that has one stays as it is, past its end too, until the last is released.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::position::ShardId;
use mainstay_base::time::Timestamp;
use mainstay_base::units::{Duration, Size};
use mainstay_machine::batch::Batch;
use mainstay_machine::command::Operation;
use mainstay_machine::feed::{Changes, EventsBuilder, Follow};
use mainstay_machine::index::Index;
use mainstay_machine::item::Item;
use mainstay_machine::position::{EventId, Place};
use mainstay_machine::task::Reap;
use mainstay_machine::{Collection, Definitions, Outcome, Task};
use proptest::prelude::*;

use crate::expiry::put_for;
use crate::world::*;

const ITEM: &str = "orders/u7/a";

fn hold(name: &str, hold: &str) -> Operation {
    Operation::Hold { item: named(name), name: hold.parse().unwrap() }
}

fn release(name: &str, hold: &str) -> Operation {
    Operation::Release { item: named(name), name: hold.parse().unwrap() }
}

impl World {
    fn holds(&self, name: &str) -> Vec<String> {
        self.item(name).unwrap().holds.iter().map(Name::to_string).collect()
    }

    #[track_caller]
    fn is_there(&mut self, name: &str) -> bool {
        let is_there = matches!(self.commit(vec![present(name)], vec![]), Outcome::Committed(_));
        let is_absent = matches!(self.commit(vec![absent(name)], vec![]), Outcome::Committed(_));
        assert_ne!(is_there, is_absent);
        is_there
    }
}

#[test]
fn what_is_held_stays_as_it_is_until_the_last_hold_is_released() {
    let mut world = World::new();
    world.done(vec![put(ITEM, "{\"n\":1}")]);
    let before = world.item(ITEM).unwrap();
    world.done(vec![hold(ITEM, "case-7"), hold(ITEM, "audit")]);
    for change in [put(ITEM, "{\"n\":1}"), merge_patch(ITEM, "{}"), increment(ITEM, "/n", 1), delete(ITEM)] {
        let refusal = world.refused(vec![], vec![change]);
        assert_eq!(refusal.code(), Code::Conflict);
        let said = "would change an item that is held by audit, case-7: release every hold first";
        assert!(refusal.detail().ends_with(said), "{refusal}");
        assert_eq!(refusal.facts()["holds"], serde_json::json!(["audit", "case-7"]));
    }
    assert_eq!(world.holds(ITEM), ["audit", "case-7"]);
    let released = Item { is_rewritten: true, ..before };
    assert_eq!(
        Item { holds: BTreeSet::new(), ..world.item(ITEM).unwrap() },
        released,
        "version and times too"
    );
    world.done(vec![release(ITEM, "audit")]);
    assert_eq!(world.refused(vec![], vec![delete(ITEM)]).code(), Code::Conflict, "one is left");
    world.done(vec![release(ITEM, "case-7")]);
    assert_eq!(world.item(ITEM), Some(released));
    assert!(world.done(vec![delete(ITEM)])[0].existed);
}

#[test]
fn to_set_a_hold_again_or_to_release_none_changes_nothing() {
    let mut world = World::new();
    world.done(vec![put(ITEM, "1"), hold(ITEM, "case-7")]);
    let before = world.state.clone();
    for operation in [hold(ITEM, "case-7"), release(ITEM, "audit"), release("orders/u7/none", "case-7")] {
        let existed = operation.item().key.as_str() == "u7/a";
        let results = world.done(vec![operation]);
        assert_eq!((results[0].version, results[0].existed), (None, existed));
        assert_eq!(world.state, before);
    }
    let refusal = world.refused(vec![], vec![hold("orders/u7/none", "case-7")]);
    assert_eq!(refusal.code(), Code::NotFound);
    assert!(refusal.detail().contains("since there is no such item: put it first"), "{refusal}");
}

#[test]
fn an_item_has_at_most_sixteen_holds() {
    let mut world = World::new();
    world.done(vec![put(ITEM, "1")]);
    world.done((0..Item::HOLDS_MAX).map(|number| hold(ITEM, &format!("h{number}"))).collect());
    let refusal = world.refused(vec![], vec![hold(ITEM, "one-more")]);
    assert_eq!((refusal.code(), &refusal.facts()["max"]), (Code::Conflict, &16.into()));
    world.done(vec![hold(ITEM, "h3"), release(ITEM, "h3"), hold(ITEM, "one-more")]);
    assert_eq!(world.holds(ITEM).len(), 16);
}

#[test]
fn the_end_of_what_is_held_is_suspended() {
    let mut world = World::new();
    world.done(vec![put_for(ITEM, "1", 60), hold(ITEM, "case-7")]);
    world.pass(Duration::from_secs(61));
    assert!(world.is_there(ITEM));
    assert_eq!(world.ends(Timestamp::MAX), [], "nobody looks at it in vain");
    world.done(vec![release(ITEM, "case-7")]);
    assert!(!world.is_there(ITEM), "it is absent at once");
    assert_eq!(world.refused(vec![], vec![hold(ITEM, "late")]).code(), Code::NotFound);
    world.reap();
    assert!(world.item(ITEM).is_none() && world.ends(Timestamp::MAX).is_empty());

    world.done(vec![put_for(ITEM, "1", 60), hold(ITEM, "case-7"), release(ITEM, "case-7")]);
    assert!(world.is_there(ITEM));
    assert_eq!(world.ends(Timestamp::MAX).len(), 1);
    world.pass(Duration::from_secs(61));
    assert!(!world.is_there(ITEM), "its end is the one that it had");
}

#[test]
fn what_is_held_before_it_is_reaped_is_not_removed() {
    let mut world = World::new();
    world.done(vec![put_for(ITEM, "1", 60)]);
    let ends = world.ends(Timestamp::MAX);
    world.done(vec![hold(ITEM, "case-7")]);
    world.pass(Duration::from_secs(61));
    let outcome = world.run_input(&Task::from(Reap { ends }).into()).outcome;
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert!(world.is_there(ITEM));
    assert_eq!(world.ends(Timestamp::MAX), []);
}

#[test]
fn holds_are_set_and_released_with_the_rest_of_a_commit_or_not() {
    let mut world = World::new();
    world.done(vec![put(ITEM, "1"), hold(ITEM, "case-7")]);
    world.refused(
        vec![],
        vec![
            release(ITEM, "case-7"),
            delete(ITEM),
            increment("orders/u7/b", "", i64::MAX),
            increment("orders/u7/b", "", 1),
        ],
    );
    assert_eq!(world.holds(ITEM), ["case-7"]);
    world.refused(vec![], vec![hold(ITEM, "audit"), put(ITEM, "2")]);
    assert_eq!(world.holds(ITEM), ["case-7"]);
    let moved =
        vec![put("orders/u7/b", "1"), hold("orders/u7/b", "case-7"), release(ITEM, "case-7"), delete(ITEM)];
    world.done(moved);
    assert!(world.item(ITEM).is_none());
    assert_eq!(world.holds("orders/u7/b"), ["case-7"]);
}

#[test]
fn a_hold_asks_nothing_of_the_value_but_its_bytes_count() {
    let mut world = World::new();
    let value = format!("{{\"state\":\"{}\"}}", "x".repeat(2000));
    world.done(vec![put(ITEM, &value)]);
    let index = Index::new(vec!["/state".parse().unwrap()], false).unwrap();
    let collection =
        Collection { indexes: [(Name::from_static("state"), index)].into(), ..Collection::default() };
    world.definitions = Definitions::sample([(Tenant::DEFAULT, Name::from_static("orders"), collection)]);
    assert_eq!(world.refused(vec![], vec![put(ITEM, &value)]).code(), Code::Invalid, "it does not fit");
    world.done(vec![hold(ITEM, "case-7")]);
    world.settings.limits.commit_size_max = Size::from_bytes(2000);
    assert_eq!(world.refused(vec![], vec![release(ITEM, "case-7")]).code(), Code::TooLarge);
}

#[test]
fn the_feed_tells_changes_of_items_and_not_of_holds() {
    let mut world = World::new();
    world.done(vec![put(ITEM, "1")]);
    let steps = [
        vec![hold(ITEM, "case-7")],
        vec![release(ITEM, "case-7")],
        vec![put(ITEM, "2"), hold(ITEM, "case-7")],
        vec![release(ITEM, "case-7"), delete(ITEM)],
    ];
    let told = steps.map(|operations| {
        let command = command("u7", vec![], operations);
        let evaluated = world.run(&command);
        let mut batch = Batch::new(world.now);
        batch.push(&command.into(), evaluated.effects, evaluated.before);
        let place = Place { timeline: 1, index: mainstay_base::position::Index::new(7) };
        let follow = Follow {
            tenant: Tenant::DEFAULT,
            collection: Name::from_static("orders"),
            partition: None,
            prefix: String::new(),
            filter: None,
            after: None,
            limit: 9,
            bytes_max: usize::MAX,
            wait: Duration::ZERO,
        };
        let mut events = EventsBuilder::new(&follow, &EventId::default(), 1000);
        let _ = events.read(ShardId::new(1), &Changes::of(place, &batch)).unwrap();
        let events = events.finish().events;
        events.into_iter().map(|event| event.item.map(|item| item.bytes.to_vec())).collect::<Vec<_>>()
    });
    assert_eq!(told, [vec![], vec![], vec![Some(b"2".to_vec())], vec![None]]);
}

/// What a map says of an item.
#[derive(Debug, Clone, PartialEq)]
struct Modelled {
    value: u8,
    end: Option<Timestamp>,
    holds: BTreeSet<u8>,
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Act)>),
    Pass(u64),
    Reap,
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, Option<u64>),
    Delete,
    Hold(u8),
    Release(u8),
}

type Model = BTreeMap<u8, Modelled>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        3 => (0u8..9, proptest::option::of(1u64..20)).prop_map(|(value, ttl)| Act::Put(value, ttl)),
        1 => Just(Act::Delete),
        3 => (0u8..3).prop_map(Act::Hold),
        3 => (0u8..3).prop_map(Act::Release),
    ];
    let step = prop_oneof![
        6 => proptest::collection::vec((0u8..3, act), 1..4).prop_map(Step::Commit),
        2 => (1u64..15).prop_map(Step::Pass),
        1 => Just(Step::Reap),
    ];
    proptest::collection::vec(step, 1..50)
}

fn key(key: u8) -> String {
    format!("orders/u7/{key}")
}

/// What the operations of a commit make of the items that are there; none if it is refused.
fn commit(mut model: Model, now: Timestamp, acts: &[(u8, Act)]) -> Option<Model> {
    for (key, act) in acts {
        model.retain(|_, item| !item.holds.is_empty() || item.end.is_none_or(|end| end > now));
        let item = model.get_mut(key);
        match (act, item) {
            (Act::Hold(_), None) => return None,
            (Act::Hold(name), Some(item)) => drop(item.holds.insert(*name)),
            (Act::Release(name), Some(item)) => drop(item.holds.remove(name)),
            (Act::Put(..) | Act::Delete, Some(item)) if !item.holds.is_empty() => return None,
            (Act::Put(value, ttl), _) => {
                let end = ttl.map(|ttl| now.checked_add(Duration::from_secs(ttl)).unwrap());
                model.insert(*key, Modelled { value: *value, end, holds: BTreeSet::new() });
            }
            (Act::Delete, _) => drop(model.remove(key)),
            (Act::Release(_), None) => {}
        }
    }
    Some(model)
}

fn operation((place, act): &(u8, Act)) -> Operation {
    let name = key(*place);
    match act {
        Act::Put(value, Some(ttl)) => put_for(&name, &value.to_string(), *ttl),
        Act::Put(value, None) => put(&name, &value.to_string()),
        Act::Delete => delete(&name),
        Act::Hold(hold) => self::hold(&name, &format!("h{hold}")),
        Act::Release(hold) => release(&name, &format!("h{hold}")),
    }
}

proptest! {
    /// Whatever is committed, passes and is reaped: what is there, with which holds, is what a map says, and what ends has its row.
    #[test]
    fn a_map_agrees(steps in steps()) {
        let mut world = World::new();
        let mut model = Model::new();
        for step in steps {
            // Evaluation is one step of time later.
            let now = world.now.next().wall();
            match step {
                Step::Commit(acts) => {
                    let outcome = world.commit(vec![], acts.iter().map(operation).collect());
                    let next = commit(model.clone(), now, &acts);
                    prop_assert_eq!(matches!(outcome, Outcome::Committed(_)), next.is_some(), "{:?}: {:?}", acts, outcome);
                    model = next.unwrap_or(model);
                }
                Step::Pass(secs) => world.pass(Duration::from_secs(secs)),
                Step::Reap => drop(world.reap()),
            }
            let now = world.now.wall();
            model.retain(|_, item| !item.holds.is_empty() || item.end.is_none_or(|end| end > now));
            let mut found = Model::new();
            let mut ending = 0;
            for number in 0..3 {
                let Some(item) = world.item(&key(number)) else { continue };
                ending += usize::from(item.expires.is_some() && item.holds.is_empty());
                if item.is_over(now) {
                    continue;
                }
                let holds = item.holds.iter().map(|name| name.as_str()[1..].parse().unwrap()).collect();
                let value = str::from_utf8(&item.bytes).unwrap().parse().unwrap();
                found.insert(number, Modelled { value, end: item.expires, holds });
            }
            prop_assert_eq!(&found, &model);
            prop_assert_eq!(world.ends(Timestamp::MAX).len(), ending);
        }
    }
}

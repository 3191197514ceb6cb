//! Random commits over collections that refer to each other and to themselves, against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_base::id::{Name, Tenant};
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use mainstay_machine::command::Operation;
use mainstay_machine::index::State as IndexState;
use mainstay_machine::item::Item;
use mainstay_machine::reference::OnDelete::{self, Cascade, Restrict, SetNull};
use mainstay_machine::row::{Parts, RowRange};
use mainstay_machine::state::State;
use mainstay_machine::{Collection, Outcome};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{named, referring};
use crate::space::Space;
use crate::world::*;

/// A member of documents of a collection, and the collection whose items it refers to.
type Member = (&'static str, &'static str, &'static str);

/// To itself, in a circle, and from outside.
const MEMBERS: [Member; 6] =
    [("a", "up", "a"), ("a", "x", "b"), ("b", "y", "a"), ("b", "z", "c"), ("c", "p", "a"), ("c", "q", "b")];

const COLLECTIONS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone, PartialEq)]
struct Doc {
    members: BTreeMap<&'static str, Option<String>>,
    end: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Op {
    /// The item has these members, and for how many seconds.
    Put(usize, Vec<(usize, Option<usize>)>, Option<u64>),
    /// A member changes.
    Patch(usize, usize, Option<usize>),
    Delete(usize),
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Op>),
    Pass(u64),
    /// Removes what has ended, as many items at once.
    Reap(u32),
}

/// One of nine items of three collections.
fn name(number: usize) -> String {
    format!("{}/u7/{}", COLLECTIONS[number % 3], number / 3 % 3)
}

fn members_of(item: &str) -> Vec<Member> {
    MEMBERS.into_iter().filter(|(of, _, _)| item.starts_with(of)).collect()
}

fn op() -> impl Strategy<Value = Op> {
    let target = || prop::option::weighted(0.8, 0usize..3);
    let set = prop::collection::vec((0usize..2, target()), 0..3);
    prop_oneof![
        4 => (0usize..9, set, prop::option::weighted(0.2, 1u64..5)).prop_map(|(item, set, ttl)| Op::Put(item, set, ttl)),
        3 => (0usize..9, 0usize..2, target()).prop_map(|(item, member, to)| Op::Patch(item, member, to)),
        3 => (0usize..9).prop_map(Op::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(op(), 1..5).prop_map(Step::Commit),
        1 => (1u64..4).prop_map(Step::Pass),
        1 => (1u32..4).prop_map(Step::Reap),
    ]
}

fn rules() -> impl Strategy<Value = Vec<OnDelete>> {
    prop::collection::vec(
        prop::sample::select(&[Restrict, Cascade, Cascade, SetNull, SetNull][..]),
        MEMBERS.len(),
    )
}

struct Model {
    rules: Vec<OnDelete>,
    items: BTreeMap<String, Doc>,
}

impl Model {
    fn rule(&self, member: Member) -> OnDelete {
        self.rules[MEMBERS.iter().position(|it| *it == member).unwrap()]
    }

    fn live(&self, item: &str, now: Timestamp) -> Option<&Doc> {
        self.items.get(item).filter(|doc| doc.end.is_none_or(|end| end > now))
    }

    /// Whether items of a collection must not end.
    fn is_lasting(&self, collection: &str, seen: &mut BTreeSet<String>) -> bool {
        seen.insert(collection.to_owned())
            && MEMBERS.iter().filter(|(_, _, to)| *to == collection).any(|member| match self.rule(*member) {
                Restrict => true,
                Cascade => self.is_lasting(member.0, seen),
                SetNull => false,
            })
    }

    /// What refers to an item by which member, if it is there.
    fn referrers(&self, item: &str, now: Timestamp) -> Vec<(String, Member)> {
        let all =
            self.items.keys().flat_map(|from| members_of(from).into_iter().map(|it| (from.clone(), it)));
        let refers = |(from, member): &(String, Member)| {
            let to = self.live(from, now).and_then(|doc| doc.members.get(member.1).cloned().flatten());
            to.is_some_and(|key| format!("{}/{key}", member.2) == item)
        };
        all.filter(refers).collect()
    }

    /// Items that go with these, where members that refer to them become null.
    fn follow(
        &mut self,
        mut gone: Vec<String>,
        now: Timestamp,
        written: &BTreeSet<String>,
    ) -> Result<Vec<String>, ()> {
        let mut at = 0;
        while at < gone.len() {
            for (from, member) in self.referrers(&gone[at], now) {
                let rule = self.rule(member);
                if rule != Restrict && written.contains(&from) {
                    return Err(());
                }
                match rule {
                    Restrict => {}
                    Cascade => {
                        if self.items.remove(&from).is_some() {
                            gone.push(from);
                        }
                    }
                    SetNull => {
                        if let Some(doc) = self.items.get_mut(&from) {
                            doc.members.insert(member.1, None);
                        }
                    }
                }
            }
            at += 1;
        }
        Ok(gone)
    }

    fn commit(&mut self, ops: &[Op], now: Timestamp) -> Result<(), ()> {
        let (mut gone, mut written) = (Vec::<String>::new(), BTreeSet::new());
        // What refers anew, and has to be there at the end.
        let mut claims = BTreeMap::<(String, &str), String>::new();
        for op in ops {
            let (Op::Put(item, ..) | Op::Patch(item, ..) | Op::Delete(item)) = op;
            let item = name(*item);
            let before = self.live(&item, now).cloned();
            let after = match op {
                Op::Delete(_) => {
                    if before.is_some() {
                        self.items.remove(&item);
                        gone.push(item.clone());
                        written.remove(&item);
                        claims.retain(|(of, _), _| *of != item);
                    }
                    continue;
                }
                Op::Put(_, set, ttl) => {
                    let collection = item.split('/').next().unwrap();
                    if ttl.is_some() && self.is_lasting(collection, &mut BTreeSet::new()) {
                        return Err(());
                    }
                    let members = set.iter().map(|(member, to)| (members_of(&item)[*member].1, key(*to)));
                    let end = ttl.map(|ttl| now.checked_add(Duration::from_secs(ttl)).unwrap());
                    Doc { members: members.collect(), end }
                }
                Op::Patch(_, member, to) => {
                    let mut doc = before.clone().unwrap_or(Doc { members: BTreeMap::new(), end: None });
                    doc.members.insert(members_of(&item)[*member].1, key(*to));
                    // In a merge patch null removes the member, which refers to nothing either.
                    doc
                }
            };
            for (_, member, _) in members_of(&item) {
                let of = |doc: &Doc| doc.members.get(member).cloned().flatten();
                let (had, has) = (before.as_ref().and_then(of), of(&after));
                match has {
                    Some(has) if had.as_ref() != Some(&has) => {
                        claims.insert((item.clone(), member), has);
                    }
                    Some(_) => {}
                    None => {
                        claims.remove(&(item.clone(), member));
                    }
                }
            }
            gone.retain(|it| *it != item);
            written.insert(item.clone());
            self.items.insert(item, after);
        }
        for ((item, member), to) in &claims {
            let (_, _, collection) = *members_of(item).iter().find(|it| it.1 == *member).unwrap();
            self.live(&format!("{collection}/{to}"), now).ok_or(())?;
        }
        let gone = self.follow(gone, now, &written)?;
        let is_held = |item: &String| {
            self.referrers(item, now).iter().any(|(_, member)| self.rule(*member) == Restrict)
        };
        if gone.iter().any(is_held) { Err(()) } else { Ok(()) }
    }

    fn reap(&mut self, now: Timestamp) {
        let over: Vec<_> = self.items.keys().filter(|item| self.live(item, now).is_none()).cloned().collect();
        self.items.retain(|item, _| !over.contains(item));
        self.follow(over, now, &BTreeSet::new()).unwrap();
    }
}

fn key(to: Option<usize>) -> Option<String> {
    to.map(|to| format!("u7/{to}"))
}

fn operation(op: &Op) -> Operation {
    let value = |members: Vec<(&'static str, Option<String>)>| {
        let members =
            members.into_iter().map(|(name, to)| (name.to_owned(), to.map_or(Value::Null, Value::from)));
        Value::Object(members.collect::<Map<_, _>>()).to_string()
    };
    match op {
        Op::Put(item, set, ttl) => {
            let item = name(*item);
            let members = set.iter().map(|(member, to)| (members_of(&item)[*member].1, key(*to)));
            let value = json(&value(members.collect())).into();
            Operation::Put { item: named(&item), value, ttl: ttl.map(Duration::from_secs) }
        }
        Op::Patch(item, member, to) => {
            let item = name(*item);
            merge_patch(&item, &value(vec![(members_of(&item)[*member].1, key(*to))]))
        }
        Op::Delete(item) => delete(&name(*item)),
    }
}

/// The items of a shard by collection and key, whether they are over or not.
fn stored(world: &World) -> BTreeMap<String, Item> {
    let item = |(row, value): (&bytes::Bytes, &bytes::Bytes)| match Parts::of(row) {
        Ok(Parts::Item { collection, key, .. }) => {
            Some((format!("{collection}/{key}"), Item::decode(value).unwrap()))
        }
        _ => None,
    };
    world.state.rows().filter_map(item).collect()
}

fn refers_to(item: &Item, member: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(&item.bytes).unwrap();
    document.get(member)?.as_str().map(str::to_owned)
}

/// What rows of references have to be there: those of all items, and of those whose end has not come.
fn expected(items: &BTreeMap<String, Item>, now: Timestamp) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut live) = (BTreeSet::new(), BTreeSet::new());
    for (name, item) in items {
        for (_, member, to) in members_of(name) {
            if let Some(key) = refers_to(item, member) {
                let row = format!("{name} -> {to}/{key}");
                if !item.is_over(now) {
                    live.insert(row.clone());
                }
                all.insert(row);
            }
        }
    }
    (all, live)
}

fn check(world: &World, model: &Model) -> Result<(), TestCaseError> {
    let (items, now) = (stored(world), world.now.wall());
    let (all, live) = expected(&items, now);
    let rows: BTreeSet<_> = super::referrers(world).into_iter().collect();
    prop_assert!(live.is_subset(&rows) && rows.is_subset(&all), "{rows:?}, not {live:?}");
    for row in &live {
        let (_, target) = row.split_once(" -> ").unwrap();
        prop_assert!(items.contains_key(target), "{row}");
    }
    let shown: BTreeMap<_, _> = items.iter().filter(|(_, item)| !item.is_over(now)).collect();
    let names: Vec<_> = model.items.keys().filter(|item| model.live(item, now).is_some()).collect();
    prop_assert_eq!(shown.keys().copied().collect::<Vec<_>>(), names);
    for (name, item) in shown {
        for (_, member, _) in members_of(name) {
            let wanted = model.items[name].members.get(member).cloned().flatten();
            prop_assert_eq!(refers_to(item, member), wanted, "{} {}", name, member);
        }
    }
    Ok(())
}

fn collections(rules: &[OnDelete]) -> Vec<(&'static str, Collection)> {
    let of = |collection: &str| {
        let members = MEMBERS.iter().zip(rules).filter(|((of, _, _), _)| *of == collection);
        referring(&members.map(|((_, name, to), rule)| (*name, *to, *rule)).collect::<Vec<_>>())
    };
    COLLECTIONS.map(|name| (name, of(name))).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is written, deleted and ended: it is refused when the model refuses it, and what is there is what the model has.
    #[test]
    fn nothing_refers_to_what_is_not_there(rules in rules(), steps in prop::collection::vec(step(), 1..40)) {
        let mut world = super::world(collections(&rules));
        let mut model = Model { rules, items: BTreeMap::new() };
        for step in steps {
            match step {
                Step::Commit(ops) => {
                    let now = world.now.next().wall();
                    let mut next = Model { rules: model.rules.clone(), items: model.items.clone() };
                    let modelled = next.commit(&ops, now);
                    let outcome = world.commit(vec![], ops.iter().map(operation).collect());
                    prop_assert_eq!(modelled.is_ok(), matches!(outcome, Outcome::Committed(_)), "{:?}: {:?}", ops, outcome);
                    if modelled.is_ok() {
                        model = next;
                    }
                }
                Step::Pass(secs) => world.pass(Duration::from_secs(secs)),
                Step::Reap(items_max) => {
                    let plain = std::mem::replace(&mut world.settings.limits.operations_max, items_max);
                    world.reap_all();
                    world.settings.limits.operations_max = plain;
                    model.reap(world.now.wall());
                }
            }
            check(&world, &model)?;
        }
        world.pass(Duration::from_secs(100));
        world.reap_all();
        model.reap(world.now.wall());
        check(&world, &model)?;
        let (all, _) = expected(&stored(&world), world.now.wall());
        prop_assert_eq!(super::referrers(&world).into_iter().collect::<BTreeSet<_>>(), all);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Built while writes go on: in the end its rows are those of the items that are there, and it is ready if nothing dangles.
    #[test]
    fn references_are_built_beside_writers(
        rules in rules(),
        before in prop::collection::vec(op(), 0..30),
        during in prop::collection::vec((op(), 0usize..4), 0..30),
    ) {
        let plain = COLLECTIONS.map(|name| (name, Collection::default()));
        let define = |space: &mut Space, all: Vec<(&'static str, Collection)>| {
            space.define_all(all.into_iter().map(|(name, it)| (Name::from_static(name), it)).collect());
        };
        let mut space = Space::new(&Collection::default());
        define(&mut space, plain.clone().into());
        for op in before {
            prop_assert!(matches!(space.commit(vec![operation(&op)]), Outcome::Committed(_)));
        }
        // Items that end would go on being there here.
        let is_lasting = |op: &Op| !matches!(op, Op::Put(_, _, Some(_)));
        define(&mut space, collections(&rules));
        for (op, tasks) in during {
            if is_lasting(&op) {
                let _ = space.commit(vec![operation(&op)]);
            }
            space.tend(2, tasks);
        }
        prop_assert!(space.tend(2, usize::MAX));
        let slot = mainstay_base::key::slot(&Tenant::DEFAULT, &mainstay_base::key::PartitionBy::FirstSegment.partition(&"u7".parse().unwrap()));
        let shard = &space.shards[crate::space::at(crate::space::SHARDS, slot)];
        let items = stored(shard);
        let (all, _) = expected(&items, shard.now.wall());
        let rows: BTreeSet<_> = super::referrers(shard).into_iter().collect();
        prop_assert_eq!(&rows, &all);
        let dangling = all.iter().any(|row| !items.contains_key(row.split_once(" -> ").unwrap().1));
        let states = shard.state.scan(&RowRange::index_states(), 99).unwrap();
        let mut is_ready = true;
        for (_, value) in states {
            let state = IndexState::decode(&value).unwrap();
            prop_assert!(matches!(state, IndexState::Ready | IndexState::Invalid(_)));
            is_ready &= state == IndexState::Ready;
        }
        prop_assert!(!(is_ready && dangling), "{all:?}");
        define(&mut space, plain.into());
        prop_assert!(space.tend(1, usize::MAX));
        let left: usize = space.shards.iter().map(|shard| super::referrers(shard).len()).sum();
        prop_assert_eq!(left, 0);
    }
}

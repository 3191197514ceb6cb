//! References: what is refused, what a deletion takes along, what definitions allow; and whatever happens, nothing refers to what is not
//! there.

use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::PartitionBy;
use mainstay_base::position::{Index, ShardId};
use mainstay_base::units::Duration;
use mainstay_machine::batch::Batch;
use mainstay_machine::command::Operation;
use mainstay_machine::feed::{Changes, EventsBuilder, Follow};
use mainstay_machine::index::{self, State as IndexState};
use mainstay_machine::position::{EventId, Place};
use mainstay_machine::reference::{OnDelete, Reference};
use mainstay_machine::row::{End, IndexName, Parts, RowKey, RowRange};
use mainstay_machine::state::State;
use mainstay_machine::task::Reap;
use mainstay_machine::{Collection, Definitions, Mutation, Outcome, Task};

use crate::world::*;

mod defined;
mod model;

use OnDelete::{Cascade, Restrict, SetNull};

fn reference(on: &str, collection: &'static str, on_delete: OnDelete) -> Reference {
    Reference { on: on.parse().unwrap(), collection: Name::from_static(collection), on_delete }
}

/// A collection with a reference at each member of these names.
fn referring(references: &[(&'static str, &'static str, OnDelete)]) -> Collection {
    let references = references.iter().map(|(name, collection, on_delete)| {
        (Name::from_static(name), reference(&format!("/{name}"), collection, *on_delete))
    });
    Collection { references: references.collect(), ..Collection::default() }
}

fn world(collections: Vec<(&'static str, Collection)>) -> World {
    let named = collections.into_iter().map(|(name, it)| (Tenant::DEFAULT, Name::from_static(name), it));
    World { definitions: Definitions::sample(named), ..World::new() }
}

/// Customers and what is ordered by them.
fn shop(on_delete: OnDelete) -> World {
    world(vec![
        ("customers", Collection::default()),
        ("orders", referring(&[("customer", "customers", on_delete)])),
    ])
}

fn by(customer: &str) -> String {
    format!("{{\"customer\":\"{customer}\"}}")
}

fn put_for(name: &str, value: &str, secs: u64) -> Operation {
    Operation::Put { item: named(name), value: json(value).into(), ttl: Some(Duration::from_secs(secs)) }
}

fn following(collection: &'static str) -> Follow {
    Follow {
        tenant: Tenant::DEFAULT,
        collection: Name::from_static(collection),
        partition: None,
        prefix: String::new(),
        filter: None,
        after: None,
        limit: 9,
        bytes_max: usize::MAX,
        wait: Duration::ZERO,
    }
}

/// Which items refer to which, as their rows say.
fn referrers(world: &World) -> Vec<String> {
    let shown = |row: &[u8]| match Parts::of(row) {
        Ok(Parts::Referrer { to, to_key, collection, key, .. }) => {
            Some(format!("{collection}/{key} -> {to}/{to_key}"))
        }
        _ => None,
    };
    world.state.rows().filter_map(|(row, _)| shown(row)).collect()
}

impl World {
    /// What removes items that have ended.
    fn next_reap(&self) -> Option<Task> {
        let rows = self.state.scan(&RowRange::ends(self.now.wall()), 1000).unwrap();
        let ends: Vec<_> = rows.iter().map(|(row, _)| End::of(row).unwrap()).collect();
        (!ends.is_empty()).then(|| Reap { ends }.into())
    }

    /// Removes what has ended, step by step. Returns how many steps it took.
    fn reap_all(&mut self) -> usize {
        for step in 0..1000 {
            let Some(task) = self.next_reap() else { return step };
            assert!(matches!(self.run_input(&task.into()).outcome, Outcome::Committed(_)));
        }
        panic!("it does not end");
    }
}

#[test]
fn what_is_referred_to_must_be_there_at_the_end_of_the_commit() {
    let mut world = shop(Restrict);
    let refusal = world.refused(vec![], vec![put("customers/u7/b", "{}"), put("orders/u7/1", &by("u7/c"))]);
    assert_eq!(refusal.code(), Code::Invalid);
    assert_eq!(
        refusal.detail(),
        "operation 1 (put orders/\"u7/1\") refers to customers/\"u7/c\" by \"customer\" at /customer, which is not there at the end \
         of the commit: put it in the same commit, or refer to another"
    );
    let facts = refusal.facts();
    assert_eq!((&facts["operation"], &facts["key"]), (&1.into(), &"u7/1".into()));
    assert_eq!((&facts["pointer"], &facts["target_key"]), (&"/customer".into(), &"u7/c".into()));
    assert_eq!(facts["target_collection"], "customers");

    world.done(vec![put("orders/u7/1", &by("u7/c")), put("customers/u7/c", "{}")]);
    world.done(vec![put("orders/u7/2", "{}"), put("orders/u7/3", "{\"customer\":null}")]);
    world.done(vec![put_bytes("orders/u7/4", "text/plain", b"{\"customer\":1}")]);
    assert_eq!(referrers(&world), ["orders/u7/1 -> customers/u7/c"]);
    // What is put right in the same commit is right, and what is made wrong is told of.
    world.done(vec![put("orders/u7/2", &by("u7/x")), put("orders/u7/2", &by("u7/c"))]);
    world.refused(
        vec![],
        vec![put("customers/u7/x", "{}"), put("orders/u7/3", &by("u7/x")), delete("customers/u7/x")],
    );
    let patched = vec![put("orders/u7/3", &by("u7/x")), merge_patch("orders/u7/3", "{\"n\":1}")];
    assert_eq!(world.refused(vec![], patched).facts()["operation"], 0, "the operation that made it refer");
    world.done(vec![put("orders/u7/3", &by("u7/x")), delete("orders/u7/3")]);
    world.done(vec![merge_patch("orders/u7/1", "{\"customer\":null}")]);
    assert_eq!(referrers(&world), ["orders/u7/2 -> customers/u7/c"]);
}

#[test]
fn what_is_no_key_of_the_partition_is_refused() {
    let mut world = shop(Restrict);
    for (value, said) in [
        ("1", "does not fit the reference \"customer\" at /customer: what is at \"/customer\" is no text"),
        ("{}", "is no text"),
        ("\"\"", "is no key: a key cannot be empty"),
        ("\"u7/\"", "is no key"),
        ("\"u8/c\"", "customers/\"u8/c\" belongs to partition \"u8\""),
    ] {
        let refusal = world.refused(vec![], vec![put("orders/u7/1", &format!("{{\"customer\":{value}}}"))]);
        assert!(refusal.code() == Code::Invalid && refusal.detail().contains(said), "{refusal}");
        assert_eq!(
            (&refusal.facts()["reference"], &refusal.facts()["operation"]),
            (&"customer".into(), &0.into())
        );
    }
    // Rules may differ where partitions are the same.
    let whole = Collection { partition_by: PartitionBy::WholeKey, ..Collection::default() };
    let orders = referring(&[("customer", "customers", Restrict)]);
    let mut world = self::world(vec![("customers", whole), ("orders", orders)]);
    world.done(vec![put("customers/u7", "{}"), put("orders/u7/1", &by("u7"))]);
    let refusal = world.refused(vec![], vec![put("orders/u7/1", &by("u7/c"))]);
    assert!(refusal.detail().contains("belongs to partition \"u7/c\""), "{refusal}");
}

#[test]
fn a_deletion_is_refused_while_something_refers_unless_it_goes_too() {
    let mut world = shop(Restrict);
    world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", &by("u7/c"))]);
    let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
    assert_eq!(
        (refusal.code(), refusal.detail()),
        (
            Code::Conflict,
            "operation 0 (delete customers/\"u7/c\") deletes customers/\"u7/c\", to which orders/\"u7/1\" refers by \"customer\" \
             (restrict): delete or change what refers to it first, or in the same commit"
        )
    );
    assert_eq!(refusal.facts()["referring_key"], "u7/1");
    world.done(vec![delete("customers/u7/c"), put("customers/u7/c", "{\"n\":1}")]);
    world.done(vec![put("customers/u7/d", "{}"), delete("customers/u7/c"), put("orders/u7/1", &by("u7/d"))]);
    world.done(vec![delete("customers/u7/d"), delete("orders/u7/1")]);
    assert_eq!(world.state.rows().count(), 1, "the slot's own row is left");
}

#[test]
fn a_deletion_takes_along_what_refers_however_deep_and_in_a_circle() {
    let state = index::Index::new(vec!["/n".parse().unwrap()], true).unwrap();
    let nodes = Collection {
        indexes: [(Name::from_static("n"), state)].into(),
        ..referring(&[("up", "nodes", Cascade), ("twin", "nodes", Cascade)])
    };
    let leaves = Collection { ttl: Some(Duration::from_secs(9)), ..referring(&[("node", "nodes", Cascade)]) };
    let mut world = world(vec![("nodes", nodes), ("leaves", leaves)]);
    let node = |key: &str, up: &str| {
        put(
            &format!("nodes/u7/{key}"),
            &format!("{{\"n\":\"{key}\",\"up\":\"u7/{up}\",\"twin\":\"u7/{up}\"}}"),
        )
    };
    world.done(vec![put("nodes/u7/a", "{\"n\":\"a\"}"), node("b", "a"), node("c", "b"), node("d", "c")]);
    world.done(vec![put("nodes/u7/a", "{\"n\":\"a\",\"up\":\"u7/d\"}"), node("self", "self")]);
    world.done(vec![put("leaves/u7/d", "{\"node\":\"u7/d\"}"), put("leaves/u7/x", "{}")]);
    let evaluated = world.run(&command("u7", vec![], vec![delete("nodes/u7/c")]));
    let Outcome::Committed(results) = &evaluated.outcome else { panic!("{:?}", evaluated.outcome) };
    assert!(results.len() == 1 && results[0].existed && results[0].version.is_none());
    let deleted = evaluated.effects.iter().filter(|it| it.value().is_none());
    let deleted = deleted.filter(|it| matches!(Parts::of(it.key()), Ok(Parts::Item { .. }))).count();
    assert_eq!(deleted, 5, "each is an event of its own");
    world.done(vec![delete("nodes/u7/self"), delete("leaves/u7/x")]);
    assert_eq!(world.state.rows().count(), 1, "nothing that finds them is left");
}

#[test]
fn a_member_becomes_null_with_the_commits_version() {
    let customer = index::Index::new(vec!["/customer".parse().unwrap()], false).unwrap();
    let orders = Collection {
        indexes: [(Name::from_static("by_customer"), customer)].into(),
        ..referring(&[("customer", "customers", SetNull)])
    };
    let mut world = world(vec![("customers", Collection::default()), ("orders", orders)]);
    world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", "{ \"a\":1, \"customer\" : \"u7/c\" }")]);
    let before = world.item("orders/u7/1").unwrap();
    let results = world.done(vec![put("orders/u7/2", "{}"), delete("customers/u7/c")]);
    let after = world.item("orders/u7/1").unwrap();
    assert_eq!(world.text("orders/u7/1").unwrap(), "{ \"a\":1, \"customer\" : null }");
    assert_eq!((Some(after.version), after.created), (results[0].version, before.created));
    assert!(after.updated > before.updated);
    let entries = world.state.rows().filter(|(row, _)| row.starts_with(&[0x10, 4]));
    let values: Vec<_> = entries.map(|(row, _)| row.len()).collect();
    assert!(
        values.len() == 2 && referrers(&world).is_empty(),
        "the entry of the old value is gone: {values:?}"
    );
}

#[test]
fn a_member_that_cannot_be_null_keeps_its_target() {
    let schema = serde_json::json!({"properties": {"customer": {"type": "string"}}});
    let schema = serde_json::from_value(serde_json::json!({"json_schema": schema})).unwrap();
    let unique = index::Index {
        unique: true,
        ..index::Index::new(vec!["/customer".parse().unwrap()], false).unwrap()
    };
    for (orders, why) in [
        (
            Collection { schema: Some(schema), ..referring(&[("customer", "customers", SetNull)]) },
            "/customer",
        ),
        (
            Collection {
                indexes: [(Name::from_static("one"), unique)].into(),
                ..referring(&[("customer", "customers", SetNull)])
            },
            "it does not fit into the index \"one\"",
        ),
    ] {
        let mut world = world(vec![("customers", Collection::default()), ("orders", orders)]);
        world.done(vec![put("customers/u7/c", "{}"), put("customers/u7/d", "{}")]);
        world.done(vec![put("orders/u7/1", &by("u7/c")), put("orders/u7/2", &by("u7/d"))]);
        let refusal = world.refused(vec![], vec![delete("customers/u7/c"), delete("customers/u7/d")]);
        assert_eq!(refusal.code(), Code::Conflict);
        assert!(
            refusal.detail().contains("cannot have null at /customer") && refusal.detail().contains(why),
            "{refusal}"
        );
    }
}

#[test]
fn what_an_operation_wrote_is_not_taken_along_but_refuses_the_commit() {
    for on_delete in [Cascade, SetNull] {
        let mut world = shop(on_delete);
        world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", &by("u7/c"))]);
        let operations = vec![delete("customers/u7/c"), merge_patch("orders/u7/1", "{\"n\":1}")];
        let refusal = world.refused(vec![], operations);
        assert_eq!((refusal.code(), &refusal.facts()["operation"]), (Code::Invalid, &1.into()));
    }
}

#[test]
fn what_is_held_as_it_is_neither_goes_along_nor_changes() {
    for on_delete in [Cascade, SetNull] {
        let mut world = shop(on_delete);
        world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", &by("u7/c"))]);
        let name = Name::from_static("case");
        world.done(vec![Operation::Hold { item: named("orders/u7/1"), name: name.clone() }]);
        let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
        assert!(
            refusal.code() == Code::Conflict && refusal.detail().contains("is held by case"),
            "{refusal}"
        );
        world.done(vec![Operation::Release { item: named("orders/u7/1"), name }, delete("customers/u7/c")]);
        assert_eq!(referrers(&world), [""; 0]);
    }
}

#[test]
fn what_holds_may_go_along_with_what_it_holds() {
    let mut world = world(vec![
        ("customers", Collection::default()),
        ("orders", referring(&[("customer", "customers", Cascade)])),
        ("invoices", referring(&[("order", "orders", Restrict), ("customer", "customers", Cascade)])),
    ]);
    let invoice = |customer: &str| format!("{{\"order\":\"u7/1\",\"customer\":{customer}}}");
    world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", &by("u7/c"))]);
    world.done(vec![put("invoices/u7/i", &invoice("null"))]);
    let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
    assert!(
        refusal.detail().contains("deletes orders/\"u7/1\", which goes along, to which invoices/\"u7/i\""),
        "{refusal}"
    );
    world.done(vec![put("invoices/u7/i", &invoice("\"u7/c\""))]);
    world.done(vec![delete("customers/u7/c")]);
    assert_eq!(world.state.rows().count(), 1);
}

#[test]
fn a_deletion_that_takes_too_much_along_is_refused_with_what_to_do() {
    for on_delete in [Cascade, SetNull] {
        let mut world = shop(on_delete);
        world.done(vec![put("customers/u7/c", "{}")]);
        world.done((0..5).map(|number| put(&format!("orders/u7/{number}"), &by("u7/c"))).collect());
        let plain = world.settings.clone();
        world.settings.limits.operations_max = 5;
        let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
        assert_eq!((refusal.code(), &refusal.facts()["limit"]), (Code::TooLarge, &"operations_max".into()));
        assert!(refusal.detail().contains("delete or change those first, in several commits"), "{refusal}");
        world.settings = plain.clone();
        let bytes = |bytes| mainstay_base::units::Size::from_bytes(bytes);
        world.settings.limits.read_size_max = bytes(60);
        let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
        assert_eq!(refusal.facts()["limit"], "read_size_max");
        world.settings = plain.clone();
        world.settings.limits.commit_size_max = bytes(20);
        let refusal = world.refused(vec![], vec![delete("customers/u7/c")]);
        assert_eq!(refusal.facts()["limit"], "commit_size_max");
        world.settings = plain;
        world.settings.limits.operations_max = 6;
        world.done(vec![delete("customers/u7/c")]);
        assert_eq!(referrers(&world), [""; 0]);
    }
}

#[test]
fn the_end_of_an_item_is_a_deletion() {
    let mut world = world(vec![
        ("sessions", Collection { ttl: Some(Duration::from_secs(10)), ..Collection::default() }),
        ("carts", referring(&[("session", "sessions", Cascade)])),
        ("visits", referring(&[("session", "sessions", SetNull), ("cart", "carts", SetNull)])),
    ]);
    world.done(vec![put("sessions/u7/s", "{}"), put("carts/u7/c", "{\"session\":\"u7/s\"}")]);
    world.done(vec![put("visits/u7/v", "{\"session\":\"u7/s\",\"cart\":\"u7/c\"}")]);
    let before = world.item("visits/u7/v").unwrap();
    world.pass(Duration::from_secs(10));
    let refusal = world.refused(vec![], vec![put("carts/u7/d", "{\"session\":\"u7/s\"}")]);
    assert!(refusal.detail().contains("is not there"), "what has ended cannot be referred to: {refusal}");
    world.done(vec![merge_patch("carts/u7/c", "{\"n\":1}")]);
    assert!(world.reap_all() > 1);
    assert_eq!(world.text("visits/u7/v").unwrap(), "{\"session\":null,\"cart\":null}");
    assert!(world.item("visits/u7/v").unwrap().version > before.version);
    assert_eq!((world.item("sessions/u7/s"), world.item("carts/u7/c")), (None, None));
    assert_eq!(referrers(&world), [""; 0]);
}

#[test]
fn the_feed_tells_once_that_what_goes_along_has_ended() {
    let mut world = world(vec![
        ("sessions", Collection::default()),
        ("carts", referring(&[("session", "sessions", Cascade)])),
        ("lines", referring(&[("cart", "carts", Cascade)])),
    ]);
    world.done(vec![put_for("sessions/u7/s", "{}", 10), put("carts/u7/c", "{\"session\":\"u7/s\"}")]);
    world.done(vec![put("lines/u7/l", "{\"cart\":\"u7/c\"}")]);
    world.pass(Duration::from_secs(10));
    let mut told = Vec::new();
    while let Some(task) = world.next_reap() {
        let evaluated = world.run_input(&task.clone().into());
        let mut batch = Batch::new(world.now);
        batch.push(&task.into(), evaluated.effects, evaluated.before);
        let changes = Changes::of(Place { timeline: 1, index: Index::new(1) }, &batch);
        for collection in ["sessions", "carts", "lines"] {
            let follow = following(collection);
            let mut page = EventsBuilder::new(&follow, &EventId::default(), 1000);
            let _ = page.read(ShardId::new(1), &changes).unwrap();
            let events = page.finish().events;
            told.extend(events.into_iter().map(|it| (collection, it.item.is_none(), it.version)));
        }
    }
    told.sort();
    assert_eq!(told, [("carts", true, None), ("lines", true, None), ("sessions", true, None)]);
}

#[test]
fn what_must_not_end_and_does_is_told_as_a_misfit() {
    let mut world = shop(Cascade);
    world.done(vec![put_for("customers/u7/c", "{}", 9), put("orders/u7/1", &by("u7/c"))]);
    world.definitions = shop(Restrict).definitions;
    let orders = Name::from_static("orders");
    let of = IndexName { tenant: &Tenant::DEFAULT, collection: &orders, number: 0 };
    let (key, value) = (RowKey::index_state(of).into_bytes(), IndexState::Ready.encode());
    world.state.apply(&[Mutation::Put { key: key.clone(), value }]);
    world.pass(Duration::from_secs(9));
    world.reap_all();
    assert!(world.item("customers/u7/c").is_none() && world.item("orders/u7/1").is_some());
    let state = IndexState::decode(&world.state.get(&key).unwrap().unwrap()).unwrap();
    let IndexState::Invalid(misfits) = state else { panic!("{state:?}") };
    assert_eq!((misfits.items, misfits.key.as_str()), (1, "u7/1"));
    assert_eq!(misfits.reason, "customers/\"u7/c\", to which it refers, has ended");
    world.done(vec![merge_patch("orders/u7/1", "{\"n\":1}")]);
}

#[test]
fn what_goes_along_with_an_end_is_done_in_bounded_steps() {
    let nodes = Collection::default();
    let nodes = Collection { references: referring(&[("up", "nodes", Cascade)]).references, ..nodes };
    let mut world = world(vec![("nodes", nodes)]);
    world.done(vec![put_for("nodes/u7/0", "{}", 10)]);
    // A long way down, each with others beside it.
    for depth in 1..30 {
        let under = format!("{{\"up\":\"u7/{}\"}}", depth - 1);
        let beside = (0..4).map(|other| put(&format!("nodes/u7/{depth}/{other}"), &under));
        world.done(std::iter::once(put(&format!("nodes/u7/{depth}"), &under)).chain(beside).collect());
    }
    world.pass(Duration::from_secs(10));
    world.settings.limits.operations_max = 2;
    let steps = world.reap_all();
    assert!((29..200).contains(&steps), "{steps}");
    assert_eq!(world.state.rows().count(), 1);
}

#[test]
fn items_that_are_held_do_not_end() {
    let mut world = world(vec![
        ("customers", Collection::default()),
        ("orders", referring(&[("customer", "customers", Cascade)])),
        ("invoices", referring(&[("order", "orders", Restrict)])),
    ]);
    for (name, said) in [
        ("orders/u7/1", "which the reference \"order\" of \"invoices\" (restrict) would not let them"),
        ("customers/u7/c", "which the reference \"customer\" of \"orders\" (cascade) would not let them"),
    ] {
        let refusal = world.refused(vec![], vec![put_for(name, "{}", 9)]);
        assert!(refusal.code() == Code::Invalid && refusal.detail().contains(said), "{refusal}");
    }
    world.done(vec![put_for("invoices/u7/i", "{}", 9)]);

    // Those that came before the reference.
    let mut world = shop(Cascade);
    world.done(vec![put_for("customers/u7/c", "{}", 9), put("orders/u7/1", &by("u7/c"))]);
    world.definitions = shop(Restrict).definitions;
    let refusal = world.refused(vec![], vec![put("orders/u7/2", &by("u7/c"))]);
    assert!(refusal.detail().contains("must not: put it without a `ttl`"), "{refusal}");
    world.done(vec![put("customers/u7/c", "{}"), put("orders/u7/2", &by("u7/c"))]);
}

#[test]
fn references_of_a_retired_collection_hold() {
    let mut shop = shop(Restrict);
    shop.done(vec![put("customers/u7/c", "{}"), put("orders/u7/1", &by("u7/c"))]);
    let mut shard = defined::Shard::new();
    let orders = referring(&[("customer", "customers", Restrict)]);
    shard.declare(&[("customers", Collection::default()), ("orders", orders)]).unwrap();
    shard.declare(&[("customers", Collection::default())]).unwrap();
    shop.definitions = shard.0.definitions.clone();
    let refusal = shop.refused(vec![], vec![delete("customers/u7/c")]);
    assert!(refusal.detail().contains("orders/\"u7/1\" of a retired collection refers"), "{refusal}");
}

#[test]
fn states_of_references_are_kept_as_those_of_indexes() {
    let mut space = crate::space::Space::new(&Collection::default());
    let docs = |on_delete| vec![(crate::space::DOCS, referring(&[("up", "docs", on_delete)]))];
    for number in 0..20 {
        let value = if number < 5 { "{}".to_owned() } else { format!("{{\"up\":\"u{}/0\"}}", number % 5) };
        let key = format!("u{}/{}", number % 5, number / 5);
        assert!(matches!(space.put(&key, &value), Outcome::Committed(_)));
    }
    space.define_all(docs(Restrict));
    let states = |space: &crate::space::Space| {
        let rows = space.shards.iter().flat_map(|it| it.state.scan(&RowRange::index_states(), 9).unwrap());
        let states = rows.map(|(_, value)| IndexState::decode(&value).unwrap().as_str());
        states.filter(|state| *state != "ready").collect::<Vec<_>>()
    };
    assert_eq!(states(&space), ["building"; crate::space::SHARDS]);
    // Already refused, and found as soon as it was gone through.
    assert!(matches!(space.put("u1/9", "{\"up\":\"u1/8\"}"), Outcome::Refused(_)));
    assert!(space.tend(3, usize::MAX));
    assert_eq!(states(&space), [""; 0]);
    assert!(matches!(space.commit(vec![delete("docs/u1/0")]), Outcome::Refused(_)));
    let rows = |space: &crate::space::Space| space.shards.iter().map(|it| referrers(it).len()).sum::<usize>();
    assert_eq!(rows(&space), 15);
    // What a deletion does is no other reference.
    space.define_all(docs(Cascade));
    assert_eq!(states(&space), [""; 0]);
    assert!(matches!(space.commit(vec![delete("docs/u1/0")]), Outcome::Committed(_)));
    assert_eq!(rows(&space), 12);
    space.define(&Collection::default());
    assert_eq!(states(&space), ["dropping"; crate::space::SHARDS]);
    assert!(space.tend(2, usize::MAX));
    let left = space.shards.iter().map(|it| it.state.scan(&RowRange::index_states(), 9).unwrap().len());
    assert_eq!((rows(&space), left.sum::<usize>()), (0, 0), "nothing of it is left");
    // Whatever it was not told of while it was not there is a misfit.
    space.put("u2/9", "{\"up\":\"u2/8\"}");
    space.define_all(docs(Restrict));
    assert!(space.tend(4, usize::MAX));
    let all = space.shards.iter().flat_map(|it| it.state.scan(&RowRange::index_states(), 9).unwrap());
    let misfits: BTreeMap<_, _> = all
        .filter_map(|(_, value)| match IndexState::decode(&value).unwrap() {
            IndexState::Invalid(misfits) => Some((misfits.key.to_string(), misfits.reason)),
            _ => None,
        })
        .collect();
    assert_eq!(misfits, [("u2/9".to_owned(), "docs/\"u2/8\" is not there".to_owned())].into());
}

//! Commits: conditions, operations, versions, limits and refusals.

use bytes::Bytes;
use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::problem::Problem;
use mainstay_base::units::Size;
use mainstay_machine::batch::Batch;
use mainstay_machine::command::{Condition, ItemName, Operation};
use mainstay_machine::content::Value;
use mainstay_machine::evaluate::check_limits;
use mainstay_machine::row::RowRange;
use mainstay_machine::state::{self, State};
use mainstay_machine::{Collection, Definitions, Moment, Mutation, Outcome, Overlay, Version, evaluate};
use serde_json::json;

use crate::world::*;

fn version(sequence: u64) -> Version {
    Version { timeline: 1, sequence }
}

#[test]
fn operations_are_made_in_order_and_see_each_other() {
    let mut world = World::new();
    let results = world.done(vec![
        put("orders/u7/a", r#"{"n":1}"#),
        merge_patch("orders/u7/a", r#"{"m":2}"#),
        increment("orders/u7/a", "/n", 4),
        put("carts/u7", "0"),
        delete("carts/u7"),
        delete("carts/u7"),
    ]);
    assert_eq!(world.text("orders/u7/a").unwrap(), r#"{"n":5,"m":2}"#);
    assert_eq!(world.item("carts/u7"), None);
    assert_eq!(
        results.iter().map(|result| result.existed).collect::<Vec<_>>(),
        [false, true, true, false, true, false]
    );
    let one = Some(version(1));
    assert_eq!(
        results.iter().map(|result| result.version).collect::<Vec<_>>(),
        [one, one, one, one, None, None]
    );
}

#[test]
fn conditions_see_the_state_before_the_commit() {
    let mut world = World::new();
    let both =
        world.commit(vec![absent("orders/u7/a")], vec![put("orders/u7/a", "1"), put("orders/u7/a", "2")]);
    assert!(matches!(both, Outcome::Committed(_)));
    assert_eq!(world.text("orders/u7/a").unwrap(), "2");
    world.refused(vec![present("orders/u7/b")], vec![put("orders/u7/b", "1")]);
}

#[test]
fn every_commit_that_changes_something_takes_the_next_version() {
    let mut world = World::new();
    assert_eq!(
        world.done(vec![put("orders/u7/a", "1"), put("orders/u7/b", "1")])[1].version,
        Some(version(1))
    );
    world.done(vec![]);
    world.done(vec![delete("orders/u7/none")]);
    assert!(matches!(world.commit(vec![present("orders/u7/a")], vec![]), Outcome::Committed(_)));
    world.refused(vec![absent("orders/u7/a")], vec![]);
    assert_eq!(
        world.done(vec![put("orders/u7/a", "1")])[0].version,
        Some(version(2)),
        "the same value is a change"
    );
    world.done(vec![delete("orders/u7/b")]);
    world.timeline = 2;
    let restored = world.done(vec![put("orders/u7/b", "1")])[0].version.unwrap();
    assert_eq!(restored, Version { timeline: 2, sequence: 4 });
    assert_eq!(world.item("orders/u7/a").unwrap().version, version(2));
}

#[test]
fn an_item_keeps_the_time_of_its_creation() {
    let mut world = World::new();
    world.done(vec![put("orders/u7/a", "1")]);
    let created = world.now;
    world.done(vec![increment("orders/u7/a", "", 1)]);
    let item = world.item("orders/u7/a").unwrap();
    assert_eq!((item.created, item.updated), (created, world.now));
    world.done(vec![delete("orders/u7/a"), put("orders/u7/a", "1")]);
    assert_eq!(world.item("orders/u7/a").unwrap().created, world.now, "an item made anew is new");
}

#[test]
fn a_failed_condition_is_named_with_the_present_version() {
    let mut world = World::new();
    world.done(vec![put("orders/u7/a", r#"{"n":2}"#)]);
    let is = |sequence| Condition::Version { item: named("orders/u7/a"), is: version(sequence) };
    assert!(matches!(world.commit(vec![is(1), present("orders/u7/a")], vec![]), Outcome::Committed(_)));

    let refusal = world.refused(vec![present("orders/u7/a"), is(7)], vec![put("orders/u7/b", "1")]);
    assert_eq!(
        refusal.to_string(),
        "condition_failed: condition 1 (version orders/\"u7/a\") fails: the item has version 1-1, not 1-7"
    );
    let facts = json!({"condition": 1, "collection": "orders", "key": "u7/a", "version": "1-1"});
    assert_eq!(serde_json::to_value(refusal.facts()).unwrap(), facts);
    let problem = Problem::from(refusal);
    assert_eq!((problem.status(), problem.facts()["condition"].clone()), (412, json!(1)));

    for (condition, words, found) in [
        (absent("orders/u7/a"), "fails: the item is there", json!("1-1")),
        (present("orders/u7/b"), "fails: there is no such item", json!(null)),
        (
            Condition::Version { item: named("orders/u7/b"), is: version(1) },
            "there is no such item",
            json!(null),
        ),
        (check("orders/u7/a", "value.n < 2"), "fails: \"value.n < 2\" does not hold", json!("1-1")),
        (check("orders/u7/b", "exists"), "fails: \"exists\" does not hold", json!(null)),
    ] {
        let refusal = world.refused(vec![condition], vec![]);
        assert_eq!(refusal.code(), Code::ConditionFailed);
        assert!(refusal.detail().contains(words), "{refusal}");
        assert_eq!(refusal.facts()["version"], found);
    }
}

#[test]
fn checks_look_at_the_item() {
    let mut world = World::new();
    world.done(vec![put("orders/u7/a", r#"{"n":2}"#), put_bytes("orders/u7/png", "image/png", b"\x89")]);
    let good = vec![
        check("orders/u7/a", "value.n == 2 && version == '1-1'"),
        check("orders/u7/b", "!exists && value == null"),
        check("orders/u7/png", "exists && value == null && version == '1-1'"),
    ];
    assert!(matches!(world.commit(good, vec![]), Outcome::Committed(_)));
    let refusal = world.refused(vec![check("orders/u7/a", "value.m == 2")], vec![]);
    assert_eq!(refusal.code(), Code::Invalid);
    assert_eq!(
        refusal.detail(),
        "condition 0 (check orders/\"u7/a\") has no result: there is no member \"m\": guard it by has()"
    );
    assert_eq!(world.refused(vec![check("orders/u7/a", "value.n")], vec![]).code(), Code::Invalid);
}

#[test]
fn all_checks_of_a_commit_share_its_steps() {
    let mut world = World::new();
    world.settings.limits.check_steps_max = 100;
    let cheap = || check("orders/u7/a", "!exists && value == null");
    assert!(matches!(world.commit((0..10).map(|_| cheap()).collect(), vec![]), Outcome::Committed(_)));
    let refusal = world.refused((0..100).map(|_| cheap()).collect(), vec![]);
    assert_eq!((refusal.code(), &refusal.facts()["limit"]), (Code::Invalid, &json!("check_steps_max")));
    assert!(refusal.detail().contains("above 100 steps"), "{refusal}");
}

#[test]
fn operations_on_json_refuse_what_is_not() {
    let mut world = World::new();
    world.done(vec![
        put_bytes("orders/u7/png", "image/png", b"{}"),
        put_bytes("orders/u7/e", "a/b+json", b"{\"n\":1}"),
    ]);
    for operation in [merge_patch("orders/u7/png", "{}"), increment("orders/u7/png", "/n", 1)] {
        let refusal = world.refused(vec![], vec![operation]);
        assert_eq!(refusal.code(), Code::UnsupportedMediaType);
        assert!(
            refusal.detail().ends_with("needs JSON, and the item is image/png: put it whole"),
            "{refusal}"
        );
    }
    world.done(vec![increment("orders/u7/e", "/n", 1)]);
    let item = world.item("orders/u7/e").unwrap();
    assert_eq!((item.content_type.as_str(), &item.bytes[..]), ("a/b+json", &b"{\"n\":2}"[..]));
    let refusal = world.refused(vec![], vec![put_bytes("docs/u7", "image/png", b"")]);
    assert_eq!(refusal.code(), Code::UnsupportedMediaType);
    assert!(
        refusal
            .detail()
            .contains("has the content type image/png, and the collection takes application/json only")
    );
}

#[test]
fn absent_items_begin_as_nothing() {
    let mut world = World::new();
    world.done(vec![
        merge_patch("orders/u7/a", r#"{"a":{"b":null},"c":null,"d":1e400}"#),
        increment("orders/u7/b", "/n", -2),
        increment("orders/u7/c", "", 5),
    ]);
    assert_eq!(world.text("orders/u7/a").unwrap(), r#"{"a":{},"d":1e400}"#);
    assert_eq!(world.text("orders/u7/b").unwrap(), r#"{"n":-2}"#);
    assert_eq!(world.text("orders/u7/c").unwrap(), "5");
}

#[test]
fn bounds_are_conditions_and_the_impossible_is_invalid() {
    let mut world = World::new();
    world.done(vec![put("orders/u7/a", r#"{"n":2,"s":"x","max":9223372036854775807}"#)]);
    world.done(vec![bounded("orders/u7/a", "/n", 1, Some(0), Some(3))]);
    let refusal = world.refused(vec![], vec![bounded("orders/u7/a", "/n", 1, None, Some(3))]);
    assert_eq!(
        refusal.to_string(),
        "condition_failed: operation 0 (increment orders/\"u7/a\") would bring the number from 3 to 4, above its maximum of 3"
    );
    let facts =
        json!({"operation": 0, "collection": "orders", "key": "u7/a", "path": "/n", "value": 3, "max": 3});
    assert_eq!(serde_json::to_value(refusal.facts()).unwrap(), facts);
    let refusal =
        world.refused(vec![], vec![delete("carts/u7"), bounded("orders/u7/a", "/n", -4, Some(0), None)]);
    assert_eq!((&refusal.facts()["operation"], &refusal.facts()["min"]), (&json!(1), &json!(0)));
    for (path, words) in [
        ("/s", "what is there is not a whole number"),
        ("/max", "does not fit in 64 bits"),
        ("/x/y", "step 1 of the path finds nothing"),
        ("/s/y", "step 2 of the path finds nothing"),
    ] {
        let refusal = world.refused(vec![], vec![increment("orders/u7/a", path, 1)]);
        assert!(refusal.code() == Code::Invalid && refusal.detail().contains(words), "{refusal}");
    }
}

#[test]
fn one_commit_changes_one_partition() {
    let mut world = World::new();
    let refusal = world.refused(vec![], vec![put("orders/u7/a", "1"), put("orders/u8/a", "1")]);
    assert_eq!(refusal.code(), Code::PartitionMismatch);
    assert_eq!(
        refusal.detail(),
        "operation 1 (put orders/\"u8/a\") belongs to partition \"u8\", and the commit is for \"u7\": \
         a commit changes items of one partition"
    );
    assert_eq!(refusal.facts()["operation"], json!(1));
    let refusal = world.refused(vec![absent("orders/u8/a")], vec![]);
    assert_eq!((refusal.code(), &refusal.facts()["condition"]), (Code::PartitionMismatch, &json!(0)));
    assert_eq!(world.refused(vec![], vec![put("whole/u7/a", "1")]).code(), Code::PartitionMismatch);
    let whole = command("u7/a", vec![], vec![put("whole/u7/a", "1")]);
    assert!(matches!(world.run(&whole).outcome, Outcome::Committed(_)));
}

#[test]
fn an_unknown_collection_is_named() {
    let mut world = World::new();
    let refusal = world.refused(vec![], vec![put("orders/u7/a", "1"), delete("ordres/u7/a")]);
    assert_eq!(refusal.code(), Code::NotFound);
    assert_eq!(
        refusal.detail(),
        "operation 1 (delete ordres/\"u7/a\") names the collection \"ordres\", which does not exist: create it first"
    );
    let mut other = command("u7", vec![], vec![put("orders/u7/a", "1")]);
    other.tenant = "other".parse().unwrap();
    let Outcome::Refused(refusal) = world.run(&other).outcome else {
        panic!("collections belong to tenants")
    };
    assert_eq!(refusal.code(), Code::NotFound);
    world.definitions =
        Definitions::sample([(other.tenant.clone(), "orders".parse().unwrap(), Collection::default())]);
    assert!(matches!(world.run(&other).outcome, Outcome::Committed(_)));
    assert_eq!(world.item("orders/u7/a"), None, "another tenant's item is another item");
    assert_ne!(other.tenant, Tenant::DEFAULT);
}

#[test]
fn limits_are_named_with_the_place_that_breaks_them() {
    let mut world = World::new();
    let limits = &mut world.settings.limits;
    limits.operations_max = 3;
    limits.conditions_max = 2;
    limits.value_size_max = Size::from_bytes(10);
    limits.commit_size_max = Size::from_bytes(30);
    limits.key_bytes_max = 6;
    let ten = "\"12345678\"";
    for (conditions, operations, limit, place, detail) in [
        (
            vec![],
            vec![delete("carts/u7"); 4],
            "operations_max",
            None,
            "the commit has 4 operations, and at most 3 are allowed: send several commits",
        ),
        (
            vec![absent("carts/u7"); 3],
            vec![],
            "conditions_max",
            None,
            "the commit has 3 conditions, and at most 2 are allowed",
        ),
        (
            vec![],
            vec![delete("carts/u7"), put("carts/u7", "\"123456789\"")],
            "value_size_max",
            Some(1),
            "has or leaves a value of 11 bytes, and at most 10B are allowed",
        ),
        (
            vec![],
            vec![put("carts/u7", ten), put("carts/u7", ten), put("carts/u7", ten)],
            "commit_size_max",
            Some(2),
            "brings the keys and values of the commit to 36B, and at most 30B are allowed",
        ),
        (
            vec![],
            vec![delete("carts/u7/a567")],
            "key_bytes_max",
            Some(0),
            "has a key of 7 bytes, and at most 6 are allowed",
        ),
    ] {
        let told = command("u7", conditions.clone(), operations.clone());
        let refusal = world.refused(conditions, operations);
        assert_eq!((refusal.code(), &refusal.facts()["limit"]), (Code::TooLarge, &json!(limit)), "{refusal}");
        assert!(refusal.detail().contains(detail), "{refusal}");
        assert_eq!(refusal.facts().get("operation"), place.map(|place| json!(place)).as_ref());
        assert_eq!(check_limits(&told, &world.settings.limits), Err(Box::new(refusal)));
    }
    world.done(vec![put("carts/u7", ten), put("orders/u7", ten), delete("carts/u7")]);
    let grown = world
        .refused(vec![], vec![merge_patch("carts/u7", "{\"abc\":1}"), merge_patch("carts/u7", "{\"b\":1}")]);
    assert_eq!(
        (&grown.facts()["operation"], &grown.facts()["found"]),
        (&json!(1), &json!(15)),
        "after the operation"
    );
    let written = vec![increment("orders/u7/a", "/abcd", 1); 3];
    let written = world.refused(vec![], written);
    assert_eq!(
        &written.facts()["limit"],
        "commit_size_max",
        "what is written counts, not only what comes in"
    );
}

#[test]
fn what_a_commit_looks_at_is_limited_too() {
    let mut world = World::new();
    world.settings.limits.read_size_max = Size::from_bytes(25);
    let ten = "\"12345678\"";
    world.done(vec![put("carts/u7", ten), put("orders/u7", ten), put("orders/u7/a", ten)]);
    let all = || vec![delete("orders/u7"), delete("orders/u7/a")];
    let refusal = world.refused(vec![present("carts/u7")], all());
    assert_eq!((refusal.code(), &refusal.facts()["operation"]), (Code::TooLarge, &json!(1)));
    assert!(refusal.detail().contains("looks at to 30B, and at most 25B are allowed"), "{refusal}");
    world.done(all());
}

#[test]
fn no_commit_within_the_limits_makes_a_larger_batch_than_they_say() {
    let mut world = World::new();
    let (tenant, collection): (Tenant, Name) =
        ("t".repeat(63).parse().unwrap(), "c".repeat(63).parse().unwrap());
    world.definitions = Definitions::sample([(tenant.clone(), collection.clone(), Collection::default())]);
    let content_type = format!("a/{}", "b".repeat(253));
    let operations: u32 = 200;
    world.settings.limits.operations_max = operations;
    let item =
        |n: u32| ItemName { collection: collection.clone(), key: format!("u7/{n:0509}").parse().unwrap() };
    let value = Value::new(content_type.parse().unwrap(), Bytes::from(vec![b'x'; 4096])).unwrap();
    let puts = (0..operations).map(|n| Operation::Put { item: item(n), value: value.clone(), ttl: None });
    let mut command = command("u7", vec![], puts.collect());
    command.tenant = tenant;
    let command = with_key("k", command);
    world.settings.limits.commit_size_max = Size::from_bytes(u64::from(operations) * (512 + 4096));
    let evaluated = world.run(&command);
    assert!(matches!(evaluated.outcome, Outcome::Committed(_)), "{:?}", evaluated.outcome);
    let mut batch = Batch::new(world.now);
    batch.push(&command.into(), evaluated.effects, evaluated.before);
    let (bytes, max) = (batch.encoded_bytes_max() as u64, world.settings.limits.batch_size_max().bytes());
    assert!(bytes <= max && max < bytes + bytes / 10, "{bytes} of {max}");
}

#[test]
fn the_defaults_are_those_that_are_promised() {
    let limits = World::new().settings.limits;
    assert_eq!((limits.operations_max, limits.key_bytes_max), (1_000, 512));
    assert_eq!((limits.commit_size_max, limits.value_size_max), (Size::from_mib(4), Size::from_mib(1)));
}

#[test]
fn effects_are_each_row_once() {
    let mut world = World::new();
    let evaluated = world.run(&command(
        "u7",
        vec![],
        vec![put("carts/u7", "1"), put("carts/u7", "2"), delete("orders/u7")],
    ));
    let kinds: Vec<_> =
        evaluated.effects.iter().map(|mutation| matches!(mutation, Mutation::Put { .. })).collect();
    assert_eq!(kinds, [true, true], "the item and its slot");
}

/// Cannot be read at all, or not in one place.
struct Broken(bool);

impl State for Broken {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, state::Error> {
        let reason = "the disk is gone".to_owned();
        if self.0 { Err(state::Error::Unreadable { reason }) } else { Ok(Some(Bytes::from_static(b"\x07"))) }
    }

    fn scan(&self, _: &RowRange, _: usize) -> Result<Vec<(Bytes, Bytes)>, state::Error> {
        self.get(b"").map(|_| Vec::new())
    }
}

#[test]
fn what_cannot_be_read_is_no_outcome() {
    let world = World::new();
    let Moment { .. } = world.moment();
    let command = with_key("k", command("u7", vec![], vec![put("carts/u7", "1")]));
    let base = Broken(true);
    let mut overlay = Overlay::new(&base);
    let error = evaluate(&command.clone().into(), &mut overlay, &world.context()).unwrap_err();
    assert_eq!(error.to_string(), "the store cannot be read: the disk is gone");
    let base = Broken(false);
    let mut overlay = Overlay::new(&base);
    let error = evaluate(&command.clone().into(), &mut overlay, &world.context()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("default\\x00\\x02") && text.contains("written in format 7"), "{text}");
    assert_eq!(error.code(), Code::Internal);
}

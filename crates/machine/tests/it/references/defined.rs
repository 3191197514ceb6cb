//! Definitions that refer to each other: what they must have in common, and what one keeps another from.

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::units::Duration;
use mainstay_machine::command::{Caller, Change, Define, Expected, Request};
use mainstay_machine::definition::Source;
use mainstay_machine::reference::OnDelete::{self, Cascade, Restrict, SetNull};
use mainstay_machine::task::Declare;
use mainstay_machine::{Collection, Command, Definitions, Input, Outcome, Refusal, Task};

use super::{reference, referring};
use crate::world::*;

/// The shard whose rows are the definitions.
pub(super) struct Shard(pub(super) World);

impl Shard {
    pub(super) fn new() -> Self {
        Self(World { definitions: Definitions::default(), ..World::new() })
    }

    fn run(&mut self, input: impl Into<Input>) -> Result<(), Refusal> {
        let evaluated = self.0.run_input(&input.into());
        if let Some(definitions) = evaluated.definitions {
            self.0.definitions = Definitions::clone(&definitions);
        }
        match evaluated.outcome {
            Outcome::Committed(_) => Ok(()),
            Outcome::Refused(refusal) => Err(*refusal),
        }
    }

    pub(super) fn declare(&mut self, collections: &[(&'static str, Collection)]) -> Result<(), Refusal> {
        let source = || Source { file: "f".to_owned(), line: None };
        let named = collections
            .iter()
            .map(|(name, it)| ((Tenant::DEFAULT, Name::from_static(name)), (it.clone(), source())));
        self.run(Task::from(Declare { collections: named.collect(), ..Declare::default() }))
    }

    fn define(&mut self, name: &'static str, change: Change) -> Result<(), Refusal> {
        let name = Name::from_static(name);
        let define = Define { name, change, expected: Expected::Anything, settled: 0 };
        let (tenant, caller, partition) = (Tenant::DEFAULT, Caller::ANONYMOUS, define.partition());
        let request = Request::Define(define);
        self.run(Command { tenant, caller, partition, idempotency: None, trace: None, request })
    }

    fn put(&mut self, name: &'static str, collection: Collection) -> Result<(), Refusal> {
        self.define(name, Change::Put(Box::new(collection)))
    }
}

fn orders(on_delete: OnDelete) -> Collection {
    referring(&[("customer", "customers", on_delete)])
}

fn ending() -> Collection {
    Collection { ttl: Some(Duration::from_secs(60)), ..Collection::default() }
}

#[track_caller]
fn check(refused: Result<(), Refusal>, code: Code, detail: &str) {
    let refusal = refused.expect_err("it is refused");
    assert_eq!((refusal.code(), refusal.detail()), (code, detail));
}

#[test]
fn what_is_referred_to_is_served_as_long_as_it_is() {
    let mut shard = Shard::new();
    check(
        shard.put("orders", orders(Restrict)),
        Code::Invalid,
        "the collection \"orders\" has the reference \"customer\" to the collection \"customers\", which does not exist: create it \
         first",
    );
    shard.put("customers", Collection::default()).unwrap();
    shard.put("orders", orders(Restrict)).unwrap();
    check(
        shard.define("customers", Change::Retire),
        Code::Conflict,
        "the collection \"customers\" cannot be retired: the reference \"customer\" of \"orders\" is to it; take that out first, or \
         retire \"orders\"",
    );
    shard.define("orders", Change::Retire).unwrap();
    shard.define("customers", Change::Retire).unwrap();
    shard.put("orders", orders(Restrict)).expect_err("what it refers to is retired");
    shard.put("nodes", referring(&[("up", "nodes", Cascade)])).unwrap();
    shard.define("nodes", Change::Retire).unwrap();
}

#[test]
fn a_file_defines_both_in_any_order_and_keeps_both() {
    let mut shard = Shard::new();
    let (a, z) = (referring(&[("to", "z", Restrict)]), referring(&[("to", "a", Cascade)]));
    shard.declare(&[("a", a.clone()), ("z", z)]).unwrap();
    let refusal = shard.declare(&[("a", a)]).unwrap_err();
    assert!(refusal.detail().starts_with("the collection \"z\" cannot be retired"), "{refusal}");
    shard.declare(&[("a", Collection::default())]).unwrap();
}

#[test]
fn what_is_held_has_no_ttl_from_either_side() {
    let mut shard = Shard::new();
    shard.put("customers", ending()).unwrap();
    check(
        shard.put("orders", orders(Restrict)),
        Code::Conflict,
        "the collection \"orders\" has references because of which items of \"customers\" must not end (restrict), and they do, by \
         `ttl: 1m`: take that `ttl` out first, or say `cascade` or `set_null`",
    );
    for on_delete in [Cascade, SetNull] {
        shard.put("orders", orders(on_delete)).unwrap();
    }
    shard.put("customers", Collection::default()).unwrap();
    shard.put("orders", orders(Restrict)).unwrap();
    check(
        shard.put("customers", ending()),
        Code::Conflict,
        "the collection \"customers\" has `ttl: 1m`, and its items must not end, because of the reference \"customer\" of \"orders\" \
         (restrict): leave the `ttl` out, or have that reference say `cascade` or `set_null`",
    );
    // What would take along what is held.
    shard.put("orders", orders(Cascade)).unwrap();
    shard.put("invoices", referring(&[("order", "orders", Restrict)])).unwrap();
    let refusal = shard.put("customers", ending()).unwrap_err();
    assert!(refusal.detail().contains("the reference \"customer\" of \"orders\" (cascade)"), "{refusal}");
    shard.put("invoices", Collection::default()).unwrap();
    shard.put("customers", ending()).unwrap();
    let refusal = shard.put("invoices", referring(&[("order", "orders", Restrict)])).unwrap_err();
    assert_eq!(
        (refusal.code(), &refusal.facts()["target_collection"]),
        (Code::Conflict, &"customers".into())
    );
}

#[test]
fn what_cannot_be_a_reference_is_refused() {
    let mut shard = Shard::new();
    let named =
        (0..17).map(|number| (format!("r{number}").parse().unwrap(), reference("/up", "nodes", Cascade)));
    let many = Collection { references: named.collect(), ..Collection::default() };
    check(
        shard.put("nodes", many),
        Code::Invalid,
        "the collection \"nodes\" has 17 references, and at most 16 are allowed: leave some out",
    );
    let whole = [(Name::from_static("up"), reference("", "nodes", Cascade))];
    check(
        shard.put("nodes", Collection { references: whole.into(), ..Collection::default() }),
        Code::Invalid,
        "the collection \"nodes\" has the reference \"up\" on the whole document: name a member of it, as in \"/customer\"",
    );
}

#[test]
fn indexes_and_references_have_numbers_of_one_counter() {
    let mut shard = Shard::new();
    let index = || mainstay_machine::index::Index::new(vec!["/a".parse().unwrap()], false).unwrap();
    let with = |references: Collection, indexes: &[&'static str]| Collection {
        indexes: indexes.iter().map(|name| (Name::from_static(name), index())).collect(),
        ..references
    };
    let numbers = |shard: &Shard| -> Vec<u32> {
        let nodes = shard.0.definitions.get(&Tenant::DEFAULT, &Name::from_static("nodes")).unwrap();
        let indexes = nodes.indexes().map(|(_, number, _)| number);
        indexes.chain(nodes.references().map(|(_, number, _)| number)).collect()
    };
    shard.put("nodes", with(referring(&[("up", "nodes", Cascade)]), &["a"])).unwrap();
    assert_eq!(numbers(&shard), [0, 1]);
    shard
        .put("nodes", with(referring(&[("up", "nodes", Restrict), ("by", "nodes", Restrict)]), &["a", "b"]))
        .unwrap();
    assert_eq!(numbers(&shard), [0, 2, 3, 1], "what a deletion does is no other reference");
    shard.put("nodes", Collection::default()).unwrap();
    shard.put("nodes", referring(&[("up", "nodes", Restrict)])).unwrap();
    assert_eq!(numbers(&shard), [4], "one that is made again is another");
    let read = Definitions::load(&shard.0.state).unwrap();
    assert_eq!(read, shard.0.definitions);
}

//! Purges: what of a retired collection is removed, once, with all that finds it, and what stays.

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::slot;
use mainstay_machine::command::Operation;
use mainstay_machine::definition::Definition;
use mainstay_machine::index::Index;
use mainstay_machine::index::state::Reached;
use mainstay_machine::purge::{self, Purging, Stock};
use mainstay_machine::reference::{OnDelete, Reference};
use mainstay_machine::row::Parts;
use mainstay_machine::task::{Adopt, Remove, StartPurge};
use mainstay_machine::{Collection, Definitions, Outcome, Refusal, Task, definition};

use crate::expiry::put_for;
use crate::world::*;

const DOCS: Name = Name::from_static("docs");

/// With a collection `docs` that has a unique index, and is served.
fn world() -> World {
    let index = Index::new(vec!["/n".parse().unwrap()], true).unwrap();
    let collection =
        Collection { indexes: [(Name::from_static("n"), index)].into(), ..Collection::default() };
    let mut world =
        World { definitions: Definitions::sample([(Tenant::DEFAULT, DOCS, collection)]), ..World::new() };
    let rows = world.definitions.rows();
    world.state.apply(&rows);
    world
}

impl World {
    /// Serves it no longer, or again, as the shard's log would say.
    fn adopt(&mut self, is_retired: bool) {
        let after = definition::revision(&self.state).unwrap();
        let found = definition::get(&self.state, &Tenant::DEFAULT, &DOCS).unwrap().unwrap();
        let changed = vec![(Tenant::DEFAULT, DOCS, Definition { is_retired, ..found })];
        let evaluated = self.run_input(&Task::from(Adopt { after, to: after + 1, changed }).into());
        self.definitions = Definitions::clone(&evaluated.definitions.unwrap());
    }

    fn start(&mut self) -> Result<(), Refusal> {
        let start = StartPurge { tenant: Tenant::DEFAULT, collection: DOCS };
        match self.run_input(&Task::from(start).into()).outcome {
            Outcome::Committed(_) => Ok(()),
            Outcome::Refused(refusal) => Err(*refusal),
        }
    }

    /// Looks for the next items, and has them removed.
    fn remove(&mut self, from: Option<&str>, keys: &[&str], is_last: bool) {
        let items = keys.iter().map(|key| reached(key)).collect();
        let from = from.map(reached);
        let remove = Remove { tenant: Tenant::DEFAULT, collection: DOCS, from, items, is_last };
        let outcome = self.run_input(&Task::from(remove).into()).outcome;
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }

    fn purging(&self) -> Option<Purging> {
        purge::purging(&[&self.state], &Tenant::DEFAULT, &DOCS).unwrap()
    }

    /// Rows that items or their indexes and ends have, beside those of definitions.
    fn rows_of_items(&self) -> usize {
        let is_of_items = |row: &[u8]| match Parts::of(row) {
            Ok(Parts::Slot { .. }) => false,
            Ok(_) => true,
            // Entries of indexes and ends.
            Err(_) => matches!(row[..2], [0x10, 4 | 5]),
        };
        self.state.rows().filter(|(row, _)| is_of_items(row)).count()
    }
}

fn reached(key: &str) -> Reached {
    let partition = command("u7", vec![], vec![]).partition;
    Reached { slot: slot(&Tenant::DEFAULT, &partition).get(), key: key.parse().unwrap() }
}

#[test]
fn only_a_retired_collection_is_purged() {
    let mut world = world();
    let refusal = world.start().unwrap_err();
    assert_eq!(refusal.code(), Code::Conflict);
    assert!(refusal.detail().ends_with("only a retired one is purged: retire it first"), "{refusal}");
    let other = Name::from_static("other");
    let refusal = purge::check(&world.definitions, &Tenant::DEFAULT, &other).unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    assert_eq!(world.purging(), None);
    world.adopt(true);
    world.start().unwrap();
    assert_eq!(world.purging(), Some(Purging { begun: 1, of: 1, ..Purging::default() }));
}

#[test]
fn items_go_with_all_that_finds_them_and_once_and_what_is_held_stays() {
    let mut world = world();
    let keys = ["u7/a", "u7/b", "u7/c", "u7/d"];
    for (number, key) in keys.iter().enumerate() {
        world.done(vec![put_for(&format!("docs/{key}"), &format!("{{\"n\":{number}}}"), 60)]);
    }
    world.done(vec![Operation::Hold { item: named("docs/u7/b"), name: Name::from_static("case-7") }]);
    world.adopt(true);
    world.start().unwrap();
    assert_eq!(purge::stock(&world.state, &Tenant::DEFAULT, &DOCS), Ok(Stock { items: 4, held: 1 }));
    world.remove(None, &keys[..2], false);
    let before = world.state.clone();
    world.remove(None, &keys[..2], false);
    world.start().unwrap();
    assert_eq!(world.state, before, "what is done twice is done once");
    world.remove(Some("u7/b"), &keys[2..], true);
    let purging = world.purging().unwrap();
    assert_eq!((purging.removed, purging.held, purging.as_str()), (3, 1, "purged"));
    assert!(world.item("docs/u7/b").is_some());
    assert_eq!(world.rows_of_items(), 3, "the held item, its entry, and that it has its values");
    let done = world.state.clone();
    world.remove(Some("u7/d"), &["u7/b"], true);
    assert_eq!(world.state, done, "it is over");
    let held = purge::check_stock(&DOCS, &Stock { items: 1, held: 1 }).unwrap_err();
    assert_eq!((held.code(), &held.facts()["held"]), (Code::Conflict, &1.into()));
    world.start().unwrap();
    assert_eq!(world.purging().unwrap().removed, 0, "another one begins anew");
}

#[test]
fn what_others_refer_to_stays_until_they_do_not() {
    let name = Name::from_static("doc");
    let on = "/doc".parse().unwrap();
    let reference = Reference { on, collection: DOCS, on_delete: OnDelete::Restrict };
    let notes = Collection { references: [(name, reference)].into(), ..Collection::default() };
    let collections = [(DOCS, Collection::default()), (Name::from_static("notes"), notes)];
    let named = collections.map(|(name, collection)| (Tenant::DEFAULT, name, collection));
    let mut world = World { definitions: Definitions::sample(named), ..World::new() };
    let rows = world.definitions.rows();
    world.state.apply(&rows);
    world.done(vec![put("docs/u7/a", "{}"), put("docs/u7/b", "{}"), put("notes/u7/1", r#"{"doc":"u7/a"}"#)]);
    world.adopt(true);
    world.start().unwrap();
    world.remove(None, &["u7/a", "u7/b"], true);
    let purging = world.purging().unwrap();
    assert_eq!((purging.removed, purging.held), (1, 1));
    assert!(world.item("docs/u7/a").is_some() && world.item("docs/u7/b").is_none());
    world.done(vec![Operation::Delete { item: crate::world::named("notes/u7/1") }]);
    world.start().unwrap();
    world.remove(None, &["u7/a"], true);
    let purging = world.purging().unwrap();
    assert_eq!((purging.removed, purging.held), (1, 0));
    assert!(world.item("docs/u7/a").is_none());
}

#[test]
fn a_collection_that_is_served_again_is_purged_no_further() {
    let mut world = world();
    world.done(vec![put("docs/u7/a", "{\"n\":1}"), put("docs/u7/b", "{\"n\":2}")]);
    world.adopt(true);
    world.start().unwrap();
    world.remove(None, &["u7/a"], false);
    world.adopt(false);
    assert_eq!(world.purging(), None);
    world.remove(Some("u7/a"), &["u7/b"], true);
    assert!(world.item("docs/u7/b").is_some());
    assert!(!world.done(vec![put("docs/u7/a", "{\"n\":1}")])[0].existed, "what was removed is gone");
}

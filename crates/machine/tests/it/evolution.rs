//! Schemas of collections: what is written is valid, what was written earlier is read as the newest version has it, and is brought to it.

use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{PartitionBy, slot};
use mainstay_machine::command::{Change, Define, Expected, Request};
use mainstay_machine::index::State as IndexState;
use mainstay_machine::item::{self, Item};
use mainstay_machine::query::{self, Standing};
use mainstay_machine::row::{IndexName, RowKey};
use mainstay_machine::state::State;
use mainstay_machine::{Collection, Command, Outcome, Refusal, Version};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::space::*;
use crate::world::*;

/// A collection whose documents are closed objects with these members, `default` in those that have one.
fn closed(properties: &Value, renames: &Value, compatibility: &str) -> Collection {
    let schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    with_schema(&schema, renames, compatibility)
}

fn with_schema(schema: &Value, renames: &Value, compatibility: &str) -> Collection {
    let documents = json!({
        "json_schema": schema, "compatibility": compatibility, "evolution": { "renames": renames },
    });
    serde_json::from_value(json!({ "schema": documents })).unwrap()
}

fn indexed(collection: Collection, on: &str) -> Collection {
    let indexes = serde_json::from_value(json!({ "by": [on] })).unwrap();
    Collection { indexes, ..collection }
}

impl Space {
    /// Changes the definition as a caller does who knows how far the items are, and brings the shards up.
    fn change(&mut self, change: Change) -> Outcome {
        let known = self.system.definitions.get(&Tenant::DEFAULT, &DOCS).map(|known| known.schema);
        let settled = known.filter(|_| self.is_through()).unwrap_or_default();
        let define = Define { name: DOCS, change, expected: Expected::Anything, settled };
        let partition = define.partition();
        let request = Request::Define(define);
        let outcome = run(&mut self.system, Command { partition, request, ..command("x", vec![], vec![]) });
        self.adopt();
        outcome
    }

    fn put_definition(&mut self, collection: Collection) -> Outcome {
        self.change(Change::Put(Box::new(collection)))
    }

    /// Whether all items were gone through.
    fn is_through(&self) -> bool {
        let row = RowKey::index_state(IndexName {
            tenant: &Tenant::DEFAULT,
            collection: &DOCS,
            number: IndexName::DOCUMENTS,
        });
        self.shards.iter().all(|shard| {
            let state = shard.state.get(&row).unwrap().map(|value| IndexState::decode(&value).unwrap());
            state.is_none_or(|state| state.is_through())
        })
    }

    fn version(&self) -> Version {
        self.definition().version
    }

    fn standing(&self) -> Standing {
        let states: Vec<&dyn State> = self.shards.iter().map(|shard| &shard.state as &dyn State).collect();
        query::standing(&states, &Tenant::DEFAULT, (&DOCS, self.definition())).unwrap()
    }

    /// An item as it is stored.
    fn stored(&self, key: &str) -> Option<Item> {
        let key = key.parse().unwrap();
        let slot = slot(&Tenant::DEFAULT, &PartitionBy::FirstSegment.partition(&key));
        item::get(&self.shards[at(SHARDS, slot)].state, slot, &Tenant::DEFAULT, &DOCS, &key).unwrap()
    }

    /// Every document as it is read, by key.
    fn read(&self) -> BTreeMap<String, Value> {
        let pages = self.all(&query_of("")).unwrap();
        let listed = pages.into_iter().flat_map(|page| page.items);
        let pair = |listed: item::Listed| {
            (listed.key.as_str().to_owned(), serde_json::from_slice(&listed.item.bytes).unwrap())
        };
        listed.map(pair).collect()
    }
}

fn defined(collection: &Collection) -> Space {
    let mut space = Space::empty();
    assert!(is_done(&space.put_definition(collection.clone())));
    space
}

fn query_of(filter: &str) -> mainstay_machine::shards::List {
    crate::queries::query(filter)
}

fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => *refusal,
        Outcome::Committed(_) => panic!("it was to be refused"),
    }
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed(_))
}

#[test]
fn what_is_not_valid_is_refused_with_every_violation_and_kept_out() {
    let mut space =
        defined(&closed(&json!({"n": {"minimum": 1}, "t": {"type": "string"}}), &json!({}), "full"));
    assert!(is_done(&space.put("a", r#"{"n":1}"#)));
    let refusal = refused(space.put("a", r#"{"n":0,"t":1,"x":2}"#));
    assert_eq!(refusal.code(), Code::Invalid);
    let facts = refusal.facts();
    let pointers: Vec<_> =
        facts["violations"].as_array().unwrap().iter().map(|it| it["pointer"].as_str().unwrap()).collect();
    assert_eq!((pointers, facts["schema"].clone()), (vec!["", "/n", "/t"], json!(1)));
    assert!(refusal.detail().contains("(put docs/\"a\")"), "{}", refusal.detail());
    assert_eq!(space.stored("a").unwrap().bytes, r#"{"n":1}"#);
    let patch = |patch: &str| vec![merge_patch("docs/a", patch)];
    assert_eq!(refused(space.commit(patch(r#"{"n":-1}"#))).code(), Code::Invalid);
    assert!(is_done(&space.commit(patch(r#"{"t":"b"}"#))));
    assert_eq!(refused(space.commit(vec![increment("docs/a", "/n", -1)])).code(), Code::Invalid);
    let png = refused(space.commit(vec![put_bytes("docs/a", "image/png", b"\x89")]));
    assert_eq!(png.code(), Code::UnsupportedMediaType);
}

#[test]
fn a_version_that_breaks_its_promise_is_refused_with_the_places_and_another_declaration_takes_it() {
    let old = closed(&json!({"n": {"type": "integer"}}), &json!({}), "forward");
    let mut space = defined(&old);
    let narrow =
        |compatibility| closed(&json!({"n": {"type": "integer", "minimum": 1}}), &json!({}), compatibility);
    let refusal = refused(space.put_definition(narrow("backward")));
    assert_eq!(refusal.code(), Code::Conflict);
    assert_eq!(refusal.facts()["findings"][0]["pointer"], "/properties/n/minimum");
    assert_eq!(refusal.facts()["findings"][0]["direction"], "backward");
    assert_eq!(space.definition().schema, 1);
    assert!(is_done(&space.put_definition(narrow("forward"))));
    assert_eq!(space.definition().schema, 2);
    let refusal = refused(space.put_definition(old));
    assert_eq!(refusal.code(), Code::Conflict, "wider again is not what the last version's readers expect");
}

#[test]
fn a_rename_and_a_default_go_with_a_closed_schema_that_requires_them() {
    let schema = |required: &Value, properties: &Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let old = schema(&json!(["name"]), &json!({"name": {"type": "string"}}));
    let new = schema(
        &json!(["full", "lang"]),
        &json!({"full": {"type": "string"}, "lang": {"type": "string", "default": "en"}}),
    );
    let mut space = defined(&with_schema(&old, &json!({}), "backward"));
    assert!(is_done(&space.put("a", r#"{"name":"A"}"#)));
    assert_eq!(
        refused(space.put_definition(with_schema(&new, &json!({}), "backward"))).code(),
        Code::Conflict
    );
    assert!(is_done(&space.put_definition(with_schema(&new, &json!({"/full": "/name"}), "backward"))));
    assert_eq!(space.read()["a"], json!({"full": "A", "lang": "en"}));
    assert_eq!(space.stored("a").unwrap().bytes, r#"{"name":"A"}"#, "nothing was rewritten yet");
    assert!(is_done(&space.commit(vec![merge_patch("docs/a", r#"{"lang":"de"}"#)])));
    assert_eq!(
        space.stored("a").unwrap().bytes,
        r#"{"full":"A","lang":"de"}"#,
        "a change is of what is read"
    );
}

#[test]
fn items_are_brought_to_the_version_without_being_changed() {
    let mut space = defined(&indexed(closed(&json!({"name": {}}), &json!({}), "none"), "/name"));
    for key in 0..20 {
        assert!(is_done(&space.put(&format!("{key}"), &format!(r#"{{"name":{key}}}"#))));
    }
    let before = space.stored("7").unwrap();
    let next = indexed(
        closed(&json!({"full": {}, "d": {"default": 1}}), &json!({"/full": "/name"}), "none"),
        "/full",
    );
    assert!(is_done(&space.put_definition(next)));
    let found = |space: &Space| space.all(&query_of("value.full == 7")).unwrap();
    let early = found(&space);
    assert_eq!(early[0].work.index, None, "entries are of what is stored");
    assert_eq!(early[0].items.len(), 1);
    assert!(space.tend(3, usize::MAX));
    let after = space.stored("7").unwrap();
    assert_eq!(after.bytes, r#"{"full":7,"d":1}"#);
    assert_eq!((after.version, after.updated, after.schema), (before.version, before.updated, 2));
    assert!(after.is_rewritten && !before.is_rewritten);
    let late = found(&space);
    assert_eq!((late[0].work.index.as_ref().map(Name::as_str), late[0].items.len()), (Some("by"), 1));
    assert_eq!(space.standing().documents.unwrap().as_str(), "ready");
    assert!(is_done(&space.put("7", r#"{"full":7}"#)));
    assert!(!space.stored("7").unwrap().is_rewritten, "a change is a change again");
}

#[test]
fn an_index_on_what_a_version_leaves_alone_serves_meanwhile() {
    let properties = |name: &str| json!({name: {}, "k": {}});
    let mut space = defined(&indexed(closed(&properties("a"), &json!({}), "none"), "/k"));
    assert!(is_done(&space.put("1", r#"{"a":1,"k":2}"#)));
    assert!(is_done(
        &space.put_definition(indexed(closed(&properties("b"), &json!({"/b": "/a"}), "none"), "/k"))
    ));
    assert_ne!(space.standing().documents.unwrap().as_str(), "ready");
    let pages = space.all(&query_of("value.k == 2 && value.b == 1")).unwrap();
    assert_eq!((pages[0].work.index.as_ref().map(Name::as_str), pages[0].items.len()), (Some("by"), 1));
}

#[test]
fn documents_that_are_not_valid_are_counted_and_looked_at_again_after_a_change() {
    let mut space = defined(&Collection::default());
    assert!(is_done(&space.put("a", r#"{"n":0}"#)) && is_done(&space.put("b", r#"{"n":5}"#)));
    let strict = closed(&json!({"n": {"minimum": 1}}), &json!({}), "backward");
    assert!(
        is_done(&space.put_definition(strict.clone())),
        "a first schema promises nothing to what is there"
    );
    assert!(space.tend(1, usize::MAX));
    let progress = space.standing().documents.unwrap();
    let misfits = progress.misfits.as_ref().unwrap();
    assert_eq!((progress.as_str(), misfits.items, misfits.key.as_str()), ("invalid", 1, "a"));
    assert_eq!(misfits.reason, "/n must be at least 1");
    assert!(is_done(&space.put("a", r#"{"n":1}"#)));
    let ttl = serde_json::from_value(json!("30d")).unwrap();
    assert!(is_done(&space.put_definition(Collection { ttl: Some(ttl), ..strict })));
    assert!(space.tend(1, usize::MAX));
    assert_eq!(space.standing().documents.unwrap().as_str(), "ready");
}

#[test]
fn a_version_that_provably_fits_needs_no_look_at_items() {
    let mut space = defined(&closed(&json!({"n": {"type": "integer"}}), &json!({}), "backward"));
    assert!(is_done(&space.put("a", r#"{"n":1}"#)));
    let wider = closed(&json!({"n": {"type": "number"}, "m": {}}), &json!({}), "backward");
    assert!(is_done(&space.put_definition(wider)));
    assert_eq!((space.definition().schema, space.standing().documents.unwrap().as_str()), (2, "ready"));
}

#[test]
fn what_an_index_cannot_take_of_a_brought_document_makes_the_index_invalid() {
    let unique = |collection: Collection| {
        let indexes = serde_json::from_value(json!({ "by": {"on": ["/b"], "unique": true} })).unwrap();
        Collection { indexes, ..collection }
    };
    let mut space = defined(&unique(closed(&json!({"a": {}, "b": {}}), &json!({}), "none")));
    assert!(is_done(&space.put("p/1", r#"{"a":7}"#)) && is_done(&space.put("p/2", r#"{"b":7}"#)));
    assert!(is_done(&space.put_definition(unique(closed(&json!({"b": {}}), &json!({"/b": "/a"}), "none")))));
    assert!(space.tend(10, usize::MAX));
    let standing = space.standing();
    assert_eq!(standing.documents.unwrap().as_str(), "ready");
    assert_eq!(standing.indexes[&Name::from_static("by")].as_str(), "invalid");
    assert_eq!(space.stored("p/1").unwrap().bytes, r#"{"b":7}"#);
}

#[test]
fn a_rollback_takes_back_what_is_brought_and_what_is_not() {
    let old = closed(&json!({"name": {}}), &json!({}), "backward");
    let mut space = defined(&old);
    let first = space.version();
    for key in 0..20 {
        assert!(is_done(&space.put(&format!("{key}"), &format!(r#"{{"name":{key}}}"#))));
    }
    let documents = space.read();
    let next = closed(&json!({"full": {}, "d": {"default": 1}}), &json!({"/full": "/name"}), "backward");
    assert!(is_done(&space.put_definition(next)));
    assert!(!space.tend(2, 4), "some are brought, others are not");
    assert!(is_done(&space.change(Change::Rollback(first))));
    assert_eq!(space.definition().collection, old);
    assert_eq!(space.read(), documents);
    assert!(space.tend(3, usize::MAX));
    assert_eq!((space.read(), space.definition().schema), (documents, 3));
    let is_as_before =
        |key: u32| space.stored(&key.to_string()).unwrap().bytes == format!(r#"{{"name":{key}}}"#);
    assert!((0..20).all(is_as_before));
    assert_eq!(space.standing().documents.unwrap().as_str(), "ready");
}

#[test]
fn items_are_only_so_many_versions_behind() {
    let version = |number: u32| closed(&json!({ "n": {"maximum": number} }), &json!({}), "none");
    let mut space = defined(&version(0));
    assert!(is_done(&space.put("a", r#"{"n":0}"#)));
    for number in 1..=8 {
        assert!(is_done(&space.put_definition(version(number))), "{number}");
    }
    let refusal = refused(space.put_definition(version(9)));
    assert_eq!((refusal.code(), refusal.facts()["behind"].clone()), (Code::Conflict, json!(8)));
    assert!(space.tend(10, usize::MAX));
    assert!(is_done(&space.put_definition(version(9))));
    assert_eq!(space.definition().steps.len(), 1, "what all are past is forgotten");
}

#[test]
fn only_json_has_a_schema() {
    let mut space = defined(&Collection::default());
    let png = Collection {
        content_type: Some("image/png".parse().unwrap()),
        ..closed(&json!({}), &json!({}), "none")
    };
    assert_eq!(refused(space.put_definition(png)).code(), Code::Invalid);
    let nothing: Collection = serde_json::from_value(json!({"schema": {}})).unwrap();
    assert_eq!(refused(space.put_definition(nothing)).code(), Code::Invalid);
    let file: Collection = serde_json::from_value(json!({"schema": {"file": "a.json"}})).unwrap();
    assert_eq!(refused(space.put_definition(file)).code(), Code::Invalid);
}

/// What happens to a collection whose documents are closed objects of the members `a` to `d`.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A document of the members that there are has this under the first of them.
    Put(u8, u8),
    Patch(u8, u8),
    Delete(u8),
    /// A version with one member renamed, and perhaps one more that has a default.
    Evolve {
        from: usize,
        to: usize,
        filled: Option<usize>,
    },
    Tend {
        page: usize,
        tasks: usize,
    },
    /// Back to the version before.
    Back,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 0..4_u8).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..6_u8, 0..4_u8).prop_map(|(key, value)| Step::Patch(key, value)),
        1 => (0..6_u8).prop_map(Step::Delete),
        2 => (0..4_usize, 0..4_usize, prop::option::of(0..4_usize))
            .prop_map(|(from, to, filled)| Step::Evolve { from, to, filled }),
        3 => (1..4_usize, 1..4_usize).prop_map(|(page, tasks)| Step::Tend { page, tasks }),
        1 => Just(Step::Back),
    ]
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The documents, changed as soon as the definition is.
struct Naive {
    documents: BTreeMap<String, Map<String, Value>>,
    /// The members of each version, and the one that has a default.
    versions: Vec<(Vec<&'static str>, Option<&'static str>)>,
}

impl Naive {
    fn first(&self) -> &'static str {
        self.versions.last().unwrap().0[0]
    }
}

fn members_of(names: &[&str], filled: Option<&str>) -> Value {
    let property = |name: &&str| {
        let schema = if Some(*name) == filled { json!({"default": 9}) } else { json!({}) };
        ((*name).to_owned(), schema)
    };
    Value::Object(names.iter().map(property).collect())
}

proptest! {
    // Each case reads everything after each step.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 32))]

    #[test]
    fn documents_are_read_as_if_all_were_changed_at_once(steps in prop::collection::vec(step(), 1..40)) {
        let mut both = Both::new();
        for step in steps {
            both.take(step);
            both.compare();
        }
        both.finish();
    }
}

/// The collection and what it is to be.
struct Both {
    space: Space,
    naive: Naive,
    versions: Vec<Version>,
}

impl Both {
    fn new() -> Self {
        let space = defined(&indexed(closed(&members_of(&["a"], None), &json!({}), "none"), "/a"));
        let naive = Naive { documents: BTreeMap::new(), versions: vec![(vec!["a"], None)] };
        let versions = vec![space.version()];
        Self { space, naive, versions }
    }

    fn take(&mut self, step: Step) {
        let Self { space, naive, .. } = self;
        match step {
            Step::Put(key, value) => {
                let document = json!({ naive.first(): value });
                assert!(is_done(&space.put(&key.to_string(), &document.to_string())));
                naive.documents.insert(key.to_string(), document.as_object().unwrap().clone());
            }
            Step::Patch(key, value) => {
                let patch = json!({ naive.first(): value });
                let patch = merge_patch(&format!("docs/{key}"), &patch.to_string());
                assert!(is_done(&space.commit(vec![patch])));
                let first = naive.first().to_owned();
                naive.documents.entry(key.to_string()).or_default().insert(first, json!(value));
            }
            Step::Delete(key) => {
                assert!(is_done(&space.commit(vec![delete(&format!("docs/{key}"))])));
                naive.documents.remove(&key.to_string());
            }
            Step::Evolve { from, to, filled } => self.evolve(from, NAMES[to], filled.map(|it| NAMES[it])),
            Step::Tend { page, tasks } => drop(space.tend(page, tasks)),
            Step::Back => self.back(),
        }
    }

    /// Whether a change of the definition was made; it is refused when items are too far behind.
    fn changes(&mut self, change: Change) -> bool {
        let outcome = self.space.change(change);
        let is_done = is_done(&outcome);
        if !is_done {
            assert_eq!(refused(outcome).facts()["behind"], json!(8));
        }
        is_done
    }

    fn evolve(&mut self, from: usize, to: &'static str, filled: Option<&'static str>) {
        let mut members = self.naive.versions.last().unwrap().0.clone();
        let from = members[from % members.len()];
        if members.contains(&to) {
            return;
        }
        let filled = filled.filter(|it| !members.contains(it) && *it != to);
        *members.iter_mut().find(|it| **it == from).unwrap() = to;
        members.extend(filled);
        let renames = json!({ format!("/{to}"): format!("/{from}") });
        let next =
            indexed(closed(&members_of(&members, filled), &renames, "none"), &format!("/{}", members[0]));
        if !self.changes(Change::Put(Box::new(next))) {
            return;
        }
        for document in self.naive.documents.values_mut() {
            rename(document, from, to);
            if let Some(filled) = filled {
                document.entry(filled).or_insert(json!(9));
            }
        }
        self.naive.versions.push((members, filled));
        self.versions.push(self.space.version());
    }

    fn back(&mut self) {
        let [.., to, _] = self.versions[..] else { return };
        if !self.changes(Change::Rollback(to)) {
            return;
        }
        let (now, _) = self.naive.versions.pop().unwrap();
        self.versions.pop();
        // The definition is another version that says the same.
        *self.versions.last_mut().unwrap() = self.space.version();
        let (before, default) = self.naive.versions.last().unwrap();
        let filled = now.get(before.len());
        for document in self.naive.documents.values_mut() {
            if let Some(filled) = filled.filter(|it| document.get(**it) == Some(&json!(9))) {
                document.remove(*filled);
            }
            for (new, old) in now.iter().zip(before).filter(|(new, old)| new != old) {
                rename(document, new, old);
            }
            if let Some(default) = default {
                document.entry(*default).or_insert(json!(9));
            }
        }
    }

    fn compare(&self) {
        let Self { space, naive, .. } = self;
        let read: BTreeMap<_, _> =
            space.read().into_iter().map(|(key, value)| (key, value.as_object().unwrap().clone())).collect();
        assert_eq!(read, naive.documents);
        let first = naive.first();
        for value in 0..4 {
            let filter = format!("value.{first} == {value}");
            let pages = space.all(&query_of(&filter)).unwrap();
            let mut found: Vec<_> =
                pages.iter().flat_map(|page| &page.items).map(|it| it.key.as_str()).collect();
            found.sort_unstable();
            let wanted = naive.documents.iter().filter(|(_, document)| document[first] == json!(value));
            assert_eq!(found, wanted.map(|(key, _)| key.as_str()).collect::<Vec<_>>(), "{filter}");
        }
    }

    /// Brings all items up: then they are stored as they are read.
    fn finish(mut self) {
        assert!(self.space.tend(2, usize::MAX));
        assert!(self.space.is_through());
        for (key, document) in &self.naive.documents {
            let stored = self.space.stored(key).unwrap();
            assert_eq!(serde_json::from_slice::<Map<String, Value>>(&stored.bytes).unwrap(), *document);
        }
        self.compare();
    }
}

fn rename(document: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = document.remove(from) {
        document.insert(to.to_owned(), value);
    }
}

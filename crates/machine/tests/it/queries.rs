//! Queries through indexes and without, over several shards, against what a list of documents says.

use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::{Name, Tenant};
use mainstay_machine::expression::{Expression, Item as Subject};
use mainstay_machine::index::{Index, State as IndexState};
use mainstay_machine::query::{self, Plan};
use mainstay_machine::row::{IndexName, RowKey, RowRange};
use mainstay_machine::shards::{Consistency, Cursor, List, Page, Search};
use mainstay_machine::state::{Memory, State, Walk};
use mainstay_machine::{Collection, Outcome};
use proptest::prelude::*;

use crate::space::*;
use crate::world::*;

fn index(on: &[&str]) -> Index {
    Index::new(on.iter().map(|pointer| pointer.parse().unwrap()).collect(), false).unwrap()
}

fn indexed(indexes: &[(&'static str, &[&str])]) -> Collection {
    let named = indexes.iter().map(|(name, on)| (Name::from_static(name), index(on)));
    Collection { indexes: named.collect(), ..Collection::default() }
}

pub(crate) fn query(filter: &str) -> List {
    let filter = (!filter.is_empty()).then(|| Expression::parse(filter).unwrap());
    List {
        tenant: Tenant::DEFAULT,
        collection: DOCS,
        partition: None,
        prefix: String::new(),
        after: None,
        limit: 100,
        bytes_max: usize::MAX,
        search: Search { filter, reads_max: 10_000, ..Search::default() },
        consistency: Consistency::Linearizable,
    }
}

fn ordered(list: List, order: &[&str], is_descending: bool) -> List {
    let order = order.iter().map(|pointer| pointer.parse().unwrap()).collect();
    List { search: Search { order, is_descending, ..list.search }, ..list }
}

fn keys(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| &page.items).map(|listed| listed.key.to_string()).collect()
}

/// A hundred documents whose states take turns.
fn filled(space: &mut Space) {
    for number in 0..100 {
        let state = ["new", "paid", "sent"][number % 3];
        let value = format!(
            "{{\"state\":\"{state}\",\"total\":{},\"tags\":[\"t{}\",\"all\"]}}",
            number % 10,
            number % 7
        );
        assert!(matches!(space.put(&format!("u{number}/a"), &value), Outcome::Committed(_)));
    }
}

#[test]
fn an_index_narrows_what_is_looked_at() {
    let mut space = Space::new(&indexed(&[("by_state", &["/state", "/total"]), ("by_tag", &["/tags"])]));
    filled(&mut space);
    for (filter, found, entries_max) in [
        ("value.state == 'new'", 34, 34),
        ("value.state == 'new' && value.total >= 8", 7, 7),
        ("value.state in ['new', 'sent'] && value.total == 1", 6, 67),
        ("'t3' in value.tags", 14, 14),
        ("value.state == 'gone'", 0, 0),
        ("value.state.startsWith('s')", 33, 33),
    ] {
        let pages = space.all(&query(filter)).unwrap();
        assert_eq!((pages.len(), pages[0].items.len()), (1, found), "{filter}");
        let work = &pages[0].work;
        assert!(
            work.index.is_some() && work.entries <= entries_max && work.items <= entries_max,
            "{filter}: {work:?}"
        );
    }
    let pages = space.all(&query("value.total == 3")).unwrap();
    assert_eq!(
        (pages[0].items.len(), &pages[0].work.index, pages[0].work.items),
        (10, &None, 100),
        "no index helps"
    );
}

#[test]
fn an_order_goes_through_an_index_either_way() {
    let mut space = Space::new(&indexed(&[("by_total", &["/total", "/state"])]));
    filled(&mut space);
    let totals = |pages: &[Page]| -> Vec<i64> {
        let items = pages.iter().flat_map(|page| &page.items);
        items
            .map(|it| {
                serde_json::from_slice::<serde_json::Value>(&it.item.bytes).unwrap()["total"]
                    .as_i64()
                    .unwrap()
            })
            .collect()
    };
    for is_descending in [false, true] {
        let list = List { limit: 7, ..ordered(query("value.state == 'new'"), &["/total"], is_descending) };
        let pages = space.all(&list).unwrap();
        assert!(pages.iter().all(|page| page.items.len() <= 7) && pages.len() >= 5);
        let mut expected = totals(&pages);
        expected.sort_unstable();
        if is_descending {
            expected.reverse();
        }
        assert_eq!(
            (totals(&pages), pages.iter().map(|page| page.items.len()).sum::<usize>()),
            (expected, 34)
        );
    }
    let list = ordered(query("value.total == 3"), &["/state"], false);
    assert_eq!(
        keys(&space.all(&list).unwrap()).len(),
        10,
        "a field of one value may be left out of the order"
    );
    let refusal = space.list(&ordered(query(""), &["/state"], false)).unwrap_err();
    assert_eq!(refusal.code(), Code::Invalid);
    assert_eq!(refusal.facts()["index_needed"], serde_json::json!(["/state"]));
    let list = ordered(query("value.state == 'new' && value.size > 3"), &["/age"], false);
    assert_eq!(space.list(&list).unwrap_err().facts()["index_needed"], serde_json::json!(["/state", "/age"]));
}

#[test]
fn a_page_that_costs_too_much_is_refused_with_the_index_that_would_help_or_goes_on_later() {
    let mut space = Space::new(&indexed(&[("by_tag", &["/tags"])]));
    filled(&mut space);
    let mut list = query("value.state == 'gone'");
    list.search.reads_max = 30;
    let refusal = space.list(&list).unwrap_err();
    assert_eq!(refusal.facts()["index_needed"], serde_json::json!(["/state"]));
    assert!(refusal.detail().contains("define an index on `/state`"), "{refusal}");
    let mut scan = List { search: Search { may_scan: true, ..list.search.clone() }, ..list };
    let pages = space.all(&scan).unwrap();
    assert!(pages.len() == 4 && keys(&pages).is_empty(), "{}", pages.len());
    scan.search.filter = Some(Expression::parse("'all' in value.tags && value.total == 3").unwrap());
    let pages = space.all(&scan).unwrap();
    assert_eq!(keys(&pages).len(), 10);
    assert!(
        pages.iter().all(|page| page.work.entries + page.work.items <= 30 + 2 * SHARDS as u64),
        "{pages:?}"
    );
}

#[test]
fn an_index_is_used_when_it_has_all_items_and_cursors_of_one_that_is_gone_end() {
    let mut space = Space::new(&Collection::default());
    filled(&mut space);
    space.define(&indexed(&[("by_state", &["/state"])]));
    let list = List { limit: 5, ..query("value.state == 'new'") };
    for (page, tasks) in [(3, 4), (3, 9), (3, 1000)] {
        let found = space.all(&list).unwrap();
        assert_eq!(keys(&found).len(), 34);
        assert_eq!(found[0].work.index, None, "it is being built");
        let forced = List {
            search: Search { index: Some(Name::from_static("by_state")), ..list.search.clone() },
            ..list.clone()
        };
        let refusal = space.list(&forced).unwrap_err();
        assert!(refusal.detail().contains("does not have all items yet"), "{refusal}");
        // Writers do not wait for it.
        space.put("u1/b", "{\"state\":\"new\"}");
        space.commit(vec![delete("docs/u1/b")]);
        space.tend(page, tasks);
    }
    let found = space.list(&list).unwrap();
    assert!(found.work.index.is_some());
    space.define(&Collection::default());
    assert!(space.tend(10, usize::MAX));
    let gone = space.list(&List { after: found.next, ..list.clone() }).unwrap_err();
    assert_eq!(gone.code(), Code::Gone);
    let is_entry = |row: &[u8]| row.starts_with(&[0x10, 3]) || row.starts_with(&[0x10, 4]);
    let left =
        space.shards.iter().flat_map(|shard| shard.state.rows()).filter(|(row, _)| is_entry(row)).count();
    assert_eq!(left, 0, "nothing of it is left");
}

#[test]
fn an_index_that_some_items_do_not_fit_into_is_not_used_and_says_why() {
    let mut space = Space::new(&Collection::default());
    let long = format!("{{\"state\":\"{}\"}}", "x".repeat(2000));
    assert!(matches!(space.put("u1/a", &long), Outcome::Committed(_)));
    space.define(&indexed(&[("by_state", &["/state"])]));
    assert!(space.tend(10, 100));
    let states: Vec<_> = space
        .shards
        .iter()
        .flat_map(|shard| shard.state.scan(&RowRange::index_states(), 9).unwrap())
        .collect();
    let invalid = states.iter().find_map(|(_, value)| match IndexState::decode(value).unwrap() {
        IndexState::Invalid(misfits) => Some(misfits),
        _ => None,
    });
    let misfits = invalid.expect("one has an item that does not fit");
    assert_eq!((misfits.items, misfits.key.as_str()), (1, "u1/a"));
    assert!(misfits.reason.contains("at most 1024 are allowed"), "{}", misfits.reason);
    assert_eq!(space.list(&query("value.state == 'new'")).unwrap().work.index, None);
    let Outcome::Refused(refusal) = space.put("u2/a", &long) else { panic!("it does not fit") };
    assert_eq!((refusal.code(), &refusal.facts()["index"]), (Code::Invalid, &"by_state".into()));
}

#[test]
fn values_of_a_unique_index_are_those_of_one_item_of_a_partition() {
    let unique = Index { unique: true, ..index(&["/email"]) };
    let collection =
        Collection { indexes: [(Name::from_static("email"), unique)].into(), ..Collection::default() };
    let mut space = Space::new(&collection);
    let person = |email: &str| format!("{{\"email\":{email}}}");
    assert!(matches!(space.put("u1/a", &person("\"a@x\"")), Outcome::Committed(_)));
    assert!(matches!(space.put("u2/a", &person("\"a@x\"")), Outcome::Committed(_)), "in another partition");
    assert!(matches!(space.put("u1/a", &person("\"a@x\"")), Outcome::Committed(_)), "its own");
    let Outcome::Refused(refusal) = space.put("u1/b", &person("\"a@x\"")) else { panic!("it is held") };
    assert_eq!((refusal.code(), &refusal.facts()["held_by"]), (Code::Conflict, &"u1/a".into()));
    for key in ["u1/b", "u1/c"] {
        assert!(matches!(space.put(key, "{}"), Outcome::Committed(_)), "what is absent is not held");
    }
    assert!(matches!(space.put("u1/a", &person("\"b@x\"")), Outcome::Committed(_)));
    assert!(matches!(space.put("u1/b", &person("\"a@x\"")), Outcome::Committed(_)), "it was given up");
    let swap =
        vec![delete("docs/u1/a"), put("docs/u1/b", &person("\"b@x\"")), put("docs/u1/a", &person("\"a@x\""))];
    assert!(matches!(space.commit(swap), Outcome::Committed(_)));
    assert!(matches!(space.commit(vec![delete("docs/u1/a")]), Outcome::Committed(_)));
    assert!(matches!(space.put("u1/c", &person("\"a@x\"")), Outcome::Committed(_)));
    space.define(&Collection::default());
    assert!(space.tend(1, 100));
    let held = |row: &[u8]| {
        matches!(mainstay_machine::row::Parts::of(row), Ok(mainstay_machine::row::Parts::Held { .. }))
    };
    assert!(!space.shards.iter().flat_map(|shard| shard.state.rows()).any(|(row, _)| held(row)));
    space.put("u1/a", &person("\"b@x\""));
    space.define(&collection);
    assert!(space.tend(10, 100));
    let states =
        space.shards.iter().flat_map(|shard| shard.state.scan(&RowRange::index_states(), 9).unwrap());
    let is_invalid = |value| matches!(IndexState::decode(&value).unwrap(), IndexState::Invalid(misfits) if misfits.reason.contains("has the same values"));
    assert_eq!(states.filter(|(_, value)| is_invalid(value.clone())).count(), 1, "what is twice is told");
}

fn scalar() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &["null", "true", "0", "1", "1.0", "2", "-3", "1e2", "\"a\"", "\"ab\"", "\"b\"", "{\"a\":1}"][..],
    )
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => scalar().prop_map(str::to_owned),
        1 => prop::collection::vec(scalar(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
    ]
}

fn document() -> impl Strategy<Value = String> {
    (prop::option::of(field()), prop::option::of(scalar()), prop::option::of(scalar())).prop_map(
        |(a, b, c)| {
            let members = [("a", a), ("b", b.map(str::to_owned)), ("c", c.map(str::to_owned))];
            let members =
                members.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, String),
    Delete(u8),
    /// Defines these of the indexes that there may be.
    Define(u8),
    /// Builds and drops for a while.
    Tend(usize),
    Query {
        filter: usize,
        order: usize,
        is_descending: bool,
        limit: usize,
    },
}

const FILTERS: [&str; 10] = [
    "",
    "value.a == 1",
    "value.a == 'a' && value.b == 1",
    "value.a in ['a', 1, null] && value.c != 2",
    "value.b > 0 && value.a == 'ab'",
    "'a' in value.a",
    "value.a.startsWith('a')",
    "value.b >= 1 && value.b < 100",
    "value.a == value.b",
    "1 in value.a && value.b == 1",
];

const ORDERS: [&[&str]; 5] = [&[], &["/a"], &["/b"], &["/b", "/a"], &["/c"]];

const INDEXES: [(&str, &[&str]); 4] =
    [("a", &["/a"]), ("ab", &["/a", "/b"]), ("ba", &["/b", "/a"]), ("c", &["/c"])];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..30, document()).prop_map(|(key, text)| Step::Put(key, text)),
        2 => (0u8..30).prop_map(Step::Delete),
        1 => (0u8..16).prop_map(Step::Define),
        2 => (0usize..12).prop_map(Step::Tend),
        4 => (0..FILTERS.len(), 0..ORDERS.len(), any::<bool>(), 1usize..6).prop_map(
            |(filter, order, is_descending, limit)| Step::Query { filter, order, is_descending, limit }
        ),
    ]
}

fn passes(filter: &str, text: &str) -> bool {
    let Ok(expression) = Expression::parse(if filter.is_empty() { "true" } else { filter }) else {
        return false;
    };
    let subject = Subject { value: Some(text), version: Some("1-1"), exists: true };
    expression.holds(&subject, &mut 100_000).unwrap_or(false)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever was written, defined, half built and dropped in between: every query gives what a list of the documents gives.
    #[test]
    fn queries_find_what_is_there(steps in prop::collection::vec(step(), 1..60)) {
        let mut space = Space::new(&Collection::default());
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(key, text) => {
                    let key = format!("u{}/{}", key % 6, key);
                    if matches!(space.put(&key, &text), Outcome::Committed(_)) {
                        model.insert(key, text);
                    }
                }
                Step::Delete(key) => {
                    let key = format!("u{}/{}", key % 6, key);
                    space.commit(vec![delete(&format!("docs/{key}"))]);
                    model.remove(&key);
                }
                Step::Define(which) => {
                    let chosen: Vec<_> = (0..4).filter(|bit| which & 1 << bit != 0).map(|bit| INDEXES[bit]).collect();
                    space.define(&indexed(&chosen));
                }
                Step::Tend(tasks) => drop(space.tend(2, tasks)),
                Step::Query { filter, order, is_descending, limit } => {
                    let (filter, order) = (FILTERS[filter], ORDERS[order]);
                    let list = List { limit, ..ordered(query(filter), order, is_descending) };
                    let Ok(pages) = space.all(&list) else {
                        prop_assert!(!order.is_empty(), "only an order can be impossible");
                        continue;
                    };
                    let mut found = keys(&pages);
                    let count = found.len();
                    found.sort();
                    found.dedup();
                    prop_assert_eq!(count, found.len(), "nothing is found twice");
                    let expected: Vec<_> = model.iter().filter(|(_, text)| passes(filter, text)).map(|(key, _)| key.clone()).collect();
                    prop_assert_eq!(found, expected, "{} {:?}", filter, order);
                    let all = pages.iter().flat_map(|page| &page.items).map(|listed| {
                        let text = std::str::from_utf8(&listed.item.bytes).unwrap();
                        mainstay_machine::index::entries(&index(&[order.first().copied().unwrap_or("/a")]), Some(text)).unwrap()
                    });
                    let all: Vec<_> = all.collect();
                    // Of an array the entry that was walked over is not known from outside.
                    if !order.is_empty() && all.iter().all(|entries| entries.len() == 1) {
                        let is_sorted = all.is_sorted_by(|one, other| if is_descending { one >= other } else { one <= other });
                        prop_assert!(is_sorted);
                    }
                }
            }
        }
    }

    #[test]
    fn damaged_entries_and_cursors_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..40), is_back: bool) {
        let mut space = Space::new(&indexed(&[("by_state", &["/state"])]));
        filled(&mut space);
        let after = Cursor::Entry { number: 0, is_back, entry: bytes.clone().into() };
        let _ = space.list(&List { after: Some(after), ..query("value.state == 'new'") });
        let of = IndexName { tenant: &Tenant::DEFAULT, collection: &DOCS, number: 0 };
        let row = of.entry_row(&[&[0x50], &bytes[..]].concat());
        space.shards[0].state.apply(&[mainstay_machine::Mutation::Put { key: row.into_bytes(), value: vec![1].into() }]);
        let definitions = space.system.definitions.clone();
        let definition = definitions.get(&Tenant::DEFAULT, &DOCS).unwrap();
        let states: Vec<&dyn State> = space.shards.iter().map(|shard| &shard.state as &dyn State).collect();
        let usable = query::usable(&states, &Tenant::DEFAULT, (&DOCS, definition)).unwrap();
        let list = ordered(query(""), &["/state"], is_back);
        let Ok(Plan::Index(through)) = query::plan(&list, &usable) else { panic!("it is ordered") };
        let walks: Vec<&dyn Walk> = space.shards.iter().map(|shard| &shard.state as &dyn Walk).collect();
        let _ = query::search(&walks, &through, &list, definition, NOW);
    }
}

#[test]
fn rows_of_items_and_entries_agree() {
    let mut space = Space::new(&indexed(&[("by_state", &["/state"])]));
    filled(&mut space);
    let of = IndexName { tenant: &Tenant::DEFAULT, collection: &DOCS, number: 0 };
    let all = of.entries(&mainstay_machine::index::Span::of(&[]));
    let entries: usize = space.shards.iter().map(|shard| shard.state.scan(&all, 1000).unwrap().len()).sum();
    assert_eq!(entries, 100);
    space.commit(vec![delete("docs/u1/a")]);
    space.put("u2/a", "{\"state\":\"other\"}");
    let entries: usize = space.shards.iter().map(|shard| shard.state.scan(&all, 1000).unwrap().len()).sum();
    assert_eq!(entries, 99);
    let row = RowKey::index_entry(
        of,
        &mainstay_machine::index::entries(&index(&["/state"]), Some("{\"state\":\"other\"}")).unwrap()[0],
        &"u2/a".parse().unwrap(),
    );
    assert!(
        space.shards.iter().any(|shard: &World| shard.state.get(&row).unwrap().is_some()),
        "{:?}",
        Memory::default()
    );
}

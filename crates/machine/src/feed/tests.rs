//! What of a batch is events, and that pages of any sizes have the same ones.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_base::hlc::HybridTime;
use mainstay_base::key::Slot;
use mainstay_base::position::{Index, ShardId};
use proptest::prelude::*;

use super::*;
use crate::batch::Before;
use crate::content::ContentType;
use crate::overlay::Mutation;
use crate::position::Position;

const ORDERS: Name = Name::from_static("orders");

fn item(value: &str, sequence: u64) -> Item {
    Item {
        version: Version { timeline: 1, sequence },
        created: HybridTime::from_bits(0),
        updated: HybridTime::from_bits(0),
        expires: None,
        holds: BTreeSet::new(),
        schema: 0,
        is_rewritten: false,
        content_type: ContentType::JSON,
        bytes: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn row(collection: &Name, key: &str) -> Bytes {
    RowKey::item(Slot::new(7).unwrap(), &Tenant::DEFAULT, collection, &key.parse().unwrap()).into_bytes()
}

fn put(key: &str, value: &str) -> Mutation {
    Mutation::Put { key: row(&ORDERS, key), value: item(value, 1).encode() }
}

fn delete(key: &str) -> Mutation {
    Mutation::Delete { key: row(&ORDERS, key) }
}

fn slot(sequence: u64) -> Mutation {
    let key = RowKey::slot(Slot::new(7).unwrap()).into_bytes();
    Mutation::Put { key, value: SlotMeta { sequence }.encode() }
}

fn entry(mutations: Vec<Mutation>, before: Vec<(u32, &str)>) -> Entry {
    let before =
        before.into_iter().map(|(mutation, value)| Before { mutation, value: item(value, 1).encode() });
    Entry { tenant: Tenant::DEFAULT, trace: None, mutations, before: before.collect() }
}

fn place(index: u64) -> Place {
    Place { timeline: 1, index: Index::new(index) }
}

fn changes(index: u64, entries: Vec<Entry>) -> Changes {
    Changes::of(place(index), &Batch { time: HybridTime::from_bits(0), entries })
}

fn follow(limit: usize) -> Follow {
    Follow {
        tenant: Tenant::DEFAULT,
        collection: ORDERS,
        partition: None,
        prefix: String::new(),
        filter: None,
        after: None,
        limit,
        bytes_max: usize::MAX,
        wait: Duration::ZERO,
    }
}

fn shown(event: &Event) -> String {
    let text = |item: &Item| String::from_utf8(item.bytes.to_vec()).unwrap();
    let (item, before) = (event.item.as_ref().map(text), event.before.as_ref().map(text));
    let version = event.version.map(|version| version.sequence);
    format!("{} {} {item:?} {before:?} {version:?}", event.id, event.key)
}

/// Of one shard, in one page.
fn page(follow: &Follow, records: &[Changes]) -> Vec<String> {
    let mut builder = EventsBuilder::new(follow, &EventId::default(), 1_000);
    for changes in records {
        if builder.read(ShardId::new(3), changes).unwrap().is_break() {
            break;
        }
    }
    builder.finish().events.iter().map(shown).collect()
}

#[test]
fn an_item_that_was_only_brought_to_its_schema_is_no_event() {
    let brought = Item { is_rewritten: true, ..item("2", 1) }.encode();
    let mutations = vec![Mutation::Put { key: row(&ORDERS, "b"), value: brought }, put("a", "1")];
    let told = page(&follow(9), &[changes(5, vec![entry(mutations, vec![])])]);
    assert_eq!(told, ["1.3.5.1 a Some(\"1\") None Some(1)"]);
}

#[test]
fn events_are_the_changes_of_items_numbered_among_all_of_the_record() {
    let other = Mutation::Put { key: row(&Name::from_static("other"), "a"), value: item("0", 1).encode() };
    let records = [changes(
        5,
        vec![
            entry(vec![slot(4), put("a", "1"), delete("b")], vec![(2, "9")]),
            entry(vec![other, put("a", "2"), slot(5)], vec![(1, "1")]),
            entry(vec![delete("c")], vec![]),
        ],
    )];
    assert_eq!(
        page(&follow(9), &records),
        [
            "1.3.5.1 a Some(\"1\") None Some(1)",
            "1.3.5.2 b None Some(\"9\") Some(4)",
            "1.3.5.4 a Some(\"2\") Some(\"1\") Some(1)",
            "1.3.5.6 c None None None",
        ]
    );
    let mut below = follow(9);
    below.prefix = "b".to_owned();
    assert_eq!(page(&below, &records).len(), 1);
    let mut other = follow(9);
    other.tenant = "t1".parse().unwrap();
    assert_eq!(page(&other, &records).len(), 0);
}

#[test]
fn a_filter_looks_at_what_is_new_or_at_what_was_deleted() {
    let text: ContentType = "text/plain".parse().unwrap();
    let bytes = Item { content_type: text, ..item("hello", 1) };
    let bytes = Mutation::Put { key: row(&ORDERS, "text"), value: bytes.encode() };
    let records = [changes(
        1,
        vec![entry(
            vec![
                put("a", "{\"n\":1}"),
                put("b", "{\"n\":2}"),
                put("c", "[]"),
                delete("d"),
                delete("e"),
                delete("f"),
                bytes,
            ],
            vec![(0, "{\"n\":2}"), (3, "{\"n\":2}"), (4, "{\"n\":1}")],
        )],
    )];
    let mut filtered = follow(9);
    filtered.filter = Some(Expression::parse("value.n == 2").unwrap());
    let keys: Vec<_> =
        page(&filtered, &records).iter().map(|it| it.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(keys, ["b", "d", "f"]);
}

#[test]
fn a_page_ends_by_bytes_and_takes_one_event_nonetheless() {
    let records =
        [changes(1, vec![entry(vec![put("a", "12345"), put("b", "12345"), put("c", "12345")], vec![])])];
    for (bytes_max, expected) in [(0, 1), (6, 1), (11, 1), (12, 2), (18, 3)] {
        let mut follow = follow(9);
        follow.bytes_max = bytes_max;
        assert_eq!(page(&follow, &records).len(), expected, "{bytes_max}");
    }
}

/// The records of two shards.
type Logs = BTreeMap<u32, Vec<Changes>>;

/// Goes through the logs as an implementation does, until there is nothing left.
fn read_all(logs: &Logs, limits: &[usize]) -> BTreeMap<u32, Vec<String>> {
    let (mut id, mut all) = (EventId::default(), BTreeMap::<u32, Vec<String>>::new());
    let mut limits = limits.iter().cycle();
    loop {
        let follow = follow(*limits.next().unwrap());
        let mut builder = EventsBuilder::new(&follow, &id, 1_000);
        let first = id.partly().map(|(shard, _)| shard.get());
        let mut order: Vec<_> = logs.keys().copied().collect();
        order.sort_by_key(|shard| Some(*shard) != first);
        for shard in order {
            let seen = builder.seen(ShardId::new(shard));
            for changes in logs[&shard].iter().filter(|changes| changes.place.index > seen) {
                if builder.read(ShardId::new(shard), changes).unwrap().is_break() {
                    break;
                }
            }
        }
        let page = builder.finish();
        let is_end = page.events.is_empty();
        for event in page.events {
            let (shard, _) = event.id.partly().unwrap();
            all.entry(shard.get()).or_default().push(format!(
                "{} {}",
                event.id.position().get(shard).unwrap().index,
                event.key
            ));
            // Its text is where to go on, too.
            assert_eq!(event.id.to_string().parse(), Ok(event.id));
        }
        id = page.next;
        if is_end {
            assert_eq!(id.partly(), None, "everything was told");
            return all;
        }
    }
}

proptest! {
    #[test]
    fn pages_of_any_sizes_have_the_same_events(
        logs in proptest::collection::btree_map(1..3_u32, proptest::collection::vec(0..4_usize, 0..6), 1..3),
        limits in proptest::collection::vec(1..5_usize, 1..6),
    ) {
        let logs: Logs = logs.into_iter().map(|(shard, sizes)| {
            let records = (1..).zip(sizes).map(|(index, size)| {
                let mutations = (0..size).map(|n| put(&format!("k{n}"), "1")).chain([slot(1)]);
                changes(index, vec![entry(mutations.collect(), vec![])])
            });
            (shard, records.collect())
        }).collect();
        let position = Position::default();
        prop_assert_eq!(position.to_string(), "0");
        prop_assert_eq!(read_all(&logs, &limits), read_all(&logs, &[usize::MAX]));
        let count: usize = logs.values().flatten().map(|changes| changes.rows.len()).sum();
        prop_assert_eq!(read_all(&logs, &limits).values().map(Vec::len).sum::<usize>(), count);
    }
}

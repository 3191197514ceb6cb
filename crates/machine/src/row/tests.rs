//! The golden bytes of keys and values, and what reading them refuses.

use std::collections::BTreeSet;

use mainstay_base::key::PartitionBy;
use mainstay_base::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::item::Item;
use crate::outcome::{OperationResult, Outcome, Refusal};
use crate::purge::Purge;
use crate::version::Version;

fn slot() -> Slot {
    Slot::new(0x0abc).unwrap()
}

fn tenant() -> Tenant {
    "t1".parse().unwrap()
}

fn orders() -> Name {
    Name::from_static("orders")
}

fn time() -> HybridTime {
    HybridTime::from_bits(0x0102_0304_0506_0708)
}

const SCOPE: Scope = [0xaa; 16];

/// Printable ASCII as it is, other bytes in hexadecimal within brackets.
fn shown(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b' '..=b'~' if !b"<>".contains(byte) => char::from(*byte).to_string(),
        _ => format!("<{byte:02x}>"),
    };
    bytes.iter().map(one).collect()
}

#[test]
fn golden_keys() {
    let key: Key = "u7/é".parse().unwrap();
    let scope = "<aa>".repeat(16);
    let index = IndexName { tenant: &tenant(), collection: &orders(), number: 7 };
    for (row, golden) in [
        (RowKey::slot(slot()), "<0a><bc><00><00>".to_owned()),
        (RowKey::tenant(slot(), &tenant()), "<0a><bc>t1<00><00>".to_owned()),
        (
            RowKey::item(slot(), &tenant(), &orders(), &key),
            "<0a><bc>t1<00><01>orders<00>u7/<c3><a9>".to_owned(),
        ),
        (RowKey::kept(slot(), &tenant(), &SCOPE), format!("<0a><bc>t1<00><02>{scope}")),
        (
            RowKey::kept_by_age(slot(), &tenant(), time(), &SCOPE),
            format!("<0a><bc>t1<00><03><01><02><03><04><05><06><07><08>{scope}"),
        ),
        (
            RowKey::held(slot(), index, &PartitionBy::FirstSegment.partition(&key), b"\x40"),
            "<0a><bc>t1<00><04>orders<00><00><00><00><07>u7<00>@".to_owned(),
        ),
        (
            RowKey::referrer(
                slot(),
                index,
                (&Name::from_static("customers"), &key),
                &"u7/o".parse().unwrap(),
            ),
            "<0a><bc>t1<00><05>customers<00>u7/<c3><a9><00>orders<00><00><00><00><07>u7/o".to_owned(),
        ),
        (RowKey::shard(), "<10><00><00>".to_owned()),
        (RowKey::definition(&tenant(), &orders()), "<10><01>t1<00><01>orders".to_owned()),
        (
            RowKey::history(&tenant(), &orders(), 0x0102),
            "<10><02>t1<00><01>orders<00><00><00><00><00><00><00><01><02>".to_owned(),
        ),
        (RowKey::index_state(index), "<10><03>t1<00>orders<00><00><00><00><07>".to_owned()),
        (
            RowKey::index_entry(index, b"\x40", &key),
            "<10><04>t1<00>orders<00><00><00><00><07>@u7/<c3><a9>".to_owned(),
        ),
        (
            RowKey::end(Timestamp::from_micros(0x0102), &tenant(), &orders(), &key),
            "<10><05><00><00><00><00><00><00><01><02>t1<00>orders<00>u7/<c3><a9>".to_owned(),
        ),
        (RowKey::purge(&tenant(), &orders()), "<10><06>t1<00>orders".to_owned()),
    ] {
        assert_eq!(shown(&row), golden);
    }
}

#[test]
fn keys_are_taken_apart_as_they_were_built() {
    let key: Key = "u7/é".parse().unwrap();
    let (slot, t) = (slot(), "t1");
    for (row, parts) in [
        (RowKey::slot(slot), Parts::Slot { slot }),
        (RowKey::tenant(slot, &tenant()), Parts::Tenant { slot, tenant: t }),
        (
            RowKey::item(slot, &tenant(), &orders(), &key),
            Parts::Item { slot, tenant: t, collection: "orders", key: "u7/é" },
        ),
        (RowKey::kept(slot, &tenant(), &SCOPE), Parts::Kept { slot, tenant: t, scope: SCOPE }),
        (
            RowKey::referrer(
                slot,
                IndexName { tenant: &tenant(), collection: &orders(), number: 7 },
                (&Name::from_static("customers"), &key),
                &key,
            ),
            Parts::Referrer {
                slot,
                tenant: t,
                to: "customers",
                to_key: "u7/é",
                collection: "orders",
                number: 7,
                key: "u7/é",
            },
        ),
        (
            RowKey::kept_by_age(slot, &tenant(), time(), &SCOPE),
            Parts::KeptByAge { slot, tenant: t, time: time(), scope: SCOPE },
        ),
    ] {
        assert_eq!(Parts::of(&row), Ok(parts));
        for end in 0..row.len() {
            assert!(!matches!(Parts::of(&row[..end]), Ok(cut) if cut == parts), "{}", shown(&row[..end]));
        }
    }
    for wrong in [
        &b"\x10\x00\0\0"[..],
        b"\0\0\0\0\0",
        b"\0\0t1\0\x04",
        b"\0\0\0\x01orders\0u7",
        b"\0\0\xff\0\0",
        b"\0\0t1\0\x01orders",
        b"\0\0t1\0\x02short",
        b"\0\0t1\0\x03short",
        b"\0\0t1\0\x05customers\0u7\0orders\0\0\0",
        b"\0\0\0\x05customers\0u7\0orders\0\0\0\0\0u7",
    ] {
        assert!(Parts::of(wrong).is_err(), "{}", shown(wrong));
    }
}

#[test]
fn keys_beside_the_slots_are_taken_apart_as_they_were_built() {
    let (tenant, collection, key): (_, _, Key) = (tenant(), orders(), "u7/é".parse().unwrap());
    let index = IndexName { tenant: &tenant, collection: &collection, number: 7 };
    let expires = Timestamp::from_micros(0x0102);
    assert_eq!(purge_of(&RowKey::purge(&tenant, &collection)), Ok((tenant.clone(), collection.clone())));
    assert!(purge_of(&RowKey::index_state(index)).is_err());
    let end = RowKey::end(expires, &tenant, &collection, &key);
    let (definition, state) = (RowKey::definition(&tenant, &collection), RowKey::index_state(index));
    assert_eq!(definition_of(&definition), Ok((tenant.clone(), collection.clone())));
    assert_eq!(index_of(&state), Ok((tenant.clone(), collection.clone(), 7)));
    assert_eq!(End::of(&end), Ok(End { expires, tenant, collection, key }));
    let whole = (definition_of(&definition), index_of(&state), End::of(&end));
    for cut in 0..end.len() {
        let cut_to = |row: &RowKey| row[..cut.min(row.len() - 1)].to_vec();
        assert_ne!(definition_of(&cut_to(&definition)), whole.0);
        assert!(index_of(&cut_to(&state)).is_err(), "{cut}");
        assert_ne!(End::of(&end[..cut]), whole.2);
    }
    assert!(definition_of(&state).is_err() && index_of(&end).is_err() && End::of(&definition).is_err());
    let other_kind = [&definition[..5], &[9], &definition[6..]].concat();
    let error = definition_of(&other_kind).unwrap_err().to_string();
    assert!(error.ends_with("no definition has this kind, unless a newer program wrote it"), "{error}");
}

#[test]
fn ranges_hold_what_they_say() {
    let item = |tenant: &str, collection: &str, key: &str| {
        RowKey::item(slot(), &tenant.parse().unwrap(), &collection.parse().unwrap(), &key.parse().unwrap())
    };
    let next_slot = Slot::new(0x0abd).unwrap();
    let all = [
        RowKey::slot(slot()),
        RowKey::tenant(slot(), &tenant()),
        item("t1", "orders", "u7/a"),
        item("t1", "orders", "u7/b"),
        item("t1", "orders", "u70"),
        item("t1", "orders2", "u7/a"),
        RowKey::kept(slot(), &tenant(), &SCOPE),
        RowKey::kept_by_age(slot(), &tenant(), time(), &SCOPE),
        RowKey::kept_by_age(slot(), &tenant(), time().next(), &SCOPE),
        item("t10", "orders", "u7/a"),
        RowKey::slot(next_slot),
    ];
    assert!(all.is_sorted());
    let inside = |range: RowRange| {
        all.iter()
            .enumerate()
            .filter(|(_, row)| range.contains(row))
            .map(|(place, _)| place)
            .collect::<Vec<_>>()
    };
    assert_eq!(inside(RowRange::slot(slot())), (0..10).collect::<Vec<_>>());
    assert_eq!(inside(RowRange::slot(Slot::new(4095).unwrap())), [0; 0]);
    assert_eq!(inside(RowRange::tenant(slot(), &tenant())), (1..9).collect::<Vec<_>>());
    assert_eq!(inside(RowRange::items(slot(), &tenant(), &orders(), "")), [2, 3, 4]);
    assert_eq!(inside(RowRange::items(slot(), &tenant(), &orders(), "u7/")), [2, 3]);
    assert_eq!(inside(RowRange::items(slot(), &tenant(), &orders(), "u7/").after(&all[2])), [3]);
    assert_eq!(inside(RowRange::kept_by_age(slot(), &tenant(), HybridTime::default())), [7, 8]);
    assert_eq!(inside(RowRange::kept_by_age(slot(), &tenant(), time().next())), [8]);
}

#[test]
fn what_refers_to_an_item_stands_together() {
    let (customers, tenant) = (Name::from_static("customers"), tenant());
    let key = |text: &str| text.parse::<Key>().unwrap();
    let row = |to: &str, number, from: &str| {
        let of = IndexName { tenant: &tenant, collection: &orders(), number };
        RowKey::referrer(slot(), of, (&customers, &key(to)), &key(from))
    };
    let all =
        [row("u7/a", 1, "u7/x"), row("u7/a", 1, "u7/y"), row("u7/a", 2, "u7/x"), row("u7/ab", 1, "u7/x")];
    assert!(all.is_sorted());
    let inside = |range: &RowRange| all.iter().map(|row| range.contains(row)).collect::<Vec<_>>();
    let of = IndexName { tenant: &tenant, collection: &orders(), number: 1 };
    let to_a = RowRange::referrers(slot(), of, (&customers, &key("u7/a")));
    assert_eq!(inside(&to_a), [true, true, false, false]);
    let from = |to: Option<&str>| RowRange::referrers_from(slot(), &tenant, &customers, to.map(key).as_ref());
    assert_eq!(inside(&from(None)), [true; 4]);
    assert_eq!(inside(&from(Some("u7/ab"))), [false, false, false, true]);
}

#[test]
fn golden_values() {
    let version = Version { timeline: 1, sequence: 0x0203 };
    let item = |content_type: &str, bytes: &'static [u8]| Item {
        version,
        created: HybridTime::from_bits(4),
        updated: HybridTime::from_bits(5),
        expires: None,
        holds: BTreeSet::new(),
        schema: 0,
        is_rewritten: false,
        content_type: content_type.parse().unwrap(),
        bytes: Bytes::from_static(bytes),
    };
    let head = "<01><01><00><00><00><03><02><00><00><00><00><00><00><04><00><00><00><00><00><00><00>\
                <05><00><00><00><00><00><00><00>";
    let with_parts = head.replacen("<01>", "<03>", 1);
    let committed = Outcome::Committed(vec![
        OperationResult { version: Some(version), existed: true },
        OperationResult { version: None, existed: false },
    ]);
    let refusal = Refusal::new(mainstay_base::error::Code::NotFound, "why").fact("operation", 7);
    let kept = |outcome| Kept { fingerprint: [0xbb; 16], time: time(), outcome }.encode();
    let kept_head = format!("<01>{}<08><07><06><05><04><03><02><01>", "<bb>".repeat(16));
    for (value, golden) in [
        (SlotMeta { sequence: 0x0102 }.encode(), "<01><02><01><00><00><00><00><00><00>".to_owned()),
        (
            TenantMeta { kept: 300, oldest: time() }.encode(),
            "<01><ac><02><08><07><06><05><04><03><02><01>".to_owned(),
        ),
        (item("application/json", b"{}").encode(), format!("{head}<00>{{}}")),
        (item("image/png", b"\x89").encode(), format!("{head}<09>image/png<89>")),
        (
            Item { expires: Some(Timestamp::from_micros(0x0607)), ..item("application/json", b"{}") }
                .encode(),
            format!("{with_parts}<01><07><06><00><00><00><00><00><00><00>{{}}"),
        ),
        (
            Item { schema: 300, is_rewritten: true, ..item("application/json", b"{}") }.encode(),
            format!("{with_parts}<0c><ac><02><00>{{}}"),
        ),
        (
            Item {
                expires: Some(Timestamp::from_micros(0x0607)),
                holds: ["case-7", "audit"].into_iter().map(Name::from_static).collect(),
                schema: 1,
                is_rewritten: false,
                ..item("application/json", b"{}")
            }
            .encode(),
            format!("{with_parts}<07><07><06><00><00><00><00><00><00><02><05>audit<06>case-7<01><00>{{}}"),
        ),
        (Holder { key: "u7/a".parse().unwrap() }.encode(), "<01>u7/a".to_owned()),
        (
            Purge { removed: 7, ..Purge::default() }.encode(),
            "<01>{\"at\":null,\"removed\":7,\"held\":0,\"is_done\":false}".to_owned(),
        ),
        (ShardMeta { revision: 0x0102 }.encode(), "<01><02><01><00><00><00><00><00><00>".to_owned()),
        (kept(committed), format!("{kept_head}<00><01><83><04><02><03><00>")),
        (kept(refusal.into()), format!("{kept_head}<01><09>not_found<03>why<0f>{{\"operation\":7}}")),
    ] {
        assert_eq!(shown(&value), golden);
    }
}

#[test]
fn values_are_read_as_written_and_newer_ones_refused() {
    let item = Item {
        version: Version { timeline: 7, sequence: 9 },
        created: time(),
        updated: time().next(),
        expires: None,
        holds: BTreeSet::new(),
        schema: 0,
        is_rewritten: false,
        content_type: "image/png".parse().unwrap(),
        bytes: Bytes::from_static(b"\x89PNG"),
    };
    let row = item.encode();
    let read = Item::decode(&row).unwrap();
    assert_eq!(read, item);
    let (start, end) = (row.as_ptr() as usize, row.as_ptr() as usize + row.len());
    assert!((start..end).contains(&(read.bytes.as_ptr() as usize)), "a read copies nothing");

    let newer = Bytes::from([&[4], &row[1..]].concat());
    assert_eq!(Item::decode(&newer), Err(Error::Format { what: "an item", found: 4, newest: 3 }));
    assert!(Item::decode(&row.slice(..30)).is_err());
    let not_normal = Bytes::from([&row[..29], &[16], b"application/json{}"].concat());
    assert!(Item::decode(&not_normal).is_err(), "JSON has one form");
    let trailing = Bytes::from([&SlotMeta { sequence: 1 }.encode()[..], b"x"].concat());
    assert!(matches!(SlotMeta::decode(&trailing), Err(Error::Trailing { .. })));
    let meta = TenantMeta { kept: u64::MAX, oldest: time() };
    assert_eq!(TenantMeta::decode(&meta.encode()), Ok(meta));
}

/// An item's row in this format, with these optional parts.
fn with_parts(format: u8, parts: &[u8]) -> Bytes {
    let head = [0; 4 + 8 + 8 + 8];
    [&[format][..], &head, parts, &[0], b"{}"].concat().into()
}

#[test]
fn an_item_with_an_end_is_read_as_an_earlier_program_wrote_it() {
    let micros = 7u64.to_le_bytes();
    let read = Item::decode(&with_parts(2, &micros)).unwrap();
    assert_eq!(read.expires, Some(Timestamp::from_micros(7)));
    assert_eq!(read.encode(), with_parts(3, &[&[1], &micros[..]].concat()));
}

#[test]
fn optional_parts_of_an_item_have_one_form() {
    for (good, why) in [
        (&b"\x02\x01\x01a"[..], "a hold"),
        (b"\x02\x02\x01a\x01b", "two"),
        (b"\x04\x01", "a schema"),
        (b"\x08", "it is rewritten"),
    ] {
        let row = with_parts(3, good);
        assert_eq!(Item::decode(&row).map(|item| item.encode()), Ok(row), "{why}");
    }
    let many = [&b"\x02\x11"[..], &(b'a'..=b'q').flat_map(|name| [1, name]).collect::<Vec<_>>()].concat();
    for (wrong, why) in [
        (&b"\x00"[..], "no part"),
        (b"\x10", "a part of a newer program"),
        (b"\x01\xff\xff\xff\xff\xff\xff\xff\xff", "an end that no clock shows"),
        (b"\x02\x00", "no hold"),
        (b"\x02\x01\x01A", "a hold without a name"),
        (b"\x02\x02\x01b\x01a", "holds out of order"),
        (b"\x02\x02\x01a\x01a", "a hold twice"),
        (&many, "too many holds"),
        (b"\x04\x00", "no schema"),
        (b"\x04\x80\x80\x80\x80\x10", "a number of more than 32 bits"),
    ] {
        let read = Item::decode(&with_parts(3, wrong));
        assert!(matches!(read, Err(Error::Field { what: "an item", .. })), "{why}: {read:?}");
    }
}

proptest! {
    #[test]
    fn rows_sort_by_slot_tenant_collection_and_key(
        one in ("[a-c]{1,2}", "[a-c]{1,2}", "[a-c /]{1,3}"),
        other in ("[a-c]{1,2}", "[a-c]{1,2}", "[a-c /]{1,3}"),
    ) {
        let row = |(tenant, collection, key): &(String, String, String)| {
            let key: Key = key.parse().ok()?;
            Some(RowKey::item(slot(), &tenant.parse().ok()?, &collection.parse().ok()?, &key))
        };
        if let (Some(left), Some(right)) = (row(&one), row(&other)) {
            prop_assert_eq!(left.cmp(&right), one.cmp(&other));
        }
    }
}

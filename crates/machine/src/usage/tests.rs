//! Counts of rows, against what a walk over all of them finds.

use std::convert::Infallible;

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, PartitionBy, Slot};
use proptest::prelude::*;

use super::*;
use crate::overlay::Mutation;
use crate::row::{IndexName, RowKey, counted};
use crate::state::Memory;

const TENANT: Tenant = Tenant::DEFAULT;

/// A row of one of the kinds that there are, of one of two collections.
fn row((kind, collection, number): (u8, bool, u8)) -> RowKey {
    let collection = Name::from_static(if collection { "carts" } else { "orders" });
    let key: Key = format!("u{number}/k").parse().unwrap();
    let slot = Slot::new(number.into()).unwrap();
    let of = IndexName { tenant: &TENANT, collection: &collection, number: (number % 2).into() };
    let partition = PartitionBy::FirstSegment.partition(&key);
    match kind {
        0 => RowKey::item(slot, &TENANT, &collection, &key),
        1 => RowKey::end(Timestamp::from_micros(number.into()), &TENANT, &collection, &key),
        2 => RowKey::index_entry(of, b"\x00tuple", &key),
        3 => RowKey::held(slot, of, &partition, b"tuple"),
        4 => RowKey::slot(slot),
        5 => RowKey::kept(slot, &TENANT, &[0; 16]),
        6 => RowKey::index_state(of),
        _ => RowKey::definition(&TENANT, &collection),
    }
}

fn put(key: &RowKey, bytes: usize) -> Mutation {
    Mutation::Put { key: key.bytes().clone(), value: vec![1; bytes].into() }
}

/// The counts by going through all rows.
fn naive(rows: &Memory) -> Ledger {
    let rows = rows.rows().map(|(key, value)| Ok::<_, Infallible>((key.clone(), value.clone())));
    Ledger::count(rows).unwrap()
}

fn accounts(ledger: &Ledger) -> Vec<(&[u8], &Rows)> {
    ledger.accounts().collect()
}

proptest! {
    #[test]
    fn counts_equal_those_of_all_rows_after_any_batches(
        batches in proptest::collection::vec(
            proptest::collection::vec(((0u8..8, any::<bool>(), 0u8..4), proptest::option::of(0usize..300)), 0..12),
            1..12,
        ),
        lost in 0usize..12,
    ) {
        let (mut rows, mut ledger) = (Memory::default(), Ledger::default());
        for (number, batch) in batches.iter().enumerate() {
            if number == lost {
                // Another owner begins with what the rows say; with nothing, if nothing was ever counted.
                ledger = Ledger::load(&rows).unwrap().unwrap_or_else(|| naive(&rows));
            }
            let batch: Vec<_> = batch.iter().map(|(of, value)| match value {
                Some(bytes) => put(&row(*of), *bytes),
                None => Mutation::Delete { key: row(*of).into_bytes() },
            }).collect();
            let counts = ledger.note(&batch, &rows).unwrap();
            rows.apply(batch.iter().chain(&counts));
            let expected = naive(&rows);
            prop_assert_eq!(accounts(&ledger), accounts(&expected));
        }
        if let Some(loaded) = Ledger::load(&rows).unwrap() {
            prop_assert_eq!(loaded, ledger);
        }
    }
}

#[test]
fn rows_that_were_never_counted_are_counted_once() {
    let mut rows = Memory::default();
    rows.apply(&[put(&row((0, true, 1)), 10), put(&row((2, true, 1)), 1)]);
    assert_eq!(Ledger::load(&rows).unwrap(), None);
    let mut ledger = naive(&rows);
    let counts = ledger.note(&[], &rows).unwrap();
    rows.apply(&counts);
    assert_eq!(Ledger::load(&rows).unwrap(), Some(ledger.clone()));
    assert_eq!(ledger.note(&[], &rows).unwrap(), [], "and nothing more is written");
    let again = [put(&row((0, true, 1)), 10)];
    assert_eq!(ledger.note(&again, &rows).unwrap(), [], "also when a row is as long as it was");
}

#[test]
fn what_a_row_is_counted_as_is_said_by_its_key() {
    let part = |kind| counted(&row((kind, true, 3))).map(|it| it.part);
    let expected = [Part::Items, Part::Ends, Part::Entries(1), Part::Held(1)];
    assert_eq!((0..8).filter_map(part).collect::<Vec<_>>(), expected);
    let key = row((0, true, 3));
    let item = counted(&key).unwrap();
    assert_eq!((item.tenant, item.collection, item.rest), (&b"default"[..], &b"carts"[..], &b"u3/k"[..]));
    assert_eq!(counted(b""), None);
    assert_eq!(counted(&key[..9]), None, "cut off");
}

#[test]
fn format_1_is_these_bytes() {
    let mut rows = Rows::default();
    rows.add(Part::Items, 300);
    rows.add(Part::Items, 1);
    rows.add(Part::Ends, 40);
    rows.add(Part::Entries(300), 5);
    rows.add(Part::Held(2), 6);
    let bytes = b"\x01\x04\x00\x00\x02\xad\x02\x01\x00\x01\x28\x02\xac\x02\x01\x05\x03\x02\x01\x06";
    assert_eq!(&rows.encode()[..], bytes);
    assert_eq!(Rows::decode(&rows.encode()), Ok(rows));
    assert_eq!(&RowKey::usage(&TENANT, &Name::from_static("carts"))[..], b"\x10\x07default\0carts");
    for wrong in [
        &b"\x02\x00"[..],
        b"\x01\x01\x04\x00\x01\x01",
        b"\x01\x01\x00\x01\x01\x01",
        b"\x01\x01\x00\x00\x00\x00",
        b"\x01\x02\x01\x00\x01\x01\x00\x00\x01\x01",
        b"\x01\x00\x00",
    ] {
        assert!(Rows::decode(&Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn amplification_is_what_is_written_for_what_is_given() {
    let mut flow = Flow { given: 100, logged: 150, flushed: 100, compacted: 50 };
    assert_eq!(flow.amplification(), Some(3.0));
    flow.merge(Flow { given: 100, ..Flow::default() });
    assert_eq!(flow.amplification(), Some(1.5));
    assert_eq!(Flow::default().amplification(), None);
}

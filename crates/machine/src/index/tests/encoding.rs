//! The golden bytes of values, and that their order is that of values.

use super::*;
use crate::expression::{Expression, Item};

fn scalar(raw: &str) -> Scalar<'_> {
    Scalar::of_json(raw).unwrap()
}

/// Whether the expression holds; none if it fails.
fn holds(source: &str, document: &str) -> Option<bool> {
    let item = Item { value: Some(document), version: None, exists: true };
    Expression::parse(source).unwrap().holds(&item, &mut 10_000).ok()
}

#[test]
fn golden_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&encoded(&[Scalar::Absent])), "10");
    for (raw, golden) in [
        ("null", "20"),
        ("false", "30"),
        ("true", "31"),
        ("-1e400", "40000fffffffffffff0000"),
        ("-9223372036854775808", "403c1fffffffffffff0000"),
        ("-9007199254740993", "403cbffffffffffffe0001"),
        ("-1", "40400fffffffffffff0000"),
        ("-0.0", "4080000000000000000000"),
        ("0", "4080000000000000000000"),
        ("1", "40bff00000000000000000"),
        ("1.5", "40bff80000000000000000"),
        ("9007199254740993", "40c3400000000000000001"),
        ("18446744073709551615", "40c3efffffffffffff07ff"),
        ("18446744073709551616", "40c3f00000000000000000"),
        ("1e400", "40fff00000000000000000"),
        (r#""""#, "500001"),
        (r#""a\u0000\u00e9""#, "506100ffc3a90001"),
        ("{}", "60"),
        ("[1]", "60"),
    ] {
        assert_eq!(hex(&encoded(&[scalar(raw)])), golden, "{raw}");
    }
}

#[test]
fn equal_numbers_have_equal_bytes() {
    for (one, other) in [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("0", "-0"),
        ("0", "-0.0"),
        ("0", "1e-400"),
        ("9007199254740992", "9007199254740992.0"),
        ("18446744073709549568", "18446744073709549568.0"),
        ("-9223372036854775808", "-9223372036854775809"),
        ("1e400", "1e500"),
    ] {
        assert_eq!(encoded(&[scalar(one)]), encoded(&[scalar(other)]), "{one} {other}");
    }
    assert_eq!(Number::of_double(f64::NAN), None);
    assert_eq!(Number::of_double(f64::INFINITY).map(Scalar::Number), Some(scalar("1e400")));
}

#[test]
fn kinds_stand_in_their_order() {
    let kinds =
        ["null", "false", "true", "-1e400", "-1", "0", "1", "1e400", r#""""#, r#""\u0000""#, r#""a""#, "{}"];
    let mut tuples = vec![encoded(&[Scalar::Absent])];
    tuples.extend(kinds.map(|raw| encoded(&[scalar(raw)])));
    assert!(tuples.is_sorted_by(|one, other| one < other));
}

#[test]
fn damaged_entries_are_not_taken_apart() {
    for damaged in [
        &b""[..],
        b"\x00",
        b"\x11",
        b"\x32",
        b"\x40",
        b"\x40123456789",
        b"\x50",
        b"\x50a",
        b"\x50a\x00",
        b"\x50\x00\x02",
        b"\x61",
    ] {
        assert_eq!(split(damaged, 1), None, "{damaged:02x?}");
    }
    assert_eq!(split(b"\x10", 2), None);
    assert_eq!(split(b"\x10k", 0), Some((&b""[..], &b"\x10k"[..])));
}

proptest! {
    #[test]
    fn bytes_order_as_expressions_compare(a in scalars(), b in scalars()) {
        let document = format!(r#"{{"a": {a}, "b": {b}}}"#);
        let (one, other) = (encoded(&[scalar(&a)]), encoded(&[scalar(&b)]));
        if let Some(is_equal) = holds("value.a == value.b", &document) {
            prop_assert_eq!(one == other, is_equal);
        }
        if let Some(is_less) = holds("value.a < value.b", &document) {
            prop_assert_eq!(one < other, is_less);
        }
        prop_assert_eq!(one.cmp(&other), scalar(&a).cmp(&scalar(&b)), "kinds in their order, too");
    }

    #[test]
    fn whole_numbers_are_exact(one: i64, other: u64, by in -3i64..4) {
        let bytes = |number: Number| encoded(&[Scalar::Number(number)]);
        prop_assert_eq!(bytes(one.into()).cmp(&bytes(other.into())), i128::from(one).cmp(&other.into()));
        let near = one.saturating_add(by);
        prop_assert_eq!(bytes(one.into()).cmp(&bytes(near.into())), one.cmp(&near));
    }

    #[test]
    fn tuples_order_as_their_values(
        one in proptest::collection::vec(scalars(), 3),
        other in proptest::collection::vec(scalars(), 3),
        same in 0usize..3,
        key in "[a-c]{1,2}",
    ) {
        let mut other: Vec<_> = other.iter().map(|raw| scalar(raw)).collect();
        let one: Vec<_> = one.iter().map(|raw| scalar(raw)).collect();
        other[..same].clone_from_slice(&one[..same]);
        prop_assert_eq!(encoded(&one).cmp(&encoded(&other)), one.cmp(&other));
        let entry = [&encoded(&one)[..], key.as_bytes()].concat();
        prop_assert_eq!(split(&entry, 3), Some((&encoded(&one)[..], key.as_bytes())));
        for end in 0..encoded(&one).len() {
            prop_assert_eq!(split(&entry[..end], 3), None);
        }
    }

    #[test]
    fn texts_order_as_their_bytes(one in "[\u{0}\u{1}a\u{ff}]{0,5}", other in "[\u{0}\u{1}a\u{ff}]{0,5}") {
        let bytes = encoded(&[text(&one)]);
        prop_assert_eq!(bytes.cmp(&encoded(&[text(&other)])), one.as_bytes().cmp(other.as_bytes()));
        prop_assert_eq!(Span::starting_with(&other).contains(&bytes), one.starts_with(&other));
    }

    #[test]
    fn any_bytes_may_be_taken_apart(
        bytes in proptest::collection::vec(proptest::sample::select(&b"\x00\x01\x10\x40\x50\xff"[..]), 0..32),
        fields in 0usize..9,
    ) {
        if let Some((tuple, key)) = split(&bytes, fields) {
            prop_assert_eq!([tuple, key].concat(), bytes);
        }
    }
}

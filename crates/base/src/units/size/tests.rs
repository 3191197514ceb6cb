//! Sizes as text.

use proptest::prelude::*;

use super::*;

fn bytes(text: &str) -> u64 {
    text.parse::<Size>().expect(text).bytes()
}

fn refusal(text: &str) -> String {
    text.parse::<Size>().expect_err(text).to_string()
}

#[test]
fn sizes_are_read_in_binary_and_decimal_units() {
    assert_eq!(bytes("64KiB"), 65_536);
    assert_eq!(bytes("1.5MiB"), 1_572_864);
    assert_eq!(bytes("4096B"), 4_096);
    assert_eq!(bytes("0B"), 0);
    assert_eq!(bytes("2GiB"), 2 << 30);
    assert_eq!(bytes("3TiB"), 3 << 40);
    assert_eq!(bytes("64kB"), 64_000);
    assert_eq!(bytes("1.5MB"), 1_500_000);
    assert_eq!(bytes("2GB"), 2_000_000_000);
    assert_eq!(bytes("3TB"), 3_000_000_000_000);
    assert_eq!(bytes("18446744073709551615B"), u64::MAX);
    assert_eq!(Size::from_kib(64).bytes(), 64 << 10);
    assert_eq!(Size::from_mib(8).bytes(), 8 << 20);
}

#[test]
fn sizes_are_written_in_the_shortest_exact_form() {
    let shown = |bytes| Size::from_bytes(bytes).to_string();
    assert_eq!(shown(0), "0B");
    assert_eq!(shown(500), "500B");
    assert_eq!(shown(4_096), "4KiB");
    assert_eq!(shown(64_000), "64kB");
    assert_eq!(shown(65_536), "64KiB");
    assert_eq!(shown(3 << 19), "1.5MiB");
    assert_eq!(shown(u64::MAX), "18446744073709551615B");
}

#[test]
fn what_is_no_size_is_refused_with_the_form_to_write() {
    let form = "write a number with its unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB), such as \"64KiB\"";
    assert_eq!(refusal("4096"), format!("\"4096\" is not a size: it has no unit; {form}"));
    for bad in ["", "0", "-1B", "1KiB1B", "KiB", "1e3B", "64 parsecs", "0.5B", "16777216TiB"] {
        assert!(refusal(bad).contains(form), "{bad}");
    }
    assert!(refusal("0.5B").contains("not a whole number"));
    assert!(refusal("18446744073709551616B").contains("too large"));
    assert!(refusal("1KiB1B").contains("more than one number"));
}

#[test]
fn a_near_miss_is_answered_with_what_was_meant() {
    for (written, meant) in [
        ("64kb", "\"64kB\" or \"64KiB\""),
        ("64K", "\"64KiB\" or \"64kB\""),
        ("64kib", "\"64KiB\""),
        ("1.5 MiB", "\"1.5MiB\""),
        ("10bytes", "\"10B\""),
    ] {
        let message = refusal(written);
        assert!(message.ends_with(&format!("; did you mean {meant}?")), "{message}");
    }
}

#[test]
fn a_number_on_the_wire_is_refused_with_a_hint_at_the_unit() {
    assert_eq!(serde_json::from_str::<Size>("\"64KiB\"").unwrap(), Size::from_kib(64));
    assert_eq!(serde_json::to_string(&Size::from_kib(64)).unwrap(), "\"64KiB\"");
    let error = serde_json::from_str::<Size>("4096").expect_err("a number").to_string();
    assert!(
        error.contains("integer `4096`, expected a size as text with its unit, such as \"64KiB\""),
        "{error}"
    );
}

fn any_size() -> impl Strategy<Value = Size> {
    let whole_units = (0..SCALE.units.len(), 0..100_000_u64).prop_map(|(unit, count)| {
        let (_, worth) = SCALE.units[unit];
        Size::from_bytes(u64::try_from(worth).expect("a TiB fits").wrapping_mul(count))
    });
    prop_oneof![whole_units, any::<u64>().prop_map(Size::from_bytes)]
}

proptest! {
    #[test]
    fn what_is_displayed_is_read_back_as_the_same_value(size in any_size()) {
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[0-9.a-zA-Z ]{0,40}|\\PC{0,20}") {
        let _ = text.parse::<Size>();
    }
}

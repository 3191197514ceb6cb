//! Timestamps as text.

use proptest::prelude::*;

use super::*;

fn micros(text: &str) -> u64 {
    text.parse::<Timestamp>().expect(text).as_micros()
}

fn refusal(text: &str) -> String {
    text.parse::<Timestamp>().expect_err(text).to_string()
}

#[test]
fn times_are_written_with_as_many_digits_as_needed() {
    let shown = |micros| Timestamp::from_micros(micros).to_string();
    assert_eq!(shown(0), "1970-01-01T00:00:00Z");
    assert_eq!(shown(1_700_000_000_000_000), "2023-11-14T22:13:20Z");
    assert_eq!(shown(1_700_000_000_250_000), "2023-11-14T22:13:20.25Z");
    assert_eq!(shown(1_700_000_000_000_001), "2023-11-14T22:13:20.000001Z");
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00Z");
}

#[test]
fn rfc_3339_is_read_with_any_offset_and_cut_to_the_microsecond() {
    assert_eq!(micros("2023-11-14T22:13:20Z"), 1_700_000_000_000_000);
    assert_eq!(micros("2023-11-14t22:13:20z"), 1_700_000_000_000_000);
    assert_eq!(micros("2023-11-15T00:13:20.5+02:00"), 1_700_000_000_500_000);
    assert_eq!(micros("2023-11-14T22:13:20-00:00"), 1_700_000_000_000_000);
    assert_eq!(micros("2023-11-14T22:13:20.123456999Z"), 1_700_000_000_123_456);
}

#[test]
fn nothing_else_is_read() {
    for bad in [
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20.1234567890Z",
        "2023-11-14T22:13:20Z[UTC]",
        "2023-11-14T22:13:20+0200",
        "20231114T221320Z",
        "2023-13-14T22:13:20Z",
        "2023-02-30T22:13:20Z",
        "2023-11-14T24:13:20Z",
        "1700000000",
        "2023-11-14T22:13:20Zé",
        "é023-11-14T22:13:20Z",
    ] {
        assert!(refusal(bad).contains("write RFC 3339"), "{bad}");
    }
    assert!(refusal("1969-12-31T23:59:59.9999999Z").contains("before 1970"));
    assert!(refusal("9999-12-30T22:00:00.000001Z").contains("too late"));
    assert!(refusal("9999-12-31T23:59:59Z").contains("not a time"));
    let error = serde_json::from_str::<Timestamp>("1700000000").expect_err("a number").to_string();
    assert!(error.contains("expected a time as RFC 3339 text"), "{error}");
}

#[test]
fn sums_and_differences_stay_in_range_or_say_so() {
    let (time, day) = (Timestamp::from_micros(1_700_000_000_000_000), Duration::from_secs(86_400));
    let later = time.checked_add(day).expect("in range");
    assert_eq!(later.to_string(), "2023-11-15T22:13:20Z");
    assert_eq!((later.checked_sub(day), later.since(time), time.since(later)), (Some(time), Some(day), None));
    assert_eq!(Timestamp::EPOCH.checked_sub(Duration::from_micros(1)), None);
    assert_eq!(Timestamp::MAX.checked_add(Duration::from_micros(1)), None);
    assert_eq!(Timestamp::MAX.checked_add(Duration::from_nanos(999)), Some(Timestamp::MAX));
    assert_eq!(time.checked_add(Duration::MAX), None);
}

proptest! {
    #[test]
    fn what_is_displayed_is_read_back_as_the_same_time(micros in 0..=Timestamp::MAX.as_micros()) {
        let time = Timestamp::from_micros(micros);
        prop_assert_eq!(time.to_string().parse(), Ok(time));
        let json = serde_json::to_string(&time).expect("text");
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("text"), time);
    }
}

#[test]
fn bytes_that_were_read_make_a_time_or_none() {
    let max = Timestamp::MAX.as_micros();
    assert_eq!(Timestamp::checked_from_micros(max), Some(Timestamp::MAX));
    assert_eq!(Timestamp::checked_from_micros(max + 1), None);
    assert_eq!(Timestamp::checked_from_micros(u64::MAX), None);
}

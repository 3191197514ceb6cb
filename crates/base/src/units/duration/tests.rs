//! Durations as text.

use proptest::prelude::*;

use super::*;

fn nanos(text: &str) -> u128 {
    text.parse::<Duration>().expect(text).as_std().as_nanos()
}

fn refusal(text: &str) -> String {
    text.parse::<Duration>().expect_err(text).to_string()
}

#[test]
fn what_people_wait_is_whole_milliseconds_and_never_shorter() {
    for (nanos, text) in [(0, "0s"), (1, "1ms"), (853_095_017, "854ms"), (2_000_000_000, "2s")] {
        assert_eq!(Duration::from_nanos(nanos).up_to_millis().to_string(), text);
    }
    assert_eq!(Duration::MAX.up_to_millis(), Duration::MAX);
}

#[test]
fn numbers_and_multiples_end_at_the_largest() {
    let second = Duration::from_secs(1);
    assert_eq!((second.as_nanos(), Duration::MAX.as_nanos()), (1_000_000_000, u64::MAX));
    assert_eq!(
        (second.saturating_mul(3), Duration::MAX.saturating_mul(2)),
        (Duration::from_secs(3), Duration::MAX)
    );
}

#[test]
fn durations_are_read_with_one_unit_or_several() {
    assert_eq!(nanos("250ms"), 250_000_000);
    assert_eq!(nanos("1.5s"), 1_500_000_000);
    assert_eq!(nanos("30d"), 30 * 86_400 * 1_000_000_000);
    assert_eq!(nanos("0s"), 0);
    assert_eq!(nanos("007ns"), 7);
    assert_eq!(nanos("0.001us"), 1);
    assert_eq!(nanos("1.50000000000000000000s"), 1_500_000_000);
    assert_eq!(nanos("1h30m"), 5_400 * 1_000_000_000);
    assert_eq!(nanos("1d2h3m4s5ms6us7ns"), 93_784_005_006_007);
    assert_eq!("18446744073709551615999999999ns".parse(), Ok(Duration::MAX));
}

#[test]
fn durations_are_written_in_the_shortest_exact_form() {
    let shown = |millis| Duration::from_millis(millis).to_string();
    assert_eq!(shown(0), "0s");
    assert_eq!(shown(250), "250ms");
    assert_eq!(shown(1_500), "1.5s");
    assert_eq!(shown(1_001), "1.001s");
    assert_eq!(shown(90_000), "90s");
    assert_eq!(shown(5_400_000), "90m");
    assert_eq!(shown(86_400_000), "1d");
    assert_eq!(Duration::from_nanos(1_234_567).to_string(), "1234567ns");
    assert_eq!(format!("{:>6}", Duration::from_secs(1)), "    1s");
}

#[test]
fn what_is_no_duration_is_refused_with_the_form_to_write() {
    let form = "write a number with its unit (ns, us, ms, s, m, h, d), such as \"250ms\"";
    assert_eq!(refusal("250"), format!("\"250\" is not a duration: it has no unit; {form}"));
    assert_eq!(refusal(""), format!("\"\" is not a duration: it is empty; {form}"));
    for bad in
        ["0", "-1s", "+1s", "1e3s", ".5s", "1.s", "1..5s", "1,5s", "s", "1s1s", "1s1m", "1.5h30m", "1m1"]
    {
        assert!(refusal(bad).contains(form), "{bad}");
    }
    assert!(refusal("1s1m").contains("must descend"));
    assert!(refusal("1.5h30m").contains("fraction"));
    assert!(refusal("0.1ns").contains("not a whole number"));
    assert!(refusal(&format!("0.{}1d", "0".repeat(60))).contains("not a whole number"));
    assert!(refusal("18446744073709551616s").contains("too large"));
    assert!(refusal(&format!("{}d", "9".repeat(60))).contains("too large"));
    assert!(refusal(&"x".repeat(100_000)).len() < 600);
}

#[test]
fn a_near_miss_is_answered_with_what_was_meant() {
    for (written, meant) in [
        ("250 ms", "250ms"),
        ("250MS", "250ms"),
        (" 5m", "5m"),
        ("5min", "5m"),
        ("5sec", "5s"),
        ("1.5 Hours", "1.5h"),
        ("10µs", "10us"),
        ("10μs", "10us"),
    ] {
        let message = refusal(written);
        assert!(message.ends_with(&format!("; did you mean \"{meant}\"?")), "{message}");
    }
    assert!(!refusal("5 parsecs").contains("did you mean"));
    assert!(!refusal("250").contains("did you mean"));
}

#[test]
fn a_number_on_the_wire_is_refused_with_a_hint_at_the_unit() {
    assert_eq!(serde_json::from_str::<Duration>("\"1.5s\"").unwrap(), Duration::from_millis(1500));
    assert_eq!(serde_json::to_string(&Duration::from_millis(1500)).unwrap(), "\"1.5s\"");
    let error = serde_json::from_str::<Duration>("250").expect_err("a number").to_string();
    assert!(
        error.contains("integer `250`, expected a duration as text with its unit, such as \"250ms\""),
        "{error}"
    );
    let error = serde_json::from_str::<Duration>("\"5min\"").expect_err("no such unit").to_string();
    assert!(error.contains("did you mean \"5m\"?"), "{error}");
}

#[test]
fn seconds_round_up() {
    assert_eq!(Duration::ZERO.as_secs_up(), 0);
    assert_eq!(Duration::from_nanos(1).as_secs_up(), 1);
    assert_eq!(Duration::from_secs(2).as_secs_up(), 2);
    assert_eq!(Duration::MAX.as_secs_up(), u64::MAX);
}

fn any_duration() -> impl Strategy<Value = Duration> {
    let whole_units = (0..7_usize, 0..100_000_u64).prop_map(|(unit, count)| {
        let (_, worth) = SCALE.units[unit];
        Duration::from_nanos(u64::try_from(worth).expect("a day fits").wrapping_mul(count))
    });
    let any_nanos = any::<u64>().prop_map(Duration::from_nanos);
    let any_std = (any::<u64>(), 0..1_000_000_000_u32)
        .prop_map(|(secs, nanos)| Duration::from(std::time::Duration::new(secs, nanos)));
    prop_oneof![whole_units, any_nanos, any_std]
}

proptest! {
    #[test]
    fn what_is_displayed_is_read_back_as_the_same_value(duration in any_duration()) {
        let text = duration.to_string();
        prop_assert_eq!(text.parse(), Ok(duration));
        let json = serde_json::to_string(&duration).expect("text");
        prop_assert_eq!(serde_json::from_str::<Duration>(&json).expect("text"), duration);
    }

    #[test]
    fn what_is_displayed_is_the_only_text_of_its_value(left in any_duration(), right in any_duration()) {
        prop_assert_eq!(left == right, left.to_string() == right.to_string());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[0-9.a-zµ ]{0,40}|\\PC{0,20}") {
        let _ = text.parse::<Duration>();
    }
}

//! The rule, by loads that are simulated second by second.

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn scaling(json: &str) -> Scaling {
    serde_json::from_str(json).expect("a rule")
}

/// Four calls per instance, nothing foreseen, down after 10 s.
const PLAIN: &str = r#"{"max": 20, "target": {"in_flight": 4}, "look_ahead": "0s", "down_after": "10s"}"#;

fn in_flight(taking: u32, in_flight: f64) -> Look {
    Look { taking, in_flight, ..Look::default() }
}

/// How many there are to be after each second of a load in calls, when instances take calls so many seconds after they are wanted.
fn simulate(json: &str, start_s: usize, load: impl IntoIterator<Item = f64>) -> Vec<u32> {
    let mut rule = Rule::new(scaling(json), 1, at(0));
    let mut wanted = vec![1];
    for (second, load) in load.into_iter().enumerate() {
        let now = *wanted.last().expect("one");
        let taking = wanted[second.saturating_sub(start_s)].min(now);
        let change = rule.look(&in_flight(taking, load), now, at(second as u64 + 1));
        wanted.push(change.map_or(now, |change| change.to));
    }
    wanted
}

fn changes(wanted: &[u32]) -> usize {
    wanted.windows(2).filter(|two| two[0] != two[1]).count()
}

#[test]
fn there_are_as_many_as_each_has_its_target() {
    let mut rule = Rule::new(scaling(PLAIN), 2, at(0));
    let change = rule.look(&in_flight(2, 13.0), 2, at(1)).expect("there are too few");
    assert_eq!(change.to_string(), "in flight 13.0 of 4 per instance: 2 -> 4");
    assert_eq!(rule.look(&in_flight(4, 17.5), 4, at(2)), None, "within a tenth");
    assert_eq!(rule.look(&in_flight(4, 17.7), 4, at(3)).map(|it| it.to), Some(5));
}

#[test]
fn of_several_targets_the_one_counts_that_asks_for_the_most() {
    let all = r#"{"max": 20, "target": {"in_flight": 4, "cpu": 0.5, "latency": "50ms"}, "look_ahead": "0s"}"#;
    let mut rule = Rule::new(scaling(all), 4, at(0));
    let latency = Some(Duration::from_millis(60));
    let look = Look { taking: 4, in_flight: 8.0, latency, cpu: Some(3.1) };
    let change = rule.look(&look, 4, at(1)).expect("there are too few");
    assert_eq!(change.to_string(), "cpu 3.10 of 0.5 per instance: 4 -> 7");
    let change = rule.look(&Look { cpu: Some(1.0), ..look }, 4, at(2)).expect("there are too few");
    assert_eq!(change.to_string(), "latency 60ms of 50ms: 4 -> 5");
}

#[test]
fn a_step_up_is_bounded_until_those_of_the_last_one_take_calls() {
    assert_eq!(simulate(PLAIN, 3, [80.0; 9]), [1, 5, 5, 5, 5, 10, 10, 10, 10, 20]);
    let least = r#"{"max": 20, "min": 2, "target": {"in_flight": 4}}"#;
    let mut rule = Rule::new(scaling(least), 1, at(0));
    let change = rule.look(&in_flight(1, 0.0), 1, at(1)).expect("there are too few");
    assert_eq!(change.to_string(), "min and max: 1 -> 2");
}

#[test]
fn a_step_down_waits_for_a_while_and_takes_a_quarter_at_most() {
    let load = [vec![40.0; 5], vec![20.0; 5], vec![4.0; 20]].concat();
    let wanted = simulate(PLAIN, 0, load);
    assert_eq!(wanted[3..16], [10; 13], "the last 10 s count");
    assert_eq!((wanted[16], wanted[26], wanted[27], wanted[30]), (8, 8, 6, 6), "{wanted:?}");
    let fewer = simulate(PLAIN, 0, [0.0; 30]);
    assert_eq!(fewer, [1; 31], "there is one at least");
}

#[test]
fn what_swings_does_not_make_instances_come_and_go() {
    let sawtooth = (0..200).map(|second| f64::from(10 + second % 8 * 3));
    let wanted = simulate(PLAIN, 2, sawtooth);
    assert!(changes(&wanted[20..]) == 0, "{wanted:?}");
    // Around 30, by a row of numbers that look like chance.
    let noise = (0..200_u32).map(|second| 24.0 + f64::from(second.wrapping_mul(2_654_435_761) >> 28));
    let wanted = simulate(PLAIN, 2, noise);
    assert!(changes(&wanted[20..]) <= 6 && wanted[20..].iter().all(|it| (8..=10).contains(it)), "{wanted:?}");
}

/// How many there are to be after each second of calls that take a tenth of a second and of which an instance bears so many a second; those that it cannot bear wait.
fn queueing(rule: &str, borne_per_s: f64, rates_per_s: impl IntoIterator<Item = f64>) -> Vec<u32> {
    let mut rule = Rule::new(scaling(rule), 1, at(0));
    let (mut wanted, mut waiting) = (vec![1_u32], 0.0_f64);
    for (second, rate) in rates_per_s.into_iter().enumerate() {
        let now = *wanted.last().expect("one");
        let taking = wanted[second.saturating_sub(2)].min(now);
        waiting = (waiting + rate - f64::from(taking) * borne_per_s).max(0.0);
        let change = rule.look(&in_flight(taking, rate * 0.1 + waiting), now, at(second as u64 + 1));
        wanted.push(change.map_or(now, |change| change.to));
    }
    wanted
}

/// How many times there were more, after at least ten seconds without that.
fn rises(wanted: &[u32]) -> usize {
    let up: Vec<usize> = (1..wanted.len()).filter(|second| wanted[second - 1] < wanted[*second]).collect();
    up.len() - up.windows(2).filter(|two| two[1] - two[0] < 10).count()
}

#[test]
fn a_constant_load_comes_to_rest_though_what_is_at_work_asks_for_too_few() {
    // What is at work is ten calls, and asks for five instances; it takes eight to ten to bear them.
    for borne_per_s in [10.0, 11.0, 12.0, 14.0] {
        let rule = r#"{"max": 12, "target": {"in_flight": 2}, "look_ahead": "0s", "down_after": "10s"}"#;
        let wanted = queueing(rule, borne_per_s, [100.0; 130]);
        assert!(rises(&wanted[60..]) <= 1 && rises(&wanted[80..]) == 0, "{borne_per_s}: {wanted:?}");
        assert!(f64::from(wanted[130]) * borne_per_s >= 100.0, "{borne_per_s}: {wanted:?}");
    }
}

#[test]
fn a_number_that_was_too_few_is_tried_again_when_there_is_less_to_do_or_after_a_long_while() {
    let rule = r#"{"max": 12, "target": {"in_flight": 2}, "look_ahead": "0s", "down_after": "10s"}"#;
    let rates = [vec![100.0; 100], vec![40.0; 60]].concat();
    let wanted = queueing(rule, 10.0, rates);
    assert!(wanted[99] >= 10 && wanted[160] < 9, "{wanted:?}");
    let wanted = queueing(rule, 10.0, [100.0; 1_000]);
    let times = rises(&wanted[80..]);
    assert!((5..=10).contains(&times), "once in a hundred seconds or so: {times} in {wanted:?}");
}

#[test]
fn what_rises_is_foreseen() {
    let ramp: Vec<f64> = (0..60).map(|second| 10.0 + f64::from(second)).collect();
    let ahead = PLAIN.replace("0s\", \"down", "5s\", \"down");
    let (without, with) = (simulate(PLAIN, 5, ramp.clone()), simulate(&ahead, 5, ramp.clone()));
    let late = |wanted: &[u32]| {
        // Instances take calls five seconds after they were wanted, and a tenth too much is borne.
        let is_short = |second: usize, load: f64| f64::from(wanted[second - 5] * 4) * 1.1 < load;
        let short = ramp.iter().enumerate().skip(15).filter(|(second, load)| is_short(*second, **load));
        short.count()
    };
    assert!(late(&without) > 20 && late(&with) == 0, "{} and {}", late(&without), late(&with));
    assert!(with.iter().zip(&without).all(|(with, without)| with - without <= 5), "{with:?}");
}

#[test]
fn more_are_wanted_when_that_was_asked_for_during_a_while() {
    let patient = PLAIN.replace(r#""max""#, r#""up_after": "3s", "max""#);
    let load = [vec![4.0; 3], vec![16.0; 2], vec![4.0; 5], vec![16.0, 20.0, 16.0, 20.0, 20.0]].concat();
    let wanted = simulate(&patient, 0, load);
    assert_eq!(wanted, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4]);
}

#[test]
fn what_is_not_known_takes_nothing_away() {
    let mut rule = Rule::new(
        scaling(r#"{"max": 20, "target": {"cpu": 0.5, "in_flight": 4}, "down_after": "1s"}"#),
        9,
        at(0),
    );
    for second in 1..10 {
        assert_eq!(rule.look(&Look { cpu: None, ..in_flight(9, 1.0) }, 9, at(second)), None);
    }
    assert_eq!(rule.look(&Look { cpu: None, ..in_flight(9, 60.0) }, 9, at(10)).map(|it| it.to), Some(15));
    for second in 20..30 {
        assert_eq!(
            rule.look(&Look { cpu: Some(0.0), ..in_flight(0, 0.0) }, 9, at(second)),
            None,
            "none takes calls"
        );
    }
    rule.look(&Look { cpu: Some(0.1), ..in_flight(9, 1.0) }, 9, at(40));
    assert_eq!(rule.look(&Look { cpu: Some(0.1), ..in_flight(9, 1.0) }, 9, at(41)).map(|it| it.to), Some(7));
}

#[test]
fn a_latency_takes_instances_away_one_by_one_and_only_if_it_is_known() {
    let by_latency = r#"{"max": 8, "target": {"latency": "100ms"}, "down_after": "5s"}"#;
    let mut rule = Rule::new(scaling(by_latency), 6, at(0));
    let mut wanted = 6;
    let look = |wanted, in_flight, millis: Option<u64>| Look {
        taking: wanted,
        in_flight,
        latency: millis.map(Duration::from_millis),
        cpu: None,
    };
    for second in 1..20 {
        assert_eq!(
            rule.look(&look(wanted, 3.0, None), wanted, at(second)),
            None,
            "calls run, and none ended"
        );
    }
    let mut seen = vec![wanted];
    for second in 20..60 {
        if let Some(change) = rule.look(&look(wanted, 3.0, Some(1)), wanted, at(second)) {
            assert_eq!(change.to, wanted - 1);
            wanted = change.to;
            seen.push(wanted);
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
    // Something behind the service is slow: all there may be, and no more.
    for second in 60..80 {
        if let Some(change) = rule.look(&look(wanted, 30.0, Some(900)), wanted, at(second)) {
            assert!(change.to <= (wanted * 2).max(wanted + 4));
            wanted = change.to;
        }
    }
    assert_eq!(wanted, 8);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn it_stays_within_its_bounds_whatever_is_seen(
        looks in proptest::collection::vec((0_u32..40, 0.0_f64..1e4, proptest::option::of(0_u64..100_000), proptest::option::of(0.0_f64..64.0)), 1..60),
    ) {
        let rule = r#"{"min": 2, "max": 30, "target": {"in_flight": 4, "cpu": 0.5, "latency": "50ms"}, "down_after": "3s"}"#;
        let (mut rule, mut wanted) = (Rule::new(scaling(rule), 2, at(0)), 2);
        for (second, (taking, in_flight, latency, cpu)) in looks.into_iter().enumerate() {
            let latency = latency.map(Duration::from_millis);
            let change = rule.look(&Look { taking, in_flight, latency, cpu }, wanted, at(second as u64 + 1));
            let to = change.map_or(wanted, |change| change.to);
            assert!((2..=30).contains(&to));
            assert!(to + (taking / 4).max(1) >= wanted, "{wanted} -> {to} while {taking} take calls");
            assert!(to <= wanted.max(taking * 2).max(taking + 4), "{wanted} -> {to} while {taking} take calls");
            let known = taking > 0 && cpu.is_some() && (latency.is_some() || in_flight <= 0.0);
            assert!(to >= wanted || known);
            wanted = to;
        }
    }
}

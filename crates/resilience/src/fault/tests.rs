//! What rules do to calls, shares and schedules as laws, and what is refused.

use mainstay_base::time::SeededEntropy;
use mainstay_base::units::Ratio;
use proptest::prelude::*;

use super::*;
use crate::testing::{at, ms, ratio};

fn rule(fault: Fault) -> Rule {
    Rule::new("rule", fault)
}

const ERROR: Fault = Fault::Error(Code::Unavailable);

/// What these do to a call with this label, in so many milliseconds from when they were installed.
fn decide(rules: &[Rule], label: &str, at_ms: u64) -> Injection {
    let installed_ms = 5_000;
    let rules = Rules::new(rules.to_vec(), at(installed_ms));
    rules.decide(|calls| matches(calls, label), at(installed_ms + at_ms), &SeededEntropy::new(1))
}

#[test]
fn each_fault_does_its_own() {
    let none = Injection::default();
    let slow = Slow { bytes_per_second: std::num::NonZeroU32::new(1_000).unwrap() };
    let cases = [
        (Fault::Delay(Delay::Fixed(ms(30))), Injection { delay: ms(30), ..none }),
        (ERROR, Injection { end: Some(End::Error(Code::Unavailable)), ..none }),
        (Fault::Abort, Injection { end: Some(End::Abort), ..none }),
        (Fault::Hang, Injection { end: Some(End::Hang), ..none }),
        (Fault::Slow(slow), Injection { slow: Some(slow), ..none }),
    ];
    for (fault, injection) in cases {
        assert_eq!(decide(&[rule(fault)], "any", 0), injection);
    }
    assert!(decide(&[], "any", 0).is_none());
    assert_eq!((slow.after(0), slow.after(1_500)), (Duration::ZERO, ms(1_500)));
}

#[test]
fn rules_act_together_and_the_first_end_is_taken() {
    let delay = |by| rule(Fault::Delay(Delay::Fixed(ms(by))));
    let rules = [delay(30), rule(Fault::Abort), delay(12), rule(ERROR)];
    let both = Injection { delay: ms(42), end: Some(End::Abort), slow: None };
    assert_eq!(decide(&rules, "any", 0), both);
}

#[test]
fn rules_are_for_the_calls_that_they_name() {
    let cases = [
        ("pay", "pay", true),
        ("pay", "payments", false),
        ("pay*", "payments", true),
        ("pay*", "pay", true),
        ("pay*", "repay", false),
        ("*", "", true),
        ("", "pay", false),
    ];
    for (calls, label, is_for) in cases {
        assert_eq!(matches(calls, label), is_for, "{calls:?} {label:?}");
        let rule = Rule { calls: calls.to_owned(), ..rule(ERROR) };
        assert_eq!(decide(&[rule], label, 0).is_none(), !is_for);
    }
}

#[test]
fn a_rule_that_does_not_fit_leaves_the_chances_of_others_as_they_are() {
    let half = Rule { ratio: ratio(0.5), ..rule(ERROR) };
    let other = Rule { calls: "other".to_owned(), ..half.clone() };
    let draws = |rules: Vec<Rule>| {
        let (rules, entropy) = (Rules::new(rules, at(0)), SeededEntropy::new(3));
        let decide = |_| rules.decide(|calls| matches(calls, "any"), at(0), &entropy).is_none();
        (0..100).map(decide).collect::<Vec<bool>>()
    };
    assert_eq!(draws(vec![half.clone()]), draws(vec![other, half]));
}

#[test]
fn schedules_hold_exactly() {
    let schedule =
        Schedule { from: ms(100), until: Some(ms(1_000)), every: Some(ms(300)), lasts: Some(ms(50)) };
    let cases = [
        (0, false),
        (99, false),
        (100, true),
        (149, true),
        (150, false),
        (399, false),
        (400, true),
        (700, true),
        (749, true),
        (750, false),
        (1_000, false),
    ];
    for (at_ms, is_on) in cases {
        assert_eq!(schedule.is_on(ms(at_ms)), is_on, "{at_ms}");
        let rule = Rule { schedule, ..rule(ERROR) };
        assert_eq!(!decide(&[rule], "any", at_ms).is_none(), is_on, "{at_ms}");
    }
    assert!(Schedule::default().is_on(Duration::ZERO) && Schedule::default().is_on(Duration::MAX));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let with = |schedule| Rule { schedule, ..rule(ERROR) };
    let always = Schedule::default();
    let spread = Fault::Delay(Delay::Spread(Spread { from: ms(2), to: ms(1) }));
    let cases: [(&str, Vec<Rule>); 8] = [
        ("below its `from`", vec![rule(spread)]),
        ("not after `from`", vec![with(Schedule { from: ms(5), until: Some(ms(5)), ..always })]),
        ("does not say `for` how long", vec![with(Schedule { every: Some(ms(5)), ..always })]),
        ("does not say how often", vec![with(Schedule { lasts: Some(ms(5)), ..always })]),
        ("no time", vec![with(Schedule { every: Some(ms(5)), lasts: Some(ms(0)), ..always })]),
        ("which is always", vec![with(Schedule { every: Some(ms(5)), lasts: Some(ms(5)), ..always })]),
        ("two rules with the name", vec![rule(ERROR), rule(Fault::Abort)]),
        ("at most 100", vec![rule(ERROR); 101]),
    ];
    for (part, rules) in cases {
        let error = Config { faults: Faults::Allowed, rules }.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let refused = Config { rules: vec![rule(ERROR)], ..Config::default() }.check().unwrap_err();
    assert!(refused.contains("set `faults: allowed`"), "{refused}");
    assert_eq!(Config::default().check(), Ok(()));
}

#[test]
fn rules_are_read_as_people_write_them() {
    let text = r#"{"faults": "allowed", "rules": [
        {"name": "one", "calls": "pay*", "fault": {"delay": "100ms"}, "ratio": 0.25},
        {"name": "two", "fault": {"delay": {"from": "1ms", "to": "9ms"}}},
        {"name": "three", "fault": {"error": "bad_gateway"}, "schedule": {"every": "10s", "for": "1s"}},
        {"name": "four", "fault": "abort"},
        {"name": "five", "fault": {"slow": {"bytes_per_second": 1000}}}
    ]}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!(config.check(), Ok(()));
    let first = Rule {
        name: "one".to_owned(),
        calls: "pay*".to_owned(),
        fault: Fault::Delay(Delay::Fixed(ms(100))),
        ratio: ratio(0.25),
        schedule: Schedule::default(),
    };
    assert_eq!(config.rules[0], first);
    assert_eq!(config.rules[3], Rule::new("four", Fault::Abort));
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&written).unwrap(), config);
    let unknown =
        r#"{"rules": [{"name": "one", "fault": {"delay": {"from": "1ms", "to": "9ms", "by": "1ms"}}}]}"#;
    assert!(serde_json::from_str::<Config>(unknown).is_err());
}

proptest! {
    #[test]
    fn shares_converge_to_their_ratios(share in 0.0..=1.0_f64, seed in any::<u64>()) {
        let rules = Rules::new(vec![Rule { ratio: ratio(share), ..rule(ERROR) }], at(0));
        let entropy = SeededEntropy::new(seed);
        let count = 4_000;
        let hits = (0..count).filter(|_| !rules.decide(|_| true, at(0), &entropy).is_none()).count();
        // Six standard deviations, and some for shares that are almost none or all.
        let bound = 6.0 * (share * (1.0 - share) * f64::from(count)).sqrt() + 10.0;
        prop_assert!((hits as f64 - share * f64::from(count)).abs() <= bound, "{} of {}", hits, count);
    }

    #[test]
    fn all_and_none_are_exact(is_all in any::<bool>(), seed in any::<u64>()) {
        let share = if is_all { Ratio::ONE } else { Ratio::ZERO };
        let rules = Rules::new(vec![Rule { ratio: share, ..rule(ERROR) }], at(0));
        let entropy = SeededEntropy::new(seed);
        for _ in 0..1_000 {
            prop_assert_eq!(!rules.decide(|_| true, at(0), &entropy).is_none(), is_all);
        }
    }

    #[test]
    fn delays_are_spread_over_their_range(from in 0_u64..1_000, spread in 0_u64..1_000, seed in any::<u64>()) {
        let fault = Fault::Delay(Delay::Spread(Spread { from: ms(from), to: ms(from + spread) }));
        let (rules, entropy) = (Rules::new(vec![rule(fault)], at(0)), SeededEntropy::new(seed));
        let mut sum = 0.0;
        for _ in 0..1_000 {
            let delay = rules.decide(|_| true, at(0), &entropy).delay;
            prop_assert!((ms(from)..=ms(from + spread)).contains(&delay));
            sum += delay.as_std().as_secs_f64();
        }
        let (mean, middle) = (sum, from as f64 + spread as f64 / 2.0);
        prop_assert!((mean - middle).abs() <= spread as f64 * 0.06 + 0.001, "{} {}", mean, middle);
    }

    #[test]
    fn a_schedule_is_on_from_each_beginning_to_before_its_end(
        from in 0_u64..50,
        until in prop::option::of(51_u64..200),
        period in prop::option::of((2_u64..40, 1_u64..40)),
    ) {
        let period = period.filter(|(every, lasts)| lasts < every);
        let schedule = Schedule {
            from: ms(from),
            until: until.map(ms),
            every: period.map(|(every, _)| ms(every)),
            lasts: period.map(|(_, lasts)| ms(lasts)),
        };
        schedule.check().unwrap();
        let (every, lasts) = period.unwrap_or((1, 1));
        for elapsed in 0..250 {
            let mut begins = (0_u64..).map(|time| from + time * every).take_while(|begin| *begin <= elapsed);
            let is_in = begins.any(|begin| (begin..begin + lasts).contains(&elapsed));
            let is_on = is_in && until.is_none_or(|until| elapsed < until);
            prop_assert_eq!(schedule.is_on(ms(elapsed)), is_on, "{}", elapsed);
        }
    }
}

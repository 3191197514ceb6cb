//! Which end a call has, and laws over random chains of deadlines.

use mainstay_base::error::{Classify, Code, Retry};
use proptest::prelude::*;

use super::*;
use crate::judge::Verdict;
use crate::testing::{at, ms};

fn due(now_ms: u64, deadline_ms: u64) -> Facts {
    Facts::new(at(now_ms)).due(at(deadline_ms))
}

#[test]
fn each_end_is_told_by_whose_time_is_over() {
    let operation = Deadline::new(Scope::Operation, ms(100));
    let one_try = Deadline::new(Scope::Try, ms(100));
    let timed_out = Rejection::TimedOut { limit: ms(100) };
    let free = Facts::new(at(1_000));
    let cases = [
        ("its own deadline", operation, free, 1_100, Rejection::GivenUp),
        ("its caller's, which is earlier", operation, due(1_000, 1_050), 1_050, Rejection::GivenUp),
        ("its own, which is earlier", operation, due(1_000, 5_000), 1_100, Rejection::GivenUp),
        ("a try without a deadline", one_try, free, 1_100, timed_out),
        ("a try that has all its time", one_try, due(1_000, 1_100), 1_100, timed_out),
        ("a try that is cut short", one_try, due(1_000, 1_099), 1_099, Rejection::GivenUp),
    ];
    for (name, deadline, facts, until_ms, then) in cases {
        let facts_below = Facts { deadline: Some(at(until_ms)), ..facts };
        let bounds = Bounds { facts: facts_below, until: at(until_ms), then };
        assert_eq!(deadline.begin(facts), Ok(bounds), "{name}");
    }
}

#[test]
fn a_try_that_leaves_time_for_no_other_has_all_of_it() {
    let one_try = |spared| Deadline::new(Scope::Try, ms(100)).sparing(spared);
    let once = due(1_000, 5_000);
    let again = Facts { is_idempotent: true, ..once };
    let cases = [
        (Spared::None, once, 1_100),
        (Spared::Single, once, 5_000),
        (Spared::Single, again, 1_100),
        (Spared::All, again, 5_000),
        (Spared::All, Facts { deadline: None, ..again }, 1_100),
    ];
    for (spared, facts, until_ms) in cases {
        let bounds = one_try(spared).begin(facts).expect("it is not due");
        let timed_out = Rejection::TimedOut { limit: ms(until_ms - 1_000) };
        assert_eq!((bounds.until, bounds.then), (at(until_ms), timed_out), "{spared:?} {facts:?}");
    }
    // It had less than a try has: that is its caller's doing, and not the service's.
    let bounds = one_try(Spared::All).begin(due(1_000, 1_099)).expect("it is not due");
    assert_eq!((bounds.until, bounds.then), (at(1_099), Rejection::GivenUp));
}

#[test]
fn what_is_due_is_not_begun() {
    for scope in [Scope::Operation, Scope::Try] {
        let deadline = Deadline::new(scope, ms(100));
        assert!(deadline.begin(due(10, 11)).is_ok());
        assert_eq!(deadline.begin(due(10, 10)), Err(Rejection::DeadlinePassed));
        assert_eq!(deadline.begin(due(10, 9)), Err(Rejection::DeadlinePassed));
    }
}

#[test]
fn only_what_was_not_begun_is_safe_to_send_again_and_only_a_slow_try_is_the_services_failure() {
    let timed_out = Rejection::TimedOut { limit: ms(1) };
    let with_key = Retry::WithIdempotencyKey;
    let cases = [
        (Rejection::DeadlinePassed, Retry::Safe, Verdict::Neutral),
        (Rejection::GivenUp, with_key, Verdict::Neutral),
        (timed_out, with_key, Verdict::Failure(with_key)),
    ];
    for (rejection, retry, verdict) in cases {
        assert_eq!(
            (rejection.code(), rejection.retry(), rejection.verdict()),
            (Code::Deadline, retry, verdict)
        );
        let claims_nothing_was_done = rejection.to_string().contains("nothing was sent");
        assert_eq!(claims_nothing_was_done, retry == Retry::Safe, "{rejection}");
    }
}

#[test]
fn a_timeout_beyond_the_clock_is_no_deadline_before_its_end() {
    let bounds = Deadline::new(Scope::Operation, Duration::MAX).begin(Facts::new(at(5))).unwrap();
    assert_eq!(bounds.until, Instant::from_nanos(u64::MAX));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases: [(&str, Config); 3] = [
        ("`timeout` of 0s", Config { timeout: Duration::ZERO, ..Config::default() }),
        ("`try_timeout` of 999us", Config { try_timeout: Duration::from_micros(999), ..Config::default() }),
        ("no try has it", Config { timeout: ms(9_999), ..Config::default() }),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config::default().check(), Ok(()));
    let read: Config = serde_json::from_str(r#"{"timeout": "12s"}"#).unwrap();
    assert_eq!(read, Config { timeout: ms(12_000), ..Config::default() });
    assert!(serde_json::from_str::<Config>(r#"{"time_out": "12s"}"#).is_err());
}

#[derive(Debug, Clone, Copy)]
struct Hop {
    scope: Scope,
    timeout_ms: u64,
    passes_ns: u64,
    /// Whether it is in another process, whose clock has another origin.
    is_elsewhere: bool,
}

fn hop() -> impl Strategy<Value = Hop> {
    let scope = prop_oneof![Just(Scope::Operation), Just(Scope::Try)];
    (scope, 1_u64..5_000, 0_u64..900_000_000, any::<bool>()).prop_map(
        |(scope, timeout_ms, passes_ns, is_elsewhere)| Hop { scope, timeout_ms, passes_ns, is_elsewhere },
    )
}

proptest! {
    #[test]
    fn deadlines_only_shrink_on_the_way_down_and_across_hops(
        hops in prop::collection::vec(hop(), 1..20),
        origin_ns in 0_u64..u64::MAX / 4,
    ) {
        // In the time of the first process; `ahead_ns` is how much further the present one's clock is.
        let (mut ahead_ns, mut earliest_ns) = (0, u64::MAX);
        let mut facts = Facts::new(Instant::from_nanos(origin_ns));
        for hop in hops {
            let now_ns = facts.now.as_nanos();
            let begun = Deadline::new(hop.scope, ms(hop.timeout_ms)).begin(facts);
            prop_assert_eq!(begun.is_err(), facts.is_due(facts.now));
            let Ok(bounds) = begun else { break };
            let until_ns = bounds.until.as_nanos() - ahead_ns;
            let own_ns = now_ns - ahead_ns + hop.timeout_ms * 1_000_000;
            prop_assert!(until_ns <= earliest_ns && until_ns <= own_ns, "never later than any above it");
            earliest_ns = until_ns;
            facts = Facts { now: Instant::from_nanos(now_ns + hop.passes_ns), ..bounds.facts };
            if hop.is_elsewhere {
                let rest_ms = facts.rest_ms(facts.now).unwrap();
                prop_assert!(ms(rest_ms) <= facts.rest(facts.now).unwrap());
                let here = Instant::from_nanos(facts.now.as_nanos() + 77_000_000_000);
                ahead_ns += 77_000_000_000;
                facts = Facts::new(here).due(here.checked_add(ms(rest_ms)).unwrap());
            }
        }
    }
}

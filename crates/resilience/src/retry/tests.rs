//! What is tried again and when, the spreads of waits, and laws over random histories.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_base::time::{Clock, ManualClock, SeededEntropy};
use mainstay_base::units::Ratio;
use proptest::prelude::*;

use super::*;
use crate::env::Env;
use crate::testing::{at, ms, ratio, some};
use crate::watch::Counts;

const SAFE: Verdict = Verdict::Failure(Retry::Safe);
const WITH_KEY: Verdict = Verdict::Failure(Retry::WithIdempotencyKey);

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_std().as_millis()).expect("tests take seconds")
}

fn exact() -> Config {
    Config { jitter: Jitter::None, attempts: some(10), base: ms(50), ..Config::default() }
}

fn tell(config: Config, verdict: Verdict, facts: Facts, now_ms: u64) -> Next {
    let mut tries = Tries::new(at(0));
    tries.tell(&config, (verdict, &facts), at(now_ms), &SeededEntropy::new(1))
}

/// The waits of a call that fails until nothing follows.
fn waits(config: Config, seed: u64) -> Vec<Duration> {
    config.check().expect("it is valid");
    let (mut tries, facts, entropy) = (Tries::new(at(0)), Facts::new(at(0)), SeededEntropy::new(seed));
    let (mut now, mut waits) = (at(0), Vec::new());
    while let Next::Again { at } = tries.tell(&config, (SAFE, &facts), now, &entropy) {
        waits.push(at.saturating_since(now));
        now = at;
    }
    waits
}

#[test]
fn only_what_is_safe_is_tried_again() {
    let plain = Facts::new(at(0));
    let twice = Facts { is_idempotent: true, ..plain };
    let soon = Next::Again { at: at(1_050) };
    let cases = [
        (SAFE, plain, soon),
        (SAFE, twice, soon),
        (WITH_KEY, plain, Next::End),
        (WITH_KEY, twice, soon),
        (Verdict::Failure(Retry::Never), twice, Next::End),
        (Verdict::Failure(Retry::After(ms(700))), plain, Next::Again { at: at(1_750) }),
        (Verdict::Busy(ms(700)), plain, Next::End),
        (Verdict::Busy(ms(700)), twice, Next::Again { at: at(1_750) }),
        (Verdict::Success, twice, Next::End),
        (Verdict::Neutral, twice, Next::End),
    ];
    for (verdict, facts, next) in cases {
        assert_eq!(tell(exact(), verdict, facts, 1_000), next, "{verdict:?} {}", facts.is_idempotent);
    }
}

#[test]
fn waits_grow_as_they_are_configured_up_to_the_cap() {
    let cases = [
        (Backoff::Constant, [50, 50, 50, 50, 50, 50]),
        (Backoff::Linear, [50, 100, 150, 200, 250, 300]),
        (Backoff::Exponential, [50, 100, 200, 400, 600, 600]),
    ];
    for (backoff, expected) in cases {
        let config = Config { backoff, cap: ms(600), attempts: some(7), ..exact() };
        let waits: Vec<u64> = waits(config, 1).into_iter().map(whole_ms).collect();
        assert_eq!(waits, expected, "{backoff:?}");
    }
    let endless =
        Config { attempts: some(u32::MAX), elapsed: Duration::MAX, cap: Duration::MAX, ..Config::default() };
    let (mut tries, entropy) = (Tries::new(at(0)), SeededEntropy::new(1));
    tries.count = 4_000_000_000;
    let next = tries.tell(&endless, (SAFE, &Facts::new(at(0))), at(0), &entropy);
    assert!(matches!(next, Next::Again { .. }), "the 4,000,000,000th wait is a number too: {next:?}");
}

#[test]
fn tries_and_time_come_to_an_end() {
    assert_eq!(waits(Config { attempts: some(1), ..exact() }, 1), []);
    assert_eq!(waits(Config { attempts: some(4), ..exact() }, 1).len(), 3);
    let short = Config { elapsed: ms(350), ..exact() };
    assert_eq!(waits(short, 1).len(), 3, "50 + 100 + 200 are 350");
    assert_eq!(waits(Config { elapsed: ms(349), ..exact() }, 1).len(), 2);
    let late = Verdict::Failure(Retry::After(ms(3_600_000)));
    assert_eq!(tell(exact(), late, Facts::new(at(0)), 0), Next::Spent, "nobody waits an hour");
    let endless = Verdict::Failure(Retry::After(Duration::MAX));
    let config = Config { elapsed: Duration::MAX, ..exact() };
    assert_eq!(tell(config, endless, Facts::new(at(0)), 0), Next::Spent);
}

#[test]
fn a_retry_that_cannot_end_before_the_deadline_is_not_begun() {
    // The retry would begin at 150ms, and takes 5ms at least.
    for (deadline_ms, next) in [(155, Next::Again { at: at(150) }), (154, Next::Spent), (100, Next::Spent)] {
        assert_eq!(tell(exact(), SAFE, Facts::new(at(0)).due(at(deadline_ms)), 100), next, "{deadline_ms}");
    }
    let no_time = Config { least: Duration::ZERO, ..exact() };
    assert_eq!(tell(no_time, SAFE, Facts::new(at(0)).due(at(150)), 100), Next::Spent, "due is too late");
    let asked = Verdict::Failure(Retry::After(ms(100)));
    assert_eq!(tell(exact(), asked, Facts::new(at(0)).due(at(254)), 100), Next::Spent);
}

/// The first waits of many calls, as tenths of their range.
fn tenths(config: Config, low_ms: u64, high_ms: u64) -> [u32; 10] {
    let mut tenths = [0; 10];
    for seed in 0..10_000 {
        let wait = waits(Config { attempts: some(2), ..config }, seed)[0];
        let share = (wait.as_std().as_secs_f64() * 1e3 - low_ms as f64) / (high_ms - low_ms) as f64;
        assert!((0.0..=1.0).contains(&share), "{wait}");
        tenths[((share * 10.0) as usize).min(9)] += 1;
    }
    tenths
}

#[test]
fn each_jitter_is_spread_evenly_over_its_own_range() {
    let cases = [(Jitter::Full, 0, 50), (Jitter::Equal, 25, 50), (Jitter::Decorrelated, 50, 150)];
    for (jitter, low_ms, high_ms) in cases {
        // A tenth of 10,000 is 1,000; six times its deviation is 180.
        let tenths = tenths(Config { jitter, ..exact() }, low_ms, high_ms);
        assert!(tenths.iter().all(|tenth| (820..=1_180).contains(tenth)), "{jitter:?} {tenths:?}");
    }
}

#[test]
fn decorrelated_waits_grow_by_themselves_up_to_the_cap() {
    let config = Config { jitter: Jitter::Decorrelated, elapsed: Duration::MAX, ..exact() };
    let mut means_ms = [0.0; 9];
    for seed in 0..1_000 {
        for (mean_ms, wait) in means_ms.iter_mut().zip(waits(config, seed)) {
            *mean_ms += wait.as_std().as_secs_f64();
        }
    }
    // From 50ms to three times the last one are 100ms on the average, then 175ms, 287ms and so on, until the cap of 2s is felt.
    for (mean_ms, expected_ms) in means_ms.iter().zip([100.0, 175.0, 287.5]) {
        assert!((expected_ms * 0.9..expected_ms * 1.1).contains(mean_ms), "{means_ms:?}");
    }
    assert!(means_ms.is_sorted() && means_ms[8] > 800.0, "{means_ms:?}");
}

#[test]
fn a_budget_gives_a_share_of_first_tries_and_a_floor() {
    let allowance = Allowance { ratio: ratio(0.2), floor_per_s: 1, window: ms(10_000) };
    let mut budget = Budget::new(allowance);
    let granted =
        |budget: &mut Budget, now_ms| (0..1_000).filter(|_| budget.ask(at(now_ms)).is_some()).count();
    assert_eq!(granted(&mut budget, 100_000), 10, "the floor alone");
    assert_eq!(granted(&mut budget, 110_999), 0, "none while those may be in the window");
    assert_eq!(granted(&mut budget, 111_000), 10);
    (0..100).for_each(|_| budget.first(at(112_500)));
    assert_eq!(granted(&mut budget, 113_000), 20, "a fifth of 100, and the floor, of which 10 are used");
    assert_eq!(granted(&mut budget, 121_999), 0);
    assert_eq!(granted(&mut budget, 122_000), 0, "the first tries have left the window before the retries");
    assert_eq!(granted(&mut budget, 124_000), 10);
}

#[test]
fn a_retry_that_was_not_begun_is_given_back_also_late() {
    let allowance = Allowance { ratio: Ratio::ZERO, floor_per_s: 1, window: ms(1_000) };
    let mut budget = Budget::new(allowance);
    for later_ms in [0, 1_000, 1_100, 5_000] {
        let now_ms = 10_000 * (later_ms + 1);
        let permit = budget.ask(at(now_ms)).unwrap();
        assert_eq!(budget.ask(at(now_ms)), None);
        assert_eq!(budget.ask(at(now_ms + later_ms)).is_some(), later_ms >= 1_100, "{later_ms}");
        budget.give_back(permit);
        assert_eq!(budget.ask(at(now_ms + later_ms)).is_some(), later_ms < 1_100, "{later_ms}");
        assert_eq!(budget.ask(at(now_ms + later_ms)), None, "one is given back, and not two");
    }
}

#[test]
fn first_tries_of_all_threads_are_counted_in_their_step_and_once() {
    let clock = Arc::new(ManualClock::default());
    let env = Env::new(clock.clone(), Arc::new(SeededEntropy::new(1)), Arc::new(Counts::new("payments")));
    let config = exact();
    let handle = Handle::new(Allowance { floor_per_s: 0, ..Allowance::default() }, env);
    let begin = |now_ms| handle.begin(&Facts::new(at(now_ms)));
    // The window is of 10s, in steps of one.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..5_000).for_each(|now_ms| {
                    begin(now_ms);
                });
            });
        }
    });
    let granted = |advance_ms| {
        clock.advance(ms(advance_ms));
        let facts = Facts::new(clock.now());
        let ask = |()| handle.tell(&mut Tries::new(facts.now), &config, (SAFE, &facts));
        std::iter::repeat(()).map_while(ask).collect::<Vec<_>>().len()
    };
    assert_eq!(granted(5_000), 3_000, "a fifth of them");
    assert_eq!(granted(0), 3_000, "those before were not begun, and were given back");
    assert_eq!(granted(9_999), 0, "none has left the window late");
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let budget = Allowance::default();
    let cases: [(&str, Config); 6] = [
        ("`base` of no time", Config { base: Duration::ZERO, ..Config::default() }),
        ("`cap` of 99ms", Config { cap: ms(99), ..Config::default() }),
        ("`elapsed` of 99ms", Config { elapsed: ms(99), ..Config::default() }),
        (
            "grows by itself",
            Config { jitter: Jitter::Decorrelated, backoff: Backoff::Linear, ..Config::default() },
        ),
        ("below 10ms", Config { budget: Allowance { window: ms(9), ..budget }, ..Config::default() }),
        (
            "never has a retry",
            Config {
                budget: Allowance { ratio: Ratio::ZERO, floor_per_s: 0, ..budget },
                ..Config::default()
            },
        ),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config::default().check(), Ok(()));
    let text = r#"{"attempts": 4, "backoff": "exponential", "base": "100ms", "cap": "2s", "jitter": "full",
        "budget": {"ratio": 0.2, "floor_per_s": 3}}"#;
    assert_eq!(serde_json::from_str::<Config>(text).unwrap(), Config::default());
    assert!(serde_json::from_str::<Config>(r#"{"retries": 3}"#).is_err());
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Success),
        Just(Verdict::Neutral),
        Just(SAFE),
        Just(WITH_KEY),
        Just(Verdict::Failure(Retry::Never)),
        (0_u64..4_000).prop_map(|after_ms| Verdict::Failure(Retry::After(ms(after_ms)))),
        (0_u64..4_000).prop_map(|after_ms| Verdict::Busy(ms(after_ms))),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    let backoff = prop_oneof![Just(Backoff::Constant), Just(Backoff::Linear), Just(Backoff::Exponential)];
    let jitter =
        prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::Decorrelated)];
    let times = (1_u64..200, 0_u64..3_000, 0_u64..50, 200_u64..20_000);
    (backoff, jitter, 1_u32..12, times).prop_map(|(backoff, jitter, attempts, times)| {
        let (base_ms, more_ms, least_ms, elapsed_ms) = times;
        let attempts = some(attempts);
        let backoff = if jitter == Jitter::Decorrelated { Backoff::Exponential } else { backoff };
        let (base, cap) = (ms(base_ms), ms(base_ms + more_ms));
        let (least, elapsed) = (ms(least_ms), ms(elapsed_ms));
        Config { attempts, elapsed, backoff, base, cap, jitter, least, ..Config::default() }
    })
}

proptest! {
    #[test]
    fn no_retry_is_unsafe_early_late_or_one_too_many(
        config in any_config(),
        is_idempotent in any::<bool>(),
        deadline_ms in prop::option::of(0_u64..10_000),
        ends in prop::collection::vec((any_verdict(), 0_u64..500), 1..20),
        seed in any::<u64>(),
    ) {
        let facts = Facts { deadline: deadline_ms.map(at), is_idempotent, ..Facts::new(at(0)) };
        let (mut tries, entropy, mut now) = (Tries::new(at(0)), SeededEntropy::new(seed), at(0));
        for (verdict, takes_ms) in ends {
            now = now.checked_add(ms(takes_ms)).unwrap();
            let Next::Again { at: begins } = tries.tell(&config, (verdict, &facts), now, &entropy) else { break };
            let after = match verdict {
                Verdict::Failure(Retry::After(after)) => after,
                Verdict::Busy(after) if is_idempotent => after,
                Verdict::Failure(Retry::WithIdempotencyKey) if is_idempotent => Duration::ZERO,
                verdict => {
                    prop_assert_eq!(verdict, SAFE);
                    Duration::ZERO
                }
            };
            let wait = begins.saturating_since(now);
            prop_assert!(wait >= after, "what was asked for is waited for");
            prop_assert!(wait.as_std() <= after.as_std() + config.cap.as_std());
            let ends = begins.checked_add(config.least).unwrap();
            prop_assert!(facts.deadline.is_none_or(|deadline| begins < deadline && ends <= deadline));
            prop_assert!(begins <= at(whole_ms(config.elapsed)));
            prop_assert!(tries.count() <= config.attempts.get());
            now = begins;
        }
    }

    #[test]
    fn waits_stay_in_the_range_of_their_jitter(config in any_config(), seed in any::<u64>()) {
        let config = Config { elapsed: Duration::MAX, ..config };
        let mut last = config.base;
        for (number, wait) in (1..).zip(waits(config, seed)) {
            let grown = match config.backoff {
                Backoff::Constant => config.base,
                Backoff::Linear => Duration::from(config.base.as_std() * number),
                Backoff::Exponential => Duration::from(config.base.as_std() * 2_u32.pow(number - 1)),
            };
            let grown = grown.min(config.cap);
            let (low, high) = match config.jitter {
                Jitter::None => (grown, grown),
                Jitter::Full => (Duration::ZERO, grown),
                Jitter::Equal => (Duration::from(grown.as_std() / 2), grown),
                Jitter::Decorrelated => {
                    (config.base, Duration::from(last.as_std() * 3).min(config.cap))
                }
            };
            prop_assert!((low..=high).contains(&wait), "{} of {} to {}", wait, low, high);
            last = wait;
        }
    }

    #[test]
    fn a_budget_holds_over_every_window_and_is_not_stingy(
        steps in prop::collection::vec((0_u64..900, 0_u32..20, 0_u32..8, any::<bool>()), 1..80),
        share in 0.0..=1.0_f64,
        floor_per_s in 0_u32..4,
        window_ms in prop_oneof![Just(1_000_u64), Just(1_003), Just(10)],
    ) {
        let mut budget = Budget::new(Allowance { ratio: ratio(share), floor_per_s, window: ms(window_ms) });
        let floor = f64::from(floor_per_s) * window_ms as f64 / 1e3;
        // Moments in nanoseconds, of which none is forgotten.
        let (mut first, mut further): (VecDeque<u64>, VecDeque<u64>) = Default::default();
        let mut now_ns = 0;
        let within = |of: &VecDeque<u64>, now: u64, last_ns: u64| {
            of.iter().filter(|moment| **moment + last_ns > now).count() as f64
        };
        for (wait_ms, tries, asks, is_given_back) in steps {
            now_ns += wait_ms * 1_000_000;
            let now = Instant::from_nanos(now_ns);
            (0..tries).for_each(|_| budget.first(now));
            first.extend((0..tries).map(|_| now_ns));
            let window_ns = window_ms * 1_000_000;
            let tenth_ns = window_ns.div_ceil(10);
            for _ in 0..asks {
                let permit = budget.ask(now);
                let more = within(&further, now_ns, window_ns) + 1.0;
                if let Some(permit) = permit {
                    let most = share * within(&first, now_ns, window_ns + 10) + floor;
                    prop_assert!(more <= most, "{} of {}", more, most);
                    if is_given_back {
                        budget.give_back(permit);
                    } else {
                        further.push_back(now_ns);
                    }
                } else {
                    let more = within(&further, now_ns, tenth_ns * 11) + 1.0;
                    let least = share * within(&first, now_ns, tenth_ns * 9) + floor;
                    prop_assert!(more > least, "{} of {} was refused", more, least);
                }
            }
        }
    }
}

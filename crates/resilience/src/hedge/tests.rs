//! What is learned, the budget, and laws over random latencies and histories.

use std::num::NonZeroU32;

use mainstay_base::time::{Entropy, SeededEntropy};
use mainstay_base::units::Ratio;
use proptest::prelude::*;

use super::*;
use crate::chance::unit;
use crate::testing::{at, ms, ratio};

/// Whether `learned` is `exact`, or above it by no more than the histogram may be.
fn is_near(learned: Duration, exact: Duration) -> bool {
    let most = exact.as_std().mul_f64(1.0 + 1.0 / 16.0) + Duration::from_nanos(1_024).as_std();
    learned >= exact && learned.as_std() <= most
}

/// The least of them that a share did not exceed.
fn quantile(latencies: &mut [Duration], share: f64) -> Duration {
    latencies.sort_unstable();
    let rank = (share * latencies.len() as f64 - 1e-6).ceil() as usize;
    latencies[rank.max(1) - 1]
}

/// One that has learned from calls of 1ms to 100ms.
fn learned(config: Config) -> Hedge {
    config.check().expect("it is valid");
    let mut hedge = Hedge::new(config);
    (1..=100).for_each(|took_ms| hedge.tell(ms(took_ms), false, at(0)));
    hedge
}

#[test]
fn nothing_is_done_twice_until_enough_is_known() {
    let mut hedge = Hedge::new(Config::default());
    for took_ms in 1..=99 {
        hedge.tell(ms(took_ms), false, at(0));
        assert_eq!(hedge.begin(at(0)), None, "{took_ms}");
    }
    hedge.tell(ms(100), false, at(0));
    let delay = hedge.begin(at(0)).unwrap();
    assert!(is_near(delay, ms(95)), "{delay}");
}

#[test]
fn the_delay_stays_within_its_bounds_and_follows_the_service() {
    let late = Config { delay_min: ms(200), ..Config::default() };
    assert_eq!(learned(late).delay(), Some(ms(200)));
    let early = Config { delay_max: ms(20), ..Config::default() };
    assert_eq!(learned(early).delay(), Some(ms(20)));
    let mut hedge = learned(Config::default());
    for _ in 0..3_000 {
        hedge.tell(ms(300), false, at(0));
    }
    assert!(is_near(hedge.delay().unwrap(), ms(300)));
    // 30s are a window, after which what is known counts half.
    (0..2_000).for_each(|_| hedge.tell(ms(2), false, at(150_000)));
    assert!(
        is_near(hedge.begin(at(180_000)).unwrap(), ms(2)),
        "of 3,100 there are 48 left: under a twentieth"
    );
    assert_eq!(hedge.begin(at(600_000)), None, "what is known has faded");
}

#[test]
fn one_that_was_cut_counts_only_if_it_was_slow() {
    let mut hedge = learned(Config::default());
    let delay = hedge.delay();
    (0..1_000).for_each(|_| hedge.tell(ms(1), true, at(0)));
    assert_eq!(hedge.delay(), delay, "it might have been as slow as any");
    (0..1_000).for_each(|_| hedge.tell(ms(150), true, at(0)));
    assert!(is_near(hedge.delay().unwrap(), ms(150)), "it took at least so long");
    let mut new = Hedge::new(Config::default());
    (0..1_000).for_each(|_| new.tell(ms(150), true, at(0)));
    assert_eq!(new.delay(), None);
}

#[test]
fn winning_hedges_do_not_make_the_delay_shorter_and_shorter() {
    let (mut hedge, entropy) = (Hedge::new(Config::default()), SeededEntropy::new(3));
    // Evenly from 0 to 100ms, of which 95ms is the 95th hundredth.
    let draw = |entropy: &dyn Entropy| Duration::from_nanos((unit(entropy) * 1e8) as u64);
    let mut hedged = 0;
    for call in 0..50_000 {
        let now = at(call * 10);
        let (delay, first, second) = (hedge.begin(now), draw(&entropy), draw(&entropy));
        let is_hedged = delay.is_some_and(|delay| delay < first) && hedge.ask(now);
        hedged += u32::from(is_hedged);
        let won = delay.map(|delay| delay.as_std() + second.as_std()).filter(|_| is_hedged);
        match won {
            Some(ends) if ends < first.as_std() => hedge.tell(ends.into(), true, now),
            _ => hedge.tell(first, false, now),
        }
        assert!(call < 5_000 || (ms(90)..=ms(104)).contains(&hedge.delay().unwrap()), "{:?}", hedge.delay());
    }
    assert!((1_000..=3_000).contains(&hedged), "about a twentieth: {hedged}");
}

#[test]
fn fading_keeps_the_shares_also_of_the_few() {
    let mut histogram = Histogram::new(ms(1_000));
    (0..999).for_each(|_| histogram.add(ms(10)));
    histogram.add(ms(5_000));
    for window in 1..40 {
        assert!(histogram.fade(at(window * 1_000)) && !histogram.fade(at(window * 1_000 + 999)));
        assert!(is_near(histogram.quantile(0.998), ms(10)), "{window}");
        assert!(is_near(histogram.quantile(0.9995), ms(5_000)), "{window}");
    }
    assert!(!histogram.fade(at(0)), "another thread's moment");
    assert!(histogram.fade(at(1_000_000)));
    assert_eq!(histogram.weight(), 0.0);
}

#[test]
fn latencies_beyond_the_histogram_are_in_its_last_bucket() {
    let mut histogram = Histogram::new(ms(1_000));
    histogram.add(Duration::MAX);
    assert_eq!(histogram.quantile(0.5).as_secs_up(), 69);
    (0..9).for_each(|_| histogram.add(Duration::ZERO));
    assert_eq!(histogram.quantile(0.5), Duration::from_nanos(1_024));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases: [(&str, Config); 5] = [
        ("`percentile` of 0", Config { percentile: Ratio::ZERO, ..Config::default() }),
        ("`percentile` of 1", Config { percentile: Ratio::ONE, ..Config::default() }),
        ("never has a second try", Config { budget: Ratio::ZERO, ..Config::default() }),
        ("below 10ms", Config { window: ms(9), ..Config::default() }),
        ("below `delay_min`", Config { delay_max: Duration::from_nanos(1), ..Config::default() }),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config::default().check(), Ok(()));
    let read: Config = serde_json::from_str(r#"{"percentile": 0.99, "minimum": 500}"#).unwrap();
    let minimum = NonZeroU32::new(500).unwrap();
    assert_eq!(read, Config { percentile: ratio(0.99), minimum, ..Config::default() });
    assert!(serde_json::from_str::<Config>(r#"{"percentil": 0.99}"#).is_err());
}

/// From nanoseconds to a minute, each power of ten as likely.
fn latency() -> impl Strategy<Value = Duration> {
    (0.0..10.8_f64).prop_map(|power| Duration::from_nanos(10.0_f64.powf(power) as u64))
}

proptest! {
    #[test]
    fn what_is_learned_is_the_percentile_within_the_stated_error(
        mut latencies in prop::collection::vec(latency(), 1..400),
        share in 0.001..=1.0_f64,
    ) {
        let mut histogram = Histogram::new(ms(1_000));
        latencies.iter().for_each(|latency| histogram.add(*latency));
        let (learned, exact) = (histogram.quantile(share), quantile(&mut latencies, share));
        prop_assert!(is_near(learned, exact), "{} for {}", learned, exact);
    }

    #[test]
    fn the_delay_is_that_percentile_of_all_but_the_last_few(
        mut latencies in prop::collection::vec(latency(), 1..400),
        share in 0.01..0.99_f64,
    ) {
        let minimum = NonZeroU32::MIN;
        let bounds = (Duration::ZERO, Duration::MAX);
        let percentile = ratio(share);
        let mut hedge = Hedge::new(
            Config { percentile, minimum, delay_min: bounds.0, delay_max: bounds.1, ..Config::default() },
        );
        latencies.iter().for_each(|latency| hedge.tell(*latency, false, at(0)));
        let known = latencies.len() - (latencies.len() - 1) % LEARN_EVERY as usize;
        let exact = quantile(&mut latencies[..known], share);
        prop_assert!(is_near(hedge.begin(at(0)).unwrap(), exact));
    }

    #[test]
    fn second_tries_stay_within_their_share_of_the_calls_of_every_window(
        steps in prop::collection::vec((0_u64..400, 0_u32..20, 0_u32..10), 1..100),
        share in 0.01..=1.0_f64,
    ) {
        let mut hedge = Hedge::new(Config { budget: ratio(share), window: ms(1_000), ..Config::default() });
        let (mut calls, mut hedges, mut now_ms) = (Vec::new(), Vec::new(), 0);
        for (wait_ms, begun, asked) in steps {
            now_ms += wait_ms;
            for _ in 0..begun {
                hedge.begin(at(now_ms));
                calls.push(now_ms);
            }
            for _ in 0..asked {
                if hedge.ask(at(now_ms)) {
                    hedges.push(now_ms);
                    let within = |of: &[u64]| of.iter().filter(|ms| **ms + 1_000 > now_ms).count() as f64;
                    prop_assert!(within(&hedges) <= share * within(&calls));
                }
            }
        }
    }
}

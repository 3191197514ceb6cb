//! How a limit moves, and laws over random histories.

use std::num::NonZeroU32;

use mainstay_base::error::Retry;
use mainstay_base::units::Ratio;
use proptest::prelude::*;

use super::*;
use crate::testing::{at, ratio, some};

const FAILURE: Verdict = Verdict::Failure(Retry::Safe);

fn gradient() -> Config {
    Config { maximum: some(100), ..Config::default() }
}

fn aimd() -> Config {
    let latency = Some(Duration::from_millis(1_000));
    Config { limiter: Limiter::Aimd(Aimd { latency, ..Aimd::default() }), ..gradient() }
}

/// A limit, and a clock that is moved by hand.
struct Scene {
    adaptive: Adaptive,
    now_ms: u64,
}

impl Scene {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        Self { adaptive: Adaptive::new(config), now_ms: 0 }
    }

    fn ask(&mut self) -> Result<Permit, Rejection> {
        self.adaptive.ask(at(self.now_ms))
    }

    fn tell(&mut self, permit: Permit, verdict: Verdict) {
        self.adaptive.tell(permit, verdict, at(self.now_ms));
    }

    /// So many rounds of this share of what may run, each call of which takes as long and ends so. The last takes a little longer, so that windows end with
    /// rounds.
    fn rounds(&mut self, count: u32, share: f64, took_ms: u64, verdict: Verdict) {
        for _ in 0..count {
            let calls = (f64::from(self.adaptive.limit()) * share).ceil() as usize;
            let permits: Vec<Permit> = (0..calls).map(|_| self.ask().unwrap()).collect();
            self.now_ms += took_ms - 1;
            for (number, permit) in permits.into_iter().enumerate() {
                self.now_ms += u64::from(number + 1 == calls);
                self.tell(permit, verdict);
            }
        }
    }

    fn limit(&self) -> u32 {
        self.adaptive.limit()
    }
}

#[test]
fn no_more_run_than_the_limit_and_each_that_ends_leaves_its_place() {
    let mut scene = Scene::new(gradient());
    let mut permits: Vec<Permit> = (0..20).map(|_| scene.ask().unwrap()).collect();
    assert_eq!(scene.ask(), Err(Rejection::LimitReached { limit: 20 }));
    scene.tell(permits.pop().unwrap(), Verdict::Neutral);
    permits.push(scene.ask().unwrap());
    scene.adaptive.abandon(permits.pop().unwrap(), at(0));
    permits.push(scene.ask().unwrap());
    assert_eq!((scene.adaptive.running(), scene.limit()), (20, 20));
    assert!(scene.ask().is_err());
}

#[test]
fn a_gradient_rises_while_in_use_falls_when_calls_take_longer_and_recovers() {
    let mut scene = Scene::new(gradient());
    scene.rounds(300, 1.0, 100, Verdict::Success);
    assert_eq!(scene.limit(), 100, "as far as it may");
    scene.rounds(50, 1.0, 140, Verdict::Success);
    assert_eq!(scene.limit(), 100, "within the tolerance");
    scene.rounds(60, 1.0, 1_000, Verdict::Success);
    assert_eq!(scene.limit(), 8, "as far as it may");
    scene.rounds(500, 1.0, 100, Verdict::Success);
    assert_eq!(scene.limit(), 100, "what was long is usual no more");
}

#[test]
fn a_gradient_settles_at_what_a_service_works_on() {
    let mut scene = Scene::new(gradient());
    // Works on 40 at a time: with more, each takes as much longer.
    for _ in 0..1_000 {
        let took_ms = if scene.limit() < 40 { 100 } else { u64::from(scene.limit()) * 100 / 40 };
        scene.rounds(1, 1.0, took_ms, Verdict::Success);
    }
    assert!((40..=75).contains(&scene.limit()), "{}", scene.limit());
}

#[test]
fn what_an_overload_made_usual_is_forgotten_sooner_than_it_was_learned() {
    let mut scene = Scene::new(gradient());
    scene.rounds(1_000, 1.0, 1_000, Verdict::Success);
    scene.rounds(200, 1.0, 100, Verdict::Success);
    assert!(scene.adaptive.long.get().is_some_and(|long| long < 250e6), "{:?}", scene.adaptive.long);
}

#[test]
fn a_quick_failure_is_no_short_latency_and_a_slow_one_is_a_long_one() {
    let quickly = Gradient { long: Duration::from_millis(2_500), ..Gradient::default() };
    let mut scene = Scene::new(Config { limiter: Limiter::Gradient(quickly), ..gradient() });
    scene.rounds(300, 1.0, 100, Verdict::Success);
    scene.rounds(600, 1.0, 1, FAILURE);
    assert_eq!(scene.limit(), 100);
    assert!(scene.adaptive.long.get().is_some_and(|long| long > 98e6), "{:?}", scene.adaptive.long);
    let mut scene = Scene::new(gradient());
    scene.rounds(300, 1.0, 100, Verdict::Success);
    scene.rounds(40, 1.0, 1_000, FAILURE);
    assert!(scene.limit() < 20, "{}", scene.limit());
}

#[test]
fn calls_that_are_given_up_after_longer_than_usual_were_slow() {
    for (config, is_told) in [(gradient(), false), (gradient(), true), (aimd(), false), (aimd(), true)] {
        let mut scene = Scene::new(config);
        scene.rounds(300, 1.0, 100, Verdict::Success);
        for (took_ms, falls) in [(90, false), (2_000, true)] {
            let before = scene.limit();
            for _ in 0..20 {
                let permits: Vec<Permit> = (0..scene.limit()).map(|_| scene.ask().unwrap()).collect();
                scene.now_ms += took_ms;
                for permit in permits {
                    match is_told {
                        true => scene.tell(permit, Verdict::Neutral),
                        false => scene.adaptive.abandon(permit, at(scene.now_ms)),
                    }
                }
            }
            assert_eq!(scene.limit() < before, falls, "{took_ms}: {before} to {}", scene.limit());
        }
    }
}

#[test]
fn aimd_adds_while_all_is_well_and_multiplies_when_it_is_not() {
    let mut scene = Scene::new(aimd());
    scene.rounds(10, 1.0, 250, Verdict::Success);
    assert_eq!(scene.limit(), 30, "one more for each window");
    scene.rounds(1, 1.0, 250, FAILURE);
    assert_eq!(scene.limit(), 27);
    scene.rounds(1, 1.0, 1_001, Verdict::Success);
    assert_eq!(scene.limit(), 24, "slow ones as well");
    scene.rounds(40, 1.0, 250, FAILURE);
    assert_eq!(scene.limit(), 8, "no further than it may");
    scene.rounds(200, 1.0, 250, Verdict::Success);
    assert_eq!(scene.limit(), 100);
}

#[test]
fn aimd_bears_fewer_failures_than_its_share() {
    let mut scene = Scene::new(aimd());
    for failures in [1, 2] {
        let before = scene.limit();
        let permits: Vec<Permit> = (0..20).map(|_| scene.ask().unwrap()).collect();
        scene.now_ms += 249;
        for (number, permit) in permits.into_iter().enumerate() {
            scene.now_ms += u64::from(number == 19);
            scene.tell(permit, if number < failures { FAILURE } else { Verdict::Success });
        }
        assert_eq!(scene.limit() < before, failures == 2);
    }
}

#[test]
fn a_limit_is_not_raised_while_less_than_half_of_it_is_in_use() {
    for config in [gradient(), aimd()] {
        let config = Config { initial: some(40), ..config };
        let mut scene = Scene::new(config);
        scene.rounds(200, 0.475, 100, Verdict::Success);
        assert_eq!(scene.limit(), 40);
        scene.rounds(200, 0.5, 100, Verdict::Success);
        assert!(scene.limit() > 40);
    }
}

#[test]
fn few_ends_move_nothing() {
    let mut scene = Scene::new(Config { minimum: some(1), initial: some(1), ..aimd() });
    scene.rounds(9, 1.0, 1_000, FAILURE);
    assert_eq!(scene.adaptive.window.ends(), 9);
    scene.rounds(1, 1.0, 100, Verdict::Success);
    assert_eq!(scene.adaptive.window.ends(), 0);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let by = |gradient| Config { limiter: Limiter::Gradient(gradient), ..Config::default() };
    let or = |aimd| Config { limiter: Limiter::Aimd(aimd), ..Config::default() };
    let cases: [(&str, Config); 8] = [
        ("below `minimum`", Config { maximum: some(7), ..Config::default() }),
        ("not from `minimum`", Config { initial: some(7), ..Config::default() }),
        ("below 1ms", Config { window: Duration::from_micros(999), ..Config::default() }),
        ("never move", by(Gradient { smoothing: Ratio::ZERO, ..Gradient::default() })),
        ("never rise", by(Gradient { queue: 0, ..Gradient::default() })),
        ("below ten times", by(Gradient { long: Duration::from_secs(2), ..Gradient::default() })),
        ("what is left", or(Aimd { backoff: Ratio::ONE, ..Aimd::default() })),
        ("every call is slow", or(Aimd { latency: Some(Duration::ZERO), ..Aimd::default() })),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let read: Config =
        serde_json::from_str(r#"{"limiter": {"aimd": {"latency": "1s"}}, "maximum": 100}"#).unwrap();
    assert_eq!(read, aimd());
    let read: Config = serde_json::from_str(r#"{"limiter": {"gradient": {}}}"#).unwrap();
    assert_eq!(read, Config::default());
    assert!(serde_json::from_str::<Config>(r#"{"limiter": {"gradient": {"latency": "1s"}}}"#).is_err());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { count: u8 },
    End { count: u8, verdict: Verdict },
    Abandon,
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![4 => Just(Verdict::Success), 1 => Just(FAILURE), 1 => Just(Verdict::Neutral)];
    prop_oneof![
        4 => (0_u8..40).prop_map(|count| Step::Ask { count }),
        4 => (0_u8..40, verdict).prop_map(|(count, verdict)| Step::End { count, verdict }),
        1 => Just(Step::Abandon),
        4 => (0_u64..800).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    (any::<bool>(), 1_u32..20, 0_u32..20, 0_u32..100, 0.1..=1.0_f64).prop_map(
        |(is_gradient, minimum, initial, maximum, smoothing)| {
            let limiter = Limiter::Gradient(Gradient { smoothing: ratio(smoothing), ..Gradient::default() });
            let limiter = if is_gradient { limiter } else { aimd().limiter };
            let initial = minimum + initial;
            Config {
                limiter,
                minimum: some(minimum),
                initial: some(initial),
                maximum: some(initial + maximum),
                ..gradient()
            }
        },
    )
}

proptest! {
    #[test]
    fn it_stays_within_its_bounds_and_rises_only_in_use(
        config in config(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut scene = Scene::new(config);
        let mut permits = Vec::new();
        // The most that ran since the limit moved last.
        let mut peak = 0;
        let tell = |scene: &mut Scene, permits: &mut Vec<Permit>, permit, verdict: Option<Verdict>| {
            let (limit, before) = (scene.adaptive.limit, scene.adaptive.window);
            match verdict {
                Some(verdict) => scene.tell(permit, verdict),
                None => scene.adaptive.abandon(permit, at(scene.now_ms)),
            }
            prop_assert!(
                scene.adaptive.limit <= limit || f64::from(before.peak()) * 2.0 >= limit.floor(),
                "it rose while {} of {limit} was the most in use", before.peak()
            );
            prop_assert_eq!(scene.adaptive.running() as usize, permits.len());
            Ok(())
        };
        for step in steps {
            match step {
                Step::Ask { count } => for _ in 0..count {
                    match scene.ask() {
                        Ok(permit) => permits.push(permit),
                        Err(_) => prop_assert!(permits.len() >= scene.limit() as usize),
                    }
                    peak = permits.len().max(peak);
                },
                Step::End { count, verdict } => for _ in 0..count {
                    let Some(permit) = permits.pop() else { break };
                    tell(&mut scene, &mut permits, permit, Some(verdict))?;
                },
                Step::Abandon => if let Some(permit) = permits.pop() {
                    tell(&mut scene, &mut permits, permit, None)?;
                },
                Step::Wait { ms } => scene.now_ms += ms,
            }
            let limit = scene.adaptive.limit;
            prop_assert!(limit >= f64::from(config.minimum.get()) && limit <= f64::from(config.maximum.get()));
            prop_assert!(scene.adaptive.window.peak() as usize <= peak);
        }
    }

    #[test]
    fn whatever_was_before_it_falls_when_calls_are_slow_and_recovers_after(
        config in config(),
        steps in prop::collection::vec((0.1..=1.0_f64, 50_u64..200), 0..100),
    ) {
        // Shorter than what is usual is averaged over, so that it is not taken for usual.
        let limiter = match config.limiter {
            Limiter::Gradient(gradient) => Limiter::Gradient(Gradient { long: Duration::from_secs(36_000), ..gradient }),
            aimd @ Limiter::Aimd(_) => aimd,
        };
        let config = Config { samples: NonZeroU32::MIN, limiter, ..config };
        let mut scene = Scene::new(config);
        for (share, took_ms) in steps {
            scene.rounds(1, share, took_ms, Verdict::Success);
        }
        scene.rounds(60, 1.0, 100, Verdict::Success);
        let before = scene.adaptive.limit;
        scene.rounds(300, 1.0, 2_000, Verdict::Success);
        prop_assert_eq!(scene.adaptive.limit, f64::from(config.minimum.get()), "of {}", before);
        scene.rounds(1_000, 1.0, 100, Verdict::Success);
        prop_assert!(scene.adaptive.limit >= before, "{} of {before}", scene.adaptive.limit);
    }
}

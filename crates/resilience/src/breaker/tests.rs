//! The table of transitions, and laws over random histories.

use std::sync::Arc;

use mainstay_base::error::Retry;
use mainstay_base::time::{ManualClock, SeededEntropy};
use mainstay_base::units::Ratio;
use proptest::prelude::*;

use super::*;
use crate::env::Env;
use crate::error::Rejection;
use crate::testing::{at, ratio, some};
use crate::watch::Counts;

const FAILURE: Verdict = Verdict::Failure(Retry::Safe);
const QUICK: Duration = Duration::from_millis(1);

/// A breaker, and a clock that is moved by hand.
struct Scene {
    breaker: Breaker,
    now_ms: u64,
    entropy: SeededEntropy,
}

impl Scene {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        Self { breaker: Breaker::new(config), now_ms: 0, entropy: SeededEntropy::new(5) }
    }

    fn ask(&mut self) -> Result<Permit, Duration> {
        self.breaker.ask(at(self.now_ms)).0
    }

    fn tell(&mut self, permit: Permit, verdict: Verdict) -> Option<Decision> {
        self.breaker.tell(permit, (verdict, QUICK), at(self.now_ms), &self.entropy)
    }

    fn end(&mut self, verdict: Verdict) -> Option<Decision> {
        let permit = self.ask().expect("it passes");
        self.tell(permit, verdict)
    }

    fn state(&self) -> State {
        self.breaker.state(at(self.now_ms))
    }

    /// Opens it by failures, and returns for how long that is.
    fn open(&mut self) -> u64 {
        while self.state() == State::Closed {
            self.end(FAILURE);
        }
        let wait = self.ask().unwrap_err();
        u64::try_from(wait.as_std().as_millis()).unwrap() + 1
    }
}

fn exact() -> Config {
    let (open, open_max) = (Duration::from_secs(5), Some(Duration::from_secs(60)));
    Config { jitter: Ratio::ZERO, minimum: some(4), open, open_max, ..Config::default() }
}

#[test]
fn each_state_goes_where_the_table_says() {
    let mut scene = Scene::new(exact());
    for _ in 0..3 {
        assert_eq!(scene.end(FAILURE), None, "closed: fewer than the minimum say nothing");
    }
    assert_eq!(scene.end(Verdict::Neutral), None, "closed: what says nothing is not counted");
    assert_eq!(scene.end(FAILURE), Some(Decision::BreakerOpened), "closed -> open");
    assert_eq!(scene.ask(), Err(Duration::from_secs(5)));
    scene.now_ms += 4_999;
    assert_eq!(scene.ask(), Err(Duration::from_millis(1)), "open: until the time is over");
    scene.now_ms += 1;
    let (permit, change) = scene.breaker.ask(at(scene.now_ms));
    assert_eq!(change, Some(Decision::BreakerHalfOpened), "open -> half-open");
    assert_eq!(scene.tell(permit.unwrap(), FAILURE), Some(Decision::BreakerOpened), "half-open -> open");
    assert_eq!(scene.ask(), Err(Duration::from_secs(10)), "twice as long");
    scene.now_ms += 10_000;
    let probes = [(); 3].map(|()| scene.ask().expect("a probe"));
    assert!(scene.ask().is_err(), "half-open: no more than the probes");
    let [one, two, three] = probes;
    assert_eq!(scene.tell(one, Verdict::Success), None);
    assert_eq!(scene.tell(two, Verdict::Neutral), None);
    assert_eq!(scene.tell(three, Verdict::Success), None, "half-open: until all have succeeded");
    assert_eq!(scene.end(Verdict::Success), Some(Decision::BreakerClosed), "half-open -> closed");
    assert_eq!(scene.state(), State::Closed);
}

#[test]
fn what_ends_after_its_era_says_nothing() {
    let mut scene = Scene::new(exact());
    let late = scene.ask().unwrap();
    let wait = scene.open();
    scene.now_ms += wait;
    let probe = scene.ask().unwrap();
    assert_eq!(scene.tell(late, FAILURE), None);
    assert_eq!(scene.state(), State::HalfOpen);
    assert_eq!(scene.tell(probe, Verdict::Success), None);
}

#[test]
fn an_abandoned_probe_leaves_its_place_to_another() {
    let mut scene = Scene::new(Config { probes: 1, ..exact() });
    let wait = scene.open();
    scene.now_ms += wait;
    let probe = scene.ask().unwrap();
    assert!(scene.ask().is_err());
    scene.breaker.abandon(probe);
    assert_eq!(scene.end(Verdict::Success), Some(Decision::BreakerClosed));
}

#[test]
fn it_is_open_for_twice_as_long_until_it_was_closed_for_as_long() {
    let mut scene = Scene::new(Config { probes: 1, open_max: None, ..exact() });
    let mut waits = Vec::new();
    for closed_ms in [0, 1, 9_000, 15_001] {
        let wait = scene.open();
        waits.push(wait - 1);
        scene.now_ms += wait;
        scene.end(Verdict::Success);
        scene.now_ms += closed_ms;
    }
    waits.push(scene.open() - 1);
    assert_eq!(waits, [5_000, 10_000, 15_000, 15_000, 5_000]);
}

#[test]
fn consecutive_failures_open_it_and_a_success_between_them_does_not() {
    let mut scene = Scene::new(Config { consecutive: Some(some(3)), failure_ratio: None, ..exact() });
    for verdict in [FAILURE, FAILURE, Verdict::Success, FAILURE, FAILURE] {
        assert_eq!(scene.end(verdict), None);
    }
    assert_eq!(scene.end(FAILURE), Some(Decision::BreakerOpened));
}

#[test]
fn slow_calls_open_it_also_if_they_succeed() {
    let slow = Some(Slow { after: Duration::from_secs(1), ratio: ratio(0.5) });
    let mut scene = Scene::new(Config { slow, ..exact() });
    let took_ms = [10, 1_000, 10, 999, 3_000];
    for (number, took_ms) in took_ms.into_iter().enumerate() {
        let permit = scene.ask().unwrap();
        let end = (Verdict::Success, Duration::from_millis(took_ms));
        assert_eq!(scene.breaker.tell(permit, end, at(0), &scene.entropy), None, "{number}");
    }
    let permit = scene.ask().unwrap();
    let end = (Verdict::Success, Duration::from_secs(1));
    assert_eq!(scene.breaker.tell(permit, end, at(0), &scene.entropy), Some(Decision::BreakerOpened));
}

#[test]
fn an_operator_has_the_last_word() {
    let mut scene = Scene::new(exact());
    scene.breaker.force(Some(Forced::Open));
    assert_eq!((scene.state(), scene.ask()), (State::Open, Err(Duration::from_secs(5))));
    scene.breaker.force(Some(Forced::Closed));
    for _ in 0..50 {
        assert_eq!(scene.end(FAILURE), None);
    }
    assert_eq!(scene.state(), State::Closed);
    scene.breaker.force(None);
    assert_eq!(scene.state(), State::Closed, "what was told meanwhile is forgotten");
    scene.open();
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases: [(&str, Config); 6] = [
        ("never opens", Config { failure_ratio: None, ..Config::default() }),
        ("would never close", Config { probes: 0, ..Config::default() }),
        ("no time", Config { open: Duration::ZERO, ..Config::default() }),
        ("below `open`", Config { open_max: Some(Duration::from_millis(999)), ..Config::default() }),
        ("never has its `minimum`", Config { window: Window::Calls(some(19)), ..Config::default() }),
        ("below 10ms", Config { window: Window::Time(Duration::from_millis(9)), ..Config::default() }),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config::default().check(), Ok(()));
    let read: Config =
        serde_json::from_str(r#"{"window": "3s", "failure_ratio": 0.3, "minimum": 5}"#).unwrap();
    assert_eq!((read.window, read.minimum), (Window::Time(Duration::from_secs(3)), some(5)));
    let read: Config = serde_json::from_str(r#"{"window": 100}"#).unwrap();
    assert_eq!(read.window, Window::Calls(some(100)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask,
    End { place: usize, is_failure: bool },
    Abandon { place: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        4 => (0_usize..64, any::<bool>()).prop_map(|(place, is_failure)| Step::End { place, is_failure }),
        1 => (0_usize..64).prop_map(|place| Step::Abandon { place }),
        1 => (0_u64..4_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// How it would be by keeping every end of the era with its time.
#[derive(Default)]
struct Naive {
    ends: Vec<(u64, bool)>,
}

impl Naive {
    fn opens(&self, window: Window, now_ms: u64, minimum: u32) -> bool {
        let counted: Vec<bool> = match window {
            Window::Calls(calls) => {
                let from = self.ends.len().saturating_sub(calls.get() as usize);
                self.ends[from..].iter().map(|(_, is_failure)| *is_failure).collect()
            }
            Window::Time(time) => {
                let step_ms = u64::try_from(time.as_std().as_millis()).unwrap() / 10;
                let is_in = |ms: u64| ms / step_ms + 10 > now_ms / step_ms;
                self.ends.iter().filter(|(ms, _)| is_in(*ms)).map(|(_, is_failure)| *is_failure).collect()
            }
        };
        let failed = counted.iter().filter(|is_failure| **is_failure).count();
        counted.len() >= minimum as usize && failed * 2 >= counted.len()
    }
}

proptest! {
    #[test]
    fn it_opens_when_the_window_says_so_and_probes_no_more_than_it_may(
        steps in prop::collection::vec(step(), 1..300),
        is_by_calls in any::<bool>(),
        jitter in 0.0..=1.0_f64,
    ) {
        let window = if is_by_calls { Window::Calls(some(8)) } else { Window::Time(Duration::from_secs(2)) };
        let config = Config { window, jitter: ratio(jitter), probes: 2, ..exact() };
        let mut scene = Scene::new(config);
        let (mut running, mut naive): (Vec<(Permit, u64)>, _) = (Vec::new(), Naive::default());
        for step in steps {
            let (before, era) = (scene.state(), scene.breaker.era);
            match step {
                Step::Ask => {
                    if let Ok(permit) = scene.ask() {
                        prop_assert_ne!(before, State::Open);
                        running.push((permit, scene.breaker.era));
                    }
                    if scene.state() == State::HalfOpen {
                        let probes = running.iter().filter(|(_, era)| *era == scene.breaker.era).count();
                        prop_assert!(probes <= 2);
                    }
                }
                Step::End { place, is_failure } if !running.is_empty() => {
                    let (permit, of) = running.swap_remove(place % running.len());
                    let verdict = if is_failure { FAILURE } else { Verdict::Success };
                    let change = scene.tell(permit, verdict);
                    if of != era {
                        prop_assert_eq!(change, None);
                    } else if before == State::Closed {
                        naive.ends.push((scene.now_ms, is_failure));
                        let opens = is_failure && naive.opens(window, scene.now_ms, 4);
                        prop_assert_eq!(change, opens.then_some(Decision::BreakerOpened));
                    } else if is_failure {
                        prop_assert_eq!(change, Some(Decision::BreakerOpened));
                    }
                }
                Step::Abandon { place } if !running.is_empty() => {
                    let (permit, _) = running.swap_remove(place % running.len());
                    scene.breaker.abandon(permit);
                    prop_assert_eq!(scene.state(), before);
                }
                Step::Wait { ms } => scene.now_ms += ms,
                Step::End { .. } | Step::Abandon { .. } => {}
            }
            if scene.breaker.era != era {
                naive = Naive::default();
            }
            if let Stage::Open { until } = scene.breaker.state {
                let open_ms = until.saturating_since(at(scene.now_ms)).as_std().as_millis();
                prop_assert!(open_ms <= 120_000);
            }
        }
    }

    #[test]
    fn the_time_that_it_is_open_is_spread_within_its_share(jitter in 0.0..=1.0_f64, seed in any::<u64>()) {
        let mut scene = Scene::new(Config { jitter: ratio(jitter), ..exact() });
        scene.entropy = SeededEntropy::new(seed);
        let wait = scene.open() as f64;
        prop_assert!((5_000.0..=5_001.0 + 5_000.0 * jitter).contains(&wait), "{}", wait);
    }
}

proptest! {
    /// What handles count without the lock is what the core would have counted.
    #[test]
    fn a_handle_decides_as_the_core_does(
        steps in prop::collection::vec(step(), 1..300),
        is_by_calls in any::<bool>(),
        is_by_consecutive in any::<bool>(),
    ) {
        let window = if is_by_calls { Window::Calls(some(8)) } else { Window::Time(Duration::from_secs(2)) };
        let consecutive = is_by_consecutive.then_some(some(3));
        let mut scene = Scene::new(Config { window, consecutive, probes: 2, ..exact() });
        let clock = ManualClock::default();
        let env = Env::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(1)), Arc::new(Counts::new("test")));
        let handle = Handle::new(scene.breaker.config, env.clone());
        let mut running: Vec<(Permit, Held)> = Vec::new();
        for (place_of_state, step) in steps.into_iter().enumerate() {
            match step {
                Step::Ask => match (scene.ask(), handle.ask(env.now())) {
                    (Ok(permit), Ok(held)) => running.push((permit, held)),
                    (Err(after), Err(rejection)) => {
                        prop_assert_eq!(rejection, Rejection::BreakerOpen { after });
                    }
                    (core, handle) => prop_assert!(false, "{core:?}, but {handle:?}"),
                },
                Step::End { place, is_failure } if !running.is_empty() => {
                    let (permit, held) = running.swap_remove(place % running.len());
                    let verdict = if is_failure { FAILURE } else { Verdict::Success };
                    scene.tell(permit, verdict);
                    held.tell(verdict);
                }
                Step::Abandon { place } if !running.is_empty() => {
                    let (permit, held) = running.swap_remove(place % running.len());
                    scene.breaker.abandon(permit);
                    drop(held);
                }
                Step::Wait { ms } => {
                    scene.now_ms += ms;
                    clock.advance(Duration::from_millis(ms));
                }
                Step::End { .. } | Step::Abandon { .. } => {}
            }
            if place_of_state % 3 == 0 {
                prop_assert_eq!(scene.state(), handle.state());
            }
        }
    }
}

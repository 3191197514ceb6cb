//! How a ladder goes down and up, and laws over random histories.

use mainstay_base::units::Duration;
use proptest::prelude::*;

use super::*;
use crate::testing::some;

/// A ladder of four steps, and a clock that is moved by hand.
struct Scene {
    ladder: Ladder,
    now_ms: u64,
}

const STEPS: usize = 4;

impl Scene {
    fn new() -> Self {
        let config =
            Config { failures: some(3), successes: some(2), probe_every: Duration::from_millis(100) };
        config.check().unwrap();
        Self { ladder: Ladder::new(config, STEPS), now_ms: 0 }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ms * 1_000_000)
    }

    fn begin(&mut self) -> Descent {
        self.ladder.begin(self.now())
    }

    fn tell(&mut self, descent: &Descent, step: usize, is_failure: bool) -> Option<Decision> {
        self.ladder.tell(descent, step, is_failure, self.now())
    }

    /// A call whose steps above this one fail. Returns the steps that it has tried, and what was decided.
    fn call(&mut self, healthy_from: usize) -> (Vec<usize>, Vec<Decision>) {
        let descent = self.begin();
        let (mut tried, mut decided, mut step) = (Vec::new(), Vec::new(), Some(descent.first()));
        while let Some(place) = step {
            tried.push(place);
            let is_failure = place < healthy_from;
            decided.extend(self.tell(&descent, place, is_failure));
            step = is_failure.then(|| descent.below(place)).flatten();
        }
        (tried, decided)
    }
}

#[test]
fn it_begins_lower_after_failures_in_a_row_and_calls_what_fails_only_to_probe() {
    let mut scene = Scene::new();
    for healthy_from in [1, 1, 0, 1, 1] {
        let tried = if healthy_from == 0 { vec![0] } else { vec![0, 1] };
        assert_eq!(scene.call(healthy_from), (tried, vec![]), "each goes down by itself");
    }
    assert_eq!(scene.call(1), (vec![0, 1], vec![Decision::LadderLowered]));
    assert_eq!(scene.call(1), (vec![1], vec![]), "the one that fails is left alone");
    scene.now_ms += 99;
    assert_eq!(scene.call(1), (vec![1], vec![]));
    scene.now_ms += 1;
    assert_eq!(scene.call(1), (vec![0, 1], vec![]), "a probe, which is answered all the same");
    assert_eq!(scene.call(1), (vec![1], vec![]));
}

#[test]
fn it_begins_higher_after_successes_of_probes_without_a_failure_between_them() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| drop(scene.call(1)));
    for healthy_from in [0, 1, 0] {
        scene.now_ms += 100;
        assert_eq!(scene.call(healthy_from).1, vec![]);
        assert_eq!(scene.call(healthy_from).0, vec![1], "one probe at a time");
    }
    scene.now_ms += 100;
    assert_eq!(scene.call(0), (vec![0], vec![Decision::LadderRaised]));
    assert_eq!((scene.call(0), scene.ladder.start()), ((vec![0], vec![]), 0));
}

#[test]
fn steps_above_take_turns_so_that_a_broken_one_does_not_hide_the_others() {
    let mut scene = Scene::new();
    (0..9).for_each(|_| drop(scene.call(3)));
    assert_eq!(scene.ladder.start(), 3);
    let mut probed = Vec::new();
    for _ in 0..4 {
        scene.now_ms += 100;
        let descent = scene.begin();
        assert_eq!(descent.below(descent.first()), Some(3), "what is between them fails");
        scene.tell(&descent, descent.first(), descent.first() != 0);
        probed.push(descent.first());
    }
    assert_eq!(probed, [2, 1, 0, 2]);
    for _ in 0..2 {
        scene.now_ms += 100;
        let descent = scene.begin();
        scene.tell(&descent, descent.first(), descent.first() != 0);
    }
    assert_eq!(scene.ladder.start(), 0, "the service itself is back, though the steps between are not");
}

#[test]
fn the_last_step_is_never_left_downwards() {
    let mut scene = Scene::new();
    (0..99).for_each(|_| drop(scene.call(9)));
    assert_eq!(scene.ladder.start(), STEPS - 1);
    assert_eq!(scene.call(9).0, vec![3]);
}

#[test]
fn an_abandoned_probe_leaves_its_place_to_another() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| drop(scene.call(1)));
    scene.now_ms += 100;
    let probe = scene.begin();
    assert!(probe.is_probe() && !scene.begin().is_probe());
    scene.ladder.abandon(&probe);
    assert!(scene.begin().is_probe());
}

#[test]
fn what_ends_after_its_era_says_nothing() {
    let mut scene = Scene::new();
    let late: Vec<Descent> = (0..3).map(|_| scene.begin()).collect();
    (0..3).for_each(|_| drop(scene.call(1)));
    for descent in &late {
        assert_eq!(scene.tell(descent, 1, true), None);
    }
    assert_eq!((scene.ladder.start(), late[0].below(0)), (1, Some(1)));
}

#[test]
fn an_operator_has_the_last_word() {
    let mut scene = Scene::new();
    scene.ladder.force(Some(2));
    (0..9).for_each(|_| assert_eq!(scene.call(3).0, vec![2, 3]));
    scene.now_ms += 1_000;
    assert_eq!((scene.call(0).0, scene.ladder.start()), (vec![2], 2), "without probes");
    scene.ladder.force(Some(77));
    assert_eq!(scene.ladder.start(), 3);
    scene.ladder.force(None);
    assert_eq!(scene.call(0).0, vec![0]);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let error = Config { probe_every: Duration::ZERO, ..Config::default() }.check().unwrap_err();
    assert!(error.contains("make it longer"), "{error}");
    assert_eq!(Config::default().check(), Ok(()));
    let read: Config = serde_json::from_str(r#"{"failures": 2, "probe_every": "3s"}"#).unwrap();
    assert_eq!((read.failures, read.successes), (some(2), some(3)));
    assert!(serde_json::from_str::<Config>(r#"{"failures": 0}"#).is_err());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    /// The try that is running ends.
    End {
        place: usize,
        is_failure: bool,
    },
    Abandon {
        place: usize,
    },
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        6 => (0_usize..64, prop::bool::weighted(0.6)).prop_map(|(place, is_failure)| Step::End { place, is_failure }),
        1 => (0_usize..64).prop_map(|place| Step::Abandon { place }),
        3 => (0_u64..120).prop_map(|ms| Step::Wait { ms }),
    ]
}

proptest! {
    #[test]
    fn it_changes_once_for_so_many_ends_in_a_row_and_probes_one_at_a_time(
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut scene = Scene::new();
        // Calls on their way, each with the step that it tries.
        let mut running: Vec<(Descent, usize)> = Vec::new();
        // Of this era: failures in a row where calls begin, and successes in a row of each step that is probed.
        let (mut failures, mut successes, mut rested_from_ms) = (0, [0; STEPS], 0);
        for step in steps {
            let (start, era) = (scene.ladder.start(), scene.ladder.era);
            match step {
                Step::Begin => {
                    let descent = scene.begin();
                    if descent.is_probe() {
                        prop_assert!(scene.now_ms >= rested_from_ms + 100);
                        let is_probe = |(other, _): &&(Descent, usize)| other.era == era && other.is_probe();
                        let at_first = |(other, step): &&(Descent, usize)| *step == other.first;
                        prop_assert_eq!(running.iter().filter(is_probe).filter(at_first).count(), 0);
                    } else {
                        prop_assert_eq!(descent.first(), start);
                    }
                    running.push((descent, descent.first()));
                }
                Step::End { place, is_failure } if !running.is_empty() => {
                    let (descent, tried) = running.swap_remove(place % running.len());
                    let change = scene.tell(&descent, tried, is_failure);
                    if let Some(next) = descent.below(tried).filter(|_| is_failure) {
                        prop_assert!(next > tried && next >= descent.start && next < STEPS);
                        running.push((descent, next));
                    }
                    let mut expected = None;
                    if descent.era == era && descent.is_probe() && tried == descent.first {
                        successes[tried] = if is_failure { 0 } else { successes[tried] + 1 };
                        rested_from_ms = scene.now_ms;
                        expected = (successes[tried] == 2).then_some((Decision::LadderRaised, tried));
                    } else if descent.era == era && tried == start {
                        failures = if is_failure { failures + 1 } else { 0 };
                        let is_lowered = failures >= 3 && start + 1 < STEPS;
                        expected = is_lowered.then_some((Decision::LadderLowered, start + 1));
                    }
                    prop_assert_eq!(change, expected.map(|(change, _)| change));
                    prop_assert_eq!(scene.ladder.start(), expected.map_or(start, |(_, to)| to));
                }
                Step::Abandon { place } if !running.is_empty() => {
                    let (descent, tried) = running.swap_remove(place % running.len());
                    if tried == descent.first {
                        scene.ladder.abandon(&descent);
                    }
                }
                Step::Wait { ms } => scene.now_ms += ms,
                Step::End { .. } | Step::Abandon { .. } => {}
            }
            if scene.ladder.era != era {
                (failures, successes, rested_from_ms) = (0, [0; STEPS], scene.now_ms);
            }
        }
    }
}

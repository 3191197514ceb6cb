//! How the level moves, and laws over random histories.

use std::num::NonZeroU32;

use mainstay_base::switch::Switch;
use mainstay_base::time::SeededEntropy;
use proptest::prelude::*;

use super::*;
use crate::testing::{at, ratio};

const TOO_LONG: Duration = Duration::from_millis(5);

/// Calm for ten intervals, and for forty at most, and a quarter of a class at a time.
fn careful() -> Config {
    let steps = NonZeroU32::MIN.saturating_add(3);
    let (calm, calm_max) = (Duration::from_secs(1), Duration::from_secs(4));
    Config { steps, calm, calm_max, ..Config::default() }
}

/// Classes as a whole.
fn whole() -> Config {
    Config { steps: NonZeroU32::MIN, ..careful() }
}

/// A level, and a clock that is moved by hand.
struct Scene {
    shed: Shed,
    now_ms: u64,
    entropy: SeededEntropy,
}

impl Scene {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        let mut shed = Shed::new(config);
        assert_eq!(shed.pass(at(0)), None);
        Self { shed, now_ms: 0, entropy: SeededEntropy::new(3) }
    }

    fn ask(&mut self, criticality: Criticality) -> Result<(), Rejection> {
        self.shed.ask(criticality, at(self.now_ms), &self.entropy).0
    }

    fn began(&mut self, delay: Duration) {
        assert_eq!(self.shed.began(delay, at(self.now_ms)), None, "within an interval nothing changes");
    }

    /// Lets an interval pass, and says what was decided at its end.
    fn ends(&mut self) -> Option<Decision> {
        self.now_ms += 100;
        self.shed.pass(at(self.now_ms))
    }

    /// An interval in which each call waited for so long.
    fn interval(&mut self, delay: Duration) -> Option<Decision> {
        self.began(delay);
        self.ends()
    }

    /// For how many intervals it is calm until a step less is shed.
    fn calm(&mut self) -> u32 {
        (1..).find(|_| self.interval(Duration::ZERO) == Some(Decision::SheddingLowered)).unwrap()
    }

    fn shares(&self) -> [f64; 4] {
        Criticality::ALL.map(|class| self.shed.share(class).get())
    }
}

#[test]
fn a_class_more_is_shed_for_each_interval_that_is_too_much_and_the_last_never_whole() {
    let mut scene = Scene::new(whole());
    let levels = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.5]];
    for shares in levels {
        assert_eq!(scene.interval(TOO_LONG), Some(Decision::SheddingRaised));
        assert_eq!(scene.shares(), shares);
    }
    assert_eq!(scene.interval(TOO_LONG), None, "more is not shed");
    let passed = (0..100).filter(|_| scene.ask(Criticality::CriticalPlus).is_ok()).count();
    assert!((35..65).contains(&passed), "{passed}");
    assert!(scene.ask(Criticality::Critical).is_err());
}

#[test]
fn classes_are_shed_in_steps_of_a_share() {
    let mut scene = Scene::new(Config { critical_plus: ratio(0.6), ..careful() });
    let mut levels = Vec::new();
    while scene.interval(TOO_LONG).is_some() {
        levels.push(scene.shares());
    }
    assert_eq!(levels[..2], [[0.25, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]]);
    assert_eq!(levels[4], [1.0, 0.25, 0.0, 0.0]);
    assert_eq!(levels[12..], [[1.0, 1.0, 1.0, 0.25], [1.0, 1.0, 1.0, 0.5], [1.0, 1.0, 1.0, 0.6]]);
}

#[test]
fn a_burst_is_not_too_much_and_a_queue_that_stands_is() {
    let mut scene = Scene::new(whole());
    for delay_ms in [500, 4, 500] {
        scene.began(Duration::from_millis(delay_ms));
    }
    assert_eq!(scene.ends(), None, "one did not wait for long");
    for delay_ms in [500, 5, 500] {
        scene.began(Duration::from_millis(delay_ms));
    }
    assert_eq!(scene.ends(), Some(Decision::SheddingRaised));
}

#[test]
fn one_that_gave_up_soon_says_nothing_and_one_that_gave_up_late_does() {
    let mut scene = Scene::new(whole());
    scene.began(TOO_LONG);
    assert_eq!(scene.shed.gave_up(Duration::from_millis(1), at(0)), None);
    assert_eq!(scene.ends(), Some(Decision::SheddingRaised));
    assert_eq!(scene.shed.gave_up(TOO_LONG, at(scene.now_ms)), None);
    assert_eq!(scene.ends(), Some(Decision::SheddingRaised));
}

#[test]
fn too_much_in_use_is_too_much_as_well() {
    let mut scene = Scene::new(whole());
    for (least, change) in [(0.94, None), (0.95, Some(Decision::SheddingRaised))] {
        scene.began(Duration::ZERO);
        for utilisation in [1.0, least, 1.0] {
            assert_eq!(scene.shed.utilised(ratio(utilisation), at(scene.now_ms)), None);
        }
        assert_eq!(scene.ends(), change);
    }
}

#[test]
fn it_takes_calm_to_shed_less_and_what_is_neither_changes_nothing() {
    let mut scene = Scene::new(whole());
    for _ in 0..2 {
        scene.interval(TOO_LONG);
    }
    for _ in 0..100 {
        assert_eq!(scene.interval(Duration::from_micros(4_500)), None, "neither too much nor calm");
    }
    for _ in 0..9 {
        assert_eq!(scene.interval(Duration::from_micros(3_900)), None);
    }
    scene.interval(Duration::from_micros(4_500));
    assert_eq!(scene.calm(), 10, "calm is counted from anew");
    assert_eq!(scene.shares(), [1.0, 0.0, 0.0, 0.0]);
    scene.now_ms += 1_000;
    assert!(scene.ask(Criticality::Sheddable).is_ok(), "where nothing is seen it is calm");
}

#[test]
fn a_step_that_was_taken_back_too_early_is_taken_back_later_the_next_time() {
    let mut scene = Scene::new(Config { calm_max: Duration::from_secs(5), ..careful() });
    for _ in 0..4 {
        scene.interval(TOO_LONG);
    }
    let waits = [(); 5].map(|()| {
        let wait = scene.calm();
        scene.interval(TOO_LONG);
        wait
    });
    assert_eq!(waits, [10, 20, 40, 50, 50]);
    assert_eq!(
        [scene.calm(), scene.calm(), scene.calm()],
        [50, 25, 13],
        "while it stays calm, sooner each time"
    );
}

#[test]
fn a_queue_that_is_being_worked_off_has_nothing_more_shed() {
    let mut scene = Scene::new(whole());
    assert_eq!(scene.interval(Duration::from_millis(100)), Some(Decision::SheddingRaised));
    for delay_ms in [90, 80, 70, 60] {
        assert_eq!(scene.interval(Duration::from_millis(delay_ms)), None, "{delay_ms} ms, and falling");
    }
    assert_eq!(
        scene.interval(Duration::from_millis(59)),
        Some(Decision::SheddingRaised),
        "it hardly falls any more"
    );
}

#[test]
fn shed_calls_are_told_a_time_with_a_spread() {
    let mut scene = Scene::new(whole());
    scene.interval(TOO_LONG);
    let afters: Vec<f64> = (0..1_000)
        .map(|_| match scene.ask(Criticality::Sheddable) {
            Err(Rejection::Shed { criticality: Criticality::Sheddable, after }) => secs(after),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(afters.iter().all(|after| (2.0..4.0).contains(after)));
    assert!(afters.iter().filter(|after| **after < 3.0).count() > 400);
    assert!(afters.iter().filter(|after| **after >= 3.0).count() > 400);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases: [(&str, Config); 8] = [
        ("never sheds", Config { target: Switch::Off, utilisation: Switch::Off, ..whole() }),
        ("always too much", Config { target: Switch::On(Duration::ZERO), ..whole() }),
        ("always too much", Config { utilisation: Switch::On(Ratio::ZERO), ..whole() }),
        ("below 1ms", Config { interval: Duration::from_micros(999), ..whole() }),
        ("below `interval`", Config { calm: Duration::from_millis(99), ..whole() }),
        ("below `calm`", Config { calm_max: Duration::from_millis(999), ..whole() }),
        ("at most 100", Config { steps: NonZeroU32::MIN.saturating_add(100), ..whole() }),
        ("come back at once", Config { retry_after: Duration::ZERO, ..whole() }),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let text = r#"{"steps": 1, "target": false, "calm": "500ms", "calm_max": "1s"}"#;
    let read: Config = serde_json::from_str(text).unwrap();
    assert_eq!(read, Config { target: Switch::Off, steps: NonZeroU32::MIN, ..Config::default() });
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Began { delay_us: u64 },
    GaveUp { delay_us: u64 },
    Utilised { utilisation: f64 },
    Ask { class: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u64..10_000).prop_map(|delay_us| Step::Began { delay_us }),
        1 => (0_u64..10_000).prop_map(|delay_us| Step::GaveUp { delay_us }),
        1 => (0.7..=1.0_f64).prop_map(|utilisation| Step::Utilised { utilisation }),
        2 => (0_usize..4).prop_map(|class| Step::Ask { class }),
        3 => (0_u64..150).prop_map(|ms| Step::Wait { ms }),
        1 => (0_u64..5_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    (1_u32..8, 0.0..=1.0_f64).prop_map(|(steps, critical_plus)| Config {
        steps: NonZeroU32::new(steps).unwrap(),
        critical_plus: ratio(critical_plus),
        ..careful()
    })
}

/// What a service shows that can do so many calls in an interval, when it is sent so many of each class.
fn serve(scene: &mut Scene, offered: [u32; 4], capacity: u32) -> Option<Decision> {
    let mut admitted = 0;
    for (class, count) in Criticality::ALL.into_iter().zip(offered) {
        admitted += (0..count).filter(|_| scene.ask(class).is_ok()).count();
    }
    let is_too_much = admitted > capacity as usize;
    scene.interval(if is_too_much { Duration::from_millis(50) } else { Duration::ZERO })
}

proptest! {
    #[test]
    fn a_class_is_shed_only_when_all_below_are_and_levels_move_by_steps(
        config in config(),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut scene = Scene::new(config);
        // When a step more was shed last, what was seen last before that, and how many fewer are shed since.
        let (mut raised_ms, mut seen_ms, mut lowered) = (None::<u64>, 0, 0);
        let mut last_ms = 0;
        for step in steps {
            let before = scene.shed.level;
            let now = at(scene.now_ms);
            let change = match step {
                Step::Began { delay_us } => scene.shed.began(Duration::from_micros(delay_us), now),
                Step::GaveUp { delay_us } => scene.shed.gave_up(Duration::from_micros(delay_us), now),
                Step::Utilised { utilisation } => scene.shed.utilised(ratio(utilisation), now),
                Step::Ask { class } => {
                    let class = Criticality::ALL[class];
                    let (asked, change) = scene.shed.ask(class, now, &scene.entropy);
                    // At this moment, every higher class is let in whole if this one is let in.
                    for higher in Criticality::ALL.into_iter().filter(|higher| *higher > class && asked.is_ok()) {
                        prop_assert_eq!(scene.shed.share(higher), Ratio::ZERO);
                    }
                    change
                }
                Step::Wait { ms } => {
                    scene.now_ms += ms;
                    continue;
                }
            };
            let level = scene.shed.level;
            prop_assert_eq!(change, match level.cmp(&before) {
                Ordering::Greater => Some(Decision::SheddingRaised),
                Ordering::Less => Some(Decision::SheddingLowered),
                Ordering::Equal => None,
            });
            prop_assert!(level <= before + 1 && level <= config.levels());
            if level > before {
                // Intervals have fixed ends, and are judged by the first event after.
                prop_assert!(raised_ms.is_none_or(|raised_ms| scene.now_ms / 100 > raised_ms / 100));
                (raised_ms, seen_ms, lowered) = (Some(scene.now_ms), last_ms, 0);
            }
            if level < before {
                lowered += u64::from(before - level);
                let since_ms = scene.now_ms - seen_ms;
                // Each waits half as long as the one before it did, and an interval at least.
                let least_ms: u64 = (0..lowered).map(|step| (1_000 >> step.min(9)).max(100)).sum();
                prop_assert!(least_ms <= since_ms, "{lowered} steps in {since_ms} ms");
            }
            last_ms = scene.now_ms;
            let shares = scene.shares();
            prop_assert!(shares.is_sorted_by(|lower, higher| lower >= higher));
            prop_assert!(shares.windows(2).all(|pair| pair[0] == 1.0 || pair[1] == 0.0));
            prop_assert!(shares[3] <= config.critical_plus.get());
        }
    }

    #[test]
    fn a_steady_signal_moves_the_level_one_way_only(
        config in config(),
        before in prop::collection::vec(0_u64..10_000, 0..60),
        delay_us in 0_u64..10_000,
        utilisation in 0.0..=1.0_f64,
    ) {
        let mut scene = Scene::new(config);
        for delay_us in before {
            scene.interval(Duration::from_micros(delay_us));
        }
        let mut ways = Vec::new();
        for _ in 0..500 {
            scene.shed.utilised(ratio(utilisation), at(scene.now_ms));
            ways.extend(scene.interval(Duration::from_micros(delay_us)));
        }
        ways.dedup();
        prop_assert!(ways.len() <= 1, "{:?}", ways);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_steady_load_is_shed_to_what_is_borne_and_does_not_flap(
        offered in prop::array::uniform4(2_u32..20),
        borne in 0.0..=1.0_f64,
    ) {
        let capacity = (f64::from(offered.iter().sum::<u32>()) * borne) as u32 + offered[3];
        let mut scene = Scene::new(whole());
        for _ in 0..1_500 {
            serve(&mut scene, offered, capacity);
        }
        // From then on it is tried once for each longest calm whether less will do, for an interval.
        let changes = (0..3_000).filter(|_| serve(&mut scene, offered, capacity).is_some()).count();
        prop_assert!(changes <= 2 * 300 / 4 + 2, "{}", changes);
        prop_assert_eq!(scene.shares()[3], 0.0);
    }
}

//! Shedding: what is too much, and how fast more and less is shed.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use mainstay_resilience::shed::Config;

use super::choice::{Choice, cost, settings};
use super::{STEADY, is_within, mean};
use crate::report::Report;
use crate::simulation::admission::Shedding;
use crate::simulation::service::{Clients, Outcome, Scenario, run};

/// Of each class, those that are shed first before others.
const CLASSES: [f64; 4] = [0.45, 0.3, 0.2, 0.05];

/// 10 workers at 20.9 ms a call, and the share of that which comes in.
const BORNE_PER_S: f64 = 478.0;
const LOAD_RATIO: f64 = 0.7;

/// From when until when there is too much, and for how long it is looked at what comes after.
const OVERLOAD_S: (usize, usize) = (2, 16);
const AFTER_S: usize = 10;

/// Levels go up and down by chance, so that costs are means of so many runs.
const RUNS: u64 = 2;

pub(super) const SETTINGS: [(&str, &str); 3] = [
    (
        "shed: service",
        "10 workers, 20 ms a call (median): it bears 478/s, has 100 wait and is sent 0.7 of that, each once",
    ),
    ("shed: classes", "45 % sheddable, 30 % sheddable plus, 20 % critical, 5 % critical plus"),
    (
        "shed: overload",
        "3 times and 1.5 times what it bears for 14 s; bursts of 3 times for 100 ms of each 2 s, which is 0.8 of what it bears on average",
    ),
];

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let default = Config::default();
    let costs = [
        cost("critical lost at 3 times", 0.03, 3),
        cost("in its first 2 s", 0.2, 3),
        cost("idle at 1.5 times", 0.2, 3),
        cost("lost by bursts", 0.1, 3),
        cost("lost after 3 times", 0.12, 3),
    ];
    let measure = |config: &Config| measure(seed, *config);
    let targets = settings(["1ms", "5ms", "10ms", "20ms", "50ms", "100ms"], |target| {
        Ok(Config { target: Switch::On(target.parse()?), ..default })
    })?;
    Choice { title: "shed: target", default, settings: targets, costs: &costs }.judge(report, measure);
    let intervals = settings(["20ms", "50ms", "100ms", "200ms", "500ms"], |interval| {
        Ok(Config { interval: interval.parse()?, ..default })
    })?;
    Choice { title: "shed: interval", default, settings: intervals, costs: &costs }.judge(report, measure);
    let steps = settings([1, 2, 4, 8, 20, 100], |steps| {
        Ok(Config { steps: NonZeroU32::new(*steps).expect("it is above zero"), ..default })
    })?;
    let choice = Choice { title: "shed: steps", default, settings: steps, costs: &costs };
    choice.judge(report, measure).draw(report, "steps", "steps")?;
    let times = settings(["100ms", "200ms", "500ms", "1s", "2s", "4s"], |calm| {
        let calm: Duration = calm.parse()?;
        Ok(Config { calm, calm_max: calm.max(default.calm_max), ..default })
    })?;
    Choice { title: "shed: calm", default, settings: times, costs: &costs }.judge(report, measure);
    let times = settings(["500ms", "1s", "2s", "4s", "10s"], |calm_max| {
        Ok(Config { calm_max: calm_max.parse()?, ..default })
    })?;
    Choice { title: "shed: calm_max", default, settings: times, costs: &costs }.judge(report, measure);
    Ok(())
}

fn measure(seed: u64, config: Config) -> Vec<f64> {
    let runs: Vec<[f64; 5]> = (0..RUNS).map(|run| measure_one(seed * RUNS + run, config)).collect();
    (0..5).map(|cost| mean(&runs.iter().map(|run| run[cost]).collect::<Vec<_>>())).collect()
}

fn measure_one(seed: u64, config: Config) -> [f64; 5] {
    let (from, to) = OVERLOAD_S;
    let times =
        |times: f64| move |s: f64| if is_within(s, from as f64, to as f64) { times } else { LOAD_RATIO };
    let three = simulate(seed, to + AFTER_S, &times(3.0), config);
    let more = simulate(seed, to, &times(1.5), config);
    let bursts = simulate(seed, 16, &|s| if s % 2.0 < 0.1 { 3.0 } else { LOAD_RATIO }, config);
    let borne = BORNE_PER_S * (to - from - 2) as f64;
    [
        critical_lost(&three, from + 2, to),
        critical_lost(&three, from, from + 2),
        1.0 - f64::from(more.between(from + 2, to).good()) / borne,
        1.0 - bursts.between(0, 15).good_ratio(),
        1.0 - three.between(to, to + AFTER_S - 1).good_ratio(),
    ]
}

/// The share of both critical classes that is not served.
fn critical_lost(outcome: &Outcome, from: usize, to: usize) -> f64 {
    let sum = outcome.between(from, to);
    1.0 - f64::from(sum.good[2] + sum.good[3]) / f64::from((sum.offered_by[2] + sum.offered_by[3]).max(1))
}

/// With so many times what it bears coming in.
fn simulate(seed: u64, length_s: usize, times: &dyn Fn(f64) -> f64, config: Config) -> Outcome {
    let rate = |s: f64| BORNE_PER_S * times(s);
    let scenario = Scenario {
        seed,
        length: Duration::from_secs(length_s as u64),
        rate_per_s: &rate,
        classes: CLASSES,
        workers: &|_| 10,
        queue_max: 100,
        work: (Duration::from_millis(20), 0.3),
        knows_deadlines: false,
        ..STEADY
    };
    run(&scenario, &mut Clients::once(), &mut Shedding::new(config))
}

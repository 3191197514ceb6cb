//! Hedges: after which percentile, how many, and by what is known of how long.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::hedge::Config;

use super::choice::{Choice, cost, settings};
use super::mean;
use crate::report::Report;
use crate::simulation::Random;
use crate::simulation::hedged::{Outcome, Scenario, run};

const RATE_PER_S: f64 = 300.0;
const FEW_PER_S: f64 = 5.0;

/// From here on the whole service is slow.
const SLOW_FROM_S: usize = 60;
const LENGTH_S: usize = 90;

pub(super) const SETTINGS: [(&str, &str); 2] = [
    ("hedge: calls", "300/s, Poisson, 10 ms (median); few are 5/s"),
    (
        "hedge: latencies",
        "latencies are of those without hedges; stalls: one call in fifty takes 20 times as long; a tail: lognormal with sigma 1; one of four: a quarter takes 10 times as long; all slow: 5 times as long",
    ),
];

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let loads = Loads { seed };
    judge_delay(report, loads)?;
    judge_learning(report, loads)
}

fn judge_delay(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let costs = [
        cost("p99, stalls", 0.1, 2),
        cost("p99.9, tail", 0.1, 2),
        cost("tries/call, stalls", 0.06, 3),
        cost("p99, one of four", 0.1, 2),
        cost("tries/call, all slow", 0.12, 3),
    ];
    let without = [(loads.stalls(None), 0.99), (loads.tail(None), 0.999), (loads.one_of_four(None), 0.99)];
    let without = without.map(|(outcome, share)| at(&outcome, share));
    let measure = |config: &Config| {
        let stalls = loads.stalls(Some(*config));
        vec![
            at(&stalls, 0.99) / without[0],
            at(&loads.tail(Some(*config)), 0.999) / without[1],
            stalls.load(10, SLOW_FROM_S),
            at(&loads.one_of_four(Some(*config)), 0.99) / without[2],
            stalls.load(SLOW_FROM_S, LENGTH_S),
        ]
    };
    let percentiles = settings([0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.999], |percentile| {
        Ok(Config { percentile: Ratio::new(*percentile)?, ..default })
    })?;
    let choice = Choice { title: "hedge: percentile", default, settings: percentiles, costs: &costs };
    choice.judge(report, measure).draw(report, "percentile", "percentile")?;
    let budgets = settings([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0], |budget| {
        Ok(Config { budget: Ratio::new(*budget)?, ..default })
    })?;
    Choice { title: "hedge: budget", default, settings: budgets, costs: &costs }.judge(report, measure);
    Ok(())
}

fn judge_learning(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let costs = [cost("few: p99, stalls", 0.1, 2), cost("p99 two minutes after a slow phase", 0.1, 2)];
    let windows = settings(["1s", "5s", "10s", "30s", "1m", "5m"], |window| {
        Ok(Config { window: window.parse()?, ..default })
    })?;
    let without = [loads.few_p99(None), loads.p99_after(None)];
    Choice { title: "hedge: window", default, settings: windows, costs: &costs }.judge(report, |config| {
        vec![loads.few_p99(Some(*config)) / without[0], loads.p99_after(Some(*config)) / without[1]]
    });
    let costs = [cost("few: p99 at first", 0.2, 2), cost("few: tries/call at first", 0.04, 3)];
    let minima = settings([1, 10, 30, 100, 300, 1_000], |minimum| {
        Ok(Config { minimum: NonZeroU32::new(*minimum).expect("it is above zero"), ..default })
    })?;
    let without = loads.at_first(None).0;
    Choice { title: "hedge: minimum", default, settings: minima, costs: &costs }.judge(report, |config| {
        let (p99, load) = loads.at_first(Some(*config));
        vec![p99 / without, load]
    });
    Ok(())
}

fn at(outcome: &Outcome, share: f64) -> f64 {
    quantile(&outcome.latencies_ms(10, SLOW_FROM_S), share)
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[(share * (sorted.len() - 1) as f64) as usize]
}

/// Of few calls a minute has too few to say much.
const FIRST_RUNS: u64 = 10;

/// What the settings are put under.
#[derive(Clone, Copy)]
struct Loads {
    seed: u64,
}

impl Loads {
    fn run(self, config: Option<Config>, takes: &dyn Fn(f64, &Random) -> Duration) -> Outcome {
        run(&Scenario { seed: self.seed, length_s: LENGTH_S, rate_per_s: RATE_PER_S, takes }, config)
    }

    fn stalls(self, config: Option<Config>) -> Outcome {
        self.run(config, &|s, random| stalling(random, if s >= SLOW_FROM_S as f64 { 5.0 } else { 1.0 }))
    }

    fn tail(self, config: Option<Config>) -> Outcome {
        self.run(config, &|_, random| random.lognormal(Duration::from_millis(10), 1.0))
    }

    fn one_of_four(self, config: Option<Config>) -> Outcome {
        self.run(config, &|_, random| {
            let factor = if random.chance(0.25) { 10 } else { 1 };
            random.lognormal(Duration::from_millis(10 * factor), 0.3)
        })
    }

    fn few(self, run_of: u64, length_s: usize, config: Option<Config>) -> Outcome {
        let takes = |_: f64, random: &Random| stalling(random, 1.0);
        let seed = self.seed * FIRST_RUNS + run_of;
        run(&Scenario { seed, length_s, rate_per_s: FEW_PER_S, takes: &takes }, config)
    }

    fn few_p99(self, config: Option<Config>) -> f64 {
        quantile(&self.few(0, 1_500, config).latencies_ms(100, 1_500), 0.99)
    }

    /// The p99 of few calls in the first minute, and tries for each.
    fn at_first(self, config: Option<Config>) -> (f64, f64) {
        let runs: Vec<Outcome> = (0..FIRST_RUNS).map(|run_of| self.few(run_of, 60, config)).collect();
        let mut all: Vec<f64> = runs.iter().flat_map(|outcome| outcome.latencies_ms(0, 60)).collect();
        all.sort_by(f64::total_cmp);
        let loads: Vec<f64> = runs.iter().map(|outcome| outcome.load(0, 60)).collect();
        (quantile(&all, 0.99), mean(&loads))
    }

    /// The p99 of a minute, two minutes after half a minute in which all was slow.
    fn p99_after(self, config: Option<Config>) -> f64 {
        let slowness = |s: f64| if (20.0..50.0).contains(&s) { 20.0 } else { 1.0 };
        let takes = |s: f64, random: &Random| stalling(random, slowness(s));
        let outcome =
            run(&Scenario { seed: self.seed, length_s: 230, rate_per_s: 100.0, takes: &takes }, config);
        quantile(&outcome.latencies_ms(170, 230), 0.99)
    }
}

fn stalling(random: &Random, factor: f64) -> Duration {
    let stall = if random.chance(0.02) { 20.0 } else { 1.0 };
    random.lognormal(Duration::from_nanos((10e6 * factor * stall) as u64), 0.5)
}

//! Breakers: when they open, for how long, and what closes them.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::breaker::{Config, Window};

use super::choice::{Choice, cost, settings};
use super::{STEADY, is_within, mean};
use crate::report::Report;
use crate::simulation::admission::Breaking;
use crate::simulation::service::{Clients, Outcome, Scenario, run};
use crate::simulation::tiers::{self, Policies};

const RATE_PER_S: f64 = 60.0;
const FEW_PER_S: f64 = 3.0;
const VERY_FEW_PER_S: f64 = 0.5;

/// When outages begin, and when they end: breakers probe now and then, so that it matters by chance when that is.
const OUTAGE_FROM_S: usize = 12;
const OUTAGE_TO_S: [usize; 4] = [34, 35, 37, 38];
const LENGTH_S: usize = 54;

/// From when until when the last of three services stalls.
const STALL_S: (u64, u64) = (5, 30);

/// When a row recovers is a matter of chance, so that it is a mean of so many.
const ROW_RUNS: u64 = 6;

pub(super) const SETTINGS: [(&str, &str); 2] = [
    (
        "breaker: calls",
        "60/s, Poisson, few 3/s, very few 0.5/s, each sent once; in an outage all fail for 22 s and more",
    ),
    ("breaker: row", "three services in a row with breakers between them, the last of which stalls for 25 s"),
];

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let loads = Loads { seed };
    judge_opening(report, loads)?;
    judge_closing(report, loads)
}

fn judge_opening(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let costs = [
        cost("rejected while 30 % fail", 0.1, 3),
        cost("passed while 60 % fail", 0.2, 3),
        cost("s until open, all fail", 5.0, 2),
        cost("few: s until open", 5.0, 2),
    ];
    let measure = |config: &Config| {
        let rejected = [loads.rejected(0.3, *config), 1.0 - loads.rejected(0.6, *config)];
        let open = [RATE_PER_S, FEW_PER_S].map(|rate| loads.until_open_s(rate, *config));
        [rejected, open].concat()
    };
    let ratios = settings([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0], |ratio| {
        Ok(Config { failure_ratio: Some(Ratio::new(*ratio)?), ..default })
    })?;
    Choice { title: "breaker: failure_ratio", default, settings: ratios, costs: &costs }
        .judge(report, measure);
    let windows = settings(["1s", "2s", "5s", "10s", "20s", "30s", "1m"], |window| {
        Ok(Config { window: Window::Time(window.parse()?), ..default })
    })?;
    let choice = Choice { title: "breaker: window", default, settings: windows, costs: &costs };
    choice.judge(report, measure).draw(report, "breaker", "window (ms)")?;

    let costs =
        [cost("very few rejected while 30 % fail", 0.1, 3), cost("few: s until open, all fail", 5.0, 2)];
    let minima = settings([1, 5, 10, 20, 50, 100], |count| {
        Ok(Config { minimum: NonZeroU32::new(*count).expect("it is above zero"), ..default })
    })?;
    Choice { title: "breaker: minimum", default, settings: minima, costs: &costs }.judge(report, |config| {
        vec![loads.very_few_rejected(*config), loads.until_open_s(FEW_PER_S, *config)]
    });
    Ok(())
}

fn judge_closing(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let costs = [
        cost("few passed while 60 % fail", 0.25, 3),
        cost("calls/s in an outage", 2.0, 2),
        cost("few: s until well", 3.0, 1),
        cost("lost in a row", 0.3, 3),
    ];
    let measure = |config: &Config| {
        let passed = 1.0 - loads.few_rejected(*config);
        let outages =
            |of: fn(Loads, usize, Config) -> f64| mean(&OUTAGE_TO_S.map(|to| of(loads, to, *config)));
        vec![passed, outages(Loads::probes_per_s), outages(Loads::until_well_s), loads.lost_in_a_row(*config)]
    };
    let probes = settings([1, 2, 3, 5, 10, 20], |probes| Ok(Config { probes: *probes, ..default }))?;
    Choice { title: "breaker: probes", default, settings: probes, costs: &costs }.judge(report, measure);
    let times = settings(["100ms", "300ms", "1s", "3s", "10s", "30s"], |open| {
        Ok(Config { open: open.parse()?, ..default })
    })?;
    Choice { title: "breaker: open", default, settings: times, costs: &costs }.judge(report, measure);
    let mut times = settings(["1s", "2s", "5s", "10s", "30s"], |open_max| {
        Ok(Config { open_max: Some(open_max.parse()?), ..default })
    })?;
    times.insert(2, ("three times `open`".to_owned(), Config { open_max: None, ..default }));
    Choice { title: "breaker: open_max", default, settings: times, costs: &costs }.judge(report, measure);
    Ok(())
}

/// What the settings are put under.
#[derive(Clone, Copy)]
struct Loads {
    seed: u64,
}

impl Loads {
    fn run(self, length_s: usize, (rate, failures): (f64, &dyn Fn(f64) -> f64), config: Config) -> Outcome {
        let rate_per_s = |_: f64| rate;
        let length = Duration::from_secs(length_s as u64);
        let scenario = Scenario { seed: self.seed, length, rate_per_s: &rate_per_s, failures, ..STEADY };
        run(&scenario, &mut Clients::once(), &mut Breaking::new(config))
    }

    /// The share that it does not let through while a share of the calls fails.
    fn rejected(self, failing: f64, config: Config) -> f64 {
        rejected(&self.run(60, (RATE_PER_S, &|_| failing), config))
    }

    fn few_rejected(self, config: Config) -> f64 {
        rejected(&self.run(1_500, (FEW_PER_S, &|_| 0.6), config))
    }

    fn very_few_rejected(self, config: Config) -> f64 {
        rejected(&self.run(2_000, (VERY_FEW_PER_S, &|_| 0.3), config))
    }

    /// All calls fail until then.
    fn outage(self, rate: f64, to: usize, config: Config) -> Outcome {
        let failures = |s: f64| f64::from(u8::from(is_within(s, OUTAGE_FROM_S as f64, to as f64)));
        self.run(LENGTH_S, (rate, &failures), config)
    }

    /// How many seconds of calls pass before the breaker leaves an outage alone.
    fn until_open_s(self, rate: f64, config: Config) -> f64 {
        passed(&self.outage(rate, LENGTH_S, config), OUTAGE_FROM_S, OUTAGE_FROM_S + 15) / rate
    }

    /// How many calls each second pass after that.
    fn probes_per_s(self, to: usize, config: Config) -> f64 {
        let from = OUTAGE_FROM_S + 12;
        passed(&self.outage(RATE_PER_S, to, config), from, to) / (to - from) as f64
    }

    /// How long after an outage the breaker still rejects few calls.
    fn until_well_s(self, to: usize, config: Config) -> f64 {
        let outcome = self.outage(FEW_PER_S, to, config);
        let is_well = |second: usize| outcome.between(second, second + 1).rejected == 0;
        (to..LENGTH_S).rev().find(|second| !is_well(*second)).map_or(0.0, |last| (last + 1 - to) as f64)
    }

    /// Three services in a row: of what needs all of them, the share that is lost when the stall of the last one is over.
    fn lost_in_a_row(self, config: Config) -> f64 {
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        let scenario = |run: u64| tiers::Scenario {
            seed: self.seed * ROW_RUNS + run,
            length: Duration::from_secs(STALL_S.1 + 15),
            rates_per_s: [10.0, 50.0],
            workers: [32; 3],
            queue_max: 500,
            work: Duration::from_millis(5),
            stall: (at(STALL_S.0), at(STALL_S.1)),
            stalled: Duration::from_secs(30),
            patience: Duration::from_secs(2),
            good_within: Duration::from_millis(500),
            policies: Policies {
                has_deadlines: true,
                bulkhead: Some(8),
                breaker: Some(config),
                tells_rejections: false,
            },
        };
        let lost = |run: u64| {
            let seconds = tiers::run(&scenario(run));
            let after = &seconds[STALL_S.1 as usize + 2..];
            let sum = |of: fn(&tiers::Second) -> u32| after.iter().map(of).sum::<u32>();
            1.0 - f64::from(sum(|it| it.good[1])) / f64::from(sum(|it| it.offered[1]))
        };
        mean(&(0..ROW_RUNS).map(lost).collect::<Vec<_>>())
    }
}

fn rejected(outcome: &Outcome) -> f64 {
    let sum = outcome.between(0, outcome.seconds.len());
    f64::from(sum.rejected) / f64::from(sum.offered)
}

fn passed(outcome: &Outcome, from: usize, to: usize) -> f64 {
    let sum = outcome.between(from, to);
    f64::from(sum.tries - sum.rejected)
}

//! Retries: how many there are, when, and within which budget.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::retry::{Allowance, Backoff, Config, Jitter};

use super::choice::{Choice, Cost, cost, settings};
use super::{STEADY, is_within, mean, p99};
use crate::report::Report;
use crate::simulation::service::{Clients, Everything, Outcome, Scenario, run};

/// How often the service restarts, from when on in that time, and for how long it fails then.
const RESTART_EVERY_S: f64 = 20.0;
const RESTART_AT_S: f64 = 15.0;
const RESTART_S: f64 = 0.3;

/// From when until when all calls fail.
const OUTAGE_S: (usize, usize) = (12, 24);

/// Calls that come at once.
const CROWD: u32 = 300;

const RATE_PER_S: f64 = 200.0;

pub(super) const SETTINGS: [(&str, &str); 4] = [
    (
        "retry: calls",
        "200/s, Poisson, to a service that bears much more; few are 0.2/s, a batch is ten at once",
    ),
    ("retry: restart", "all calls fail for 300 ms of each 20 s; for batches of each 3 s"),
    (
        "retry: 30 % fail",
        "when they are done; a narrow service bears a quarter more than comes in without retries",
    ),
    ("retry: crowd", "300 calls at once to a service that does 800/s and has 20 wait, without a budget"),
];

/// Of the calls that come in while it restarts, those that come to no good end.
const LOST_BY_RESTART: Cost = cost("lost by a restart", 0.15, 3);

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let loads = Loads { seed };
    judge_waits(report, loads)?;
    judge_budget(report, loads)
}

fn judge_waits(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let costs = [cost("lost by chance", 0.001, 4), LOST_BY_RESTART, cost("ms in vain, all fail", 500.0, 0)];
    let counts = settings([1, 2, 3, 4, 5, 6, 8], |count| {
        Ok(Config { attempts: NonZeroU32::new(*count).expect("it is above zero"), ..default })
    })?;
    let measure = |config: &Config| {
        vec![loads.by_chance(*config).0, loads.by_restart(*config), loads.in_vain_ms(*config)]
    };
    let choice = Choice { title: "retry: attempts", default, settings: counts, costs: &costs };
    choice.judge(report, measure).draw(report, "attempts", "attempts")?;

    let costs = [
        LOST_BY_RESTART,
        cost("p99 ms while 5 % fail", 100.0, 0),
        cost("lost in a crowd", 0.1, 3),
        cost("most of it in 10 ms again", 35.0, 0),
    ];
    let measure = |config: &Config| {
        let (lost, peak) = loads.crowd(*config);
        vec![loads.by_restart(*config), loads.by_chance(*config).1, lost, peak]
    };
    let bases = settings(["10ms", "25ms", "50ms", "100ms", "200ms", "500ms"], |base| {
        Ok(Config { base: base.parse()?, ..default })
    })?;
    let choice = Choice { title: "retry: base", default, settings: bases, costs: &costs };
    choice.judge(report, measure).draw(report, "base", "base (ms)")?;
    let named = |(name, config): (&str, Config)| (name.to_owned(), config);
    let backoffs = [
        ("constant", Config { backoff: Backoff::Constant, ..default }),
        ("linear", Config { backoff: Backoff::Linear, ..default }),
        ("exponential", Config { backoff: Backoff::Exponential, ..default }),
    ];
    let settings = backoffs.map(named).to_vec();
    Choice { title: "retry: backoff", default, settings, costs: &costs }.judge(report, measure);
    let jitters = [
        ("none", Config { jitter: Jitter::None, ..default }),
        ("full", Config { jitter: Jitter::Full, ..default }),
        ("equal", Config { jitter: Jitter::Equal, ..default }),
        ("decorrelated", Config { jitter: Jitter::Decorrelated, ..default }),
    ];
    let settings = jitters.map(named).to_vec();
    Choice { title: "retry: jitter", default, settings, costs: &costs }.judge(report, measure);
    Ok(())
}

fn judge_budget(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let with = |budget| Config { budget, ..default };
    let allowance = default.budget;
    let costs = [
        LOST_BY_RESTART,
        cost("lost while 30 % fail", 0.2, 3),
        cost("the same, narrow", 0.1, 3),
        cost("tries/call, all fail", 0.35, 2),
    ];
    let ratios = settings([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0], |ratio| {
        Ok(with(Allowance { ratio: Ratio::new(*ratio)?, ..allowance }))
    })?;
    let measure = |config: &Config| {
        let lost =
            [loads.by_restart(*config), loads.while_a_part_fails(*config), loads.while_narrow(*config)];
        [&lost[..], &[loads.in_outage(*config).1]].concat()
    };
    let choice = Choice { title: "retry: budget.ratio", default, settings: ratios, costs: &costs };
    choice.judge(report, measure).draw(report, "ratio", "ratio")?;

    let costs = [
        cost("few lost by a restart", 0.15, 3),
        cost("batches lost by a restart", 0.2, 3),
        cost("tries/s added, all fail", 4.0, 1),
    ];
    let floors =
        settings([0, 1, 2, 3, 5, 10, 30], |floor| Ok(with(Allowance { floor_per_s: *floor, ..allowance })))?;
    let measure =
        |config: &Config| vec![loads.few(*config), loads.batches(*config), loads.added_per_s(*config)];
    Choice { title: "retry: budget.floor_per_s", default, settings: floors, costs: &costs }
        .judge(report, measure);

    let costs = [LOST_BY_RESTART, cost("tries/call, first 3 s of all failing", 0.75, 2)];
    let windows = settings(["1s", "2s", "5s", "10s", "20s", "30s", "1m"], |window| {
        Ok(with(Allowance { window: window.parse()?, ..allowance }))
    })?;
    let measure = |config: &Config| vec![loads.by_restart(*config), loads.in_outage(*config).0];
    Choice { title: "retry: budget.window", default, settings: windows, costs: &costs }
        .judge(report, measure);
    Ok(())
}

/// What the settings are put under.
#[derive(Clone, Copy)]
struct Loads {
    seed: u64,
}

impl Loads {
    fn scenario<'a>(self, length_s: u64, failures: &'a dyn Fn(f64) -> f64) -> Scenario<'a> {
        let length = Duration::from_secs(length_s);
        Scenario { seed: self.seed, length, rate_per_s: &|_| RATE_PER_S, failures, ..STEADY }
    }

    /// One in twenty fails: the share that is lost, and the p99 of the others in milliseconds.
    fn by_chance(self, config: Config) -> (f64, f64) {
        let outcome = simulate(&self.scenario(30, &|_| 0.05), config);
        (lost_of(&outcome, 30.0 * RATE_PER_S), p99(outcome.took.iter().map(|(_, ms)| *ms)))
    }

    fn by_restart(self, config: Config) -> f64 {
        let outcome = simulate(&self.scenario(60, &restarts), config);
        lost_of(&outcome, 3.0 * RESTART_S * RATE_PER_S)
    }

    fn while_a_part_fails(self, config: Config) -> f64 {
        let outcome = simulate(&self.scenario(30, &|_| 0.3), config);
        1.0 - outcome.between(10, 29).good_ratio()
    }

    /// A service that bears a quarter more than what comes in, were there no retries.
    fn while_narrow(self, config: Config) -> f64 {
        let work = (Duration::from_millis(20), 0.3);
        let scenario = Scenario { workers: &|_| 5, work, ..self.scenario(30, &|_| 0.3) };
        1.0 - simulate(&scenario, config).between(10, 29).good_ratio()
    }

    /// Tries for each call, in the first seconds in which all fail and in all of them.
    fn in_outage(self, config: Config) -> (f64, f64) {
        let failures = |s: f64| f64::from(u8::from(s >= OUTAGE_S.0 as f64));
        let outcome = simulate(&self.scenario(OUTAGE_S.1 as u64, &failures), config);
        let tries = |to| {
            let sum = outcome.between(OUTAGE_S.0, to);
            f64::from(sum.tries) / f64::from(sum.offered)
        };
        (tries(OUTAGE_S.0 + 3), tries(OUTAGE_S.1))
    }

    /// For how long a client with few calls waits when all fail.
    fn in_vain_ms(self, config: Config) -> f64 {
        let scenario = Scenario { rate_per_s: &|_| 0.2, ..self.scenario(2_000, &|_| 1.0) };
        mean(&simulate(&scenario, config).gave_up)
    }

    /// The share of few calls that is lost of those that a restart meets.
    fn few(self, config: Config) -> f64 {
        let scenario = Scenario { rate_per_s: &|_| 0.2, ..self.scenario(20_000, &restarts) };
        lost_of(&simulate(&scenario, config), 1_000.0 * RESTART_S * 0.2)
    }

    /// How many tries there are each second besides five calls that fail.
    fn added_per_s(self, config: Config) -> f64 {
        let scenario = Scenario { rate_per_s: &|_| 5.0, ..self.scenario(200, &|_| 1.0) };
        let sum = simulate(&scenario, config).between(0, 199);
        f64::from(sum.tries - sum.offered) / 199.0
    }

    /// The share that is lost of batches that a restart meets.
    fn batches(self, config: Config) -> f64 {
        let failures = |s: f64| f64::from(u8::from(s % 3.0 < RESTART_S));
        let scenario = Scenario { rate_per_s: &|_| 2.0, at_once: 10, ..self.scenario(3_000, &failures) };
        lost_of(&simulate(&scenario, config), 6_000.0 * RESTART_S / 3.0)
    }

    /// The share of a crowd that is lost, and the most calls in 10 ms when those come again that were turned away.
    fn crowd(self, config: Config) -> (f64, f64) {
        let scenario = Scenario {
            rate_per_s: &|_| f64::from(CROWD) / 5.0,
            at_once: CROWD,
            workers: &|_| 8,
            queue_max: 20,
            ..self.scenario(100, &|_| 0.0)
        };
        let outcome = run(&scenario, &mut Clients::retrying(config, false), &mut Everything);
        let is_crowd = |slots: &&[u32]| slots.iter().any(|count| *count >= CROWD);
        let peak = |slots: &[u32]| slots.iter().filter(|count| **count < CROWD).max().copied().unwrap_or(0);
        let peaks: Vec<f64> =
            outcome.slots.chunks(100).filter(is_crowd).map(|slots| f64::from(peak(slots))).collect();
        (1.0 - outcome.between(0, 99).good_ratio(), mean(&peaks))
    }
}

fn simulate(scenario: &Scenario<'_>, config: Config) -> Outcome {
    run(scenario, &mut Clients::retrying(config, true), &mut Everything)
}

fn restarts(s: f64) -> f64 {
    f64::from(u8::from(is_within(s % RESTART_EVERY_S, RESTART_AT_S, RESTART_AT_S + RESTART_S)))
}

/// Of so many calls, the share that came to no good end.
fn lost_of(outcome: &Outcome, calls: f64) -> f64 {
    outcome.gave_up.len() as f64 / calls
}

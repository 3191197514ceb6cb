//! Adaptive limits: how they follow a capacity that moves, and what they take for an overload.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::adaptive::{Aimd, Config, Gradient, Limiter};

use super::choice::{Choice, Cost, cost, settings};
use super::{STEADY, is_within, p99};
use crate::report::Report;
use crate::simulation::admission::Learned;
use crate::simulation::service::{Clients, Outcome, Scenario, run};

const RATE_PER_S: f64 = 750.0;

/// From when until when only a quarter of the workers is there.
const NARROW_S: (usize, usize) = (8, 20);
const WORKERS: (usize, usize) = (32, 8);
const LENGTH_S: usize = 28;

/// 20 ms in the median.
const MEAN_WORK_S: f64 = 0.0209;

pub(super) const SETTINGS: [(&str, &str); 2] = [
    (
        "adaptive: calls",
        "750/s, Poisson, each sent once, to 32 workers that take 20 ms (median); AIMD takes 100 ms for slow",
    ),
    (
        "adaptive: loads",
        "narrow: 8 workers for 12 s, for long: for 45 s; slower: 1.4 times as long, which is borne; varied: lognormal with sigma 1; pauses: nothing is done for 300 ms of each 4 s",
    ),
];

const NARROW: [Cost; 3] =
    [cost("idle while narrow", 0.1, 3), cost("p99 ms while narrow", 20.0, 0), cost("lost after it", 0.04, 3)];
const LONG: Cost = cost("p99 ms, narrow for long", 20.0, 0);
const SLOWER: Cost = cost("lost while slower", 0.02, 3);
const VARIED: Cost = cost("lost while varied", 0.02, 3);
const FIRST: Cost = cost("lost in the first 5 s", 0.03, 3);
const PAUSES: Cost = cost("lost by pauses", 0.02, 3);
const FAILING: Cost = cost("lost while 5 % fail", 0.02, 3);

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let loads = Loads { seed };
    judge_gradient(report, loads)?;
    judge_windows(report, loads)?;
    judge_aimd(report, loads)
}

fn judge_gradient(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let gradient = Gradient::default();
    let with = |gradient| Config { limiter: Limiter::Gradient(gradient), ..default };
    let [idle, latency, after] = NARROW;

    let costs = [idle, LONG, SLOWER];
    let tolerances = settings([0.0, 0.1, 0.25, 0.5, 0.75, 1.0], |tolerance| {
        Ok(with(Gradient { tolerance: Ratio::new(*tolerance)?, ..gradient }))
    })?;
    let measure = |config: &Config| {
        vec![loads.narrow(*config)[0], loads.narrow_for_long(*config), loads.slower(*config)]
    };
    Choice { title: "adaptive: gradient.tolerance", default, settings: tolerances, costs: &costs }
        .judge(report, measure);

    let costs = [latency, after, FIRST];
    let measure = |config: &Config| {
        let [_, latency, after, first] = loads.narrow(*config);
        vec![latency, after, first]
    };
    let shares = settings([0.02, 0.05, 0.1, 0.2, 0.5, 1.0], |smoothing| {
        Ok(with(Gradient { smoothing: Ratio::new(*smoothing)?, ..gradient }))
    })?;
    Choice { title: "adaptive: gradient.smoothing", default, settings: shares, costs: &costs }
        .judge(report, measure);
    let queues = settings([1, 2, 4, 8, 16, 64], |queue| Ok(with(Gradient { queue: *queue, ..gradient })))?;
    Choice { title: "adaptive: gradient.queue", default, settings: queues, costs: &costs }
        .judge(report, measure);

    let costs = [LONG];
    let times =
        settings(["10s", "1m", "10m", "1h"], |long| Ok(with(Gradient { long: long.parse()?, ..gradient })))?;
    Choice { title: "adaptive: gradient.long", default, settings: times, costs: &costs }
        .judge(report, |config| vec![loads.narrow_for_long(*config)]);
    Ok(())
}

fn judge_windows(report: &mut Report, loads: Loads) -> Result<()> {
    let default = Config::default();
    let [_, latency, after] = NARROW;
    let costs = [latency, after, FIRST, VARIED];
    let measure = |config: &Config| {
        let [_, latency, after, first] = loads.narrow(*config);
        vec![latency, after, first, loads.varied(*config)]
    };
    let windows = settings(["10ms", "50ms", "100ms", "250ms", "500ms", "1s", "4s"], |window| {
        Ok(Config { window: window.parse()?, ..default })
    })?;
    let choice = Choice { title: "adaptive: window", default, settings: windows, costs: &costs };
    choice.judge(report, measure).draw(report, "window", "window (ms)")?;

    let costs = [FIRST, cost("p99 ms, narrow from the first", 100.0, 0)];
    let counts =
        settings([8, 20, 50, 200, 1_000], |initial| Ok(Config { initial: some(*initial), ..default }))?;
    Choice { title: "adaptive: initial", default, settings: counts, costs: &costs }
        .judge(report, |config| vec![loads.narrow(*config)[3], loads.narrow_from_the_first(*config)]);
    Ok(())
}

fn judge_aimd(report: &mut Report, loads: Loads) -> Result<()> {
    let aimd = Aimd { latency: Some(Duration::from_millis(100)), ..Aimd::default() };
    let with = |aimd| Config { limiter: Limiter::Aimd(aimd), ..Config::default() };
    let default = with(aimd);
    let [idle, latency, after] = NARROW;

    let costs = [idle, latency, after, PAUSES];
    let measure = |config: &Config| {
        let [idle, latency, after, _] = loads.narrow(*config);
        vec![idle, latency, after, loads.paused(*config)]
    };
    let counts = settings([1, 2, 4, 8, 16], |count| Ok(with(Aimd { increase: some(*count), ..aimd })))?;
    Choice { title: "adaptive: aimd.increase", default, settings: counts, costs: &costs }
        .judge(report, measure);
    let backoffs = settings([0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99], |backoff| {
        Ok(with(Aimd { backoff: Ratio::new(*backoff)?, ..aimd }))
    })?;
    Choice { title: "adaptive: aimd.backoff", default, settings: backoffs, costs: &costs }
        .judge(report, measure);

    let [_, latency, _] = NARROW;
    let costs = [latency, FAILING];
    let ratios = settings([0.01, 0.05, 0.1, 0.2, 0.5, 0.9], |ratio| {
        Ok(with(Aimd { failure_ratio: Ratio::new(*ratio)?, ..aimd }))
    })?;
    Choice { title: "adaptive: aimd.failure_ratio", default, settings: ratios, costs: &costs }
        .judge(report, |config| vec![loads.narrow(*config)[1], loads.failing(*config)]);
    Ok(())
}

fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("it is above zero")
}

/// What the settings are put under.
#[derive(Clone, Copy)]
struct Loads {
    seed: u64,
}

impl Loads {
    fn scenario(self, length_s: usize) -> Scenario<'static> {
        Scenario {
            seed: self.seed,
            length: Duration::from_secs(length_s as u64),
            rate_per_s: &|_| RATE_PER_S,
            workers: &|_| WORKERS.0,
            queue_max: 100_000,
            work: (Duration::from_millis(20), 0.3),
            knows_deadlines: false,
            ..STEADY
        }
    }

    /// While it is narrow, the share of what it bears that it does not do, and the p99 in milliseconds; the share that is lost after that; and in the first seconds.
    fn narrow(self, config: Config) -> [f64; 4] {
        let is_narrow = |s: f64| is_within(s, NARROW_S.0 as f64, NARROW_S.1 as f64);
        let workers = |s: f64| if is_narrow(s) { WORKERS.1 } else { WORKERS.0 };
        let outcome = simulate(&Scenario { workers: &workers, ..self.scenario(LENGTH_S) }, config);
        let (from, to) = (NARROW_S.0 + 4, NARROW_S.1);
        let borne = WORKERS.1 as f64 / MEAN_WORK_S * (to - from) as f64;
        let idle = 1.0 - f64::from(outcome.between(from, to).good()) / borne;
        [idle, p99_ms(&outcome, from), lost(&outcome, to, LENGTH_S - 1), lost(&outcome, 0, 5)]
    }

    fn narrow_for_long(self, config: Config) -> f64 {
        let workers = |s: f64| if s < NARROW_S.0 as f64 { WORKERS.0 } else { WORKERS.1 };
        let outcome = simulate(&Scenario { workers: &workers, ..self.scenario(NARROW_S.0 + 45) }, config);
        p99_ms(&outcome, NARROW_S.0 + 37)
    }

    fn narrow_from_the_first(self, config: Config) -> f64 {
        let workers = |_: f64| WORKERS.1;
        p99_ms(&simulate(&Scenario { workers: &workers, ..self.scenario(10) }, config), 0)
    }

    fn slower(self, config: Config) -> f64 {
        let slowness = |s: f64| if s < 8.0 { 1.0 } else { 1.4 };
        let outcome = simulate(&Scenario { slowness: &slowness, ..self.scenario(20) }, config);
        lost(&outcome, 8, 19)
    }

    fn varied(self, config: Config) -> f64 {
        let work = (Duration::from_millis(20), 1.0);
        let outcome = simulate(&Scenario { work, workers: &|_| 48, ..self.scenario(25) }, config);
        lost(&outcome, 5, 24)
    }

    fn paused(self, config: Config) -> f64 {
        let workers = |s: f64| if s % 4.0 < 0.3 { 0 } else { WORKERS.0 };
        let outcome = simulate(&Scenario { workers: &workers, ..self.scenario(25) }, config);
        lost(&outcome, 4, 24)
    }

    fn failing(self, config: Config) -> f64 {
        let outcome = simulate(&Scenario { failures: &|_| 0.05, ..self.scenario(20) }, config);
        lost(&outcome, 5, 19)
    }
}

fn lost(outcome: &Outcome, from: usize, to: usize) -> f64 {
    1.0 - outcome.between(from, to).good_ratio()
}

/// Of the next eight seconds.
fn p99_ms(outcome: &Outcome, from: usize) -> f64 {
    let is_then = |end: f64| is_within(end / 1e9, from as f64, (from + 8) as f64);
    p99(outcome.took.iter().filter(|(end, _)| is_then(end.as_nanos() as f64)).map(|(_, ms)| *ms))
}

fn simulate(scenario: &Scenario<'_>, config: Config) -> Outcome {
    run(scenario, &mut Clients::once(), &mut Learned::new(config))
}

//! What second tries beside slow first ones do to the slowest calls, and what they cost.

use anyhow::Result;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::hedge::Config;

use super::{Context, Experiment, at, simulated, slowest};
use crate::plot::{self, Axis};
use crate::report::{Report, Table};
use crate::simulation::Random;
use crate::simulation::hedged::{Outcome, Scenario, run};

/// Calls to a service with many instances, some of which are slow by chance, and later all of them.
#[derive(Debug, Clone, Copy)]
pub struct Hedging {
    /// Of the draws.
    pub seed: u64,
}

impl Hedging {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const RATE_PER_S: f64 = 500.0;
const LENGTH_S: usize = 120;

/// From here on the whole service is slow.
const SLOW_FROM_S: usize = 80;
const SLOW_FACTOR: f64 = 5.0;

/// The share of calls that meet an instance which stalls, and how much longer they take.
const STALLS: (f64, f64) = (0.02, 20.0);

/// What is claimed of the defaults, for a service that is slow by chance: of the p99 without hedges, and calls for each that came in.
const P99_MAX_RATIO: f64 = 0.5;
const LOAD_MAX_RATIO: f64 = 1.1;

const QUESTION: &str = "Of many instances of a service one is slow now and then. When what takes long is asked of another one as well, what becomes of the slowest calls, and how many more calls are \
                        there, also when the service is slow as a whole?";

impl Experiment for Hedging {
    fn name(&self) -> &'static str {
        "hedging"
    }

    fn question(&self) -> &'static str {
        "F1"
    }

    fn about(&self) -> &'static str {
        "Asks for slow calls twice in virtual time, and compares the slowest with what that costs"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "Hedges against the slowest calls", QUESTION);
        simulated(&mut report, self.seed);
        report.setting("calls", format!("{RATE_PER_S}/s, Poisson, each to an instance by chance"));
        report.setting("latency", "lognormal, median 10 ms, sigma 0.5; one in fifty takes 20 times as long");
        report.setting(
            "slow as a whole",
            format!("all take {SLOW_FACTOR} times as long from {SLOW_FROM_S} s on"),
        );
        let columns = [
            "second try",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "calls for each",
            "slow as a whole: calls for each",
        ];
        let mut table = Table::new("Latency and cost", &columns);
        let mut lines = Vec::new();
        let mut without = None;
        for (name, config) in variants()? {
            let outcome = self.simulate(config);
            let latencies_ms = outcome.latencies_ms(0, SLOW_FROM_S);
            let at = |share: f64| at(&latencies_ms, share);
            let p99 = at(0.99);
            let shown = [at(0.5), p99, at(0.999)].map(|ms| format!("{ms:.1}"));
            let loads = [outcome.load(0, SLOW_FROM_S), outcome.load(SLOW_FROM_S, LENGTH_S)];
            let shown_loads = loads.map(|load| format!("{load:.3}"));
            table.row([vec![name.to_owned()], shown.to_vec(), shown_loads.to_vec()].concat());
            lines.push(slowest(name, &latencies_ms));
            let p99_without = *without.get_or_insert(p99);
            if config == Some(Config::default()) {
                judge(&mut report, p99 / p99_without, loads);
            }
        }
        report.tables.push(table);
        let title = "Latency of the slowest of so many calls";
        let (x, y) = (Axis::log("one in so many calls is slower"), Axis::log("latency (ms)"));
        report.plot("latency", title, plot::lines(title, &x, &y, &lines)?);
        Ok(report)
    }
}

/// Whether there are second tries, and after which percentile.
fn variants() -> Result<[(&'static str, Option<Config>); 4]> {
    let after = |percentile| {
        Ok::<_, anyhow::Error>(Config { percentile: Ratio::new(percentile)?, ..Config::default() })
    };
    let unbounded = Config { budget: Ratio::ONE, ..Config::default() };
    Ok([
        ("none", None),
        ("after p99", Some(after(0.99)?)),
        ("after p95 (default)", Some(Config::default())),
        ("after p95, no budget", Some(unbounded)),
    ])
}

fn judge(report: &mut Report, p99: f64, loads: [f64; 2]) {
    report.verdict.check(
        format!("with the defaults the p99 is at most {P99_MAX_RATIO} of that without hedges"),
        format!("{p99:.2}"),
        p99 <= P99_MAX_RATIO,
    );
    for (when, load) in ["one in fifty is slow", "all are slow"].into_iter().zip(loads) {
        report.verdict.check(
            format!("with the defaults there are at most {LOAD_MAX_RATIO} times as many calls while {when}"),
            format!("{load:.3}"),
            load <= LOAD_MAX_RATIO,
        );
    }
}

impl Hedging {
    fn simulate(self, config: Option<Config>) -> Outcome {
        let is_slow = |s: f64| s >= SLOW_FROM_S as f64;
        let takes = |s: f64, random: &Random| {
            let stall = if random.chance(STALLS.0) { STALLS.1 } else { 1.0 };
            let factor = stall * if is_slow(s) { SLOW_FACTOR } else { 1.0 };
            random.lognormal(Duration::from_nanos((10e6 * factor) as u64), 0.5)
        };
        run(&Scenario { seed: self.seed, length_s: LENGTH_S, rate_per_s: RATE_PER_S, takes: &takes }, config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..4, |seed| Hedging { seed });
    }
}

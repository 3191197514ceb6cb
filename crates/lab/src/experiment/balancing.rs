//! Which way of choosing endpoints keeps calls from waiting: with one slow endpoint, and in bursts.

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::outliers;

use super::{Context, Experiment, at, simulated, slowest};
use crate::plot::{self, Axis};
use crate::report::{Report, Table};
use crate::simulation::Random;
use crate::simulation::balanced::{Outcome, Scenario, Way, run};

/// Calls to four endpoints, of which one becomes slow, and calls that come in bursts.
#[derive(Debug, Clone, Copy)]
pub struct Balancing {
    /// Of the draws.
    pub seed: u64,
}

impl Balancing {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const ENDPOINTS: usize = 4;
const WORKERS: usize = 16;
const GATEWAYS: usize = 2;
const LENGTH_S: usize = 80;

/// The endpoint that becomes slow, from when on, and by how much.
const SLOW: usize = 1;
const SLOW_FROM_S: f64 = 20.0;
const SLOW_FACTOR: f64 = 10.0;

/// Calls that come in each second while one endpoint is slow: it could just bear its share of them.
const RATE_PER_S: f64 = 480.0;

/// Bursts: so many seconds of every two with another rate, at which nearly all workers are at work.
const BURST_S: f64 = 0.2;
const BURST_EVERY_S: f64 = 2.0;
const BURST_RATES_PER_S: (f64, f64) = (2_000.0, 5_400.0);

/// Long calls among quick ones: which share, how much longer they take, and how many calls there are each second, so that two thirds of the workers are at work.
const LONG_SHARE: f64 = 0.01;
const LONG_FACTOR: f64 = 100.0;
const MIXED_RATE_PER_S: f64 = 1_900.0;

/// Long calls that come at the end have no answer yet.
const LONG_REST_S: f64 = 5.0;

/// What is claimed of peak EWMA, of the p99 that round robin has while one endpoint is slow; and of power of two.
const P99_MAX_RATIO: f64 = 0.3;
const P99_MAX_RATIO_OF_TWO: f64 = 0.8;

const QUESTION: &str = "Four endpoints do the same, and calls are spread among them. One of them becomes ten times as slow; or calls come in bursts. What becomes of the slowest calls, by the way \
                        in which endpoints are chosen?";

impl Experiment for Balancing {
    fn name(&self) -> &'static str {
        "balancing"
    }

    fn question(&self) -> &'static str {
        "D3"
    }

    fn about(&self) -> &'static str {
        "Compares ways of choosing endpoints in virtual time, while one of four is slow and in bursts"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "Ways of choosing endpoints", QUESTION);
        simulated(&mut report, self.seed);
        report
            .setting("endpoints", format!("{ENDPOINTS} with {WORKERS} workers each, and queues without end"));
        report.setting("gateways", format!("{GATEWAYS}, each of which knows what it has seen itself"));
        report.setting("latency", "lognormal, median 10 ms, sigma 0.5");
        report.setting("slow", format!("one endpoint takes {SLOW_FACTOR} times as long from {SLOW_FROM_S} s on, at {RATE_PER_S} calls/s"));
        let (calm, burst) = BURST_RATES_PER_S;
        report.setting(
            "long calls",
            format!(
                "one in {:.0} takes {LONG_FACTOR} times as long, of {MIXED_RATE_PER_S} calls/s",
                1.0 / LONG_SHARE
            ),
        );
        report.setting(
            "bursts",
            format!("{burst} calls/s for {BURST_S} s every {BURST_EVERY_S} s, {calm} calls/s in between"),
        );
        let columns =
            ["endpoints are chosen by", "p50 ms", "p99 ms", "p99.9 ms", "calls that the slow one gets"];
        let mut slow = Table::new("While one endpoint is slow", &columns);
        let mut bursts = Table::new("In bursts", &columns[..4]);
        let mut mixed = Table::new("With long calls among quick ones", &columns[..4]);
        let (mut lines, mut p99s) = (Vec::new(), Vec::new());
        for (name, way) in ways() {
            let (from, to) = (SLOW_FROM_S, LENGTH_S as f64 - 5.0);
            let outcome = self.one_is_slow(way);
            let latencies_ms = outcome.latencies_ms(from, to);
            let share = format!("{:.1} %", outcome.share_of(SLOW, from, to) * 100.0);
            slow.row([shown(name, &latencies_ms), vec![share]].concat());
            p99s.push((name, at(&latencies_ms, 0.99)));
            lines.push(slowest(name, &latencies_ms));
            bursts.row(shown(name, &self.in_bursts(way).latencies_ms(5.0, to)));
            mixed.row(shown(name, &self.with_long_calls(way).latencies_ms(5.0, to - LONG_REST_S)));
        }
        judge(&mut report, &p99s);
        report.tables.extend([slow, bursts, mixed]);
        let title = "Latency of the slowest of so many calls, while one endpoint is slow";
        let (x, y) = (Axis::log("one in so many calls is slower"), Axis::log("latency (ms)"));
        report.plot("slow", title, plot::lines(title, &x, &y, &lines)?);
        Ok(report)
    }
}

const ROUND_ROBIN: &str = "round robin";
const POWER_OF_TWO: &str = "power of two";
const PEAK_EWMA: &str = "peak EWMA";

fn ways() -> [(&'static str, Way); 6] {
    let by = |algorithm| Way { algorithm, outliers: None };
    let ejecting = Way { algorithm: Algorithm::RoundRobin, outliers: Some(outliers::Config::default()) };
    [
        (ROUND_ROBIN, by(Algorithm::RoundRobin)),
        ("a key (Maglev)", by(Algorithm::Maglev)),
        ("least requests", by(Algorithm::LeastRequests)),
        (POWER_OF_TWO, by(Algorithm::PowerOfTwo)),
        (PEAK_EWMA, by(Algorithm::PeakEwma)),
        ("round robin, outliers are ejected", ejecting),
    ]
}

fn shown(name: &str, latencies_ms: &[f64]) -> Vec<String> {
    let shares = [0.5, 0.99, 0.999].map(|share| format!("{:.1}", at(latencies_ms, share)));
    [vec![name.to_owned()], shares.to_vec()].concat()
}

fn judge(report: &mut Report, p99s: &[(&str, f64)]) {
    let of = |wanted: &str| p99s.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, p99)| *p99);
    for (name, most) in [(PEAK_EWMA, P99_MAX_RATIO), (POWER_OF_TWO, P99_MAX_RATIO_OF_TWO)] {
        let ratio = of(name) / of(ROUND_ROBIN);
        report.verdict.check(
            format!("while one of four endpoints is slow, the p99 of {name} is at most {most} of that of round robin"),
            format!("{ratio:.2}"),
            ratio <= most,
        );
    }
}

impl Balancing {
    fn one_is_slow(self, way: Way) -> Outcome {
        let takes = |place: usize, s: f64, random: &Random| {
            let factor = if place == SLOW && s >= SLOW_FROM_S { SLOW_FACTOR } else { 1.0 };
            takes(factor, random)
        };
        run(&self.scenario(&|_| RATE_PER_S, &takes), way)
    }

    fn in_bursts(self, way: Way) -> Outcome {
        let rate =
            |s: f64| if s % BURST_EVERY_S < BURST_S { BURST_RATES_PER_S.1 } else { BURST_RATES_PER_S.0 };
        run(&self.scenario(&rate, &|_, _, random| takes(1.0, random)), way)
    }

    fn with_long_calls(self, way: Way) -> Outcome {
        let takes = |_: usize, _: f64, random: &Random| {
            takes(if random.chance(LONG_SHARE) { LONG_FACTOR } else { 1.0 }, random)
        };
        run(&self.scenario(&|_| MIXED_RATE_PER_S, &takes), way)
    }

    fn scenario<'a>(
        self,
        rate_per_s: &'a dyn Fn(f64) -> f64,
        takes: &'a dyn Fn(usize, f64, &Random) -> Duration,
    ) -> Scenario<'a> {
        Scenario {
            seed: self.seed,
            length_s: LENGTH_S,
            gateways: GATEWAYS,
            endpoints: ENDPOINTS,
            workers: WORKERS,
            rate_per_s,
            takes,
        }
    }
}

fn takes(factor: f64, random: &Random) -> Duration {
    random.lognormal(Duration::from_nanos((10e6 * factor) as u64), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..4, |seed| Balancing { seed });
    }
}

//! How many connections to a service are best, for how much is done and for how long it takes; and who gets them.

use anyhow::Result;
use mainstay_base::units::Duration;

use super::{Context, Experiment, at, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::pooled::{Outcome, Scenario, run};

/// Calls to a service by way of pools of several sizes.
#[derive(Debug, Clone, Copy)]
pub struct Pools {
    /// Of the draws.
    pub seed: u64,
}

impl Pools {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const LENGTH_S: f64 = 40.0;
const FROM_S: f64 = 5.0;
const CORES: f64 = 16.0;
const CONTENTION: f64 = 0.01;
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_millis(200);
const SIZES: [u32; 10] = [2, 4, 8, 12, 16, 24, 32, 64, 128, 512];

/// 16 calls at a time, 10.5 ms each.
const BORNE_PER_S: f64 = 1_530.0;
const LOADS: [(&str, f64); 2] = [("at 0.8 of what it bears", 0.8), ("at 1.5 times that", 1.5)];

/// What is claimed: which sizes are good, and how much worse others are.
const GOOD: [u32; 2] = [16, 24];
const GOOD_MIN_RATIO: f64 = 0.9;
const FEW_MAX_RATIO: f64 = 0.35;
const MANY_MAX_RATIO: f64 = 0.5;
const QUIET_MAX_RATIO: f64 = 0.3;

/// Callers where one of them floods: what it sends each second, and what each of the others does.
const FLOOD_PER_S: f64 = 3_000.0;
const QUIET_PER_S: f64 = 100.0;
const QUIET: usize = 4;

const QUESTION: &str = "A service works well on sixteen calls at a time; more are in each other's way. How many connections should there be, and what does it cost to have fewer or more? And who gets them, when one caller \
                        sends more than all others together?";

impl Experiment for Pools {
    fn name(&self) -> &'static str {
        "pools"
    }

    fn question(&self) -> &'static str {
        "C5"
    }

    fn about(&self) -> &'static str {
        "Calls a service by way of 2 to 512 connections in virtual time, below and above what it bears"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "Sizes of connection pools", QUESTION);
        simulated(&mut report, self.seed);
        report.setting(
            "service",
            format!("shares {CORES} cores evenly among its calls; each call beyond costs {CONTENTION} of its work; it bears {BORNE_PER_S}/s"),
        );
        report.setting("work", "lognormal, median 10 ms, sigma 0.3");
        report.setting(
            "calls",
            format!("come by chance, wait in the pool for at most {MAX_WAIT}, and are of use for {PATIENCE}"),
        );
        let columns = ["connections", "answered in time/s", "p50 ms", "p99 ms"];
        let (mut rates, mut p99s, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (load, factor) in LOADS {
            let mut table = Table::new(&format!("Answers {load}"), &columns);
            let (mut rate_points, mut p99_points) = (Vec::new(), Vec::new());
            for size in SIZES {
                let figures = Figures::of(&self.of_size(size, factor).all(FROM_S, LENGTH_S - 2.0));
                table.row([vec![size.to_string()], figures.shown()].concat());
                rate_points.push((f64::from(size), figures.per_s));
                p99_points.push((f64::from(size), figures.p99_ms));
                done.push((load, size, figures.per_s));
            }
            rates.push(Line::new(load, rate_points));
            p99s.push(Line::new(load, p99_points));
            report.tables.push(table);
        }
        judge_sizes(&mut report, &done);
        self.flood(&mut report);
        for (name, title, y, lines) in [
            ("rate", "Answers in time, by the number of connections", "answers in time/s", rates),
            ("p99", "p99 of answers in time, by the number of connections", "p99 (ms)", p99s),
        ] {
            let y = if name == "rate" { Axis::linear(y) } else { Axis::log(y) };
            report.plot(name, title, plot::lines(title, &Axis::log("connections"), &y, &lines)?);
        }
        Ok(report)
    }
}

/// What came of calls.
struct Figures {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of all.
    in_time_ratio: f64,
}

impl Figures {
    fn of(calls: &[Option<f64>]) -> Self {
        let mut took: Vec<f64> = calls.iter().flatten().copied().collect();
        took.sort_by(f64::total_cmp);
        let (per_s, in_time_ratio) =
            (took.len() as f64 / (LENGTH_S - 2.0 - FROM_S), took.len() as f64 / calls.len().max(1) as f64);
        let quantile = |share| if took.is_empty() { f64::NAN } else { at(&took, share) };
        Self { per_s, p50_ms: quantile(0.5), p99_ms: quantile(0.99), in_time_ratio }
    }

    fn shown(&self) -> Vec<String> {
        vec![format!("{:.0}", self.per_s), format!("{:.1}", self.p50_ms), format!("{:.1}", self.p99_ms)]
    }
}

impl Pools {
    fn of_size(self, connections: u32, factor: f64) -> Outcome {
        run(&self.scenario(connections, &[BORNE_PER_S * factor], true))
    }

    /// One caller sends more than the service bears; what becomes of the others, with turns and without.
    fn flood(self, report: &mut Report) {
        let rates: Vec<f64> = [FLOOD_PER_S].into_iter().chain([QUIET_PER_S; QUIET]).collect();
        let columns = ["calls wait", "quiet callers: in time", "p99 ms", "the one that floods: answers/s"];
        let mut table = Table::new("One caller floods a pool of 16, four are quiet", &columns);
        let mut p99s = Vec::new();
        for (name, is_fair) in [("in turns of their callers", true), ("as they come", false)] {
            let outcome = run(&self.scenario(16, &rates, is_fair));
            let quiet: Vec<_> =
                (1..=QUIET).flat_map(|caller| outcome.of(caller, FROM_S, LENGTH_S - 2.0)).collect();
            let (quiet, flood) = (Figures::of(&quiet), Figures::of(&outcome.of(0, FROM_S, LENGTH_S - 2.0)));
            table.row(vec![
                name.to_owned(),
                format!("{:.3}", quiet.in_time_ratio),
                format!("{:.1}", quiet.p99_ms),
                format!("{:.0}", flood.per_s),
            ]);
            p99s.push(quiet.p99_ms);
        }
        let ratio = p99s[0] / p99s[1];
        report.verdict.check(
            format!("beside a caller that floods, the p99 of quiet ones in turns is at most {QUIET_MAX_RATIO} of what it is as calls come"),
            format!("{ratio:.2}"),
            ratio <= QUIET_MAX_RATIO,
        );
        report.tables.push(table);
    }

    fn scenario(self, connections: u32, rates_per_s: &[f64], is_fair: bool) -> Scenario<'_> {
        Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rates_per_s,
            cores: CORES,
            contention: CONTENTION,
            work: (Duration::from_millis(10), 0.3),
            patience: PATIENCE,
            connections,
            queue: 512,
            max_wait: MAX_WAIT,
            is_fair,
        }
    }
}

/// Judges by the answers in time under too much load, and that below it the good sizes lose nothing.
fn judge_sizes(report: &mut Report, done: &[(&str, u32, f64)]) {
    let (calm, over) = (LOADS[0].0, LOADS[1].0);
    let of = |load: &str, size: u32| {
        done.iter().find(|it| it.0 == load && it.1 == size).map_or(f64::NAN, |(_, _, rate)| *rate)
    };
    let best = |load: &str| SIZES.iter().map(|size| of(load, *size)).fold(0.0, f64::max);
    let least = GOOD
        .iter()
        .flat_map(|size| [calm, over].map(|load| of(load, *size) / best(load)))
        .fold(f64::INFINITY, f64::min);
    report.verdict.check(
        format!("as many connections as the service works on well, or half as many again, have at least {GOOD_MIN_RATIO} of the best rate, below and above what it bears"),
        format!("{least:.2}"),
        least >= GOOD_MIN_RATIO,
    );
    for (what, size, most) in
        [("a quarter of them", 4, FEW_MAX_RATIO), ("32 times as many", 512, MANY_MAX_RATIO)]
    {
        let ratio = of(over, size) / best(over);
        report.verdict.check(
            format!("{what} have at most {most} of it when more comes than it bears"),
            format!("{ratio:.2}"),
            ratio <= most,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..3, |seed| Pools { seed });
    }
}

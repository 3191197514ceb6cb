//! How many calls at a time a service should take, when what it bears changes.

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_resilience::adaptive::{Aimd, Config, Limiter};

use super::{Context, Experiment, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::admission::{Fixed, Learned};
use crate::simulation::service::{Admission, Clients, Everything, Outcome, Scenario, run};
use crate::stats::quantile;

/// A service whose capacity falls to a quarter and rises again, under limits that are fixed or learned.
#[derive(Debug, Clone, Copy)]
pub struct Concurrency {
    /// Of the draws.
    pub seed: u64,
}

impl Concurrency {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const LENGTH_S: usize = 120;
const RATE_PER_S: f64 = 1_500.0;

/// From when until when only a quarter of the workers is there.
const NARROW_S: (usize, usize) = (40, 80);
const WORKERS: (usize, usize) = (64, 16);

/// Seconds after each change in which limits may learn.
const LEARNING_S: usize = 10;

/// What is claimed of learned limits: the share of what the service bears that it does while it is narrow, and of all before and after; and how long calls take, by
/// the time that they take alone.
const NARROW_MIN_RATIO: f64 = 0.8;
const WIDE_MIN_RATIO: f64 = 0.97;
const LATENCY_MAX_RATIO: f64 = 10.0;

/// How long a call is worked on: the median, and the mean of its distribution.
const WORK: (Duration, f64) = (Duration::from_millis(20), 0.3);
const MEAN_WORK_S: f64 = 0.0209;

const QUESTION: &str = "A service bears so many calls at a time, and how many changes: a deployment, a neighbour, a slow disk. What do limits that are fixed, and limits that are \
                        learned from how calls end, make of it?";

impl Experiment for Concurrency {
    fn name(&self) -> &'static str {
        "concurrency"
    }

    fn question(&self) -> &'static str {
        "F2"
    }

    fn about(&self) -> &'static str {
        "Takes three quarters of a service's workers away in virtual time, under limits fixed and learned"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "Limits for a capacity that moves", QUESTION);
        simulated(&mut report, self.seed);
        report.setting("calls", format!("{RATE_PER_S}/s, Poisson, each sent once; clients wait 1 s"));
        report.setting(
            "service",
            format!(
                "{} workers, {} from {} s to {} s; 20 ms a call (median)",
                WORKERS.0, WORKERS.1, NARROW_S.0, NARROW_S.1
            ),
        );
        let columns = [
            "limit",
            "good before",
            "good while narrow, of what it bears",
            "p99 ms while narrow",
            "good after",
        ];
        let mut table = Table::new("What is done", &columns);
        let mut lines = Vec::new();
        let mut learn = |name, config| {
            let mut learned = Learned::new(config);
            let outcome = self.simulate(&mut learned);
            let points =
                learned.limits.iter().enumerate().map(|(second, limit)| (second as f64, f64::from(*limit)));
            lines.push(Line::new(name, points.collect()));
            (name, outcome, true)
        };
        let aimd = Limiter::Aimd(Aimd { latency: Some(Duration::from_millis(100)), ..Aimd::default() });
        let learned = [
            learn("gradient (default)", Config::default()),
            learn("AIMD, slow from 100 ms on", Config { limiter: aimd, ..Config::default() }),
        ];
        let fixed = [
            ("none", self.simulate(&mut Everything), false),
            ("fixed, 64", self.simulate(&mut Fixed::new(64)), false),
            ("fixed, 500", self.simulate(&mut Fixed::new(500)), false),
        ];
        for (name, outcome, is_learned) in fixed.into_iter().chain(learned) {
            let figures = Figures::of(&outcome);
            table.row(figures.row(name));
            if is_learned {
                figures.judge(&mut report, name);
            }
        }
        report.tables.push(table);
        let (x, y) = (Axis::linear("time (s)"), Axis::linear("calls at a time"));
        report.plot(
            "limits",
            "Limits as they are learned",
            plot::lines("Limits as they are learned", &x, &y, &lines)?,
        );
        Ok(report)
    }
}

impl Concurrency {
    fn simulate(self, admission: &mut dyn Admission) -> Outcome {
        let narrow = |s: f64| (NARROW_S.0 as f64..NARROW_S.1 as f64).contains(&s);
        let scenario = Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rate_per_s: &|_| RATE_PER_S,
            at_once: 1,
            classes: [0.0, 0.0, 1.0, 0.0],
            workers: &|s| if narrow(s) { WORKERS.1 } else { WORKERS.0 },
            queue_max: 100_000,
            work: WORK,
            slowness: &|_| 1.0,
            failures: &|_| 0.0,
            timeout: Duration::from_secs(1),
            knows_deadlines: false,
        };
        run(&scenario, &mut Clients::once(), admission)
    }
}

/// What came of one limit.
struct Figures {
    before: f64,
    narrow: f64,
    narrow_p99_ms: f64,
    after: f64,
}

impl Figures {
    fn of(outcome: &Outcome) -> Self {
        let (from, to) = (NARROW_S.0 + LEARNING_S, NARROW_S.1);
        let borne = WORKERS.1 as f64 / MEAN_WORK_S * (to - from) as f64;
        let is_narrow = |s: u64| (from as u64..to as u64).contains(&s);
        let took = outcome.took.iter().filter(|(end, _)| is_narrow(end.as_nanos() / 1_000_000_000));
        let took: Vec<f64> = took.map(|(_, ms)| *ms).collect();
        Self {
            before: outcome.between(LEARNING_S, NARROW_S.0).good_ratio(),
            narrow: f64::from(outcome.between(from, to).good()) / borne,
            narrow_p99_ms: quantile(&took, 0.99).unwrap_or(f64::INFINITY),
            after: outcome.between(NARROW_S.1 + LEARNING_S, LENGTH_S - 1).good_ratio(),
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let ms = if self.narrow_p99_ms.is_finite() {
            format!("{:.0}", self.narrow_p99_ms)
        } else {
            "-".to_owned()
        };
        vec![
            name.to_owned(),
            format!("{:.3}", self.before),
            format!("{:.3}", self.narrow),
            ms,
            format!("{:.3}", self.after),
        ]
    }

    fn judge(&self, report: &mut Report, name: &str) {
        report.verdict.check(
            format!(
                "{name}: while it is narrow the service does at least {NARROW_MIN_RATIO} of what it bears"
            ),
            format!("{:.2}", self.narrow),
            self.narrow >= NARROW_MIN_RATIO,
        );
        let alone = self.narrow_p99_ms / 1e3 / MEAN_WORK_S;
        report.verdict.check(
            format!("{name}: then the p99 is at most {LATENCY_MAX_RATIO} times what a call takes alone"),
            format!("{alone:.1} times"),
            alone <= LATENCY_MAX_RATIO,
        );
        report.verdict.check(
            format!("{name}: at least {WIDE_MIN_RATIO} of all calls are done before and after"),
            format!("{:.3} and {:.3}", self.before, self.after),
            self.before.min(self.after) >= WIDE_MIN_RATIO,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..3, |seed| Concurrency { seed });
    }
}

//! How far the failure of one service spreads to those in front of it, with and without policies between them.

use anyhow::Result;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::breaker;

use super::{Context, Experiment, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::tiers::{Policies, Scenario, Second, run};

/// Three services in a row, the last of which stalls for a while.
#[derive(Debug, Clone, Copy)]
pub struct Cascade {
    /// Of the draws.
    pub seed: u64,
}

impl Cascade {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const LENGTH_S: usize = 90;
const STALL_S: (usize, usize) = (20, 50);

/// So many calls to the next service may be on their way.
const BULKHEAD: usize = 16;

/// The share of what needs only the first service that is served while the last one stalls.
const OTHERS_MIN_RATIO: f64 = 0.99;

/// The share of what needs the last one that is served from five seconds after the stall on.
const AFTER_MIN_RATIO: f64 = 0.95;

const QUESTION: &str = "Three services call each other in a row, and one route needs only the first. When the last one stalls, what becomes of that route, and of \
                        the others when the stall is over?";

impl Experiment for Cascade {
    fn name(&self) -> &'static str {
        "cascade"
    }

    fn question(&self) -> &'static str {
        "F2"
    }

    fn about(&self) -> &'static str {
        "Stalls the last of three services in virtual time, with and without policies between them"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "A cascade that stops", QUESTION);
        simulated(&mut report, self.seed);
        report.setting(
            "services",
            "three in a row with 64 workers each and queues of 1000, 5 ms of work in each",
        );
        report.setting(
            "requests",
            "300/s that need only the first service, 100/s that need all; clients wait 2 s, and an answer within 500 ms is a good one",
        );
        report.setting("stall", "the last service takes 30 s for a request from 20 s to 50 s");
        report.setting("bulkhead", format!("{BULKHEAD} calls to the next service at a time"));
        report.setting("breaker", "by default: half of 20 or more calls in 10 s failed, open for 1 s to 3 s");
        let columns = ["policies", "only the first: during", "after", "all three: during", "after"];
        let mut table = Table::new("Share of requests that were served in time", &columns);
        let mut lines = Vec::new();
        for (name, policies) in variants() {
            let seconds = run(&self.scenario(policies));
            let during = |route| good_ratio(&seconds, route, STALL_S.0 + 2, STALL_S.1);
            let after = |route| good_ratio(&seconds, route, STALL_S.1 + 5, LENGTH_S);
            let shown = [during(0), after(0), during(1), after(1)].map(|ratio| format!("{ratio:.3}"));
            table.row([vec![name.to_owned()], shown.to_vec()].concat());
            let points =
                (0..LENGTH_S).map(|second| (second as f64, good_ratio(&seconds, 0, second, second + 1)));
            lines.push(Line::new(name, points.collect()));
            judge(&mut report, (name, policies), during(0), after(1));
        }
        report.tables.push(table);
        let title = "Share of the requests that need only the first service that are served";
        let (x, y) = (Axis::linear("time (s)"), Axis::linear("share served in time"));
        report.plot("served", title, plot::lines(title, &x, &y, &lines)?);
        Ok(report)
    }
}

/// From no policy to all of them.
fn variants() -> [(&'static str, Policies); 5] {
    let deadlines = Policies { has_deadlines: true, ..Policies::default() };
    let bulkhead = Policies { bulkhead: Some(BULKHEAD), ..deadlines };
    let breaker = Policies { breaker: Some(breaker::Config::default()), ..bulkhead };
    let telling = Policies { tells_rejections: true, ..breaker };
    [
        ("none", Policies::default()),
        ("deadlines", deadlines),
        ("and bulkheads", bulkhead),
        ("and breakers", breaker),
        ("that tell rejections", telling),
    ]
}

impl Cascade {
    fn scenario(self, policies: Policies) -> Scenario {
        let at = |s: usize| Instant::from_nanos(s as u64 * 1_000_000_000);
        Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rates_per_s: [300.0, 100.0],
            workers: [64; 3],
            queue_max: 1_000,
            work: Duration::from_millis(5),
            stall: (at(STALL_S.0), at(STALL_S.1)),
            stalled: Duration::from_secs(30),
            patience: Duration::from_secs(2),
            good_within: Duration::from_millis(500),
            policies,
        }
    }
}

fn judge(report: &mut Report, (name, policies): (&str, Policies), others: f64, after: f64) {
    match (policies.bulkhead, policies.breaker) {
        (None, _) => report.verdict.check(
            format!("with policies `{name}` the stall takes down what does not need the last service"),
            format!("{:.1} % of it is served", others * 100.0),
            others < 0.5,
        ),
        (Some(_), None) => report.verdict.check(
            format!("with bulkheads at least {:.0} % of it is served", OTHERS_MIN_RATIO * 100.0),
            format!("{:.1} %", others * 100.0),
            others >= OTHERS_MIN_RATIO,
        ),
        (Some(_), Some(_)) => report.verdict.check(
            format!(
                "with breakers as well, and from five seconds after the stall at least {:.0} % of the rest",
                AFTER_MIN_RATIO * 100.0
            ),
            format!("{:.1} %, and {:.1} % of the rest", others * 100.0, after * 100.0),
            others >= OTHERS_MIN_RATIO && after >= AFTER_MIN_RATIO,
        ),
    }
}

fn good_ratio(seconds: &[Second], route: usize, from: usize, to: usize) -> f64 {
    let seconds = &seconds[from.min(seconds.len())..to.min(seconds.len())];
    let sum = |of: fn(&Second) -> [u32; 2]| seconds.iter().map(|it| f64::from(of(it)[route])).sum::<f64>();
    sum(|it| it.good) / sum(|it| it.offered).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..4, |seed| Cascade { seed });
    }
}

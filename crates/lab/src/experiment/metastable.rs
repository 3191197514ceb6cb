//! An overload that stays when its cause has gone, and what ends it.

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_resilience::{retry, shed};

use super::{Context, Experiment, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::admission::Shedding;
use crate::simulation::service::{Admission, Clients, Everything, Outcome, Scenario, run};

/// A service that a burst of ten seconds has overloaded, and clients that try again.
#[derive(Debug, Clone, Copy)]
pub struct Metastable {
    /// Of the draws.
    pub seed: u64,
}

impl Metastable {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const LENGTH_S: usize = 120;

/// When three times as much comes in as before.
const BURST_S: (usize, usize) = (20, 30);

/// 20 workers at 20.9 ms a call, and the share of that which comes in.
const BORNE_PER_S: f64 = 957.0;
const LOAD_RATIO: f64 = 0.8;

/// A second is well in which this share is served.
const WELL_RATIO: f64 = 0.95;

/// How soon after the burst all is well again, with budgets and shedding.
const RECOVERY_MAX_S: usize = 10;

const QUESTION: &str = "A burst fills the queue of a service; clients give up, try again, and the service works on what nobody waits for. The burst ends. Does the overload, and what by?";

impl Experiment for Metastable {
    fn name(&self) -> &'static str {
        "metastable"
    }

    fn question(&self) -> &'static str {
        "F2"
    }

    fn about(&self) -> &'static str {
        "Overloads a service for ten seconds in virtual time, and looks when it is well again"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "A failure that outlives its cause", QUESTION);
        simulated(&mut report, self.seed);
        report.setting(
            "service",
            format!("20 workers, 20 ms a call (median): it bears {BORNE_PER_S}/s; a long queue"),
        );
        report.setting(
            "load",
            format!("{LOAD_RATIO} of that; three times as much from {} s to {} s", BURST_S.0, BURST_S.1),
        );
        report.setting(
            "clients",
            "wait 1 s for an answer, and send each call four times at most, with full jitter",
        );
        let columns = [
            "what there is",
            "good in the last 30 s",
            "tries/operation then",
            "well again after the burst, s",
        ];
        let mut table = Table::new("Whether it ends", &columns);
        let mut lines = Vec::new();
        for (name, has_budget, sheds) in VARIANTS {
            let outcome = self.simulate(has_budget, sheds);
            let sum = outcome.between(LENGTH_S - 31, LENGTH_S - 1);
            let recovery = recovery_s(&outcome);
            let shown = recovery.map_or_else(|| "never".to_owned(), |s| s.to_string());
            let tries = f64::from(sum.tries) / f64::from(sum.offered);
            table.row(vec![
                name.to_owned(),
                format!("{:.3}", sum.good_ratio()),
                format!("{tries:.2}"),
                shown.clone(),
            ]);
            let points =
                (0..LENGTH_S - 1).map(|s| (s as f64, outcome.between(s, s + 1).good_ratio().min(1.0)));
            lines.push(Line::new(name, points.collect()));
            match (has_budget, sheds) {
                (false, false) => report.verdict.check(
                    "with neither, the overload stays when its cause has gone",
                    format!("well again: {shown}"),
                    recovery.is_none(),
                ),
                (true, true) => report.verdict.check(
                    format!("with budgets and shedding all is well {RECOVERY_MAX_S} s after the burst at the latest"),
                    format!("{shown} s"),
                    recovery.is_some_and(|s| s <= RECOVERY_MAX_S),
                ),
                (true, false) | (false, true) => {}
            }
        }
        report.tables.push(table);
        let title = "Share of the operations that are served";
        let (x, y) = (Axis::linear("time (s)"), Axis::linear("share served"));
        report.plot("served", title, plot::lines(title, &x, &y, &lines)?);
        Ok(report)
    }
}

/// A name, whether clients have a budget of retries, and whether the service sheds.
const VARIANTS: [(&str, bool, bool); 4] = [
    ("nothing", false, false),
    ("a budget", true, false),
    ("shedding", false, true),
    ("a budget and shedding", true, true),
];

/// After how many seconds from the end of the burst all seconds are well, if ever.
fn recovery_s(outcome: &Outcome) -> Option<usize> {
    let is_well = |second: usize| outcome.between(second, second + 1).good_ratio() >= WELL_RATIO;
    let last_bad = (BURST_S.1..LENGTH_S - 1).rev().find(|second| !is_well(*second));
    let first_well = last_bad.map_or(BURST_S.1, |second| second + 1);
    (first_well < LENGTH_S - 5).then(|| first_well - BURST_S.1)
}

impl Metastable {
    fn simulate(self, has_budget: bool, sheds: bool) -> Outcome {
        let is_burst = |s: f64| (BURST_S.0 as f64..BURST_S.1 as f64).contains(&s);
        let scenario = Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rate_per_s: &|s| BORNE_PER_S * LOAD_RATIO * if is_burst(s) { 3.0 } else { 1.0 },
            at_once: 1,
            classes: [0.0, 0.0, 1.0, 0.0],
            workers: &|_| 20,
            queue_max: 100_000,
            work: (Duration::from_millis(20), 0.3),
            slowness: &|_| 1.0,
            failures: &|_| 0.0,
            timeout: Duration::from_secs(1),
            knows_deadlines: sheds,
        };
        let mut clients = Clients::retrying(retry::Config::default(), has_budget);
        let mut shedding = Shedding::new(shed::Config::default());
        let admission: &mut dyn Admission = if sheds { &mut shedding } else { &mut Everything };
        run(&scenario, &mut clients, admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..3, |seed| Metastable { seed });
    }
}

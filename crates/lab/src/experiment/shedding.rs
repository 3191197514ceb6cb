//! Who is served when three times as much comes in as can be.

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_resilience::{Criticality, shed};

use super::{Context, Experiment, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::admission;
use crate::simulation::service::{Admission, Clients, Everything, Outcome, Scenario, run};

/// A service under three times the load that it bears, with and without shedding by class.
#[derive(Debug, Clone, Copy)]
pub struct Shedding {
    /// Of the draws.
    pub seed: u64,
}

impl Shedding {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const LENGTH_S: usize = 90;
const OVERLOAD_S: (usize, usize) = (20, 60);

/// Of each class, those that are shed first before others.
const CLASSES: [f64; 4] = [0.45, 0.3, 0.2, 0.05];

/// 20 workers at 20.9 ms a call.
const BORNE_PER_S: f64 = 957.0;

/// The share of the two highest classes that is served under overload, from two seconds after its beginning on.
const CRITICAL_MIN_RATIO: f64 = 0.95;

/// The share of all from so many seconds after the overload on.
const AFTER_MIN_RATIO: f64 = 0.98;
const AFTER_S: usize = 10;

const QUESTION: &str = "Three times as much comes in as a service bears. Whom does it serve, when it takes what comes, when its queue is short, and when it sheds the less critical \
                        classes?";

impl Experiment for Shedding {
    fn name(&self) -> &'static str {
        "shedding"
    }

    fn question(&self) -> &'static str {
        "F2"
    }

    fn about(&self) -> &'static str {
        "Sends three times what a service bears in virtual time, and counts by class what is served"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "Shedding by criticality", QUESTION);
        simulated(&mut report, self.seed);
        report.setting("service", format!("20 workers, 20 ms a call (median): it bears {BORNE_PER_S}/s"));
        report.setting(
            "load",
            format!("0.7 of that; 3 times of it from {} s to {} s", OVERLOAD_S.0, OVERLOAD_S.1),
        );
        report.setting("classes", "45 % sheddable, 30 % sheddable plus, 20 % critical, 5 % critical plus");
        report.setting("clients", "send each call once, and wait 1 s");
        let names = Criticality::ALL.map(Criticality::as_str);
        let columns = [&["service"], &names[..], &["after: all"]].concat();
        let mut table = Table::new("Share that is served under overload, by class", &columns);
        let mut lines = Vec::new();
        let variants: [(&str, usize, &mut dyn Admission); 3] = [
            ("takes all", 1_000_000, &mut Everything),
            ("a queue of 200", 200, &mut Everything),
            ("sheds by class", 200, &mut admission::Shedding::new(shed::Config::default())),
        ];
        for (name, queue_max, admission) in variants {
            let outcome = self.simulate(queue_max, admission);
            let served = served(&outcome);
            let after = outcome.between(OVERLOAD_S.1 + AFTER_S, LENGTH_S - 1).good_ratio();
            let shown = served.iter().chain([&after]).map(|ratio| format!("{ratio:.3}"));
            table.row([name.to_owned()].into_iter().chain(shown).collect());
            lines.push(Line::new(name, critical(&outcome)));
            if name == "sheds by class" {
                judge(&mut report, served, after);
            }
        }
        report.tables.push(table);
        let title = "Share of critical calls that are served";
        let (x, y) = (Axis::linear("time (s)"), Axis::linear("share of critical and critical plus"));
        report.plot("critical", title, plot::lines(title, &x, &y, &lines)?);
        Ok(report)
    }
}

impl Shedding {
    fn simulate(self, queue_max: usize, admission: &mut dyn Admission) -> Outcome {
        let is_over = |s: f64| (OVERLOAD_S.0 as f64..OVERLOAD_S.1 as f64).contains(&s);
        let scenario = Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rate_per_s: &|s| BORNE_PER_S * if is_over(s) { 3.0 } else { 0.7 },
            at_once: 1,
            classes: CLASSES,
            workers: &|_| 20,
            queue_max,
            work: (Duration::from_millis(20), 0.3),
            slowness: &|_| 1.0,
            failures: &|_| 0.0,
            timeout: Duration::from_secs(1),
            knows_deadlines: false,
        };
        run(&scenario, &mut Clients::once(), admission)
    }
}

/// The share of each class that is served, from two seconds after the beginning of the overload.
fn served(outcome: &Outcome) -> [f64; 4] {
    let sum = outcome.between(OVERLOAD_S.0 + 2, OVERLOAD_S.1);
    std::array::from_fn(|class| f64::from(sum.good[class]) / f64::from(sum.offered_by[class].max(1)))
}

fn critical(outcome: &Outcome) -> Vec<(f64, f64)> {
    let ratio = |second: usize| {
        let it = outcome.between(second, second + 1);
        f64::from(it.good[2] + it.good[3]) / f64::from((it.offered_by[2] + it.offered_by[3]).max(1))
    };
    (0..LENGTH_S - 1).map(|second| (second as f64, ratio(second))).collect()
}

fn judge(report: &mut Report, served: [f64; 4], after: f64) {
    let [sheddable, plus, critical, critical_plus] = served;
    report.verdict.check(
        format!(
            "of both critical classes at least {CRITICAL_MIN_RATIO} is served under three times the load"
        ),
        format!("{critical:.3} and {critical_plus:.3}"),
        critical.min(critical_plus) >= CRITICAL_MIN_RATIO,
    );
    report.verdict.check(
        "no class is served less than one below it",
        format!("{sheddable:.3}, {plus:.3}, {critical:.3}, {critical_plus:.3}"),
        served.is_sorted_by(|lower, higher| *lower <= higher + 0.01),
    );
    report.verdict.check(
        format!("from {AFTER_S} seconds after it at least {AFTER_MIN_RATIO} of all is served"),
        format!("{after:.3}"),
        after >= AFTER_MIN_RATIO,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..3, |seed| Shedding { seed });
    }
}

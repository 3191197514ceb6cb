//! How much load retries add when a service fails, by what bounds and spreads them.

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_resilience::retry::{Config, Jitter};

use super::{Context, Experiment, simulated};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::simulation::service::{Clients, Everything, Outcome, Scenario, run};

/// Clients of a service of which a share of the calls fails, and of one that fails wholly for a while.
#[derive(Debug, Clone, Copy)]
pub struct RetryStorm {
    /// Of the draws.
    pub seed: u64,
}

impl RetryStorm {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const RATE_PER_S: f64 = 500.0;
const LENGTH_S: usize = 60;

/// From when until when calls fail.
const FAILING_S: (usize, usize) = (20, 40);

/// The shares that fail then.
const FAILURES: [(&str, f64); 2] = [("30 % fail", 0.3), ("all fail", 1.0)];

/// What is claimed of the defaults: tries for each operation that comes in, without the floor of the budget.
const LOAD_MAX_RATIO: f64 = 1.2;

const QUESTION: &str = "When calls fail, clients try again, and the service that fails has more to do than before. How much more, by what bounds the retries, and what do the \
                        clients get for it?";

impl Experiment for RetryStorm {
    fn name(&self) -> &'static str {
        "retry-storm"
    }

    fn question(&self) -> &'static str {
        "F1"
    }

    fn about(&self) -> &'static str {
        "Has a service fail in virtual time, and counts what retries add to its load"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "A storm of retries", QUESTION);
        simulated(&mut report, self.seed);
        report.setting("operations", format!("{RATE_PER_S}/s, Poisson"));
        report.setting("service", "64 workers, 20 ms a call (median), so that it bears 3000/s");
        report.setting("failures", format!("from {} s to {} s", FAILING_S.0, FAILING_S.1));
        let columns = ["clients", "tries/operation", "good", "tries/s in the worst second"];
        for (failing, share) in FAILURES {
            let mut table = Table::new(&format!("While {failing}"), &columns);
            let mut lines = Vec::new();
            for (name, retry, has_budget) in variants() {
                let mut clients =
                    retry.map_or_else(Clients::once, |config| Clients::retrying(config, has_budget));
                let outcome = run(&self.scenario(&|s| failures(s, share)), &mut clients, &mut Everything);
                let sum = outcome.between(FAILING_S.0, FAILING_S.1);
                let ratio = f64::from(sum.tries) / f64::from(sum.offered);
                let worst = outcome.seconds.iter().map(|second| second.tries).max().unwrap_or(0);
                let good = format!("{:.3}", sum.good_ratio());
                table.row(vec![name.to_owned(), format!("{ratio:.2}"), good, worst.to_string()]);
                lines.push(Line::new(name, points(&outcome)));
                if has_budget && retry == Some(Config::default()) {
                    judge(&mut report, failing, &outcome);
                }
            }
            report.tables.push(table);
            let title = format!("Tries that reach the service while {failing}");
            let (x, y) = (Axis::linear("time (s)"), Axis::linear("tries/s"));
            report.plot(&failing.replace([' ', '%'], ""), &title, plot::lines(&title, &x, &y, &lines)?);
        }
        Ok(report)
    }
}

/// How clients try again, and whether within a budget.
fn variants() -> [(&'static str, Option<Config>, bool); 5] {
    let naive = Config { jitter: Jitter::None, ..Config::default() };
    let eager = Config { attempts: std::num::NonZeroU32::MIN.saturating_add(5), ..naive };
    [
        ("never again", None, false),
        ("4 tries", Some(naive), false),
        ("6 tries", Some(eager), false),
        ("4 tries, full jitter", Some(Config::default()), false),
        ("the defaults: a budget too", Some(Config::default()), true),
    ]
}

fn failures(s: f64, share: f64) -> f64 {
    if (FAILING_S.0 as f64..FAILING_S.1 as f64).contains(&s) { share } else { 0.0 }
}

fn points(outcome: &Outcome) -> Vec<(f64, f64)> {
    let seconds = outcome.seconds.iter().take(LENGTH_S - 1).enumerate();
    seconds.map(|(second, it)| (second as f64, f64::from(it.tries))).collect()
}

fn judge(report: &mut Report, failing: &str, outcome: &Outcome) {
    let sum = outcome.between(FAILING_S.0, FAILING_S.1);
    let floor = f64::from(Config::default().budget.floor_per_s) * (FAILING_S.1 - FAILING_S.0) as f64;
    // A window that ends in these seconds may have begun before them, when by chance more came in: three standard deviations of a window.
    let chance = (LOAD_MAX_RATIO - 1.0) * 3.0 * (RATE_PER_S * 10.0).sqrt();
    let most = LOAD_MAX_RATIO * f64::from(sum.offered) + floor + chance;
    report.verdict.check(
        format!("with the defaults, while {failing}, the service has at most {LOAD_MAX_RATIO} times what comes in, and the budget's floor"),
        format!("{:.3} times: {} tries for {} operations, at most {most:.0}", f64::from(sum.tries) / f64::from(sum.offered), sum.tries, sum.offered),
        f64::from(sum.tries) <= most,
    );
}

impl RetryStorm {
    fn scenario<'a>(&self, failures: &'a dyn Fn(f64) -> f64) -> Scenario<'a> {
        Scenario {
            seed: self.seed,
            length: Duration::from_secs(LENGTH_S as u64),
            rate_per_s: &|_| RATE_PER_S,
            at_once: 1,
            classes: [0.0, 0.0, 1.0, 0.0],
            workers: &|_| 64,
            queue_max: 10_000,
            work: (Duration::from_millis(20), 0.3),
            slowness: &|_| 1.0,
            failures,
            timeout: Duration::from_secs(1),
            knows_deadlines: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::holds_for;

    #[test]
    fn what_is_claimed_of_it_holds_for_other_seeds_too() {
        holds_for(1..4, |seed| RetryStorm { seed });
    }
}

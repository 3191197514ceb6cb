//! Whether the defaults of the policies are right: each beside other settings of its key, under loads that pull in different directions.

mod adaptive;
mod breaker;
mod bulkhead;
mod choice;
mod fallback;
mod hedge;
mod retry;
mod shed;

use anyhow::Result;
use mainstay_base::units::Duration;

use super::{Context, Experiment, simulated};
use crate::report::Report;
use crate::simulation::service::Scenario;
use crate::stats::quantile;

/// The policies, with one key at a time set to each of several settings.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Of the draws.
    pub seed: u64,
}

impl Defaults {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { seed: 1 };
}

const QUESTION: &str = "Whoever does not configure a policy has its defaults. Under loads that pull in different directions, is each of them near the best of \
                        other settings under every one?";

const NOTE: &str = "A setting is right when each of its costs is at most so much above the least of its column; how much is in the claims, behind the plus signs. All \
                    other keys have their defaults meanwhile.";

/// A policy: what it is put under, and its part of the report.
struct Policy {
    settings: &'static [(&'static str, &'static str)],
    judge: fn(&mut Report, u64) -> Result<()>,
}

const POLICIES: [Policy; 7] = [
    Policy { settings: &retry::SETTINGS, judge: retry::judge },
    Policy { settings: &hedge::SETTINGS, judge: hedge::judge },
    Policy { settings: &breaker::SETTINGS, judge: breaker::judge },
    Policy { settings: &bulkhead::SETTINGS, judge: bulkhead::judge },
    Policy { settings: &adaptive::SETTINGS, judge: adaptive::judge },
    Policy { settings: &shed::SETTINGS, judge: shed::judge },
    Policy { settings: &fallback::SETTINGS, judge: fallback::judge },
];

impl Experiment for Defaults {
    fn name(&self) -> &'static str {
        "defaults"
    }

    fn question(&self) -> &'static str {
        "F1"
    }

    fn about(&self) -> &'static str {
        "Compares the defaults of the policies with other settings in virtual time"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let mut report = context.report(self, "The defaults of the policies", QUESTION);
        simulated(&mut report, self.seed);
        report.notes.push(NOTE.to_owned());
        for Policy { settings, judge } in POLICIES {
            settings.iter().for_each(|(name, value)| report.setting(name, *value));
            judge(&mut report, self.seed)?;
        }
        Ok(report)
    }
}

/// A service with little to do, and clients of one class; times are short and tails are too.
const STEADY: Scenario<'static> = Scenario {
    seed: 0,
    length: Duration::ZERO,
    rate_per_s: &|_| 1.0,
    at_once: 1,
    classes: [0.0, 0.0, 1.0, 0.0],
    workers: &|_| 64,
    queue_max: 200,
    work: (Duration::from_millis(10), 0.3),
    slowness: &|_| 1.0,
    failures: &|_| 0.0,
    timeout: Duration::from_secs(1),
    knows_deadlines: true,
};

fn is_within(s: f64, from: f64, to: f64) -> bool {
    (from..to).contains(&s)
}

/// Zero of none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Endless of none: nothing was done in time.
fn p99(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&values.collect::<Vec<_>>(), 0.99).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(judge: fn(&mut Report, u64) -> Result<()>, seed: u64) {
        let mut report = Report::new("defaults", "Defaults", "Which?", "2026-01-02");
        judge(&mut report, seed).expect("all settings are valid");
        assert!(report.verdict.holds(), "seed {seed}: {}", report.markdown());
    }

    #[test]
    fn retries_have_the_right_defaults() {
        holds(retry::judge, 1);
    }

    #[test]
    fn hedges_have_the_right_defaults() {
        holds(hedge::judge, 1);
    }

    #[test]
    fn breakers_have_the_right_defaults() {
        holds(breaker::judge, 1);
    }

    #[test]
    fn bulkheads_have_the_right_defaults() {
        holds(bulkhead::judge, 1);
    }

    #[test]
    fn adaptive_limits_have_the_right_defaults() {
        holds(adaptive::judge, 1);
    }

    #[test]
    fn shedding_has_the_right_defaults() {
        holds(shed::judge, 1);
    }

    #[test]
    fn fallbacks_have_the_right_defaults() {
        (1..4).for_each(|seed| holds(fallback::judge, seed));
    }
}

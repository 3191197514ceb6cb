//! What is done to which calls, and whether anything may be.

use std::num::NonZeroU32;

use mainstay_base::error::Code;
use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Schedule;

/// Faults that are injected from the start, and whether rules may be exchanged at run time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether faults may be injected at all, from here as at run time. By default `refused`: where users are served it takes a decision.
    pub faults: Faults,
    /// Rules from the start on: at most 100. None by default.
    pub rules: Vec<Rule>,
}

/// Whether faults may be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Faults {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Allowed,
}

/// What is done to which calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, for people and reports. Each rule has one of its own.
    pub name: String,
    /// Which calls it is for, in the words of whoever uses it, such as the label of a route; those that begin with what is before a `*` at its end. By default `*`: all.
    #[serde(default = "all")]
    pub calls: String,
    /// What is done to them.
    pub fault: Fault,
    /// To which share of them, each by chance, from 0 to 1. By default 1: to each, so that a rule that says nothing else does something.
    #[serde(default = "one")]
    pub ratio: Ratio,
    /// When it acts. By default always.
    #[serde(default)]
    pub schedule: Schedule,
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It waits before it is made.
    Delay(Delay),
    /// It is not made, and ends with an error of this code.
    Error(Code),
    /// It is not made, and its connection is to be dropped.
    Abort,
    /// It is not made, and never answered.
    Hang,
    /// The body of its answer comes slowly.
    Slow(Slow),
}

/// How long a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Delay {
    /// As long each time, such as `100ms`.
    Fixed(Duration),
    /// Between two times by chance.
    Spread(Spread),
}

/// Two times, and all between them as likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The least.
    pub from: Duration,
    /// The most, not below `from`.
    pub to: Duration,
}

/// How slowly the body of an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How many bytes in a second.
    pub bytes_per_second: NonZeroU32,
}

impl Slow {
    /// How long after the beginning of a body so many bytes of it have come.
    pub fn after(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn all() -> String {
    "*".to_owned()
}

const fn one() -> Ratio {
    Ratio::ONE
}

impl Rule {
    /// One that does this to all calls, always.
    pub fn new(name: impl Into<String>, fault: Fault) -> Self {
        Self { name: name.into(), calls: all(), fault, ratio: one(), schedule: Schedule::default() }
    }

    fn check(&self) -> Result<(), String> {
        if let Fault::Delay(Delay::Spread(Spread { from, to })) = self.fault
            && to < from
        {
            return Err(format!("delays up to {to}, below its `from`, {from}: make `to` longer"));
        }
        self.schedule.check()
    }
}

impl Config {
    /// The most rules: each call is compared with all.
    pub const RULES_MAX: usize = 100;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.faults == Faults::Refused && !self.rules.is_empty() {
            return Err(
                "has `rules` and refuses faults: set `faults: allowed`, or leave the rules out".to_owned()
            );
        }
        Self::check_rules(&self.rules)
    }

    /// What the types of rules cannot state. Errors: what is wrong and what to do.
    pub(super) fn check_rules(rules: &[Rule]) -> Result<(), String> {
        if rules.len() > Self::RULES_MAX {
            return Err(format!(
                "has {} rules, and there are at most {}: leave some out",
                rules.len(),
                Self::RULES_MAX
            ));
        }
        for (place, rule) in rules.iter().enumerate() {
            rule.check().map_err(|error| format!("the rule {:?} {error}", rule.name))?;
            if rules[..place].iter().any(|other| other.name == rule.name) {
                return Err(format!("has two rules with the name {:?}: rename one", rule.name));
            }
        }
        Ok(())
    }
}

//! What is tried again, when, and how often at most.

use std::num::NonZeroU32;

use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is tried again, when, and how often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many tries there are, with the first: 1 is never again. By default 4: with
    /// `base`, they reach beyond a restart of 300ms, which three hardly do, and end before a caller waits in vain for half a second, which five do not (`mainstay lab run defaults`).
    pub attempts: NonZeroU32,
    /// A retry that would begin later than this after the first try did is not waited for, also when there is no deadline. By default 30s: whoever waited for it has gone away by then.
    pub elapsed: Duration,
    /// How waits grow. By default exponential: constant waits end before a restart does, and bring a crowd back before there is room for it
    /// (`mainstay lab run defaults`).
    pub backoff: Backoff,
    /// The first wait, without its spread; above zero. By default 100ms: with 50ms a third of the calls that a restart of 300ms meets is lost, and with
    /// 200ms the slowest of those that one failure meets take nearly twice as long (`mainstay lab run defaults`).
    pub base: Duration,
    /// The longest wait, from `base` up; an answer that says when to come back may ask for more. By default 2s: with four
    /// tries no wait is as long.
    pub cap: Duration,
    /// How waits are spread. By default full: a crowd that was turned away comes back in the least dense waves but for decorrelated jitter, with which a
    /// single failure takes almost three times as long (`mainstay lab run defaults`).
    pub jitter: Jitter,
    /// How long a try takes at least. A retry that would have less time than this before the deadline is not begun, since it could not end in time. From zero up. By
    /// default 5ms: few calls over a network are quicker.
    pub least: Duration,
    /// How many retries there may be beside first tries, of everything that calls the same service.
    pub budget: Allowance,
}

/// How waits grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Not at all: each is `base`.
    Constant,
    /// By `base` each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

/// How waits are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all. Those who failed together come back together.
    None,
    /// From zero to the wait.
    Full,
    /// From half of the wait to all of it.
    Equal,
    /// From `base` to three times the last wait: it grows by itself, and knows nothing of `backoff`.
    Decorrelated,
}

/// How many more tries there may be beside first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allowance {
    /// The share of the first tries in the window. By default 0.2: when everything fails, the service has about a fifth more to do, with 0.5 half as
    /// much again; with 0.1 a quarter of the failures is made up for while 30 % fail (`mainstay lab run defaults`).
    pub ratio: Ratio,
    /// How many there may be for each second of the window besides. By default 3: with few calls a share of them is none, and ten at once that a
    /// restart meets have too few with 2 (`mainstay lab run defaults`).
    pub floor_per_s: u32,
    /// How long first tries count, from 10ms up, in steps of a tenth of it. By default 10s: 2s have too few retries for
    /// a restart, and with 20s the service has twice as much to do in the first seconds in which all fail (`mainstay lab run defaults`).
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(4).expect("it is above zero"),
            elapsed: Duration::from_secs(30),
            backoff: Backoff::Exponential,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(2),
            jitter: Jitter::Full,
            least: Duration::from_millis(5),
            budget: Allowance::default(),
        }
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            ratio: Ratio::new(0.2).expect("it is a ratio"),
            floor_per_s: 3,
            window: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.base.is_zero() {
            return Err("has a `base` of no time: make it longer, such as 50ms".to_owned());
        }
        if self.cap < self.base {
            return Err(format!("has a `cap` of {}, below `base`, {}: make it longer", self.cap, self.base));
        }
        if self.elapsed < self.base {
            return Err(format!(
                "has an `elapsed` of {}, below `base`, {}, so that there is no retry in time: make it longer",
                self.elapsed, self.base
            ));
        }
        if self.jitter == Jitter::Decorrelated && self.backoff != Backoff::Exponential {
            return Err(
                "has `decorrelated` jitter, which grows by itself: leave `backoff` out, or take another jitter"
                    .to_owned(),
            );
        }
        self.budget.check()
    }
}

impl Allowance {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.window < Duration::from_millis(10) {
            return Err(format!(
                "has a budget with a `window` of {}, below 10ms, the least there is: make it longer",
                self.window
            ));
        }
        let floor = f64::from(self.floor_per_s) * self.window.as_std().as_secs_f64();
        if self.ratio == Ratio::ZERO && floor < 1.0 {
            return Err(
                "has a budget that never has a retry: give it a `ratio` or a larger `floor_per_s`".to_owned()
            );
        }
        Ok(())
    }
}

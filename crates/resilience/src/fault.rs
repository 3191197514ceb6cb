//! Injected faults: delays, errors and aborts by rule, for tests, laboratories and drills.
//!
//! A rule says which calls it is for, what becomes of them, of which share of them, and when. Rules are exchanged at run time through a [`Handle`], if it was made to allow that.
//! While there are none, a call costs one load of an atomic.
//!
//! What happens to a call is decided once, when it comes, as a function of the rules, the time since they were installed, and chance. The rules that fit a call act
//! together: their delays add up, and of those that end it the first does.

mod config;
mod future;
mod layer;
mod schedule;
mod service;
#[cfg(test)]
mod tests;

use mainstay_base::error::Code;
use mainstay_base::time::{Entropy, Instant};
use mainstay_base::units::Duration;

pub use config::{Config, Delay, Fault, Faults, Rule, Slow, Spread};
pub use future::Future;
pub use layer::{Handle, InstallError, Label, Layer, Meant, Slowing, Unslowed};
pub use schedule::Schedule;
pub use service::Service;

use crate::chance::{happens, unit};
use crate::error::Rejection;

/// What is done to a call: nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injection {
    /// How long it waits first.
    pub delay: Duration,
    /// What it ends with instead of an answer; with its answer if it is not said.
    pub end: Option<End>,
    /// How slowly the body of its answer comes. That is for whoever has bodies to do.
    pub slow: Option<Slow>,
}

/// What a call ends with instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An error of this code.
    Error(Code),
    /// Its connection is dropped.
    Abort,
    /// It is never answered.
    Hang,
}

/// Rules, and since when each is there.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<(Rule, Instant)>);

impl Rules {
    /// These, from now on.
    pub fn new(rules: Vec<Rule>, now: Instant) -> Self {
        Self::default().next(rules, now)
    }

    /// These instead, from now on; those that were there already go on.
    #[must_use]
    pub fn next(&self, rules: Vec<Rule>, now: Instant) -> Self {
        let since = |rule: &Rule| self.0.iter().find(|(known, _)| known == rule).map_or(now, |known| known.1);
        Self(rules.into_iter().map(|rule| (since(&rule), rule)).map(|(since, rule)| (rule, since)).collect())
    }

    /// What is done to a call that comes now. `is_for` says whether a rule's `calls` mean it.
    pub fn decide(&self, is_for: impl Fn(&str) -> bool, now: Instant, entropy: &dyn Entropy) -> Injection {
        let mut injection = Injection::default();
        for (rule, since) in &self.0 {
            let elapsed = now.saturating_since(*since);
            // Chance is drawn last, so that a rule that does not fit a call leaves the draws of others as they are.
            if rule.schedule.is_on(elapsed) && is_for(&rule.calls) && happens(rule.ratio, entropy) {
                injection.add(&rule.fault, entropy);
            }
        }
        injection
    }
}

impl Injection {
    /// Whether it leaves a call as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, fault: &Fault, entropy: &dyn Entropy) {
        match *fault {
            Fault::Delay(delay) => {
                let both = self.delay.as_std().saturating_add(delay.draw(entropy).as_std());
                self.delay = both.into();
            }
            Fault::Error(code) => self.end = self.end.or(Some(End::Error(code))),
            Fault::Abort => self.end = self.end.or(Some(End::Abort)),
            Fault::Hang => self.end = self.end.or(Some(End::Hang)),
            Fault::Slow(slow) => self.slow = self.slow.or(Some(slow)),
        }
    }
}

impl Delay {
    fn draw(self, entropy: &dyn Entropy) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::Spread(Spread { from, to }) => {
                let spread = to.as_std().saturating_sub(from.as_std());
                from.as_std().saturating_add(spread.mul_f64(unit(entropy))).into()
            }
        }
    }
}

impl End {
    /// The rejection that a caller is given. None if it is never given anything.
    const fn rejection(self) -> Option<Rejection> {
        match self {
            Self::Error(code) => Some(Rejection::Injected { code }),
            Self::Abort => Some(Rejection::Aborted),
            Self::Hang => None,
        }
    }
}

/// Whether a rule's `calls` mean a call with this label: they are equal, or end in `*` and the label begins with what is before that.
pub fn matches(calls: &str, label: &str) -> bool {
    calls.strip_suffix('*').map_or(calls == label, |prefix| label.starts_with(prefix))
}

//! Deadlines and timeouts: what is due is not begun, and what takes too long is given up.
//!
//! A deadline is a moment. It is worked out once, at the top, and only ever made earlier on the way down, so that no try and no hop has more time than the
//! whole. The [`Layer`] sets it for an operation with all its tries; the [`TryLayer`] gives each try its timeout, or what is left if that is less. What
//! goes to another process is what is left, [`Facts::rest_ms`], since clocks of two machines do not agree on moments.
//!
//! Three ends are told apart by what may have been done, and by what they say of the service: a call that was due already did nothing
//! ([`Rejection::DeadlinePassed`]); a try that had all its time may have been done, and was too slow ([`Rejection::TimedOut`]); one that was cut short by the
//! operation's deadline may have been done too, and was perhaps only asked too late ([`Rejection::GivenUp`]).
//!
//! Source: "Site Reliability Engineering", O'Reilly 2016, chapter 22, "Latency and Deadlines".

mod config;
mod future;
mod layer;
mod service;
#[cfg(test)]
mod tests;
mod timers;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

pub use config::Config;
pub use future::Future;
pub use layer::{Layer, TryLayer};
pub use service::Service;

use crate::call::Facts;
use crate::error::Rejection;
use crate::watch::Decision;

/// How long something may take. See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    scope: Scope,
    timeout: Duration,
    spared: Spared,
}

/// What may take so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An operation with all its tries and waits.
    Operation,
    /// One try of it.
    Try,
}

/// Which tries have all the time that is left, also if it is more than their timeout. A try that ends early leaves time for another; where there is no other, it leaves it for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spared {
    /// None.
    #[default]
    None,
    /// Those of calls that are not sent again.
    Single,
    /// All.
    All,
}

/// Until when a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// What those below are told: their deadline is `until`.
    pub facts: Facts,
    /// When it is given up.
    pub until: Instant,
    /// What it ends with then.
    pub then: Rejection,
}

impl Deadline {
    /// So long, for this.
    pub const fn new(scope: Scope, timeout: Duration) -> Self {
        Self { scope, timeout, spared: Spared::None }
    }

    /// The same, but for the tries that are spared.
    #[must_use]
    pub const fn sparing(self, spared: Spared) -> Self {
        Self { spared, ..self }
    }

    const fn spares(&self, facts: &Facts) -> bool {
        match self.spared {
            Spared::None => false,
            Spared::Single => !facts.is_idempotent,
            Spared::All => true,
        }
    }

    /// Begins a call. Errors: it is due already, so that it must not be begun.
    pub fn begin(&self, facts: Facts) -> Result<Bounds, Rejection> {
        if facts.is_due(facts.now) {
            return Err(Rejection::DeadlinePassed);
        }
        let own = facts.now.saturating_add(self.timeout);
        let has_all_its_time = facts.deadline.is_none_or(|deadline| own <= deadline);
        let until = match facts.deadline {
            Some(deadline) if !has_all_its_time || self.spares(&facts) => deadline,
            Some(_) | None => own,
        };
        let then = match self.scope {
            Scope::Try if has_all_its_time => {
                Rejection::TimedOut { limit: until.saturating_since(facts.now) }
            }
            Scope::Try | Scope::Operation => Rejection::GivenUp,
        };
        Ok(Bounds { facts: facts.due(until), until, then })
    }
}

/// What is decided with the end of a call.
const fn decision(then: Rejection) -> Decision {
    match then {
        Rejection::TimedOut { .. } => Decision::TimedOut,
        _ => Decision::GivenUp,
    }
}

impl Facts {
    /// Whether the answer is of no use any more.
    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// How long it is until the deadline: zero when it has passed, none when there is none.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_since(now))
    }

    /// The rest in whole milliseconds, to be sent to the next hop. Rounded down, so that the next hop never has more time than there is.
    pub fn rest_ms(&self, now: Instant) -> Option<u64> {
        self.rest(now).map(Duration::as_millis)
    }
}

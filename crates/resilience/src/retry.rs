//! Retries: what failed is tried again if that is safe, in time, and within a budget.
//!
//! A failure is tried again only if it says that this is safe, or the call may be done twice; only while the call has tries and time left, also for the try
//! itself; and only while the retries of everything that calls the same service are few beside its first tries. The waits between tries grow and are
//! spread by chance, so that those who failed together do not come back together.
//!
//! The budget is taken from when a retry is decided, and is given back if whoever waits for it goes away before it begins.
//!
//! Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015; "Site Reliability Engineering", O'Reilly 2016, chapter 21, "Handling
//! Overload".

mod backoff;
mod budget;
mod config;
mod future;
mod layer;
mod service;
#[cfg(test)]
mod tests;

use mainstay_base::error::Retry;
use mainstay_base::time::{Entropy, Instant};
use mainstay_base::units::Duration;

pub use budget::{Budget, Permit};
pub use config::{Allowance, Backoff, Config, Jitter};
pub use future::Future;
pub use layer::{Handle, Layer};
pub use service::Service;

use crate::call::Facts;
use crate::judge::Verdict;

/// The tries of one call. See the [module](self).
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    begun: Instant,
    /// How many there were.
    count: u32,
    /// How long was waited the last time, without what an answer asked for.
    waited: Option<Duration>,
}

/// What follows a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it did what it was asked, or it would fail in the same way, or it may have been done and must not be done twice.
    End,
    /// Nothing, although it would be safe: there are no tries left, or no time for another.
    Spent,
    /// Another one, at this moment, if the budget has one.
    Again {
        /// When.
        at: Instant,
    },
}

impl Tries {
    /// Begins a call with its first try.
    pub const fn new(begun: Instant) -> Self {
        Self { begun, count: 1, waited: None }
    }

    /// How many tries there were.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Tells how a try has ended. Returns what follows.
    pub fn tell(
        &mut self,
        config: &Config,
        (verdict, facts): (Verdict, &Facts),
        now: Instant,
        entropy: &dyn Entropy,
    ) -> Next {
        let after = match verdict {
            Verdict::Failure(Retry::Safe) => Duration::ZERO,
            Verdict::Failure(Retry::WithIdempotencyKey) if facts.is_idempotent => Duration::ZERO,
            Verdict::Failure(Retry::After(after)) => after,
            Verdict::Busy(after) if facts.is_idempotent => after,
            Verdict::Failure(Retry::WithIdempotencyKey | Retry::Never)
            | Verdict::Busy(_)
            | Verdict::Success
            | Verdict::Neutral => return Next::End,
        };
        if self.count >= config.attempts.get() {
            return Next::Spent;
        }
        let wait = backoff::wait(config, self.count, self.waited, entropy);
        // The spread comes on top of what was asked for: all that were rejected together were told the same.
        let whole = after.as_std().saturating_add(wait.as_std());
        let is_in_time =
            |at: &Instant| at.saturating_since(self.begun) <= config.elapsed && can_end(config, facts, *at);
        let Some(at) = now.checked_add(whole).filter(is_in_time) else { return Next::Spent };
        (self.count, self.waited) = (self.count + 1, Some(wait));
        Next::Again { at }
    }
}

/// Whether a retry that begins at this moment can end before the deadline.
fn can_end(config: &Config, facts: &Facts, at: Instant) -> bool {
    facts.rest(at).is_none_or(|rest| !rest.is_zero() && rest >= config.least)
}

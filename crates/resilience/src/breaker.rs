//! A breaker: what fails too often is left alone for a while, and then asked a little before it is asked in full.
//!
//! Closed it passes calls and counts how they end; open it rejects them; half-open it passes a few probes, whose success closes it and of which one failure
//! opens it again, for longer. It is named by what a switch does: a closed breaker passes.
//!
//! Every state has a number of its own, its era. What ends after its era is over says nothing, so that a late failure from before does not open what
//! probes have just closed.
//!
//! Source: Nygard, "Release It!", 2nd ed., chapter 5.

mod config;
mod layer;
mod quiet;
#[cfg(test)]
mod tests;
mod window;

use mainstay_base::time::{Entropy, Instant};
use mainstay_base::units::Duration;

pub use config::{Config, Slow, Window};
pub use layer::{Handle, Held, Layer, Service};

use crate::chance::longer;
use crate::judge::Verdict;
use crate::watch::Decision;
use window::{Tally, Totals};

/// The state of a breaker, and what it goes by. See the [module](self).
#[derive(Debug, Clone)]
pub struct Breaker {
    config: Config,
    state: Stage,
    /// How many states there were.
    era: u64,
    tally: Tally,
    /// Failures without a success between them.
    failures_in_a_row: u32,
    /// How long it was open the last time, and when it was closed after that.
    last: Option<(Duration, Option<Instant>)>,
    forced: Option<Forced>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Closed,
    Open { until: Instant },
    HalfOpen { running: u32, succeeded: u32 },
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It passes.
    Closed,
    /// It rejects.
    Open,
    /// It passes a few.
    HalfOpen,
}

/// What an operator has a breaker do, whatever it would do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// To pass everything.
    Closed,
    /// To reject everything.
    Open,
}

/// A call that was let through. Its end is told with [`Breaker::tell`], or that there is none with [`Breaker::abandon`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that is neither told nor abandoned takes the place of another"]
pub struct Permit {
    era: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(config: Config) -> Self {
        let tally = Tally::new(config.window);
        Self { config, state: Stage::Closed, era: 0, tally, failures_in_a_row: 0, last: None, forced: None }
    }

    /// What it does with calls.
    pub fn state(&self, now: Instant) -> State {
        match (self.forced, self.state) {
            (Some(Forced::Closed), _) | (None, Stage::Closed) => State::Closed,
            (Some(Forced::Open), _) => State::Open,
            (None, Stage::Open { until }) if now < until => State::Open,
            (None, Stage::Open { .. } | Stage::HalfOpen { .. }) => State::HalfOpen,
        }
    }

    /// Has it pass or reject everything, or act by itself again, from closed on.
    pub fn force(&mut self, forced: Option<Forced>) {
        self.forced = forced;
        self.last = None;
        self.enter(Stage::Closed);
    }

    /// Asks to let a call through. Returns what was decided if its state changes with it. Errors: how long to wait before it is asked again.
    pub fn ask(&mut self, now: Instant) -> (Result<Permit, Duration>, Option<Decision>) {
        match self.forced {
            Some(Forced::Closed) => return (Ok(self.permit()), None),
            Some(Forced::Open) => return (Err(self.config.open), None),
            None => {}
        }
        let mut change = None;
        if let Stage::Open { until } = self.state {
            if now < until {
                return (Err(until.saturating_since(now)), None);
            }
            self.enter(Stage::HalfOpen { running: 0, succeeded: 0 });
            change = Some(Decision::BreakerHalfOpened);
        }
        if let Stage::HalfOpen { running, succeeded } = &mut self.state {
            if *running + *succeeded >= self.config.probes {
                // Those that are running will tell.
                return (Err(self.config.open), change);
            }
            *running += 1;
        }
        (Ok(self.permit()), change)
    }

    /// Tells how a call has ended, and how long it took. Returns what was decided if its state changes with it.
    pub fn tell(
        &mut self,
        permit: Permit,
        (verdict, took): (Verdict, Duration),
        now: Instant,
        entropy: &dyn Entropy,
    ) -> Option<Decision> {
        if permit.era != self.era || self.forced.is_some() {
            return None;
        }
        let is_slow = self.config.slow.is_some_and(|slow| took >= slow.after);
        let Some(is_failure) = verdict.is_failure() else {
            self.abandon(permit);
            return None;
        };
        match &mut self.state {
            Stage::Closed => {
                self.failures_in_a_row =
                    if is_failure { self.failures_in_a_row.saturating_add(1) } else { 0 };
                self.tally.add(now, is_failure, is_slow);
                let is_too_much = (is_failure || is_slow) && self.is_too_much(now);
                is_too_much.then(|| self.open(now, entropy))
            }
            Stage::HalfOpen { .. } if is_failure || is_slow => Some(self.open(now, entropy)),
            Stage::HalfOpen { running, succeeded } => {
                (*running, *succeeded) = (running.saturating_sub(1), *succeeded + 1);
                if *succeeded < self.config.probes {
                    return None;
                }
                self.last = self.last.map(|(open, _)| (open, Some(now)));
                self.enter(Stage::Closed);
                Some(Decision::BreakerClosed)
            }
            Stage::Open { .. } => unreachable!("an open breaker gives no permits in its era"),
        }
    }

    /// Tells that a call has no end that says anything: whoever made it has gone away.
    pub fn abandon(&mut self, Permit { era }: Permit) {
        if let Stage::HalfOpen { running, .. } = &mut self.state
            && era == self.era
        {
            *running = running.saturating_sub(1);
        }
    }

    /// The era, if it passes all calls and goes by how they end.
    fn passing(&self) -> Option<u64> {
        (self.state == Stage::Closed && self.forced.is_none()).then_some(self.era)
    }

    /// Tells of calls that succeeded in the last step of the window, none of them slow, while it was closed.
    fn succeeded(&mut self, count: u32) {
        if count > 0 {
            self.failures_in_a_row = 0;
            self.tally.add_successes(count);
        }
    }

    const fn permit(&self) -> Permit {
        Permit { era: self.era }
    }

    fn is_too_much(&mut self, now: Instant) -> bool {
        let Config { consecutive, failure_ratio, slow, minimum, .. } = self.config;
        if consecutive.is_some_and(|limit| self.failures_in_a_row >= limit.get()) {
            return true;
        }
        let Totals { all, failed, slow: were_slow } = self.tally.totals(now);
        let reaches = |part: u32, ratio: f64| f64::from(part) >= ratio * f64::from(all);
        all >= minimum.get()
            && (failure_ratio.is_some_and(|ratio| failed > 0 && reaches(failed, ratio.get()))
                || slow.is_some_and(|slow| were_slow > 0 && reaches(were_slow, slow.ratio.get())))
    }

    fn open(&mut self, now: Instant, entropy: &dyn Entropy) -> Decision {
        let Config { open, jitter, .. } = self.config;
        // One that was not closed for as long as it had been open has hardly recovered.
        let is_again = |(last, closed): (Duration, Option<Instant>)| {
            closed.is_none_or(|closed| now.saturating_since(closed) < last).then_some(last)
        };
        let next = self
            .last
            .and_then(is_again)
            .map_or(open, |last| last.saturating_mul(2).min(self.config.open_max()));
        self.last = Some((next, None));
        let until = now.saturating_add(longer(next, jitter, entropy));
        self.enter(Stage::Open { until });
        Decision::BreakerOpened
    }

    fn enter(&mut self, state: Stage) {
        self.state = state;
        self.era += 1;
        self.tally.clear();
        self.failures_in_a_row = 0;
    }
}

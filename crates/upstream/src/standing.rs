//! What is thought of one endpoint: whether it takes calls, since when, and why not.

use std::net::SocketAddr;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::outliers::{self, Reason};

/// What is thought of an endpoint.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What active checks say, if there are any.
    checked: Option<Checked>,
    ejected: Option<Ejected>,
    /// How often it was taken out without a quiet while in between.
    ejections: u32,
    /// All of them.
    ejections_total: u64,
    unreachable: Option<Unreachable>,
    /// Calls to it have failed in a row: it may be dead, and is connected to from then on to know.
    doubt: Option<Instant>,
    /// Whoever described it has said that it is to go.
    is_leaving: bool,
    /// Since when it takes calls.
    fit_since: Option<Instant>,
}

/// What active checks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    /// None has ended.
    Unknown,
    /// So many in a row have said the other.
    Passing {
        against: u32,
    },
    Failing {
        against: u32,
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
struct Ejected {
    until: Instant,
    why: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Unreachable {
    /// When it is tried again whether it can be reached.
    again: Instant,
    times: u32,
    why: String,
}

/// How an endpoint is, for people and for choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes calls.
    Healthy,
    /// No check has ended yet.
    Unchecked,
    /// Checks fail.
    Failing,
    /// It was worse than the others.
    Ejected,
    /// Nothing listens there.
    Unreachable,
    /// It finishes what it has.
    Draining,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Unchecked, Self::Failing, Self::Ejected, Self::Unreachable, Self::Draining];

    /// The word, as the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unchecked => "unchecked",
            Self::Failing => "failing",
            Self::Ejected => "ejected",
            Self::Unreachable => "unreachable",
            Self::Draining => "draining",
        }
    }
}

/// For how long an endpoint is not connected to after it could not be: the first time, and at most.
const UNREACHABLE: Duration = Duration::from_secs(1);
const UNREACHABLE_MAX: Duration = Duration::from_secs(30);

impl Standing {
    /// That of an endpoint of which nothing is known yet.
    pub(crate) const fn new(has_checks: bool) -> Self {
        Self {
            checked: if has_checks { Some(Checked::Unknown) } else { None },
            ejected: None,
            ejections: 0,
            ejections_total: 0,
            unreachable: None,
            doubt: None,
            is_leaving: false,
            fit_since: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        match (&self.checked, &self.ejected) {
            _ if self.is_leaving => State::Draining,
            _ if self.unreachable.is_some() => State::Unreachable,
            (Some(Checked::Failing { .. }), _) => State::Failing,
            (_, Some(_)) => State::Ejected,
            (Some(Checked::Unknown), _) => State::Unchecked,
            (None | Some(Checked::Passing { .. }), None) => State::Healthy,
        }
    }

    /// Why it does not take calls, in words.
    pub(crate) fn why(&self) -> Option<String> {
        match (self.state(), &self.checked, &self.ejected, &self.unreachable) {
            (State::Unreachable, _, _, Some(unreachable)) => Some(unreachable.why.clone()),
            (State::Failing, Some(Checked::Failing { why, .. }), ..) => Some(why.clone()),
            (State::Ejected, _, Some(ejected), _) => Some(ejected.why.to_string()),
            _ => None,
        }
    }

    /// Checks are made from now on, or are not.
    pub(crate) fn check(&mut self, has_checks: bool) {
        match (&self.checked, has_checks) {
            (None, true) => self.checked = Some(Checked::Unknown),
            (Some(_), false) => self.checked = None,
            (None, false) | (Some(_), true) => {}
        }
    }

    /// A check has ended. So many in a row have to say the same before they are believed; the very first one is.
    pub(crate) fn checked(&mut self, result: Result<(), String>, healthy: u32, unhealthy: u32) {
        let Some(checked) = &mut self.checked else { return };
        *checked = match (std::mem::replace(checked, Checked::Unknown), result) {
            (Checked::Unknown | Checked::Passing { .. }, Ok(())) => Checked::Passing { against: 0 },
            (Checked::Unknown, Err(why)) => Checked::Failing { against: 0, why },
            (Checked::Passing { against }, Err(why)) if against + 1 >= unhealthy => {
                Checked::Failing { against: 0, why }
            }
            (Checked::Passing { against }, Err(_)) => Checked::Passing { against: against + 1 },
            (Checked::Failing { against, .. }, Ok(())) if against + 1 >= healthy => {
                Checked::Passing { against: 0 }
            }
            (Checked::Failing { against, why }, Ok(())) => Checked::Failing { against: against + 1, why },
            (Checked::Failing { .. }, Err(why)) => Checked::Failing { against: 0, why },
        };
    }

    /// It was worse than the others.
    pub(crate) fn eject(&mut self, why: Reason, config: &outliers::Config, now: Instant) {
        if self.ejected.is_some() {
            return;
        }
        self.ejections = self.ejections.saturating_add(1);
        self.ejections_total += 1;
        let until = now.saturating_add(config.eject_for(self.ejections));
        self.doubt = matches!(why, Reason::Failures(_)).then_some(now);
        self.ejected = Some(Ejected { until, why });
    }

    pub(crate) const fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// How often it was ejected.
    pub(crate) const fn ejections(&self) -> u64 {
        self.ejections_total
    }

    /// A while has passed in which it was as good as the others.
    pub(crate) const fn was_quiet(&mut self) {
        self.ejections = self.ejections.saturating_sub(1);
    }

    /// A call could not connect. Returns whether that is new.
    pub(crate) fn cannot_be_reached(&mut self, address: SocketAddr, why: &str, now: Instant) -> bool {
        let is_new = self.unreachable.is_none();
        if is_new {
            self.is_still_unreachable(address, why, now);
        }
        is_new
    }

    /// It was tried, and could not be connected to.
    pub(crate) fn is_still_unreachable(&mut self, address: SocketAddr, why: &str, now: Instant) {
        self.doubt = None;
        let times = self.unreachable.as_ref().map_or(0, |known| known.times).saturating_add(1);
        let doubled = UNREACHABLE.saturating_mul(1 << (times - 1).min(8)).min(UNREACHABLE_MAX);
        self.unreachable = Some(Unreachable {
            again: now.saturating_add(doubled),
            times,
            why: format!("cannot connect to {address}: {why}"),
        });
    }

    /// A connection could be made. Where none could before somebody else listens now, who is not to suffer for what calls ended with before.
    pub(crate) fn can_be_reached(&mut self) {
        self.doubt = None;
        if self.unreachable.take().is_some() {
            self.ejected = None;
        }
    }

    pub(crate) const fn is_unreachable(&self) -> bool {
        self.unreachable.is_some()
    }

    /// Whether it is to be tried now whether it can be reached again. Whoever asks does so, and has until a moment for it.
    pub(crate) fn is_to_be_tried(&mut self, now: Instant, until: Instant) -> bool {
        let doubt = self.doubt.as_mut().filter(|at| **at <= now);
        let unreachable = self.unreachable.as_mut().map(|known| &mut known.again).filter(|at| **at <= now);
        let due = doubt.into_iter().chain(unreachable);
        due.map(|at| *at = until).count() > 0
    }

    /// Whoever described it says whether it is to go.
    pub(crate) const fn leave(&mut self, is_leaving: bool) {
        self.is_leaving = is_leaving;
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// What time does to it: ejections end. Returns whether it takes calls.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        if self.ejected.as_ref().is_some_and(|ejected| ejected.until <= now) {
            self.ejected = None;
        }
        let is_fit = self.state() == State::Healthy;
        if is_fit {
            self.fit_since.get_or_insert(now);
        } else {
            self.fit_since = None;
        }
        is_fit
    }

    /// When time does something to it next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let ejected = self.ejected.as_ref().map(|ejected| ejected.until);
        let unreachable = self.unreachable.as_ref().map(|known| known.again);
        ejected.into_iter().chain(unreachable).chain(self.doubt).min()
    }

    /// Which share of its weight it has: what has begun to take calls has a tenth, and all of it after so long.
    pub(crate) fn ramp(&self, slow_start: Duration, now: Instant) -> f32 {
        const FIRST: f32 = 0.1;
        let Some(since) = self.fit_since.filter(|_| !slow_start.is_zero()) else { return 1.0 };
        let passed = now.saturating_since(since).as_nanos() as f32 / slow_start.as_nanos() as f32;
        passed.clamp(FIRST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn failed() -> Result<(), String> {
        Err("it answered 500".to_owned())
    }

    #[test]
    fn checks_are_believed_after_some_in_a_row_but_for_the_first() {
        let mut standing = Standing::new(true);
        assert_eq!(standing.state(), State::Unchecked);
        let mut then = |result: Result<(), String>, state| {
            standing.checked(result, 2, 3);
            assert_eq!(standing.state(), state);
        };
        then(failed(), State::Failing);
        then(Ok(()), State::Failing);
        then(failed(), State::Failing);
        then(Ok(()), State::Failing);
        then(Ok(()), State::Healthy);
        for _ in 0..2 {
            then(failed(), State::Healthy);
            then(failed(), State::Healthy);
            then(Ok(()), State::Healthy);
        }
        then(failed(), State::Healthy);
        then(failed(), State::Healthy);
        then(failed(), State::Failing);
        assert_eq!(standing.why().as_deref(), Some("it answered 500"));
        standing.check(false);
        assert_eq!(standing.state(), State::Healthy, "nobody checks any more");
    }

    #[test]
    fn ejections_end_by_themselves_and_are_longer_each_time() {
        let (mut standing, config) = (Standing::new(false), outliers::Config::default());
        assert!(standing.settle(at(0)));
        let tried = |standing: &mut Standing, second| standing.is_to_be_tried(at(second), at(9_999));
        standing.eject(Reason::Failures(5), &config, at(10));
        assert!(tried(&mut standing, 10));
        standing.eject(Reason::Failures(6), &config, at(20));
        assert_eq!((standing.state(), standing.due()), (State::Ejected, Some(at(40))));
        assert!(!standing.settle(at(39)) && standing.settle(at(40)));
        standing.eject(Reason::Failures(5), &config, at(50));
        assert!(tried(&mut standing, 50));
        assert_eq!(standing.due(), Some(at(110)), "twice as long");
        assert!(standing.settle(at(110)));
        standing.was_quiet();
        standing.was_quiet();
        standing.eject(Reason::Failures(5), &config, at(200));
        assert!(tried(&mut standing, 200));
        assert_eq!((standing.due(), standing.ejections()), (Some(at(230)), 3));
    }

    #[test]
    fn what_cannot_be_reached_is_tried_again_after_a_while_that_doubles() {
        let (mut standing, address) = (Standing::new(false), SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut now = at(100);
        standing.cannot_be_reached(address, "refused", now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            standing.cannot_be_reached(address, "refused", now);
            let (again, until) = (now.saturating_add(Duration::from_secs(seconds)), at(9_999));
            assert_eq!(standing.due(), Some(again));
            assert!(!standing.is_to_be_tried(now, until) && standing.is_to_be_tried(again, until));
            assert!(!standing.is_to_be_tried(again, until), "somebody tries");
            assert!(!standing.settle(again), "that time has passed makes it no better");
            now = again;
            standing.is_still_unreachable(address, "refused", now);
        }
        assert_eq!(standing.why().as_deref(), Some("cannot connect to 127.0.0.1:1: refused"));
        standing.can_be_reached();
        assert!(standing.settle(now));
    }

    #[test]
    fn who_fails_in_a_row_is_connected_to_at_once_and_is_somebody_else_after_it_could_not_be() {
        let (mut standing, address) = (Standing::new(false), SocketAddr::from(([127, 0, 0, 1], 1)));
        let eject = |standing: &mut Standing| {
            standing.eject(Reason::Failures(5), &outliers::Config::default(), at(100));
            let tried = [(); 2].map(|()| standing.is_to_be_tried(at(100), at(102)));
            assert_eq!(tried, [true, false], "once");
        };
        eject(&mut standing);
        standing.can_be_reached();
        assert_eq!(standing.state(), State::Ejected, "it is the same as before");
        assert!(standing.settle(at(130)));
        eject(&mut standing);
        standing.is_still_unreachable(address, "refused", at(101));
        assert_eq!(standing.state(), State::Unreachable);
        standing.can_be_reached();
        assert_eq!(standing.state(), State::Healthy);
    }

    #[test]
    fn who_has_begun_to_take_calls_gets_few_at_first() {
        let (mut standing, slow_start) = (Standing::new(false), Duration::from_secs(10));
        standing.settle(at(100));
        let ramp = |standing: &Standing, second| standing.ramp(slow_start, at(second));
        assert_eq!(
            [100, 101, 105, 110, 500].map(|second| ramp(&standing, second)),
            [0.1, 0.1, 0.5, 1.0, 1.0]
        );
        assert_eq!(standing.ramp(Duration::ZERO, at(100)), 1.0);
        // It begins anew after each time out.
        standing.leave(true);
        standing.settle(at(600));
        standing.leave(false);
        standing.settle(at(700));
        assert_eq!(ramp(&standing, 703), 0.3);
    }
}

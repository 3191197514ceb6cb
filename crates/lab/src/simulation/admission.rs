//! What a service does about calls, by the cores of policies.

use std::collections::HashMap;

use mainstay_base::error::{Classify as _, Retry};
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Verdict;
use mainstay_resilience::adaptive::{self, Adaptive};
use mainstay_resilience::breaker::{self, Breaker};
use mainstay_resilience::shed::{self, Shed};

use super::Random;
use super::service::{Admission, Try};

/// Lets so many calls run and wait at a time.
pub(crate) struct Fixed {
    most: u32,
    running: u32,
}

impl Fixed {
    pub(crate) const fn new(most: u32) -> Self {
        Self { most, running: 0 }
    }
}

impl Admission for Fixed {
    fn takes(&mut self, _: Instant, _: &Try, _: &Random) -> Result<(), Retry> {
        if self.running >= self.most {
            return Err(Retry::Safe);
        }
        self.running += 1;
        Ok(())
    }

    fn ended(&mut self, _: Instant, _: &Try, _: bool) {
        self.running -= 1;
    }
}

/// Learns how many calls may run and wait at a time.
pub(crate) struct Learned {
    core: Adaptive,
    permits: HashMap<u64, adaptive::Permit>,
    /// What the limit was, once a second.
    pub(crate) limits: Vec<u32>,
}

impl Learned {
    pub(crate) fn new(config: adaptive::Config) -> Self {
        Self { core: Adaptive::new(config), permits: HashMap::new(), limits: Vec::new() }
    }

    fn note(&mut self, now: Instant) {
        let second = (now.as_nanos() / 1_000_000_000) as usize;
        if self.limits.len() <= second {
            self.limits.resize(second + 1, self.core.limit());
        }
    }
}

impl Admission for Learned {
    fn takes(&mut self, now: Instant, of: &Try, _: &Random) -> Result<(), Retry> {
        self.note(now);
        let permit = self.core.ask(now).map_err(|_| Retry::Safe)?;
        self.permits.insert(of.serial, permit);
        Ok(())
    }

    fn ended(&mut self, now: Instant, of: &Try, is_ok: bool) {
        let Some(permit) = self.permits.remove(&of.serial) else { return };
        let verdict = if is_ok { Verdict::Success } else { Verdict::Failure(Retry::Safe) };
        self.core.tell(permit, verdict, now);
    }
}

/// A breaker before the service.
pub(crate) struct Breaking {
    core: Breaker,
    permits: HashMap<u64, breaker::Permit>,
    /// Of its own, so that what is drawn for calls does not depend on it.
    random: Random,
}

impl Breaking {
    pub(crate) fn new(config: breaker::Config) -> Self {
        Self { core: Breaker::new(config), permits: HashMap::new(), random: Random::new(0) }
    }

    fn tell(&mut self, now: Instant, of: &Try, is_ok: bool) {
        let Some(permit) = self.permits.remove(&of.serial) else { return };
        let verdict = if is_ok { Verdict::Success } else { Verdict::Failure(Retry::Safe) };
        let told = (verdict, now.saturating_since(of.sent));
        let _ = self.core.tell(permit, told, now, self.random.entropy());
    }
}

impl Admission for Breaking {
    fn takes(&mut self, now: Instant, of: &Try, _: &Random) -> Result<(), Retry> {
        let permit = self.core.ask(now).0.map_err(|_| Retry::Safe)?;
        self.permits.insert(of.serial, permit);
        Ok(())
    }

    fn ended(&mut self, now: Instant, of: &Try, is_ok: bool) {
        self.tell(now, of, is_ok);
    }

    fn timed_out(&mut self, now: Instant, of: &Try) {
        self.tell(now, of, false);
    }
}

/// Turns calls away by their class while those that are taken wait too long.
pub(crate) struct Shedding(Shed);

impl Shedding {
    pub(crate) fn new(config: shed::Config) -> Self {
        Self(Shed::new(config))
    }
}

impl Admission for Shedding {
    fn takes(&mut self, now: Instant, of: &Try, random: &Random) -> Result<(), Retry> {
        self.0.ask(of.class, now, random.entropy()).0.map_err(|rejection| rejection.retry())
    }

    fn begun(&mut self, now: Instant, waited: Duration) {
        let _ = self.0.began(waited, now);
    }
}

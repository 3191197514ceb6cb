//! Shedding: when not all can be served, the most critical are.
//!
//! Two signals tell that there is too much. Calls have waited too long, by CoDel's rule: also the one that waited least in an interval waited for the target or
//! longer. A burst makes some wait, a queue that stands makes all. Or too much is in use, by the same rule: also the least that was found in an interval.
//!
//! While it is too much, one step more is shed after each interval: a share of the lowest class that is not shed whole yet. After a calm time it is one step
//! less. What is neither too much nor calm changes nothing, and a step that was taken back too early is taken back later the next time, so that a steady load
//! is not met by a level that goes up and down; as long as it stays calm, each further step is taken back sooner. A class is shed only when all below it are shed whole; of [`Criticality::CriticalPlus`] never more than its own
//! share is, by default half: who is shed whole sees an outage, and what is behind this has limits of its own.
//!
//! It sees no queue by itself: what has one tells its [`Handle`], as a bulkhead or an adaptive limit does that has been given it.
//!
//! Sources: RFC 8289 (CoDel); Nichols, Jacobson, "Controlling Queue Delay", ACM Queue 2012; Zhou et al., "Overload Control for Scaling WeChat Microservices",
//! SoCC 2018.

mod config;
mod layer;
mod service;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use mainstay_base::time::{Entropy, Instant};
use mainstay_base::units::{Duration, Ratio};

pub use config::Config;
pub use layer::{Handle, Layer};
pub use service::Service;

use crate::call::Criticality;
use crate::chance::{happens, longer};
use crate::error::Rejection;
use crate::watch::Decision;

/// What the least delay of an interval is of that of the one before, at most, if it falls.
const FALLING: f64 = 0.95;

/// How much is shed, and what that goes by. See the [module](self).
#[derive(Debug, Clone)]
pub struct Shed {
    config: Config,
    /// How many steps are shed, those of the lowest class first.
    level: u32,
    /// The interval that is going on; none before the first event.
    began: Option<Instant>,
    seen: Seen,
    /// The least delay of the interval before; none if none was seen.
    delay_before: Option<Duration>,
    /// For how long it has been calm.
    calm: Duration,
    /// For how long it has to be calm until a step less is shed: at first, and by now.
    careful: Duration,
    wanted: Duration,
    /// When a step less was shed, if none more was since.
    lowered: Option<Instant>,
}

/// The least that was seen in an interval.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    delay: Option<Duration>,
    utilisation: Option<Ratio>,
}

/// What an interval was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Calm,
    Between,
    TooMuch,
}

impl Shed {
    /// One that sheds nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            level: 0,
            began: None,
            seen: Seen::default(),
            delay_before: None,
            calm: Duration::ZERO,
            careful: config.calm,
            wanted: config.calm,
            lowered: None,
        }
    }

    /// Which share of a class is shed.
    pub fn share(&self, criticality: Criticality) -> Ratio {
        let steps = self.config.steps.get();
        let of_class = self.level.saturating_sub(criticality as u32 * steps).min(steps);
        let share = Ratio::new(f64::from(of_class) / f64::from(steps)).expect("it is a part of the steps");
        if criticality == Criticality::CriticalPlus { share.min(self.config.critical_plus) } else { share }
    }

    /// Asks to let a call through. Returns what was decided if the level changes with the time. Errors: it is shed.
    pub fn ask(
        &mut self,
        criticality: Criticality,
        now: Instant,
        entropy: &dyn Entropy,
    ) -> (Result<(), Rejection>, Option<Decision>) {
        let change = self.pass(now);
        let share = self.share(criticality);
        // By chance, so that the rhythm of nobody's calls decides who is shed.
        if !happens(share, entropy) {
            return (Ok(()), change);
        }
        let Config { retry_after, jitter, .. } = self.config;
        let after = longer(retry_after, jitter, entropy);
        (Err(Rejection::Shed { criticality, after }), change)
    }

    /// Tells that a call has begun after it had waited so long, also if that is no time. Returns what was decided if the level changes.
    pub fn began(&mut self, delay: Duration, now: Instant) -> Option<Decision> {
        let change = self.pass(now);
        self.seen.delay = Some(self.seen.delay.map_or(delay, |least| least.min(delay)));
        change
    }

    /// Tells that a call has gone away or was turned away after it had waited so long. It would have waited longer, so that a short time says nothing. Returns
    /// what was decided if the level changes.
    pub fn gave_up(&mut self, delay: Duration, now: Instant) -> Option<Decision> {
        let is_long = self.config.target.on().is_some_and(|target| delay >= *target);
        if is_long { self.began(delay, now) } else { self.pass(now) }
    }

    /// Tells how much a call has found to be in use. Returns what was decided if the level changes.
    pub fn utilised(&mut self, utilisation: Ratio, now: Instant) -> Option<Decision> {
        let change = self.pass(now);
        self.seen.utilisation =
            Some(self.seen.utilisation.map_or(utilisation, |least| least.min(utilisation)));
        change
    }

    /// Judges the interval if it is over. Those after it in which nothing was seen were calm.
    fn pass(&mut self, now: Instant) -> Option<Decision> {
        let interval = self.config.interval;
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_since(began);
        if passed < interval {
            return None;
        }
        let interval_ns = interval.as_std().as_nanos().max(1);
        let count = u64::try_from(passed.as_std().as_nanos() / interval_ns).unwrap_or(u64::MAX);
        let whole = |count: u64| interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        self.began = Some(began.checked_add(whole(count)).unwrap_or(now));
        let before = self.level;
        let seen = std::mem::take(&mut self.seen);
        let delay_before = std::mem::replace(&mut self.delay_before, seen.delay.filter(|_| count == 1));
        let calm = match seen.load(delay_before, &self.config) {
            Load::Calm => self.calm.as_std().saturating_add(whole(count).as_std()).into(),
            Load::Between => whole(count - 1),
            Load::TooMuch => {
                self.raise(now);
                whole(count - 1)
            }
        };
        self.calm = calm;
        self.lower(now);
        match self.level.cmp(&before) {
            Ordering::Greater => Some(Decision::SheddingRaised),
            Ordering::Less => Some(Decision::SheddingLowered),
            Ordering::Equal => None,
        }
    }

    fn raise(&mut self, now: Instant) {
        let Config { calm, calm_max, .. } = self.config;
        if self.level >= self.config.levels() {
            return;
        }
        self.level += 1;
        if let Some(lowered) = self.lowered.take() {
            let is_early = now.saturating_since(lowered) < self.careful;
            self.careful = if is_early { self.careful.saturating_mul(2).min(calm_max) } else { calm };
        }
        self.wanted = self.careful;
    }

    fn lower(&mut self, now: Instant) {
        while self.level > 0 && self.calm >= self.wanted {
            self.calm = self.calm.as_std().saturating_sub(self.wanted.as_std()).into();
            self.level -= 1;
            self.lowered = Some(now);
            // As long as it stays calm, each further step is taken back sooner.
            self.wanted = half(self.wanted).max(self.config.interval);
        }
    }
}

impl Seen {
    fn load(self, delay_before: Option<Duration>, config: &Config) -> Load {
        let Config { target, utilisation, calm_ratio, .. } = *config;
        let load = |part: f64| match part {
            _ if part >= 1.0 => Load::TooMuch,
            _ if part < calm_ratio.get() => Load::Calm,
            _ => Load::Between,
        };
        let of = |seen: Option<f64>, limit: Option<f64>| {
            seen.zip(limit).map_or(Load::Calm, |(seen, limit)| load(seen / limit))
        };
        // A queue that is being worked off is long for a while when enough is shed already.
        let falls =
            self.delay.zip(delay_before).is_some_and(|(now, before)| secs(now) <= FALLING * secs(before));
        let by_delay = match of(self.delay.map(secs), target.on().copied().map(secs)) {
            Load::TooMuch if falls => Load::Between,
            load => load,
        };
        let by_utilisation = of(self.utilisation.map(Ratio::get), utilisation.on().copied().map(Ratio::get));
        match (by_delay, by_utilisation) {
            (Load::TooMuch, _) | (_, Load::TooMuch) => Load::TooMuch,
            (Load::Calm, Load::Calm) => Load::Calm,
            (Load::Between, _) | (_, Load::Between) => Load::Between,
        }
    }
}

fn secs(duration: Duration) -> f64 {
    duration.as_std().as_secs_f64()
}

fn half(duration: Duration) -> Duration {
    (duration.as_std() / 2).into()
}

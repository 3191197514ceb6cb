//! What is too much, and how much is shed then.

use std::num::NonZeroU32;

use mainstay_base::switch::Switch;
use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is too much, and how much is shed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// It is too much when no call of an interval waited for less; never by that if it is `false`. By default 5ms, as RFC 8289 has it: a twentieth of an interval.
    /// With 50ms more critical calls are lost (`mainstay lab run defaults`).
    pub target: Switch<Duration>,
    /// How long calls are looked at before a step more is shed, from 1ms. By default 100ms, as RFC 8289 has it: longer than a call usually takes, so that what
    /// a step does is seen before the next. With 50ms it sheds too much, and with 200ms too late (`mainstay lab run defaults`).
    pub interval: Duration,
    /// It is too much when no call of an interval found less to be in use, above 0; never by that if it is `false`. By default 0.95: what is left is for bursts of
    /// those that are more critical.
    pub utilisation: Switch<Ratio>,
    /// It is calm while both are below this share of what is too much; between the two nothing changes. By default 0.8: a step less of one class is about that
    /// much.
    pub calm_ratio: Ratio,
    /// How long it has to be calm until a step less is shed, and half as long for each further one while it stays calm; not below `interval`. By default 500ms: five
    /// times as careful as on the way up. With 2s bursts shed calls long after they are over (`mainstay lab run defaults`).
    pub calm: Duration,
    /// How long it has to be calm at most. Each time that a step more is shed that soon after a step less was, the calm has to last twice as long. By default
    /// 1s: longer, and those that were shed last come back long after an overload (`mainstay lab run defaults`).
    pub calm_max: Duration,
    /// In how many steps a class is shed, from 1, which sheds classes as a whole, to 100. By default 8: an eighth of a class at a time, and a whole one in
    /// 800ms. With 4 a steady overload loses some of the critical calls, and 20 take seconds, in which more of them are lost (`mainstay lab run defaults`).
    pub steps: NonZeroU32,
    /// Which share of `critical_plus` is shed at most. By default 0.5: who is shed whole sees an outage.
    pub critical_plus: Ratio,
    /// When those that are shed are told to try again at the earliest. By default 2s: longer than a burst.
    pub retry_after: Duration,
    /// Adds up to this share to the time after which to try again, by chance, so that not all come back at once. By default 1: in protocols that know only
    /// whole seconds a smaller one would be none.
    pub jitter: Ratio,
}

impl Config {
    /// The most steps of a class.
    pub const STEPS_MAX: u32 = 100;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.target.on().is_none() && self.utilisation.on().is_none() {
            return Err("never sheds: give it `target` or `utilisation`, or leave it out".to_owned());
        }
        if self.target.on().is_some_and(|it| it.is_zero()) || self.utilisation == Switch::On(Ratio::ZERO) {
            return Err(
                "has a `target` or `utilisation` of 0, so that it is always too much: make it more, or `false`"
                    .to_owned(),
            );
        }
        if self.calm_ratio == Ratio::ZERO {
            return Err(
                "has a `calm_ratio` of 0, so that it is never calm: make it more, such as 0.8".to_owned()
            );
        }
        if self.interval < Duration::from_millis(1) {
            return Err(format!(
                "has an `interval` of {}, below 1ms, the least there is: make it longer",
                self.interval
            ));
        }
        if self.calm < self.interval {
            return Err(format!(
                "has a `calm` of {}, below `interval`, {}: make it longer, such as 1s",
                self.calm, self.interval
            ));
        }
        if self.calm_max < self.calm {
            return Err(format!(
                "has a `calm_max` of {}, below `calm`, {}: make it longer",
                self.calm_max, self.calm
            ));
        }
        if self.steps.get() > Self::STEPS_MAX {
            return Err(format!(
                "has {} `steps`, and there are at most {}: make them fewer",
                self.steps,
                Self::STEPS_MAX
            ));
        }
        if self.retry_after.is_zero() {
            return Err("has a `retry_after` of no time, so that those that are shed come back at once: make it longer, such as 2s".to_owned());
        }
        Ok(())
    }

    /// How many steps there are, of all classes together.
    pub(super) fn levels(&self) -> u32 {
        let steps = self.steps.get();
        let of_critical_plus = (self.critical_plus.get() * f64::from(steps)).ceil() as u32;
        3 * steps + of_critical_plus
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Switch::On(Duration::from_millis(5)),
            interval: Duration::from_millis(100),
            utilisation: Switch::On(Ratio::new(0.95).expect("it is a ratio")),
            calm_ratio: Ratio::new(0.8).expect("it is a ratio"),
            calm: Duration::from_millis(500),
            calm_max: Duration::from_secs(1),
            steps: NonZeroU32::new(8).expect("it is above zero"),
            critical_plus: Ratio::new(0.5).expect("it is a ratio"),
            retry_after: Duration::from_secs(2),
            jitter: Ratio::ONE,
        }
    }
}

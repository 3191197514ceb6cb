//! When there is a second try, and how often at most.

use std::num::NonZeroU32;

use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When there is a second try, and how often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The share of calls that are quicker than the second try begins; above 0 and below 1. By default 0.95: one call in twenty is asked for twice. Earlier
    /// costs more calls for hardly a shorter tail, and later leaves calls slow that stall by chance (`mainstay lab run defaults`).
    pub percentile: Ratio,
    /// The share of the calls in the window that second tries may be at most, above 0. By default 0.1: twice of what the percentile has while all is as it was.
    /// Less leaves slow ones without, and more helps nobody and is spent when the service is slow as a whole (`mainstay lab run defaults`).
    pub budget: Ratio,
    /// How long calls count for the budget; what is known of latencies counts half after each. From 10ms up. By default 30s: with 10s a client of
    /// five calls in a second never knows enough, and with 1m a slow phase is remembered for two minutes (`mainstay lab run defaults`).
    pub window: Duration,
    /// With fewer latencies than this there is no second try. By default 100: with fewer the delay is a guess and costs
    /// twice as many second tries at first, and with 300 a client of few calls has none in its first minute (`mainstay lab run defaults`).
    pub minimum: NonZeroU32,
    /// There is no second try earlier than this. By default 1ms: timers tell no less apart.
    pub delay_min: Duration,
    /// There is no second try that is later than this, from `delay_min` up: a slower service has its second try then. By default 5s: whoever waits
    /// goes away soon after it.
    pub delay_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            percentile: Ratio::new(0.95).expect("it is a ratio"),
            budget: Ratio::new(0.1).expect("it is a ratio"),
            window: Duration::from_secs(30),
            minimum: NonZeroU32::new(100).expect("it is above zero"),
            delay_min: Duration::from_millis(1),
            delay_max: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.percentile == Ratio::ZERO || self.percentile == Ratio::ONE {
            return Err(format!(
                "has a `percentile` of {}: make it above 0 and below 1, such as 0.95",
                self.percentile.get()
            ));
        }
        if self.budget == Ratio::ZERO {
            return Err(
                "has a `budget` that never has a second try: make it above 0, or leave hedges out".to_owned()
            );
        }
        if self.window < Duration::from_millis(10) {
            return Err(format!(
                "has a `window` of {}, below 10ms, the least there is: make it longer",
                self.window
            ));
        }
        if self.delay_max < self.delay_min {
            return Err(format!(
                "has a `delay_max` of {}, below `delay_min`, {}: make it longer",
                self.delay_max, self.delay_min
            ));
        }
        Ok(())
    }
}

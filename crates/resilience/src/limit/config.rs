//! How much a caller may send.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WINDOWS_MAX;
use super::rate::{Per, Rate};

/// How much a caller may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many units a caller may send in the long run, such as `50/s`, `10/m`, `1000/h` or `5/d`: at most a million in a second. A call is one unit unless
    /// it is said what it costs. By default 100/s: people and pages stay far below it, and a loop that ran away does not.
    pub rate: Rate,
    /// How many units it may send at once when it was still before; as many as come back in the whole time of the rate if it is not said. It takes at most 366
    /// days to come back.
    pub burst: Option<NonZeroU32>,
    /// More windows, of which all have to admit a call as well: at most 3. None by default.
    pub and: Vec<Window>,
    /// How many callers are counted each alone at a time, from 1 to 10,000,000; when more of them have units to come back, the new ones among them share. Each takes
    /// less than 128 bytes while it is known. By default 65,536: some megabytes at worst.
    pub keys_max: u32,
}

/// A rate with its burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How many units a caller may send in the long run, such as `1000/h`.
    pub rate: Rate,
    /// How many units it may send at once when it was still before; as many as come back in the whole time of the rate if it is not said.
    #[serde(default)]
    pub burst: Option<NonZeroU32>,
}

impl Window {
    /// How many units may be sent at once.
    pub fn burst(&self) -> NonZeroU32 {
        self.burst.unwrap_or(self.rate.count())
    }

    fn check(&self) -> Result<(), String> {
        let most = Rate::new(Config::PER_SECOND_MAX, Per::Second);
        if !self.rate.is_at_most(most) {
            return Err(format!("has a `rate` of {}, and the highest is {most}: make it lower", self.rate));
        }
        let unit_ns = self.rate.per().nanos().div_ceil(self.rate.count().get().into());
        let whole_ns = u128::from(unit_ns) * u128::from(self.burst().get());
        if whole_ns > Config::BURST_TIME_MAX.as_std().as_nanos() {
            return Err(format!(
                "has a `burst` of {}, which takes more than {} to come back at {}: make it smaller",
                self.burst(),
                Config::BURST_TIME_MAX,
                self.rate
            ));
        }
        Ok(())
    }

    /// Whether it admits whatever the other one does.
    fn is_within(&self, other: &Self) -> bool {
        other.rate.is_at_most(self.rate) && other.burst() <= self.burst()
    }
}

impl Default for Config {
    fn default() -> Self {
        let count = NonZeroU32::new(100).expect("it is above zero");
        Self { rate: Rate::new(count, Per::Second), burst: None, and: Vec::new(), keys_max: 65_536 }
    }
}

impl Config {
    /// The most callers that can be counted.
    pub const KEYS_MAX: u32 = 10_000_000;
    /// The highest rate. A unit takes up to a nanosecond more to come back than the rate says: less than a thousandth at this one.
    pub const PER_SECOND_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).expect("it is above zero");
    /// The longest that a burst may take to come back.
    pub const BURST_TIME_MAX: Duration = Duration::from_secs(366 * 86_400);

    /// All windows.
    pub fn windows(&self) -> impl Iterator<Item = Window> {
        let first = Window { rate: self.rate, burst: self.burst };
        std::iter::once(first).chain(self.and.iter().copied())
    }

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.keys_max == 0 || self.keys_max > Self::KEYS_MAX {
            return Err(format!(
                "has `keys_max` of {}: make them from 1 to {}",
                self.keys_max,
                Self::KEYS_MAX
            ));
        }
        if self.and.len() >= WINDOWS_MAX {
            return Err(format!(
                "has {} windows, and there are at most {WINDOWS_MAX}: leave the least important out",
                self.and.len() + 1
            ));
        }
        let windows: Vec<Window> = self.windows().collect();
        for (place, window) in windows.iter().enumerate() {
            window.check()?;
            let others = windows.iter().enumerate().filter(|(other, _)| *other != place);
            if let Some((_, other)) = others.into_iter().find(|(_, other)| window.is_within(other)) {
                return Err(format!(
                    "has a window of {} with a burst of {}, which admits all that {} with a burst of {} does: leave it out",
                    window.rate,
                    window.burst(),
                    other.rate,
                    other.burst()
                ));
            }
        }
        Ok(())
    }
}

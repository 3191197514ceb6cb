//! When a breaker opens, and for how long.

use std::num::NonZeroU32;

use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Opens after so many failures without a success between them; never by that if it is not said. It sees a dead service sooner than a ratio does, and a
    /// flaky one hardly.
    pub consecutive: Option<NonZeroU32>,
    /// Opens when this share of the calls in the window have failed; never by that if it is null. By default 0.5: retries make up for fewer.
    /// With 0.3 it opens when 30 % fail, and with 0.8 stays closed when 60 % do (`mainstay lab run defaults`).
    pub failure_ratio: Option<Ratio>,
    /// Opens when calls are slow too often; never by that if it is not said.
    pub slow: Option<Slow>,
    /// What ratios are of: the calls that ended in the last while, such as `10s`, or the last so many, such as `100`. By default 10s: with 2s few
    /// calls never open it, and with 20s it takes ten seconds to see that all fail (`mainstay lab run defaults`).
    pub window: Window,
    /// Ratios of fewer calls than this say nothing. By default 20: with 5 a few failures by chance open it, with 50 a client of
    /// three calls in a second never has enough (`mainstay lab run defaults`).
    pub minimum: NonZeroU32,
    /// How long it is open the first time. By default 1s: a few probes a second do no harm, and recovery is seen at once. With 300ms it
    /// is closed too often while most calls fail, and with 3s calls are lost long after an outage (`mainstay lab run defaults`).
    pub open: Duration,
    /// How long it is open at most. Each time that it opens again before it was closed for as long as it was open, it is open twice as long. By default three times
    /// `open`: where services call each other in a row, probes of one breaker have to pass those before it, and with longer times such a row recovers much later than
    /// what had failed (`mainstay lab run cascade`, `mainstay lab run defaults`).
    pub open_max: Option<Duration>,
    /// Adds up to this share to the time that it is open, by chance, so that the breakers of many callers do not probe at once. By default 0.2.
    pub jitter: Ratio,
    /// How many calls are let through to probe, at a time and in all; it closes when all have succeeded. By default 3:
    /// fewer succeed by chance while most calls fail (`mainstay lab run defaults`).
    pub probes: u32,
}

/// When slow calls open a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// A call that takes this long is slow, also if it succeeds.
    pub after: Duration,
    /// The share of the calls in the window that have to be.
    pub ratio: Ratio,
}

/// What ratios are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Window {
    /// The last so many calls: at most 10,000.
    Calls(NonZeroU32),
    /// The calls that ended in the last while, in steps of a tenth of it.
    Time(Duration),
}

impl Window {
    /// The most calls of a window.
    pub const CALLS_MAX: u32 = 10_000;
}

impl Default for Config {
    fn default() -> Self {
        let some = |count| NonZeroU32::new(count).expect("it is above zero");
        Self {
            consecutive: None,
            failure_ratio: Some(Ratio::new(0.5).expect("it is a ratio")),
            slow: None,
            window: Window::Time(Duration::from_secs(10)),
            minimum: some(20),
            open: Duration::from_secs(1),
            open_max: None,
            jitter: Ratio::new(0.2).expect("it is a ratio"),
            probes: 3,
        }
    }
}

impl Config {
    /// How long it is open at most.
    pub(super) fn open_max(&self) -> Duration {
        self.open_max.unwrap_or_else(|| self.open.saturating_mul(3))
    }

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.consecutive.is_none() && self.failure_ratio.is_none() && self.slow.is_none() {
            return Err(
                "never opens: give it `consecutive`, `failure_ratio` or `slow`, or leave it out".to_owned()
            );
        }
        if self.probes == 0 {
            return Err("has no `probes`, so that it would never close: make them 1 or more".to_owned());
        }
        if self.slow.is_some_and(|slow| slow.after.is_zero()) {
            return Err(
                "has a `slow.after` of no time, so that every call is slow: make it longer".to_owned()
            );
        }
        if self.open.is_zero() {
            return Err("has an `open` of no time: make it longer, such as 5s".to_owned());
        }
        if let Some(open_max) = self.open_max.filter(|open_max| *open_max < self.open) {
            return Err(format!(
                "has an `open_max` of {open_max}, below `open`, {}: make it longer",
                self.open
            ));
        }
        match self.window {
            Window::Calls(calls) if calls.get() > Window::CALLS_MAX => Err(format!(
                "has a `window` of {calls} calls, and there are at most {}: make it smaller, or a time",
                Window::CALLS_MAX
            )),
            Window::Calls(calls) if calls < self.minimum => Err(format!(
                "has a `window` of {calls} calls, which never has its `minimum` of {}: make one of them fit",
                self.minimum
            )),
            Window::Time(time) if time < Duration::from_millis(10) => {
                Err(format!("has a `window` of {time}, below 10ms, the least there is: make it longer"))
            }
            Window::Calls(_) | Window::Time(_) => Ok(()),
        }
    }
}

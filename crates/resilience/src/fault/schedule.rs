//! When a rule acts.

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a rule acts, in times since it was installed. Always by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Not before this. By default 0s: at once.
    pub from: Duration,
    /// Not from this on; for as long as it is installed if it is not said. It is after `from`.
    pub until: Option<Duration>,
    /// Again and again: each time that so much has passed since `from`, it acts `for` a while; all the time if it is not said.
    pub every: Option<Duration>,
    /// How long it acts each time, above zero and below `every`, with which it goes.
    #[serde(rename = "for")]
    pub lasts: Option<Duration>,
}

impl Schedule {
    /// Whether it acts after so much time. Each period holds its beginning and not its end.
    pub fn is_on(&self, elapsed: Duration) -> bool {
        if elapsed < self.from || self.until.is_some_and(|until| elapsed >= until) {
            return false;
        }
        let (Some(every), Some(lasts)) = (self.every, self.lasts) else { return true };
        let since_ns = elapsed.as_std().as_nanos() - self.from.as_std().as_nanos();
        since_ns.checked_rem(every.as_std().as_nanos()).is_none_or(|phase| phase < lasts.as_std().as_nanos())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(until) = self.until.filter(|until| *until <= self.from) {
            return Err(format!("has an `until` of {until}, not after `from`, {}: make it later", self.from));
        }
        match (self.every, self.lasts) {
            (None, None) => Ok(()),
            (Some(every), None) => Err(format!(
                "acts `every` {every} and does not say `for` how long: say it, such as `for: 1s`"
            )),
            (None, Some(lasts)) => Err(format!(
                "acts `for` {lasts} and does not say how often: say `every`, or `until` if it is only once"
            )),
            (Some(_), Some(lasts)) if lasts.is_zero() => {
                Err("acts `for` no time: make it longer, such as 1s".to_owned())
            }
            (Some(every), Some(lasts)) if lasts >= every => Err(format!(
                "acts `for` {lasts} `every` {every}, which is always: leave both out, or make `for` shorter"
            )),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

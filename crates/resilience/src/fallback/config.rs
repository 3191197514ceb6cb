//! When a ladder begins lower, and when higher again.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a ladder begins lower, and when higher again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Begins one step lower after so many failures or rejections of a step without a success between them. By default 10: with 5 a busy service of
    /// which 30 % fail is not asked for two fifths of the rest, and with 50 an outage is waited for (`mainstay lab run defaults`).
    pub failures: NonZeroU32,
    /// Begins with a step again after so many successes of its probes without a failure between them. By default 3: one alone may be
    /// chance, and with 5 all is well seconds later (`mainstay lab run defaults`).
    pub successes: NonZeroU32,
    /// How long after the end of a probe the next one begins, above zero. A probe takes the time of the step that it tries besides its own. By default 1s: with the other
    /// defaults, a service that has recovered is called in full again some seconds later; with 200ms many more wait for one that has not (`mainstay lab run defaults`).
    pub probe_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let some = |count| NonZeroU32::new(count).expect("it is above zero");
        Self { failures: some(10), successes: some(3), probe_every: Duration::from_secs(1) }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.probe_every.is_zero() {
            return Err(
                "has a `probe_every` of no time, so that it would probe without a pause: make it longer, such as 1s"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

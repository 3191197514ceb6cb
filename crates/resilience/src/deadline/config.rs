//! How long an operation and each of its tries may take.

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long an operation and each of its tries may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an operation may take, with all its tries and waits; less if its caller says so. From 1ms up. By default 30s: people have gone away by then.
    pub timeout: Duration,
    /// How long each try may take, at most `timeout`. By default 10s: what hangs leaves time for another try.
    pub try_timeout: Duration,
}

impl Config {
    /// The shortest timeout: timers tell no less apart.
    const TIMEOUT_MIN: Duration = Duration::from_millis(1);
}

impl Default for Config {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), try_timeout: Duration::from_secs(10) }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        for (name, timeout) in [("timeout", self.timeout), ("try_timeout", self.try_timeout)] {
            if timeout < Self::TIMEOUT_MIN {
                return Err(format!(
                    "has a `{name}` of {timeout}, below {}, the least there is: make it longer",
                    Self::TIMEOUT_MIN
                ));
            }
        }
        if self.try_timeout > self.timeout {
            return Err(format!(
                "has a `try_timeout` of {}, above `timeout`, {}, so that no try has it: make it shorter",
                self.try_timeout, self.timeout
            ));
        }
        Ok(())
    }
}

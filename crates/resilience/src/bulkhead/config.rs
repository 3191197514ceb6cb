//! How many calls run, and how many wait for how long.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many calls run, and how many wait for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many calls run at a time, from 1 to 1,000,000. By default 256: 2,560 in a second if each takes 100ms, which bears bursts of a service with a
    /// thousand, and half of what a process of 512 requests has, so that the others go on while it hangs (`mainstay lab run defaults`).
    pub concurrent: NonZeroU32,
    /// How many calls wait at a time, of all callers together: at most 65,536; none if it is 0. By default 64: without a queue a
    /// caller that floods takes the others' turns, and with 256 waiting calls are what fills the process (`mainstay lab run defaults`).
    pub queue: u32,
    /// How long a call waits at most; never past its deadline. By default 100ms: 1ms ends before the turn of a caller
    /// beside one that floods, and longer waits are in vain when the service hangs (`mainstay lab run defaults`).
    pub max_wait: Duration,
}

impl Config {
    /// The most that may run at a time.
    pub const CONCURRENT_MAX: u32 = 1_000_000;

    /// The most that may wait.
    pub const QUEUE_MAX: u32 = 65_536;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.concurrent.get() > Self::CONCURRENT_MAX {
            return Err(format!(
                "has {} `concurrent` calls, and there are at most {}: make it smaller, or switch the bulkhead off with `false`",
                self.concurrent,
                Self::CONCURRENT_MAX
            ));
        }
        if self.queue > Self::QUEUE_MAX {
            return Err(format!(
                "has a `queue` of {}, and there are at most {}: make it smaller",
                self.queue,
                Self::QUEUE_MAX
            ));
        }
        if self.queue > 0 && self.max_wait.is_zero() {
            return Err(
                "has a `queue` and a `max_wait` of no time, so that nothing would ever wait: make `max_wait` longer, such as 100ms, or `queue` 0"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrent: NonZeroU32::new(256).expect("it is above zero"),
            queue: 64,
            max_wait: Duration::from_millis(100),
        }
    }
}

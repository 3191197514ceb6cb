//! Connections to endpoints, in the configuration.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connections to endpoints: how many there may be, what waits for one, and for how long one is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// How many there may be to each endpoint, of all cores together, from 1 to 65,536. A call for which there is none waits, and takes the first that is free at any endpoint. By default as many as calls run: `bulkhead.concurrent` of the policy bounds those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_536))]
    pub max: Option<NonZeroU32>,
    /// With `max`: how many calls wait at a time, of all callers together, who take turns; at most 65,536. By default 64, as in a bulkhead.
    #[schemars(range(max = 65_536))]
    pub queue: u32,
    /// With `max`: how long a call waits at most; never past its deadline. By default 100ms, as in a bulkhead.
    pub max_wait: Duration,
    /// Over HTTP/2: how many calls share a connection before another one is opened, from 1 to 65,536. By default 100, which servers are recommended to take (RFC 9113, section 6.5.2).
    #[schemars(range(max = 65_536))]
    pub streams: NonZeroU32,
    /// After how long a connection carries no more calls, from 1s, less up to a tenth by chance; those that it has go on. By default 1h: what decides where connections lead, such as a balancer before the endpoints, is asked again now and then.
    pub age_max: Duration,
}

const COUNT_MAX: u32 = 65_536;

impl Default for Connections {
    fn default() -> Self {
        let bulkhead = bulkhead::Config::default();
        Self {
            max: None,
            queue: bulkhead.queue,
            max_wait: bulkhead.max_wait,
            streams: NonZeroU32::new(100).expect("it is not zero"),
            age_max: Duration::from_secs(3600),
        }
    }
}

impl Connections {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let counts = [("max", self.max.map_or(0, NonZeroU32::get)), ("queue", self.queue)];
        for (key, count) in counts.into_iter().chain([("streams", self.streams.get())]) {
            if count > COUNT_MAX {
                return Err(format!("has a `{key}` of {count}: make it at most {COUNT_MAX}"));
            }
        }
        if self.queue > 0 && self.max_wait.is_zero() {
            return Err(
                "has a `queue` and a `max_wait` of no time, so that nothing would ever wait: make `max_wait` longer, such as 100ms, or `queue` 0"
                    .to_owned(),
            );
        }
        if self.age_max < Duration::from_secs(1) {
            return Err("has an `age_max` below 1s: make it longer, such as 1h".to_owned());
        }
        Ok(())
    }
}

//! How many instances of a program there are by what they have to do, in the configuration.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cores, Run};

/// A rule by which there are more or fewer instances, by what they have to do. Once a second it is looked how many there should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The fewest that take calls, from 1. By default 1.
    #[serde(default = "one")]
    #[schemars(range(max = 256))]
    pub min: NonZeroU32,
    /// The most that take calls, at most 256. It bounds what this machine has to bear, so that there is no default.
    #[schemars(range(max = 256))]
    pub max: NonZeroU32,
    /// What each instance is to have to do. Where there are several, the one counts that asks for the most instances.
    pub target: Target,
    /// How long it has to be too much without a break until there are more instances, at most 1h. By default 0s: calls wait meanwhile, and one instance too many costs little.
    #[serde(default = "up_after")]
    pub up_after: Duration,
    /// How long fewer instances have to be enough until there are fewer, a quarter at most each time; at most 1h. By default 60s: longer than the pauses within most load, so that what has just gone is not started again.
    #[serde(default = "down_after")]
    pub down_after: Duration,
    /// How far load is foreseen that rises, at most 5m; 0s does not. By default 10s: in that time most programs start.
    #[serde(default = "look_ahead")]
    pub look_ahead: Duration,
}

/// What each instance is to have to do; one at least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Calls that run there, from 1, in the mean; those that wait at the service's bulkhead count as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<NonZeroU32>,
    /// How long calls take that succeed, from 1ms, in the mean. It fits only where more instances make calls faster: if something behind the service is slow, there will be `max` of them, and it is as slow as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// How many cores it keeps busy, with what it has started, in the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cores>,
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

const fn up_after() -> Duration {
    Duration::ZERO
}

const fn down_after() -> Duration {
    Duration::from_secs(60)
}

const fn look_ahead() -> Duration {
    Duration::from_secs(10)
}

const HOUR: Duration = Duration::from_secs(3600);
const LOOK_AHEAD_MAX: Duration = Duration::from_secs(300);

impl Scaling {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { min, max, target, up_after, down_after, look_ahead } = self;
        if max.get() > Run::INSTANCES_MAX {
            return Err(format!("has `max` {max}: make it at most {}", Run::INSTANCES_MAX));
        }
        if min > max {
            return Err(format!("has `min` {min} above `max` {max}: exchange them"));
        }
        if *target == Target::default() {
            return Err("has no `target`: say what each instance is to have to do, such as { in_flight: 4 }"
                .to_owned());
        }
        if target.latency.is_some_and(|latency| latency < Duration::from_millis(1)) {
            return Err("has a `target.latency` below 1ms: make it longer, such as 50ms".to_owned());
        }
        for (name, duration, longest) in [
            ("up_after", up_after, HOUR),
            ("down_after", down_after, HOUR),
            ("look_ahead", look_ahead, LOOK_AHEAD_MAX),
        ] {
            if *duration > longest {
                return Err(format!("has `{name}` {duration}: make it at most {longest}"));
            }
        }
        Ok(())
    }

    /// The number nearest to this one that there may be.
    pub(crate) fn within(&self, instances: u32) -> u32 {
        instances.clamp(self.min.get(), self.max.get())
    }
}

//! Programs that Mainstay starts and looks after, in the configuration.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The service's own program, of which Mainstay starts as many as there should be and ends them with itself.
///
/// Each is told by its environment where to listen (`PORT`, on loopback), where the API is (`MAINSTAY_API`) and where the gateway (`MAINSTAY_GATEWAY`). It gets calls once it takes connections, and once the service's
/// `health` is well if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program and its arguments. A program without a slash is looked for in `PATH`, one with a relative path below `directory`.
    pub command: Vec<String>,
    /// How many of it run. By default 1; at most 256.
    #[serde(default = "one")]
    #[schemars(range(max = 256))]
    pub instances: NonZeroU32,
    /// What else stands in its environment, beside Mainstay's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs. By default where Mainstay does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// A program that is missing is told once, and the service has no endpoints; else it is tried again and again. By default `false`.
    #[serde(default)]
    pub optional: bool,
    /// How long it may take until it gets calls; then it is ended and another one started. From 100ms, by default 30s.
    #[serde(default = "start_timeout")]
    pub start_timeout: Duration,
    /// How long the calls that it has may take when it is to stop, before it is told. By default 10s.
    #[serde(default = "drain")]
    pub drain: Duration,
    /// How long it may take to end once it was told to by SIGTERM; then it is killed. By default 5s.
    #[serde(default = "stop_timeout")]
    pub stop_timeout: Duration,
    /// How many more may run while one version takes over from another, from 0. By default 1.
    #[serde(default = "surge")]
    pub max_surge: u32,
    /// How many fewer may take calls meanwhile, from 0. By default 0; one of the two is above 0.
    #[serde(default)]
    pub max_unavailable: u32,
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

const fn start_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn drain() -> Duration {
    Duration::from_secs(10)
}

const fn stop_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn surge() -> u32 {
    1
}

/// What Mainstay says itself.
const OWN_VARIABLES: [&str; 4] = ["PORT", "MAINSTAY_API", "MAINSTAY_GATEWAY", "MAINSTAY_INSTANCE"];

impl Run {
    /// The most instances of one program.
    pub const INSTANCES_MAX: u32 = 256;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err("has no `command`: name the program, such as [./payments]".to_owned());
        }
        if self.instances.get() > Self::INSTANCES_MAX {
            return Err(format!("has {} instances: make it at most {}", self.instances, Self::INSTANCES_MAX));
        }
        if let Some(own) = self.env.keys().find(|name| OWN_VARIABLES.contains(&name.as_str())) {
            return Err(format!("sets {own} in its `env`, which Mainstay does: leave it out"));
        }
        let has_zero = |text: &String| text.contains('\0');
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("has the variable \"{name}\" in its `env`, which can be none: rename it"));
        }
        if self.command.iter().chain(self.env.values()).any(has_zero) {
            return Err("has a NUL in its `command` or `env`: leave it out".to_owned());
        }
        if self.start_timeout < Duration::from_millis(100) {
            return Err("has a `start_timeout` below 100ms: make it longer, such as 30s".to_owned());
        }
        if self.max_surge == 0 && self.max_unavailable == 0 {
            return Err(
                "has `max_surge` and `max_unavailable` 0, so that no version could take over: raise one"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether a program that was started by this is one by that: it need not be started anew.
    pub(crate) fn starts_same(&self, other: &Self) -> bool {
        (&self.command, &self.env, &self.directory) == (&other.command, &other.env, &other.directory)
    }
}

//! Programs that Mainstay starts and looks after, in the configuration.

mod cores;
mod limits;
mod scaling;
mod warm_up;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use mainstay_base::brief::Brief;
use mainstay_base::id::Name;
use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cores::Cores;
pub use limits::Limits;
pub use scaling::{Scaling, Target};
pub use warm_up::WarmUp;

/// The service's own program, of which Mainstay starts as many as there should be and ends them with itself.
///
/// Each is told by its environment where to listen (`PORT`, on loopback), where the API is (`MAINSTAY_API`) and where the gateway (`MAINSTAY_GATEWAY`). It gets calls once it takes connections, and once the service's
/// `health` is well if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program and its arguments. A program without a slash is looked for in `PATH`, one with a relative path below `directory`.
    pub command: Vec<String>,
    /// How many of it take calls; with `scale` at first. By default 1; at most 256.
    #[serde(default = "one")]
    #[schemars(range(max = 256))]
    pub instances: NonZeroU32,
    /// Has more or fewer of them, by what they have to do. By default there are always as many as `instances` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scaling>,
    /// How many run besides, started and ready, and take calls as soon as there are to be more or one has ended. By default 0; at most 256.
    #[serde(default)]
    #[schemars(range(max = 256))]
    pub warm: u32,
    /// What each new instance is asked before it takes calls, one after the other, by GET: paths, or settings. By default nothing. What fails is asked three times at most and then left; and after three
    /// quarters of `start_timeout` the rest is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm_up: Vec<Brief<WarmUp>>,
    /// What each instance may take of the machine. By default as much as there is.
    #[serde(default, skip_serializing_if = "Limits::are_none")]
    pub limits: Limits,
    /// The listener that it is told of as the gateway, by its name in `listen.gateway`: one whose routes are for programs need not be reachable by others. By default the first that speaks HTTP without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Name>,
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
        if let Some(scale) = &self.scale {
            scale.check().map_err(|wrong| format!("`scale` {wrong}"))?;
            if self.instances > scale.max {
                let (instances, max) = (self.instances, scale.max);
                return Err(format!(
                    "has {instances} instances, and at most {max} by its `scale`: raise `scale.max`"
                ));
            }
        }
        if self.warm > Self::INSTANCES_MAX {
            return Err(format!(
                "has {} `warm` instances: make it at most {}",
                self.warm,
                Self::INSTANCES_MAX
            ));
        }
        self.check_warm_up().map_err(|wrong| format!("`warm_up` {wrong}"))?;
        self.limits.check().map_err(|wrong| format!("`limits` {wrong}"))?;
        if self.max_surge == 0 && self.max_unavailable == 0 {
            return Err(
                "has `max_surge` and `max_unavailable` 0, so that no version could take over: raise one"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_warm_up(&self) -> Result<(), String> {
        self.warm_up.iter().try_for_each(|Brief(request)| request.check())?;
        let requests = self.warm_up.iter().map(|Brief(request)| u64::from(request.times.get())).sum::<u64>();
        if requests > u64::from(WarmUp::REQUESTS_MAX) {
            return Err(format!("has {requests} requests: make it at most {}", WarmUp::REQUESTS_MAX));
        }
        Ok(())
    }

    /// How many take calls at first.
    pub(crate) fn first(&self) -> u32 {
        let instances = self.instances.get();
        self.scale.as_ref().map_or(instances, |scale| scale.within(instances))
    }

    /// Whether a program that was started by this is one by that: it need not be started anew.
    pub(crate) fn starts_same(&self, other: &Self) -> bool {
        let of = |it: &Self| {
            let Limits { cpu, files, memory: _ } = it.limits;
            (cpu, files)
        };
        (&self.command, &self.gateway, &self.env, &self.directory, of(self))
            == (&other.command, &other.gateway, &other.env, &other.directory, of(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), String> {
        serde_json::from_str::<Run>(json).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn what_there_is_to_say_of_scaling_is_taken() {
        let whole = r#"{"command": ["x"], "instances": 2, "warm": 1, "warm_up": ["/warm", {"path": "/ready?now", "times": 20}],
            "scale": {"min": 1, "max": 8, "target": {"in_flight": 4, "latency": "50ms", "cpu": 0.7}},
            "limits": {"cpu": 1.5, "memory": "512MiB", "files": 1024}}"#;
        assert_eq!(check(whole), Ok(()));
        let run: Run = serde_json::from_str(whole).expect("a definition");
        let again: Run = serde_json::from_value(serde_json::json!(run)).expect("what it says itself");
        assert_eq!(again, run);
        let raised = r#"{"command": ["x"], "scale": {"min": 3, "max": 8, "target": {"in_flight": 4}}}"#;
        assert_eq!(serde_json::from_str::<Run>(raised).map(|run| run.first()).ok(), Some(3));
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_do() {
        let wrong =
            |more: &str| check(&format!(r#"{{"command": ["x"], {more}}}"#)).expect_err("it cannot work");
        for (more, told) in [
            (r#""scale": {"max": 8, "target": {}}"#, "`scale` has no `target`"),
            (r#""scale": {"max": 300, "target": {"in_flight": 1}}"#, "`max` 300: make it at most 256"),
            (r#""scale": {"min": 3, "max": 2, "target": {"in_flight": 1}}"#, "`min` 3 above `max` 2"),
            (r#""scale": {"max": 2, "target": {"latency": "0s"}}"#, "below 1ms"),
            (r#""scale": {"max": 2, "target": {"cpu": 0}}"#, "from 0.01 to 1024"),
            (r#""scale": {"max": 2, "target": {"in_flight": 1}, "down_after": "2h"}"#, "at most 1h"),
            (r#""scale": {"max": 2, "target": {"in_flight": 1}}, "instances": 3"#, "raise `scale.max`"),
            (r#""scale": {"target": {"in_flight": 1}}"#, "missing field `max`"),
            (r#""warm": 257"#, "make it at most 256"),
            (r#""warm_up": ["ready"]"#, "begins with a slash"),
            (r#""warm_up": [{"path": "/", "times": 900}, {"path": "/x", "times": 101}]"#, "1001 requests"),
            (r#""limits": {"memory": "1KiB"}"#, "below 1MiB"),
            (r#""limits": {"files": 3}"#, "below 16"),
        ] {
            assert!(wrong(more).contains(told), "{more}: {}", wrong(more));
        }
    }
}

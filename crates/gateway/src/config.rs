//! What the gateway is told: policies, services and routes, and how it treats its clients.

use std::num::NonZeroU32;

use mainstay_base::switch::Switch;
use mainstay_base::units::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coding::{BodyLimit, Compression};
use crate::head::Limits;
use crate::{access, census, forwarded, path};

mod definitions;
mod route;

pub use crate::split::{Share, Target};
pub use definitions::Definitions;
pub use route::{Injected, Mirror, Route, written_service};

/// How the gateway treats its clients: the section `gateway`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many threads serve, each with connections of its own to services; up to 256. By default one for each core. Needs a restart to change.
    #[schemars(range(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<NonZeroU32>,
    /// How many connections of clients may be open.
    pub connections: census::Config,
    /// Which proxies before the gateway are believed, and how services are told whom a request is from.
    pub forwarded: forwarded::Config,
    /// What clients may send over HTTP/1.
    pub limits: Limits,
    /// How paths of requests are brought into their normal form.
    pub paths: path::Config,
    /// How long bodies of requests may be, where a route does not say it. By default as long as they like: they are passed on as they come, and not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyLimit>,
    /// Whether answers are compressed, where a route does not say it: `true` for the defaults, or a mapping that changes them. By default `false`: services may do it themselves, and
    /// compressing a secret beside what a client has sent can give it away (docs/gateway/bodies.md).
    pub compression: Switch<Compression>,
    /// Which requests are logged, where a route does not say it.
    pub access_log: access::Config,
    /// How long a connection without a request is kept, from 1s. By default 75s: more than the minute after which most clients and balancers give theirs up, so that it is seldom closed under a request.
    pub idle_timeout: Duration,
    /// How long a client may take for a head, or take nothing of an answer, from 1s; looked at every second. By default 30s.
    pub patience: Duration,
    /// How much of a body has to come in a second; after `patience` with less the connection is closed. By default 240B, as slow as a modem was.
    pub body_rate_min: Size,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: None,
            connections: census::Config::default(),
            forwarded: forwarded::Config::default(),
            limits: Limits::default(),
            paths: path::Config::default(),
            body: None,
            compression: Switch::Off,
            access_log: access::Config::default(),
            idle_timeout: Duration::from_secs(75),
            patience: Duration::from_secs(30),
            body_rate_min: Size::from_bytes(240),
        }
    }
}

/// What is wrong with a definition or a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do, where the message does not say it.
    pub help: Option<String>,
}

impl Misfit {
    /// At these keys.
    pub fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), message: message.into(), help: None }
    }

    /// With what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl Settings {
    /// What the types cannot state.
    pub fn check(&self) -> Vec<Misfit> {
        let mut found = Vec::new();
        for (key, time) in [("idle_timeout", self.idle_timeout), ("patience", self.patience)] {
            if time < Duration::from_secs(1) {
                found.push(
                    Misfit::new(&["gateway", key], format!("{time} is shorter than 1s"))
                        .help("make it longer"),
                );
            }
        }
        let sections = [
            ("forwarded", self.forwarded.check()),
            ("limits", self.limits.check()),
            ("body", self.body.as_ref().map_or(Ok(()), BodyLimit::check)),
            ("compression", self.compression.on().map_or(Ok(()), Compression::check)),
        ];
        let wrong = sections.into_iter().filter_map(|(key, checked)| Some((key, checked.err()?)));
        found.extend(wrong.map(|(key, wrong)| Misfit::new(&["gateway", key], wrong)));
        found
    }
}

#[cfg(test)]
mod tests;

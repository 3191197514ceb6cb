//! The API listener: HTTP for operators and, with the rooms to come, for the building blocks.
//!
//! A connection is accepted by [`serve`], a request passes the fixed steps of [`pipeline`], and what remains
//! reaches a resource. Every answer carries `Mainstay-Request-Id`; every error is a problem document.

mod bodies;
mod described;
mod flights;
mod guard;
mod measure;
mod pipeline;
mod resources;
pub mod serve;
mod stalling;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_api::{body, streams};
use mainstay_base::time::{Clock, Entropy};
use mainstay_base::units::{Duration, Size};

use crate::backups::Backups;
use crate::config::Broken;
use crate::config::value::Secret;
use crate::gateway::NodeGateway;
use crate::life::ready::Readiness;
use crate::log::NodeLog;
use crate::reload::Reloads;
use crate::shards::NodeShards;
use crate::telemetry::logs::Logs;
use crate::telemetry::metrics::Metrics;

/// A token shorter than this can be guessed.
pub const TOKEN_CHARS_MIN: usize = 16;

/// The `api` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names by which callers may address the API in `Host`, beside IP addresses and `localhost`. Other names
    /// are refused, so that a web page cannot reach the API through a name of its own that resolves here.
    pub hosts: Vec<String>,
    /// What callers must send as `Authorization: Bearer <token>`; at least 16 characters. Health probes need
    /// no token. Without it the API listens on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The largest request body: at least four thirds of `limits.commit_size_max`, since bytes that are not text are sent in
    /// base64. The default leaves room for the JSON around them.
    pub body_max: Size,
    /// The memory that the request bodies of all connections may take, from their arrival until they are answered; at least
    /// `body_max`. A body that goes beyond it is answered 503.
    pub bodies_max: Size,
    /// How long a request's body may take to arrive, at least `100ms`. One that does not is answered 408.
    pub body_timeout: Duration,
    /// How long a commit or a reading may take when its caller does not say so with `Mainstay-Timeout`, at least `100ms`. What was
    /// not begun by then is answered 504 `deadline`, and a commit that was, 504 `outcome_unknown`.
    pub timeout: Duration,
    /// How long a connection may take to send a request's head, and how long it may stay idle between
    /// requests, at least `100ms`. Connections that are open when this changes keep what they have.
    pub head_timeout: Duration,
    /// How many connections are served at once. One more is answered 503 and closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            token: None,
            body_max: Size::from_mib(8),
            bodies_max: Size::from_mib(256),
            body_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            connections_max: 4096,
        }
    }
}

impl Config {
    /// The shortest time that leaves a slow network a chance.
    const TIMEOUT_MIN: Duration = Duration::from_millis(100);

    /// What the resources over what is committed can be told.
    pub fn committed(&self, machine: mainstay_machine::Settings) -> mainstay_api::Settings {
        let (body, timeout) = (self.bodies(), self.timeout);
        mainstay_api::Settings { machine, body, timeout, streams: streams::Limits::default() }
    }

    /// The limits of request bodies.
    pub fn bodies(&self) -> body::Limits {
        body::Limits { size_max: self.body_max, timeout: self.body_timeout }
    }

    /// The rules that the types cannot state.
    pub fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        let timeouts: [(&'static [&'static str], Duration); 3] = [
            (&["api", "body_timeout"], self.body_timeout),
            (&["api", "head_timeout"], self.head_timeout),
            (&["api", "timeout"], self.timeout),
        ];
        for (path, timeout) in timeouts {
            if timeout < Self::TIMEOUT_MIN {
                broken.push(Broken {
                    path,
                    message: format!("{timeout} is too short for a request to arrive"),
                    help: format!("allow at least {}", Self::TIMEOUT_MIN),
                });
            }
        }
        if self.bodies_max < self.body_max {
            let is_default = self.bodies_max == Self::default().bodies_max;
            broken.push(Broken {
                path: if is_default { &["api", "body_max"] } else { &["api", "bodies_max"] },
                message: format!(
                    "all bodies together may take {}, and a single one {}",
                    self.bodies_max, self.body_max
                ),
                help: format!("let `api.bodies_max` be at least {}", self.body_max),
            });
        }
        if let Some(host) = self.hosts.iter().find(|it| it.is_empty() || it.contains([':', '/', ' '])) {
            broken.push(Broken {
                path: &["api", "hosts"],
                message: format!("`{host}` is not a host name"),
                help: "write names only, without scheme, port or path".into(),
            });
        }
        broken
    }
}

/// What the API works with.
#[derive(Clone)]
pub struct Context {
    /// Where the API listens.
    pub address: SocketAddr,
    /// The settings in force; a reload replaces them as one.
    pub settings: Arc<ArcSwap<Config>>,
    /// Which parts are up.
    pub readiness: Readiness,
    /// The log of the node's shards.
    pub log: NodeLog,
    /// The shards of the node.
    pub shards: NodeShards,
    /// Copies of all shards.
    pub backups: Arc<Backups>,
    /// The log output, whose levels can be changed.
    pub logs: Arc<Logs>,
    /// The metrics to show and to count in.
    pub metrics: Metrics,
    /// The configuration in force and the history of its reloads.
    pub reloads: Arc<Reloads>,
    /// The gateway, whose routes and services can be looked at.
    pub gateway: NodeGateway,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for request ids.
    pub entropy: Arc<dyn Entropy>,
}

/// Where a person on this machine opens the API.
pub fn base_url(api: SocketAddr) -> String {
    let ip = match api.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, api.port()))
}

/// What a person may open once the API is up.
pub fn links(api: SocketAddr) -> [(&'static str, String); 4] {
    let base = base_url(api);
    [
        ("overview", format!("{base}/")),
        ("readiness", format!("{base}/v1/health/ready")),
        ("configuration", format!("{base}/v1/config")),
        ("metrics", format!("{base}/metrics")),
    ]
}

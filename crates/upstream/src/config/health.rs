//! How endpoints are checked, in the configuration.

use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How endpoints are asked whether they are well. Each is asked by itself, and not at the same moment as others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// What is asked. By default `http`.
    pub by: By,
    /// The path that `http` gets. By default `/`. An answer of the class 2xx is well.
    pub path: String,
    /// What `http` says as `Host`. By default the endpoint's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The service that `grpc` asks about. By default the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How often, from 10ms to 1h, give or take a tenth by chance. By default 5s.
    pub every: Duration,
    /// How long an answer may take, from 1ms, connecting included. By default 1s.
    pub timeout: Duration,
    /// How many times in a row one that is not well has to be, to be well again, from 1. By default 2.
    pub healthy: NonZeroU32,
    /// How many times in a row one that is well must not be, to be well no more, from 1. By default 3.
    pub unhealthy: NonZeroU32,
}

/// What an endpoint is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A GET, in the protocol of the service.
    #[default]
    Http,
    /// Whether it takes a connection.
    Tcp,
    /// The health service of gRPC (`grpc.health.v1.Health/Check`), over HTTP/2.
    Grpc,
}

/// Its length takes one byte on the wire.
const SERVICE_BYTES_MAX: usize = 127;

impl Default for Health {
    fn default() -> Self {
        const fn count(count: u32) -> NonZeroU32 {
            NonZeroU32::new(count).expect("it is not zero")
        }
        Self {
            by: By::default(),
            path: "/".to_owned(),
            host: None,
            service: None,
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: count(2),
            unhealthy: count(3),
        }
    }
}

impl Health {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.every < Duration::from_millis(10) {
            return Err("has `every` below 10ms: make it longer, such as 5s".to_owned());
        }
        if self.every > Duration::from_secs(3600) {
            return Err("has `every` above 1h: make it shorter, such as 5s".to_owned());
        }
        if self.timeout < Duration::from_millis(1) {
            return Err("has `timeout` below 1ms: make it longer, such as 1s".to_owned());
        }
        let path: Result<http::uri::PathAndQuery, _> = self.path.parse();
        if !self.path.starts_with('/') || path.is_err() {
            return Err(format!(
                "has the `path` \"{}\": write one that begins with a slash, such as /health",
                self.path
            ));
        }
        if self.host.as_ref().is_some_and(|host| host.parse::<http::uri::Authority>().is_err()) {
            return Err("has a `host` that is none: write a name, such as payments.internal".to_owned());
        }
        if self.service.is_some() && self.by != By::Grpc {
            return Err("has a `service`, which only `by: grpc` asks about: leave it out".to_owned());
        }
        if self.service.as_ref().is_some_and(|service| service.len() > SERVICE_BYTES_MAX) {
            return Err(format!("has a `service` of more than {SERVICE_BYTES_MAX} bytes: make it shorter"));
        }
        Ok(())
    }
}

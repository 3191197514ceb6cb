//! Where a service is, and how it is spoken to.

mod balance;
mod connections;
mod dns;
mod endpoint;
mod health;
mod registration;
mod run;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use mainstay_base::brief::Brief;
use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outliers;
pub use balance::{Balance, Sticky};
pub use connections::Connections;
pub use dns::{Dns, Server};
pub use endpoint::{Address, Endpoint};
pub use health::{By, Health};
pub use registration::Registration;
pub use run::{Cores, Limits, Run, Scaling, Target, WarmUp};
pub use tls::{Files, Tls};

/// Where a service is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens: IP addresses with ports, with settings where there is more to say.
    pub endpoints: Vec<Brief<Endpoint>>,
    /// A name by which endpoints are looked up in DNS: the name, or settings. By default none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Brief<Dns>>,
    /// The port of the endpoints whose addresses `dns` has. By default the name's SRV records say the ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Its program, which Mainstay starts as many times as there should be endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Whether endpoints may register themselves over the API, each for as long as its lease. By default they may not.
    #[serde(skip_serializing_if = "is_off")]
    pub registration: Switch<Registration>,
    /// How an endpoint is chosen for each call: the name of an algorithm, or settings.
    pub balance: Brief<Balance>,
    /// How endpoints are asked whether they are well. By default they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Takes endpoints out for a while that fail, or are worse than the others. By default it does, with the defaults of its parts; `false` never does.
    pub outliers: Switch<outliers::Config>,
    /// What it speaks. By default HTTP/1.1, which every service does.
    pub protocol: Protocol,
    /// Whether that is spoken over TLS: `true`, or settings. By default it is not.
    #[serde(skip_serializing_if = "is_off")]
    pub tls: Switch<Tls>,
    /// The name of the policy that guards calls to it, if it is not `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Name>,
    /// How long it may take to connect to an endpoint, TLS included, from 1ms. By default 1s: a connection within a data centre takes a millisecond, and one whose first packet is lost a second.
    pub connect_timeout: Duration,
    /// How many connections there may be, and what waits for one.
    pub connections: Connections,
    /// Connections that are kept between calls.
    pub idle: Idle,
}

/// What a service speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 from the first byte on, as gRPC servers speak it.
    Http2,
}

/// Connections that are kept between calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Idle {
    /// How many are kept to each endpoint by each core, from 0. By default 256: as many as calls run at a time by default.
    pub max: u32,
    /// How long one is kept without a call. By default 50s: services close theirs after a minute or more, mostly, and a call is not sent into one that is about to be closed.
    pub timeout: Duration,
}

fn is_off<T: PartialEq>(switch: &Switch<T>) -> bool {
    *switch == Switch::Off
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            dns: None,
            port: None,
            run: None,
            registration: Switch::Off,
            balance: Brief::default(),
            health: None,
            outliers: Switch::On(outliers::Config::default()),
            protocol: Protocol::default(),
            tls: Switch::Off,
            policy: None,
            connect_timeout: Duration::from_secs(1),
            connections: Connections::default(),
            idle: Idle::default(),
        }
    }
}

impl Default for Idle {
    fn default() -> Self {
        Self { max: 256, timeout: Duration::from_secs(50) }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let has_others = self.dns.is_some() || self.run.is_some() || self.registration != Switch::Off;
        if self.endpoints.is_empty() && !has_others {
            return Err("has no `endpoints`: name one at least, such as `127.0.0.1:9101`, have them looked up by a name with `dns: legacy.internal` and `port: 80`, let Mainstay start them by `run`, or let them register themselves by `registration: true`".to_owned());
        }
        if let (Some(port), None) = (self.port, &self.dns) {
            return Err(format!(
                "has the `port` {port} without `dns`, whose addresses it is for: name what to look up, or leave it out"
            ));
        }
        if let Some((at, endpoint)) = self.repeated() {
            return Err(format!(
                "has the endpoint {endpoint} twice, again as number {}: leave one out",
                at + 1
            ));
        }
        for Brief(endpoint) in &self.endpoints {
            endpoint.check()?;
        }
        let within =
            |part: &str, checked: Result<(), String>| checked.map_err(|wrong| format!("`{part}` {wrong}"));
        within("dns", self.dns.as_ref().map_or(Ok(()), |dns| dns.0.check()))?;
        within("balance", self.balance.0.check())?;
        within("health", self.health.as_ref().map_or(Ok(()), Health::check))?;
        within("run", self.run.as_ref().map_or(Ok(()), Run::check))?;
        within("registration", self.registration.on().map_or(Ok(()), Registration::check))?;
        within("tls", self.tls.on().map_or(Ok(()), |tls| tls.check(self.name_in_dns())))?;
        within("connections", self.connections.check())?;
        within("outliers", self.outliers.on().map_or(Ok(()), outliers::Config::check))?;
        if self.connect_timeout < Duration::from_millis(1) {
            return Err("has a `connect_timeout` below 1ms: make it longer, such as 1s".to_owned());
        }
        Ok(())
    }

    /// What endpoints are looked up by, for people: `legacy.internal:80`, or `_payments._tcp.internal (SRV)`.
    pub fn looked_up(&self) -> Option<String> {
        let name = &self.dns.as_ref()?.0.name;
        Some(self.port.map_or_else(|| format!("{name} (SRV)"), |port| format!("{name}:{port}")))
    }

    /// The name that endpoints have in DNS, where it is theirs and not that of a list of servers.
    pub(crate) fn name_in_dns(&self) -> Option<&str> {
        self.dns.as_ref().filter(|_| self.port.is_some()).map(|dns| dns.0.name.trim_end_matches('.'))
    }

    fn repeated(&self) -> Option<(usize, SocketAddr)> {
        let mut seen = BTreeSet::new();
        let addresses = self.endpoints.iter().map(|endpoint| endpoint.0.address.0);
        addresses.enumerate().find(|(_, address)| !seen.insert(*address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_cannot_work_are_refused_with_what_to_do() {
        let read = |json: &str| serde_json::from_str::<Config>(json).expect("it is a service");
        let wrong = |json: &str| read(json).check().expect_err("it cannot work");
        assert!(wrong("{}").contains("no `endpoints`"));
        let twice = r#"{"endpoints": ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"]}"#;
        assert_eq!(wrong(twice), "has the endpoint 127.0.0.1:1 twice, again as number 3: leave one out");
        assert!(wrong(r#"{"endpoints": ["127.0.0.1:1"], "connect_timeout": "0s"}"#).contains("below 1ms"));
        assert_eq!(read(r#"{"endpoints": ["[::1]:9101"], "protocol": "http2"}"#).check(), Ok(()));
        assert!(wrong(r#"{"endpoints": ["127.0.0.1:1"], "port": 80}"#).contains("without `dns`"));
        assert!(wrong(r#"{"dns": "10.0.0.7", "port": 80}"#).starts_with("`dns` has the address 10.0.0.7"));
        // What its certificates are to be for can be no name of one.
        assert!(wrong(r#"{"dns": "db.42", "port": 443, "tls": true}"#).contains("has the `name` \"db.42\""));
        assert_eq!(read(r#"{"dns": "_payments._tcp.internal"}"#).check(), Ok(()));
    }

    #[test]
    fn whoever_names_a_host_is_told_how_names_are_looked_up() {
        let told = |json: &str| serde_json::from_str::<Config>(json).expect_err("it is none").to_string();
        let named = told(r#"{"endpoints": ["payments:9101"]}"#);
        assert!(named.contains("`dns: payments` with `port: 9101`"), "{named}");
        let bare = told(r#"{"endpoints": [{"address": "payments"}]}"#);
        assert!(bare.contains("IP address with a port") && bare.contains("`dns`"), "{bare}");
        assert!(
            serde_json::from_str::<Config>("{}")
                .expect("it is a service")
                .check()
                .is_err_and(|it| it.contains("`dns: "))
        );
    }
}

//! What the gateway is told: policies, services and routes, and how it treats its clients.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use mainstay_base::id::Name;
use mainstay_base::units::{Duration, Size};
use mainstay_resilience::Criticality;
use mainstay_resilience::policy::Policy;
use mainstay_upstream::Config as Service;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::head::Limits;
use crate::routes::{Match, Table};
use crate::{census, forwarded, path};

/// A route: which requests it takes, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name, in metrics, logs and errors; unique among the routes.
    pub name: Name,
    /// Which requests it takes. By default all that no other route takes.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// What they are sent to.
    pub to: Target,
    /// How critical its requests are. By default `critical`.
    #[serde(default)]
    pub criticality: Criticality,
}

/// What requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The service, by its name.
    pub service: Name,
}

/// How the gateway treats its clients: the section `gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
            idle_timeout: Duration::from_secs(75),
            patience: Duration::from_secs(30),
            body_rate_min: Size::from_bytes(240),
        }
    }
}

/// What is defined: policies, services, routes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// Policies by name. `default` guards where none is named; it is [`Policy::default`] unless it is defined.
    pub policies: BTreeMap<Name, Policy>,
    /// Services by name.
    pub services: BTreeMap<Name, Service>,
    /// Routes.
    pub routes: Vec<Route>,
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
    fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
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
        if let Err(wrong) = self.forwarded.check() {
            found.push(Misfit::new(&["gateway", "forwarded"], wrong));
        }
        if let Err(wrong) = self.limits.check() {
            found.push(Misfit::new(&["gateway", "limits"], wrong));
        }
        found
    }
}

impl Definitions {
    /// The policy of a service.
    pub fn policy(&self, service: &Service) -> Policy {
        let name = service.policy.as_ref().map_or("default", Name::as_str);
        let named = self.policies.iter().find(|(of, _)| of.as_str() == name);
        named.map(|(_, policy)| policy.clone()).unwrap_or_default()
    }

    /// What the types cannot state.
    pub fn check(&self) -> Vec<Misfit> {
        let mut found = Vec::new();
        for (name, policy) in &self.policies {
            if let Err(wrong) = policy.check() {
                found.push(Misfit::new(&["policies", name.as_str()], wrong));
            }
        }
        for (name, service) in &self.services {
            let path = ["services", name.as_str()];
            if let Err(wrong) = service.check() {
                found.push(Misfit::new(&path, wrong));
            }
            if let Some(policy) = service.policy.as_ref().filter(|it| !self.has_policy(it)) {
                let told =
                    Misfit::new(&[path[0], path[1], "policy"], format!("there is no policy `{policy}`"));
                found.push(told.help(known("policies", self.policies.keys())));
            }
        }
        for (number, route) in self.routes.iter().enumerate() {
            if !self.services.contains_key(&route.to.service) {
                let path = ["routes", &number.to_string(), "to", "service"];
                let told = Misfit::new(&path, format!("there is no service `{}`", route.to.service));
                found.push(told.help(known("services", self.services.keys())));
            }
        }
        if let Err(mistakes) = self.table() {
            found.extend(mistakes.into_iter().map(|mistake| {
                let number = self.routes.iter().rposition(|route| route.name == mistake.route).unwrap_or(0);
                let key = if mistake.field == "name" { "name" } else { "match" };
                Misfit::new(&["routes", &number.to_string(), key], mistake.to_string())
            }));
        }
        found
    }

    /// The routes, ready to be matched.
    pub(crate) fn table(&self) -> Result<Table, Vec<crate::routes::Mistake>> {
        Table::build(self.routes.iter().map(|route| (&route.name, &route.matching)))
    }

    fn has_policy(&self, name: &Name) -> bool {
        name.as_str() == "default" || self.policies.contains_key(name)
    }
}

fn known<'a>(what: &str, names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<_> = names.map(Name::as_str).collect();
    if names.is_empty() {
        return format!("define it in `{what}`");
    }
    format!("`{what}` has {}", names.join(", "))
}

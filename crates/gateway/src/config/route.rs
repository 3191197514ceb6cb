//! Routes, as they are configured.

use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_base::units::Ratio;
use mainstay_resilience::Criticality;
use mainstay_resilience::fault::{Fault, Rule, Schedule};
use mainstay_upstream::Config as Service;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::access;
use crate::actions::security::SecurityHeaders;
use crate::actions::{self, answer, cors, headers, redirect, rewrite};
use crate::coding::{BodyLimit, Compression, Decompression};
use crate::limits;
use crate::routes::Match;
use crate::split::Target;

/// A route: which requests it takes, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name, in metrics, logs and errors; unique among the routes.
    pub name: Name,
    /// Which requests it takes. By default all that no other route takes.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// What they are sent to. A route needs it, unless `redirect` or `answer` takes all its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Target>,
    /// The name of the policy that guards its calls, instead of that of their service. By default the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Name>,
    /// How critical its requests are. By default `critical`.
    #[serde(default)]
    pub criticality: Criticality,
    /// How much each caller may send: at most 4 limits, of which all have to admit a request. By default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limit: Vec<limits::Config>,
    /// How long bodies of its requests may be; instead of `gateway.body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyLimit>,
    /// Whether compressed bodies of its requests are decompressed before they are sent on: `true` for the defaults, or a mapping that changes them. By default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decompression: Option<Switch<Decompression>>,
    /// Whether its answers are compressed: `true` for the defaults, `false`, or a mapping that changes them; instead of `gateway.compression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Switch<Compression>>,
    /// A service that is sent copies of requests, whose answers nobody sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// What the service sees instead of the client's path, query and host. By default the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<rewrite::Config>,
    /// Headers that are removed, set and added. By default none.
    #[serde(default)]
    pub headers: headers::Config,
    /// Sends clients elsewhere, all of them or those without TLS. By default nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<redirect::Config>,
    /// Answers without a service. By default the service answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<answer::Config>,
    /// Which scripts of other origins may read answers. By default the gateway says nothing of it, and the service may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<cors::Config>,
    /// Headers by which browsers protect users: `true` for the defaults, or a mapping that changes them. By default `false`, since a page may rely on what they forbid.
    #[serde(default)]
    pub security_headers: SecurityHeaders,
    /// Faults that are injected into its requests, where the file says `faults: allowed`. By default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Injected>,
    /// Which of its requests are logged; instead of `gateway.access_log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<access::Config>,
}

/// A service that is sent copies of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The service, by its name.
    pub service: Name,
    /// Which share of the requests is sent to it as well, each by chance, from 0 to 1. By default all. Those with a body above 16KiB, or one whose length is not known, are not.
    #[serde(default = "one")]
    pub ratio: Ratio,
}

/// A fault that is injected into requests of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Injected {
    /// What is done to them.
    pub fault: Fault,
    /// To which share of them, each by chance, from 0 to 1. By default 1.
    #[serde(default = "one")]
    pub ratio: Ratio,
    /// When it acts. By default always.
    #[serde(default)]
    pub schedule: Schedule,
}

const fn one() -> Ratio {
    Ratio::ONE
}

impl Route {
    /// What it says beyond its name: what is at its default is left out, and read again so.
    pub fn written(&self) -> Map<String, Value> {
        let plain: Self =
            serde_json::from_value(json!({ "name": self.name })).expect("a route needs no more");
        without(members(self), &members(&plain))
    }

    /// What it does to requests and answers.
    pub(crate) fn actions(&self) -> actions::Config {
        actions::Config {
            rewrite: self.rewrite.clone(),
            headers: self.headers.clone(),
            redirect: self.redirect.clone(),
            answer: self.answer.clone(),
            cors: self.cors.clone(),
            security_headers: self.security_headers.clone(),
        }
    }

    /// Its keys that do nothing where no service is called.
    pub(crate) fn idle(&self) -> Vec<&'static str> {
        let keys = [
            ("policy", self.policy.is_some()),
            ("limit", !self.limit.is_empty()),
            ("body", self.body.is_some()),
            ("decompression", self.decompression.is_some()),
            ("mirror", self.mirror.is_some()),
            ("rewrite", self.rewrite.is_some()),
            ("faults", !self.faults.is_empty()),
        ];
        keys.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| key).collect()
    }

    /// The rules of the faults that are injected into its requests.
    pub fn rules(&self) -> impl Iterator<Item = Rule> {
        self.faults.iter().enumerate().map(|(number, Injected { fault, ratio, schedule })| Rule {
            calls: format!("route:{}", self.name),
            ratio: *ratio,
            schedule: *schedule,
            ..Rule::new(format!("route {} {number}", self.name), *fault)
        })
    }
}

/// What the definition of a service says: what is at its default is left out, and read again so.
pub fn written_service(service: &Service) -> Map<String, Value> {
    without(members(service), &members(&Service::default()))
}

/// Members other than these, at any depth of objects that both have.
fn without(mut written: Map<String, Value>, plain: &Map<String, Value>) -> Map<String, Value> {
    written.retain(|key, value| plain.get(key) != Some(value));
    for (key, value) in &mut written {
        if let (Value::Object(members), Some(Value::Object(plain))) = (value, plain.get(key)) {
            *members = without(std::mem::take(members), plain);
        }
    }
    written
}

/// The members of what is written as an object.
fn members<T: Serialize>(of: &T) -> Map<String, Value> {
    match serde_json::to_value(of).expect("a definition is plain data") {
        Value::Object(members) => members,
        other => unreachable!("a definition is written as an object: {other}"),
    }
}

//! What is shown of the gateway's definitions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use mainstay_base::id::Name;
use mainstay_base::time::{Instant, Timestamp};
use mainstay_base::units::Duration;
use mainstay_gateway::book::Record;
use mainstay_gateway::snapshot::Snapshot;
use mainstay_machine::Version;
use mainstay_machine::definition::{Origin, Source};
use mainstay_resilience::breaker::State;
use mainstay_upstream::Service;
use mainstay_upstream::endpoint::Instance;
use mainstay_upstream::{dns, roster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A route or a service, as it is defined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Defined {
    /// Its name.
    pub name: Name,
    /// The version of the definition; not there for one that is only written in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Version>,
    /// When it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// Where it was written, and so where it can be changed: `file` or `api`.
    pub origin: String,
    /// The configuration file, for the origin `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Who gave it, for the origin `api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// It is not in force from this version on.
    #[serde(default)]
    pub retired: bool,
    /// What it says beyond its name, without defaults: the body of a `PUT`.
    pub definition: Map<String, Value>,
    /// What guards a service at the moment; only of a node that is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guarding>,
    /// The endpoints of a service at the moment; only of a node that is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// How the name is looked up by which a service has endpoints; only of a node that is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
}

/// How a name is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dns {
    /// The name.
    pub name: String,
    /// The port of its addresses; without one, the name's SRV records say ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// How long ago a lookup found addresses last; not there before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Duration>,
    /// How long it is until the next lookup; `0s` while one is under way.
    pub next: Duration,
    /// What is wrong with the last lookup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An endpoint of a service at the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Where it listens.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Who describes it: `defined`, `dns`, `registered` or `supervised`.
    pub source: String,
    /// How it is: `healthy`, `unchecked`, `failing` (by checks), `ejected` (it was worse than the others), `unreachable` (nothing listens there) or `draining`.
    pub state: String,
    /// Why it takes no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its share of the calls, beside the others' weights.
    pub weight: u32,
    /// The zone that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Which version of the service it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Name, String>,
    /// How many calls run there.
    pub running: u32,
    /// How long its calls take, as the choice of an endpoint sees it: it rises at once and falls slowly. Not there before the first call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// How many calls have ended.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// How many connections there are to it, of calls.
    pub connections: u32,
    /// How long it stays if it does not renew, for one that has registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
}

/// What guards calls to a service at the moment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Guarding {
    /// The route whose policy it is; the service's own without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// Whether the breaker is `closed`, `open` or `half_open`; not there without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// How full the bulkhead is; not there without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<Bulkhead>,
}

/// How full a bulkhead is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct Bulkhead {
    /// How many calls run.
    pub running: u32,
    /// How many wait.
    pub waiting: u32,
}

impl Defined {
    /// A definition as of one version.
    pub fn of(record: &Record) -> Self {
        let Record { name, version, changed, origin, retired, definition, .. } = record.clone();
        let (version, changed) = (Some(version), Some(changed));
        let shown = match origin {
            Origin::File(source) => Self::written(&name, source, definition),
            Origin::Api { caller } => {
                let (origin, caller) = ("api".to_owned(), Some(caller));
                let nowhere = Source { file: String::new(), line: None };
                Self { origin, file: None, caller, ..Self::written(&name, nowhere, definition) }
            }
        };
        Self { version, changed, retired, ..shown }
    }

    /// What a file says, of which nothing else is known.
    pub fn written(name: &Name, Source { file, line }: Source, definition: Map<String, Value>) -> Self {
        Self {
            name: name.clone(),
            version: None,
            changed: None,
            origin: "file".to_owned(),
            file: Some(file),
            line,
            caller: None,
            retired: false,
            definition,
            guards: Vec::new(),
            endpoints: Vec::new(),
            dns: None,
        }
    }
}

impl Endpoint {
    /// What is said of it, without what changes with every call or renewal.
    pub fn steady(&self) -> Self {
        let counted = Self {
            running: 0,
            latency: None,
            calls: 0,
            failed: 0,
            ejections: 0,
            connections: 0,
            ..self.clone()
        };
        Self { why: None, lease: None, ..counted }
    }
}

pub(super) fn guards(snapshot: &Snapshot, name: &Name) -> Vec<Guarding> {
    let of_service = snapshot.guards().filter(|(service, ..)| *service == name);
    let guarding = of_service.map(|(_, route, guard)| Guarding {
        route: route.cloned(),
        breaker: guard.breaker().map(|breaker| word(breaker.state()).into()),
        bulkhead: guard
            .bulkhead()
            .map(|bulkhead| Bulkhead { running: bulkhead.running(), waiting: bulkhead.waiting() }),
    });
    guarding.collect()
}

pub(super) fn endpoints(snapshot: &Snapshot, name: &Name, now: Instant) -> Vec<Endpoint> {
    service(snapshot, name).map(|service| endpoints_of(service, now)).unwrap_or_default()
}

pub(super) fn endpoints_of(service: &Service, now: Instant) -> Vec<Endpoint> {
    service.roster().view(now).into_iter().map(|view| shown(service, view, now)).collect()
}

pub(super) fn dns(snapshot: &Snapshot, name: &Name, now: Instant) -> Option<Dns> {
    let dns::View { name, port, resolved, next, error } = service(snapshot, name)?.discovery().view(now)?;
    Some(Dns { name, port, resolved, next, error })
}

fn service<'s>(snapshot: &'s Snapshot, name: &Name) -> Option<&'s Service> {
    snapshot.services().iter().find(|service| service.name() == name).map(AsRef::as_ref)
}

pub(super) fn endpoint(service: &Service, address: SocketAddr, now: Instant) -> Option<Endpoint> {
    service.roster().view_of(address, now).map(|view| shown(service, view, now))
}

fn shown(service: &Service, view: roster::View, now: Instant) -> Endpoint {
    let lease = service.leases().left(view.instance.address, now);
    let Instance { address, weight, zone, version, metadata } = view.instance;
    Endpoint {
        address,
        source: view.source.as_str().into(),
        state: view.state.as_str().into(),
        why: view.why,
        weight,
        zone,
        version,
        metadata,
        running: view.running,
        latency: view.latency,
        calls: view.ended,
        failed: view.failed,
        ejections: view.ejections,
        connections: view.connections,
        lease,
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
    }
}

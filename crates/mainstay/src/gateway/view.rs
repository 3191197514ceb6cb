//! What is shown of the gateway's definitions.

use mainstay_base::id::Name;
use mainstay_gateway::config::{Route, written_service};
use mainstay_gateway::snapshot::Snapshot;
use mainstay_machine::definition::Source;
use mainstay_resilience::breaker::State;
use mainstay_upstream::Config as Service;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Written;

/// A route or a service, as it is defined.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Defined {
    /// Its name.
    pub name: Name,
    /// Where it was written, and so where it can be changed.
    pub origin: String,
    /// The configuration file, for the origin `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it says beyond its name.
    pub definition: Map<String, Value>,
    /// What guards a service at the moment; only of a node that is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guarding>,
}

/// What guards calls to a service at the moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bulkhead {
    /// How many calls run.
    pub running: u32,
    /// How many wait.
    pub waiting: u32,
}

impl Written {
    /// Its routes, by name.
    pub fn routes(&self) -> Vec<Defined> {
        let mut all: Vec<_> = self.definitions.routes.iter().map(|route| self.route(route)).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Its services, by name, with what guards them if that is known.
    pub fn services(&self, snapshot: Option<&Snapshot>) -> Vec<Defined> {
        let service = |(name, service): (&Name, &Service)| Defined {
            guards: snapshot.map(|snapshot| guards(snapshot, name)).unwrap_or_default(),
            ..defined(name, &self.services[name], written_service(service))
        };
        self.definitions.services.iter().map(service).collect()
    }

    fn route(&self, route: &Route) -> Defined {
        defined(&route.name, &self.routes[&route.name], route.written())
    }
}

fn defined(name: &Name, source: &Source, definition: Map<String, Value>) -> Defined {
    let Source { file, line } = source.clone();
    Defined {
        name: name.clone(),
        origin: "file".into(),
        file: Some(file),
        line,
        definition,
        guards: Vec::new(),
    }
}

fn guards(snapshot: &Snapshot, name: &Name) -> Vec<Guarding> {
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

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
    }
}

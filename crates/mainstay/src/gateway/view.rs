//! What is shown of the gateway's definitions.

use mainstay_base::id::Name;
use mainstay_base::time::Timestamp;
use mainstay_gateway::book::Record;
use mainstay_gateway::snapshot::Snapshot;
use mainstay_machine::Version;
use mainstay_machine::definition::{Origin, Source};
use mainstay_resilience::breaker::State;
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
        }
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

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
    }
}

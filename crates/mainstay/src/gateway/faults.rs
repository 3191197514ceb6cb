//! Faults that are injected at run time, beside those of the configuration.
//!
//! They are kept in memory only, on purpose: a fault that outlives a restart would meet whoever started the node to be rid of it.

use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::units::Ratio;
use mainstay_gateway::config::Definitions;
use mainstay_resilience::fault::{Config, Fault, InstallError, Rule, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Written;

/// A fault, and whose requests it is injected into: those of a route or of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Injected {
    /// The route, by its name; or `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// The service, by its name; or `route`. Its faults are seen by its policy as the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// What is done to them.
    pub fault: Fault,
    /// To which share of them, each by chance, from 0 to 1. By default 1: a fault that says nothing else does something.
    #[serde(default = "one")]
    pub ratio: Ratio,
    /// When it acts, in times since it was put. By default always.
    #[serde(default)]
    pub schedule: Schedule,
}

const fn one() -> Ratio {
    Ratio::ONE
}

/// A fault as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "InjectedFault")]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Where it was written: `file` or `api`.
    pub origin: String,
    /// The configuration file, for the origin `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it of the route that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it is.
    #[serde(flatten)]
    pub injected: Injected,
}

/// Why a fault is not put, or not taken out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It names neither a route nor a service, or both.
    #[error("a fault is for a route or for a service: name it in `route`, or in `service`")]
    Whose,
    /// There is no such route or service.
    #[error("there is no {kind} `{name}`: `/v1/{kind}s` lists what there is")]
    Unknown {
        /// `route` or `service`.
        kind: &'static str,
        /// Its name.
        name: Name,
    },
    /// The configuration has it.
    #[error("the fault {0:?} is written in the configuration: take it out there and reload")]
    OwnedByFile(String),
    /// There is no such fault.
    #[error("there is no fault {0:?}: `/v1/faults` lists what there is")]
    Missing(String),
    /// Faults are not allowed, or cannot work.
    #[error(transparent)]
    Refused(#[from] InstallError),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Whose | Self::Unknown { .. } => Code::Invalid,
            Self::OwnedByFile(_) => Code::OwnedByFile,
            Self::Missing(_) => Code::NotFound,
            Self::Refused(error) => error.code(),
        }
    }
}

impl Injected {
    fn rule(&self, name: &Name) -> Result<Rule, Error> {
        let calls = match (&self.route, &self.service) {
            (Some(route), None) => format!("route:{route}"),
            (None, Some(service)) => format!("service:{service}"),
            (None, None) | (Some(_), Some(_)) => return Err(Error::Whose),
        };
        let Self { fault, ratio, schedule, .. } = *self;
        Ok(Rule { name: name.to_string(), calls, fault, ratio, schedule })
    }

    fn of_rule(Rule { calls, fault, ratio, schedule, .. }: &Rule) -> Self {
        let named = |kind: &str| calls.strip_prefix(kind)?.parse().ok();
        let (route, service) = (named("route:"), named("service:"));
        Self { route, service, fault: *fault, ratio: *ratio, schedule: *schedule }
    }

    /// Whether what it is for is there.
    fn check(&self, definitions: &Definitions) -> Result<(), Error> {
        let is_route = |name: &&Name| !definitions.routes.iter().any(|route| route.name == **name);
        let unknown = |kind, name: &Name| Err(Error::Unknown { kind, name: name.clone() });
        if let Some(name) = self.route.as_ref().filter(is_route) {
            return unknown("route", name);
        }
        match self.service.as_ref().filter(|name| !definitions.services.contains_key(*name)) {
            Some(name) => unknown("service", name),
            None => Ok(()),
        }
    }
}

/// Those that were put over the API, by name. Each was checked when it was put.
#[derive(Debug, Clone, Default)]
pub struct Injections(BTreeMap<Name, Injected>);

impl Injections {
    /// The same with one more, or with another of that name. Errors: it cannot be.
    pub fn with(&self, name: &Name, injected: Injected, definitions: &Definitions) -> Result<Self, Error> {
        injected.rule(name)?;
        injected.check(definitions)?;
        let mut next = self.clone();
        next.0.insert(name.clone(), injected);
        Ok(next)
    }

    /// The same without one. Errors: it is not there, or is the configuration's.
    pub fn without(&self, name: &str, written: &Written) -> Result<Self, Error> {
        let mut next = self.clone();
        if next.0.remove(name).is_some() {
            return Ok(next);
        }
        let is_written = written.rules.iter().any(|rule| rule.name == name);
        Err(if is_written { Error::OwnedByFile(name.to_owned()) } else { Error::Missing(name.to_owned()) })
    }

    /// All rules: those of the configuration, then these. Errors: there are too many.
    pub fn rules(&self, written: &Written) -> Result<Vec<Rule>, InstallError> {
        let injected = |(name, injected): (&Name, &Injected)| injected.rule(name).expect("it was checked");
        let rules: Vec<_> = written.rules.iter().cloned().chain(self.0.iter().map(injected)).collect();
        if rules.len() <= Config::RULES_MAX {
            return Ok(rules);
        }
        let (max, file) = (Config::RULES_MAX, written.rules.len());
        let told = format!(
            "there would be {}, {file} of them of the configuration, and there are at most {max}: take some out",
            rules.len()
        );
        Err(InstallError::Invalid(told))
    }

    /// All faults: those of the configuration, then these by name.
    pub fn shown(&self, written: &Written) -> Vec<Shown> {
        let of_file = written.rules.iter().map(|rule| {
            let injected = Injected::of_rule(rule);
            let source = injected.route.as_ref().and_then(|route| written.routes.get(route));
            Shown {
                name: rule.name.clone(),
                origin: "file".to_owned(),
                file: source.map(|source| source.file.clone()),
                line: source.and_then(|source| source.line),
                injected,
            }
        });
        let of_api = self.0.iter().map(|(name, injected)| Shown {
            name: name.to_string(),
            origin: "api".to_owned(),
            file: None,
            line: None,
            injected: injected.clone(),
        });
        of_file.chain(of_api).collect()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &Name) -> bool {
        self.0.contains_key(name)
    }
}

//! What a configuration says of the gateway, and where it says it.

use std::collections::BTreeMap;

use mainstay_base::id::Name;
use mainstay_base::units::Duration;
use mainstay_gateway::book::{Declared, Kind};
use mainstay_gateway::config::{Definitions, Misfit, Route, Settings, written_service};
use mainstay_gateway::explanation::{self, Asked, Explanation};
use mainstay_machine::definition::Source;
use mainstay_resilience::fault::Rule;

use super::Defined;
use crate::config::source::Origin;
use crate::config::{Config, Loaded};

/// What a configuration says of the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Policies, services and routes.
    pub definitions: Definitions,
    /// How clients are treated.
    pub settings: Settings,
    /// The faults that routes inject.
    pub rules: Vec<Rule>,
    /// Where each route is written.
    pub routes: BTreeMap<Name, Source>,
    /// Where each service is written.
    pub services: BTreeMap<Name, Source>,
    /// How long what was answered to an idempotency key is answered again.
    pub keep: Duration,
}

/// What a configuration defines.
pub fn definitions(config: &Config) -> Definitions {
    Definitions {
        policies: config.policies.clone(),
        services: config.services.clone(),
        routes: config.routes.clone(),
        listeners: config.listen.names().map(|(_, name)| name.clone()).collect(),
        has_unnamed_listener: config.listen.gateway.iter().any(|listener| listener.name.is_none()),
    }
}

/// The faults that routes inject.
pub fn rules(config: &Config) -> Vec<Rule> {
    config.routes.iter().flat_map(Route::rules).collect()
}

/// Each of these routes whose faults are wrong, at them, with what is and what to do.
pub fn wrong_faults(
    routes: &[Route],
    is_wrong: impl Fn(&Route) -> bool,
    (what, help): (&str, &str),
) -> Vec<Misfit> {
    let is_found = |(_, route): &(usize, &Route)| !route.faults.is_empty() && is_wrong(route);
    let told = |(number, _): (usize, &Route)| {
        Misfit::new(&["routes", &number.to_string(), "faults"], what).help(help)
    };
    routes.iter().enumerate().filter(is_found).map(told).collect()
}

impl Written {
    /// What was loaded, which was checked.
    pub fn of(loaded: &Loaded) -> Self {
        let Loaded { config, tree, findings, .. } = loaded;
        let source = |origin: Origin| {
            let (file, line) = findings.sources().file_line(origin);
            Source { file, line }
        };
        let route = |(number, route): (usize, &Route)| {
            let number = number.to_string();
            (route.name.clone(), source(tree.follow(["routes", &number]).0.origin))
        };
        let all = tree.entry("services");
        let service = |name: &Name| {
            let entry = all.and_then(|all| all.node.entry(name.as_str()));
            (name.clone(), source(entry.map_or(Origin::DEFAULT, |entry| entry.key_origin)))
        };
        Self {
            definitions: definitions(config),
            settings: config.gateway.clone(),
            rules: rules(config),
            routes: config.routes.iter().enumerate().map(route).collect(),
            services: config.services.keys().map(service).collect(),
            keep: config.idempotency.keep,
        }
    }

    /// Its routes and services, as files declare them.
    pub fn declared(&self) -> BTreeMap<(Kind, Name), Declared> {
        let Definitions { routes, services, .. } = &self.definitions;
        let routes = routes.iter().map(|route| (Kind::Route, &route.name, route.written(), &self.routes));
        let services = services
            .iter()
            .map(|(name, service)| (Kind::Service, name, written_service(service), &self.services));
        let declared = |(kind, name, definition, sources): (_, &Name, _, &BTreeMap<Name, Source>)| {
            ((kind, name.clone()), Declared { definition, source: sources[name].clone() })
        };
        routes.chain(services).map(declared).collect()
    }

    /// All of a kind, by name.
    pub fn all(&self, kind: Kind) -> Vec<Defined> {
        let of_kind = self.declared().into_iter().filter(|((of, _), _)| *of == kind);
        of_kind.map(|((_, name), it)| Defined::written(&name, it.source, it.definition)).collect()
    }

    /// What would become of a request. Errors: it cannot be one.
    pub fn explain(&self, asked: &Asked) -> Result<Explanation, explanation::Error> {
        self.definitions.explain(asked, &self.settings.paths)
    }
}

//! What is in force: services and routes, as requests see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_base::time::{Clock, Entropy};
use mainstay_base::units::Ratio;
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::{Criticality, Env};
use mainstay_upstream::Service;

use crate::access;
use crate::actions::Actions;
use crate::choosing::Choosing;
use crate::coding::{BodyLimit, Compression, Decompression};
use crate::config::{self, Definitions, Settings};
use crate::limits::Limits;
use crate::meters::{Meters, RouteMeters};
use crate::routes::{KeyBy, Table};
use crate::split::Parts;

/// What is in force. It never changes: a change is a new one, and requests that have begun go on with theirs.
pub struct Snapshot {
    pub(crate) generation: u64,
    /// In one piece, as connections keep it.
    pub(crate) settings: Arc<Settings>,
    services: Vec<Arc<Service>>,
    /// What requests are sent to.
    pub(crate) targets: Vec<Target>,
    pub(crate) table: Table,
    /// In the order of the table.
    pub(crate) routes: Vec<Route>,
    pub(crate) no_route: RouteMeters,
    pub(crate) no_route_name: Arc<str>,
}

/// A service with what guards it: its own policy, or that of a route.
pub(crate) struct Target {
    pub(crate) service: Arc<Service>,
    pub(crate) guard: Guard,
    /// The service's name, as the access log keeps it.
    pub(crate) label: Arc<str>,
    /// What its endpoints are chosen by, besides chance.
    pub(crate) choosing: Option<Arc<Choosing>>,
    /// The route and its policy, if it is not the service's own.
    of_route: Option<(Name, Policy)>,
}

/// A route, ready for requests. What it does not use is none.
pub(crate) struct Route {
    pub(crate) name: Name,
    /// The same, as the access log keeps it.
    pub(crate) log_name: Arc<str>,
    /// What faults call it.
    pub(crate) label: Box<str>,
    pub(crate) criticality: Criticality,
    /// Where its requests go; none if it answers them itself.
    pub(crate) to: Option<To>,
    pub(crate) mirror: Option<(usize, Ratio)>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) actions: Option<Box<Actions>>,
    pub(crate) has_cors: bool,
    pub(crate) body: Option<BodyLimit>,
    pub(crate) decompression: Option<Decompression>,
    pub(crate) compression: Option<Box<Compression>>,
    pub(crate) access_log: access::Config,
    pub(crate) meters: RouteMeters,
}

/// Where requests go: places of targets.
pub(crate) enum To {
    One(usize),
    Split { targets: Vec<usize>, parts: Parts, sticky_by: Option<KeyBy> },
}

impl Snapshot {
    /// Which one it is: each that is made after another has the next number.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All services.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service of this name.
    pub fn service(&self, name: &Name) -> Option<&Arc<Service>> {
        // They are in the order of their names, as definitions are.
        let place = self.services.binary_search_by(|service| service.name().cmp(name));
        place.ok().map(|place| &self.services[place])
    }

    /// What guards each service: its own policy, and those that routes have instead, whose names come with them.
    pub fn guards(&self) -> impl Iterator<Item = (&Name, Option<&Name>, &Guard)> {
        self.targets.iter().map(|target| {
            (target.service.name(), target.of_route.as_ref().map(|(route, _)| route), &target.guard)
        })
    }
}

impl Route {
    /// The target whose turn it is; `number` says where a request is among all numbers.
    ///
    /// # Panics
    /// If it answers by itself.
    pub(crate) fn target(&self, number: impl FnOnce() -> u64) -> usize {
        match self.to.as_ref().expect("it was checked") {
            To::One(target) => *target,
            To::Split { targets, parts, .. } => targets[parts.of(number())],
        }
    }
}

/// What snapshots are made with.
#[derive(Clone)]
pub struct Maker {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What is counted.
    pub meters: Meters,
    /// The zone of the node.
    pub zone: Option<Name>,
}

impl Maker {
    /// What is in force with these definitions and settings, which were checked, after what was. What stays as it was keeps its breakers, budgets, limits and connections.
    ///
    /// # Panics
    /// If they are not right.
    pub fn snapshot(
        &self,
        definitions: &Definitions,
        settings: Settings,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let services = self.services(definitions, previous);
        let own = |service: &Arc<Service>| Target {
            service: Arc::clone(service),
            guard: service.guard().clone(),
            label: service.name().as_str().into(),
            choosing: Choosing::of(service.config()).map(Arc::new),
            of_route: None,
        };
        let mut making = Making {
            maker: self,
            definitions,
            previous,
            settings: &settings,
            targets: services.iter().map(own).collect(),
        };
        let routes = definitions.routes.iter().map(|route| making.route(route)).collect();
        let targets = making.targets;
        let table = definitions.table().unwrap_or_else(|mistakes| panic!("they were checked: {mistakes:?}"));
        Snapshot {
            generation: previous.map_or(1, |it| it.generation + 1),
            no_route: self.meters.route("none"),
            no_route_name: "none".into(),
            settings: Arc::new(settings),
            services,
            targets,
            table,
            routes,
        }
    }

    fn services(&self, definitions: &Definitions, previous: Option<&Snapshot>) -> Vec<Arc<Service>> {
        let before: BTreeMap<&Name, &Arc<Service>> =
            previous.iter().flat_map(|it| &it.services).map(|service| (service.name(), service)).collect();
        let make = |(name, config): (&Name, &mainstay_upstream::Config)| {
            let policy = definitions.policy(config.policy.as_ref());
            let (env, zone) = (self.env_of(name.as_str()), self.zone.clone());
            match before.get(name) {
                Some(service) if service.is(config, &policy) => Arc::clone(service),
                Some(service) => Arc::new(service.changed(config.clone(), policy, env, zone)),
                None => Arc::new(Service::new(name.clone(), config.clone(), policy, env, zone)),
            }
        };
        definitions.services.iter().map(make).collect()
    }

    /// Time, chance and counts for what has this name.
    pub fn env_of(&self, name: &str) -> Env {
        let watch = self.meters.decisions(name);
        Env::new(Arc::clone(&self.clock), Arc::clone(&self.entropy), Arc::new(watch))
    }
}

/// A snapshot that is being made.
struct Making<'a> {
    maker: &'a Maker,
    definitions: &'a Definitions,
    previous: Option<&'a Snapshot>,
    settings: &'a Settings,
    /// First the services in their order, then those with policies of routes.
    targets: Vec<Target>,
}

impl Making<'_> {
    fn route(&mut self, route: &config::Route) -> Route {
        let name = route.name.as_str();
        let before = self.previous.and_then(|it| it.routes.iter().find(|known| known.name == route.name));
        let limits_before = before.and_then(|route| route.limits.as_deref());
        let limits = (!route.limit.is_empty())
            .then(|| Limits::new(name, &route.limit, limits_before, &self.maker.env_of(name)));
        let actions = Actions::build(&route.actions(), &route.matching);
        let compression = route.compression.as_ref().unwrap_or(&self.settings.compression);
        Route {
            name: route.name.clone(),
            log_name: name.into(),
            label: format!("route:{name}").into(),
            criticality: route.criticality,
            to: route.to.as_ref().map(|to| self.to(route, to)),
            mirror: route.mirror.as_ref().map(|mirror| (self.service(&mirror.service), mirror.ratio)),
            limits: limits.map(Box::new),
            actions: actions
                .unwrap_or_else(|mistakes| panic!("they were checked: {mistakes:?}"))
                .map(Box::new),
            has_cors: route.cors.is_some(),
            body: route.body.or(self.settings.body),
            decompression: route.decompression.as_ref().and_then(Switch::on).copied(),
            compression: compression.on().cloned().map(Box::new),
            access_log: route.access_log.unwrap_or(self.settings.access_log),
            meters: self.maker.meters.route(name),
        }
    }

    fn to(&mut self, route: &config::Route, to: &config::Target) -> To {
        let targets: Vec<_> = to.shares().map(|(service, _)| self.target(route, service)).collect();
        match targets.as_slice() {
            [one] => To::One(*one),
            _ => {
                let weights: Vec<_> = to.shares().map(|(_, weight)| weight).collect();
                To::Split { targets, parts: Parts::new(weights.into_iter()), sticky_by: to.sticky_by.clone() }
            }
        }
    }

    /// The place of a service with what guards it on a route.
    fn target(&mut self, route: &config::Route, service: &Name) -> usize {
        let place = self.service(service);
        let Some(policy) = &route.policy else { return place };
        let Target { service, choosing, .. } = &self.targets[place];
        let (service, choosing) = (Arc::clone(service), choosing.clone());
        let policy = self.definitions.policy(Some(policy));
        let of_route = (route.name.clone(), policy);
        let same = |known: &&Target| {
            known.of_route.as_ref() == Some(&of_route) && known.service.name() == service.name()
        };
        let known = self.previous.and_then(|it| it.targets.iter().find(same));
        let make = || Guard::new(&of_route.1, self.maker.env_of(service.name().as_str()));
        let guard = known.map_or_else(make, |known| known.guard.clone());
        let label = service.name().as_str().into();
        self.targets.push(Target { service, guard, label, choosing, of_route: Some(of_route) });
        self.targets.len() - 1
    }

    fn service(&self, name: &Name) -> usize {
        self.targets.iter().position(|target| target.service.name() == name).expect("it was checked")
    }
}

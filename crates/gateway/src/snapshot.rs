//! What is in force: services and routes, as requests see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_base::time::{Clock, Entropy};
use mainstay_resilience::{Criticality, Env};
use mainstay_upstream::Service;

use crate::config::{Definitions, Settings};
use crate::meters::{Meters, RouteMeters};
use crate::routes::Table;

/// What is in force. It never changes: a change is a new one, and requests that have begun go on with theirs.
pub struct Snapshot {
    pub(crate) generation: u64,
    /// In one piece, as connections keep it.
    pub(crate) settings: Arc<Settings>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) table: Table,
    /// In the order of the table.
    pub(crate) routes: Vec<Route>,
    pub(crate) no_route: RouteMeters,
}

pub(crate) struct Route {
    /// The place of its service.
    pub(crate) service: usize,
    pub(crate) criticality: Criticality,
    pub(crate) meters: RouteMeters,
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
}

impl Maker {
    /// What is in force with these definitions and settings, which were checked, after what was. A service that stays as it was keeps its breaker, its budgets and its connections.
    ///
    /// # Panics
    /// If they are not right.
    pub fn snapshot(
        &self,
        definitions: &Definitions,
        settings: Settings,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let before: BTreeMap<&Name, &Arc<Service>> =
            previous.iter().flat_map(|it| &it.services).map(|service| (service.name(), service)).collect();
        let services: Vec<_> = definitions
            .services
            .iter()
            .map(|(name, config)| {
                let policy = definitions.policy(config);
                let same = before.get(name).filter(|service| service.is(config, &policy));
                let make = || {
                    Arc::new(Service::new(
                        name.clone(),
                        config.clone(),
                        policy.clone(),
                        self.env_of(name.as_str()),
                    ))
                };
                same.map_or_else(make, |service| Arc::clone(service))
            })
            .collect();
        let place = |name: &Name| services.iter().position(|it| it.name() == name).expect("it was checked");
        let routes = definitions.routes.iter().map(|route| Route {
            service: place(&route.to.service),
            criticality: route.criticality,
            meters: self.meters.route(route.name.as_str()),
        });
        let routes = routes.collect();
        let table = definitions.table().unwrap_or_else(|mistakes| panic!("they were checked: {mistakes:?}"));
        let no_route = self.meters.route("none");
        Snapshot {
            generation: previous.map_or(1, |it| it.generation + 1),
            settings: Arc::new(settings),
            services,
            table,
            routes,
            no_route,
        }
    }

    /// Time, chance and counts for what has this name.
    pub(crate) fn env_of(&self, name: &str) -> Env {
        let watch = self.meters.decisions(name);
        Env::new(Arc::clone(&self.clock), Arc::clone(&self.entropy), Arc::new(watch))
    }
}

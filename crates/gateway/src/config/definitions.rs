//! What is defined, and whether it fits together.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_resilience::policy::Policy;
use mainstay_upstream::Config as Service;

use super::{Misfit, Route};
use crate::actions::Actions;
use crate::choosing::Choosing;
use crate::coding::{BodyLimit, Compression, Decompression};
use crate::limits;
use crate::routes::{Mistake, Table};
use crate::split::Target;

/// What is defined: policies, services, routes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// Policies by name. `default` guards where none is named; it is [`Policy::default`] unless it is defined.
    pub policies: BTreeMap<Name, Policy>,
    /// Services by name.
    pub services: BTreeMap<Name, Service>,
    /// Routes.
    pub routes: Vec<Route>,
    /// The names of listeners, which routes and programs may name.
    pub listeners: BTreeSet<Name>,
    /// Whether there is a listener without a name, too.
    pub has_unnamed_listener: bool,
}

impl Definitions {
    /// The policy of this name; `default` if there is no name.
    pub fn policy(&self, name: Option<&Name>) -> Policy {
        let name = name.map_or("default", Name::as_str);
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
            if let Err(wrong) = Choosing::check(service) {
                found.push(Misfit::new(&at(&path, &["balance", "key"]), wrong));
            }
            found.extend(self.unknown_policy(service.policy.as_ref(), &path));
            let gateway = service.run.as_ref().and_then(|run| run.gateway.as_ref());
            found.extend(
                gateway.and_then(|name| self.unknown_listener(name, &at(&path, &["run", "gateway"]))),
            );
        }
        for (number, route) in self.routes.iter().enumerate() {
            self.check_route(&["routes", &number.to_string()], route, &mut found);
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

    fn check_route(&self, path: &[&str], route: &Route, found: &mut Vec<Misfit>) {
        found.extend(self.unknown_policy(route.policy.as_ref(), path));
        let (actions, needs) = (route.actions(), route.actions().needs_service());
        match &route.to {
            None if needs => {
                let told = Misfit::new(path, "has no `to`: its requests have nowhere to go");
                found.push(told.help(known("services", self.services.keys())));
            }
            None => found.extend(route.idle().into_iter().map(|key| {
                let told = "does nothing: `redirect` or `answer` takes every request before it";
                Misfit::new(&at(path, &[key]), told).help("leave it out")
            })),
            Some(_) if !needs => {
                let told = Misfit::new(
                    &at(path, &["to"]),
                    "is sent nothing: `redirect` or `answer` takes every request",
                );
                found.push(told.help("leave one of them out"));
            }
            to => {
                if let Some(Err(wrong)) = to.as_ref().map(Target::check) {
                    found.push(Misfit::new(&at(path, &["to"]), wrong));
                }
            }
        }
        if let Some(service) = route.to.iter().filter_map(|to| to.service.as_ref()).find(|it| !self.has(it)) {
            found.push(self.unknown_service(&at(path, &["to", "service"]), service));
        }
        for (number, share) in route.to.iter().flat_map(|to| &to.split).enumerate() {
            if !self.has(&share.service) {
                found.push(self.unknown_service(
                    &at(path, &["to", "split", &number.to_string(), "service"]),
                    &share.service,
                ));
            }
        }
        if let Some(mirror) = route.mirror.as_ref().filter(|mirror| !self.has(&mirror.service)) {
            found.push(self.unknown_service(&at(path, &["mirror", "service"]), &mirror.service));
        }
        for (number, name) in route.matching.listeners.iter().enumerate() {
            let path = at(path, &["match", "listeners"]);
            found.extend(self.unknown_listener(name, &at(&path, &[&number.to_string()])));
        }
        check_limits(path, &route.limit, found);
        let sections = [
            ("body", route.body.as_ref().map(BodyLimit::check)),
            ("decompression", route.decompression.as_ref().and_then(Switch::on).map(Decompression::check)),
            ("compression", route.compression.as_ref().and_then(Switch::on).map(Compression::check)),
        ];
        found.extend(
            sections
                .into_iter()
                .filter_map(|(key, checked)| Some(Misfit::new(&at(path, &[key]), checked?.err()?))),
        );
        for mistake in Actions::build(&actions, &route.matching).err().into_iter().flatten() {
            let field: Vec<_> = mistake.field.iter().map(String::as_str).collect();
            found.push(Misfit::new(&at(path, &field), mistake.message));
        }
    }

    /// The routes, ready to be matched.
    pub(crate) fn table(&self) -> Result<Table, Vec<Mistake>> {
        Table::build(self.routes.iter().map(|route| (&route.name, &route.matching)))
    }

    /// What is wrong with naming this service, of which the place is not said: there is none by this name.
    pub(crate) fn unknown(&self, service: &Name) -> Option<Misfit> {
        (!self.has(service)).then(|| self.unknown_service(&[], service))
    }

    fn has(&self, service: &Name) -> bool {
        self.services.contains_key(service)
    }

    fn unknown_service(&self, path: &[&str], service: &Name) -> Misfit {
        let told = Misfit::new(path, format!("there is no service `{service}`"));
        told.help(known("services", self.services.keys()))
    }

    fn unknown_listener(&self, name: &Name, path: &[&str]) -> Option<Misfit> {
        let told = || Misfit::new(path, format!("there is no listener `{name}`"));
        (!self.listeners.contains(name)).then(|| told().help(self.known_listeners()))
    }

    /// Which listeners may be named.
    pub(crate) fn known_listeners(&self) -> String {
        if self.listeners.is_empty() {
            return "give a listener of `listen.gateway` this `name`".to_owned();
        }
        known("listen.gateway", self.listeners.iter())
    }

    fn unknown_policy(&self, named: Option<&Name>, path: &[&str]) -> Option<Misfit> {
        let name = named.filter(|it| it.as_str() != "default" && !self.policies.contains_key(*it))?;
        let told = Misfit::new(&[path, &["policy"]].concat(), format!("there is no policy `{name}`"));
        Some(told.help(known("policies", self.policies.keys())))
    }
}

/// How much each caller of a route may send.
fn check_limits(path: &[&str], all: &[limits::Config], found: &mut Vec<Misfit>) {
    if all.len() > limits::Config::LIMITS_MAX {
        let told = format!("has {} limits, and there are at most {}", all.len(), limits::Config::LIMITS_MAX);
        found.push(Misfit::new(&at(path, &["limit"]), told).help("leave some out"));
    }
    for (number, limit) in all.iter().enumerate() {
        if all[..number].contains(limit) {
            let told = Misfit::new(&at(path, &["limit", &number.to_string()]), "is there twice");
            found.push(told.help("leave one of them out"));
        }
        if let Err(wrong) = limit.check() {
            found.push(Misfit::new(&at(path, &["limit", &number.to_string()]), wrong));
        }
    }
}

fn at<'a>(path: &[&'a str], keys: &[&'a str]) -> Vec<&'a str> {
    [path, keys].concat()
}

fn known<'a>(what: &str, names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<_> = names.map(Name::as_str).collect();
    if names.is_empty() {
        return format!("define it in `{what}`");
    }
    format!("`{what}` has {}", names.join(", "))
}

//! Which route a request takes.
//!
//! Routes are matched by host, path, listener, method, headers, query and an expression ([`Match`]). Which of several that match takes the request does not depend on the order in which
//! they are written. Routes are compared, and the first difference decides:
//!
//! 1. **Host**: an exact one, then the longer wildcard, then any.
//! 2. **Path**, segment by segment: a text, then `{name}`, then the end of the pattern, then `{rest...}`.
//! 3. **Priority**, the higher one.
//! 4. **Listeners**: fewer, then any.
//! 5. **Methods**: fewer, then all. HEAD goes to a route that names it, then to one that names GET, then to one for all methods.
//! 6. **Headers**: more conditions, then more exact ones, then longer prefixes.
//! 7. **Query**: likewise.
//! 8. **When**: with one, then without.
//!
//! A table in which two routes could still be equal for some request is not built, nor one with a route that never takes a request ([`Mistake`]).
//!
//! A request costs one walk over its path for each of the host's patterns (exact, wildcards, any) that the table has. A walk enters each node of a tree of segments at most once, so its steps
//! are bounded by the table and not by the path, and a table of thousands of routes costs what one of ten does, as long as their paths differ: routes with one host and path are tried
//! one after the other. Nothing is allocated. Pure: no I/O, no clock.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::ControlFlow;

use http::Method;
use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_machine::expression::Error;

mod build;
mod config;
mod explain;
mod key;
mod listeners;
mod mistake;
mod order;
mod seen;
mod template;
mod trie;
mod when;

pub use config::{
    Condition, FieldName, Host, HostError, Hosts, Match, MethodName, Pattern, PatternError, Segment,
    WordError, host,
};
pub use explain::{Explained, Other, Why};
pub use key::KeyBy;
pub use mistake::Mistake;
pub use order::Criterion;
pub use seen::{Headers, NAMES, Query, Seen};
pub use template::{Escape, Place, RenderError, Template, TemplateError};
pub use when::When;

use listeners::{Bound, Listeners};
use order::World;
use trie::{Segments, Trie};

/// Routes, ready to be matched.
pub struct Table {
    routes: Box<[Route]>,
    leaves: Box<[Leaf]>,
    trie: Trie,
    listeners: Listeners,
}

struct Route {
    name: Name,
    wanted: Match,
    listeners: Bound,
    /// The places of the segments that have names.
    params: Box<[usize]>,
    /// Whether the last of them is the rest.
    has_rest: bool,
}

/// The routes of one host and path, by their places, in the order in which they take requests.
#[derive(Debug)]
struct Leaf {
    /// For every method but HEAD.
    others: Box<[u32]>,
    /// For HEAD; those that take it.
    head: Box<[u32]>,
}

/// What of a request is compared by other means than as it came.
#[derive(Clone, Copy)]
struct At<'m> {
    world: World,
    method: &'m Method,
    listener: listeners::Place,
}

/// The route that takes a request.
#[derive(Clone, Copy)]
pub struct Found<'t, 'p> {
    /// Its place among the routes that the table was built of.
    pub route: usize,
    wanted: &'t Match,
    values: [&'p str; Pattern::PARAMS_MAX],
}

/// A condition of a route takes too long on a request, so that it is not known which route takes it: what a client can bring about must not decide against the route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the condition of the route `{route}` takes too long on this request: send less in its headers and query"
)]
pub struct Costly {
    /// Its name.
    pub route: Name,
}

impl Classify for Costly {
    fn code(&self) -> Code {
        Code::Malformed
    }
}

/// The methods that a path has, for the answer 405. Written as the header `Allow` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow(BTreeSet<String>);

impl Table {
    /// A table of routes, by their names. Errors: everything that is wrong with them.
    pub fn build<'c>(routes: impl Iterator<Item = (&'c Name, &'c Match)>) -> Result<Self, Vec<Mistake>> {
        build::table(routes)
    }

    /// The route that takes a request; none if no route matches it, when [`Table::allowed`] says whether it is for its method. Errors: [`Costly`].
    pub fn find<'t, 'r>(&'t self, request: &Seen<'r>) -> Result<Option<Found<'t, 'r>>, Costly> {
        self.find_for(request.method, request)
    }

    /// The route that would take a request if it had this method, as far as that is not looked at in conditions. Errors: [`Costly`].
    pub fn find_for<'t, 'r>(
        &'t self,
        method: &Method,
        request: &Seen<'r>,
    ) -> Result<Option<Found<'t, 'r>>, Costly> {
        if !request.path.starts_with('/') {
            return Ok(None);
        }
        let path = self.trie.segments(request.path);
        let at = At { world: World::of(method), method, listener: self.listeners.place(request.listener) };
        let mut first = |leaf: usize| match self.first(&self.leaves[leaf], at, request) {
            Ok(Some(route)) => ControlFlow::Break(Ok(route)),
            Ok(None) => ControlFlow::Continue(()),
            Err(costly) => ControlFlow::Break(Err(costly)),
        };
        let route = self.trie.walk(request.host, &path, &mut first).break_value().transpose()?;
        Ok(route.map(|route| self.found(route, &path)))
    }

    /// The methods of the routes that match a request but for its method; none if there are no such routes: the path is not there.
    pub fn allowed(&self, request: &Seen<'_>) -> Option<Allow> {
        if !request.path.starts_with('/') {
            return None;
        }
        let (mut methods, listener) = (BTreeSet::new(), self.listeners.place(request.listener));
        let mut collect = |leaf: usize| {
            for route in &self.leaves[leaf].others {
                let Route { wanted, listeners, .. } = &self.routes[*route as usize];
                if listeners.takes(listener) && conditions_hold(wanted, request) == Ok(true) {
                    methods.extend(wanted.methods.iter().map(ToString::to_string));
                }
            }
            ControlFlow::<()>::Continue(())
        };
        let path = self.trie.segments(request.path);
        if self.trie.walk(request.host, &path, &mut collect).is_break() || methods.is_empty() {
            return None;
        }
        if methods.contains(Method::GET.as_str()) {
            methods.insert(Method::HEAD.as_str().to_owned());
        }
        Some(Allow(methods))
    }

    /// Which route takes a request, and why each of the others does not, in the order of the routes. For people: it takes time in proportion to the number of routes.
    pub fn explain(&self, request: &Seen<'_>) -> Explained<'_> {
        explain::explain(self, request)
    }

    fn first(
        &self,
        leaf: &Leaf,
        At { world, method, listener }: At<'_>,
        request: &Seen<'_>,
    ) -> Result<Option<usize>, Costly> {
        let places = if world == World::Head { &leaf.head } else { &leaf.others };
        for place in places.iter().map(|place| *place as usize) {
            let Route { name, wanted, listeners, .. } = &self.routes[place];
            if !listeners.takes(listener) || world != World::Head && !order::takes(wanted, method) {
                continue;
            }
            if conditions_hold(wanted, request).map_err(|Endless| Costly { route: name.clone() })? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn found<'p>(&self, route: usize, path: &Segments<'p>) -> Found<'_, 'p> {
        let Route { wanted, params, has_rest, .. } = &self.routes[route];
        let mut values = [""; Pattern::PARAMS_MAX];
        for (value, place) in values.iter_mut().zip(params) {
            let is_rest = *has_rest && params.last() == Some(place);
            *value = if is_rest { path.rest(*place) } else { path.segment(*place) };
        }
        Found { route, wanted, values }
    }
}

/// An expression has not come to its end.
#[derive(Debug, PartialEq, Eq)]
struct Endless;

/// Whether what a route says beyond host, path, listeners and methods holds for a request.
fn conditions_hold(wanted: &Match, request: &Seen<'_>) -> Result<bool, Endless> {
    let (headers, query) = (&request.headers, request.query);
    let fields_hold = wanted.headers.iter().all(|(name, condition)| {
        let name = name.as_str();
        condition.holds(headers.is_there(name), |text| headers.relation(name, text))
    }) && wanted
        .query
        .iter()
        .all(|(name, condition)| condition.holds(query.is_there(name), |text| query.relation(name, text)));
    match wanted.when.as_ref().filter(|_| fields_hold).map(|when| when.holds(request)) {
        None => Ok(fields_hold),
        Some(Ok(holds)) => Ok(holds),
        Some(Err(Error::Steps)) => Err(Endless),
        // Without a result it does not hold.
        Some(Err(_)) => Ok(false),
    }
}

impl<'t, 'p> Found<'t, 'p> {
    /// The parts of the path that have names, as they stand in it: in its normal form, percent-encoded.
    pub fn params(&self) -> impl Iterator<Item = (&'t str, &'p str)> {
        let names = self.wanted.path.iter().flat_map(Pattern::params);
        names.zip(self.values)
    }

    /// The part of the path with a name; none if the route has no such name.
    pub fn param(&self, name: &str) -> Option<&'p str> {
        self.params().find(|(param, _)| *param == name).map(|(_, value)| value)
    }

    /// The same by its place among the names of the pattern.
    fn value(&self, place: usize) -> &'p str {
        self.values[place]
    }
}

/// The place, and what stands for the names.
impl Debug for Found<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.route)?;
        f.debug_map().entries(self.params()).finish()
    }
}

impl Debug for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.name)).finish()
    }
}

impl Display for Allow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, method) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(method)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

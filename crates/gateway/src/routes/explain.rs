//! Why a request takes its route, and no other one.

use std::fmt::{self, Display, Formatter};

use mainstay_base::id::Name;

use super::config::{Condition, Match};
use super::order::{self, Criterion, Rank, World};
use super::seen::Seen;
use super::{Allow, Table, listeners};

/// Why a request takes its route, and no other one. Written as lines for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'t> {
    /// The route that takes the request.
    pub route: Option<(usize, &'t Name)>,
    /// All others, in the order of the routes.
    pub others: Vec<Other<'t>>,
    /// Without a route: the methods that would have one.
    pub allowed: Option<Allow>,
}

/// A route that does not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other<'t> {
    /// Its place among the routes that the table was built of.
    pub route: usize,
    /// Its name.
    pub name: &'t Name,
    /// Why.
    pub why: Why<'t>,
}

/// Why a route does not take a request: the first of its conditions that does not hold, with what is there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why<'t> {
    /// The host is another one.
    Host {
        /// The route's hosts.
        wanted: String,
        /// The request's.
        is: String,
    },
    /// The path is another one.
    Path {
        /// The route's pattern.
        wanted: String,
        /// The request's path in normal form.
        is: String,
    },
    /// The listener is another one.
    Listener {
        /// The route's listeners.
        wanted: String,
        /// The one by which the request came in; none if it has no name.
        is: Option<String>,
    },
    /// The method is another one.
    Method {
        /// The route's methods.
        wanted: String,
        /// The request's.
        is: String,
    },
    /// A header is not as it has to be.
    Header {
        /// Its name.
        name: &'t str,
        /// What it has to be.
        wanted: &'t Condition,
        /// Its value; none if it is not there.
        is: Option<String>,
    },
    /// A parameter of the query is not as it has to be.
    Query {
        /// Its name.
        name: &'t str,
        /// What it has to be.
        wanted: &'t Condition,
        /// Its values.
        is: Vec<String>,
    },
    /// The expression does not hold.
    When {
        /// The expression.
        wanted: &'t str,
        /// Why it has no result, if it has none.
        error: Option<String>,
    },
    /// It matches, but the route that takes the request comes first.
    Outranked {
        /// What decided.
        by: Criterion,
    },
}

pub(super) fn explain<'t>(table: &'t Table, request: &Seen<'_>) -> Explained<'t> {
    let found = table.find(request).ok().flatten().map(|found| found.route);
    let others = table.routes.iter().enumerate().filter(|(place, _)| Some(*place) != found);
    let others = others.map(|(place, route)| {
        let why = failed(&route.wanted, request).or_else(|| {
            found.map(|found| Why::Outranked {
                by: criterion(&table.routes[found].wanted, &route.wanted, request),
            })
        });
        let why = why.expect("a route that matches is found, or another one is");
        Other { route: place, name: &route.name, why }
    });
    let named = |place: usize| -> (usize, &'t Name) { (place, &table.routes[place].name) };
    Explained {
        route: found.map(named),
        others: others.collect(),
        allowed: if found.is_none() { table.allowed(request) } else { None },
    }
}

/// The first condition of a route that does not hold, worked out without the table.
fn failed<'t>(wanted: &'t Match, request: &Seen<'_>) -> Option<Why<'t>> {
    if !wanted.host.is_empty() && !wanted.host.iter().any(|host| host.matches(request.host)) {
        return Some(Why::Host { wanted: listed(&wanted.host), is: request.host.to_owned() });
    }
    if !wanted.path.as_ref().map_or(request.path.starts_with('/'), |path| path.matches(request.path)) {
        let pattern = wanted.path.as_ref().map_or_else(|| "/{rest...}".to_owned(), ToString::to_string);
        return Some(Why::Path { wanted: pattern, is: request.path.to_owned() });
    }
    if !listeners::named(&wanted.listeners, request.listener) {
        let is = Some(request.listener).filter(|name| !name.is_empty()).map(ToOwned::to_owned);
        return Some(Why::Listener { wanted: listed(&wanted.listeners), is });
    }
    if !order::takes(wanted, request.method) {
        return Some(Why::Method { wanted: listed(&wanted.methods), is: request.method.to_string() });
    }
    let header = wanted.headers.iter().find(|(name, condition)| {
        let name = name.as_str();
        !condition.holds(request.headers.is_there(name), |text| request.headers.relation(name, text))
    });
    if let Some((name, wanted)) = header {
        let name = name.as_str();
        return Some(Why::Header { name, wanted, is: request.headers.value(name).map(Into::into) });
    }
    let query = wanted.query.iter().find(|(name, condition)| {
        !condition.holds(request.query.is_there(name), |text| request.query.relation(name, text))
    });
    if let Some((name, wanted)) = query {
        return Some(Why::Query { name, wanted, is: request.query.values(name).map(Into::into).collect() });
    }
    let when = wanted.when.as_ref()?;
    match when.holds(request) {
        Ok(true) => None,
        Ok(false) => Some(Why::When { wanted: when.source(), error: None }),
        Err(error) => Some(Why::When { wanted: when.source(), error: Some(error.to_string()) }),
    }
}

/// What decides between two routes that match a request.
fn criterion(first: &Match, later: &Match, request: &Seen<'_>) -> Criterion {
    let host = |wanted: &Match| {
        let matching = wanted.host.iter().filter(|host| host.matches(request.host));
        matching.map(|host| (!host.is_wildcard(), host.name().len())).max()
    };
    if host(first) != host(later) {
        return Criterion::Host;
    }
    if order::path_rank(first.path.as_ref()) != order::path_rank(later.path.as_ref()) {
        return Criterion::Path;
    }
    let world = World::of(request.method);
    Rank::of(first, world).criterion(&Rank::of(later, world))
}

fn listed<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.route, &self.allowed) {
            (Some((_, name)), _) => writeln!(f, "{name} takes it")?,
            (None, Some(allowed)) => {
                writeln!(f, "no route takes it: the answer is 405, with Allow: {allowed}")?;
            }
            (None, None) => writeln!(f, "no route takes it: the answer is 404")?,
        }
        self.others.iter().try_for_each(|other| writeln!(f, "{}: {}", other.name, other.why))
    }
}

impl Display for Why<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { wanted, is } => write!(f, "the host is {is}, not {wanted}"),
            Self::Path { wanted, is } => write!(f, "the path is {is}, not {wanted}"),
            Self::Listener { wanted, is: Some(is) } => write!(f, "the listener is {is}, not {wanted}"),
            Self::Listener { wanted, is: None } => {
                write!(f, "the listener has no name, and has to be {wanted}")
            }
            Self::Method { wanted, is } => write!(f, "the method is {is}, not {wanted}"),
            Self::Header { name, wanted, is } => match is {
                Some(is) => write!(f, "header {name} is {is:?}, and has to be {wanted}"),
                None => write!(f, "header {name} is not there, and has to be {wanted}"),
            },
            Self::Query { name, wanted, is } => match is.as_slice() {
                [] => write!(f, "query parameter {name} is not there, and has to be {wanted}"),
                [is] => write!(f, "query parameter {name} is {is:?}, and has to be {wanted}"),
                is => write!(f, "query parameter {name} is {is:?}, and each has to be {wanted}"),
            },
            Self::When { wanted, error: None } => write!(f, "`{wanted}` does not hold"),
            Self::When { wanted, error: Some(error) } => write!(f, "`{wanted}` has no result: {error}"),
            Self::Outranked { by } => write!(f, "it matches as well, and {by}"),
        }
    }
}

impl Display for Criterion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "its host is less specific",
            Self::Path => "its path is less specific",
            Self::Priority => "its priority is lower",
            Self::Listeners => "its listeners are less specific",
            Self::Methods => "its methods are less specific",
            Self::Headers => "its conditions on headers are less specific",
            Self::Query => "its conditions on the query are less specific",
            Self::When => "it has no `when`",
        })
    }
}

//! Which of several routes that match a request takes it, and what routes say of each other.
//!
//! Of two hosts the exact one comes first, then the longer wildcard, then any host. Of two paths the one whose segment, at the first one where they differ, is a literal, then
//! a name, then the end, then the rest. With the same host and path, [`Rank`] decides. For one request each of these is a total order, so two routes are equal only if
//! they share host, path and rank; then they must exclude each other.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use http::Method;

use super::config::{Condition, Match, MethodName, Pattern, Segment};

/// Where a route stands among those with the same host and path; the least takes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<i32>,
    listeners: Listeners,
    methods: Methods,
    headers: Conditions,
    query: Conditions,
    /// Routes without `when` come last.
    has_no_when: bool,
}

/// Fewer listeners are more specific, and any listener least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Listeners {
    Named(usize),
    Any,
}

/// Fewer methods are more specific, and all methods least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Methods {
    Named(usize),
    /// For HEAD only: it is taken for GET.
    AsGet(usize),
    Any,
}

/// More conditions are more specific, then more exact ones, then longer prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Conditions {
    count: Reverse<usize>,
    exact: Reverse<usize>,
    prefix_bytes: Reverse<usize>,
}

/// What decided between two routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The host of the other one is more specific.
    Host,
    /// The path of the other one is more specific.
    Path,
    /// The other one has a higher priority.
    Priority,
    /// The other one names its listeners, or fewer.
    Listeners,
    /// The other one names the method, or fewer methods.
    Methods,
    /// The other one has more, or more exact, conditions on headers.
    Headers,
    /// The other one has more, or more exact, conditions on the query.
    Query,
    /// The other one has a `when`.
    When,
}

/// Of which requests: those for HEAD, or those for any other method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    Head,
    Others,
}

impl World {
    pub(super) fn of(method: &Method) -> Self {
        if *method == Method::HEAD { Self::Head } else { Self::Others }
    }
}

impl Rank {
    pub(super) fn of(route: &Match, world: World) -> Self {
        let count = route.methods.len();
        let methods = match world {
            _ if count == 0 => Methods::Any,
            World::Head if !names(route, &Method::HEAD) => Methods::AsGet(count),
            _ => Methods::Named(count),
        };
        let listeners = match route.listeners.len() {
            0 => Listeners::Any,
            count => Listeners::Named(count),
        };
        Self {
            priority: Reverse(route.priority),
            listeners,
            methods,
            headers: Conditions::of(route.headers.values()),
            query: Conditions::of(route.query.values()),
            has_no_when: route.when.is_none(),
        }
    }

    /// What decides between this one and one after it.
    pub(super) fn criterion(&self, other: &Self) -> Criterion {
        if self.priority != other.priority {
            Criterion::Priority
        } else if self.listeners != other.listeners {
            Criterion::Listeners
        } else if self.methods != other.methods {
            Criterion::Methods
        } else if self.headers != other.headers {
            Criterion::Headers
        } else if self.query != other.query {
            Criterion::Query
        } else {
            Criterion::When
        }
    }
}

impl Conditions {
    fn of<'c>(conditions: impl Iterator<Item = &'c Condition>) -> Self {
        let (mut count, mut exact, mut prefix_bytes) = (0, 0, 0);
        for condition in conditions {
            count += 1;
            match condition {
                Condition::Exact(_) => exact += 1,
                Condition::Prefix(text) => prefix_bytes += text.len(),
                Condition::Present | Condition::Absent => {}
            }
        }
        Self { count: Reverse(count), exact: Reverse(exact), prefix_bytes: Reverse(prefix_bytes) }
    }
}

/// Something that orders the patterns which match one path, more specific ones first.
pub(super) fn path_rank(pattern: Option<&Pattern>) -> Vec<u8> {
    const END: u8 = 2;
    const REST: u8 = 3;
    let Some(pattern) = pattern else { return vec![REST] };
    let mut rank: Vec<u8> = pattern
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Param(_) => 1,
            Segment::Rest(_) => REST,
        })
        .collect();
    if rank.last() != Some(&REST) {
        rank.push(END);
    }
    rank
}

fn names(route: &Match, method: &Method) -> bool {
    route.methods.iter().any(|name| name.method() == method)
}

/// Whether a route takes a method, HEAD as GET.
pub(super) fn takes(route: &Match, method: &Method) -> bool {
    route.methods.is_empty() || names(route, method) || *method == Method::HEAD && names(route, &Method::GET)
}

/// Whether there may be requests, with a path and a host of both, that both match. True for any two `when`: what they mean is not worked out.
pub(super) fn overlap(one: &Match, other: &Match, world: World) -> bool {
    let is_shared = |method: &MethodName| *method.method() != Method::HEAD && names(other, method.method());
    let share_method = world == World::Head
        || one.methods.is_empty()
        || other.methods.is_empty()
        || one.methods.iter().any(is_shared);
    let is_known = |name| other.listeners.contains(name);
    let share_listener =
        one.listeners.is_empty() || other.listeners.is_empty() || one.listeners.iter().any(is_known);
    share_listener
        && share_method
        && !excluded(&one.headers, &other.headers)
        && !excluded(&one.query, &other.query)
}

fn excluded<K: Ord>(one: &BTreeMap<K, Condition>, other: &BTreeMap<K, Condition>) -> bool {
    one.iter().any(|(name, condition)| other.get(name).is_some_and(|other| condition.excludes(other)))
}

/// Whether every request with a method of both that matches the narrow one, with its path and host, matches the wide one.
pub(super) fn covers(wide: &Match, narrow: &Match) -> bool {
    fn implied<K: Ord>(wide: &BTreeMap<K, Condition>, narrow: &BTreeMap<K, Condition>) -> bool {
        wide.iter().all(|(name, wide)| narrow.get(name).is_some_and(|narrow| narrow.implies(wide)))
    }
    let has_listeners = wide.listeners.is_empty()
        || !narrow.listeners.is_empty() && narrow.listeners.iter().all(|name| wide.listeners.contains(name));
    has_listeners
        && implied(&wide.headers, &narrow.headers)
        && implied(&wide.query, &narrow.query)
        && (wide.when.is_none() || wide.when == narrow.when)
}

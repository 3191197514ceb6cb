//! Makes a table of routes, or tells what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use mainstay_base::id::Name;

use super::config::{Host, Match, Segment};
use super::listeners::{Bound, Listeners};
use super::mistake::Mistake;
use super::order::{self, Rank, World};
use super::trie::Builder;
use super::{Leaf, Route, Table};

pub(super) fn table<'c>(routes: impl Iterator<Item = (&'c Name, &'c Match)>) -> Result<Table, Vec<Mistake>> {
    let all: Vec<_> = routes.collect();
    let listeners = Listeners::of(all.iter().map(|(_, wanted)| *wanted));
    let routes: Vec<Route> =
        all.iter().map(|(name, wanted)| Route::new(name, wanted, listeners.bound(wanted))).collect();
    let mut mistakes = check_each(&routes);
    let (mut builder, mut members) = (Builder::default(), Vec::<Vec<usize>>::new());
    for (place, route) in routes.iter().enumerate() {
        for host in hosts(&route.wanted) {
            let leaf = builder.insert(host, route.wanted.path.as_ref());
            if leaf == members.len() {
                members.push(Vec::new());
            }
            // A host that is named twice is a mistake of its own.
            if members[leaf].last() != Some(&place) {
                members[leaf].push(place);
            }
        }
    }
    let leaves: Box<[Leaf]> = members.iter().map(|members| leaf(&routes, members)).collect();
    mistakes.extend(check_ambiguous(&routes, &leaves));
    mistakes.extend(check_unreachable(&routes, &leaves));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(Table { routes: routes.into(), leaves, trie: builder.finish(), listeners })
}

/// The hosts of a route, of which any is one.
fn hosts(wanted: &Match) -> impl Iterator<Item = Option<&Host>> {
    let any = wanted.host.is_empty().then_some(None);
    any.into_iter().chain(wanted.host.iter().map(Some))
}

fn check_each(routes: &[Route]) -> Vec<Mistake> {
    let (mut mistakes, mut names) = (Vec::new(), BTreeSet::new());
    for route in routes {
        let mut found = |field, reason| {
            mistakes.push(Mistake { route: route.name.clone(), other: None, field, reason });
        };
        if !names.insert(&route.name) {
            found("name", "is the name of two routes: give each its own".to_owned());
        }
        if let Err((field, reason)) = route.wanted.check() {
            found(field, reason);
        }
    }
    mistakes
}

/// The routes of one host and path in the order in which they take requests.
fn leaf(routes: &[Route], members: &[usize]) -> Leaf {
    let ordered = |world: World| {
        let is_in =
            |place: &&usize| world == World::Others || order::takes(&routes[**place].wanted, &Method::HEAD);
        let mut places: Vec<usize> = members.iter().filter(is_in).copied().collect();
        places.sort_by_key(|place| Rank::of(&routes[*place].wanted, world));
        places.into_iter().map(|place| u32::try_from(place).expect("memory ends before")).collect()
    };
    Leaf { others: ordered(World::Others), head: ordered(World::Head) }
}

/// Routes of one rank that do not exclude each other.
fn check_ambiguous(routes: &[Route], leaves: &[Leaf]) -> Vec<Mistake> {
    let mut pairs = BTreeSet::new();
    for leaf in leaves {
        for (world, places) in [(World::Others, &leaf.others), (World::Head, &leaf.head)] {
            let places: Vec<usize> = places.iter().map(|place| *place as usize).collect();
            let rank = |place: &usize| Rank::of(&routes[*place].wanted, world);
            for equal in places.chunk_by(|one, other| rank(one) == rank(other)) {
                for (count, one) in equal.iter().enumerate() {
                    let overlaps =
                        |other: &&usize| order::overlap(&routes[*one].wanted, &routes[**other].wanted, world);
                    pairs.extend(
                        equal[count + 1..]
                            .iter()
                            .filter(overlaps)
                            .map(|other| (*one.min(other), *one.max(other))),
                    );
                }
            }
        }
    }
    pairs.into_iter().map(|(one, other)| ambiguous(&routes[one], &routes[other])).collect()
}

fn ambiguous(one: &Route, other: &Route) -> Mistake {
    let (one_when, other_when) = (&one.wanted.when, &other.wanted.when);
    let (field, why) = match (one_when, other_when) {
        (Some(when), Some(other)) if when != other => {
            ("when", "what two expressions have in common is not worked out")
        }
        _ => ("path", "neither is more specific"),
    };
    let name = &other.name;
    let reason = format!(
        "matches requests that `{name}` matches too, and {why}: give one of them a higher `priority`, or both listeners, methods, headers or a query that exclude each other"
    );
    Mistake { route: one.name.clone(), other: Some(name.clone()), field, reason }
}

/// Routes of which all that they match is taken by ones before them, for each host and method by one of these alone.
fn check_unreachable(routes: &[Route], leaves: &[Leaf]) -> Vec<Mistake> {
    // Of each route that is taken from everywhere so far: by whom.
    let mut taken: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for leaf in leaves {
        for (place, route) in leaf.others.iter().map(|place| (*place as usize, &routes[*place as usize])) {
            let by = taker(routes, leaf, place, &route.wanted);
            let entry = taken.entry(place).or_insert(by);
            *entry = entry.and(by);
        }
    }
    let found = taken.into_iter().filter_map(|(place, by)| Some((&routes[place], &routes[by?])));
    found.map(|(route, by)| unreachable(route, by)).collect()
}

/// Who takes what a route matches in a leaf, if somebody takes each of its methods; of several the one that takes its first.
fn taker(routes: &[Route], leaf: &Leaf, place: usize, wanted: &Match) -> Option<usize> {
    let before = |world: World, method: Option<&Method>| {
        let places = if world == World::Head { &leaf.head } else { &leaf.others };
        let rank = Rank::of(wanted, world);
        places.iter().map(|other| *other as usize).find(|other| {
            let wide = &routes[*other].wanted;
            let has_method = method.map_or(wide.methods.is_empty(), |method| order::takes(wide, method));
            *other != place && Rank::of(wide, world) < rank && has_method && order::covers(wide, wanted)
        })
    };
    if wanted.methods.is_empty() {
        return before(World::Others, None);
    }
    let mut takers = wanted.methods.iter().map(|name| before(World::of(name.method()), Some(name.method())));
    let first = takers.next()??;
    takers.all(|taker| taker.is_some()).then_some(first)
}

fn unreachable(route: &Route, by: &Route) -> Mistake {
    let reason = format!(
        "of {} keeps this route from every request: all that it matches, `{}` with {} takes. Raise it, lower the other one, or leave this route out",
        route.wanted.priority, by.name, by.wanted.priority
    );
    Mistake { route: route.name.clone(), other: Some(by.name.clone()), field: "priority", reason }
}

impl Route {
    fn new(name: &Name, wanted: &Match, listeners: Bound) -> Self {
        let segments = wanted.path.as_ref().map_or(&[][..], |path| path.segments());
        let is_named = |(_, segment): &(usize, &Segment)| !matches!(segment, Segment::Literal(_));
        let params = (0..).zip(segments).filter(is_named).map(|(place, _)| place).collect();
        let has_rest = matches!(segments.last(), Some(Segment::Rest(_)));
        Self { name: name.clone(), wanted: wanted.clone(), listeners, params, has_rest }
    }
}

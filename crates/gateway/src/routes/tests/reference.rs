//! What the documented rules say, worked out by trying every route.

use std::cmp::Reverse;

use super::*;

/// What a request is compared by: the least takes it.
type Order = (Vec<usize>, Vec<u8>, Reverse<i32>, usize, Vec<usize>, [Reverse<usize>; 6], bool);

/// The routes that match a request, with what they are compared by.
pub(super) fn matching(routes: &Routes, request: &Request) -> Vec<(Order, usize)> {
    let matching = routes.iter().enumerate().filter(|(_, (_, wanted))| {
        takes_method(wanted, request) && matches_but_for_the_method(wanted, request)
    });
    matching.map(|(place, (_, wanted))| (order(wanted, request), place)).collect()
}

/// The one that takes it, and how many are as good as it.
pub(super) fn best(routes: &Routes, request: &Request) -> Option<(usize, usize)> {
    let matching = matching(routes, request);
    let (least, place) = matching.iter().min()?;
    Some((*place, matching.iter().filter(|(order, _)| order == least).count()))
}

pub(super) fn takes_method(wanted: &Match, request: &Request) -> bool {
    let named: Vec<&str> = wanted.methods.iter().map(|name| name.method().as_str()).collect();
    match request.method.as_str() {
        _ if named.is_empty() => true,
        "HEAD" => named.contains(&"HEAD") || named.contains(&"GET"),
        method => named.contains(&method),
    }
}

pub(super) fn takes_listener(wanted: &Match, request: &Request) -> bool {
    let named: Vec<&str> = wanted.listeners.iter().map(Name::as_str).collect();
    named.is_empty() || named.contains(&&*request.listener)
}

pub(super) fn matches_but_for_the_method(wanted: &Match, request: &Request) -> bool {
    let host = wanted.host.is_empty() || host_rank(wanted, &request.host).is_some();
    let path =
        wanted.path.as_ref().is_none_or(|pattern| captures(&pattern.to_string(), &request.path).is_some());
    let headers = wanted.headers.iter().all(|(name, condition)| {
        let lines: Vec<_> =
            request.headers.get_all(name.as_str()).iter().map(|line| line.to_str().unwrap()).collect();
        if lines.is_empty() { *condition == Condition::Absent } else { says(condition, &lines.join(", ")) }
    });
    let query = wanted.query.iter().all(|(name, condition)| {
        let pairs =
            request.query.iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
        let values: Vec<_> = pairs.filter(|(found, _)| found == name).map(|(_, value)| value).collect();
        match values.as_slice() {
            [] => *condition == Condition::Absent,
            values => values.iter().all(|value| says(condition, value)),
        }
    });
    let when = wanted.when.as_ref().is_none_or(|when| when.holds(&request.seen()) == Ok(true));
    host && path && takes_listener(wanted, request) && headers && query && when
}

fn says(condition: &Condition, value: &str) -> bool {
    match condition {
        Condition::Exact(text) => value == text,
        Condition::Prefix(text) => value.starts_with(text),
        Condition::Present => true,
        Condition::Absent => false,
    }
}

/// What names stand for, by a walk from both texts' fronts.
pub(super) fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (wanted, rest_of_pattern) =
        pattern[1..].split_once('/').map_or((&pattern[1..], None), |(first, rest)| (first, Some(rest)));
    if wanted.ends_with("...}") {
        return Some(vec![path.strip_prefix('/').unwrap_or(path).to_owned()]);
    }
    let inner = path.strip_prefix('/')?;
    let end = inner.find('/').unwrap_or(inner.len());
    let (segment, rest) = inner.split_at(end);
    let captured = if wanted.starts_with('{') { Some(segment.to_owned()) } else { None };
    let is_right = if captured.is_some() { !segment.is_empty() } else { segment == wanted };
    let below = match rest_of_pattern {
        Some(pattern) => captures(&format!("/{pattern}"), rest)?,
        None if rest.is_empty() => Vec::new(),
        None => return None,
    };
    is_right.then(|| captured.into_iter().chain(below).collect())
}

fn host_rank(wanted: &Match, host: &str) -> Option<Vec<usize>> {
    let ranks = wanted.host.iter().filter_map(|wanted| {
        let wanted = wanted.to_string();
        match wanted.strip_prefix('*') {
            None => (wanted == host).then(|| vec![0]),
            Some(end) => {
                (host.ends_with(end) && host.len() > end.len()).then(|| vec![1, usize::MAX - end.len()])
            }
        }
    });
    ranks.min()
}

fn order(wanted: &Match, request: &Request) -> Order {
    let host = host_rank(wanted, &request.host).unwrap_or_else(|| vec![2]);
    let pattern = wanted.path.as_ref().map_or_else(|| "/{all...}".to_owned(), ToString::to_string);
    let mut path: Vec<u8> = pattern[1..]
        .split('/')
        .map(|segment| match segment {
            rest if rest.ends_with("...}") => 3,
            name if name.starts_with('{') => 1,
            _ => 0,
        })
        .collect();
    if !path.contains(&3) {
        path.push(2);
    }
    let named: Vec<&str> = wanted.methods.iter().map(|name| name.method().as_str()).collect();
    let methods = match request.method.as_str() {
        _ if named.is_empty() => vec![2],
        "HEAD" if !named.contains(&"HEAD") => vec![1, named.len()],
        _ => vec![0, named.len()],
    };
    let count = |conditions: Vec<&Condition>| {
        let exact = conditions.iter().filter(|condition| matches!(condition, Condition::Exact(_))).count();
        let prefixes = conditions
            .iter()
            .map(|condition| if let Condition::Prefix(text) = condition { text.len() } else { 0 });
        [Reverse(conditions.len()), Reverse(exact), Reverse(prefixes.sum())]
    };
    let ([a, b, c], [d, e, f]) =
        (count(wanted.headers.values().collect()), count(wanted.query.values().collect()));
    let listeners = if wanted.listeners.is_empty() { usize::MAX } else { wanted.listeners.len() };
    (host, path, Reverse(wanted.priority), listeners, methods, [a, b, c, d, e, f], wanted.when.is_none())
}

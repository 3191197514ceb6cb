//! What holds for every table: routes and requests are drawn from so few words that they meet.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::reference::{best, captures, matches_but_for_the_method, matching, takes_listener, takes_method};
use super::*;

fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        3 => Just(Vec::new()),
        2 => subsequence(vec!["a.x", "b.a.x", "*.x", "*.a.x"], 1..3),
    ]
}

fn patterns() -> impl Strategy<Value = Option<String>> {
    let segment = select(vec!["a", "a", "b", "{p}"]);
    let end = select(vec!["", "", "/", "/{q...}"]);
    let pattern = (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let mut pattern = String::new();
        for (place, segment) in segments.iter().enumerate() {
            pattern += "/";
            pattern += &segment.replace("{p}", &format!("{{p{place}}}"));
        }
        pattern += if pattern.is_empty() && end.is_empty() { "/" } else { end };
        Some(pattern)
    });
    prop_oneof![1 => Just(None), 9 => pattern]
}

fn conditions(names: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    let condition = select(vec![
        Value::from("present"),
        Value::from("absent"),
        serde_json::json!({ "exact": "1" }),
        serde_json::json!({ "exact": "12" }),
        serde_json::json!({ "prefix": "1" }),
        serde_json::json!({ "prefix": "12" }),
    ]);
    prop_oneof![2 => Just(BTreeMap::new()), 1 => prop::collection::btree_map(select(names.to_vec()), condition, 0..3)]
}

fn any_match() -> impl Strategy<Value = Match> {
    let methods = prop_oneof![Just(Vec::new()), subsequence(vec!["GET", "HEAD", "POST"], 1..3)];
    let when = prop_oneof![
        4 => Just(Value::Null),
        1 => select(vec!["request.path == '/a'", "'h' in request.headers", "request.query.q == '1'"]).prop_map(Value::from),
    ];
    let priority = prop_oneof![4 => Just(0), 1 => Just(1)];
    let listeners = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(vec!["l", "m", "n"], 1..3)];
    (hosts(), patterns(), (listeners, methods), conditions(&["h", "i"]), conditions(&["q"]), when, priority).prop_map(
        |(host, path, (listeners, methods), headers, query, when, priority)| {
            one(serde_json::json!({
                "host": host, "path": path, "listeners": listeners, "methods": methods, "headers": headers, "query": query, "when": when, "priority": priority,
            }))
        },
    )
}

fn any_routes() -> impl Strategy<Value = Routes> {
    // With one host and path for all, conditions decide, and clash, far more often.
    (prop::collection::vec(any_match(), 1..14), any::<bool>()).prop_map(|(mut routes, is_narrow)| {
        for wanted in routes.iter_mut().filter(|_| is_narrow) {
            (wanted.host, wanted.path) = (Hosts::default(), None);
        }
        let name = |place: usize| format!("r{place}").parse::<Name>().unwrap();
        routes.into_iter().enumerate().map(|(place, wanted)| (name(place), wanted)).collect()
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let path = prop::collection::vec(select(vec!["a", "a", "b", "c", ""]), 0..5);
    let values = || prop::collection::vec(select(vec!["1", "12", "2", "1"]), 0..3);
    let method = select(vec!["GET", "HEAD", "POST", "PUT"]);
    let host = select(vec!["a.x", "b.a.x", "c.b.a.x", "x", "y"]);
    let listener = select(vec!["", "\n--listener l", "\n--listener m", "\n--listener o"]);
    let values = (values(), values(), values());
    (method, host, path, listener, values).prop_map(|(method, host, path, listener, (h, i, q))| {
        let mut text = format!("{method} {host}/{}?", path.join("/"));
        text.extend(q.iter().map(|value| format!("q={value}&")));
        text += listener;
        text.extend(h.iter().map(|value| format!("\nh: {value}")));
        text.extend(i.iter().map(|value| format!("\ni: {value}")));
        Request::new(&text)
    })
}

/// As many of the routes as make a table, and the mistakes that were made on the way.
fn built(mut routes: Routes) -> (Routes, Table, Vec<Mistake>) {
    let mut made = Vec::new();
    loop {
        match build(&routes) {
            Ok(table) => return (routes, table, made),
            Err(mistakes) => {
                routes.retain(|(name, _)| *name != mistakes[0].route);
                made.extend(mistakes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

    #[test]
    fn a_request_is_taken_by_the_one_route_that_the_rules_say(
        routes in any_routes(), requests in prop::collection::vec(any_request(), 40),
    ) {
        let (routes, table, _) = built(routes);
        for request in &requests {
            let found = table.find(&request.seen()).unwrap();
            let expected = best(&routes, request);
            prop_assert_eq!(found.map(|found| (found.route, 1)), expected, "{:?} {:?}", request, routes);
            let Some(found) = found else { continue };
            let values: Vec<String> = found.params().map(|(_, value)| value.to_owned()).collect();
            let expected = routes[found.route].1.path.as_ref().map(|pattern| captures(&pattern.to_string(), &request.path).unwrap());
            prop_assert_eq!(values, expected.unwrap_or_default(), "{:?}", request);
        }
    }

    #[test]
    fn the_order_of_the_routes_does_not_matter(
        (routes, shuffled) in any_routes().prop_flat_map(|routes| {
            let (routes, ..) = built(routes);
            (Just(routes.clone()), Just(routes).prop_shuffle())
        }),
        requests in prop::collection::vec(any_request(), 20),
    ) {
        let (one, other) = (build(&routes).unwrap(), build(&shuffled).expect("it is the same table"));
        for request in &requests {
            let one = one.find(&request.seen()).unwrap().map(|found| &routes[found.route].0);
            let other = other.find(&request.seen()).unwrap().map(|found| &shuffled[found.route].0);
            prop_assert_eq!(one, other, "{:?}", request);
        }
    }

    #[test]
    fn mistakes_are_the_same_in_any_order(
        (routes, shuffled) in any_routes().prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle())),
    ) {
        let involved = |routes: &Routes| -> BTreeSet<(BTreeSet<Name>, String)> {
            let mistakes = build(routes).err().unwrap_or_default();
            let pair = |mistake: Mistake| {
                let kind = if mistake.field == "priority" { mistake.route.to_string() } else { String::new() };
                ([Some(mistake.route), mistake.other].into_iter().flatten().collect(), kind)
            };
            mistakes.into_iter().map(pair).collect()
        };
        let names = |set: BTreeSet<(BTreeSet<Name>, String)>| -> BTreeSet<Name> { set.into_iter().flat_map(|(names, _)| names).collect() };
        let (one, other) = (involved(&routes), involved(&shuffled));
        let pairs = |set: &BTreeSet<(BTreeSet<Name>, String)>| -> BTreeSet<BTreeSet<Name>> {
            set.iter().filter(|(_, kind)| kind.is_empty()).map(|(names, _)| names.clone()).collect()
        };
        prop_assert_eq!(pairs(&one), pairs(&other));
        prop_assert_eq!(one.len(), other.len());
        prop_assert!(names(one).is_subset(&routes.iter().map(|(name, _)| name.clone()).collect()));
    }

    #[test]
    fn a_route_that_is_called_unreachable_takes_nothing(
        routes in any_routes(), requests in prop::collection::vec(any_request(), 60),
    ) {
        let Err(mistakes) = build(&routes) else { return Ok(()) };
        let unreachable: Vec<&Name> = mistakes.iter().filter(|mistake| mistake.field == "priority").map(|mistake| &mistake.route).collect();
        for request in &requests {
            if let Some((place, 1)) = best(&routes, request) {
                prop_assert!(!unreachable.contains(&&routes[place].0), "{:?} {:?}", request, routes);
            }
        }
    }

    #[test]
    fn what_is_explained_is_what_happens(
        routes in any_routes(), requests in prop::collection::vec(any_request(), 20),
    ) {
        let (routes, table, _) = built(routes);
        for request in &requests {
            let explained = table.explain(&request.seen());
            let found = table.find(&request.seen()).unwrap().map(|found| found.route);
            prop_assert_eq!(explained.route.map(|(place, _)| place), found);
            prop_assert_eq!(explained.others.len() + usize::from(found.is_some()), routes.len());
            let also: BTreeSet<usize> = matching(&routes, request).into_iter().map(|(_, place)| place).collect();
            for other in &explained.others {
                let is_outranked = matches!(other.why, Why::Outranked { .. });
                prop_assert_eq!(is_outranked, also.contains(&other.route), "{:?} {:?}", request, other);
                let is_for_listener = matches!(other.why, Why::Listener { .. });
                prop_assert!(!is_for_listener || !takes_listener(&routes[other.route].1, request));
                let is_for_method = matches!(other.why, Why::Method { .. });
                prop_assert!(!is_for_method || !takes_method(&routes[other.route].1, request));
            }
        }
    }

    #[test]
    fn methods_that_are_allowed_would_have_a_route(
        routes in any_routes(), requests in prop::collection::vec(any_request(), 20),
    ) {
        let (routes, table, _) = built(routes);
        for request in requests.iter().filter(|request| table.find(&request.seen()).unwrap().is_none()) {
            let matching = routes.iter().filter(|(_, wanted)| matches_but_for_the_method(wanted, request));
            let mut methods: BTreeSet<String> =
                matching.flat_map(|(_, wanted)| wanted.methods.iter().map(ToString::to_string)).collect();
            if methods.contains("GET") {
                methods.insert("HEAD".to_owned());
            }
            let expected = (!methods.is_empty()).then(|| methods.into_iter().collect::<Vec<_>>().join(", "));
            prop_assert_eq!(table.allowed(&request.seen()).map(|allow| allow.to_string()), expected);
        }
    }
}

/// Every request of the words that routes are drawn from, for two hosts and one value of each header.
fn all_requests() -> Vec<Request> {
    let mut paths = vec![String::new()];
    for depth in 0..4 {
        let longest: Vec<String> =
            paths.iter().filter(|path| path.matches('/').count() == depth).cloned().collect();
        paths.extend(longest.iter().flat_map(|path| ["a", "b"].map(|segment| format!("{path}/{segment}"))));
    }
    paths.extend(paths.clone().into_iter().map(|path| path + "/"));
    let values = ["", "1", "12", "123", "2"];
    let mut requests = Vec::new();
    for (host, path) in
        ["a.x", "b.a.x", "c.b.a.x", "y"].iter().flat_map(|host| paths.iter().map(move |path| (host, path)))
    {
        let path = if path.is_empty() { "/" } else { path };
        for method in ["GET", "HEAD", "POST", "PUT"] {
            for (h, q) in values.iter().flat_map(|h| values.map(move |q| (h, q))) {
                let header = |name: &str, value: &str| {
                    if value.is_empty() { String::new() } else { format!("\n{name}: {value}") }
                };
                let query = if q.is_empty() { String::new() } else { format!("?q={q}") };
                requests.push(Request::new(&format!("{method} {host}{path}{query}{}", header("h", h))));
                requests.push(Request::new(&format!(
                    "{method} {host}{path}{query}{}{}",
                    header("h", h),
                    header("i", "1")
                )));
            }
        }
    }
    requests
}

#[test]
fn routes_that_are_called_ambiguous_are() {
    use proptest::strategy::ValueTree;
    let (mut requests, mut runner) = (all_requests(), proptest::test_runner::TestRunner::deterministic());
    let mut seen = 0;
    for _ in 0..60 {
        let mut routes = any_routes().new_tree(&mut runner).unwrap().current();
        // With one path for all they meet.
        routes.iter_mut().for_each(|(_, wanted)| wanted.path = None);
        let (.., mistakes) = built(routes.clone());
        let of = |name: &Name| routes.iter().find(|(other, _)| other == name).cloned().unwrap();
        for mistake in mistakes.iter().filter(|mistake| mistake.field == "path") {
            let pair = vec![of(&mistake.route), of(mistake.other.as_ref().unwrap())];
            // What expressions and values of other headers would add is not among the requests.
            if pair.iter().any(|(_, wanted)| {
                wanted.when.is_some()
                    || wanted.headers.contains_key(&FieldName::try_from("i".to_owned()).unwrap())
            }) {
                continue;
            }
            seen += 1;
            let (one, other) = (&pair[0].1.listeners, &pair[1].1.listeners);
            let listener = one.iter().find(|name| other.contains(name)).map_or("", Name::as_str);
            requests.iter_mut().for_each(|request| listener.clone_into(&mut request.listener));
            assert!(
                requests.iter().any(|request| best(&pair, request).is_some_and(|(_, count)| count == 2)),
                "{pair:?}"
            );
        }
    }
    assert!(seen > 10, "{seen} pairs were seen");
}

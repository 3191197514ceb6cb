//! What a walk costs, counted in nodes.

use super::trie::Visitor;
use super::*;

struct Counter(usize);

impl Visitor<()> for Counter {
    fn node(&mut self) {
        self.0 += 1;
    }

    fn leaf(&mut self, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn nodes(table: &Table, host: &str, path: &str) -> usize {
    let mut counter = Counter(0);
    assert!(table.trie.walk(host, &table.trie.segments(path), &mut counter).is_continue());
    counter.0
}

/// Every pattern of as many segments as there are bits, each of them a text or a name.
fn every_way(bits: u32) -> Routes {
    let pattern = |way: u32| -> String {
        (0..bits)
            .map(|bit| if way >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{p{bit}}}") })
            .collect()
    };
    let route = |way| {
        let name = format!("r{way}").parse().unwrap();
        (name, one(serde_json::json!({ "path": pattern(way) + "/{rest...}" })))
    };
    (0..1 << bits)
        .map(route)
        .collect::<Routes>()
        .into_iter()
        .filter(|(_, wanted)| wanted.check().is_ok())
        .collect()
}

#[test]
fn a_walk_is_as_long_as_the_table_allows_and_not_as_the_path() {
    let routes = every_way(7);
    let table = build(&routes).unwrap();
    let whole = (1 << 8) - 1;
    for length in [7, 8, 100, 10_000] {
        assert_eq!(nodes(&table, "x", &"/a".repeat(length)), whole, "each node once");
    }
    assert_eq!(nodes(&table, "x", &"/b".repeat(10_000)), 8);
    assert_eq!(nodes(&table, "x", &"/".repeat(10_000)), 1);
    assert_eq!(nodes(&table, "x", &format!("/{}", "a".repeat(100_000))), 2);
}

#[test]
fn a_walk_through_many_routes_is_as_long_as_through_few() {
    let many = |count: usize| {
        let route = |place: usize| {
            let name = format!("r{place}").parse().unwrap();
            (name, one(serde_json::json!({ "path": format!("/api/s{place}/{{id}}/{{rest...}}") })))
        };
        build(&(0..count).map(route).collect()).unwrap()
    };
    for count in [1, 10, 5000] {
        let table = many(count);
        let last = format!("/api/s{}/7/a/b", count - 1);
        assert_eq!(nodes(&table, "x", &last), 4);
        let request = Request::new(&format!("GET x{last}"));
        let found = table.find(&request.seen()).unwrap().unwrap();
        assert_eq!(
            (found.route, found.param("id"), found.param("rest"), found.param("x")),
            (count - 1, Some("7"), Some("a/b"), None)
        );
    }
}

#[test]
fn hosts_are_looked_for_as_deep_as_wildcards_are() {
    let table =
        table(r#"{"a": {"host": "*.x.org", "path": "/a"}, "b": {"host": "*.y.x.org", "path": "/b"}}"#);
    let host = format!("{}y.x.org", "a.".repeat(100));
    assert_eq!(nodes(&table, &host, "/a"), 3, "the root for each wildcard, and what follows one");
    assert_eq!(nodes(&table, "org", "/a"), 0);
}

#[test]
fn all_that_a_pattern_may_hold_is_found() {
    let segments: String = (0..24).map(|place| format!("/s{place}")).collect();
    let params: String = (0..7).map(|place| format!("/{{p{place}}}")).collect();
    let table = table(&format!(r#"{{"long": {{"path": "{segments}{params}/{{rest...}}"}}}}"#));
    let values: String = (0..7).map(|place| format!("/v{place}")).collect();
    let request = Request::new(&format!("GET x{segments}{values}/and/so/on"));
    let found = table.find(&request.seen()).unwrap().unwrap();
    assert_eq!(found.params().count(), Pattern::PARAMS_MAX);
    assert_eq!((found.param("p6"), found.param("rest")), (Some("v6"), Some("and/so/on")));
}

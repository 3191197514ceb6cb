//! `mainstay items`: holds that people set and release, and what they keep across a restart.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::*;

const JSON: (&str, &str) = ("content-type", "application/json");
const BRIEF: (&str, &str) = ("mainstay-ttl", "1ms");
const ITEM: &str = "/v1/collections/orders/items/u7/o%201";

const CONFIG: &str = "collections: { orders: {} }\n";

#[track_caller]
fn items(node: &Node, code: i32, arguments: &[&str]) -> String {
    let (ended, printed) = run(node.folder(), &[&["items"], arguments].concat());
    assert_eq!(ended, Some(code), "{printed}");
    printed
}

#[test]
fn an_item_is_held_past_its_end_and_a_restart_until_it_is_released() {
    let node = Node::start(CONFIG).serving();
    let commit = r#"{"partition": "u7", "do": [
        {"put": {"collection": "orders", "key": "u7/o 1", "value": {"n": 1}, "ttl": "1ms"}},
        {"hold": {"collection": "orders", "key": "u7/o 1", "name": "case-7"}}]}"#;
    let done = node.connect().request("POST", "/v1/commits", &[JSON], commit);
    assert_eq!(done.status, 200, "{done:?}");
    let end = node.get(ITEM).header("mainstay-expires").map(str::to_owned);
    let document: Value =
        serde_json::from_str(&items(&node, 0, &["hold", "orders", "u7/o 1", "audit", "--output", "json"]))
            .expect("JSON");
    assert_eq!(
        document,
        json!({ "collection": "orders", "key": "u7/o 1", "hold": "audit", "is_held": true })
    );
    let later = "/v1/collections/orders/items/u7/later";
    assert_eq!(node.connect().request("PUT", later, &[JSON, BRIEF], "1").status, 201);
    // Then the end of what was put before has come as well.
    while node.get(later).status != 404 {}
    node.signal(Signal::KILL);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, CONFIG).serving();
    let shown = node.get(ITEM);
    assert_eq!((shown.status, shown.header("mainstay-holds")), (200, Some("audit, case-7")));
    assert_eq!(shown.header("mainstay-expires"), end.as_deref(), "its end is suspended, not moved");
    let refused = node.connect().request("DELETE", ITEM, &[], "");
    assert_eq!((refused.status, &refused.json()["holds"]), (409, &json!(["audit", "case-7"])));
    items(&node, 0, &["release", "orders", "u7/o 1", "audit"]);
    assert_eq!(node.get(ITEM).status, 200);
    let released = items(&node, 0, &["release", "orders", "u7/o 1", "case-7"]);
    assert_eq!(released, "case-7 does not hold the item orders/u7/o 1\n");
    assert_eq!(node.get(ITEM).status, 404);
    let missing = items(&node, 1, &["hold", "orders", "u7/o 1", "case-7"]);
    assert!(missing.contains("answers 404") && missing.contains("put it first"), "{missing}");
    items(&node, 2, &["hold", "orders", "u7/o 1", "Case 7"]);
}

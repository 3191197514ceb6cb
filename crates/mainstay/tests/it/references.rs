//! References with a node that is up: defined by a file, built over items that are there, told by the command, and kept after a restart.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::*;

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// In no order: each file's definitions are looked at together.
const OF_FILE: &str = "\
collections:
  bills:
    references:
      customer: { on: /customer, collection: customers }
      visit: { on: /visit, collection: visits, on_delete: set_null }
  customers: {}
  visits: {}
";

fn put(node: &Node, path: &str, value: &Value) -> u16 {
    node.connect().request("PUT", &format!("/v1/collections/{path}"), &JSON, &value.to_string()).status
}

fn delete(node: &Node, path: &str) -> u16 {
    node.connect().request("DELETE", &format!("/v1/collections/{path}"), &[], "").status
}

/// What is shown of the collection once it has this line.
fn shown_with(node: &Node, collection: &str, line: &str) -> String {
    loop {
        let (code, shown) = run(node.folder(), &["collections", "show", collection]);
        assert_eq!(code, Some(0), "{shown}");
        if shown.lines().any(|it| it.starts_with(line)) {
            return shown;
        }
    }
}

#[test]
fn what_a_file_says_of_references_holds_now_and_after_a_restart() {
    let node = Node::start(OF_FILE).serving();
    shown_with(&node, "bills", "# reference customer: ready, ready in 16/16 shards");
    assert_eq!(put(&node, "bills/items/u7/b", &json!({ "customer": "u7/c", "visit": "u7/v" })), 422);
    assert_eq!(put(&node, "customers/items/u7/c", &json!({})), 201);
    assert_eq!(put(&node, "visits/items/u7/v", &json!({})), 201);
    assert_eq!(put(&node, "bills/items/u7/b", &json!({ "customer": "u7/c", "visit": "u7/v" })), 201);
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, OF_FILE).serving();
    assert_eq!(delete(&node, "customers/items/u7/c"), 409);
    assert_eq!(delete(&node, "visits/items/u7/v"), 204);
    let bill = node.get("/v1/collections/bills/items/u7/b").json();
    assert_eq!(bill, json!({ "customer": "u7/c", "visit": null }));
    let (code, printed) = run(node.folder(), &["collections", "show", "bills", "--output", "json"]);
    let shown: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &shown["references"]["visit"]["state"]), (Some(0), &json!("ready")));
}

#[test]
fn a_reference_over_items_that_are_there_tells_what_does_not_fit() {
    let node = Node::start("collections: { carts: {} }\n").serving();
    let define = |name: &str, definition: &Value| put(&node, name, definition);
    assert_eq!((define("customers", &json!({})), define("orders", &json!({}))), (201, 201));
    assert_eq!(put(&node, "customers/items/u7/c", &json!({})), 201);
    assert_eq!(put(&node, "orders/items/u7/1", &json!({ "customer": "u7/c" })), 201);
    assert_eq!(put(&node, "orders/items/u7/2", &json!({ "customer": "u7/x" })), 201);
    let referring = json!({ "references": { "customer": { "on": "/customer", "collection": "customers" } } });
    assert_eq!(define("orders", &referring), 200);
    let shown = shown_with(&node, "orders", "# reference customer: invalid, ready in 15/16 shards");
    let misfit = "items that do not fit: 1, such as \"u7/2\": customers/\"u7/x\" is not there";
    assert!(shown.contains(misfit), "{shown}");
    assert_eq!(delete(&node, "customers/items/u7/c"), 409, "what was there is guarded");
    // Mended, taken out and put in again.
    assert_eq!(put(&node, "orders/items/u7/2", &json!({ "customer": null })), 204);
    assert_eq!((define("orders", &json!({})), define("orders", &referring)), (200, 200));
    shown_with(&node, "orders", "# reference customer: ready, ready in 16/16 shards");
    assert_eq!(delete(&node, "customers"), 409);
    assert_eq!(delete(&node, "orders"), 200);
    assert_eq!(delete(&node, "customers"), 200);
}

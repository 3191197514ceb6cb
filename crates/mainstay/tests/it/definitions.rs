//! Definitions through a whole node: from files and over the API, across reloads and restarts.

use rustix::process::Signal;
use serde_json::json;

use crate::support::*;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn put(node: &Node, path: &str, body: &str) -> Answer {
    node.connect().request("PUT", path, &[JSON], body)
}

#[test]
fn what_was_defined_over_the_api_is_there_after_a_restart_and_what_left_the_file_is_retired() {
    let node = Node::start("collections: { carts: {}, old: {} }\n").serving();
    let made = put(&node, "/v1/collections/books", r#"{"partition_by":"whole_key"}"#);
    assert_eq!((made.status, &made.json()["active"]), (201, &json!("16/16")));
    assert_eq!(put(&node, "/v1/collections/books/items/a/b", "1").status, 201);
    assert_eq!(put(&node, "/v1/collections/old/items/a", "1").status, 201);
    let told = put(&node, "/v1/collections/carts", r#"{"content_type":"text/plain"}"#).json();
    assert_eq!(
        (&told["code"], &told["file"], &told["line"]),
        (&json!("owned_by_file"), &json!("mainstay.yaml"), &json!(1))
    );
    node.write_config("collections: { carts: {} }\n");
    node.signal(Signal::TERM);
    let (status, _, folder) = node.ended();
    assert!(status.success());

    let mut node = Node::start_in(folder, "collections: { carts: {} }\n");
    assert_eq!(
        node.get("/v1/collections/books").json()["definition"],
        json!({ "partition_by": "whole_key" })
    );
    assert_eq!(node.get("/v1/collections/books/items/a/b").body, "1");
    assert_eq!(node.get("/v1/collections/old/items/a").status, 404);
    node.write_config("collections: { carts: {}, old: {}, books: { partition_by: whole_key } }\n");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(node.get("/v1/collections/old/items/a").body, "1", "its items stayed");
    assert_eq!(node.get("/v1/collections/books").json()["origin"], "file", "the file has taken it over");
    let metrics = node.get("/metrics").body;
    let revision = |of| metric(&metrics, "mainstay_shard_definitions_revision", &[("of", of)]);
    assert_eq!(revision("newest"), revision("everywhere"));
    let shards = node.get("/v1/shards").json();
    assert!(
        shards["shards"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["definitions"] == shards["shards"][0]["definitions"])
    );
}

#[test]
fn a_node_whose_files_contradict_its_data_ends_and_says_what_to_do() {
    let node = Node::start("collections: { carts: {} }\n");
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();
    std::fs::write(
        folder.path().join("mainstay.yaml"),
        "collections: { carts: { partition_by: whole_key } }\n",
    )
    .unwrap();
    let ended = Node::command(folder.path()).stderr(std::process::Stdio::piped()).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(told.contains("has `partition_by: first_segment` for good"), "{told}");
}

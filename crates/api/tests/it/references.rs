//! References over HTTP: how they are defined, and what they refuse and do.

use serde_json::{Value, json};

use crate::world::*;

const BOUGHT: &str = "/v1/collections/bought";
const CUSTOMERS: &str = "/v1/collections/customers";

const REFERRING: &str = r#"{"references":{"customer":{"on":"/customer","collection":"customers"}}}"#;

async fn shop() -> World {
    let world = World::new();
    world.put(CUSTOMERS, "{}").await.is(201);
    world.put(BOUGHT, REFERRING).await.is(201);
    world
}

fn commit(operations: &Value) -> String {
    json!({ "partition": "u7", "do": operations }).to_string()
}

#[tokio::test]
async fn a_definition_has_references_and_says_how_far_they_are() {
    let world = shop().await;
    let shown = world.get(BOUGHT).await.is(200).json();
    let reference = json!({ "on": "/customer", "collection": "customers", "on_delete": "restrict" });
    assert_eq!(shown["definition"]["references"]["customer"], reference);
    assert_eq!(shown["references"]["customer"], json!({ "state": "ready", "ready": "1/1" }));
    for (definition, told) in [
        (
            r#"{"references":{"customer":{"on":"/c","collection":"customers","on_delete":"no_action"}}}"#,
            "set_null",
        ),
        (r#"{"references":{"customer":{"on":"c","collection":"customers"}}}"#, "not a JSON Pointer"),
        (r#"{"references":{"customer":{"on":"/c"}}}"#, "collection"),
        (
            r#"{"references":{"customer":{"on":"/c","collection":"clients"}}}"#,
            "\"clients\", which does not exist",
        ),
    ] {
        let problem = world.put(BOUGHT, definition).await.problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    let problem = world.call("DELETE", CUSTOMERS, &[], "").await.problem(409, "conflict");
    assert_eq!(
        (&problem["referring_collection"], &problem["reference"]),
        (&json!("bought"), &json!("customer"))
    );
    let ending = r#"{"ttl":"1m"}"#;
    world.put(CUSTOMERS, ending).await.problem(409, "conflict");
    world.put("/v1/collections/customers?dry_run=true", ending).await.problem(409, "conflict");
}

#[tokio::test]
async fn what_refers_and_what_is_referred_to_change_together() {
    let world = shop().await;
    let problem = world
        .put(&format!("{BOUGHT}/items/u7/o-1"), r#"{"customer":"u7/c-1"}"#)
        .await
        .problem(422, "invalid");
    assert_eq!((&problem["pointer"], &problem["target_key"]), (&json!("/customer"), &json!("u7/c-1")));
    assert_eq!((&problem["target_collection"], &problem["key"]), (&json!("customers"), &json!("u7/o-1")));
    let both = json!([
        { "put": { "collection": "bought", "key": "u7/o-1", "value": { "customer": "u7/c-1" } } },
        { "put": { "collection": "customers", "key": "u7/c-1", "value": {} } },
    ]);
    world.commit(commit(&both)).await.is(200);
    let deleted = world.call("DELETE", &format!("{CUSTOMERS}/items/u7/c-1"), &[], "").await;
    let problem = deleted.problem(409, "conflict");
    assert_eq!(
        (&problem["referring_collection"], &problem["referring_key"]),
        (&json!("bought"), &json!("u7/o-1"))
    );
    let ending =
        world.call("PUT", &format!("{CUSTOMERS}/items/u7/c-2"), &[JSON, ("mainstay-ttl", "1m")], "{}").await;
    assert_eq!(ending.problem(422, "invalid")["referring_collection"], "bought");
    let gone = json!([
        { "delete": { "collection": "customers", "key": "u7/c-1" } },
        { "delete": { "collection": "bought", "key": "u7/o-1" } },
    ]);
    world.commit(commit(&gone)).await.is(200);
    world.get(&format!("{CUSTOMERS}/items/u7/c-1")).await.is(404);
}

#[tokio::test]
async fn what_a_deletion_takes_along_is_in_the_feed_with_its_version() {
    for (on_delete, kind) in [("cascade", "deleted"), ("set_null", "put")] {
        let world = shop().await;
        let other = format!(r#""customers","on_delete":"{on_delete}"}}"#);
        let definition = REFERRING.replace(r#""customers"}"#, &other);
        world.call("PUT", BOUGHT, &[JSON], definition).await.is(200);
        world.put(&format!("{CUSTOMERS}/items/u7/c"), "{}").await.is(201);
        world.put(&format!("{BOUGHT}/items/u7/o"), r#"{"customer":"u7/c"}"#).await.is(201);
        world.call("DELETE", &format!("{CUSTOMERS}/items/u7/c"), &[], "").await.is(204);
        let page = world.get(&format!("{BOUGHT}/changes?wait=0s&after=0")).await.is(200).json();
        let events = page["events"].as_array().unwrap();
        assert_eq!(
            (events.len(), &events[1]["kind"], &events[1]["version"]),
            (2, &json!(kind), &json!("1-3"))
        );
        assert_eq!(events[1].get("value"), (kind == "put").then_some(&json!({ "customer": null })));
    }
}

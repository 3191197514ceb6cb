//! Holds over HTTP: set and released, shown with the item, and what they refuse.

use serde_json::json;

use crate::world::{JSON, PATCH, World};

const ITEM: &str = "/v1/collections/orders/items/u7/o-1";
const HELD: &str = "/v1/collections/orders/holds/case-7/items/u7/o-1";
const AUDIT: &str = "/v1/collections/orders/holds/audit/items/u7/o-1";

#[tokio::test]
async fn an_item_is_held_shown_so_and_released() {
    let world = World::new();
    world.put(ITEM, "1").await.is(201);
    assert_eq!(world.get(ITEM).await.header("mainstay-holds"), None);
    let held = world.call("PUT", HELD, &[], "").await;
    assert_eq!((held.is(204).header("etag"), held.header("mainstay-position")), (None, Some("1.3.2")));
    world.call("PUT", HELD, &[], "").await.is(204);
    world.call("PUT", AUDIT, &[], "").await.is(204);
    let shown = world.get(ITEM).await;
    assert_eq!(
        (shown.is(200).header("mainstay-holds"), shown.header("etag")),
        (Some("audit, case-7"), Some("\"1-1\""))
    );
    let listed = world.get("/v1/collections/orders/items").await.json();
    assert_eq!(
        listed["items"],
        json!([{ "key": "u7/o-1", "version": "1-1", "holds": ["audit", "case-7"], "value": 1 }])
    );
    for (method, headers) in [("PUT", vec![JSON]), ("PATCH", vec![PATCH]), ("DELETE", vec![])] {
        let problem = world.call(method, ITEM, &headers, "2").await.problem(409, "conflict");
        assert_eq!(problem["holds"], json!(["audit", "case-7"]));
        assert!(problem["detail"].as_str().unwrap().contains("release every hold first"), "{problem}");
    }
    world.call("DELETE", HELD, &[], "").await.is(204);
    world.call("DELETE", HELD, &[], "").await.is(204);
    world.call("DELETE", AUDIT, &[], "").await.is(204);
    world.call("DELETE", ITEM, &[], "").await.is(204);
    world.get(ITEM).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_held_is_shown_past_its_end() {
    let world = World::new();
    world.call("PUT", ITEM, &[JSON, ("mainstay-ttl", "5s")], "1").await.is(201);
    world.call("PUT", HELD, &[], "").await.is(204);
    // Each change is a second later here.
    for other in 0..10 {
        world.put(&format!("/v1/collections/carts/items/{other}"), "1").await.is(201);
    }
    assert!(world.get(ITEM).await.is(200).header("mainstay-expires").is_some());
    assert_eq!(world.get("/v1/collections/orders/items").await.json()["items"][0]["key"], "u7/o-1");
    world.call("DELETE", HELD, &[], "").await.is(204);
    world.get(ITEM).await.problem(404, "not_found");
    assert_eq!(world.get("/v1/collections/orders/items").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_hold_may_depend_on_the_version_and_be_sent_again() {
    let world = World::new();
    world.put(ITEM, "1").await.is(201);
    world.call("PUT", HELD, &[("if-match", "\"1-9\"")], "").await.problem(412, "condition_failed");
    let key = ("idempotency-key", "hold-1");
    world.call("PUT", HELD, &[("if-match", "\"1-1\""), key], "").await.is(204);
    world.call("DELETE", HELD, &[], "").await.is(204);
    let again = world.call("PUT", HELD, &[("if-match", "\"1-1\""), key], "").await;
    assert_eq!(again.is(204).header("idempotency-replayed"), Some("true"));
    assert_eq!(world.get(ITEM).await.header("mainstay-holds"), None, "it was not set again");
}

#[tokio::test]
async fn a_commit_sets_and_releases_holds_with_everything_else() {
    let world = World::new();
    let body = r#"{"partition": "u7", "do": [
        {"put": {"collection": "orders", "key": "u7", "value": 1}},
        {"hold": {"collection": "orders", "key": "u7", "name": "case-7"}}]}"#;
    let results = world.commit(body).await.is(200).json()["results"].clone();
    assert_eq!(results, json!([{ "version": "1-1", "existed": false }, { "existed": true }]));
    let body = r#"{"partition": "u7", "do": [
        {"release": {"collection": "orders", "key": "u7", "name": "case-7"}},
        {"delete": {"collection": "orders", "key": "u7"}}]}"#;
    let results = world.commit(body).await.is(200).json()["results"].clone();
    assert_eq!(results, json!([{ "existed": true }, { "existed": true }]));
    for (body, pointer) in [
        (r#"{"hold": {"collection": "orders", "key": "u7"}}"#, "/do/0/hold"),
        (r#"{"hold": {"collection": "orders", "key": "u7", "name": "Case 7"}}"#, "/do/0/hold/name"),
        (r#"{"release": {"collection": "orders", "key": "u7", "name": 7}}"#, "/do/0/release/name"),
    ] {
        let problem =
            world.commit(format!(r#"{{"partition": "u7", "do": [{body}]}}"#)).await.problem(422, "invalid");
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_hold_names_itself_and_its_item() {
    let world = World::new();
    let odd = "/v1/collections/orders/items/holds/items/x";
    world.put(odd, "1").await.is(201);
    world.call("PUT", "/v1/collections/orders/holds/items/items/holds/items/x", &[], "").await.is(204);
    assert_eq!(world.get(odd).await.header("mainstay-holds"), Some("items"));
    let problem = world.call("PUT", HELD, &[], "").await.problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().contains("put it first"), "{problem}");
    world.call("DELETE", HELD, &[], "").await.is(204);
    for (path, status, code) in [
        ("/v1/collections/orders/holds/Case/items/u7", 422, "invalid"),
        ("/v1/collections/orders/holds/case-7/items/%ff", 400, "malformed"),
        ("/v1/collections/orders/holds/case-7/items/a//b", 422, "invalid"),
        ("/v1/collections/nope/holds/case-7/items/u7", 404, "not_found"),
        ("/v1/collections/orders/holds/case-7", 404, "not_found"),
        ("/v1/collections/orders/holds/case-7/items/u7?colour=red", 422, "invalid"),
    ] {
        world.call("PUT", path, &[], "").await.problem(status, code);
    }
    world.get(HELD).await.problem(405, "method_not_allowed");
}

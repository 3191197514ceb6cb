//! Single items: the body is the value, everything else is in headers.

use mainstay_base::units::Size;
use serde_json::json;

use crate::world::{JSON, PATCH, World};

const ITEM: &str = "/v1/collections/orders/items/u7/o-1";
const PNG: (&str, &str) = ("content-type", "image/png");

#[tokio::test]
async fn an_item_is_made_read_changed_and_removed() {
    let world = World::new();
    let made = world.put(ITEM, r#"{"state": "new"}"#).await;
    assert_eq!((made.is(201).header("etag"), made.body.len()), (Some("\"1-1\""), 0));
    assert_eq!(made.header("mainstay-position"), Some("1.3.1"));
    assert_eq!(made.header("mainstay-durability"), Some("synced"));

    let read = world.get(ITEM).await;
    assert_eq!((read.is(200).text(), read.header("etag")), (r#"{"state": "new"}"#, Some("\"1-1\"")));
    assert_eq!(read.header("content-type"), Some("application/json"));
    let head = world.call("HEAD", ITEM, &[], "").await;
    assert_eq!((head.is(200).header("etag"), head.header("content-length")), (Some("\"1-1\""), Some("16")));

    let changed = world.put(ITEM, r#"{"state": "open"}"#).await;
    assert_eq!(changed.is(204).header("etag"), Some("\"1-2\""));
    let patched = world.call("PATCH", ITEM, &[PATCH], r#"{"n": 1}"#).await;
    assert_eq!(patched.is(204).header("etag"), Some("\"1-3\""));
    assert_eq!(world.get(ITEM).await.json(), json!({ "state": "open", "n": 1 }));

    let gone = world.call("DELETE", ITEM, &[], "").await;
    assert_eq!(gone.is(204).header("etag"), None);
    let missing = world.get(ITEM).await;
    let problem = missing.problem(404, "not_found");
    assert_eq!((&problem["collection"], &problem["key"]), (&"orders".into(), &"u7/o-1".into()));
    assert_eq!(missing.header("mainstay-position"), Some("1.3.4"), "that it is gone was read there");
    world.call("DELETE", ITEM, &[], "").await.is(204);
    world.call("PATCH", ITEM, &[PATCH], "{}").await.is(201);
}

#[tokio::test]
async fn bytes_of_any_type_come_back_as_they_were() {
    let world = World::new();
    let bytes: Vec<u8> = (0..=255).collect();
    world.call("PUT", ITEM, &[PNG], bytes.clone()).await.is(201);
    let read = world.get(ITEM).await;
    assert_eq!((&read.body[..], read.header("content-type")), (&bytes[..], Some("image/png")));
    world.call("PUT", ITEM, &[("content-type", "text/html; charset=utf-8")], "<script>").await.is(204);
    let read = world.get(ITEM).await;
    assert_eq!(read.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(read.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    world.call("PUT", ITEM, &[PNG], "").await.is(204);
    assert_eq!(world.get(ITEM).await.is(200).body.len(), 0);
    let spaced = " {\"a\" : 1e400}\n";
    world.put(ITEM, spaced).await.is(204);
    assert_eq!(world.get(ITEM).await.text(), spaced);
}

#[tokio::test]
async fn conditions_guard_a_change() {
    let world = World::new();
    let put = |condition: (&'static str, &'static str), value: &'static str| {
        let world = &world;
        async move { world.call("PUT", ITEM, &[JSON, condition], value).await }
    };
    put(("if-match", "*"), "1").await.problem(412, "condition_failed");
    put(("if-match", "\"1-1\""), "1").await.problem(412, "condition_failed");
    put(("if-none-match", "*"), "1").await.is(201);
    let problem = put(("if-none-match", "*"), "2").await.problem(412, "condition_failed");
    assert_eq!(problem["version"], "1-1");
    put(("if-match", "\"1-1\""), "2").await.is(204);
    let problem = put(("if-match", "\"1-1\""), "3").await.problem(412, "condition_failed");
    assert_eq!((&problem["version"], &problem["condition"]), (&"1-2".into(), &0.into()));
    put(("if-match", "*"), "3").await.is(204);
    for (method, headers) in [("PATCH", vec![PATCH]), ("DELETE", vec![])] {
        let sent = [headers, vec![("if-match", "\"1-1\"")]].concat();
        world.call(method, ITEM, &sent, "{}").await.problem(412, "condition_failed");
    }
    assert_eq!(world.get(ITEM).await.text(), "3");
}

#[tokio::test]
async fn conditions_that_cannot_be_read_are_refused() {
    let world = World::new();
    for (name, value) in [
        ("if-match", ""),
        ("if-match", "1-1"),
        ("if-match", "\"1-1"),
        ("if-match", "\""),
        ("if-match", "W/\"1-1\""),
        ("if-match", "\"1-1\", \"1-2\""),
        ("if-match", "\"abc\""),
        ("if-none-match", "\"1-1\""),
        ("if-none-match", "1"),
    ] {
        let problem = world.call("PUT", ITEM, &[JSON, (name, value)], "1").await.problem(400, "malformed");
        assert!(problem["header"].as_str().unwrap().eq_ignore_ascii_case(name), "{problem:#}");
    }
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn a_reading_may_depend_on_the_version() {
    let world = World::new();
    world.put(ITEM, "1").await.is(201);
    for (name, value, status) in [
        ("if-none-match", "\"1-1\"", 304),
        ("if-none-match", "W/\"1-1\"", 304),
        ("if-none-match", "\"x\", \"1-1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"1-2\"", 200),
        ("if-none-match", "\"x\"", 200),
        ("if-match", "\"1-1\"", 200),
        ("if-match", "*", 200),
    ] {
        let answer = world.call("GET", ITEM, &[(name, value)], "").await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some("\"1-1\"")), "{name}: {value}");
        assert_eq!(answer.body.len(), usize::from(status == 200));
        assert_eq!(answer.header("mainstay-position"), Some("1.3.1"));
    }
    let answer = world.call("GET", ITEM, &[("if-match", "\"1-2\"")], "").await;
    assert_eq!(answer.problem(412, "condition_failed")["version"], "1-1");
}

#[tokio::test]
async fn a_change_may_be_sent_again_with_its_key() {
    let world = World::new();
    let key = ("idempotency-key", "7e0c8a52-0f4b-4d4e-9d3f-000000000000");
    let headers = [JSON, key];
    let put = |value: &'static str| world.call("PUT", ITEM, &headers, value);
    let first = put("1").await;
    world.put(ITEM, "2").await.is(204);
    let again = put("1").await;
    assert_eq!((again.is(201).header("etag"), first.header("etag")), (Some("\"1-1\""), Some("\"1-1\"")));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.get(ITEM).await.text(), "2");
    put("3").await.problem(422, "idempotency_mismatch");
}

#[tokio::test]
async fn each_method_says_which_content_type_it_takes() {
    let world = World::new();
    for sent in ["application/json", "application/json-patch+json", "text/plain"] {
        let answer = world.call("PATCH", ITEM, &[("content-type", sent)], "{}").await;
        let problem = answer.problem(415, "unsupported_media_type");
        assert_eq!(problem["accepted"], json!(["application/merge-patch+json"]));
        assert_eq!(answer.header("accept-patch"), Some("application/merge-patch+json"));
    }
    let with_charset = [("content-type", "Application/Merge-Patch+JSON; charset=utf-8")];
    world.call("PATCH", ITEM, &with_charset, "{}").await.is(201);
    for (method, headers) in [("PUT", vec![]), ("PUT", vec![("content-type", "png")]), ("PATCH", vec![])] {
        world.call(method, ITEM, &headers, "{}").await.problem(415, "unsupported_media_type");
    }
    let png = world.call("PUT", "/v1/collections/docs/items/u7", &[PNG], "x").await;
    assert_eq!(png.problem(415, "unsupported_media_type")["accepted"], json!(["application/json"]));
    world.call("PUT", ITEM, &[PNG], "x").await.is(204);
    world.call("PATCH", ITEM, &[PATCH], "{}").await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_value_that_claims_to_be_json_is_json() {
    let world = World::new();
    for (value, status, code) in [
        ("", 400, "malformed"),
        ("{\"a\": }", 400, "malformed"),
        ("{} {}", 400, "malformed"),
        ("\u{feff}{}", 400, "malformed"),
        ("{\"a\": 1, \"a\": 2}", 422, "invalid"),
        ("\"\\ud800\"", 422, "invalid"),
    ] {
        let answer = world.put(ITEM, value).await;
        assert!(answer.problem(status, code)["detail"].as_str().unwrap().contains("JSON"), "{value}");
        world.call("PATCH", ITEM, &[PATCH], value).await.problem(status, code);
    }
    let deep = "[".repeat(129) + &"]".repeat(129);
    world.call("PUT", ITEM, &[JSON], deep).await.problem(422, "invalid");
    world.call("PUT", ITEM, &[("content-type", "a/b+json")], "{").await.problem(400, "malformed");
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn values_over_the_limit_are_refused_with_it() {
    let world = World::new();
    world.set(|settings| settings.machine.limits.value_size_max = Size::from_bytes(3));
    let problem = world.put(ITEM, "1234").await.problem(413, "too_large");
    assert_eq!((&problem["limit"], &problem["max"]), (&"value_size_max".into(), &3.into()));
    world.put(ITEM, "123").await.is(201);
}

#[tokio::test]
async fn a_collection_must_exist() {
    let world = World::new();
    for (method, headers) in
        [("GET", vec![]), ("PUT", vec![JSON]), ("PATCH", vec![PATCH]), ("DELETE", vec![])]
    {
        let answer = world.call(method, "/v1/collections/nope/items/u7", &headers, "{}").await;
        assert_eq!(answer.problem(404, "not_found")["collection"], "nope");
    }
    world.get("/v1/collections/nope/items").await.problem(404, "not_found");
    world.get("/v1/collections/No!/items/u7").await.problem(422, "invalid");
    world.get("/v1/collections/No!/items").await.problem(422, "invalid");
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let world = World::new();
    world.get("/v1/collections/orders/items/").await.problem(404, "not_found");
    world.get("/v1/nope").await.problem(404, "not_found");
    let answer = world.call("POST", ITEM, &[JSON], "{}").await;
    answer.problem(405, "method_not_allowed");
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PATCH", "PUT"]);
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let answer = world.call(method, &format!("{ITEM}?colour=red"), &[JSON], "{}").await;
        assert!(matches!(answer.status, 415 | 422), "{method}");
    }
    let problem = world.get(&format!("{ITEM}?colour=red")).await.problem(422, "invalid");
    assert_eq!(problem["parameter"], "colour");
}

#[tokio::test]
async fn an_item_may_have_an_end() {
    let world = World::new();
    let path = "/v1/collections/orders/items/u7";
    let world = &world;
    let put =
        |ttl: &'static str| async move { world.call("PUT", path, &[JSON, ("mainstay-ttl", ttl)], "1").await };
    put("10s").await.is(201);
    let shown = world.get(path).await;
    assert_eq!(shown.is(200).header("mainstay-expires"), Some("2026-01-01T00:00:11Z"));
    let listed = world.get("/v1/collections/orders/items").await.json();
    assert_eq!(listed["items"][0]["expires"], "2026-01-01T00:00:11Z");
    for wrong in ["10", "soon", "-1s"] {
        let told =
            world.call("PUT", path, &[JSON, ("mainstay-ttl", wrong)], "1").await.problem(400, "malformed");
        assert_eq!(told["header"], "Mainstay-Ttl");
    }
    put("0s").await.problem(422, "invalid");
    // Each change is a second later here.
    for other in 0..10 {
        world.put(&format!("/v1/collections/carts/items/{other}"), "1").await.is(201);
    }
    world.get(path).await.problem(404, "not_found");
    assert_eq!(world.get("/v1/collections/orders/items").await.json()["items"], serde_json::json!([]));
    world.call("PATCH", path, &[PATCH], "{}").await.is(201);
    let body = r#"{"partition":"u7","do":[{"put":{"collection":"orders","key":"u7","value":2,"ttl":"5s"}}]}"#;
    world.commit(body).await.is(200);
    assert!(world.get(path).await.header("mainstay-expires").is_some());
    let body = r#"{"partition":"u7","do":[{"put":{"collection":"orders","key":"u7","value":2,"ttl":5}}]}"#;
    assert_eq!(world.commit(body).await.problem(422, "invalid")["pointer"], "/do/0/put/ttl");
    let told = world.put("/v1/collections/books", r#"{"ttl":"10ms"}"#).await.problem(422, "invalid");
    assert!(told["detail"].as_str().unwrap().contains("has a `ttl` below 1s"), "{told}");
}

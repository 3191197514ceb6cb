//! `/v1/collections`: definitions over HTTP.

use mainstay_machine::sample::Sample;
use serde_json::json;

use crate::world::*;

const BOOKS: &str = "/v1/collections/books";

#[tokio::test]
async fn a_collection_is_made_read_changed_and_retired() {
    let world = World::new();
    let missing = world.get(BOOKS).await.problem(404, "not_found");
    assert_eq!(missing["detail"], "there is no collection \"books\": create it first");
    world.put("/v1/collections/books/items/u7", "1").await.problem(404, "not_found");
    let made = world.put(BOOKS, "{}").await;
    let body = made.is(201).json();
    assert_eq!(
        (&body["name"], &body["origin"], &body["caller"]),
        (&json!("books"), &json!("api"), &json!("anonymous"))
    );
    assert_eq!((&body["retired"], &body["active"]), (&json!(false), &json!("16/16")));
    assert_eq!(body["definition"], json!({ "partition_by": "first_segment" }));
    let version = body["version"].as_str().unwrap();
    assert_eq!(made.header("etag"), Some(&*format!("\"{version}\"")));
    assert!(made.header("mainstay-position").is_some() && made.header("mainstay-durability").is_some());
    world.put("/v1/collections/books/items/u7", "1").await.is(201);

    let same = world.put(BOOKS, "{}").await;
    assert_eq!(same.is(200).json()["version"], version, "what says the same is the same");
    let changed = world.put(BOOKS, r#"{"content_type":"text/plain"}"#).await;
    assert_ne!(changed.is(200).json()["version"], version);
    assert_eq!(world.get(BOOKS).await.is(200).json(), changed.json());
    world.put("/v1/collections/books/items/u7", "2").await.problem(415, "unsupported_media_type");
    // Clients add it by themselves; what they sent is what is answered.
    let sent = [("content-type", "Text/plain;charset=UTF-8")];
    world.call("PUT", "/v1/collections/books/items/u8", &sent, "two").await.is(201);
    let stored = world.get("/v1/collections/books/items/u8").await;
    assert_eq!((stored.is(200).header(sent[0].0), stored.text()), (Some(sent[0].1), "two"));

    let retired = world.call("DELETE", BOOKS, &[], "").await;
    assert_eq!(retired.is(200).json()["retired"], true);
    let told = world.get(BOOKS).await.problem(404, "not_found");
    assert!(
        told["detail"].as_str().unwrap().contains("was retired: put its definition, or roll back"),
        "{told}"
    );
    let told = world.get("/v1/collections/books/items/u7").await.problem(404, "not_found");
    assert!(told["detail"].as_str().unwrap().contains("was retired"), "{told}");
    world.call("DELETE", BOOKS, &[], "").await.problem(404, "not_found");
    assert_eq!(
        world.put(BOOKS, "{}").await.is(201).json()["definition"],
        json!({ "partition_by": "first_segment" })
    );
    assert_eq!(world.get("/v1/collections/books/items/u7").await.is(200).text(), "1", "its items stayed");
}

#[tokio::test]
async fn what_files_define_is_changed_there() {
    let world = World::new();
    let shown = world.get("/v1/collections/orders").await.is(200).json();
    assert_eq!(
        (&shown["origin"], &shown["file"], &shown["line"]),
        (&json!("file"), &json!("mainstay.yaml"), &json!(3))
    );
    for (method, path, body) in [
        ("PUT", "/v1/collections/orders", r#"{"content_type":"text/plain"}"#),
        ("DELETE", "/v1/collections/orders", ""),
        ("POST", "/v1/collections/orders/rollback", r#"{"to":"1-1"}"#),
    ] {
        let told = world.call(method, path, &[JSON], body).await.problem(409, "owned_by_file");
        assert_eq!(
            (&told["file"], &told["line"], &told["retry"]),
            (&json!("mainstay.yaml"), &json!(3), &json!("never"))
        );
    }
}

#[tokio::test]
async fn a_change_may_depend_on_what_is_there() {
    let world = World::new();
    let put = |headers: &'static [(&str, &str)]| world.call("PUT", BOOKS, headers, "{}");
    let told = put(&[JSON, ("if-match", "*")]).await.problem(412, "condition_failed");
    assert_eq!(told["detail"], "the collection \"books\" is not there");
    put(&[JSON, ("if-none-match", "*")]).await.is(201);
    put(&[JSON, ("if-none-match", "*")]).await.problem(412, "condition_failed");
    put(&[JSON, ("if-match", "\"1-9\"")]).await.problem(412, "condition_failed");
    put(&[JSON, ("if-match", "*")]).await.is(200);
    let told = put(&[JSON, ("if-match", "*"), ("if-none-match", "*")]).await.problem(412, "condition_failed");
    assert!(told["detail"].as_str().unwrap().contains("both there and not"), "{told}");
    let version = world.get(BOOKS).await.header("etag").unwrap().to_owned();
    world.call("DELETE", BOOKS, &[("if-match", &version)], "").await.is(200);
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let world = World::new();
    let path = "/v1/collections/books?dry_run=true";
    let told = world.put(path, "{}").await.is(200).json();
    assert_eq!((&told["dry_run"], &told["changes"]), (&json!(true), &json!(true)));
    world.get(BOOKS).await.problem(404, "not_found");
    world.put(BOOKS, "{}").await.is(201);
    let told = world.put(path, "{}").await.is(200).json();
    assert_eq!(told["changes"], false);
    let version = told["version"].clone();
    assert_eq!(world.get(BOOKS).await.json()["version"], version);
    let told = world.put(path, r#"{"partition_by":"whole_key"}"#).await.problem(409, "conflict");
    assert_eq!(told["partition_by"], "first_segment");
    let told = world.call("DELETE", path, &[], "").await.is(200).json();
    assert_eq!(told["changes"], true);
    world.put("/v1/collections/books?dry_run=yes", "{}").await.problem(422, "invalid");
    assert_eq!(world.get(BOOKS).await.is(200).json()["version"], version);
}

#[tokio::test]
async fn a_definition_goes_back_to_one_of_its_history() {
    let world = World::new();
    let first = world.put(BOOKS, "{}").await.json()["version"].clone();
    world.put(BOOKS, r#"{"content_type":"text/plain"}"#).await.is(200);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    let history = world.get("/v1/collections/books/history").await.is(200).json();
    let versions = history["versions"].as_array().unwrap();
    let retired: Vec<_> = versions.iter().map(|version| version["retired"].as_bool().unwrap()).collect();
    assert_eq!(retired, [true, false, false], "the latest first");
    assert_eq!((&versions[2]["version"], versions[2].get("active")), (&first, None));
    let back = |to: &str| {
        let body = format!("{{\"to\":{to}}}");
        let world = &world;
        async move { world.call("POST", "/v1/collections/books/rollback", &[JSON], body).await }
    };
    assert_eq!(
        back(&first.to_string()).await.is(201).json()["definition"],
        json!({ "partition_by": "first_segment" })
    );
    assert_eq!(back("\"1-99\"").await.problem(404, "not_found")["version"], "1-99");
    assert_eq!(back("7").await.problem(422, "invalid")["pointer"], "/to");
    world.get("/v1/collections/nothing/history").await.problem(404, "not_found");
}

#[tokio::test]
async fn collections_are_listed_by_name_page_by_page() {
    let world = World::new();
    world.put(BOOKS, "{}").await.is(201);
    let mut names = Vec::new();
    let mut path = "/v1/collections?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.is(200).json();
        let found = page["collections"].as_array().unwrap();
        assert!(found.len() <= 2);
        names.extend(found.iter().map(|it| it["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/collections?limit=2&cursor={next}");
    }
    assert_eq!(names, ["books", "carts", "docs", "orders", "whole"]);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    assert_eq!(world.get("/v1/collections?limit=1").await.json()["collections"][0]["name"], "carts");
    for wrong in ["limit=0", "limit=1001", "cursor=A", "prefix=c"] {
        world.get(&format!("/v1/collections?{wrong}")).await.problem(422, "invalid");
    }
}

#[tokio::test]
async fn a_definition_says_how_many_shards_have_it() {
    let world = World::new();
    world.shards.activate(14);
    assert_eq!(world.put(BOOKS, "{}").await.is(201).json()["active"], "14/16");
}

#[tokio::test]
async fn a_repetition_is_answered_and_not_done() {
    let world = World::new();
    let put = |value: &'static str| world.call("PUT", BOOKS, &[JSON, ("idempotency-key", "k1")], value);
    put("{}").await.is(201);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    let again = put("{}").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    world.get(BOOKS).await.problem(404, "not_found");
    put(r#"{"content_type":"text/plain"}"#).await.problem(422, "idempotency_mismatch");
}

#[tokio::test]
async fn what_no_definition_can_say_is_told_with_its_place() {
    let world = World::new();
    for (body, pointer) in [
        (r#"{"partitions":"whole_key"}"#, "/partitions"),
        (r#"{"partition_by":"whole"}"#, "/partition_by"),
        (r#"{"content_type":"x"}"#, "/content_type"),
        (r#"{"schema":{"json_schema":{"type":"x"}}}"#, "/schema/json_schema"),
        (r#"{"schema":{"compatibility":"x"}}"#, "/schema/compatibility"),
        (r#"{"schema":{"evolution":{"renames":{"a":"/b"}}}}"#, "/schema/evolution/renames"),
    ] {
        let told = world.put(BOOKS, body).await.problem(422, "invalid");
        assert_eq!(told["pointer"], pointer, "{told}");
    }
    for body in [r#"{"schema":{}}"#, r#"{"schema":{"file":"a.json"}}"#] {
        let told = world.put(BOOKS, body).await.problem(422, "invalid");
        assert_eq!(told["collection"], "books", "{told}");
    }
    world.put(BOOKS, "[]").await.problem(422, "invalid");
    world.put(BOOKS, "{").await.problem(400, "malformed");
    world
        .call("PUT", BOOKS, &[("content-type", "text/plain")], "{}")
        .await
        .problem(415, "unsupported_media_type");
    world.put("/v1/collections/Books", "{}").await.problem(422, "invalid");
}

#[tokio::test]
async fn documents_are_checked_and_a_schema_tells_how_far_its_documents_are() {
    const LOOSE: &str = r#"{"schema":{"json_schema":{"properties":{"n":{"type":"integer","minimum":1}},"additionalProperties":false}}}"#;
    const STRICT: &str = r#"{"schema":{"json_schema":{"properties":{"n":{"type":"integer","minimum":2}},"additionalProperties":false}}}"#;
    let world = World::new();
    world.put(BOOKS, LOOSE).await.is(201);
    let item = "/v1/collections/books/items/a";
    world.put(item, r#"{"n":1}"#).await.is(201);
    let told = world.put(item, r#"{"n":"x","m":2}"#).await.problem(422, "invalid");
    let violation = |index: usize| told["violations"][index].clone();
    assert_eq!(violation(0)["keyword"], "additionalProperties");
    assert_eq!(
        violation(1),
        json!({
            "pointer": "/n", "schema_pointer": "/properties/n/type", "keyword": "type",
            "message": "must be of type integer",
        })
    );
    assert_eq!((&told["schema"], &told["key"]), (&json!(1), &json!("a")));
    let shown = world.get(BOOKS).await.json();
    assert_eq!(shown["schema"], json!({"version": 1, "state": "ready", "ready": "1/1"}));
    assert_eq!(shown["definition"]["schema"]["compatibility"], "backward");
    assert_eq!(shown["definition"]["schema"]["json_schema"]["properties"]["n"]["minimum"], 1);
    let told = world.put(BOOKS, STRICT).await.problem(409, "conflict");
    assert_eq!(told["findings"][0]["pointer"], "/properties/n/minimum");
    assert_eq!(told["compatibility"], "backward");
}

#[tokio::test]
async fn a_dry_run_tells_which_items_would_not_be_valid() {
    const FREE: &str = r#"{"schema":{"json_schema":{"type":"object"},"compatibility":"none"}}"#;
    const BOUND: &str = r#"{"schema":{"json_schema":{"type":"object"}}}"#;
    let world = World::new();
    world.put(BOOKS, r#"{"schema":{"json_schema":{}}}"#).await.is(201);
    let sample =
        || Sample { items: 9, failing: 2, examples: vec![("a".parse().unwrap(), "must be so".to_owned())] };
    let expected = json!({"items": 9, "failing": 2, "examples": [{"key": "a", "reason": "must be so"}]});
    let path = "/v1/collections/books?dry_run=true";
    world.shards.find(sample());
    let told = world.put(path, FREE).await.is(200).json();
    assert_eq!((&told["changes"], &told["sample"]), (&json!(true), &expected));
    world.shards.find(sample());
    let told = world.put(path, BOUND).await.problem(409, "conflict");
    assert_eq!(told["sample"], expected);
    let told = world.put(path, FREE).await.is(200).json();
    assert_eq!(told.get("sample"), None);
}

#[tokio::test]
async fn a_retired_collection_is_purged_unless_items_are_held() {
    const PURGE: &str = "/v1/collections/books/purge";
    let world = World::new();
    let world = &world;
    let purge = |query: &'static str| async move {
        world.call("POST", &format!("{PURGE}{query}"), &[JSON], "{}").await
    };
    purge("").await.problem(404, "not_found");
    world.put(BOOKS, "{}").await.is(201);
    let served = purge("").await.problem(409, "conflict");
    assert!(served["detail"].as_str().unwrap().contains("retire it first"), "{served}");
    world.put("/v1/collections/books/items/a", "1").await.is(201);
    world.put("/v1/collections/books/items/b", "1").await.is(201);
    let hold = "/v1/collections/books/holds/case-7/items/a";
    world.call("PUT", hold, &[], "").await.is(204);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    let rehearsed = purge("?dry_run=true").await;
    assert_eq!(rehearsed.is(200).json(), json!({ "dry_run": true, "items": 2, "held": 1 }));
    let held = purge("").await.problem(409, "conflict");
    assert_eq!((&held["collection"], &held["held"]), (&json!("books"), &json!(1)));
    let none = world.get(PURGE).await.problem(404, "not_found");
    assert!(none["detail"].as_str().unwrap().contains("there is no purge"), "{none}");

    world.put(BOOKS, "{}").await.is(201);
    world.call("DELETE", hold, &[], "").await.is(204);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    let begun = purge("").await;
    let progress = json!({ "state": "purging", "done": "0/1", "removed": 0, "held": 0 });
    assert_eq!(begun.is(202).json(), progress);
    assert_eq!(world.get(PURGE).await.is(200).json(), progress);
    world.call("POST", PURGE, &[JSON], r#"{"items": 2}"#).await.problem(422, "invalid");
    world.call("POST", PURGE, &[], "{}").await.problem(415, "unsupported_media_type");
    purge("?dry_run=1").await.problem(422, "invalid");
}

#[tokio::test]
async fn usage_is_told_in_items_indexes_bytes_and_hot_keys() {
    let world = World::new();
    let path = "/v1/collections/books/usage";
    world.get(path).await.problem(404, "not_found");
    world
        .put(BOOKS, r#"{"indexes":{"by_year":{"on":["/year"]},"isbn":{"on":["/isbn"],"unique":true}}}"#)
        .await;
    world.put("/v1/collections/books/items/u7/a", r#"{"year":1990,"isbn":"1"}"#).await.is(201);
    world.put("/v1/collections/books/items/u7/b", r#"{"year":1991,"isbn":"2"}"#).await.is(201);
    let answer = world.get(path).await;
    let told = answer.is(200).json();
    assert!(answer.header("mainstay-position").is_some());
    let counts = |told: &serde_json::Value| {
        [
            "/items",
            "/expiry",
            "/indexes/by_year/entries",
            "/indexes/isbn/entries",
            "/indexes/isbn/unique",
            "/dropped",
        ]
        .map(|at| told.pointer(at).unwrap()["count"].as_u64().unwrap())
    };
    assert_eq!((counts(&told), &told["name"]), ([2, 0, 2, 2, 2, 0], &json!("books")));
    // The key of the row with slot, tenant, kind and collection, and the value with its versions and times.
    let row = |key: &str, value: &str| 2 + 7 + 2 + 5 + 1 + key.len() + 30 + value.len();
    let bytes = row("u7/a", r#"{"year":1990,"isbn":"1"}"#) * 2;
    assert_eq!(told["items"]["bytes"], bytes);
    assert_eq!(told["indexes"]["by_year"].get("unique"), None);
    assert_eq!(
        (&told["written"]["given_bytes"], &told["written"]["amplification"]),
        (&json!(10), &json!(2.5))
    );
    let hot = json!([{ "key": "u7", "count": 12, "error_max": 1 }]);
    assert_eq!((&told["hot_keys"]["reads"], &told["hot_keys"]["half_life"]), (&hot, &json!("10m")));

    world.put(BOOKS, r#"{"indexes":{"isbn":{"on":["/isbn"],"unique":true}}}"#).await.is(200);
    let told = world.get(path).await.is(200).json();
    assert_eq!(told["dropped"]["count"], 2, "until it is removed");
    assert_eq!(told["indexes"].as_object().unwrap().len(), 1);
    world.call("DELETE", BOOKS, &[], "").await.is(200);
    let told = world.get(path).await.is(200).json();
    assert_eq!(told["items"]["count"], 2, "a retired collection keeps its items");
    world.get("/v1/collections/books/usage?view=all").await.problem(422, "invalid");
}

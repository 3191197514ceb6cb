//! `POST /v1/commits`: what is asked becomes the command, and its outcome the answer.

use mainstay_machine::command::{Condition, Operation, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{JSON, World};

const COMMITS: &str = "/v1/commits";

#[tokio::test]
async fn a_commit_answers_its_position_and_a_result_for_each_operation() {
    let world = World::new();
    world.put("/v1/collections/orders/items/u7/old", "{}").await.is(201);
    let body = r#"{
        "partition": "u7",
        "if": [ {"present": {"collection": "orders", "key": "u7/old"}},
                {"absent": {"collection": "orders", "key": "u7/new"}},
                {"version": {"collection": "orders", "key": "u7/old", "is": "1-1"}},
                {"check": {"collection": "orders", "key": "u7/old", "cel": "exists && version == '1-1'"}} ],
        "do": [ {"put": {"collection": "orders", "key": "u7/new", "value": {"state": "new"}}},
                {"merge_patch": {"collection": "orders", "key": "u7/new", "patch": {"open": 1}}},
                {"increment": {"collection": "orders", "key": "u7/new", "path": "/open", "by": 2, "min": 0, "max": 3}},
                {"put": {"collection": "carts", "key": "u7", "value_base64": "AP8=", "content_type": "image/png"}},
                {"delete": {"collection": "orders", "key": "u7/old"}} ] }"#;
    let answer = world.commit(body).await;
    let made = json!({ "version": "1-2", "existed": false });
    let changed = json!({ "version": "1-2", "existed": true });
    let expected = json!({
        "position": "1.3.2",
        "results": [made, changed, changed, made, { "existed": true }],
    });
    assert_eq!(answer.is(200).json(), expected);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("mainstay-position"), Some("1.3.2"));
    assert_eq!(answer.header("mainstay-durability"), Some("synced"));
    assert_eq!(answer.header("mainstay-consistency"), Some("linearizable"));
    assert_eq!(answer.header("mainstay-age"), Some("0s"));
    assert_eq!(answer.header("idempotency-replayed"), None);

    let item = world.get("/v1/collections/orders/items/u7/new").await;
    assert_eq!(item.is(200).json(), json!({ "state": "new", "open": 3 }));
    let bytes = world.get("/v1/collections/carts/items/u7").await;
    assert_eq!((bytes.header("content-type"), &bytes.body[..]), (Some("image/png"), &[0, 255][..]));
    world.get("/v1/collections/orders/items/u7/old").await.problem(404, "not_found");
}

#[tokio::test]
async fn values_stay_the_bytes_that_were_sent() {
    let world = World::new();
    let value = r#"{ "a" : 1e400, "b":0.10,"c":  9007199254740993 ,"d":"\u00e9é" }"#;
    let body = format!(
        r#"{{"partition":"u7","do":[{{"put":{{"collection":"orders","key":"u7","value":{value}}}}},
            {{"merge_patch":{{"collection":"orders","key":"u7","patch":{{"e" : 2.50}}}}}}]}}"#
    );
    world.commit(body).await.is(200);
    let (command, _) = world.shards.last();
    let Request::Commit(commit) = command.request else { panic!("a commit") };
    let Operation::Put { value: sent, .. } = &commit.operations[0] else { panic!("a put") };
    assert_eq!(sent.bytes(), value.as_bytes());
    let Operation::MergePatch { patch, .. } = &commit.operations[1] else { panic!("a merge patch") };
    assert_eq!(&patch.bytes()[..], br#"{"e" : 2.50}"#);
    let stored = world.get("/v1/collections/orders/items/u7").await;
    // A merge joins members anew, and keeps what they hold.
    assert_eq!(stored.text(), r#"{"a":1e400,"b":0.10,"c":9007199254740993,"d":"\u00e9é","e":2.50}"#);
}

#[tokio::test]
async fn null_is_a_value_and_a_missing_list_is_empty() {
    let world = World::new();
    let body =
        r#"{"partition": "u7", "do": [{"put": {"collection": "orders", "key": "u7", "value": null}}]}"#;
    world.commit(body).await.is(200);
    assert_eq!(world.get("/v1/collections/orders/items/u7").await.text(), "null");
    let empty = world.commit(r#"{"partition": "u7"}"#).await;
    assert_eq!(empty.is(200).json()["results"], json!([]));
}

#[tokio::test]
async fn a_value_may_name_the_type_of_json_that_it_is() {
    let world = World::new();
    let body = r#"{"partition": "u7", "do": [{"put": {"collection": "orders", "key": "u7",
                   "value": {"a": 1}, "content_type": "application/geo+json"}}]}"#;
    world.commit(body).await.is(200);
    let item = world.get("/v1/collections/orders/items/u7").await;
    assert_eq!(item.header("content-type"), Some("application/geo+json"));
}

#[tokio::test]
async fn names_with_escapes_are_understood() {
    let world = World::new();
    let body = r#"{"parti\u0074ion": "\u00757", "\u0064o": [{"\u0070ut": {"collection": "or\u0064ers",
                   "key": "u7/\u00e9", "value": 1}}],
                  "if": [{"absent": {"collection": "orders", "key": "u7/\"x\""}}]}"#;
    world.commit(body).await.is(200);
    assert_eq!(world.get("/v1/collections/orders/items/u7/%C3%A9").await.text(), "1");
    let Request::Commit(commit) = world.shards.last().0.request else { panic!("a commit") };
    let Condition::Absent { item } = &commit.conditions[0] else { panic!("absent") };
    assert_eq!(item.key.as_str(), "u7/\"x\"");
}

/// Bodies that are refused before they reach a shard: status, code, the place, and a word of the detail.
const WRONG: &[(&str, u16, &str, &str, &str)] = &[
    ("", 400, "malformed", "", "EOF"),
    ("{", 400, "malformed", "", "EOF"),
    (r#"{"partition": "u7"} x"#, 400, "malformed", "", "trailing"),
    ("[]", 422, "invalid", "", "a JSON object"),
    ("null", 422, "invalid", "", "a JSON object"),
    (r#"["u7", [], []]"#, 422, "invalid", "", "a JSON object"),
    ("{}", 422, "invalid", "", "partition"),
    (r#"{"partition": ""}"#, 422, "invalid", "/partition", "empty"),
    (r#"{"partition": 7}"#, 422, "invalid", "/partition", "string"),
    (r#"{"partition": "a//b"}"#, 422, "invalid", "/partition", "single slashes"),
    (r#"{"partition": "u7", "partition": "u8"}"#, 422, "invalid", "", "duplicate"),
    (r#"{"partition": "u7", "then": []}"#, 422, "invalid", "/then", "then"),
    (r#"{"partition": "u7", "do": null}"#, 422, "invalid", "/do", "sequence"),
    (r#"{"partition": "u7", "do": [null]}"#, 422, "invalid", "/do/0", "an operation"),
    (r#"{"partition": "u7", "do": ["put"]}"#, 422, "invalid", "/do/0", "an operation"),
    (r#"{"partition": "u7", "do": [{}]}"#, 422, "invalid", "/do/0", "needs one of `put`"),
    (r#"{"partition": "u7", "do": [{"putt": {}}]}"#, 422, "invalid", "/do/0", "there is no `putt`"),
    (r#"{"partition": "u7", "do": [{"publish": {"topic": "t"}}]}"#, 422, "invalid", "/do/0", "not there yet"),
    (r#"{"partition": "u7", "do": [{"ack": {}}]}"#, 422, "invalid", "/do/0", "`ack` is not there yet"),
    (r#"{"partition": "u7", "do": [{"start": {}}]}"#, 422, "invalid", "/do/0", "`start` is not there yet"),
    (r#"{"partition": "u7", "if": [{"fence": {}}]}"#, 422, "invalid", "/if/0", "`fence` is not there yet"),
    (r#"{"partition": "u7", "if": [{"publish": {}}]}"#, 422, "invalid", "/if/0", "there is no `publish`"),
    (
        r#"{"partition": "u7", "do": [{"delete": {"collection": "c", "key": "u7"}, "put": {}}]}"#,
        422,
        "invalid",
        "/do/0",
        "make `put` another",
    ),
    (
        r#"{"partition": "u7", "do": [{"delete": ["c", "u7"]}]}"#,
        422,
        "invalid",
        "/do/0/delete",
        "a JSON object",
    ),
    (
        r#"{"partition": "u7", "do": [{"delete": {"collection": "C", "key": "u7"}}]}"#,
        422,
        "invalid",
        "/do/0/delete/collection",
        "'C'",
    ),
    (
        r#"{"partition": "u7", "do": [{"delete": {"collection": "c", "key": "u7/../x"}}]}"#,
        422,
        "invalid",
        "/do/0/delete/key",
        "segment 2",
    ),
    (
        r#"{"partition": "u7", "do": [{"delete": {"collection": "c"}}]}"#,
        422,
        "invalid",
        "/do/0/delete",
        "missing field `key`",
    ),
    (
        r#"{"partition": "u7", "do": [{"delete": {"collection": "c", "key": "u7", "kee": 1}}]}"#,
        422,
        "invalid",
        "/do/0/delete/kee",
        "kee",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7"}}]}"#,
        422,
        "invalid",
        "/do/0/put",
        "send `value`",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value": 1, "value_base64": ""}}]}"#,
        422,
        "invalid",
        "/do/0/put",
        "not both",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value_base64": ""}}]}"#,
        422,
        "invalid",
        "/do/0/put",
        "needs `content_type`",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value": 1, "content_type": "image/png"}}]}"#,
        422,
        "invalid",
        "/do/0/put/content_type",
        "value_base64",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value_base64": "A", "content_type": "a/b"}}]}"#,
        422,
        "invalid",
        "/do/0/put/value_base64",
        "base64",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value_base64": "ew==", "content_type": "a/b+json"}}]}"#,
        422,
        "invalid",
        "/do/0/put/value_base64",
        "JSON",
    ),
    (
        r#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value": {"a": 1, "a": 2}}}]}"#,
        422,
        "invalid",
        "/do/0/put/value",
        "twice",
    ),
    (
        r#"{"partition": "u7", "do": [{"merge_patch": {"collection": "c", "key": "u7", "patch": "\ud800"}}]}"#,
        422,
        "invalid",
        "/do/0/merge_patch/patch",
        "surrogate",
    ),
    (
        r#"{"partition": "u7", "do": [{"merge_patch": {"collection": "c", "key": "u7"}}]}"#,
        422,
        "invalid",
        "/do/0/merge_patch",
        "patch",
    ),
    (
        r#"{"partition": "u7", "do": [{"increment": {"collection": "c", "key": "u7", "by": 1.5}}]}"#,
        422,
        "invalid",
        "/do/0/increment/by",
        "floating point",
    ),
    (
        r#"{"partition": "u7", "do": [{"increment": {"collection": "c", "key": "u7", "by": 9223372036854775808}}]}"#,
        422,
        "invalid",
        "/do/0/increment/by",
        "9223372036854775808",
    ),
    (
        r#"{"partition": "u7", "do": [{"increment": {"collection": "c", "key": "u7", "by": 1, "path": "a"}}]}"#,
        422,
        "invalid",
        "/do/0/increment/path",
        "JSON Pointer",
    ),
    (
        r#"{"partition": "u7", "if": [{"version": {"collection": "c", "key": "u7", "is": "7"}}]}"#,
        422,
        "invalid",
        "/if/0/version/is",
        "not a version",
    ),
    (
        r#"{"partition": "u7", "if": [{"check": {"collection": "c", "key": "u7", "cel": "value.a <"}}]}"#,
        422,
        "invalid",
        "/if/0/check/cel",
        "wrong at byte 9",
    ),
];

#[tokio::test]
async fn what_is_not_a_commit_is_refused_with_its_place() {
    let world = World::new();
    for (body, status, code, pointer, word) in WRONG {
        let answer = world.commit(*body).await;
        let problem = answer.problem(*status, code);
        let found = problem.get("pointer").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(found, *pointer, "{body}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem:#}");
        assert_eq!(answer.header("mainstay-position"), None, "it reached no shard");
    }
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn invalid_utf8_and_nesting_without_end_are_refused() {
    let world = World::new();
    let text = br#"{"partition": "u7", "do": [{"put": {"collection": "c", "key": "u7", "value": "X"}}]}"#;
    let broken: Vec<u8> = text.iter().map(|byte| if *byte == b'X' { 0xff } else { *byte }).collect();
    world.commit(broken).await.problem(400, "malformed");
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let put = |value: &str| {
        format!(r#"{{"partition":"u7","do":[{{"put":{{"collection":"c","key":"u7","value":{value}}}}}]}}"#)
    };
    let problem = world.commit(put(&deep)).await.problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("nested more than 128"), "{problem}");
    world.commit(format!(r#"{{"partition":{deep}}}"#)).await.problem(422, "invalid");
    world
        .commit(format!(r#"{{"partition":"u7","do":[{{"publish":{deep}}}]}}"#))
        .await
        .problem(422, "invalid");
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn a_commit_is_json() {
    let world = World::new();
    for sent in ["text/plain", "application/x-www-form-urlencoded", "application/geo+json"] {
        let answer = world.call("POST", COMMITS, &[("content-type", sent)], "{}").await;
        assert_eq!(answer.problem(415, "unsupported_media_type")["accepted"], json!(["application/json"]));
    }
    world.call("POST", COMMITS, &[], "{}").await.problem(415, "unsupported_media_type");
    let good = [("content-type", "application/json; charset=utf-8")];
    world.call("POST", COMMITS, &good, r#"{"partition": "u7"}"#).await.is(200);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_waits() {
    let world = World::new();
    world.set(|settings| settings.machine.limits.operations_max = 1);
    let delete = r#"{"delete": {"collection": "orders", "key": "u7"}}"#;
    let body = format!(r#"{{"partition": "u7", "do": [{delete}, {delete}]}}"#);
    let problem = world.commit(body.clone()).await.problem(413, "too_large");
    assert_eq!((&problem["limit"], &problem["found"]), (&"operations_max".into(), &2.into()));
    world.set(|settings| settings.body.size_max = mainstay_base::units::Size::from_bytes(10));
    assert_eq!(world.commit(body).await.problem(413, "too_large")["limit_bytes"], 10);
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn a_failed_condition_says_which_and_the_present_version() {
    let world = World::new();
    world.put("/v1/collections/orders/items/u7", "1").await.is(201);
    let body = r#"{"partition": "u7", "if": [
        {"present": {"collection": "orders", "key": "u7"}},
        {"version": {"collection": "orders", "key": "u7", "is": "1-9"}}]}"#;
    let answer = world.commit(body).await;
    let problem = answer.problem(412, "condition_failed");
    assert_eq!((&problem["condition"], &problem["version"]), (&1.into(), &"1-1".into()));
    assert_eq!(answer.header("mainstay-position"), Some("1.3.2"), "a refusal is an answer");
    assert_eq!(answer.header("mainstay-durability"), Some("synced"));
}

#[tokio::test]
async fn an_item_of_another_partition_is_named() {
    let world = World::new();
    let body = r#"{"partition": "u7", "do": [
        {"delete": {"collection": "orders", "key": "u7"}},
        {"delete": {"collection": "orders", "key": "u8/x"}}]}"#;
    let problem = world.commit(body).await.problem(422, "partition_mismatch");
    assert_eq!((&problem["operation"], &problem["item_partition"]), (&1.into(), &"u8".into()));
}

#[tokio::test]
async fn a_repetition_is_answered_as_before_and_says_so() {
    let world = World::new();
    let body =
        r#"{"partition": "u7", "do": [{"increment": {"collection": "orders", "key": "u7", "by": 1}}]}"#;
    let send = |key: &'static str, body: &'static str| {
        let world = &world;
        async move { world.call("POST", COMMITS, &[JSON, ("idempotency-key", key)], body).await }
    };
    let first = send("k1", body).await;
    let second = send("\"k1\"", body).await;
    assert_eq!(first.is(200).json()["results"], second.is(200).json()["results"]);
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(second.header("idempotency-replayed"), Some("true"), "quoted or not, it is the same key");
    assert_eq!(world.get("/v1/collections/orders/items/u7").await.text(), "1");
    send("k1", r#"{"partition": "u7"}"#).await.problem(422, "idempotency_mismatch");

    let never = r#"{"partition": "u7", "if": [{"absent": {"collection": "orders", "key": "u7"}}]}"#;
    send("k2", never).await.problem(412, "condition_failed");
    let again = send("k2", never).await;
    again.problem(412, "condition_failed");
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "refusals are kept too");
}

const GOOD: &str = r#"{"partition":"u7","if":[{"check":{"collection":"orders","key":"u7","cel":"true"}}],
    "do":[{"put":{"collection":"orders","key":"u7","value":{"a":[1,"\u00e9"]}}},
    {"put":{"collection":"orders","key":"u7/b","value_base64":"AA==","content_type":"a/b"}},
    {"merge_patch":{"collection":"orders","key":"u7","patch":{"b":null}}},
    {"increment":{"collection":"orders","key":"u7","path":"/a/0","by":-1,"min":0,"max":9}}]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_body_with_mistakes_is_answered_with_what_is_meant_for_them(
        mistakes in proptest::collection::vec((0..GOOD.len(), any::<u8>(), 0..3u8), 0..4),
    ) {
        let mut body = GOOD.as_bytes().to_vec();
        for (at, byte, kind) in mistakes {
            let at = at.min(body.len() - 1);
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(async { World::new().commit(body.clone()).await });
        let is_meant = matches!(answer.status, 200 | 400 | 404 | 412 | 413 | 415 | 422);
        prop_assert!(is_meant, "{:?}: {:?}", String::from_utf8_lossy(&body), answer);
    }
}

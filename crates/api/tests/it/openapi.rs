//! The description says what the router does, and what it says of bodies is true.

use std::collections::BTreeSet;

use mainstay_api::openapi::document;
use serde_json::{Value, json};

use crate::world::World;

/// The methods that the router has at a path, by the `Allow` of its refusal.
async fn methods(world: &World, path: &str) -> BTreeSet<String> {
    let path = path.replace("{collection}", "orders").replace("{*key}", "u7").replace("{key}", "u7");
    let path = path.replace("{hold}", "case-7");
    let answer = world.call("TRACE", &path, &[], "").await;
    answer.is(405).header("allow").unwrap().split(',').map(|it| it.trim().to_lowercase()).collect()
}

#[tokio::test]
async fn every_route_and_method_is_described_and_no_other() {
    let world = World::new();
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let routes: BTreeSet<_> =
        mainstay_api::routes().iter().map(|(path, _)| path.replace("{*", "{")).collect();
    assert_eq!(routes, paths.keys().cloned().collect());
    for (path, described) in paths {
        let mut described: BTreeSet<_> = described.as_object().unwrap().keys().cloned().collect();
        if described.contains("get") {
            described.insert("head".to_owned());
        }
        assert_eq!(methods(&world, path).await, described, "{path}");
    }
    let served = world.get("/v1/openapi.json").await;
    assert_eq!((served.is(200).json(), served.header("content-type")), (document, Some("application/json")));
}

#[test]
fn every_operation_is_complete_and_every_reference_leads_somewhere() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            assert!(responses.contains_key("503"), "{method} {path}");
            let is_in_flight =
                |response: &Value| response["description"].as_str().unwrap().contains("`in_flight`");
            assert!(
                !responses.values().any(is_in_flight),
                "{method} {path}: what is in flight is waited for"
            );
            for name in path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                let found = parameters.iter().find(|it| it["name"] == name).expect(name);
                assert_eq!((&found["in"], &found["required"]), (&"path".into(), &true.into()));
            }
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// The schema of a component, as a document of its own.
fn validator(name: &str) -> jsonschema::Validator {
    let mut schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    schema["components"] = document()["components"].clone();
    jsonschema::validator_for(&schema).expect("a valid schema")
}

#[tokio::test]
async fn the_schema_of_a_commit_takes_what_the_resource_takes() {
    let schema = validator("Commit");
    let item = json!({ "collection": "orders", "key": "u7" });
    let with = |name: &str, value: Value| {
        let mut body = item.clone();
        body[name] = value;
        body
    };
    let operation = |body: Value| json!({ "partition": "u7", "do": [body] });
    let condition = |body: Value| json!({ "partition": "u7", "if": [body] });
    for (body, is_good) in [
        (json!({ "partition": "u7" }), true),
        (json!({}), false),
        (json!({ "partition": "u7", "then": [] }), false),
        (json!({ "partition": 7 }), false),
        (operation(json!({ "put": with("value", Value::Null) })), true),
        (operation(json!({ "delete": item })), true),
        (operation(json!({ "delete": with("value", json!(1)) })), false),
        (operation(json!({ "delete": ["orders", "u7"] })), false),
        (operation(json!({ "merge_patch": with("patch", json!({})) })), true),
        (operation(json!({ "merge_patch": item })), false),
        (operation(json!({ "increment": with("by", json!(1)) })), true),
        (operation(json!({ "increment": with("by", json!("1")) })), false),
        (operation(json!({ "release": with("name", json!("case-7")) })), true),
        (operation(json!({ "hold": with("name", json!("Case 7")) })), false),
        (operation(json!({ "hold": item })), false),
        (operation(json!({ "publish": {} })), false),
        (operation(json!({})), false),
        (condition(json!({ "absent": item })), true),
        (condition(json!({ "check": with("cel", json!("exists || true")) })), true),
        (condition(json!({ "check": item })), false),
        (condition(json!({ "fence": {} })), false),
    ] {
        let answer = World::new().commit(body.to_string()).await;
        let is_taken = !matches!(answer.status, 400 | 422);
        assert_eq!((schema.is_valid(&body), is_taken), (is_good, is_good), "{body}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn answers_are_what_their_schemas_say() {
    let world = World::new();
    let body = r#"{"partition": "u7", "do": [
        {"put": {"collection": "orders", "key": "u7", "value": 1}},
        {"put": {"collection": "orders", "key": "u7/b", "value_base64": "AA==", "content_type": "a/b"}},
        {"delete": {"collection": "orders", "key": "u7/c"}}]}"#;
    let valid = |name: &str, answer: &Value| {
        let schema = validator(name);
        let errors: Vec<_> = schema.iter_errors(answer).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{answer:#}: {errors:?}");
    };
    let held = "/v1/collections/orders/holds/case-7/items/u7/b";
    valid("CommitAnswer", &world.commit(body).await.is(200).json());
    valid("Page", &world.get("/v1/collections/orders/items?limit=1").await.is(200).json());
    world.call("PUT", held, &[], "").await.is(204);
    valid("Page", &world.get("/v1/collections/orders/items").await.is(200).json());
    let events = world.get("/v1/collections/orders/changes?after=0&values=none").await.is(200).json();
    valid("Events", &events);
    valid("Events", &world.get("/v1/collections/orders/changes?after=0").await.is(200).json());
    valid("Event", &events["events"][0]);
    valid("Problem", &world.get("/v1/collections/orders/items/nope").await.problem(404, "not_found"));
    assert!(!validator("CommitAnswer").is_valid(&json!({ "position": "1.3.1" })));
}

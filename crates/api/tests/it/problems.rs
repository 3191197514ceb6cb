//! The documents of what goes wrong behind the port, word for word.

use mainstay_base::units::Duration;
use mainstay_machine::shards::Error;

use crate::world::{JSON, World};

const ITEM: &str = "/v1/collections/orders/items/u7";

fn errors() -> [Error; 8] {
    let reason = || "the disk is slow".to_owned();
    [
        Error::Overloaded { what: "shard 3".into(), waiting: 9, after: Duration::from_millis(1500) },
        Error::Deadline,
        Error::OutcomeUnknown { reason: reason() },
        Error::Unavailable { reason: reason() },
        Error::StorageFull { reason: reason() },
        Error::Gone,
        Error::Broken { reason: reason() },
        Error::Overloaded { what: "shard 3".into(), waiting: 9, after: Duration::from_secs(1) },
    ]
}

#[tokio::test]
async fn every_error_of_the_port_has_its_document() {
    let world = World::new();
    let mut documents = String::new();
    for error in errors() {
        world.shards.fail(error);
        let answer = world.commit(r#"{"partition": "u7"}"#).await;
        let status = answer.status;
        answer.problem(status, answer.json()["code"].as_str().unwrap());
        let retry_after = answer.header("retry-after").unwrap_or("-");
        documents += &format!("{status}, Retry-After: {retry_after}\n{:#}\n\n", answer.json());
    }
    insta::assert_snapshot!("errors-of-the-port", documents);
}

#[tokio::test]
async fn errors_are_the_same_whatever_was_asked() {
    let world = World::new();
    for (method, path) in
        [("GET", ITEM), ("PUT", ITEM), ("DELETE", ITEM), ("GET", "/v1/collections/orders/items")]
    {
        for error in errors() {
            let code = mainstay_base::error::Classify::code(&error);
            world.shards.fail(error);
            let answer = world.call(method, path, &[JSON], "1").await;
            answer.problem(code.status(), code.as_str());
        }
    }
}

#[tokio::test]
async fn refusals_have_their_documents() {
    let world = World::new();
    world.put(ITEM, r#"{"n": 3, "s": "x"}"#).await.is(201);
    world
        .call("PUT", "/v1/collections/orders/items/u7/png", &[("content-type", "image/png")], "x")
        .await
        .is(201);
    world.set(|settings| settings.machine.limits.value_size_max = mainstay_base::units::Size::from_bytes(20));
    let item = r#""collection": "orders", "key": "u7""#;
    let operations = [
        format!(r#""if": [{{"version": {{{item}, "is": "1-9"}}}}]"#),
        format!(r#""if": [{{"absent": {{{item}}}}}]"#),
        format!(r#""if": [{{"check": {{{item}, "cel": "value.n > 3"}}}}]"#),
        format!(r#""if": [{{"check": {{{item}, "cel": "value.s > 3"}}}}]"#),
        format!(r#""do": [{{"increment": {{{item}, "path": "/n", "by": 1, "max": 3}}}}]"#),
        format!(r#""do": [{{"increment": {{{item}, "path": "/s", "by": 1}}}}]"#),
        format!(r#""do": [{{"put": {{{item}, "value": "{}"}}}}]"#, "x".repeat(30)),
        r#""do": [{"merge_patch": {"collection": "orders", "key": "u7/png", "patch": {}}}]"#.to_owned(),
        r#""do": [{"delete": {"collection": "orders", "key": "u8"}}]"#.to_owned(),
        r#""do": [{"delete": {"collection": "nope", "key": "u7"}}]"#.to_owned(),
        format!(r#""do": [{{"hold": {{{item}, "name": "case-7"}}}}, {{"delete": {{{item}}}}}]"#),
        r#""do": [{"hold": {"collection": "orders", "key": "u7/none", "name": "case-7"}}]"#.to_owned(),
        r#""do": [{"put": {"collection": "orders", "key": "u7", "valeu": 1}}]"#.to_owned(),
        r#""do": [{"publish": {"topic": "orders"}}]"#.to_owned(),
    ];
    let mut documents = String::new();
    for operation in operations {
        let answer = world.commit(format!(r#"{{"partition": "u7", {operation}}}"#)).await;
        documents += &format!("{operation}\n{:#}\n\n", answer.json());
    }
    insta::assert_snapshot!("refusals", documents);
}

//! The document as it goes over the wire.

use serde_json::json;

use super::*;
use crate::error::Fault;
use crate::time::Timestamp;
use crate::units::Size;

fn full() -> Problem {
    let id = RequestId::new(Timestamp::from_micros(1_700_000_000_000_000), [7; 10]);
    Problem::new(Code::RateLimited, "3 requests a second are allowed; wait")
        .fact("limit", 3)
        .fact("bucket", "anonymous")
        .retry_with(Retry::After(Duration::from_millis(1500)))
        .request(id)
}

#[test]
fn a_problem_is_written_as_this_document() {
    let golden = r#"{
  "type": "urn:mainstay:problem:rate_limited",
  "title": "The caller sent too many requests",
  "status": 429,
  "detail": "3 requests a second are allowed; wait",
  "code": "rate_limited",
  "retry": "after",
  "retry_after": "1.5s",
  "request_id": "018bcfe5-6800-7707-8707-070707070707",
  "bucket": "anonymous",
  "limit": 3
}"#;
    assert_eq!(serde_json::to_string_pretty(&full()).unwrap(), golden);
}

#[test]
fn what_is_unknown_is_left_out() {
    let document = serde_json::to_value(Problem::new(Code::NotFound, "no collection \"carts\"")).unwrap();
    let golden = json!({
        "type": "urn:mainstay:problem:not_found",
        "title": "There is nothing by this name",
        "status": 404,
        "detail": "no collection \"carts\"",
        "code": "not_found",
        "retry": "never",
    });
    assert_eq!(document, golden);
}

#[test]
fn every_code_and_retry_is_read_back() {
    let retries =
        [Retry::Never, Retry::Safe, Retry::WithIdempotencyKey, Retry::After(Duration::from_secs(2))];
    let plain = Code::ALL.map(|code| Problem::new(code, "d"));
    let with_retries = retries.map(|retry| Problem::new(Code::Internal, "d").retry_with(retry));
    for problem in plain.into_iter().chain(with_retries).chain([full()]) {
        let json = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }
}

#[test]
fn a_retry_and_its_delay_are_read_only_together() {
    let base = serde_json::to_value(full()).unwrap();
    let with = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut document = base.clone();
        change(document.as_object_mut().expect("an object"));
        serde_json::from_value::<Problem>(document)
    };
    assert!(with(|document| drop(document.remove("retry_after"))).is_err());
    assert!(with(|document| drop(document.insert("retry".into(), "safe".into()))).is_err());
    let foreign =
        with(|document| drop(document.insert("instance".into(), "/x".into()))).expect("known to RFC 9457");
    assert_eq!(foreign, full());
}

#[test]
fn no_fact_overwrites_a_standard_member() {
    for name in Problem::STANDARD_MEMBERS {
        let overwrite = || Problem::new(Code::Internal, "d").fact(name, 1);
        assert!(std::panic::catch_unwind(overwrite).is_err(), "{name} was taken as a fact");
    }
    // Every member that is ever written is on the list.
    let written = serde_json::to_value(full()).unwrap();
    let members =
        written.as_object().expect("an object").keys().filter(|name| !full().facts().contains_key(*name));
    for name in members {
        assert!(Problem::STANDARD_MEMBERS.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn an_error_becomes_the_problem_it_amounts_to() {
    let error = "64kb".parse::<Size>().expect_err("no such unit");
    let problem = Problem::of(&error);
    assert_eq!((problem.code(), problem.status(), problem.retry()), (Code::Invalid, 422, Retry::Never));
    assert_eq!((problem.detail(), problem.request_id()), (error.to_string().as_str(), None));
    assert_eq!(error.fault(), Fault::Caller);
    assert!(problem.to_string().starts_with("invalid: \"64kb\" is not a size"));
}

#[test]
fn the_schema_names_every_member_and_lets_facts_through() {
    let schema = schemars::schema_for!(Problem).to_value();
    let properties = schema["properties"].as_object().expect("an object");
    for member in Problem::STANDARD_MEMBERS.iter().filter(|member| **member != "instance") {
        assert!(properties.contains_key(*member), "{member} is missing");
    }
    assert_eq!(schema["additionalProperties"], json!(true));
    assert_eq!(schema["required"], json!(["type", "title", "status", "detail", "code", "retry"]));
}

//! What can be written in a route's `match`, and what is said of what cannot.

use super::*;

fn refused(json: &Value) -> String {
    match serde_json::from_value::<Match>(json.clone()) {
        Err(error) => error.to_string(),
        Ok(wanted) => match wanted.check() {
            Err((field, reason)) => format!("{field} {reason}"),
            Ok(()) => panic!("{json} is right"),
        },
    }
}

#[test]
fn everything_can_be_written_and_read_back() {
    let json = serde_json::json!({
        "host": ["example.com", "*.example.com"],
        "path": "/a/{b}/{c...}",
        "listeners": ["inside", "admin"],
        "methods": ["GET", "PURGE"],
        "headers": { "x-a": { "exact": "1" }, "x-b": { "prefix": "1" }, "x-c": "present", "x-d": "absent" },
        "query": { "q": { "exact": "" } },
        "when": "request.path != '/'",
        "priority": -1,
    });
    let wanted = one(json.clone());
    assert_eq!(wanted.check(), Ok(()));
    assert_eq!(serde_json::to_value(&wanted).unwrap(), json);
    assert_eq!(one(serde_json::json!({ "host": "EXAMPLE.com" })).host[0].name(), "example.com");
    assert_eq!(one(serde_json::json!({})), Match::default());
}

#[test]
fn what_cannot_be_written_says_what_to_write() {
    let long = "/a".repeat(33);
    let names: String = (0..9).map(|place| format!("/{{a{place}}}")).collect();
    for (field, value, words) in [
        ("hosts", Value::from("a"), "unknown field `hosts`"),
        ("host", Value::from("a.com:80"), "leave out scheme, port and path"),
        ("host", Value::from("http://a.com"), "leave out scheme, port and path"),
        ("host", Value::from("*"), "leave `host` out"),
        ("host", Value::from("a.*.com"), "a `*` stands only in front"),
        ("host", Value::from("a..com"), "single dots"),
        ("host", Value::from("a.com."), "single dots"),
        ("host", Value::from("*."), "single dots"),
        ("host", Value::from("bücher.de"), "Punycode"),
        ("host", Value::from("[::g]"), "not an IPv6 address"),
        ("host", Value::from("[::1]:80"), "in brackets and without a port"),
        ("host", Value::from("*.[::1]"), "no names below"),
        ("host", serde_json::json!(["a.com", 1]), "invalid type"),
        ("host", serde_json::json!(["a.com", "A.com"]), "host names a.com twice"),
        ("path", Value::from("a/b"), "begins with"),
        ("path", Value::from("/a//b"), "single slashes"),
        ("path", Value::from("/a/../b"), "leave them out"),
        ("path", Value::from("/a/*"), "write {name} for one segment"),
        ("path", Value::from("/a?b"), "write what holds for it as `query`"),
        ("path", Value::from("/a%0"), "two hexadecimal digits"),
        ("path", Value::from("/v{n}"), "a whole segment"),
        ("path", Value::from("/{a"), "a whole segment"),
        ("path", Value::from("/{}"), "is not a name"),
        ("path", Value::from("/{1}"), "is not a name"),
        ("path", Value::from("/{in}"), "is not a name"),
        ("path", Value::from("/{a b}"), "is not a name"),
        ("path", Value::from("/{a...}/b"), "at the end only"),
        ("path", Value::from("/{a}/{a...}"), "{a} is in it twice"),
        ("path", Value::from(long), "at most 32"),
        ("path", Value::from(names), "9 names, and at most 8"),
        ("methods", serde_json::json!(["get"]), "in upper case"),
        ("methods", serde_json::json!(["CONNECT"]), "no route takes it"),
        ("methods", serde_json::json!(["GET", "GET"]), "methods names GET twice"),
        ("listeners", serde_json::json!(["Inside"]), "is not a name"),
        ("listeners", Value::from("inside"), "invalid type"),
        ("listeners", serde_json::json!(["inside", "admin", "inside"]), "listeners names inside twice"),
        ("headers", serde_json::json!({ "x a": "present" }), "is not the name of a header"),
        ("headers", serde_json::json!({ "host": "present" }), "write it as `host`"),
        ("headers", serde_json::json!({ "x-a": { "prefix": "" } }), "on `x-a` has an empty `prefix`"),
        ("headers", serde_json::json!({ "x-a": { "exact": "a\n" } }), "control characters"),
        ("headers", serde_json::json!({ "x-a": { "exact": "a " } }), "no spaces around"),
        ("headers", serde_json::json!({ "x-a": { "prefix": " a" } }), "no spaces around"),
        ("headers", serde_json::json!({ "x-a": "there" }), "unknown variant"),
        ("query", serde_json::json!({ "a": { "prefix": "" } }), "on \"a\" has an empty `prefix`"),
        ("when", Value::from("request.user == 'x'"), "there are request.method, request.path"),
        ("when", Value::from("request.path =="), "the expression is wrong at byte"),
    ] {
        let error = refused(&serde_json::json!({ field: value }));
        assert!(error.contains(words), "{field} {value}: {error}");
    }
    let many = |count: u32| -> BTreeMap<String, &str> {
        (0..count).map(|place| (format!("x-{place}"), "present")).collect()
    };
    let listeners: Vec<String> = (0..65).map(|place| format!("l{place}")).collect();
    let hosts: Vec<String> = (0..65).map(|place| format!("h{place}.com")).collect();
    assert!(refused(&serde_json::json!({ "headers": many(17) })).contains("at most 16"));
    assert!(refused(&serde_json::json!({ "query": many(17) })).contains("at most 16"));
    assert!(refused(&serde_json::json!({ "host": hosts })).contains("at most 64"));
    assert!(
        refused(&serde_json::json!({ "listeners": listeners }))
            .contains("65 names, and there are at most 64")
    );
    assert_eq!(one(serde_json::json!({ "listeners": listeners[1..] })).check(), Ok(()));
    assert_eq!(one(serde_json::json!({ "headers": { "x-a": { "prefix": "a " } } })).check(), Ok(()));
}

#[test]
fn the_schema_shows_what_is_written_as_text() {
    let schema = schemars::schema_for!(Match).to_value();
    for name in ["Host", "Pattern", "MethodName", "When"] {
        assert_eq!(schema["$defs"][name]["type"], "string", "{name}");
    }
    for (field, about) in schema["properties"].as_object().unwrap() {
        assert!(about["description"].as_str().is_some_and(|text| text.contains("y default")), "{field}");
    }
}

//! How it is written, and what all mistakes at once are.

use super::super::security::SecurityHeaders;
use super::*;

fn error(json: &str) -> String {
    serde_json::from_str::<Config>(json).expect_err(json).to_string()
}

#[test]
fn a_route_that_does_nothing_has_no_actions() {
    for config in ["{}", "{\"headers\": {}}", "{\"security_headers\": false}"] {
        let config: Config = serde_json::from_str(config).unwrap();
        assert!(Actions::build(&config, &Match::default()).unwrap().is_none());
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let config = json!({
        "rewrite": { "path": "/{two}" },
        "headers": { "request": { "set": { "host": "a", "x-a": "{two}" } } },
        "redirect": { "scheme": "https", "status": 200 },
        "cors": { "origins": [] },
        "security_headers": { "permissions_policy": true },
    });
    let found = wrong_in(json!({ "path": "/{one}" }), config);
    let fields: Vec<&str> = found.iter().map(|mistake| mistake.split('`').nth(1).unwrap()).collect();
    let expected = [
        "headers.request.set.host",
        "headers.request.set.x-a",
        "redirect.status",
        "rewrite.path",
        "cors.origins",
        "security_headers.permissions_policy",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_service_is_needed_where_requests_go_on() {
    let needs = |config: Json| serde_json::from_value::<Config>(config).unwrap().needs_service();
    assert!(needs(json!({})) && needs(json!({ "redirect": { "scheme": "https" } })));
    assert!(!needs(json!({ "redirect": { "to": "/x" } })) && !needs(json!({ "answer": {} })));
}

#[test]
fn misspelt_fields_are_named() {
    assert!(error("{\"rewrites\": {}}").contains("unknown field `rewrites`"));
    assert!(error("{\"rewrite\": {\"paths\": \"/\"}}").contains("unknown field `paths`"));
    assert!(error("{\"security_headers\": {\"csp\": \"a\"}}").contains("unknown field `csp`"));
    assert!(
        error("{\"security_headers\": \"on\"}").contains("`true`, `false` or a mapping of security headers")
    );
    assert!(error("{\"security_headers\": {\"frame_options\": 1}}").contains("`false` for nothing"));
    assert!(error("{\"cors\": {\"origins\": [\"a.example\"]}}").contains("write scheme and host"));
    assert!(error("{\"redirect\": {\"scheme\": \"ftp\"}}").contains("unknown variant `ftp`"));
    assert!(
        error("{\"headers\": {\"request\": {\"remove\": [\"a b\"]}}}").contains("not the name of a header")
    );
}

#[test]
fn what_is_written_is_read_again() {
    for config in [
        json!({}),
        json!({ "security_headers": true, "answer": { "body": [1, "a"] } }),
        json!({
            "rewrite": { "strip_prefix": "/a", "query": "drop" },
            "headers": { "answer": { "remove": ["x-*"], "set": { "a": "b" } } },
            "redirect": { "scheme": "https", "port": 8443 },
            "cors": { "origins": ["HTTPS://A.example:443", "http://*.b.example:80", "null"], "max_age": "5m" },
            "security_headers": { "frame_options": "DENY", "referrer_policy": false },
        }),
    ] {
        let config: Config = serde_json::from_value(config).unwrap();
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<Config>(written).unwrap(), config);
    }
    assert_eq!(SecurityHeaders::from(None), SecurityHeaders::default());
}

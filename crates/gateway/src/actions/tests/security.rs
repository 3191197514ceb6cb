//! Headers that protect users.

use super::*;

fn got(security: Json, asked: &str, answered: &str) -> String {
    Route::of(within("security_headers", security)).pass(asked, answered).got
}

const TLS: &str = "GET https://a.example/";

#[test]
fn the_defaults_are_said_and_what_the_service_is_made_of_is_not() {
    assert_eq!(
        got(json!(true), TLS, "200\nserver: Apache/2.4.1\nx-powered-by: PHP/5\nx-other: a"),
        "200\ncross-origin-opener-policy: same-origin-allow-popups\ncross-origin-resource-policy: same-origin\nreferrer-policy: strict-origin-when-cross-origin\nstrict-transport-security: max-age=31536000\nx-content-type-options: nosniff\nx-frame-options: SAMEORIGIN\nx-other: a\n"
    );
    assert_eq!(got(json!({}), TLS, "200"), got(json!(true), TLS, "200"), "a mapping changes the defaults");
}

#[test]
fn transport_security_is_said_over_tls_only() {
    let said = got(json!(true), "GET http://a.example/", "200");
    assert!(!said.contains("strict-transport-security") && said.contains("nosniff"), "{said}");
}

#[test]
fn what_the_service_says_itself_stays() {
    let own =
        "200\nreferrer-policy: no-referrer\nstrict-transport-security: max-age=60\nx-frame-options: DENY";
    let said = got(json!({ "content_security_policy": "default-src 'self'" }), TLS, own);
    for line in own.lines().skip(1).chain(["content-security-policy: default-src 'self'"]) {
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
    assert_eq!(said.matches("frame-options").count(), 1, "{said}");
    let set = Route::of(json!({
        "security_headers": true,
        "headers": { "answer": { "set": { "server": "gateway", "x-frame-options": "DENY" } } },
    }));
    let said = set.pass(TLS, "200\nserver: Apache").got;
    assert!(said.contains("server: gateway\n") && said.contains("x-frame-options: DENY\n"), "{said}");
}

#[test]
fn each_can_be_changed_or_left_out() {
    let off = json!({
        "strict_transport_security": false, "content_type_options": false, "frame_options": false, "referrer_policy": false,
        "cross_origin_opener_policy": false, "cross_origin_resource_policy": false, "hide": ["via"],
    });
    assert_eq!(got(off, TLS, "200\nserver: a\nvia: b"), "200\nserver: a\n");
    let own = json!({
        "strict_transport_security": "max-age=60; includeSubDomains", "content_type_options": true, "frame_options": "DENY",
        "referrer_policy": "no-referrer", "cross_origin_opener_policy": "same-origin", "cross_origin_resource_policy": "cross-origin",
        "cross_origin_embedder_policy": true, "content_security_policy": "default-src 'none'", "permissions_policy": "camera=()",
        "hide": [],
    });
    assert_eq!(
        got(own, TLS, "200"),
        "200\ncontent-security-policy: default-src 'none'\ncross-origin-embedder-policy: require-corp\ncross-origin-opener-policy: same-origin\ncross-origin-resource-policy: cross-origin\npermissions-policy: camera=()\nreferrer-policy: no-referrer\nstrict-transport-security: max-age=60; includeSubDomains\nx-content-type-options: nosniff\nx-frame-options: DENY\n"
    );
}

#[test]
fn what_cannot_be_said_says_what_to_write() {
    let of = |security: Json| json!({ "security_headers": security });
    all_wrong(&[
        (
            of(json!({ "content_security_policy": true })),
            "`security_headers.content_security_policy` has no default",
        ),
        (of(json!({ "permissions_policy": true })), "`security_headers.permissions_policy` has no default"),
        (of(json!({ "frame_options": "" })), "`security_headers.frame_options` is no value of a header"),
        (of(json!({ "frame_options": "a\nb" })), "is no value of a header"),
        (of(json!({ "frame_options": "é" })), "is no value of a header"),
        (of(json!({ "strict_transport_security": "includeSubDomains" })), "has no `max-age`"),
        (of(json!({ "strict_transport_security": "max-age=soon" })), "has no `max-age`"),
        (
            of(json!({ "hide": ["content-length"] })),
            "`security_headers.hide.content-length` cannot be changed",
        ),
        (of(json!({ "hide": (0..65).map(|n| format!("x-{n}")).collect::<Vec<_>>() })), "at most 64"),
    ]);
}

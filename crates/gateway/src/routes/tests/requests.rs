//! Conditions on headers, query and expressions, and how they see a request.

use super::*;

/// Whether a condition on `match` holds for requests.
#[track_caller]
fn holds(wanted: &str, requests: &[(&str, bool)]) {
    let table = table(&format!("{{\"route\": {wanted}}}"));
    for (request, expected) in requests {
        assert_eq!(taken(&table, request) == "route", *expected, "{wanted} {request}");
    }
}

#[test]
fn several_lines_of_a_header_are_one_value() {
    holds(
        r#"{"headers": {"x-a": {"exact": "1, 2"}}}"#,
        &[
            ("GET x/\nx-a: 1, 2", true),
            ("GET x/\nx-a: 1\nx-a: 2", true),
            ("GET x/\nX-A: 1", false),
            ("GET x/\nx-a: 1\nx-a: 2\nx-a: 3", false),
            ("GET x/\nx-a: 1\nx-a: 22", false),
            ("GET x/\nx-a: 1,2", false),
            ("GET x/", false),
        ],
    );
    holds(
        r#"{"headers": {"X-A": {"prefix": "1, 2"}}}"#,
        &[
            ("GET x/\nx-a: 1\nx-a: 22", true),
            ("GET x/\nx-a: 1\nx-a: 2", true),
            ("GET x/\nx-a: 1", false),
            ("GET x/\nx-a: 1, 3", false),
        ],
    );
    holds(r#"{"headers": {"x-a": {"exact": ""}}}"#, &[("GET x/\nx-b: 1", false)]);
    holds(r#"{"headers": {"x-a": "present"}}"#, &[("GET x/\nx-a: 1", true), ("GET x/", false)]);
    holds(r#"{"headers": {"x-a": "absent"}}"#, &[("GET x/\nx-a: 1", false), ("GET x/", true)]);
}

#[test]
fn parameters_of_the_query_are_decoded_and_each_value_counts() {
    holds(
        r#"{"query": {"a b": {"exact": "1 é"}}}"#,
        &[
            ("GET x/?a%20b=1+%C3%A9", true),
            ("GET x/?z&&a+b=1%20%c3%a9", true),
            ("GET x/?a+b=1+%C3%A9&a%20b=2", false),
            ("GET x/?a+b=1+%C3%A9&a+b=1+%C3%A9", true),
            ("GET x/?a=1", false),
            ("GET x/", false),
        ],
    );
    holds(
        r#"{"query": {"v": {"prefix": "1%"}}}"#,
        &[
            ("GET x/?v=1%25x", true),
            ("GET x/?v=1%", true),
            ("GET x/?v=1%25&v=1%252", true),
            ("GET x/?v=1%25&v=2", false),
        ],
    );
    holds(
        r#"{"query": {"v": "present"}}"#,
        &[("GET x/?v", true), ("GET x/?v=", true), ("GET x/?vv", false), ("GET x/?", false)],
    );
    holds(r#"{"query": {"v": "absent"}}"#, &[("GET x/?v", false), ("GET x/?%76=1", false), ("GET x/", true)]);
    holds(
        r#"{"query": {"v": {"exact": ""}}}"#,
        &[("GET x/?v", true), ("GET x/?v=", true), ("GET x/", false)],
    );
}

#[test]
fn expressions_see_the_request() {
    for when in [
        "request.method == 'GET' && request.scheme == 'https' && client.address == '192.0.2.7'",
        "request.host == 'x.org' && request.path == '/a/b%20c'",
        "request.headers['x-a'] == '1, 2' && request.headers['X-A'] == '1, 2' && !has(request.headers.cookie)",
        "size(request.headers) == 2 && request.headers.exists(name, name == 'x-b')",
        "request.query['q q'] == 'ö 1' && request.query.all(name, name in ['q q', 'b']) && size(request.query) == 2",
        "'b' in request.query && !('c' in request.query) && request.query.b == ''",
    ] {
        let wanted = format!("{{\"when\": {}}}", Value::from(when));
        holds(&wanted, &[("GET X.org:80/a//b%20c?q+q=%C3%B6+1&b&q%20q=2\nx-a: 1\nx-b: 3\nx-a: 2", true)]);
    }
    holds(r#"{"when": "request.headers['x-a'] == '1'"}"#, &[("GET x/", false), ("GET x/\nx-a: 1", true)]);
    holds(
        r#"{"when": "request.listener.startsWith('in')"}"#,
        &[("GET x/\n--listener inside", true), ("GET x/\n--listener public", false), ("GET x/", false)],
    );
    holds(r#"{"when": "request.listener == ''"}"#, &[("GET x/", true), ("GET x/\n--listener x", false)]);
    holds(r#"{"when": "request.path"}"#, &[("GET x/", false)]);
}

#[test]
fn an_expression_that_costs_too_much_decides_nothing() {
    let when = "request.query.all(a, request.query.all(b, request.query.all(c, true)))";
    let short: String = "abcde".chars().map(|name| format!("&{name}")).collect();
    let long: String = (0..40).map(|name| format!("&{name}")).collect();
    let wanted = format!("{{\"when\": {}}}", Value::from(when));
    holds(&wanted, &[(&format!("GET x/?{short}"), true)]);
    let table = table(&format!("{{\"route\": {wanted}, \"other\": {{}}}}"));
    let request = Request::new(&format!("GET x/?{long}"));
    let costly = table.find(&request.seen()).expect_err("nobody takes it");
    assert!(costly.to_string().contains("`route` takes too long"), "{costly}");
}

#[test]
fn what_is_secret_is_not_written() {
    let request = Request::new("GET x/?token=hidden\nauthorization: hidden");
    assert!(!format!("{:?}", request.seen()).contains("hidden"));
}

#[test]
fn hosts_have_one_form() {
    for (authority, expected) in [
        ("example.com", "example.com"),
        ("Example.COM.:443", "example.com"),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
        ("[::1]", "[::1]"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("", ""),
    ] {
        assert_eq!(host(authority), expected);
    }
    assert!(matches!(host("example.com:80"), std::borrow::Cow::Borrowed(_)));
}

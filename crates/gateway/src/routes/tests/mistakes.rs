//! Tables that are refused, and those that look like them and are not.

use super::*;

/// The mistakes, each as `route other field`.
fn mistakes(json: &str) -> Vec<String> {
    let Err(mistakes) = build(&routes(json)) else { return Vec::new() };
    let shown = |mistake: &Mistake| {
        let other = mistake.other.as_ref().map_or("-", Name::as_str);
        format!("{} {other} {}", mistake.route, mistake.field)
    };
    mistakes.iter().map(shown).collect()
}

#[track_caller]
fn ambiguous(one: &str, other: &str, field: &str) {
    let json = format!("{{\"a\": {one}, \"b\": {other}}}");
    assert_eq!(mistakes(&json), [format!("a b {field}")], "{json}");
}

#[track_caller]
fn right(one: &str, other: &str) {
    let json = format!("{{\"a\": {one}, \"b\": {other}}}");
    assert_eq!(mistakes(&json), [""; 0], "{json}");
}

#[track_caller]
fn unreachable(one: &str, by: &str) {
    let json = format!("{{\"a\": {one}, \"b\": {by}}}");
    assert_eq!(mistakes(&json), ["a b priority"], "{json}");
}

#[test]
fn two_routes_that_could_both_take_a_request_are_refused() {
    ambiguous("{}", "{}", "path");
    ambiguous("{}", r#"{"path": "/{all...}"}"#, "path");
    ambiguous(r#"{"path": "/a/{x}"}"#, r#"{"path": "/a/{y}"}"#, "path");
    ambiguous(r#"{"path": "/a"}"#, r#"{"path": "/%61"}"#, "path");
    ambiguous(r#"{"host": ["x.com", "a.com"]}"#, r#"{"host": ["y.com", "A.com"]}"#, "path");
    ambiguous(r#"{"host": "*.a.com"}"#, r#"{"host": "*.a.com"}"#, "path");
    ambiguous(r#"{"methods": ["GET", "PUT"]}"#, r#"{"methods": ["PUT", "POST"]}"#, "path");
    ambiguous(r#"{"methods": ["HEAD", "PUT"]}"#, r#"{"methods": ["POST", "HEAD"]}"#, "path");
    ambiguous(r#"{"listeners": ["x", "y"]}"#, r#"{"listeners": ["z", "y"]}"#, "path");
    ambiguous(
        r#"{"listeners": ["x"], "methods": ["GET"]}"#,
        r#"{"listeners": ["x"], "methods": ["GET"]}"#,
        "path",
    );
    ambiguous(r#"{"headers": {"a": "present"}}"#, r#"{"headers": {"b": "present"}}"#, "path");
    ambiguous(r#"{"headers": {"a": {"prefix": "12"}}}"#, r#"{"headers": {"b": {"prefix": "13"}}}"#, "path");
    ambiguous(r#"{"headers": {"a": "present"}}"#, r#"{"headers": {"a": "present"}}"#, "path");
    ambiguous(
        r#"{"headers": {"a": "present", "b": {"exact": "1"}}}"#,
        r#"{"headers": {"a": {"exact": "1"}, "b": "present"}}"#,
        "path",
    );
    ambiguous(r#"{"query": {"a": {"exact": "1"}}}"#, r#"{"query": {"b": {"exact": "2"}}}"#, "path");
    ambiguous(r#"{"when": "request.path == '/a'"}"#, r#"{"when": "request.path == '/b'"}"#, "when");
    ambiguous(r#"{"when": "request.path == '/a'"}"#, r#"{"when": "request.path == '/a'"}"#, "path");
    let json =
        r#"{"a": {}, "b": {}, "c": {"path": "/x"}, "d": {"path": "/x", "methods": ["PUT"], "priority": -1}}"#;
    assert_eq!(mistakes(json), ["a b path", "d c priority"], "all at once");
}

#[test]
fn routes_that_exclude_each_other_or_have_a_rank_go_together() {
    right("{}", r#"{"priority": -1, "host": "a.com"}"#);
    right(r#"{"host": "a.com"}"#, r#"{"host": "b.com"}"#);
    right(r#"{"host": "a.com"}"#, r#"{"host": "*.com"}"#);
    right(r#"{"path": "/a"}"#, r#"{"path": "/a/"}"#);
    right(r#"{"path": "/a/{x}"}"#, r#"{"path": "/{x}/a"}"#);
    right(r#"{"path": "/a"}"#, r#"{"path": "/a/{rest...}"}"#);
    right(r#"{"listeners": ["x"]}"#, r#"{"listeners": ["y"]}"#);
    right(r#"{"listeners": ["x"]}"#, r#"{"listeners": ["y", "x"]}"#);
    right(r#"{"listeners": ["x"]}"#, "{}");
    right(
        r#"{"listeners": ["x"], "when": "request.path == '/a'"}"#,
        r#"{"listeners": ["y"], "when": "true"}"#,
    );
    right(r#"{"methods": ["GET"]}"#, r#"{"methods": ["POST"]}"#);
    right(r#"{"methods": ["GET"]}"#, r#"{"methods": ["HEAD"]}"#);
    right(r#"{"methods": ["GET", "PUT"]}"#, r#"{"methods": ["HEAD", "POST"]}"#);
    right(r#"{"headers": {"a": {"exact": "1"}}}"#, r#"{"headers": {"a": {"exact": "2"}}}"#);
    right(r#"{"headers": {"a": "present"}}"#, r#"{"headers": {"a": "absent"}}"#);
    right(r#"{"headers": {"a": {"prefix": "12"}}}"#, r#"{"headers": {"a": {"prefix": "13"}}}"#);
    right(r#"{"headers": {"a": {"prefix": "12"}}}"#, r#"{"headers": {"a": {"prefix": "1"}}}"#);
    right(r#"{"headers": {"a": {"exact": "1"}}}"#, r#"{"headers": {"b": {"prefix": "1"}}}"#);
    right(r#"{"query": {"a": {"exact": "1"}}}"#, r#"{"query": {"a": {"exact": "2"}}}"#);
    right(r#"{"when": "request.path == '/a'"}"#, r#"{"when": "request.path == '/b'", "priority": 1}"#);
    right(r#"{"when": "request.path == '/a'"}"#, "{}");
}

#[test]
fn a_route_that_never_takes_a_request_is_refused() {
    unreachable(r#"{"methods": ["GET"]}"#, r#"{"priority": 1}"#);
    unreachable(r#"{"methods": ["HEAD"]}"#, r#"{"methods": ["GET"], "priority": 1}"#);
    unreachable(r#"{"methods": ["HEAD", "PUT"]}"#, r#"{"methods": ["GET", "PUT"], "priority": 1}"#);
    unreachable(
        r#"{"headers": {"a": {"exact": "12"}}}"#,
        r#"{"headers": {"a": {"prefix": "1"}}, "priority": 1}"#,
    );
    unreachable(
        r#"{"headers": {"a": {"prefix": "12"}, "b": "absent"}}"#,
        r#"{"headers": {"a": "present"}, "priority": 1}"#,
    );
    unreachable(r#"{"query": {"a": {"exact": "1"}}}"#, r#"{"priority": 1}"#);
    unreachable(r#"{"listeners": ["x"]}"#, r#"{"priority": 1}"#);
    unreachable(r#"{"listeners": ["x"]}"#, r#"{"listeners": ["y", "x"], "priority": 1}"#);
    unreachable(r#"{"when": "request.path == '/'"}"#, r#"{"priority": 1}"#);
    unreachable(
        r#"{"when": "request.path == '/'", "methods": ["GET"]}"#,
        r#"{"when": "request.path == '/'", "priority": 1}"#,
    );
    unreachable(r#"{"host": ["a.com", "b.com"]}"#, r#"{"host": ["b.com", "a.com", "c.com"], "priority": 1}"#);
    let both = r#"{"a": {"methods": ["GET", "PUT"]}, "b": {"methods": ["GET"], "priority": 1}, "c": {"methods": ["PUT"], "priority": 1}}"#;
    assert_eq!(mistakes(both), ["a b priority"], "each method is taken by somebody");
}

#[test]
fn a_route_that_takes_some_requests_is_not_refused() {
    right(r#"{"methods": ["GET", "PUT"]}"#, r#"{"methods": ["GET"], "priority": 1}"#);
    right("{}", r#"{"methods": ["GET"], "priority": 1}"#);
    right("{}", r#"{"listeners": ["x"], "priority": 1}"#);
    right(r#"{"listeners": ["x", "y"]}"#, r#"{"listeners": ["y", "z"], "priority": 1}"#);
    right(r#"{"methods": ["GET"]}"#, r#"{"methods": ["HEAD"], "priority": 1}"#);
    right(r#"{"headers": {"a": "present"}}"#, r#"{"headers": {"a": {"prefix": "1"}}, "priority": 1}"#);
    right(r#"{"headers": {"a": "present"}}"#, r#"{"query": {"a": "present"}, "priority": 1}"#);
    right("{}", r#"{"when": "request.path == '/'", "priority": 1}"#);
    right(r#"{"host": ["a.com", "b.com"]}"#, r#"{"host": "a.com", "priority": 1}"#);
    right(r#"{"host": "a.com"}"#, r#"{"priority": 1}"#);
    right(r#"{"path": "/a"}"#, r#"{"path": "/{x}", "priority": 1}"#);
}

#[test]
fn a_mistake_says_whose_it_is_and_what_to_do() {
    let error = build(&routes(r#"{"b": {"path": "/x/{one}"}, "a": {"path": "/x/{two}"}}"#)).unwrap_err();
    assert_eq!(
        error[0].to_string(),
        "route `a`: `path` matches requests that `b` matches too, and neither is more specific: give one of them a \
         higher `priority`, or both listeners, methods, headers or a query that exclude each other"
    );
    let error = build(&routes(r#"{"b": {"methods": ["GET"], "priority": -1}, "a": {}}"#)).unwrap_err();
    assert_eq!(
        error[0].to_string(),
        "route `b`: `priority` of -1 keeps this route from every request: all that it matches, `a` with 0 takes. \
         Raise it, lower the other one, or leave this route out"
    );
    let twice: Routes = vec![
        (Name::from_static("a"), one(serde_json::json!({ "path": "/a" }))),
        (Name::from_static("a"), one(serde_json::json!({ "path": "/b", "headers": { "host": "present" } }))),
    ];
    let error: Vec<_> = build(&twice).unwrap_err().iter().map(|mistake| mistake.field).collect();
    assert_eq!(error, ["name", "headers"]);
}

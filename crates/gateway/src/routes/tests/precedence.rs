//! Precedence as tables: routes, and who takes what.

use super::*;

#[test]
fn of_hosts_the_exact_one_is_first_then_the_longer_wildcard_then_any() {
    takes(
        r#"{
            "exact": {"host": "a.b.example.com"},
            "deep": {"host": "*.b.example.com"},
            "wide": {"host": ["*.example.com", "*.example.org"]},
            "apex": {"host": "example.com"},
            "six": {"host": "[::1]"},
            "any": {"path": "/{rest...}"}
        }"#,
        &[
            ("GET a.b.example.com/", "exact"),
            ("GET A.B.EXAMPLE.COM.:8080/", "exact"),
            ("GET x.b.example.com/", "deep"),
            ("GET x.y.b.example.com/", "deep"),
            ("GET b.example.com/", "wide"),
            ("GET x.example.org/", "wide"),
            ("GET example.com/", "apex"),
            ("GET [::1]:80/x", "six"),
            ("GET xexample.com/", "any rest="),
            ("GET .example.com/x", "any rest=x"),
            ("GET example.net/x", "any rest=x"),
        ],
    );
}

#[test]
fn a_host_without_a_route_for_the_path_leaves_it_to_the_next() {
    takes(
        r#"{
            "exact": {"host": "a.example.com", "path": "/a"},
            "wide": {"host": "*.example.com", "path": "/b/{rest...}"},
            "any": {"path": "/b/c"}
        }"#,
        &[
            ("GET a.example.com/a", "exact"),
            ("GET a.example.com/b/c", "wide rest=c"),
            ("GET x.org/b/c", "any"),
            ("GET x.org/a", "-"),
        ],
    );
}

#[test]
fn of_paths_a_text_is_before_a_name_before_the_rest_segment_by_segment() {
    takes(
        r#"{
            "users": {"path": "/users"},
            "users-slash": {"path": "/users/"},
            "user": {"path": "/users/{id}"},
            "me": {"path": "/users/me"},
            "items": {"path": "/users/{id}/items"},
            "any-me": {"path": "/{kind}/me/items"},
            "below": {"path": "/users/{id}/{rest...}"},
            "users-rest": {"path": "/users/{rest...}"},
            "all": {"path": "/{everything...}"}
        }"#,
        &[
            ("GET x/users", "users"),
            ("GET x/users/", "users-slash"),
            ("GET x/users/7", "user id=7"),
            ("GET x/users/me", "me"),
            ("GET x/users/me/items", "items id=me"),
            ("GET x/groups/me/items", "any-me kind=groups"),
            ("GET x/users/7/a/b", "below id=7 rest=a/b"),
            ("GET x/users/7/", "below id=7 rest="),
            ("GET x/users/7/items/", "below id=7 rest=items/"),
            ("GET x/", "all everything="),
            ("GET x/usersx/7", "all everything=usersx/7"),
            ("GET x/caf%c3%a9", "all everything=caf%C3%A9"),
        ],
    );
}

#[test]
fn the_rest_may_be_nothing_and_a_name_may_not() {
    takes(
        r#"{"rest": {"path": "/a/{rest...}"}, "name": {"path": "/b/{name}"}, "root": {"path": "/"}}"#,
        &[
            ("GET x/a", "rest rest="),
            ("GET x/a/", "rest rest="),
            ("GET x/a/b/c/", "rest rest=b/c/"),
            ("GET x/ab", "-"),
            ("GET x/b", "-"),
            ("GET x/b/", "-"),
            ("GET x/b/c", "name name=c"),
            ("GET x/b/c/", "-"),
            ("GET x/", "root"),
        ],
    );
}

#[test]
fn texts_are_compared_in_the_normal_form_of_paths() {
    takes(
        r#"{"cafe": {"path": "/café/%61"}, "colon": {"path": "/v1/x:cancel"}}"#,
        &[
            ("GET x/caf%c3%a9/a", "cafe"),
            ("GET x/./café//a", "cafe"),
            ("GET x/v1/x:cancel", "colon"),
            ("GET x/v1/x%3Acancel", "-"),
        ],
    );
}

#[test]
fn a_route_whose_conditions_fail_leaves_the_request_to_less_specific_ones() {
    takes(
        r#"{
            "post": {"path": "/a/b", "methods": ["POST"]},
            "beta": {"path": "/a/{x}", "headers": {"x-beta": "present"}},
            "rest": {"path": "/a/{rest...}"}
        }"#,
        &[("POST x/a/b", "post"), ("GET x/a/b\nx-beta: 1", "beta x=b"), ("GET x/a/b", "rest rest=b")],
    );
}

#[test]
fn more_specific_conditions_are_first() {
    takes(
        r#"{
            "priority": {"path": "/", "methods": ["GET"], "headers": {"first": "present"}, "priority": 1},
            "one": {"path": "/", "methods": ["GET"]},
            "two": {"path": "/", "methods": ["PUT", "GET"], "headers": {"b": {"exact": "1"}}},
            "exact": {"path": "/", "headers": {"a": {"exact": "12"}}},
            "longer": {"path": "/", "headers": {"a": {"prefix": "12"}}},
            "shorter": {"path": "/", "headers": {"a": {"prefix": "1"}}},
            "present": {"path": "/", "headers": {"a": "present"}},
            "absent": {"path": "/", "headers": {"a": "absent", "b": "absent"}, "query": {"q": "absent"}},
            "query": {"path": "/", "query": {"q": {"exact": "1"}}},
            "when": {"path": "/", "when": "request.scheme == 'https'"}
        }"#,
        &[
            ("GET x/\na: 12\nb: 1\nfirst: 1", "priority"),
            ("GET x/\na: 12\nb: 1", "one"),
            ("PUT x/\na: 12\nb: 1", "two"),
            ("PUT x/\na: 12", "exact"),
            ("PUT x/\na: 123", "longer"),
            ("PUT x/\na: 13", "shorter"),
            ("PUT x/\na: 3", "present"),
            ("PUT x/", "absent"),
            ("PUT x/?q=1", "query"),
            ("PUT x/?q=2", "when"),
        ],
    );
}

#[test]
fn a_route_for_listeners_takes_what_came_in_there_and_nothing_else() {
    takes(
        r#"{
            "inside": {"path": "/a", "listeners": ["inside"]},
            "both": {"path": "/a", "listeners": ["inside", "admin"]},
            "put": {"path": "/a", "methods": ["PUT"]},
            "anywhere": {"path": "/a"},
            "first": {"path": "/b", "priority": 1, "methods": ["GET"]},
            "second": {"path": "/b", "listeners": ["inside"]},
            "deep": {"path": "/c/d", "listeners": ["inside"], "methods": ["GET"]},
            "wide": {"path": "/c/{x}"}
        }"#,
        &[
            ("GET x/a\n--listener inside", "inside"),
            ("PUT x/a\n--listener inside", "inside"),
            ("GET x/a\n--listener admin", "both"),
            ("GET x/a\n--listener public", "anywhere"),
            ("GET x/a", "anywhere"),
            ("PUT x/a", "put"),
            ("GET x/b\n--listener inside", "first"),
            ("PUT x/b\n--listener inside", "second"),
            ("PUT x/b", "-"),
            ("GET x/c/d\n--listener inside", "deep"),
            ("HEAD x/c/d\n--listener inside", "deep"),
            ("GET x/c/d\n--listener insid", "wide x=d"),
            ("GET x/c/d\n--listener insides", "wide x=d"),
            ("HEAD x/c/d", "wide x=d"),
        ],
    );
}

#[test]
fn head_goes_where_it_is_named_then_where_get_is_then_anywhere() {
    takes(
        r#"{
            "get": {"path": "/a", "methods": ["GET"]},
            "head": {"path": "/a", "methods": ["HEAD", "PUT", "POST"]},
            "any": {"path": "/a"},
            "get-b": {"path": "/b", "methods": ["GET", "POST"]},
            "any-b": {"path": "/b"},
            "get-c": {"path": "/c", "methods": ["GET"], "priority": 1},
            "head-c": {"path": "/c", "methods": ["HEAD", "POST"]},
            "any-d": {"path": "/d"}
        }"#,
        &[
            ("HEAD x/a", "head"),
            ("GET x/a", "get"),
            ("DELETE x/a", "any"),
            ("HEAD x/b", "get-b"),
            ("HEAD x/c", "get-c"),
            ("HEAD x/d", "any-d"),
            ("PURGE x/d", "any-d"),
        ],
    );
}

#[test]
fn a_path_without_the_method_has_others() {
    let table = table(
        r#"{
            "get": {"path": "/a/b", "methods": ["GET"]},
            "put": {"path": "/a/{x}", "methods": ["PUT"]},
            "delete": {"host": "x.org", "path": "/a/{rest...}", "methods": ["DELETE"]},
            "secret": {"path": "/a/b", "methods": ["PATCH"], "headers": {"x-key": "present"}},
            "post": {"path": "/c", "methods": ["POST"]},
            "inside": {"path": "/c", "methods": ["PATCH"], "listeners": ["inside"]},
            "within": {"path": "/e", "methods": ["POST"], "listeners": ["inside"]}
        }"#,
    );
    for (request, allow) in [
        ("POST x.com/a/b", Some("GET, HEAD, PUT")),
        ("POST x.org/a/b", Some("DELETE, GET, HEAD, PUT")),
        ("POST x.com/a/b\nx-key: 1", Some("GET, HEAD, PATCH, PUT")),
        ("HEAD x.com/c", Some("POST")),
        ("GET x.com/c\n--listener inside", Some("PATCH, POST")),
        ("GET x.com/c\n--listener public", Some("POST")),
        ("GET x.com/e\n--listener inside", Some("POST")),
        ("GET x.com/e\n--listener public", None),
        ("GET x.com/e", None),
        ("GET x.com/d", None),
        ("GET x.com/c/", None),
    ] {
        let request = Request::new(request);
        assert!(table.find(&request.seen()).unwrap().is_none());
        assert_eq!(
            table.allowed(&request.seen()).map(|allow| allow.to_string()).as_deref(),
            allow,
            "{request:?}"
        );
    }
}

#[test]
fn what_is_no_path_has_no_route() {
    let table = table(r#"{"all": {}}"#);
    let mut request = Request::new("OPTIONS x/");
    request.path = "*".to_owned();
    assert!(table.find(&request.seen()).unwrap().is_none() && table.allowed(&request.seen()).is_none());
    assert!(table.explain(&request.seen()).route.is_none());
}

#[test]
fn a_table_may_be_empty() {
    assert_eq!(taken(&table("{}"), "GET x/"), "-");
}

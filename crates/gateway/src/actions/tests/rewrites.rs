//! The path, query and host that a service sees.

use proptest::prelude::*;

use super::*;

/// Each request with what the service sees of it.
#[track_caller]
fn sees(matching: &Json, rewrite: &Json, cases: &[(&str, &str)]) {
    let route = Route::new(matching.clone(), json!({ "rewrite": rewrite }));
    for (asked, expected) in cases {
        assert_eq!(route.sent(asked).trim_end(), *expected, "{rewrite} {asked}");
    }
}

#[test]
fn a_path_is_made_of_its_template() {
    let orders = json!({ "path": "/orders/{rest...}" });
    sees(
        &orders,
        &json!({ "path": "/v2/{rest}" }),
        &[
            ("GET http://a.example/orders/7?b=%20c&d", "GET http://a.example/v2/7?b=%20c&d"),
            ("GET http://a.example/orders/caf%C3%A9;x=%3D", "GET http://a.example/v2/caf%C3%A9;x=%3D"),
            ("GET http://a.example/orders", "GET http://a.example/v2/"),
            ("GET http://a.example/orders/7?", "GET http://a.example/v2/7"),
        ],
    );
    sees(
        &orders,
        &json!({ "path": "/all" }),
        &[
            ("GET http://a.example/orders/7", "GET http://a.example/all"),
            ("GET http://a.example/orders/7?b", "GET http://a.example/all?b"),
        ],
    );
    sees(
        &orders,
        &json!({ "path": "/{rest}", "query": "drop" }),
        &[("GET http://a.example/orders/7?b=c", "GET http://a.example/7")],
    );
    sees(
        &orders,
        &json!({ "query": "drop" }),
        &[("POST http://a.example/orders/7?b=c", "POST http://a.example/orders/7")],
    );
}

#[test]
fn prefixes_go_and_come() {
    let api = json!({ "path": "/api/{rest...}" });
    sees(
        &api,
        &json!({ "strip_prefix": "/api" }),
        &[
            ("GET http://a.example/api/orders/7%2D?b", "GET http://a.example/orders/7-?b"),
            ("GET http://a.example/api", "GET http://a.example/"),
            ("GET http://a.example/api/", "GET http://a.example/"),
            ("GET http://a.example/api/api/x", "GET http://a.example/api/x"),
        ],
    );
    sees(
        &api,
        &json!({ "strip_prefix": "/api", "add_prefix": "/v2/x" }),
        &[
            ("GET http://a.example/api/orders", "GET http://a.example/v2/x/orders"),
            ("GET http://a.example/api", "GET http://a.example/v2/x"),
        ],
    );
    sees(
        &json!({}),
        &json!({ "add_prefix": "/shop" }),
        &[("GET http://a.example/a/b?c", "GET http://a.example/shop/a/b?c")],
    );
}

#[test]
fn the_service_sees_another_host() {
    let route = Route::of(json!({ "rewrite": { "host": "orders.internal:8080" } }));
    assert_eq!(route.sent("GET http://a.example/x%7e?y"), "GET http://orders.internal:8080/x%7e?y\n");
    // Over HTTP/2 the host stands in the target.
    let targets = [
        (json!({ "host": "b.internal:80" }), "http://a.example/x?y", "http://b.internal:80/x?y"),
        (json!({ "path": "/z" }), "http://a.example/x?y", "http://a.example/z?y"),
        (json!({ "host": "b.internal:80" }), "a.example:443", "b.internal:80"),
        (json!({ "path": "/z", "host": "b.internal:80" }), "a.example:443", "/z?y"),
    ];
    for (rewrite, target, expected) in targets {
        let route = Route::of(within("rewrite", rewrite));
        let mut asked = Asked::new("GET http://a.example/x?y");
        let on_request = {
            let seen = asked.seen();
            let found = route.table.find(&seen).unwrap().unwrap();
            let actions = route.actions.as_ref().unwrap();
            let (Next::Forward(on_request), _) = actions.begin(&seen, &found, &route.paths) else {
                panic!("it is sent on")
            };
            on_request
        };
        asked.parts.uri = target.parse().unwrap();
        on_request.apply(&mut asked.parts);
        assert_eq!(asked.parts.uri.to_string(), expected, "{target}");
    }
}

#[test]
fn a_path_that_cannot_be_made_is_an_error_of_the_request() {
    let route = |path: &str| Route::of(json!({ "rewrite": { "path": path } }));
    let by_header = route("/u/${{ request.headers['x-user'] }}");
    assert_eq!(
        by_header.got("GET http://a.example/"),
        "500 `rewrite.path` of the route cannot be made for this request: an expression in it has no result\n",
        "what the configuration says stays inside"
    );
    assert_eq!(
        by_header.got("GET http://a.example/\nx-user: .."),
        "400 `rewrite.path` of the route cannot be made for this request: the path that was made has a segment \".\" or \"..\"\n"
    );
    assert!(by_header.got("GET http://a.example/\nx-user: a/b").starts_with("400 `rewrite.path`"));
    let long = format!("GET http://a.example/{}", "x".repeat(60_000));
    let route = Route::of(json!({ "rewrite": { "add_prefix": format!("/{}", "y".repeat(8_000)) } }));
    assert!(route.got(&long).starts_with("414 the path that `rewrite` makes is longer than 65534 bytes"));
}

#[test]
fn what_cannot_be_rewritten_says_what_to_write() {
    let of = |rewrite: Json| json!({ "rewrite": rewrite });
    all_wrong(&[
        (of(json!({})), "`rewrite` changes nothing"),
        (of(json!({ "path": "/{two}" })), "`rewrite.path` cannot be made: there is no {two}"),
        (of(json!({ "path": "/x", "strip_prefix": "/a" })), "`rewrite.path` is the whole path"),
        (
            of(json!({ "strip_prefix": "/b" })),
            "`rewrite.strip_prefix` is not what the route's path begins with",
        ),
        (of(json!({ "strip_prefix": "/a/1" })), "is not what the route's path begins with"),
        (of(json!({ "strip_prefix": "/a/" })), "whole segments"),
        (of(json!({ "strip_prefix": "a" })), "whole segments"),
        (of(json!({ "add_prefix": "/" })), "whole segments"),
        (of(json!({ "add_prefix": "/{one}" })), "write a template as `path`"),
        (of(json!({ "add_prefix": "/a//b" })), "normal form of paths: write it as \"/a/b\""),
        (of(json!({ "add_prefix": "/%2e%2e" })), "encoded"),
        (of(json!({ "host": "*.internal" })), "without `*`"),
        (of(json!({ "host": "http://a.internal" })), "`rewrite.host` cannot be made"),
        (of(json!({ "host": "u@a.internal" })), "`rewrite.host` cannot be made"),
        (of(json!({ "host": "a.internal:0" })), "no port"),
        (of(json!({ "host": "a.internal:+1" })), "no port"),
        (of(json!({ "host": "a.internal:65536" })), "no port"),
        (of(json!({ "host": "a.internal:" })), "no port"),
    ]);
    let whole = wrong_in(json!({}), of(json!({ "strip_prefix": "/a" })));
    assert!(whole[0].contains("match a path such as `/a/{rest...}`"), "{whole:?}");
    for host in ["[::1]", "[::1]:80", "127.0.0.1:9101", "a"] {
        Route::of(of(json!({ "host": host })));
    }
}

proptest! {
    #[test]
    fn what_follows_keeps_its_bytes(rest in "([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2}){0,12}", query in "[!-~&&[^#]]{0,12}") {
        let target = format!("/api/{rest}");
        let Ok(normal) = path::normalise(&target, &path::Config::default()) else { return Ok(()) };
        let Some(rest) = normal.strip_prefix("/api/") else { return Ok(()) };
        let url = format!("GET http://a.example{normal}?{query}");
        prop_assume!(normal.parse::<Uri>().is_ok() && format!("/?{query}").parse::<Uri>().is_ok());
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        for rewrite in [json!({ "path": "/v2/{rest}" }), json!({ "strip_prefix": "/api", "add_prefix": "/v2" })] {
            let route = Route::new(json!({ "path": "/api/{rest...}" }), json!({ "rewrite": rewrite }));
            let sent = route.sent(&url);
            prop_assert_eq!(sent.trim_end(), format!("GET http://a.example/v2/{rest}{query}"));
        }
    }
}

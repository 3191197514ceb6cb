//! Headers that are removed, set and added.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn on_request(changes: Json) -> Route {
    Route::new(json!({ "path": "/{one}" }), within("headers", within("request", changes)))
}

#[test]
fn headers_are_removed_then_set_then_added() {
    let route = on_request(json!({
        "remove": ["X-Internal-*", "cookie"],
        "set": { "x-internal-user": "ada", "x-env": "prod" },
        "add": { "x-env": "eu", "X-Tag": "a" },
    }));
    let asked = "GET http://a.example/x\nx-internal-user: eve\nx-internal-role: root\ncookie: a=b\nx-env: dev\nx-env: test\nx-tag: 0\naccept: */*";
    let expected = "GET http://a.example/x\naccept: */*\nx-env: prod\nx-env: eu\nx-internal-user: ada\nx-tag: 0\nx-tag: a\n";
    assert_eq!(route.sent(asked), expected);
}

#[test]
fn values_see_the_request_as_it_came() {
    let route = Route::new(
        json!({ "path": "/{one}" }),
        json!({
            "rewrite": { "path": "/new", "host": "b.internal" },
            "headers": {
                "request": {
                    "remove": ["x-user"],
                    "set": { "x-a": "${{ request.headers['x-b'] }}", "x-b": "${{ request.headers['x-a'] }}", "x-who": "{one} ${{ request.headers['x-user'] }} ${{ request.host }}" },
                },
                "answer": { "set": { "x-was": "${{ request.path }} ${{ request.headers['x-user'] }}" } },
            },
        }),
    );
    let passed = route.pass("GET http://a.example/caf%C3%A9\nx-user: ada\nx-a: 1\nx-b: 2", "200\nserver: s");
    assert_eq!(
        passed.sent.as_deref(),
        Some("GET http://b.internal/new\nx-a: 2\nx-b: 1\nx-who: caf%C3%A9 ada a.example\n")
    );
    assert_eq!(passed.got, "200\nserver: s\nx-was: /caf%C3%A9 ada\n");
}

#[test]
fn a_value_that_cannot_be_made_stops_the_request_before_the_service() {
    let told = |side: &str, kind: &str, value: &str, asked: &str| {
        let route = Route::of(json!({ "headers": { side: { kind: { "x-a": value } } } }));
        route.got(asked)
    };
    let bare = "GET http://a.example/";
    let user = "${{ request.headers['x-user'] }}";
    let none = "500 `headers.request.set.x-a` of the route cannot be made for this request: an expression in it has no result\n";
    assert_eq!(told("request", "set", user, bare), none);
    assert!(told("answer", "add", user, bare).starts_with("500 `headers.answer.add.x-a`"));
    let split =
        told("answer", "set", "${{ request.query.q }}", "GET http://a.example/?q=a%0d%0aset-cookie:b");
    assert!(
        split.starts_with("400 `headers.answer.set.x-a`") && split.contains("control character"),
        "{split}"
    );
}

#[test]
fn problems_of_the_gateway_keep_their_headers() {
    let route = Route::of(json!({
        "headers": { "answer": { "set": { "cache-control": "max-age=3600" } } },
        "rewrite": { "path": "/${{ request.headers['x-user'] }}" },
        "security_headers": { "hide": [] },
    }));
    let told = route.got("GET http://a.example/");
    assert!(!told.contains("cache-control") && told.contains("x-content-type-options: nosniff"), "{told}");
    let seen = Asked::new("GET http://a.example/\nx-user: a");
    let seen = seen.seen();
    let found = route.table.find(&seen).unwrap().unwrap();
    let (_, on_answer) = route.actions.as_ref().unwrap().begin(&seen, &found, &route.paths);
    let mut headers = answer("503\nretry-after: 1").1;
    on_answer.apply_to_problem(&mut headers);
    assert!(!headers.contains_key("cache-control") && headers.contains_key("retry-after"));
}

#[test]
fn headers_of_the_connection_are_refused() {
    for name in [
        "Host",
        "connection",
        "Transfer-Encoding",
        "content-length",
        "TE",
        "upgrade",
        "trailer",
        "keep-alive",
        "proxy-connection",
        "Mainstay-Position",
    ] {
        for side in ["request", "answer"] {
            for changes in [
                json!({ "set": { name: "a" } }),
                json!({ "add": { name: "a" } }),
                json!({ "remove": [name] }),
            ] {
                let found = wrong_in(json!({}), json!({ "headers": { side: changes.clone() } }));
                assert!(
                    found.len() == 1 && found[0].contains("cannot be changed"),
                    "{name} {changes}: {found:?}"
                );
            }
        }
    }
    let of = |changes: Json| json!({ "headers": { "request": changes } });
    all_wrong(&[
        (
            of(json!({ "set": { "host": "a" } })),
            "`headers.request.set.host` cannot be changed: write `rewrite.host`",
        ),
        (of(json!({ "remove": ["*"] })), "would take `host` with it"),
        (of(json!({ "remove": ["con*"] })), "would take `connection` with it"),
        (of(json!({ "remove": ["content-*"] })), "would take `content-length` with it"),
        (of(json!({ "remove": ["m*"] })), "would take `mainstay-` with it"),
        (of(json!({ "remove": ["mainstay-timeout*"] })), "would take `mainstay-` with it"),
        (of(json!({ "remove": ["x-*-y*"] })), "more than one `*`"),
        (of(json!({ "remove": ["x-*-y"] })), "without `*`"),
        (of(json!({ "set": { "x-*": "a" } })), "without `*`"),
        (of(json!({ "set": { "x-a": "{two}" } })), "`headers.request.set.x-a` cannot be made"),
        (of(json!({ "set": { "x-a": "a\nb" } })), "visible ASCII"),
        (of(json!({ "remove": (0..65).map(|n| format!("x-{n}")).collect::<Vec<_>>() })), "at most 64"),
        (
            json!({ "answer": {}, "headers": { "request": { "remove": ["a"] } } }),
            "no request is sent to a service",
        ),
    ]);
}

#[test]
fn what_cors_says_is_said_there() {
    let cors = json!({ "origins": ["https://a.example"] });
    for changes in [
        json!({ "set": { "access-control-allow-origin": "*" } }),
        json!({ "add": { "access-control-expose-headers": "etag" } }),
        json!({ "remove": ["access-control-*"] }),
    ] {
        let found = wrong_in(json!({}), json!({ "cors": cors, "headers": { "answer": changes } }));
        assert!(found.len() == 1 && found[0].contains("is what `cors` of the route says"), "{found:?}");
    }
    Route::of(json!({ "headers": { "answer": { "set": { "access-control-allow-origin": "*" } } } }));
}

const NAMES: [&str; 6] = ["x-a", "x-b", "x-ab", "y-a", "y-b", "z"];

fn headers() -> impl Strategy<Value = String> {
    prop::collection::vec((select(&NAMES[..]), "[a-c]{1,2}"), 0..8)
        .prop_map(|lines| lines.into_iter().map(|(name, value)| format!("\n{name}: {value}")).collect())
}

fn changes(with_add: bool) -> impl Strategy<Value = Json> {
    let values = || prop::collection::btree_map(select(&NAMES[..]), "[a-c]{1,2}", 0..4);
    let remove = prop::collection::vec(select(vec!["x-a", "z", "x-*", "y-*", "x-a*"]), 0..3);
    (remove, values(), values()).prop_map(move |(remove, set, add)| {
        let add = if with_add { json!(add) } else { json!({}) };
        json!({ "remove": remove, "set": set, "add": add })
    })
}

proptest! {
    #[test]
    fn removing_and_setting_twice_is_doing_it_once(headers in headers(), changes in changes(false)) {
        prop_assume!(changes != json!({ "remove": [], "set": {}, "add": {} }));
        let route = on_request(changes);
        let once = route.sent(&format!("GET http://a.example/x{headers}"));
        prop_assert_eq!(route.sent(once.trim_end()), once);
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_named_is_there(headers in headers(), changes in changes(true)) {
        prop_assume!(changes != json!({ "remove": [], "set": {}, "add": {} }));
        let of = |text: &str, name: &str| {
            let begin = format!("{name}: ");
            text.lines().filter_map(|line| line.strip_prefix(&*begin)).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let asked = format!("GET http://a.example/x{headers}");
        let sent = on_request(changes.clone()).sent(&asked);
        for name in NAMES {
            let is_removed = changes["remove"].as_array().unwrap().iter().any(|removed| {
                let removed = removed.as_str().unwrap();
                removed.strip_suffix('*').map_or(removed == name, |prefix| name.starts_with(prefix))
            });
            let mut expected = if is_removed { Vec::new() } else { of(&asked, name) };
            if let Some(value) = changes["set"][name].as_str() {
                expected = vec![value.to_owned()];
            }
            expected.extend(changes["add"][name].as_str().map(ToOwned::to_owned));
            prop_assert_eq!(of(&sent, name), expected, "{}", name);
        }
    }
}

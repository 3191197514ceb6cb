//! CORS against the Fetch standard: what a browser would make of each answer.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::cors::{Origin, preflight};
use super::*;

const APP: &str = "https://app.example.com";

fn route(cors: Json) -> Route {
    Route::of(within("cors", cors))
}

fn asked(method: &str, lines: &[&str]) -> String {
    format!(
        "{method} https://api.example.net/x{}",
        lines.iter().map(|line| format!("\n{line}")).collect::<String>()
    )
}

/// The values of a header in an answer.
fn values<'g>(got: &'g str, name: &str) -> Vec<&'g str> {
    got.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

/// A request as a script makes it.
struct Script<'s> {
    origin: &'s str,
    credentials: bool,
    method: &'s str,
    headers: &'s [&'s str],
}

/// The CORS check: whether a script of the origin may read an answer. <https://fetch.spec.whatwg.org/#cors-check>
fn may_read(script: &Script<'_>, got: &str) -> bool {
    let allowed = values(got, "access-control-allow-origin");
    let [allowed] = &*allowed else { return false };
    if !script.credentials && *allowed == "*" {
        return true;
    }
    let credentials = values(got, "access-control-allow-credentials");
    *allowed == script.origin && (!script.credentials || credentials == ["true"])
}

/// Whether what a preflight was answered lets the request be sent. <https://fetch.spec.whatwg.org/#cors-preflight-fetch>
fn may_send(script: &Script<'_>, got: &str) -> bool {
    let list = |name| values(got, name).join(",");
    let (methods, headers) = (list("access-control-allow-methods"), list("access-control-allow-headers"));
    let has = |list: &str, name: &str| list.split(',').any(|it| it.trim() == name);
    let has_wildcard = |list: &str| !script.credentials && has(list, "*");
    let is_ok = got.starts_with("20");
    let has_method = ["GET", "HEAD", "POST"].contains(&script.method)
        || has(&methods, script.method)
        || has_wildcard(&methods);
    let has_header = |name: &&str| has(&headers, name) || *name != "authorization" && has_wildcard(&headers);
    is_ok && may_read(script, got) && has_method && script.headers.iter().all(has_header)
}

/// What becomes of a script's request: the answer to its preflight, and that to itself.
fn outcome(route: &Route, script: &Script<'_>) -> (bool, bool) {
    let origin = format!("origin: {}", script.origin);
    let wanted = format!("access-control-request-method: {}", script.method);
    let names = format!("access-control-request-headers: {}", script.headers.join(","));
    let preflight = route.got(&asked("OPTIONS", &[&origin, &wanted, &names]));
    let itself = route.pass(&asked(script.method, &[&origin]), "200").got;
    (may_send(script, &preflight), may_read(script, &itself))
}

#[test]
fn browsers_send_and_read_what_is_configured() {
    let listed = json!({ "origins": [APP, "http://localhost:3000", "https://*.example.org"] });
    let with_credentials = json!({ "origins": [APP], "credentials": true, "methods": ["PUT"], "headers": ["authorization", "x-a"] });
    let all = json!({ "origins": ["*"], "methods": ["*"], "headers": ["*"] });
    let both = json!({ "origins": ["*"], "headers": ["*", "Authorization"] });
    let simple = |origin| Script { origin, credentials: false, method: "GET", headers: &[] };
    for (cors, script, expected) in [
        (&listed, simple(APP), (true, true)),
        (&listed, simple("http://localhost:3000"), (true, true)),
        (&listed, simple("http://localhost:3001"), (false, false)),
        (&listed, simple("http://app.example.com"), (false, false)),
        (&listed, simple("https://app.example.com.evil.example"), (false, false)),
        (&listed, simple("https://a.b.example.org"), (true, true)),
        (&listed, simple("https://example.org"), (false, false)),
        (&listed, simple("https://evilexample.org"), (false, false)),
        (&listed, simple("https://a.example.org:8443"), (false, false)),
        (&listed, simple("null"), (false, false)),
        (&listed, Script { method: "DELETE", headers: &["content-type"], ..simple(APP) }, (true, true)),
        (&listed, Script { method: "PROPFIND", ..simple(APP) }, (false, true)),
        (&listed, Script { headers: &["x-a"], ..simple(APP) }, (false, true)),
        (&listed, Script { credentials: true, ..simple(APP) }, (false, false)),
        (&with_credentials, Script { credentials: true, ..simple(APP) }, (true, true)),
        (
            &with_credentials,
            Script { credentials: true, method: "PUT", headers: &["authorization", "x-a"], ..simple(APP) },
            (true, true),
        ),
        (&with_credentials, Script { credentials: true, method: "DELETE", ..simple(APP) }, (false, true)),
        (
            &all,
            Script { method: "PROPFIND", headers: &["x-a"], ..simple("https://any.example") },
            (true, true),
        ),
        (&all, simple("null"), (true, true)),
        (&all, Script { headers: &["authorization"], ..simple(APP) }, (false, true)),
        (&both, Script { headers: &["authorization", "x-a"], ..simple(APP) }, (true, true)),
        (&all, Script { credentials: true, ..simple(APP) }, (false, false)),
    ] {
        let Script { origin, method, headers, .. } = &script;
        assert_eq!(
            outcome(&route(cors.clone()), &script),
            expected,
            "{cors}: {method} {headers:?} from {origin}"
        );
    }
    let null = json!({ "origins": ["null"] });
    assert_eq!(outcome(&route(null), &simple("null")), (true, true));
}

#[test]
fn a_preflight_is_answered_by_the_gateway() {
    let route = route(json!({ "origins": [APP], "credentials": true, "max_age": "1h", "expose": ["etag"] }));
    let wanted = ["origin: https://app.example.com", "access-control-request-method: PUT"];
    assert_eq!(
        route.got(&asked("OPTIONS", &wanted)),
        "204\naccess-control-allow-credentials: true\naccess-control-allow-headers: content-type\naccess-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE\naccess-control-allow-origin: https://app.example.com\naccess-control-max-age: 3600\nvary: Origin\n"
    );
    assert_eq!(
        route.got(&asked("OPTIONS", &["origin: https://evil.example", wanted[1]])),
        "403 scripts of this origin may not use the route: add it to `cors.origins` if they shall\nvary: Origin\n"
    );
    for lines in [&wanted[..1], &wanted[1..], &[wanted[0], "access-control-request-method: "]] {
        assert!(route.sent(&asked("OPTIONS", lines)).starts_with("OPTIONS"), "{lines:?} is no preflight");
    }
    assert!(route.sent(&asked("GET", &wanted)).starts_with("GET"), "it is no preflight");
    let twice = ["origin: https://app.example.com", wanted[0], wanted[1]];
    assert!(
        route.got(&asked("OPTIONS", &twice)).starts_with("403"),
        "of two origins nobody knows which is meant"
    );
}

#[test]
fn a_preflight_comes_before_all_else_that_a_route_does() {
    let cors = json!({ "origins": [APP] });
    let wanted = ["origin: https://app.example.com", "access-control-request-method: PUT"];
    for other in [
        json!({ "redirect": { "to": "/y" } }),
        json!({ "answer": { "body": "a" } }),
        json!({ "headers": { "answer": { "set": { "x-said": "b" } } } }),
    ] {
        let mut config = other.clone();
        config["cors"] = cors.clone();
        let route = Route::of(config);
        let got = route.got(&asked("OPTIONS", &wanted));
        assert!(got.starts_with("204\n") && !got.contains("x-said"), "{other}: {got}");
        let got = route.pass(&asked("GET", &wanted[..1]), "200").got;
        assert_eq!(values(&got, "access-control-allow-origin"), [APP], "{other}: {got}");
    }
    let methods = Route::new(json!({ "methods": ["OPTIONS", "GET"] }), json!({ "cors": cors }));
    let got = methods.got(&asked("OPTIONS", &wanted));
    assert_eq!(values(&got, "access-control-allow-methods"), ["OPTIONS, GET, HEAD"], "those of the route");
}

#[test]
fn the_method_of_a_preflight_finds_its_route() {
    let wants = |text: &str| preflight(&Asked::new(text).seen());
    let lines = ["origin: null", "access-control-request-method: PATCH"];
    assert_eq!(wants(&asked("OPTIONS", &lines)), Some(Method::PATCH));
    assert_eq!(wants(&asked("OPTIONS", &lines[..1])), None);
    assert_eq!(wants(&asked("GET", &lines)), None);
    assert_eq!(wants(&asked("OPTIONS", &[lines[0], "access-control-request-method: a b"])), None);
}

#[test]
fn what_the_service_says_of_cors_is_replaced() {
    let own = "200\naccess-control-allow-origin: *\naccess-control-allow-credentials: true\naccess-control-expose-headers: x-secret\naccess-control-allow-methods: PUT\naccess-control-allow-headers: x-a\naccess-control-max-age: 9\naccess-control-allow-private-network: true\netag: a";
    let route = route(json!({ "origins": [APP], "expose": ["ETag", "x-b"] }));
    let of = |lines: &[&str]| route.pass(&asked("GET", lines), own).got;
    assert_eq!(
        of(&["origin: https://app.example.com"]),
        "200\naccess-control-allow-origin: https://app.example.com\naccess-control-expose-headers: etag, x-b\netag: a\nvary: Origin\n"
    );
    for lines in [
        &["origin: https://evil.example"][..],
        &[],
        &["origin: https://app.example.com, https://evil.example"],
    ] {
        assert_eq!(of(lines), "200\netag: a\nvary: Origin\n", "{lines:?}");
    }
}

#[test]
fn answers_say_that_they_depend_on_the_origin_where_they_do() {
    let listed = route(json!({ "origins": [APP] }));
    let all = route(json!({ "origins": ["*"] }));
    let vary = |route: &Route, vary: &str| {
        let got = route.pass(&asked("GET", &[]), &format!("200{vary}")).got;
        values(&got, "vary").join("; ")
    };
    assert_eq!(vary(&listed, ""), "Origin");
    assert_eq!(vary(&listed, "\nvary: Accept"), "Accept; Origin");
    assert_eq!(vary(&listed, "\nvary: Accept, origin"), "Accept, origin");
    assert_eq!(vary(&listed, "\nvary: *"), "*");
    assert_eq!(vary(&all, ""), "", "it is the same for every origin");
    let edited = Route::of(
        json!({ "cors": { "origins": [APP] }, "headers": { "answer": { "set": { "vary": "Accept" } } } }),
    );
    assert_eq!(vary(&edited, "\nvary: a"), "Accept; Origin");
    let broken = Route::of(
        json!({ "cors": { "origins": [APP] }, "rewrite": { "path": "/${{ request.headers['x-a'] }}" } }),
    );
    let told = broken.got(&asked("GET", &["origin: https://app.example.com"]));
    assert!(
        told.starts_with("500") && values(&told, "access-control-allow-origin") == [APP],
        "scripts read problems"
    );
}

#[test]
fn origins_are_written_as_browsers_send_them() {
    for (text, sent) in [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM:443", "https://app.example.com"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://*.Example.com:443", "https://*.example.com"),
        ("null", "null"),
        ("*", "*"),
    ] {
        let origin = Origin::try_from(text.to_owned()).unwrap();
        assert_eq!(origin.to_string(), sent);
        assert!(sent.contains('*') || origin.matches(sent.as_bytes()), "{text}");
    }
    for (text, words) in [
        ("app.example.com", "write scheme and host"),
        ("https://a.example/", "leave out what follows"),
        ("https://a.example/x", "leave out what follows"),
        ("https://u@a.example", "leave out what follows"),
        ("https://a.example:0", "no port"),
        ("https://a.example:", "no port"),
        ("https://", "not a host"),
        ("https://a.*.example", "in front"),
        ("https://*", "in front"),
        ("1s://a.example", "no scheme"),
        ("://a.example", "no scheme"),
        ("https://caf\u{e9}.example", "Punycode"),
        ("NULL", "write scheme and host"),
    ] {
        let error = Origin::try_from(text.to_owned()).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn what_would_let_anybody_in_is_refused() {
    let of = |cors: Json| json!({ "cors": cors });
    let many = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>();
    all_wrong(&[
        (of(json!({})), "`cors.origins` names nobody"),
        (
            of(json!({ "origins": ["*"], "credentials": true })),
            "`cors.origins` has `*` together with `credentials`",
        ),
        (
            of(json!({ "origins": ["null"], "credentials": true })),
            "`cors.origins` has `null` together with `credentials`",
        ),
        (of(json!({ "origins": ["*", APP] })), "beside others"),
        (of(json!({ "origins": [APP], "methods": ["*"], "credentials": true })), "`cors.methods` has `*`"),
        (of(json!({ "origins": [APP], "headers": ["*"], "credentials": true })), "`cors.headers` has `*`"),
        (of(json!({ "origins": [APP], "expose": ["*"], "credentials": true })), "`cors.expose` has `*`"),
        (of(json!({ "origins": [APP], "max_age": "25h" })), "`cors.max_age` is 25h"),
        (of(json!({ "origins": [APP], "max_age": "1500ms" })), "whole seconds"),
        (of(json!({ "origins": [APP], "headers": many(65) })), "at most 64"),
        (
            of(json!({ "origins": (0..257).map(|n| format!("https://{n}.example")).collect::<Vec<_>>() })),
            "at most 256",
        ),
    ]);
}

/// Whether an origin is one of those that are listed, worked out another way than by comparing texts.
fn is_listed(listed: &[&str], origin: &str) -> bool {
    let parts = |text: &str| {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
        Some((scheme.to_owned(), host.split('.').map(ToOwned::to_owned).collect::<Vec<_>>(), port.to_owned()))
    };
    listed.iter().any(|listed| {
        let (Some((scheme, host, port)), Some(asked)) = (parts(listed), parts(origin)) else {
            return *listed == origin;
        };
        let is_host = match host.split_first() {
            Some((first, name)) if first == "*" => asked.1.len() > name.len() && asked.1.ends_with(name),
            _ => host == asked.1,
        };
        scheme == asked.0 && port == asked.2 && is_host
    })
}

const LISTED: [&str; 5] = ["https://a.x", "http://a.x:81", "https://*.b.x", "http://*.x:82", "null"];

fn origins() -> impl Strategy<Value = String> {
    let name =
        prop::collection::vec(select(vec!["a", "b", "x", "evil"]), 1..4).prop_map(|labels| labels.join("."));
    let right = (select(vec!["http", "https"]), name, select(vec!["", ":81", ":82"]))
        .prop_map(|(scheme, name, port)| format!("{scheme}://{name}{port}"));
    prop_oneof![4 => right, 1 => Just("null".to_owned())]
}

proptest! {
    #[test]
    fn an_origin_is_answered_if_it_is_listed(listed in prop::sample::subsequence(LISTED.to_vec(), 1..4), origin in origins()) {
        let route = route(json!({ "origins": listed }));
        let script = Script { origin: &origin, credentials: false, method: "PUT", headers: &[] };
        let expected = is_listed(&listed, &origin);
        prop_assert_eq!(outcome(&route, &script), (expected, expected));
    }

    #[test]
    fn what_is_no_origin_is_never_answered(noise in "[!-~]{0,8}", place in 0..4_usize, own in any::<bool>()) {
        let origin = match place {
            0 => format!("https://{noise}.b.x"),
            1 => format!("https://a.x{noise}"),
            2 => format!("{noise}https://a.x"),
            _ => noise.clone(),
        };
        let name = origin.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".b.x"));
        let is_name = name.is_some_and(|name| name.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        }));
        let route = route(json!({ "origins": ["https://a.x", "https://*.b.x"] }));
        let own = if own { "200\naccess-control-allow-origin: *" } else { "200" };
        let asked = asked("GET", &[&format!("origin: {origin}")]);
        let got = route.pass(&asked, own).got;
        let allowed = values(&got, "access-control-allow-origin");
        if is_name || origin == "https://a.x" {
            prop_assert_eq!(allowed, [&*origin]);
        } else {
            prop_assert!(allowed.is_empty(), "{} {:?}", origin, allowed);
        }
    }
}

//! Endpoints of a service behind the gateway: how they are chosen, watched and shown.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use super::{Echo, start};
use crate::support::{Client, Node, metric, run};

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens")
}

/// A node with a route to one service.
fn node(service: &str, more: &str) -> (Node, SocketAddr) {
    start(&format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {service} }}
routes: [{{ name: echo, match: {{ path: "/echo" }}, to: {{ service: echo }}, access_log: {{ sample: 1 }} }}]
{more}
"#
    ))
}

/// Who answers a request with these headers; and the cookie that it sets.
fn asked(gateway: SocketAddr, headers: &[(&str, &str)]) -> (String, Option<String>) {
    let answer = Client::connect(gateway).request("GET", "/echo", headers, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let name = answer.header("x-of").expect("it says who it is").to_owned();
    (name, answer.header("set-cookie").map(str::to_owned))
}

fn endpoints(node: &Node) -> Vec<Value> {
    let shown = node.get("/v1/services/echo").json()["endpoints"].clone();
    serde_json::from_value(shown).unwrap_or_default()
}

#[test]
fn a_service_shows_how_each_endpoint_is() {
    let (echo, gone) = (Echo::start(), nobody());
    let service = format!(
        r#"{{ endpoints: ["{}", {{ address: "{gone}", weight: 3, zone: b, version: "7", metadata: {{ rack: r1 }} }}] }}"#,
        echo.0
    );
    let (node, gateway) = node(&service, "node: { zone: b }");
    for _ in 0..20 {
        assert_eq!(Client::connect(gateway).request("POST", "/echo", &[], "").status, 200);
    }
    let shown = endpoints(&node);
    let of = |number: usize, key: &str| shown[number][key].clone();
    assert_eq!(
        (of(0, "address"), of(0, "state"), of(0, "calls")),
        (json!(echo.0), json!("healthy"), json!(20))
    );
    assert_eq!((of(1, "state"), of(1, "calls"), of(1, "failed")), (json!("unreachable"), json!(1), json!(1)));
    assert_eq!((of(1, "zone"), of(1, "weight"), of(1, "version")), (json!("b"), json!(3), json!("7")));
    assert_eq!(of(1, "metadata"), json!({ "rack": "r1" }));
    let (code, told) = run(node.folder(), &["services", "endpoints", "echo"]);
    assert_eq!(code, Some(0), "{told}");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("ADDRESS") && lines[1].contains("healthy"), "{told}");
    assert!(lines[2].contains("unreachable") && lines[2].contains("refused"), "{told}");
    let metrics = node.get("/metrics").body;
    for (state, count) in [("healthy", 1.0), ("unreachable", 1.0), ("ejected", 0.0)] {
        let labels = [("service", "echo"), ("state", state)];
        assert_eq!(metric(&metrics, "mainstay_upstream_endpoints", &labels), count, "{state}");
    }
    let labels = [("service", "echo"), ("why", "unreachable")];
    assert_eq!(metric(&metrics, "mainstay_upstream_taken_out_total", &labels), 1.0);
    let (_, listed) = run(node.folder(), &["services", "list", "--live"]);
    assert!(listed.contains("(1 of 2 healthy)"), "{listed}");
    let (code, told) = run(node.folder(), &["services", "endpoints", "nobody"]);
    assert!(code == Some(1) && told.contains("nobody"), "{told}");
}

#[test]
fn a_client_stays_where_its_cookie_says_as_long_as_that_is_there() {
    let echoes = [Echo::named("one"), Echo::named("two"), Echo::named("three")];
    let all: Vec<_> = echoes.iter().map(|echo| format!("\"{}\"", echo.0)).collect();
    let service = format!(
        "{{ endpoints: [{}], balance: {{ algorithm: round_robin, sticky: {{ cookie: at }} }} }}",
        all.join(", ")
    );
    let (_node, gateway) = node(&service, "");
    let (first, cookie) = asked(gateway, &[]);
    let cookie = cookie.expect("it is told where it is kept");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    assert!(pair.starts_with("at=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    let sent = format!("x=1; {pair}");
    for _ in 0..6 {
        assert_eq!(asked(gateway, &[("Cookie", &sent)]), (first.clone(), None));
    }
    let (_, other) = asked(gateway, &[("Cookie", "at=00000000000000ff")]);
    assert!(other.is_some(), "it is kept to one that is there");
}

#[test]
fn requests_with_the_same_key_meet_the_same_endpoint() {
    let echoes = [Echo::named("one"), Echo::named("two"), Echo::named("three")];
    let all: Vec<_> = echoes.iter().map(|echo| format!("\"{}\"", echo.0)).collect();
    let key = "request.headers['x-user']";
    let service =
        format!("{{ endpoints: [{}], balance: {{ algorithm: maglev, key: \"{key}\" }} }}", all.join(", "));
    let (_node, gateway) = node(&service, "");
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..20 {
        let user = format!("u{user}");
        let (first, _) = asked(gateway, &[("X-User", &user)]);
        assert_eq!(asked(gateway, &[("X-User", &user)]).0, first, "{user}");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "keys are spread");
}

#[test]
fn the_access_log_names_the_endpoint() {
    let echo = Echo::start();
    let (mut node, gateway) = node(&format!("{{ endpoints: [\"{}\"] }}", echo.0), "");
    asked(gateway, &[]);
    let line = node.wait_for("request");
    assert_eq!(line["endpoint"], echo.0.to_string(), "{line}");
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn endpoints_register_renew_and_go() {
    let echo = Echo::start();
    let (node, gateway) =
        node("{ registration: true }", "policies: { default: { retry: false, breaker: false } }");
    let status = || Client::connect(gateway).request("GET", "/echo", &[], "").status;
    assert_eq!(status(), 503, "there are none");
    let path = format!("/v1/services/echo/endpoints/{}", echo.0);
    let put = |body: &str| node.connect().request("PUT", &path, &[JSON], body);
    let new = put(r#"{"version": "7", "weight": 2, "lease": "1m"}"#);
    assert_eq!(new.status, 201, "{new:?}");
    let shown = new.json();
    assert_eq!(
        (&shown["source"], &shown["state"], &shown["version"]),
        (&json!("registered"), &json!("healthy"), &json!("7"))
    );
    assert_eq!(status(), 200);
    assert_eq!(put("{}").status, 200, "it renews");
    let draining = put(r#"{"draining": true}"#).json();
    assert_eq!(draining["state"], "draining");
    assert_eq!(node.get("/v1/services/echo/endpoints").json()["endpoints"].as_array().map(Vec::len), Some(1));
    for (body, pointer) in [(r#"{"lease": "10ms"}"#, "/lease"), (r#"{"lease": "1h"}"#, "/lease")] {
        assert_eq!(put(body).problem(422, "invalid")["pointer"], pointer, "{body}");
    }
    let delete = |path: &str| node.connect().request("DELETE", path, &[], "");
    assert_eq!(delete(&path).status, 204);
    delete(&path).problem(404, "not_found");
    assert_eq!(status(), 503);
    node.connect().request("PUT", "/v1/services/echo/endpoints/x", &[JSON], "{}").problem(400, "malformed");
    node.connect()
        .request("PUT", "/v1/services/other/endpoints/1.2.3.4:5", &[JSON], "{}")
        .problem(404, "not_found");
    assert_eq!(put(r#"{"lease": "1s"}"#).status, 201);
    let is_there = || !endpoints(&node).is_empty();
    assert!(is_there());
    while is_there() {}
    assert_eq!(status(), 503);
}

#[test]
fn a_token_of_a_service_is_for_its_endpoints_alone() {
    // The SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let service = format!("{{ registration: {{ tokens: [\"{hash}\"] }} }}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "correct-horse-battery\n").expect("it is written");
    let yaml = format!("{{ api: {{ token: \"${{file:token}}\" }}, services: {{ echo: {service} }} }}");
    let node = Node::start_in(folder, &yaml).serving();
    let path = "/v1/services/echo/endpoints/127.0.0.1:9";
    let put = |path: &str, token: &str| {
        let token = format!("Bearer {token}");
        node.connect().request("PUT", path, &[JSON, ("Authorization", &token)], "{}")
    };
    assert_eq!(put(path, "secret").status, 201);
    put(path, "wrong").problem(401, "unauthenticated");
    put("/v1/services/other/endpoints/127.0.0.1:9", "secret").problem(401, "unauthenticated");
    let all = [("Authorization", "Bearer secret")];
    node.connect().request("GET", "/v1/services", &all, "").problem(401, "unauthenticated");
    assert_eq!(node.connect().request("GET", "/v1/services/echo/endpoints", &all, "").status, 200);
}

#[test]
fn who_may_not_register_is_told_why() {
    let echo = Echo::start();
    let (node, _) = node(&format!("{{ endpoints: [\"{}\"] }}", echo.0), "");
    let told = node.connect().request("PUT", "/v1/services/echo/endpoints/1.2.3.4:5", &[JSON], "{}");
    let problem = told.problem(403, "forbidden");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("registration: true")), "{problem}");
}

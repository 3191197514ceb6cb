//! The stages of a route, each in front of a service: limits, splits, mirrors, faults, bodies, actions, compression, the access log.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{Echo, start};
use crate::support::{Answer, Client, Node, metric, run};

/// A node with services `echo` and `other`, and these routes.
fn routed(echo: SocketAddr, other: SocketAddr, more: &str, routes: &str) -> (Node, SocketAddr) {
    start(&format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {{ endpoints: ["{echo}"] }}, other: {{ endpoints: ["{other}"] }} }}
{more}
routes:
{routes}"#
    ))
}

fn get(gateway: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::connect(gateway).request("GET", path, headers, "")
}

#[test]
fn a_limit_counts_each_caller_alone_and_tells_how_it_stands() {
    let echo = Echo::start();
    let routes = r#"
  - name: api
    to: { service: echo }
    limit: [{ key: "request.headers['x-user']", rate: 1/h, burst: 2 }]
  - name: forbidden
    match: { path: "/search", when: "request.query['q'].contains('union') || request.query['q'].contains('select') || request.query['q'].contains('drop')" }
    answer: { status: 403 }
"#;
    let (node, gateway) = routed(echo.0, echo.0, "", routes);
    let of = |user: &str| get(gateway, "/", &[("X-User", user)]);
    let first = of("a");
    assert_eq!((first.status, first.header("ratelimit")), (200, Some("\"api\";r=1;t=3600")), "{first:?}");
    assert_eq!(first.header("ratelimit-policy"), Some("\"api\";q=2;w=7200"));
    assert_eq!(of("a").status, 200);
    let third = of("a");
    assert_eq!((third.status, third.json()["code"].as_str()), (429, Some("rate_limited")), "{third:?}");
    assert!(third.header("retry-after").is_some(), "{third:?}");
    assert_eq!(third.header("ratelimit"), Some("\"api\";r=0;t=7200"), "{third:?}");
    assert_eq!(of("b").status, 200, "another caller");
    // What a client can make too long is not what decides against a route.
    let long = format!("/search?q={}", "a".repeat(8_000));
    let costly = get(gateway, &long, &[]);
    assert_eq!((costly.status, costly.json()["code"].as_str()), (400, Some("malformed")), "{costly:?}");
    assert_eq!(get(gateway, "/search?q=select", &[]).status, 403);
    assert_eq!(get(gateway, "/search?q=good", &[("X-User", "c")]).status, 200);
    assert_eq!(get(gateway, "/", &[]).status, 200, "those without a key are one");
    let metrics = node.get("/metrics").body;
    let limited = [("service", "api"), ("decision", "rate_limited")];
    assert_eq!(metric(&metrics, "mainstay_policy_decisions_total", &limited), 1.0);
}

#[test]
fn a_split_keeps_together_what_has_the_same_key() {
    let (echo, other) = (Echo::start(), Echo::named("other"));
    let routes = r#"
  - name: split
    match: { path: "/split" }
    to: { split: [{ service: echo, weight: 1 }, { service: other, weight: 1 }], sticky_by: "request.headers['x-user']" }
  - name: none
    match: { path: "/none" }
    to: { split: [{ service: echo, weight: 0 }, { service: other, weight: 7 }] }
"#;
    let (_node, gateway) = routed(echo.0, other.0, "", routes);
    let of =
        |user: &str| get(gateway, "/split", &[("X-User", user)]).header("x-of").expect("it says").to_owned();
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..16 {
        let user = user.to_string();
        let first = of(&user);
        assert_eq!(of(&user), first, "{user}");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "both have some");
    for _ in 0..8 {
        assert_eq!(get(gateway, "/none", &[]).header("x-of"), Some("other"));
    }
}

#[test]
fn a_mirror_is_sent_what_the_service_is_sent_and_nobody_waits_for_it() {
    let (echo, mirror) = (Echo::start(), Echo::named("mirror"));
    let routes = r#"
  - name: all
    to: { service: echo }
    mirror: { service: other }
"#;
    let (node, gateway) = routed(echo.0, mirror.0, "", routes);
    let answer = Client::connect(gateway).request("POST", "/a?b", &[], "hello");
    assert_eq!(answer.header("x-of"), Some("echo"));
    let seen = mirror.seen();
    assert!(seen.starts_with("POST /a?b HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nhello"), "{seen}");
    let mut client = Client::connect(gateway);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(client.answer(false).status, 200);
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_gateway_mirrors_left_out_total", &[]), 1.0, "it is not kept");
    let mut client = Client::connect(gateway);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.line().expect("an answer").starts_with("HTTP/1.1 101"));
    let seen = mirror.seen();
    assert!(seen.starts_with("GET /ws ") && !seen.contains("upgrade"), "{seen}");
}

#[test]
fn faults_are_injected_where_the_file_allows_it() {
    let echo = Echo::start();
    let routes = r#"
  - { name: broken, match: { path: /broken }, to: { service: echo }, faults: [{ fault: { error: unavailable } }] }
  - { name: gone, match: { path: /gone }, to: { service: echo }, faults: [{ fault: abort }] }
  - { name: slow, match: { path: /slow }, to: { service: echo }, faults: [{ fault: { slow: { bytes_per_second: 2000 } } }, { fault: { delay: 1ms } }] }
  - { name: well, match: { path: /well }, to: { service: echo } }
"#;
    let (node, gateway) = routed(echo.0, echo.0, "faults: allowed", routes);
    let broken = get(gateway, "/broken", &[]);
    assert_eq!((broken.status, broken.json()["code"].as_str()), (503, Some("unavailable")));
    let mut gone = Client::connect(gateway);
    assert!(gone.try_request("GET", "/gone", &[], "").is_err(), "dropped without an answer");
    let slow = get(gateway, "/slow", &[]);
    assert!(slow.status == 200 && slow.body.starts_with("GET /slow"), "{slow:?}");
    assert_eq!(get(gateway, "/well", &[]).status, 200);
    let metrics = node.get("/metrics").body;
    let injected = [("service", "gateway"), ("decision", "fault_injected")];
    assert_eq!(metric(&metrics, "mainstay_policy_decisions_total", &injected), 3.0);
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "listen: { gateway: [{ address: 127.0.0.1:0 }] }\nservices: { a: { endpoints: [\"127.0.0.1:1\"] } }\nroutes: [{ name: a, to: { service: a }, faults: [{ fault: abort }] }]";
    std::fs::write(folder.path().join("bad.yaml"), yaml).expect("a file");
    let (code, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert!(code == Some(2) && told.contains("set `faults: allowed`"), "{told}");
}

#[test]
fn bodies_are_bounded_and_decompressed() {
    let echo = Echo::start();
    let routes = r#"
  - { name: small, match: { path: /small }, to: { service: echo }, body: { max: 8B } }
  - { name: coded, match: { path: /coded }, to: { service: echo }, decompression: { max: 1KiB } }
"#;
    let (_node, gateway) = routed(echo.0, echo.0, "", routes);
    let small = |body: &str| Client::connect(gateway).request("POST", "/small", &[], body);
    assert_eq!(small("12345678").status, 200);
    let long = small("123456789");
    assert_eq!((long.status, long.json()["code"].as_str()), (413, Some("too_large")), "{long:?}");
    let mut client = Client::connect(gateway);
    client.send("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.answer(false).status, 413, "also when it does not say so before");
    let coded = |text: &[u8]| {
        let coded = piped("gzip", &["-c"], text);
        let head = format!(
            "POST /coded HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            coded.len()
        );
        let mut stream = std::net::TcpStream::connect(gateway).expect("it listens");
        stream.write_all(&[head.as_bytes(), &coded].concat()).expect("it reads");
        Client::of(stream).answer(false)
    };
    let answer = coded(b"hello");
    assert!(answer.status == 200 && !answer.body.contains("content-encoding"), "{answer:?}");
    assert!(answer.body.contains("transfer-encoding: chunked"), "its length is not known: {answer:?}");
    assert_eq!(coded(&[b'a'; 4096]).status, 413, "more comes out than may");
    let unknown =
        Client::connect(gateway).request("POST", "/coded", &[("Content-Encoding", "x-rot13")], "uryyb");
    assert_eq!(
        (unknown.status, unknown.header("accept-encoding")),
        (415, Some("zstd, br, gzip")),
        "{unknown:?}"
    );
}

/// What a program prints of this.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is there");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

#[test]
fn answers_are_compressed_for_who_accepts_it() {
    let echo = Echo::start();
    let routes = r#"
  - name: all
    to: { service: echo }
    compression: { min: 1B, codings: [gzip] }
    headers: { answer: { set: { content-type: text/plain } } }
"#;
    let (_node, gateway) = routed(echo.0, echo.0, "", routes);
    let plain = get(gateway, "/", &[]);
    assert!(plain.header("content-encoding").is_none() && plain.header("vary").is_some(), "{plain:?}");
    let mut stream = std::net::TcpStream::connect(gateway).expect("it listens");
    let head = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    assert!(
        head.contains("content-encoding: gzip\r\n") && head.contains("transfer-encoding: chunked\r\n"),
        "{head}"
    );
    let text = piped("gzip", &["-dc"], &unchunked(&answer[end..]));
    assert!(String::from_utf8_lossy(&text).starts_with("GET / HTTP/1.1\r\n"));
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|it| it == b"\r\n").expect("a line");
        let size =
            usize::from_str_radix(std::str::from_utf8(&bytes[..line]).expect("digits"), 16).expect("digits");
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 4 + size..];
    }
}

#[test]
fn routes_redirect_answer_rewrite_and_change_headers() {
    let echo = Echo::start();
    let routes = r#"
  - { name: old, match: { path: "/old/{rest...}" }, redirect: { to: "/new/{rest}" } }
  - { name: ping, match: { path: /ping }, answer: { status: 200, body: pong } }
  - name: api
    match: { path: "/api/{rest...}", methods: [PUT, OPTIONS] }
    to: { service: echo }
    rewrite: { path: "/v2/{rest}", host: inner.example }
    headers: { request: { set: { x-user: "${{ client.address }}" }, remove: [x-secret] }, answer: { remove: [x-of] } }
    cors: { origins: ["https://shop.example"], methods: [PUT] }
    security_headers: true
  - { name: private, match: { path: "/api/private/{rest...}", methods: [DELETE] }, to: { service: echo } }
"#;
    let (node, gateway) = routed(echo.0, echo.0, "", routes);
    let moved = get(gateway, "/old/a%20b?q=1", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("/new/a%20b?q=1")), "{moved:?}");
    let ping = get(gateway, "/ping", &[]);
    assert_eq!((ping.status, ping.body.as_str()), (200, "pong"));
    let mut client = Client::connect(gateway);
    let headers = [("X-Secret", "1"), ("Origin", "https://shop.example"), ("Host", "outer.example")];
    let put = client.request("PUT", "/api/x", &headers, "hello");
    assert!(put.body.starts_with("PUT /v2/x HTTP/1.1\r\n"), "{put:?}");
    for part in ["host: inner.example\r\n", "x-forwarded-host: outer.example\r\n", "x-user: 127.0.0.1\r\n"] {
        assert!(put.body.contains(part), "{part}: {put:?}");
    }
    assert!(!put.body.contains("x-secret") && put.header("x-of").is_none(), "{put:?}");
    assert_eq!(put.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(put.header("x-content-type-options"), Some("nosniff"));
    let preflight = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "PUT")];
    let asked = client.request("OPTIONS", "/api/x", &preflight, "");
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (204, Some("PUT")), "{asked:?}");
    // Another route's rules are not those of the route that takes the method.
    let asked = client.request("OPTIONS", "/api/private/x", &preflight, "");
    assert_eq!(asked.status, 204, "{asked:?}");
    let deletes = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "DELETE")];
    let asked = client.request("OPTIONS", "/api/private/x", &deletes, "");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (403, None), "{asked:?}");
    let metrics = node.get("/metrics").body;
    let answered = [("route", "api"), ("class", "2xx")];
    assert_eq!(metric(&metrics, "mainstay_gateway_requests_total", &answered), 3.0);
}

#[test]
fn the_access_log_has_what_was_sent_and_how_it_went() {
    let echo = Echo::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens");
    let routes = r#"
  - { name: seen, match: { path: "/seen/{rest...}" }, to: { service: echo }, access_log: { sample: 1 } }
  - { name: unseen, match: { path: "/unseen" }, to: { service: echo } }
  - { name: failing, match: { path: "/failing" }, to: { service: other } }
"#;
    let (mut node, gateway) = routed(echo.0, gone, "", routes);
    assert_eq!(get(gateway, "/unseen", &[]).status, 200);
    let answer = get(gateway, "/seen/x?secret=1", &[("User-Agent", "curl/8")]);
    let line = node.wait_for("request");
    assert_eq!(line["path"], "/seen/x", "without the query, and the first: {line}");
    assert_eq!(line["request_id"].as_str(), answer.header("mainstay-request-id"));
    for (key, value) in [
        ("method", "GET"),
        ("route", "seen"),
        ("service", "echo"),
        ("client", "127.0.0.1"),
        ("user_agent", "curl/8"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(line["bytes"].as_u64(), Some(answer.body.len() as u64), "{line}");
    assert!(line["status"] == 200 && line["is_whole"] == true, "{line}");
    let failing = get(gateway, "/failing", &[]);
    assert_eq!(failing.status, 503);
    let line = node.wait_for("request");
    assert_eq!((line["route"].as_str(), line["status"].as_u64()), (Some("failing"), Some(503)), "{line}");
    let why = line["error"].as_str().expect("it says why");
    assert!(
        why.contains(&gone.to_string()) && !failing.body.contains(&gone.to_string()),
        "{why} {failing:?}"
    );
}

#[test]
fn a_client_says_how_long_it_waits() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let echo = Echo::start();
    let routes = r#"
  - { name: quiet, match: { path: "/quiet" }, to: { service: other } }
  - { name: echo, match: { path: "/echo" }, to: { service: echo } }
"#;
    let quiet = listener.local_addr().expect("it listens");
    let (_node, gateway) = routed(echo.0, quiet, "policies: { default: { timeout: 1h } }", routes);
    for header in [("Mainstay-Timeout", "20ms"), ("grpc-timeout", "20m")] {
        let late = get(gateway, "/quiet", &[header]);
        assert_eq!((late.status, late.json()["code"].as_str()), (504, Some("deadline")), "{late:?}");
    }
    let told = get(gateway, "/echo", &[("Mainstay-Timeout", "5s"), ("Mainstay-Attempt", "7")]).body;
    let left = told.lines().find_map(|line| line.strip_prefix("mainstay-timeout: ")?.strip_suffix("ms"));
    let left: u64 = left.and_then(|left| left.parse().ok()).expect("the service is told");
    assert!(left <= 5000 && !told.contains("mainstay-attempt"), "{told}");
    let wrong = get(gateway, "/echo", &[("Mainstay-Timeout", "soon")]);
    assert_eq!((wrong.status, wrong.json()["header"].as_str()), (400, Some("Mainstay-Timeout")), "{wrong:?}");
}

#[test]
fn who_is_rejected_is_told_when_to_come_again() {
    let quiet = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let routes = r#"
  - { name: all, to: { service: other } }
"#;
    let policies = "policies: { default: { retry: false, breaker: { consecutive: 1, open: 40s, jitter: 0 }, timeout: 50ms } }";
    let address = quiet.local_addr().expect("it listens");
    let (_node, gateway) = routed(address, address, policies, routes);
    assert_eq!(get(gateway, "/", &[]).status, 504);
    let rejected = get(gateway, "/", &[]);
    assert_eq!((rejected.status, rejected.json()["retry"].as_str()), (503, Some("after")), "{rejected:?}");
    let after: u64 =
        rejected.header("retry-after").and_then(|after| after.parse().ok()).expect("it says when");
    assert!((30..=40).contains(&after), "{after}");
}

#[test]
fn hosts_take_turns_for_the_places_of_a_service() {
    let service = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = service.local_addr().expect("it listens");
    let more = "gateway: { workers: 1, forwarded: { trusted: [127.0.0.0/8] } }
policies: { default: { retry: false, bulkhead: { concurrent: 1, queue: 2, max_wait: 30s } } }";
    let (node, gateway) = routed(address, address, more, "\n  - { name: all, to: { service: other } }\n");
    let ask = |host: &str| {
        let mut client = Client::connect(gateway);
        client.send(&format!("GET /{host} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {host}\r\n\r\n"));
        client
    };
    let waiting = |count: u64| {
        let is = |services: &serde_json::Value| services[1]["guards"][0]["bulkhead"]["waiting"] == count;
        while !is(&node.get("/v1/services").json()["services"]) {
            std::thread::yield_now();
        }
    };
    let mut first = ask("192.0.2.1");
    let (mut stream, _) = service.accept().expect("a connection");
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).expect("a head") > 0);
    let mut second = ask("192.0.2.1");
    waiting(1);
    let mut third = ask("192.0.2.1");
    waiting(2);
    // One that waits for the first time takes the place of the one who waits most.
    let mut other = ask("192.0.2.2");
    assert_eq!(third.answer(false).status, 503);
    waiting(2);
    for (place, client) in [&mut first, &mut second, &mut other].into_iter().enumerate() {
        if place > 0 {
            assert!(stream.read(&mut head).expect("a head") > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it reads");
        assert_eq!(client.answer(false).status, 200, "{place}");
    }
}

#[test]
fn a_policy_of_a_route_replaces_that_of_the_service() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens");
    let routes = r#"
  - { name: once, match: { path: "/once" }, to: { service: echo }, policy: once }
  - { name: often, match: { path: "/often" }, to: { service: echo } }
"#;
    let policies = "policies: { once: { retry: false }, default: { retry: { attempts: 2, base: 1ms } } }";
    let (node, gateway) = routed(gone, gone, policies, routes);
    assert_eq!(get(gateway, "/once", &[]).status, 503);
    let retried = [("service", "echo"), ("decision", "retried")];
    assert_eq!(metric(&node.get("/metrics").body, "mainstay_policy_decisions_total", &retried), 0.0);
    assert_eq!(get(gateway, "/often", &[]).status, 503);
    assert_eq!(metric(&node.get("/metrics").body, "mainstay_policy_decisions_total", &retried), 1.0);
}

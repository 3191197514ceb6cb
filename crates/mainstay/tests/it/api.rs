//! The API listener as its callers and its attackers see it.

use crate::support::{Answer, Client, Node, metric};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LEVELS: &str = "/v1/telemetry/logs";

fn put(node: &Node, headers: &[(&str, &str)], body: &str) -> Answer {
    node.connect().request("PUT", LEVELS, headers, body)
}

#[test]
fn probes_and_documents_answer() {
    let node = Node::start("");
    assert_eq!(node.get("/v1/health/live").json()["status"], "live");
    let ready = node.get("/v1/health/ready").json();
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["parts"].as_array().map(Vec::len), Some(6));
    for link in node.get("/").json()["resources"].as_object().expect("links").values() {
        let answer = node.get(link.as_str().expect("a path"));
        let is_for_sending = answer.header("allow") == Some("POST");
        assert_eq!(answer.status, if is_for_sending { 405 } else { 200 }, "{link}");
    }
    let head = node.connect().request("HEAD", "/v1/health/live", &[], "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("18")));
}

#[test]
fn every_answer_has_its_own_request_id_which_finds_the_log_line() {
    let mut node = Node::start("telemetry: { logs: { rooms: { api: debug } } }");
    let mut client = node.connect();
    let first = client.request("GET", "/v1/health/live", &[], "");
    let second = client.request("GET", "/nowhere", &[], "");
    let ids = [&first, &second].map(|it| it.header("mainstay-request-id").expect("an id").to_owned());
    assert_ne!(ids[0], ids[1]);
    let line = node.wait_for("request answered");
    assert_eq!(line["request_id"], ids[0]);
    assert_eq!((&line["path"], &line["status"]), (&"/v1/health/live".into(), &200.into()));
    assert_eq!(node.wait_for("request answered")["request_id"], ids[1]);
}

#[test]
fn every_refusal_is_a_problem_that_says_what_to_do() {
    let node = Node::start("api: { body_max: 100B }\nlimits: { commit_size_max: 75B, value_size_max: 75B }");
    let detail = |problem: serde_json::Value| problem["detail"].as_str().expect("text").to_owned();

    assert!(detail(node.get("/nope").problem(404, "not_found")).contains("`/nope`"));
    let answer = node.connect().request("DELETE", "/v1/config", &[], "");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    answer.problem(405, "method_not_allowed");

    let large = "x".repeat(101);
    let problem = put(&node, &[JSON], &large).problem(413, "too_large");
    assert_eq!(problem["limit_bytes"], 100);
    let chunked = format!("65\r\n{large}\r\n0\r\n\r\n");
    let headers = [JSON, ("Transfer-Encoding", "chunked")];
    let mut client = node.connect();
    client.send(&format!("PUT {LEVELS} HTTP/1.1\r\nHost: localhost\r\n"));
    for (name, value) in headers {
        client.send(&format!("{name}: {value}\r\n"));
    }
    client.send(&format!("\r\n{chunked}"));
    client.answer(false).problem(413, "too_large");

    let problem = put(&node, &[("Content-Type", "text/plain")], "{}").problem(415, "unsupported_media_type");
    assert_eq!(problem["accepted"][0], "application/json");
    put(&node, &[], "{}").problem(415, "unsupported_media_type");
    let problem = put(&node, &[JSON], "{\n\"level\": }").problem(400, "malformed");
    assert_eq!((&problem["line"], &problem["column"]), (&2.into(), &10.into()));
    put(&node, &[JSON], "").problem(400, "malformed");
    let unknown = put(&node, &[JSON], r#"{"level": "info", "colour": "red"}"#).problem(422, "invalid");
    assert!(detail(unknown).contains("colour"));
    put(&node, &[JSON], r#"{"level": "loud"}"#).problem(422, "invalid");
    for other in [r#"["info", {}]"#, "1", "null", r#""info""#] {
        assert!(detail(put(&node, &[JSON], other).problem(422, "invalid")).contains("object"), "{other}");
    }
}

#[test]
fn a_body_that_there_is_no_room_for_is_refused_until_others_are_answered() {
    let node = Node::start(
        "{ api: { body_max: 64KiB, bodies_max: 64KiB }, limits: { commit_size_max: 48KiB, value_size_max: 48KiB }, \
         collections: { kv: {} } }",
    )
    .serving();
    let taken = || metric(&node.get("/metrics").body, "mainstay_api_body_bytes", &[]);
    let path = |key: &str| format!("/v1/collections/kv/items/{key}");
    let body = "x".repeat(40 << 10);
    let (first, rest) = body.split_at(39 << 10);
    let mut slow = node.connect();
    slow.send(&format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n", path("slow")));
    slow.send(&format!("Content-Length: {}\r\n\r\n{first}", body.len()));
    while taken() < first.len() as f64 {}
    let put = || node.connect().request("PUT", &path("quick"), &[("Content-Type", "text/plain")], &body);
    let refused = put();
    let problem = refused.problem(503, "overloaded");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("api.bodies_max")), "{problem}");
    assert_eq!((&problem["limit_bytes"], refused.header("retry-after")), (&(64 << 10).into(), Some("1")));
    // Small ones still have room.
    let small = node.connect().request("PUT", &path("small"), &[("Content-Type", "text/plain")], "x");
    assert_eq!(small.status, 201, "{small:?}");
    slow.send(rest);
    assert_eq!(slow.answer(false).status, 201);
    while put().status != 201 {}
    while taken() > 0.0 {}
}

#[test]
fn a_web_page_cannot_drive_the_api() {
    let node = Node::start("api: { hosts: [admin.local] }");
    let get = |headers: &[(&str, &str)]| node.connect().request("GET", "/v1/config", headers, "");

    get(&[("Host", "evil.example")]).problem(421, "misdirected");
    for host in ["localhost", "LOCALHOST:7070", "127.0.0.1:1", "[::1]:7070", "admin.local:7070"] {
        assert_eq!(get(&[("Host", host)]).status, 200, "{host}");
    }
    let mut client = node.connect();
    client.send("GET /v1/config HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n");
    client.answer(false).problem(400, "malformed");
    let mut client = node.connect();
    client.send("GET http://localhost/v1/config HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.answer(false).problem(421, "misdirected");
    let mut client = node.connect();
    client.send("GET /v1/health/live HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer(false).status, 200, "a probe without a host");

    get(&[("Sec-Fetch-Site", "cross-site")]).problem(403, "forbidden");
    get(&[("Sec-Fetch-Site", "same-site")]).problem(403, "forbidden");
    get(&[("Origin", "https://evil.example")]).problem(403, "forbidden");
    get(&[("Origin", "null")]).problem(403, "forbidden");
    let own = node.api.to_string();
    assert_eq!(get(&[("Origin", &format!("http://{own}")), ("Sec-Fetch-Site", "same-origin")]).status, 200);
    get(&[("Host", "localhost:1"), ("Origin", "http://localhost:2")]).problem(403, "forbidden");

    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"] {
        let send = |path| node.connect().request("POST", path, &[("Content-Type", form)], "level=debug");
        for path in ["/v1/backups", "/v1/commits"] {
            send(path).problem(415, "unsupported_media_type");
        }
        send(LEVELS).problem(405, "method_not_allowed");
    }
    node.connect().request("POST", "/v1/backups", &[], "").problem(415, "unsupported_media_type");
    put(&node, &[("Content-Type", "text/plain")], "{}").problem(415, "unsupported_media_type");
    assert_eq!(node.get(LEVELS).json()["level"], "info");
}

#[test]
fn with_a_token_only_probes_are_open() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "correct-horse-battery\n").expect("a file");
    let node = Node::start_in(folder, "api: { token: '${file:token}' }");
    assert_eq!(node.get("/v1/health/ready").status, 200);
    let answer = node.get("/v1/config");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"mainstay\""));
    answer.problem(401, "unauthenticated");
    for wrong in ["Bearer wrong", "Bearer correct-horse-batter", "Basic correct-horse-battery", "Bearer"] {
        let answer = node.connect().request("GET", "/metrics", &[("Authorization", wrong)], "");
        answer.problem(401, "unauthenticated");
    }
    let right = ("Authorization", "Bearer correct-horse-battery");
    let answer = node.connect().request("GET", "/v1/config", &[right], "");
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("correct-horse"), "secrets are shown as references");
}

#[test]
fn levels_change_at_run_time() {
    let mut node = Node::start("telemetry: { logs: { level: warn, rooms: { life: info } } }");
    let levels = put(&node, &[JSON], r#"{"level": "info", "rooms": {"api": "debug"}}"#).json();
    assert_eq!((&levels["level"], &levels["overridden"]), (&"info".into(), &true.into()));
    node.wait_for("log levels overridden");
    node.get("/v1/health/live");
    node.wait_for("request answered");
    let levels = node.connect().request("DELETE", LEVELS, &[], "").json();
    assert_eq!((&levels["level"], &levels["overridden"]), (&"warn".into(), &false.into()));
}

#[test]
fn metrics_count_what_happened() {
    let node = Node::start("node: { id: m1 }");
    node.get("/v1/health/live");
    node.get("/v1/health/live");
    node.get("/nope");
    node.get("/another");
    node.connect().request("GET", "/v1/config", &[("Host", "evil.example")], "").problem(421, "misdirected");
    let mut garbage = node.connect();
    garbage.send("\0\0\0\r\n\r\n");
    assert_eq!(garbage.answer(false).status, 400);
    assert!(garbage.is_closed());
    let malformed = |answer: &Answer| {
        metric(&answer.body, "mainstay_api_problems_total", &[("code", "malformed")]) == 1.0
    };
    // A broken connection is counted once it has ended, which its caller may see first.
    let answer = std::iter::repeat_with(|| node.get("/metrics")).find(malformed).expect("it is counted");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let count = |name, labels: &[(&str, &str)]| metric(&answer.body, name, labels);
    let live = ("route", "/v1/health/live");
    assert_eq!(count("mainstay_api_requests_total", &[live, ("class", "2xx"), ("node", "m1")]), 2.0);
    assert_eq!(count("mainstay_api_requests_total", &[("route", "none"), ("class", "4xx")]), 3.0);
    assert_eq!(count("mainstay_api_problems_total", &[("code", "misdirected")]), 1.0);
    assert_eq!(count("mainstay_api_problems_total", &[("code", "not_found")]), 2.0);
    assert_eq!(count("mainstay_api_request_duration_seconds_count", &[live]), 2.0);
    assert_eq!(count("mainstay_config_generation", &[]), 1.0);
    assert_eq!(count("mainstay_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(count("process_resident_memory_bytes", &[]) > 0.0);
}

#[test]
fn connections_over_the_limit_are_told_and_closed() {
    let node = Node::start("api: { connections_max: 2 }");
    let mut first = node.connect();
    let mut second = node.connect();
    for client in [&mut first, &mut second] {
        assert_eq!(client.request("GET", "/v1/health/live", &[], "").status, 200);
    }
    let mut third = node.connect();
    let refusal = third.answer(false);
    assert_eq!(refusal.header("retry-after"), Some("1"));
    assert_eq!(refusal.problem(503, "overloaded")["limit"], 2);
    assert!(third.is_closed());
    drop(first);
    // The place is free once the server has seen the close; until then the answer is 503.
    let served = (0..10_000).any(|_| {
        let mut client = Client::connect(node.api);
        client.send("GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.answer(false).status == 200
    });
    assert!(served);
}

#[test]
fn a_body_that_never_ends_is_cut_off() {
    let node = Node::start("api: { body_timeout: 200ms }");
    let mut slow = node.connect();
    slow.send("PUT /v1/telemetry/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    slow.send("Content-Length: 100\r\n\r\n{");
    slow.answer(false).problem(408, "request_timeout");
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let node = Node::start("api: { head_timeout: 200ms }");
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &str = "\0\0\0\x04\0\0\0\0\0";
    let starts = ["", "P", "GET /v1/health/live HTTP/1.1\r\nHost: local", &PREFACE[..20], PREFACE];
    let mut silent = starts.map(|start| {
        let mut client = node.connect();
        client.send(start);
        client
    });
    let mut idle = node.connect();
    idle.send(&format!("{PREFACE}{SETTINGS}"));
    for client in &mut silent {
        client.read_to_end();
    }
    idle.read_to_end();
    assert_eq!(node.get("/v1/health/live").status, 200);
}

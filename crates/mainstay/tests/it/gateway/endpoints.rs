//! Endpoints of a service behind the gateway: how they are chosen, watched and shown.

use std::io::{BufRead, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
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
    let (kind, data) = Watch::open(&node, "Authorization: Bearer secret\r\n").next().expect("it begins");
    assert_eq!((&*kind, &data["endpoints"][0]["address"]), ("endpoints", &json!("127.0.0.1:9")));
}

#[test]
fn who_may_not_register_is_told_why() {
    let echo = Echo::start();
    let (node, _) = node(&format!("{{ endpoints: [\"{}\"] }}", echo.0), "");
    let told = node.connect().request("PUT", "/v1/services/echo/endpoints/1.2.3.4:5", &[JSON], "{}");
    let problem = told.problem(403, "forbidden");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("registration: true")), "{problem}");
}

/// A stream of a service's endpoints.
struct Watch(Client);

impl Watch {
    fn open(node: &Node, headers: &str) -> Self {
        let mut client = node.connect();
        client.send(&format!(
            "GET /v1/services/echo/endpoints HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
        ));
        let head = client.answer(true);
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{head:?}");
        Self(client)
    }

    /// The next event that is no sign of life; none when the stream has ended in order.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let kind = self.0.event()?;
            let data = self.0.line().expect("an event is whole");
            let data = data.strip_prefix("data: ").expect("there is no id to go on from");
            if kind != "heartbeat" {
                return Some((kind, serde_json::from_str(data).expect("JSON")));
            }
        }
    }

    /// What becomes of which endpoint, and how it is then.
    fn told(&mut self) -> (String, String, String) {
        let (kind, data) = self.next().expect("it goes on");
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        (kind, text("address"), text("state"))
    }
}

fn told(kind: &str, address: &str, state: &str) -> (String, String, String) {
    (kind.to_owned(), address.to_owned(), state.to_owned())
}

#[test]
fn a_stream_shows_what_becomes_of_endpoints_and_ends_with_the_service() {
    let (node, _) = node("{ registration: true }", "");
    // One that nobody sends requests to, and so can be retired.
    let definition = r#"{"registration": true}"#;
    let brief = node.connect().request("PUT", "/v1/services/brief", &[JSON], definition);
    assert_eq!(brief.status, 201, "{brief:?}");
    let mut watch = Watch::open(&node, "");
    assert_eq!(watch.next(), Some(("endpoints".to_owned(), json!({ "endpoints": [] }))));
    let address = "127.0.0.1:9";
    let path = format!("/v1/services/echo/endpoints/{address}");
    let put = |body: &str| {
        let answer = node.connect().request("PUT", &path, &[JSON], body);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    put(r#"{"version": "7", "lease": "1m"}"#);
    assert_eq!(watch.told(), told("added", address, "healthy"));
    // A renewal is no change, or the next event would be one.
    put(r#"{"version": "7", "lease": "2m"}"#);
    put(r#"{"version": "7", "lease": "2m", "weight": 3}"#);
    let (kind, data) = watch.next().expect("it goes on");
    assert_eq!((&*kind, &data["weight"], &data["version"]), ("changed", &json!(3), &json!("7")));
    put(r#"{"draining": true}"#);
    assert_eq!(watch.told(), told("changed", address, "draining"));
    let mut late = Watch::open(&node, "");
    let (kind, data) = late.next().expect("it begins");
    assert_eq!((&*kind, &data["endpoints"][0]["state"]), ("endpoints", &json!("draining")));
    assert_eq!(node.connect().request("DELETE", &path, &[], "").status, 204);
    for watch in [&mut watch, &mut late] {
        assert_eq!(watch.told(), told("removed", address, ""));
    }
    let mut brief = node.connect();
    brief.send(
        "GET /v1/services/brief/endpoints HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
    );
    assert_eq!(brief.answer(true).status, 200);
    let mut brief = Watch(brief);
    assert_eq!(brief.next().map(|event| event.0).as_deref(), Some("endpoints"));
    // Another definition is the same service.
    let other = r#"{"registration": true, "connect_timeout": "2s"}"#;
    assert_eq!(node.connect().request("PUT", "/v1/services/brief", &[JSON], other).status, 200);
    let of_brief = "/v1/services/brief/endpoints/127.0.0.1:9";
    assert_eq!(node.connect().request("PUT", of_brief, &[JSON], "{}").status, 201);
    assert_eq!(brief.told(), told("added", address, "healthy"));
    assert_eq!(node.connect().request("DELETE", "/v1/services/brief", &[], "").status, 200);
    let (kind, data) = brief.next().expect("it says why it ends");
    assert_eq!((&*kind, &data["code"]), ("gone", &json!("not_found")));
    assert!(data["detail"].as_str().is_some_and(|it| it.contains("`brief`")), "{data}");
    assert_eq!(brief.next(), None);
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_feed_streams", &[]), 2.0);
    node.signal(Signal::TERM);
    assert_eq!((watch.next(), late.next()), (None, None), "a stop ends them in order");
}

#[test]
fn a_stream_shows_states_and_leaves_calls_alone() {
    let (echo, gone) = (Echo::start(), nobody());
    let (node, gateway) = node(&format!("{{ endpoints: [\"{}\", \"{gone}\"] }}", echo.0), "");
    let mut watch = Watch::open(&node, "");
    let (_, data) = watch.next().expect("it begins");
    assert_eq!(data["endpoints"].as_array().map(Vec::len), Some(2));
    for _ in 0..20 {
        assert_eq!(Client::connect(gateway).request("POST", "/echo", &[], "").status, 200);
    }
    assert_eq!(watch.told(), told("changed", &gone.to_string(), "unreachable"));
}

#[test]
fn a_command_prints_what_becomes_of_endpoints() {
    let (node, _) = node("{ registration: true }", "");
    let path = "/v1/services/echo/endpoints/127.0.0.1:9";
    let put = |body: &str| drop(node.connect().request("PUT", path, &[JSON], body));
    put(r#"{"zone": "a"}"#);
    let watch = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["services", "endpoints", "echo", "--watch"]).args(more);
        command.current_dir(node.folder()).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        (child, lines)
    };
    let next = |lines: &mut dyn BufRead| {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a pipe");
        line.trim_end().to_owned()
    };
    let (mut people, mut lines) = watch(&[]);
    let (mut programs, mut documents) = watch(&["--output", "json"]);
    assert_eq!(next(&mut lines), "there 127.0.0.1:9, healthy, weight 1, zone a, registered");
    let document: Value = serde_json::from_str(&next(&mut documents)).expect("JSON");
    assert_eq!((&document["event"], &document["endpoint"]["zone"]), (&json!("there"), &json!("a")));
    put(r#"{"zone": "a", "draining": true}"#);
    assert_eq!(next(&mut lines), "changed 127.0.0.1:9, draining, weight 1, zone a, registered");
    assert_eq!(node.connect().request("DELETE", path, &[], "").status, 204);
    assert_eq!(next(&mut lines), "removed 127.0.0.1:9");
    node.signal(Signal::TERM);
    assert_eq!(people.wait().expect("it was started").code(), Some(1));
    let mut why = String::new();
    people.stderr.take().expect("a pipe").read_to_string(&mut why).expect("a pipe");
    assert!(why.contains("it stops"), "{why}");
    drop(documents);
    drop(programs.wait());
    let (code, told) = run(node.folder(), &["services", "endpoints", "other", "--watch"]);
    assert_eq!(code, Some(1), "{told}");
}

/// A server of DNS that has these addresses for every name, with a TTL of zero.
fn names(addresses: &Arc<Mutex<Vec<IpAddr>>>) -> SocketAddr {
    let (socket, addresses) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), Arc::clone(addresses));
    let address = socket.local_addr().expect("it is bound");
    let serve = move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // The question begins after 12 bytes, with a name that a zero ends, and its type.
            let end = 12 + packet[12..length].iter().position(|byte| *byte == 0).expect("a name") + 5;
            let is_v4 = packet[end - 4..end - 2] == [0, 1];
            let all = addresses.lock().expect("nobody panics").clone();
            let found: Vec<_> = all.into_iter().filter(|_| is_v4).collect();
            // An answer, as it was asked, of one question.
            let mut answer = [&packet[..2], &[0x81, 0x80, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]].concat();
            answer.extend_from_slice(&packet[12..end]);
            for ip in found {
                let IpAddr::V4(ip) = ip else { continue };
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend_from_slice(&ip.octets());
            }
            drop(socket.send_to(&answer, from));
        }
    };
    std::thread::Builder::new().spawn(serve).expect("a thread");
    address
}

#[test]
fn endpoints_are_looked_up_by_a_name() {
    let echo = Echo::start();
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let server = names(&addresses);
    let dns = format!(
        r#"{{ name: legacy.internal, servers: ["{server}"], ttl_min: 10ms, ttl_max: 1s, hold: 0s }}"#
    );
    let service = format!("{{ dns: {dns}, port: {} }}", echo.0.port());
    let (node, gateway) = node(&service, "policies: { default: { retry: false, breaker: false } }");
    let answer = Client::connect(gateway).request("GET", "/echo", &[], "");
    assert!(answer.status == 503 && answer.body.contains("no endpoints at the moment"), "{answer:?}");
    let mut watch = Watch::open(&node, "");
    assert_eq!(watch.next().map(|event| event.0).as_deref(), Some("endpoints"));
    addresses.lock().expect("nobody panics").push(echo.0.ip());
    assert_eq!(watch.told(), told("added", &echo.0.to_string(), "healthy"));
    asked(gateway, &[]);
    let shown = node.get("/v1/services/echo").json();
    assert_eq!(shown["endpoints"][0]["source"], "dns");
    assert_eq!(
        (&shown["dns"]["name"], &shown["dns"]["port"]),
        (&json!("legacy.internal"), &json!(echo.0.port()))
    );
    assert!(shown["dns"]["resolved"].is_string() && shown["dns"]["next"].is_string(), "{shown}");
    assert_eq!(shown["dns"]["error"], Value::Null);
    let (code, printed) = run(node.folder(), &["services", "endpoints", "echo"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains(&format!("by DNS: legacy.internal:{}, found ", echo.0.port())), "{printed}");
    addresses.lock().expect("nobody panics").clear();
    assert_eq!(watch.told(), told("removed", &echo.0.to_string(), ""));
    let shown = node.get("/v1/services/echo").json();
    assert_eq!(shown["dns"]["error"], "the name has no addresses");
    let metrics = node.get("/metrics").body;
    let count = |result| {
        let labels = [("service", "echo"), ("result", result)];
        metric(&metrics, "mainstay_upstream_dns_lookups_total", &labels)
    };
    assert!(count("found") >= 1.0 && count("empty") >= 1.0);
    assert_eq!(count("failed"), 0.0);
}

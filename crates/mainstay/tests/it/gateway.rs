//! The gateway in front of a service: what passes, what is refused, and what a change leaves alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;

use crate::support::{Answer, Client, Node, metric, run};

mod connections;
mod crowds;
mod definitions;
mod drain;
mod endpoints;
mod forms;
mod listeners;
mod names;
mod programs;
mod scaling;
mod stages;
mod tcp;

/// A service that answers every request with what it was sent, until the test ends.
struct Echo(SocketAddr, mpsc::Receiver<String>);

impl Echo {
    fn start() -> Self {
        Self::named("echo")
    }

    /// One that says this name in its answers.
    fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens");
        let (tell, seen) = mpsc::sync_channel(1024);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let tell = tell.clone();
                    let serve = move || drop(echo(&stream, name, &tell));
                    std::thread::Builder::new().spawn(serve).expect("a thread");
                }
            })
            .expect("a thread");
        Self(address, seen)
    }

    /// The next request that it was sent.
    fn seen(&self) -> String {
        self.1.recv_timeout(std::time::Duration::from_secs(60)).expect("a request")
    }
}

fn echo(stream: &TcpStream, name: &str, tell: &mpsc::SyncSender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        if head.contains("upgrade: echo") {
            (&*stream).write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhi ",
            )?;
            return std::io::copy(&mut reader, &mut &*stream).map(drop);
        }
        if head.starts_with("GET /old ") {
            return (&*stream).write_all(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        if head.contains("transfer-encoding: chunked") {
            read_chunks(&mut reader, &mut body)?;
        }
        let told = head + &String::from_utf8_lossy(&body);
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-of: {name}\r\n\r\n{told}", told.len());
        // Nobody may look.
        let _ = tell.try_send(told);
        (&*stream).write_all(answer.as_bytes())?;
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Ok(());
        }
    }
}

fn config(service: SocketAddr, path: &str) -> String {
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
policies: {{ default: {{ timeout: 2s }} }}
services: {{ echo: {{ endpoints: ["{service}"] }} }}
routes:
  - name: echo
    match: {{ path: "{path}", methods: [GET, POST] }}
    to: {{ service: echo }}
"#
    )
}

/// A node, and where its gateway listens.
fn start(yaml: &str) -> (Node, SocketAddr) {
    let node = Node::start(yaml);
    let gateway = gateway_of(&node);
    (node, gateway)
}

fn gateway_of(node: &Node) -> SocketAddr {
    let [address] = gateways_of(node).try_into().expect("one address");
    address
}

/// Where the gateway listens, in the order in which it is written.
fn gateways_of(node: &Node) -> Vec<SocketAddr> {
    let told = node.ready["gateway"].as_str().expect("it is told").trim_matches(['[', ']']);
    told.split(", ").map(|address| address.parse().expect("an address")).collect()
}

#[test]
fn a_request_goes_to_the_service_of_its_route_and_its_answer_comes_back() {
    let echo = Echo::start();
    let (node, gateway) = start(&config(echo.0, "/api/{rest...}"));
    let mut client = Client::connect(gateway);
    let headers = [("X-A", "1"), ("Connection", "x-b"), ("X-B", "2"), ("X-Forwarded-For", "9.9.9.9")];
    let answer = client.request("POST", "/api/./a/../%62?q=1", &headers, "hello");
    assert_eq!((answer.status, answer.header("x-of")), (200, Some("echo")), "{answer:?}");
    let (head, body) = answer.body.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("POST /api/b?q=1 HTTP/1.1\r\n"), "in its normal form: {head}");
    assert!(head.contains(&format!("host: {gateway}\r\n")) && head.contains("x-a: 1"), "{head}");
    assert!(!head.contains("x-b") && !head.contains("connection"), "of the single connection: {head}");
    assert!(head.contains("mainstay-timeout: ") && head.contains("content-length: 5"), "{head}");
    assert_eq!(body, "hello");
    not_a_route(&client.request("GET", "/other", &[], ""), 404, "not_found");
    let answer = client.request("DELETE", "/api/x", &[], "");
    not_a_route(&answer, 405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    not_a_route(&client.request("GET", "/api/%00", &[], ""), 400, "malformed");
    let metrics = node.get("/metrics").body;
    let requests = |route, class| {
        metric(&metrics, "mainstay_gateway_requests_total", &[("route", route), ("class", class)])
    };
    assert_eq!((requests("echo", "2xx"), requests("none", "4xx")), (1.0, 3.0));
    assert_eq!(metric(&metrics, "mainstay_gateway_connections", &[]), 1.0);
}

#[track_caller]
fn not_a_route(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
}

#[test]
fn what_could_be_read_in_two_ways_reaches_no_service() {
    let echo = Echo::start();
    let (node, gateway) = start(&config(echo.0, "/{rest...}"));
    for bad in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway);
        assert_eq!(client.request("GET", "/good", &[], "").status, 200);
        client.send(bad);
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{bad:?}: {answer:?}");
        assert!(client.is_closed());
    }
    // Refused behind a request that is still being answered: that is answered first.
    let mut client = Client::connect(gateway);
    client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\nHost: a\r\n\r\n");
    assert!(client.answer(false).body.starts_with("GET /one"));
    assert_eq!(client.answer(false).status, 400);
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_gateway_refused_total", &[("reason", "host_repeated")]), 1.0);
    assert_eq!(metric(&metrics, "mainstay_gateway_refused_total", &[("reason", "bare_lf")]), 2.0);
}

#[test]
fn what_a_service_speaks_is_not_what_its_client_hears() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let mut client = Client::connect(gateway);
    for _ in 0..2 {
        client.send("GET /old HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut told = String::new();
        while !told.ends_with("\r\n0\r\n") {
            told.push_str(&client.line().expect("it is kept"));
        }
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        assert!(
            told.contains("transfer-encoding: chunked\r\n") && told.contains("until the end\r\n"),
            "{told}"
        );
        assert_eq!(client.line().expect("the end"), "\r\n");
    }
}

#[test]
fn a_connection_that_was_parked_goes_on() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let mut client = Client::connect(gateway);
    for number in 0..3 {
        let answer = client.request("GET", &format!("/{number}"), &[], "");
        assert!(answer.body.starts_with(&format!("GET /{number} ")), "{answer:?}");
        // Longer than two looks at it.
        std::thread::park_timeout(std::time::Duration::from_millis(2_200));
    }
}

#[test]
fn a_connection_that_is_switched_carries_whatever_both_sides_say() {
    let echo = Echo::start();
    let (mut node, gateway) = start(&config(echo.0, "/{rest...}"));
    let mut stream = TcpStream::connect(gateway).expect("it listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
        .expect("it reads");
    let mut answer = BufReader::new(stream.try_clone().expect("a handle"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(answer.read_line(&mut head).expect("an answer"), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo\r\n"), "{head}");
    let mut said = |expected: &str| {
        let mut bytes = vec![0; expected.len()];
        answer.read_exact(&mut bytes).expect("it is said");
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    };
    said("hi early ");
    node.write_config(&config(echo.0, "/other"));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    stream.write_all(b"GET / HTTP/1.1\n\0").expect("it reads");
    said("GET / HTTP/1.1\n\0");
}

#[test]
fn http_2_is_served_from_its_preface_on() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let stream = tokio::net::TcpStream::connect(gateway).await.expect("it listens");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        // Ends with the connection, whichever side closes it.
        tokio::task::spawn_local(async move { drop(connection.await) });
        let ask = |number: u8| {
            let mut sender = sender.clone();
            async move {
                let request = hyper::Request::post(format!("http://shop/{number}"));
                let body = Full::<bytes::Bytes>::new("hello".into());
                let answer =
                    sender.send_request(request.body(body).expect("a request")).await.expect("an answer");
                assert_eq!(answer.status(), 200);
                let told = answer.into_body().collect().await.expect("a body").to_bytes();
                String::from_utf8_lossy(&told).into_owned()
            }
        };
        let (one, two) = tokio::join!(ask(1), ask(2));
        for (number, told) in [(1, one), (2, two)] {
            assert!(told.starts_with(&format!("POST /{number} HTTP/1.1\r\n")), "{told}");
            assert!(told.contains("host: shop\r\n") && told.ends_with("\r\n\r\nhello"), "{told}");
        }
    });
}

#[test]
fn a_reload_changes_routes_under_open_connections() {
    let (one, two) = (Echo::start(), Echo::start());
    let (mut node, gateway) = start(&config(one.0, "/one"));
    let mut client = Client::connect(gateway);
    assert_eq!(client.request("GET", "/one", &[], "").status, 200);
    assert_eq!(client.request("GET", "/two", &[], "").status, 404);
    node.write_config(&config(two.0, "/two"));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(client.request("GET", "/two", &[], "").status, 200, "on the same connection");
    assert_eq!(client.request("GET", "/one", &[], "").status, 404);
    node.write_config(&config(two.0, "/two").replace("service: echo }", "service: gone }"));
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    assert!(
        refused["reason"].as_str().expect("a reason").contains("there is no service `gone`"),
        "{refused}"
    );
    assert_eq!(client.request("GET", "/two", &[], "").status, 200);
}

#[test]
fn a_service_that_is_gone_is_a_problem_that_says_so() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens");
    let (node, gateway) = start(&config(gone, "/{rest...}"));
    let answer = Client::connect(gateway).request("GET", "/", &[], "");
    not_a_route(&answer, 503, "unavailable");
    let metrics = node.get("/metrics").body;
    let retried = [("service", "echo"), ("decision", "retried")];
    assert_eq!(metric(&metrics, "mainstay_policy_decisions_total", &retried), 3.0, "four tries");
}

#[test]
fn a_stop_answers_what_has_begun_and_closes_what_is_idle() {
    let echo = Echo::start();
    let (node, gateway) = start(&config(echo.0, "/{rest...}"));
    let (mut idle, mut busy) = (Client::connect(gateway), Client::connect(gateway));
    assert_eq!(idle.request("GET", "/", &[], "").status, 200);
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    node.signal(Signal::TERM);
    assert!(idle.is_closed());
    busy.send("lo");
    let answer = busy.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn mistakes_in_services_and_routes_are_told_at_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = r#"
policies: { quick: { timeout: 1s, try_timeout: 2s } }
services:
  echo: { endpoints: [], policy: quik }
routes:
  - { name: a, match: { path: /x }, to: { service: echo } }
  - { name: b, match: { path: /x }, to: { service: ecko } }
"#;
    std::fs::write(folder.path().join("bad.yaml"), yaml).expect("a file");
    let (code, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert_eq!(code, Some(2), "{told}");
    for part in [
        "above `timeout`",
        "no `endpoints`",
        "there is no policy `quik`",
        "there is no service `ecko`",
        "neither is more specific",
        "nothing listens for their requests",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

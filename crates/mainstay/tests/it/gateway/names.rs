//! Listeners with names, and routes that are for some of them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::drain::{END_HEADERS, END_STREAM, HEADERS, block, frame, half_open, next};
use super::{Echo, gateways_of};
use crate::support::{Client, Node, run};

/// Two listeners with these names, a route for those that are named, and one for all.
fn yaml(service: SocketAddr, names: [&str; 2], listeners: &str) -> String {
    let [one, two] = names;
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0", name: {one} }}, {{ address: "127.0.0.1:0", name: {two} }}] }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {{ endpoints: ["{service}"] }} }}
routes:
  - {{ name: own, match: {{ path: "/own", listeners: {listeners} }}, to: {{ service: echo }}, cors: {{ origins: ["https://a.example"] }} }}
  - {{ name: all, match: {{ path: "/all" }}, to: {{ service: echo }} }}
"#
    )
}

fn start(yaml: &str) -> (Node, [SocketAddr; 2]) {
    let node = Node::start(yaml);
    let addresses = gateways_of(&node).try_into().expect("two listeners");
    (node, addresses)
}

fn reload(node: &mut Node, yaml: &str) {
    node.write_config(yaml);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
}

/// A connection over HTTP/2, with prior knowledge.
struct Http2 {
    sender: SendRequest<Empty<bytes::Bytes>>,
    tasks: LocalSet,
    runtime: Runtime,
}

impl Http2 {
    fn connect(gateway: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = LocalSet::new();
        let sender = tasks.block_on(&runtime, async {
            let stream = tokio::net::TcpStream::connect(gateway).await.expect("it listens");
            let begun = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (sender, connection) = begun.expect("HTTP/2");
            // Ends with the connection, whichever side closes it.
            tokio::task::spawn_local(async move { drop(connection.await) });
            sender
        });
        Self { sender, tasks, runtime }
    }

    fn status(&mut self, path: &str) -> u16 {
        let request = Request::get(format!("http://shop{path}")).body(Empty::new()).expect("a request");
        let answer = self.tasks.block_on(&self.runtime, self.sender.send_request(request));
        answer.expect("an answer").status().as_u16()
    }
}

/// A connection of each kind to a listener, which stays open.
struct Open(Client, Http2);

impl Open {
    fn connect(gateway: SocketAddr) -> Self {
        Self(Client::connect(gateway), Http2::connect(gateway))
    }

    /// What requests for `/own` and `/all` are answered, over either version.
    #[track_caller]
    fn answers(&mut self, own: u16, all: u16) {
        for (path, expected) in [("/own", own), ("/all", all)] {
            assert_eq!(self.0.request("GET", path, &[], "").status, expected, "{path} over HTTP/1.1");
            assert_eq!(self.1.status(path), expected, "{path} over HTTP/2");
        }
    }
}

#[test]
fn a_route_for_a_listener_is_not_there_on_another_and_names_change_under_open_connections() {
    let echo = Echo::start();
    let (mut node, [public, inside]) = start(&yaml(echo.0, ["public", "inside"], "[inside]"));
    let (mut of_public, mut of_inside) = (Open::connect(public), Open::connect(inside));
    of_public.answers(404, 200);
    of_inside.answers(200, 200);
    reload(&mut node, &yaml(echo.0, ["public", "inside"], "[inside]").replace("/all", "/any"));
    of_public.answers(404, 404);
    of_inside.answers(200, 404);
    reload(&mut node, &yaml(echo.0, ["public", "private"], "[private]"));
    of_public.answers(404, 200);
    of_inside.answers(200, 200);
    reload(&mut node, &yaml(echo.0, ["public", "private"], "[public]"));
    of_public.answers(200, 200);
    of_inside.answers(404, 200);
    // The first by place, and not by name any more.
    reload(&mut node, &yaml(echo.0, ["open", "other"], "[open, other]"));
    of_public.answers(200, 200);
    of_inside.answers(200, 200);
    reload(&mut node, &yaml(echo.0, ["open", "other"], "[other]").replace(", name: open", ""));
    of_public.answers(404, 200);
    of_inside.answers(200, 200);
}

#[test]
fn listeners_with_port_0_are_told_apart_by_their_names() {
    let echo = Echo::start();
    let (mut node, [public, inside]) = start(&yaml(echo.0, ["public", "inside"], "[inside]"));
    let (mut of_public, mut of_inside) = (Open::connect(public), Open::connect(inside));
    reload(&mut node, &yaml(echo.0, ["inside", "public"], "[inside]"));
    of_public.answers(404, 200);
    of_inside.answers(200, 200);
    let three = yaml(echo.0, ["new", "inside"], "[inside]")
        .replace("}] }", "}, { address: \"127.0.0.1:0\", name: public }] }");
    reload(&mut node, &three);
    of_public.answers(404, 200);
    of_inside.answers(200, 200);
    Open::connect(inside).answers(200, 200);
    Open::connect(public).answers(404, 200);
}

/// Is set when this goes out of scope, also by a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_over_is_so_after_a_panic_too() {
    let is_over = AtomicBool::new(false);
    let failed = std::panic::catch_unwind(|| {
        let _over = SetOnDrop(&is_over);
        std::panic::resume_unwind(Box::new("a failure between"));
    });
    assert!(failed.is_err() && is_over.load(Ordering::Relaxed));
}

#[test]
fn names_and_routes_change_in_one_step() {
    let echo = Echo::start();
    let versions =
        [yaml(echo.0, ["a", "b"], "[b]"), yaml(echo.0, ["b", "c"], "[c]"), yaml(echo.0, ["c", "a"], "[a]")];
    // At another address, so that a name moves from one listener to the other.
    let versions = versions.map(|yaml| yaml.replacen("127.0.0.1:0", "127.0.0.2:0", 1));
    let (mut node, [public, inside]) = start(&versions[0]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ask = |gateway: SocketAddr, expected: u16| {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut client = Client::connect(gateway);
                let mut asked = 0_u32;
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.request("GET", "/own", &[], "");
                    assert_eq!(answer.status, expected, "{answer:?}");
                    asked += 1;
                }
                asked
            })
        };
        let clients = [ask(public, 404), ask(public, 404), ask(inside, 200), ask(inside, 200)];
        // Otherwise a reload that fails leaves them asking, and the scope waits for them.
        let over = SetOnDrop(&is_over);
        for number in 1..=12 {
            reload(&mut node, &versions[number % 3]);
        }
        drop(over);
        for client in clients {
            assert!(client.join().expect("each was answered alike") > 0);
        }
    });
}

#[test]
fn a_listener_that_goes_is_called_nothing_while_its_connections_drain() {
    /// `:status` as one byte, by its place in the static table (RFC 7541, appendix A).
    const OK: u8 = 0x88;
    const NOT_FOUND: u8 = 0x8d;
    let echo = Echo::start();
    let at = |inside: &str| {
        yaml(echo.0, ["public", "inside"], "[inside]").replacen(
            "127.0.0.1:0\", name: inside",
            &format!("{inside}:0\", name: inside"),
            1,
        )
    };
    let (mut node, [_, inside]) = start(&at("127.0.0.2"));
    // It stays, since its body is on its way, and as it does not say that it has heard of the end, streams may begin.
    let mut client = half_open(inside, "/all");
    let mut answered = |stream: u32, path: &str| {
        let get = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "shop"), (":path", path)]);
        client.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get)).expect("it reads");
        loop {
            let (kind, _, payload) = next(&mut client).expect("an answer");
            if kind == HEADERS {
                return payload[0];
            }
        }
    };
    assert_eq!(answered(3, "/own"), OK, "it is called so");
    // Another listener has the name from here on.
    reload(&mut node, &at("127.0.0.3"));
    assert_eq!(answered(5, "/own"), NOT_FOUND, "it is the other one that is called so");
    assert_eq!(answered(7, "/all"), OK, "it is still served");
}

#[test]
fn a_preflight_goes_by_the_listener_too() {
    let echo = Echo::start();
    let (_node, [public, inside]) = start(&yaml(echo.0, ["public", "inside"], "[inside]"));
    let headers = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    let preflight = |gateway| Client::connect(gateway).request("OPTIONS", "/own", &headers, "");
    let allowed = preflight(inside);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://a.example"), "{allowed:?}");
    let hidden = preflight(public);
    assert_eq!(
        (hidden.status, hidden.header("access-control-allow-origin"), hidden.header("allow")),
        (404, None, None)
    );
}

#[test]
fn names_that_are_not_there_are_told_at_their_places() {
    let echo = Echo::start();
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = yaml(echo.0, ["inside", "inside"], "[outside]")
        .replace("endpoints: [", "run: { command: [x], gateway: out }, endpoints: [");
    std::fs::write(folder.path().join("bad.yaml"), wrong).expect("a file");
    let (code, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert_eq!(code, Some(2), "{told}");
    for part in [
        "listen.gateway[1].name: `inside` is the name of two listeners",
        "routes[0].match.listeners[0]: there is no listener `outside`",
        "services.echo.run.gateway: there is no listener `out`",
        "`listen.gateway` has inside",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let wrong = yaml(echo.0, ["In", "out"], "[out]");
    std::fs::write(folder.path().join("bad.yaml"), wrong).expect("a file");
    let (_, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert!(told.contains("listen.gateway[0].name") && told.contains("is not a name"), "{told}");
}

#[test]
fn a_route_of_the_api_names_listeners_that_there_are_and_keeps_their_names() {
    let echo = Echo::start();
    let written = yaml(echo.0, ["public", "inside"], "[inside]");
    let (mut node, [public, inside]) = start(&written);
    let put = |node: &Node, listener: &str| {
        let body =
            json!({ "match": { "path": "/api", "listeners": [listener] }, "to": { "service": "echo" } });
        let json = [("Content-Type", "application/json")];
        node.connect().request("PUT", "/v1/routes/api", &json, &body.to_string())
    };
    let told = put(&node, "outside").problem(422, "invalid");
    assert_eq!(told["pointer"], "/match/listeners/0", "{told}");
    assert!(told["detail"].as_str().is_some_and(|it| it.contains("has inside, public")), "{told}");
    assert_eq!(put(&node, "inside").status, 201);
    let status = |gateway| Client::connect(gateway).request("GET", "/api", &[], "").status;
    assert_eq!((status(inside), status(public)), (200, 404));
    node.write_config(&yaml(echo.0, ["public", "private"], "[private]"));
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    let reason = refused["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("route \"api\" of the API") && reason.contains("no listener `inside`"),
        "{reason}"
    );
    assert_eq!((status(inside), status(public)), (200, 404));
    let explained = |listener: &str| {
        let (code, told) =
            run(node.folder(), &["routes", "test", "GET", "/api", "--live", "--listener", listener]);
        (code, told)
    };
    let (code, told) = explained("public");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("api: the listener is public, not inside"), "{told}");
    // Without a listener, in what is in force and in what the file says.
    let without = ["routes", "test", "GET", "/own"];
    for (more, outcomes) in [
        (&["--live"][..], "by inside the route own, by public 404"),
        (&[], "by private the route own, by public 404"),
    ] {
        let (code, told) = run(node.folder(), &[&without, more].concat());
        assert!(code == Some(1) && told.contains(outcomes) && told.contains("`--listener`"), "{told}");
    }
    let (code, told) = explained("inside");
    assert!(code == Some(0) && told.contains("api takes it"), "{told}");
    let (code, told) = explained("outside");
    assert!(code == Some(1) && told.contains("`listen.gateway` has inside, public"), "{told}");
    let json = [("Content-Type", "application/json")];
    let asked = json!({ "method": "GET", "url": "/api" }).to_string();
    let told = node.connect().request("POST", "/v1/matches", &json, &asked).problem(422, "invalid");
    let detail = told["detail"].as_str().expect("it is told");
    assert!(detail.contains("by inside the route api, by public 404"), "{told}");
    let asked = json!({ "method": "GET", "url": "/api", "listener": "inside" }).to_string();
    let told = node.connect().request("POST", "/v1/matches", &json, &asked).json();
    assert_eq!((&told["route"]["name"], &told["listener"]), (&json!("api"), &json!("inside")), "{told}");
}

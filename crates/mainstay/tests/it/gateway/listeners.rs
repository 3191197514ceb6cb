//! How connections begin: TLS, the PROXY protocol, limits; and listeners that come and go.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use super::{Echo, gateways_of};
use crate::certs;
use crate::support::{Client, Node, metric, run};

/// A node in a folder that has certificates for the machine.
fn start(folder: tempfile::TempDir, yaml: &str) -> (Node, Vec<SocketAddr>) {
    let node = Node::start_in(folder, yaml);
    let addresses = gateways_of(&node);
    (node, addresses)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, told) = run(folder.path(), &["certs", "dev", "localhost", "shop.localhost"]);
    assert_eq!(code, Some(0), "{told}");
    folder
}

/// One listener with what is said of it besides its address, and one service for everything.
fn config(service: SocketAddr, listener: &str, gateway: &str) -> String {
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0", {listener} }}] }}
gateway: {{ {gateway} }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {{ endpoints: ["{service}"] }} }}
routes: [{{ name: all, to: {{ service: echo }} }}]
"#
    )
}

const TLS: &str = "tls: { certificates: [{ cert: certs/dev.pem, key: \"${file:certs/dev.key}\" }] }";

fn secure(address: SocketAddr, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("shop.localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("it is right");
    StreamOwned::new(session, TcpStream::connect(address).expect("it listens"))
}

fn serial(stream: &StreamOwned<ClientConnection, TcpStream>) -> Vec<u8> {
    stream.conn.peer_certificates().expect("it has shown one")[0].to_vec()
}

/// How many connections were refused for this reason, once one was: it is counted after the connection is closed.
fn refused(node: &Node, reason: &str) -> f64 {
    loop {
        let metrics = node.get("/metrics").body;
        if metrics.contains(&format!("reason=\"{reason}\"")) {
            return metric(&metrics, "mainstay_gateway_refused_total", &[("reason", reason)]);
        }
    }
}

fn reload(node: &mut Node, yaml: &str) {
    node.write_config(yaml);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
}

#[test]
fn tls_is_served_and_its_certificate_changes_under_open_connections() {
    let (echo, folder) = (Echo::start(), folder());
    let trusting = certs::client(folder.path(), &TLS13, None);
    let (mut node, addresses) = start(folder, &config(echo.0, TLS, ""));
    let mut stream = secure(addresses[0], &trusting);
    stream.flush().expect("a handshake");
    let before = serial(&stream);
    let mut old = Client::over(stream, addresses[0]);
    let forged = [("X-Forwarded-Proto", "ftp"), ("X-Forwarded-Client-Cert", "Hash=1")];
    let told = old.request("GET", "/", &forged, "").body;
    assert!(told.contains("x-forwarded-proto: https\r\n") && told.contains("x-forwarded-for: 127.0.0.1\r\n"));
    assert!(!told.contains("x-forwarded-client-cert"), "{told}");
    assert!(told.contains(&format!("x-forwarded-host: {}\r\n", addresses[0])), "{told}");
    assert!(told.contains("via: 1.1 mainstay\r\n"), "{told}");
    let (code, told) = run(node.folder(), &["certs", "dev", "localhost", "shop.localhost"]);
    assert_eq!(code, Some(0), "{told}");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(old.request("GET", "/", &[], "").status, 200, "it goes on");
    let mut stream = secure(addresses[0], &certs::client(node.folder(), &TLS13, None));
    stream.flush().expect("a handshake");
    assert_ne!(serial(&stream), before, "the new one");
    // Who has been there goes on with a ticket from before, and is shown nothing.
    let mut stream = secure(addresses[0], &trusting);
    stream.flush().expect("a handshake");
    assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    // In the clear nothing is answered.
    let mut plain = Client::connect(addresses[0]);
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    plain.read_to_end();
    assert_eq!(refused(&node, "tls_handshake"), 1.0);
}

#[test]
fn a_request_that_comes_with_the_end_of_the_handshake_is_answered() {
    let (echo, folder) = (Echo::start(), folder());
    let trusting = certs::client(folder.path(), &TLS13, None);
    let (_node, addresses) = start(folder, &config(echo.0, TLS, ""));
    let mut stream = secure(addresses[0], &trusting);
    // Before the handshake it waits in the session, and is sent behind its last message.
    stream.conn.writer().write_all(b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is kept");
    let answer = Client::over(stream, addresses[0]).answer(false);
    assert!(answer.body.starts_with("GET /early "), "{answer:?}");
}

#[test]
fn services_are_told_a_clients_certificate() {
    let (echo, folder) = (Echo::start(), folder());
    let pair = |folder: &Path| (folder.join("certs/dev.pem"), folder.join("certs/dev.key"));
    let (cert, key) = pair(folder.path());
    let known = certs::client(folder.path(), &TLS13, Some((&cert, &key)));
    let unknown = certs::client(folder.path(), &TLS13, None);
    let asking = TLS.replace("tls: {", "tls: { client_auth: require, client_ca: certs/ca.pem,");
    let (_node, addresses) = start(folder, &config(echo.0, &asking, ""));
    let told = Client::over(secure(addresses[0], &known), addresses[0]).request("GET", "/", &[], "").body;
    let line = told.lines().find(|line| line.starts_with("x-forwarded-client-cert: Hash="));
    assert!(line.expect(&told).ends_with(";DNS=localhost;DNS=shop.localhost"), "{told}");
    let mut stranger = Client::over(secure(addresses[0], &unknown), addresses[0]);
    assert!(stranger.try_request("GET", "/", &[], "").is_err());
}

#[test]
fn certificates_that_cannot_be_served_are_told_at_their_places() {
    let (echo, folder) = (Echo::start(), folder());
    let yaml = config(echo.0, &TLS.replace("dev.key", "ca.pem"), "");
    std::fs::write(folder.path().join("mainstay.yaml"), yaml).expect("a file");
    let (code, told) = run(folder.path(), &["check"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("listen.gateway.0.tls.certificates.0.key") || told.contains("certificates[0].key"),
        "{told}"
    );
    assert!(told.contains("holds a certificate and no key"), "{told}");
}

#[test]
fn listeners_come_and_go_at_a_reload() {
    let echo = Echo::start();
    let ports: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let [one, two] = [0, 1].map(|at| ports[at].local_addr().expect("it listens"));
    drop(ports);
    let on = |addresses: &[SocketAddr]| {
        let listeners: Vec<_> = addresses.iter().map(|it| format!("{{ address: \"{it}\" }}")).collect();
        config(echo.0, "", "").replace("{ address: \"127.0.0.1:0\",  }", &listeners.join(", "))
    };
    let (mut node, _) = start(tempfile::tempdir().expect("a folder"), &on(&[one]));
    let (mut idle, mut busy) = (Client::connect(one), Client::connect(one));
    assert_eq!(idle.request("GET", "/", &[], "").status, 200);
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    reload(&mut node, &on(&[one, two]));
    assert_eq!(Client::connect(two).request("GET", "/", &[], "").status, 200, "it has come");
    assert_eq!(idle.request("GET", "/", &[], "").status, 200, "it stays");
    reload(&mut node, &on(&[two]));
    assert!(idle.is_closed(), "it has gone");
    busy.send("lo");
    let answer = busy.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    while TcpStream::connect(one).is_ok() {}
    let taken = TcpListener::bind(one).expect("it is free");
    node.write_config(&on(&[one, two]));
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    assert!(refused["reason"].as_str().expect("a reason").contains("cannot listen on"), "{refused}");
    drop(taken);
    assert_eq!(Client::connect(two).request("GET", "/", &[], "").status, 200);
}

#[test]
fn a_port_in_use_is_told_and_nothing_else() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it listens");
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("listen: {{ gateway: [{{ address: \"{address}\" }}] }}");
    std::fs::write(folder.path().join("mainstay.yaml"), yaml).expect("a file");
    let output = Node::command(folder.path()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("cannot listen on {address} for the gateway")), "{told}");
    assert!(!told.contains("unfinished"), "{told}");
}

#[test]
fn the_proxy_protocol_says_whom_a_connection_is_from() {
    let echo = Echo::start();
    let speaking = |from: &str| config(echo.0, &format!("proxy_protocol: {{ from: [\"{from}\"] }}"), "");
    let (node, addresses) = start(tempfile::tempdir().expect("a folder"), &speaking("127.0.0.1"));
    let header = |client: [u8; 4]| {
        let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c";
        [&fixed[..], &client, &[10, 0, 0, 1, 0x30, 0x39, 0, 80]].concat()
    };
    let mut stream = TcpStream::connect(addresses[0]).expect("it listens");
    stream.write_all(&header([192, 0, 2, 7])).expect("it reads");
    let told = Client::of(stream).request("GET", "/", &[("X-Forwarded-For", "9.9.9.9")], "").body;
    assert!(told.contains("x-forwarded-for: 192.0.2.7\r\n"), "{told}");
    let mut silent = Client::connect(addresses[0]);
    silent.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    silent.read_to_end();
    assert_eq!(refused(&node, "proxy_protocol"), 1.0);
    let (_node, addresses) = start(tempfile::tempdir().expect("a folder"), &speaking("192.0.2.0/24"));
    let mut stranger = Client::connect(addresses[0]);
    assert!(stranger.try_request("GET", "/", &[], "").is_err());
}

#[test]
fn believed_proxies_say_who_the_client_is() {
    let echo = Echo::start();
    let condition = "client.address == '192.0.2.7' && request.scheme == 'https'";
    let yaml = config(echo.0, "", "forwarded: { trusted: [127.0.0.0/8] }")
        .replace("name: all,", &format!("name: inside, match: {{ when: \"{condition}\" }},"));
    let (_node, addresses) = start(tempfile::tempdir().expect("a folder"), &yaml);
    let mut client = Client::connect(addresses[0]);
    let headers = [("X-Forwarded-For", "9.9.9.9, 192.0.2.7"), ("X-Forwarded-Proto", "https")];
    let answer = client.request("GET", "/", &headers, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("x-forwarded-for: 192.0.2.7, 127.0.0.1\r\n"), "{answer:?}");
    assert!(answer.body.contains("x-forwarded-proto: https\r\n"), "{answer:?}");
    assert_eq!(client.request("GET", "/", &[], "").status, 404);
}

#[test]
fn no_more_connections_are_open_than_may_be() {
    let echo = Echo::start();
    let yaml = config(echo.0, "", "connections: { max: 2 }");
    let (node, addresses) = start(tempfile::tempdir().expect("a folder"), &yaml);
    let mut open: Vec<_> = (0..2).map(|_| Client::connect(addresses[0])).collect();
    open.iter_mut().for_each(|client| assert_eq!(client.request("GET", "/", &[], "").status, 200));
    let mut third = Client::connect(addresses[0]);
    let answer = third.answer(false);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("overloaded")), "{answer:?}");
    assert!(answer.header("retry-after").is_some() && third.is_closed());
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_gateway_refused_total", &[("reason", "connections")]), 1.0);
    open.pop();
    let mut answer = third;
    while answer.try_request("GET", "/", &[], "").is_err() {
        answer = Client::connect(addresses[0]);
    }
    let yaml = config(echo.0, "", "connections: { per_source: 1 }");
    let (_node, addresses) = start(tempfile::tempdir().expect("a folder"), &yaml);
    let mut first = Client::connect(addresses[0]);
    assert_eq!(first.request("GET", "/", &[], "").status, 200);
    assert!(Client::connect(addresses[0]).try_request("GET", "/", &[], "").is_err());
}

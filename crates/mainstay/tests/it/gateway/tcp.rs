//! Connections that are passed on as they are: where they go, how they end, and what is told of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::certs;
use crate::support::{Node, metric, run};

/// A service that serves each connection by this, until the test ends.
fn service(serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // How a connection ends is its client's to see.
            std::thread::Builder::new().spawn(move || drop(serve(stream))).expect("a thread");
        }
    };
    std::thread::Builder::new().spawn(accept).expect("a thread");
    address
}

/// One that says its name, then what it is sent until that ends, and then that it ends as well.
fn named(name: &'static str) -> SocketAddr {
    service(move |mut stream| {
        write!(stream, "{name}: ")?;
        let mut reader = stream.try_clone()?;
        std::io::copy(&mut reader, &mut stream)?;
        stream.write_all(b" bye")
    })
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens")
}

/// A node with listeners for connections that are passed on, and where they are.
fn start(yaml: &str) -> (Node, Vec<SocketAddr>) {
    start_in(tempfile::tempdir().expect("a folder"), yaml)
}

fn start_in(folder: tempfile::TempDir, yaml: &str) -> (Node, Vec<SocketAddr>) {
    let node = Node::start_in(folder, yaml);
    let told = node.ready["tcp"].as_str().expect("it is told").trim_matches(['[', ']']);
    let addresses = told.split(", ").map(|address| address.parse().expect("an address")).collect();
    (node, addresses)
}

/// One listener with what is said of it besides its address, and services by name.
fn config(listener: &str, services: &[(&str, SocketAddr)]) -> String {
    at("127.0.0.1:0".parse().expect("an address"), listener, services)
}

fn at(address: SocketAddr, listener: &str, services: &[(&str, SocketAddr)]) -> String {
    let service = |(name, address): &(&str, SocketAddr)| format!("{name}: {{ endpoints: [\"{address}\"] }}");
    let services: Vec<_> = services.iter().map(service).collect();
    format!(
        r#"
listen: {{ tcp: [{{ address: "{address}", {listener} }}] }}
gateway: {{ access_log: {{ sample: 1 }} }}
shutdown: {{ linger: 100ms }}
services: {{ {} }}
"#,
        services.join(", ")
    )
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    stream
}

/// What comes until the connection ends in order.
#[track_caller]
fn rest(mut stream: impl Read) -> String {
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it ends in order");
    told
}

/// Reads so many bytes.
#[track_caller]
fn next(stream: &mut impl Read, bytes: usize) -> String {
    let mut told = vec![0; bytes];
    stream.read_exact(&mut told).expect("it is said");
    String::from_utf8(told).expect("text")
}

/// What a service says to this, which is all that a client says.
#[track_caller]
fn told(address: SocketAddr, said: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(said.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("it is open");
    rest(stream)
}

/// Waits until this has been counted so often: it is after a connection is closed.
fn counted(node: &Node, name: &str, (label, value): (&str, &str), times: f64) {
    loop {
        let metrics = node.get("/metrics").body;
        let is_there = |line: &str| line.starts_with(name) && line.contains(&format!("{label}=\"{value}\""));
        if metrics.lines().any(is_there) && metric(&metrics, name, &[(label, value)]) >= times {
            return assert_eq!(metric(&metrics, name, &[(label, value)]), times, "{name} {value}");
        }
    }
}

fn refused(node: &Node, reason: &str, times: f64) {
    counted(node, "mainstay_gateway_refused_total", ("reason", reason), times);
}

fn ended(node: &Node, result: &str, times: f64) {
    counted(node, "mainstay_gateway_tcp_connections_total", ("result", result), times);
}

fn reload(node: &mut Node, yaml: &str) {
    node.write_config(yaml);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
}

#[test]
fn bytes_go_both_ways_and_each_side_ends_by_itself() {
    let echo = named("echo");
    let (mut node, addresses) = start(&config("service: echo", &[("echo", echo)]));
    let mut client = connect(addresses[0]);
    assert_eq!(next(&mut client, 6), "echo: ", "the service speaks first");
    let mut reader = client.try_clone().expect("a handle");
    let reads = std::thread::Builder::new().spawn(move || {
        let mut told = Vec::new();
        reader.read_to_end(&mut told).expect("it ends in order");
        told
    });
    let said: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    client.write_all(&said).expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is open");
    let heard = reads.expect("a thread").join().expect("it reads");
    assert!(heard.strip_suffix(b" bye").expect("its last words") == said, "byte for byte");
    ended(&node, "over", 1.0);
    let line = node.wait_for("connection");
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    assert_eq!((text("service"), text("result")), (Some("echo".into()), Some("over".into())), "{line}");
    assert_eq!(text("endpoint"), Some(echo.to_string()), "{line}");
    assert_eq!(text("listener"), Some(addresses[0].to_string()), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&3_000_000.into(), &3_000_010.into()), "{line}");
    let metrics = node.get("/metrics").body;
    let listener = addresses[0].to_string();
    let bytes = |direction| {
        let labels = [("listener", listener.as_str()), ("direction", direction)];
        metric(&metrics, "mainstay_gateway_tcp_bytes_total", &labels)
    };
    assert_eq!((bytes("in"), bytes("out")), (3e6, 3_000_010.0));
    for state in ["beginning", "relaying"] {
        assert_eq!(metric(&metrics, "mainstay_gateway_tcp_connections", &[("state", state)]), 0.0, "{state}");
    }
    assert_eq!(metric(&metrics, "mainstay_gateway_tcp_duration_seconds_count", &[]), 1.0);
}

#[test]
fn an_endpoint_that_is_gone_costs_no_client_its_connection() {
    let echo = named("echo");
    let yaml = config("service: echo", &[("echo", echo)]).replace(
        &format!("[\"{echo}\"]"),
        &format!("[\"{}\", \"{echo}\", \"{}\"], balance: round_robin", nobody(), nobody()),
    );
    let (node, addresses) = start(&yaml);
    for _ in 0..20 {
        assert_eq!(told(addresses[0], "hello"), "echo: hello bye");
    }
    ended(&node, "over", 20.0);
    let shown = node.get("/v1/services/echo").json()["endpoints"].clone();
    let of = |state: &str| shown.as_array().expect("a list").iter().filter(|it| it["state"] == state).count();
    assert_eq!((of("healthy"), of("unreachable")), (1, 2), "{shown}");
}

#[test]
fn a_service_of_which_nobody_is_there_closes_connections_and_is_told() {
    let (mut node, addresses) = start(&config("service: gone", &[("gone", nobody())]));
    assert_eq!(rest(connect(addresses[0])), "");
    refused(&node, "unreachable", 1.0);
    ended(&node, "unreachable", 1.0);
    let line = node.wait_for("connection");
    let error = line["error"].as_str().expect("a reason");
    assert!(error.contains("cannot connect to") && line["service"] == "gone", "{line}");
}

/// A folder with certificates for the machine and for names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["db.example.com", "web.example.com", "a.b.example.com", "127.0.0.1"];
    let (code, told) = run(folder.path(), &[&["certs", "dev"], &names[..]].concat());
    assert_eq!(code, Some(0), "{told}");
    folder
}

/// A service that speaks TLS, and says its name and the name that it is asked for.
fn secret(folder: &Path, name: &'static str) -> SocketAddr {
    let cert = CertificateDer::from_pem_file(folder.join("certs/dev.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("certs/dev.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("there are suites")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("they fit");
    let config = Arc::new(config);
    service(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("it is right");
        let mut stream = StreamOwned::new(session, stream);
        stream.read_exact(&mut [0])?;
        let asked = stream.conn.server_name().unwrap_or("nobody").to_owned();
        write!(stream, "{name} as {asked}")?;
        stream.conn.send_close_notify();
        stream.flush()
    })
}

/// What a service says that is asked for by this name, or by an address.
fn asked(address: SocketAddr, trusting: &Arc<ClientConfig>, name: &str) -> std::io::Result<String> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(Arc::clone(trusting), name).expect("it is right");
    let mut stream = StreamOwned::new(session, connect(address));
    stream.write_all(b"?")?;
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    Ok(told)
}

#[test]
fn tls_is_passed_on_to_the_service_of_the_name_that_it_asks_for() {
    let folder = folder();
    let clients = [&TLS13, &TLS12].map(|version| certs::client(folder.path(), version, None));
    let services = ["db", "any", "rest"].map(|name| (name, secret(folder.path(), name)));
    let sni = r#"sni: { "DB.example.com": db, "*.example.com": any }"#;
    let (node, addresses) = start(&config(sni, &services));
    for client in &clients {
        let told = |name: &str| asked(addresses[0], client, name);
        assert_eq!(told("db.example.com").expect("it is there"), "db as db.example.com");
        assert_eq!(told("DB.EXAMPLE.com").expect("it is there"), "db as db.example.com");
        assert_eq!(told("web.example.com").expect("it is there"), "any as web.example.com");
        for nobodys in ["a.b.example.com", "example.com", "127.0.0.1"] {
            let error = told(nobodys).expect_err("nobody has it").to_string();
            assert!(error.contains("UnrecognisedName"), "{error}");
        }
    }
    refused(&node, "server_name", 6.0);
    let (_node, addresses) = start(&config(&format!("{sni}, service: rest"), &services));
    let told = |name: &str| asked(addresses[0], &clients[0], name).expect("it is there");
    assert_eq!(told("db.example.com"), "db as db.example.com");
    assert_eq!(told("a.b.example.com"), "rest as a.b.example.com");
    assert_eq!(told("127.0.0.1"), "rest as nobody");
}

#[test]
fn who_speaks_no_tls_where_names_are_told_apart_is_closed() {
    let folder = folder();
    let services = [("db", secret(folder.path(), "db"))];
    let (node, addresses) = start(&config("sni: { db.example.com: db }, service: db", &services));
    let mut client = connect(addresses[0]);
    client.write_all(b"GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n").expect("it reads");
    let mut told = Vec::new();
    // It is told by TLS, and may be cut off.
    let _ = client.read_to_end(&mut told);
    assert!(told.first().is_none_or(|kind| *kind == 21), "{told:?}");
    let early = connect(addresses[0]);
    early.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(early), "");
    refused(&node, "client_hello", 2.0);
}

#[test]
fn tls_is_ended_where_the_listener_has_certificates() {
    let folder = folder();
    let trusting = |protocols: &[&[u8]]| {
        let mut config = ClientConfig::clone(&certs::client(folder.path(), &TLS13, None));
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Arc::new(config)
    };
    let clients = [trusting(&[]), trusting(&[b"postgresql"]), trusting(&[b"h2"])];
    let tls = r#"tls: { certificates: [{ cert: certs/dev.pem, key: "${file:certs/dev.key}" }] }"#;
    let listener = format!("{tls}, sni: {{ db.example.com: db }}, service: rest");
    let services = [("db", named("db")), ("rest", named("rest"))];
    let (_node, addresses) = start_in(folder, &config(&listener, &services));
    for client in &clients {
        for (name, service) in [("db.example.com", "db"), ("web.example.com", "rest"), ("127.0.0.1", "rest")]
        {
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            let session = ClientConnection::new(Arc::clone(client), name).expect("it is right");
            let mut stream = StreamOwned::new(session, connect(addresses[0]));
            stream.write_all(b"hello").expect("it reads");
            assert_eq!(stream.conn.alpn_protocol(), None, "the service has not said what it speaks");
            // Its own end, behind which it still hears.
            stream.conn.send_close_notify();
            stream.flush().expect("it reads");
            assert_eq!(rest(stream), format!("{service}: hello bye"));
        }
    }
}

#[test]
fn a_reload_moves_new_connections_and_leaves_open_ones_alone() {
    let services = [("one", named("one")), ("two", named("two"))];
    let address = nobody();
    let (mut node, _) = start(&at(address, "service: one", &services));
    let mut old = connect(address);
    assert_eq!(next(&mut old, 5), "one: ");
    reload(&mut node, &at(address, "service: two", &services[1..]));
    old.write_all(b"still here").expect("it is open");
    assert_eq!(next(&mut old, 10), "still here", "its service is defined no more, and it goes on");
    assert_eq!(told(address, "hello"), "two: hello bye");
    node.write_config(&at(address, "service: gone", &services));
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    let reason = refused["reason"].as_str().expect("a reason");
    assert!(reason.contains("there is no service `gone`"), "{refused}");
    assert_eq!(told(address, "hello"), "two: hello bye");
    let moved =
        format!("listen: {{ gateway: [{{ address: \"{address}\" }}] }}\nshutdown: {{ linger: 100ms }}");
    reload(&mut node, &moved);
    let mut client = crate::support::Client::connect(address);
    assert_eq!(client.request("GET", "/", &[], "").status, 404, "it speaks HTTP now, and was never closed");
    old.write_all(b"still here").expect("it is open");
    assert_eq!(next(&mut old, 10), "still here");
    reload(&mut node, "shutdown: { linger: 100ms }");
    assert_eq!(rest(old), "", "its listener is gone, and it was quiet");
    ended(&node, "stopped", 1.0);
    while TcpStream::connect(address).is_ok() {}
}

#[test]
fn a_stop_ends_quiet_connections_and_lets_others_finish() {
    let echo = named("echo");
    // So long that whoever is busy is seen to be.
    let yaml = config("service: echo", &[("echo", echo)]).replace("linger: 100ms", "linger: 2s");
    let (node, addresses) = start(&yaml);
    let [mut quiet, mut busy] = [connect(addresses[0]), connect(addresses[0])];
    assert_eq!((next(&mut quiet, 6), next(&mut busy, 6)), ("echo: ".into(), "echo: ".into()));
    node.signal(Signal::TERM);
    busy.write_all(b"hello").expect("it is open");
    busy.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(busy), "hello bye");
    assert_eq!(rest(quiet), "");
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(r#""result":"stopped""#), "{log}");
}

/// One that says so much that nobody on the way has room for it, where its client takes nothing.
fn pouring() -> SocketAddr {
    service(|mut stream| {
        let bytes = [7; 64 << 10];
        loop {
            stream.write_all(&bytes)?;
        }
    })
}

/// Reads to the end, which is none in order.
#[track_caller]
fn broken_off(mut stream: TcpStream) {
    let error = std::io::copy(&mut stream, &mut std::io::sink()).expect_err("it was not all");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_stop_in_the_middle_of_something_is_no_end_in_order() {
    let yaml = config("service: pours", &[("pours", pouring())]);
    let (node, addresses) = start(&yaml);
    let mut busy = connect(addresses[0]);
    next(&mut busy, 1);
    node.signal(Signal::TERM);
    // It ends as one that is quiet: its client takes nothing in the meantime.
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(r#""result":"stopped""#), "{log}");
    broken_off(busy);
}

#[test]
fn a_connection_that_is_cut_off_is_no_end_in_order() {
    let echo = named("echo");
    // The drain is over before the connection was quiet for long enough.
    let short = "drain: 200ms, linger: 100ms";
    let yaml = config("service: echo", &[("echo", echo)]).replace("linger: 100ms", short);
    let (node, addresses) = start(&yaml);
    let mut client = connect(addresses[0]);
    assert_eq!(next(&mut client, 6), "echo: ");
    node.signal(Signal::TERM);
    let (_, log, _folder) = node.ended();
    assert!(log.contains(r#""result":"cut_off""#), "{log}");
    broken_off(client);
}

#[test]
fn a_stop_waits_for_no_connection_that_is_being_made() {
    let (accepted, is_accepted) = std::sync::mpsc::sync_channel(1);
    let silent = service(move |mut stream| {
        accepted.send(()).expect("the test waits for it");
        // No word of TLS comes back.
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let slow = format!("[\"{silent}\"], tls: true, connect_timeout: 60s");
    let yaml = config("service: silent", &[("silent", silent)]).replace(&format!("[\"{silent}\"]"), &slow);
    let (node, addresses) = start(&yaml);
    let client = connect(addresses[0]);
    is_accepted.recv().expect("it is connected to");
    node.signal(Signal::TERM);
    assert_eq!(rest(client), "");
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(r#""result":"stopped""#), "{log}");
}

#[test]
fn no_more_connections_are_open_than_may_be_of_a_listener_and_of_a_source() {
    let echo = named("echo");
    for (limit, reason) in [("max: 1", "connections"), ("per_source: 1", "source_connections")] {
        let yaml = config(&format!("service: echo, connections: {{ {limit} }}"), &[("echo", echo)]);
        let (mut node, addresses) = start(&yaml);
        let mut first = connect(addresses[0]);
        assert_eq!(next(&mut first, 6), "echo: ");
        // What is open counts on.
        reload(&mut node, &yaml.replace("linger: 100ms", "linger: 101ms"));
        assert_eq!(rest(connect(addresses[0])), "");
        refused(&node, reason, 1.0);
        ended(&node, reason, 1.0);
        first.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(rest(first), " bye");
        // It counts until the node has seen its end too.
        let is_taken = || connect(addresses[0]).read(&mut [0]).is_ok_and(|read| read > 0);
        while !is_taken() {}
    }
}

#[test]
fn a_connection_on_which_nothing_moves_ends() {
    let echo = named("echo");
    let (node, addresses) = start(&config("service: echo, idle_timeout: 1s", &[("echo", echo)]));
    assert_eq!(rest(connect(addresses[0])), "echo: ");
    ended(&node, "idle", 1.0);
}

#[test]
fn a_connection_that_breaks_off_on_one_side_does_not_end_in_order_on_the_other() {
    let breaks = service(|mut stream| {
        stream.write_all(b"part of it")?;
        // What is closed with bytes unread is reset.
        stream.peek(&mut [0]).map(drop)
    });
    let (mut node, addresses) = start(&config("service: breaks", &[("breaks", breaks)]));
    let mut client = connect(addresses[0]);
    assert_eq!(next(&mut client, 10), "part of it");
    client.write_all(b"x").expect("it is open");
    let error = client.read(&mut [0]).expect_err("it is no end in order");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    ended(&node, "service_lost", 1.0);
    let line: Value = node.wait_for("connection");
    assert!(line["error"].as_str().is_some_and(|it| it.contains("reset")), "{line}");
}

/// A service that says how the first 28 bytes that it is sent are written, and then what follows them.
fn introduced() -> SocketAddr {
    service(|mut stream| {
        let mut header = [0; 28];
        stream.read_exact(&mut header)?;
        assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
        let ip = |at: usize| std::net::Ipv4Addr::from([0, 1, 2, 3].map(|n| header[at + n]));
        let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        write!(stream, "from {}:{} to {}:{} ", ip(16), port(24), ip(20), port(26))?;
        std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
    })
}

#[test]
fn services_are_told_whom_a_connection_is_from() {
    let services = [("told", introduced())];
    let (_node, addresses) = start(&config("service: told, send_proxy_protocol: true", &services));
    let mut client = connect(addresses[0]);
    let from = client.local_addr().expect("it is connected");
    client.write_all(b"hello").expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(client), format!("from {from} to {} hello", addresses[0]));
    let both = "service: told, send_proxy_protocol: true, proxy_protocol: { from: [127.0.0.1] }";
    let (node, addresses) = start(&config(both, &services));
    let mut client = connect(addresses[0]);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x15\x38hello";
    client.write_all(header).expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(client), "from 192.0.2.7:12345 to 10.0.0.1:5432 hello", "as the balancer has said it");
    assert_eq!(rest(connect_and_say(addresses[0], b"GET / HTTP/1.1\r\n")), "");
    refused(&node, "proxy_protocol", 1.0);
}

/// A connection whose client has said this, and reads to an end that is one in order.
fn connect_and_say(address: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(said).expect("it reads");
    stream
}

#[test]
fn a_service_that_a_listener_names_stays() {
    let echo = named("echo");
    let (node, addresses) = start(&config("service: echo", &[("echo", echo)]));
    let node = node.serving();
    let refused = node.connect().request("DELETE", "/v1/services/echo", &[], "");
    refused.problem(409, "owned_by_file");
    assert_eq!(told(addresses[0], ""), "echo:  bye");
}

#[test]
fn mistakes_in_listeners_are_told_at_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = r#"
listen:
  api: 127.0.0.1:7070
  gateway: [{ address: 127.0.0.1:8080 }]
  tcp:
    - { address: 127.0.0.1:8080, service: db }
    - { address: 127.0.0.1:7070, service: db }
    - { address: 127.0.0.1:5433 }
    - { address: 127.0.0.1:5433, service: bd }
    - { address: 127.0.0.1:5434, service: db, idle_timeout: 10ms }
    - address: 127.0.0.1:5435
      sni: { "*.*.example.com": db, "192.0.2.1": db, "db.example.com": bd }
    - { address: 127.0.0.1:5436, service: db, tls: { certificates: [{ cert: a.pem, key: "${file:a.key}" }] } }
services: { db: { endpoints: ["127.0.0.1:5432"] } }
"#;
    std::fs::write(folder.path().join("bad.yaml"), yaml).expect("a file");
    let (code, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert_eq!(code, Some(2), "{told}");
    for part in [
        "bad.yaml:6", // twice: a listener for HTTP
        "127.0.0.1:8080 is there twice",
        "127.0.0.1:7070 is there twice",
        "127.0.0.1:5433 is there twice",
        "its connections have nowhere to go",
        "there is no service `bd`",
        "`services` has db",
        "10ms is shorter than 1s",
        "a `*` stands only in front",
        "is an address, and clients ask for names alone",
        "listen.tcp[5].sni.\"db.example.com\"",
        "listen.tcp[6].tls.certificates[0].key",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let listener = |number: u32| format!("    - {{ address: 127.0.0.1:{}, service: db }}\n", 20_000 + number);
    let many: String = (0..65).map(listener).collect();
    let yaml = format!("services: {{ db: {{ endpoints: [\"127.0.0.1:5432\"] }} }}\nlisten:\n  tcp:\n{many}");
    std::fs::write(folder.path().join("bad.yaml"), yaml).expect("a file");
    let (_, told) = run(folder.path(), &["check", "bad.yaml"]);
    assert!(told.contains("there are 65 listeners, and at most 64"), "{told}");
}

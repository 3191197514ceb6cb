//! Many connections, and reloads under them: nothing is lost.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};

use super::Echo;
use crate::certs;
use crate::support::{Client, Node, metric, run};

/// So much may the memory of a node, which is a debug build, grow by idle connections; and by whatever the busy ones take.
const IDLE_BYTES_MAX: f64 = 8_192.0;
const BUSY_BYTES_MAX: f64 = 64.0 * 1_048_576.0;
/// Clients that ask without a pause, and connections that are switched.
const BUSY: usize = 4;
const SWITCHED: usize = 8;

/// Two services take turns from one reload to the next, and so do the routes, of which there are more each time.
fn config(services: [SocketAddr; 2], reload: usize) -> String {
    let service = services[reload % 2];
    let routes: String = (0..reload % 7)
        .map(|number| {
            format!(
                "  - {{ name: r{number}, match: {{ path: /r{number} }}, to: {{ service: s{} }} }}\n",
                reload % 2
            )
        })
        .collect();
    format!(
        r#"
listen:
  gateway:
    - {{ address: "127.0.0.1:0" }}
    - {{ address: "127.0.0.1:0", tls: {{ certificates: [{{ cert: certs/dev.pem, key: "${{file:certs/dev.key}}" }}] }} }}
shutdown: {{ linger: 100ms }}
gateway: {{ idle_timeout: 1h, patience: 1h, connections: {{ max: 20000 }} }}
services: {{ s{}: {{ endpoints: ["{service}"] }} }}
routes:
{routes}  - {{ name: all, to: {{ service: s{} }} }}
"#,
        reload % 2,
        reload % 2
    )
}

fn certificate(folder: &Path) {
    let (code, told) = run(folder, &["certs", "dev", "localhost"]);
    assert_eq!(code, Some(0), "{told}");
}

fn secure(address: SocketAddr, folder: &Path) -> Client {
    let trusting = certs::client(folder, &TLS13, None);
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(trusting, name).expect("a client");
    let stream = TcpStream::connect(address).expect("it listens");
    Client::over(StreamOwned::new(session, stream), address)
}

fn switched(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\nhi ") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it is switched");
        head.push(byte[0]);
    }
    stream
}

fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is open");
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).expect("it is open");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

#[track_caller]
fn is_served(client: &mut Client) {
    let answer = client.request("GET", "/", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Asks until it is told to stop; counts the answers.
fn busy(mut client: Client, stop: &AtomicBool, answers: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        is_served(&mut client);
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reloads under so many idle connections, while others are busy and switched.
fn reloads_under_a_crowd(idle: usize, reloads: usize) {
    let services = [Echo::start(), Echo::start()];
    let services = services.each_ref().map(|echo| echo.0);
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let mut node = Node::start_in(folder, &config(services, 0));
    let told = node.ready["gateway"].as_str().expect("it is told").trim_matches(['[', ']']).to_owned();
    let addresses: Vec<SocketAddr> = told.split(", ").map(|it| it.parse().expect("an address")).collect();
    let memory = |node: &Node| metric(&node.get("/metrics").body, "process_resident_memory_bytes", &[]);
    is_served(&mut Client::connect(addresses[0]));
    let before = memory(&node);
    let mut crowd: Vec<_> = (0..idle).map(|_| Client::connect(addresses[0])).collect();
    crowd.iter_mut().for_each(is_served);
    let mut sockets: Vec<_> = (0..SWITCHED).map(|_| switched(addresses[0])).collect();
    let (stop, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| busy(Client::connect(addresses[0]), &stop, &answers));
        }
        let by_tls = secure(addresses[1], node.folder());
        scope.spawn(|| busy(by_tls, &stop, &answers));
        for reload in 1..=reloads {
            if reload % 5 == 0 {
                certificate(node.folder());
            }
            node.write_config(&config(services, reload));
            node.signal(Signal::HUP);
            node.wait_for("configuration reloaded");
            is_served(&mut secure(addresses[1], node.folder()));
            sockets.iter_mut().for_each(|socket| says(socket, &format!("reload {reload}")));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let grown = memory(&node) - before;
    assert!(grown < BUSY_BYTES_MAX + IDLE_BYTES_MAX * idle as f64, "memory has grown by {grown} bytes");
    crowd.iter_mut().for_each(is_served);
    assert!(answers.into_inner() > reloads as u64, "others were served meanwhile");
    node.signal(Signal::TERM);
    // What is switched is told by its end.
    for socket in &mut sockets {
        assert_eq!(socket.read(&mut [0]).expect("it ends in order"), 0);
    }
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn reloads_lose_nothing() {
    reloads_under_a_crowd(500, 10);
}

#[test]
#[ignore = "takes half a minute, and 10,000 connections twice"]
fn a_hundred_reloads_under_ten_thousand_connections_lose_nothing() {
    reloads_under_a_crowd(10_000, 100);
}

//! More work than a node can take: it keeps its memory within what its configuration allows, says when to come again, and
//! is itself again as soon as the load is gone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Client, Node};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Kept in one place, since the bound is made of them.
const SHARDS: u64 = 2;
const CONNECTIONS_MAX: u64 = 64;
const BODY_MAX: u64 = 128 * KIB;
const VALUE: usize = 64 << 10;
const INBOX: u64 = 256 * KIB;
const MEMTABLES_MAX: u64 = 2 * MIB;
const CACHE: u64 = MIB;

/// Connections that send one value after the other and do not wait for answers before the next.
const PUSHING: usize = 32;
/// Connections that ask for large values and read none of them.
const DEAF: usize = 16;
/// How many seconds the long test takes.
const SECONDS: &str = "MAINSTAY_OVERLOAD_SECONDS";

fn config() -> String {
    format!(
        "
shards: {SHARDS}
collections: {{ kv: {{}} }}
api: {{ connections_max: {CONNECTIONS_MAX}, body_max: {BODY_MAX}B }}
limits: {{ commit_size_max: 80KiB, value_size_max: 72KiB, read_size_max: 256KiB, operations_max: 16 }}
inbox: {{ waiting_max: 4, size_max: {INBOX}B }}
store: {{ memtable: 512KiB, memtables_max: {MEMTABLES_MAX}B, cache: {CACHE}B }}
snapshots: {{ every: 4MiB }}
"
    )
}

/// What a node may take beside what it took before the load: a body that arrives and a value that is sent for each
/// connection, and each of them once more on its way through buffers; what waits for each shard, and a batch and a record that
/// are made of it; the rows in memory, twice, and the cache; and what an allocator keeps for a while.
fn bound() -> u64 {
    const BATCH_MAX: u64 = 8 * MIB;
    const ALLOCATOR: u64 = 32 * MIB;
    let connections = CONNECTIONS_MAX * 2 * (BODY_MAX + VALUE as u64);
    let shards = SHARDS * (INBOX + 2 * BATCH_MAX);
    connections + shards + 2 * MEMTABLES_MAX + CACHE + ALLOCATOR
}

/// The resident memory of a process.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * KIB
}

#[expect(clippy::disallowed_methods, reason = "load lasts for a time, whatever a machine makes of it")]
fn now() -> Instant {
    Instant::now()
}

/// What came of the load.
#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    done: AtomicU64,
    overloaded: AtomicU64,
    refused_connections: AtomicU64,
}

fn item(number: usize) -> String {
    format!("/v1/collections/kv/items/{number}/value")
}

fn named<'s, 'e>(
    scope: &'s Scope<'s, 'e>,
    name: &str,
    work: impl FnOnce() + Send + 's,
) -> ScopedJoinHandle<'s, ()> {
    thread::Builder::new().name(name.into()).spawn_scoped(scope, work).expect("a thread")
}

fn open(api: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(api).expect("it listens");
    // A write that takes longer is one that the node does not take.
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
    stream
}

/// Sends a request over and over, whether it is answered or not, until the end or until the node closes the connection.
fn pour(mut stream: &TcpStream, request: &[u8], counts: &Counts) {
    let mut sent = 0;
    while !counts.stop.load(Relaxed) {
        match stream.write(&request[sent..]) {
            Ok(more) => sent = (sent + more) % request.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Sends large values, and reads the answers beside that.
fn push(api: SocketAddr, number: usize, counts: &Counts) {
    let path = item(number);
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain");
    let request = format!("{head}\r\nContent-Length: {VALUE}\r\n\r\n{}", "v".repeat(VALUE));
    while !counts.stop.load(Relaxed) {
        let sending = open(api);
        let mut reading = Client::of(sending.try_clone().expect("a socket"));
        thread::scope(|scope| {
            named(scope, "answers", move || {
                while let Ok(answer) = reading.try_answer(false) {
                    match answer.status {
                        201 | 204 => &counts.done,
                        503 => {
                            let after = answer.header("retry-after").and_then(|it| it.parse::<u64>().ok());
                            assert!(after.is_some_and(|after| after >= 1), "{answer:?}");
                            answer.problem(503, "overloaded");
                            &counts.overloaded
                        }
                        _ => panic!("{answer:?}"),
                    }
                    .fetch_add(1, Relaxed);
                }
            });
            pour(&sending, request.as_bytes(), counts);
            // The answers end with it. The node may have been first.
            let _ = sending.shutdown(std::net::Shutdown::Both);
        });
    }
}

/// Asks for large values for as long as they are taken, and reads none.
fn be_deaf(api: SocketAddr, number: usize, counts: &Counts) {
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", item(number));
    while !counts.stop.load(Relaxed) {
        pour(&open(api), request.as_bytes(), counts);
    }
}

/// Opens connections beyond those that are served, over and over.
fn crowd(api: SocketAddr, counts: &Counts) {
    while !counts.stop.load(Relaxed) {
        let silent: Vec<_> = (0..CONNECTIONS_MAX).map(|_| open(api)).collect();
        for stream in silent {
            stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
            let mut text = String::new();
            // Those that are served say nothing, since they are not asked for anything.
            let _ = (&stream).take(4 * KIB).read_to_string(&mut text);
            if text.starts_with("HTTP/1.1 503 ") {
                assert!(text.to_lowercase().contains("\r\nretry-after: "), "{text}");
                counts.refused_connections.fetch_add(1, Relaxed);
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "whoever runs the long test looks at the figures")]
fn overload(length: Duration) {
    let mut node = Node::start(&config()).serving();
    let mut probe = node.connect();
    let value = "v".repeat(VALUE);
    let text = [("Content-Type", "text/plain")];
    for number in 0..PUSHING {
        assert_eq!(probe.request("PUT", &item(number), &text, &value).status, 201);
    }
    let (before, counts, api) = (resident(node.pid()), Counts::default(), node.api);
    let mut most = before;
    thread::scope(|scope| {
        for number in 0..PUSHING {
            let counts = &counts;
            named(scope, "pushing", move || push(api, number, counts));
        }
        for number in 0..DEAF {
            let counts = &counts;
            named(scope, "deaf", move || be_deaf(api, number, counts));
        }
        named(scope, "crowd", || crowd(api, &counts));
        let begun = now();
        // Whatever fails ends the load.
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while begun.elapsed() < length {
                assert_eq!(probe.request("GET", "/v1/health/live", &[], "").status, 200);
                most = most.max(resident(node.pid()));
                let allowed = before + bound();
                assert!(most <= allowed, "{} MiB, and {} MiB are allowed", most / MIB, allowed / MIB);
            }
        }));
        counts.stop.store(true, Relaxed);
        watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let [done, overloaded, refused] =
        [&counts.done, &counts.overloaded, &counts.refused_connections].map(|count| count.load(Relaxed));
    println!(
        "{done} done, {overloaded} overloaded, {refused} connections refused; {} MiB before, {} MiB at most of {} MiB",
        before / MIB,
        most / MIB,
        (before + bound()) / MIB
    );
    assert!(done > 0 && overloaded > 0 && refused > 0, "{done} {overloaded} {refused}: this was no overload");

    // What still waits is done, and then there is room for the next.
    let again = (0..10_000).find(|_| probe.request("PUT", &item(0), &text, "after").status == 204);
    assert!(again.is_some(), "it is still overloaded");
    for number in 0..100 {
        assert!(probe.request("PUT", &item(number), &text, "after").status < 300, "it is itself again");
    }
    assert_eq!(probe.request("GET", &item(0), &[], "").body, "after");
    assert_eq!(probe.request("GET", "/v1/health/ready", &[], "").status, 200);
    node.signal(Signal::TERM);
    node.wait_for("stopped");
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn under_overload_memory_stays_bounded_and_afterwards_all_is_well() {
    overload(Duration::from_secs(3));
}

#[test]
#[ignore = "takes ten minutes"]
fn under_ten_minutes_of_overload_memory_stays_bounded() {
    #[expect(clippy::disallowed_methods, reason = "how a test is told how long to take")]
    let seconds = std::env::var(SECONDS).ok().map(|it| it.parse().expect("a number of seconds"));
    overload(Duration::from_secs(seconds.unwrap_or(600)));
}

//! Following changes through a whole node: over connections, restarts, stops and a restore.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::*;

const CONFIG: &str = "{ shards: 4, collections: { orders: {} }, backups: { to: ./backups } }";
const CHANGES: &str = "/v1/collections/orders/changes";

/// A stream that is open.
struct Stream(Client);

struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Stream {
    fn open(node: &Node, query: &str, last: Option<&str>) -> Self {
        let mut client = node.connect();
        let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        client.send(&format!(
            "GET {CHANGES}{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n"
        ));
        let head = client.answer(true);
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{head:?}");
        assert_eq!(head.header("cache-control"), Some("no-store"));
        Self(client)
    }

    /// The next event; none when the stream has ended in order.
    fn any(&mut self) -> Option<Event> {
        let kind = self.0.event()?;
        let mut field = |name: &str| {
            let line = self.0.line().expect("an event is whole");
            line.strip_prefix(name).expect("fields have their order").trim_end().to_owned()
        };
        let (id, data) = (field("id: "), field("data: "));
        Some(Event { kind, id, data: serde_json::from_str(&data).expect("JSON") })
    }

    /// The next event that is no sign of life.
    fn next(&mut self) -> Event {
        std::iter::from_fn(|| self.any()).find(|event| event.kind != "heartbeat").expect("it goes on")
    }

    /// What so many changes are, and the last one's id.
    fn changes(&mut self, count: usize) -> (Vec<String>, String) {
        let events: Vec<_> = (0..count).map(|_| self.next()).collect();
        let shown = events.iter().map(|event| {
            format!("{} {} {}", event.kind, event.data["key"].as_str().expect("a key"), event.data["value"])
        });
        (shown.collect(), events.last().expect("there are some").id.clone())
    }
}

fn put(node: &Node, key: &str, value: &str) {
    let path = format!("/v1/collections/orders/items/{key}");
    let answer = node.connect().request("PUT", &path, &[("Content-Type", "application/json")], value);
    assert!(matches!(answer.status, 201 | 204), "{answer:?}");
}

fn stopped(node: Node) -> tempfile::TempDir {
    node.signal(Signal::TERM);
    let (status, log, folder) = node.ended();
    assert!(status.success(), "{log}");
    folder
}

#[test]
fn changes_appear_on_another_connection_and_go_on_after_a_restart() {
    let node = Node::start(CONFIG).serving();
    put(&node, "u7/before", "0");
    let mut stream = Stream::open(&node, "", None);
    assert_eq!(stream.any().expect("it begins").kind, "heartbeat");
    put(&node, "u7/a", "1");
    put(&node, "u7/a", "2");
    let deleted = node.connect().request("DELETE", "/v1/collections/orders/items/u7/a", &[], "");
    assert_eq!(deleted.status, 204);
    let (told, last) = stream.changes(2);
    assert_eq!(told, ["put u7/a 1", "put u7/a 2"]);
    // What was told after that is lost with the connection.
    drop(stream);
    put(&node, "u8/b", "3");
    let folder = stopped(node);

    let node = Node::start_in(folder, CONFIG).serving();
    put(&node, "u7/c", "4");
    let mut stream = Stream::open(&node, "", Some(&last));
    let (mut told, end) = stream.changes(3);
    told.sort();
    assert_eq!(told, ["deleted u7/a null", "put u7/c 4", "put u8/b 3"]);
    put(&node, "u9/d", "5");
    assert_eq!(stream.changes(1).0, ["put u9/d 5"]);
    let mut confined = Stream::open(&node, "?prefix=u7/&after=0&filter=value+%3E+0", None);
    assert_eq!(confined.changes(4).0, ["put u7/a 1", "put u7/a 2", "deleted u7/a null", "put u7/c 4"]);
    let session = [("Mainstay-Consistency", "session"), ("Mainstay-Position", &*end)];
    let read = node.connect().request("GET", "/v1/collections/orders/items/u7/c", &session, "");
    assert_eq!((read.status, &*read.body), (200, "4"), "{read:?}");
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_feed_streams", &[]), 2.0);
    assert_eq!(metric(&metrics, "mainstay_feed_events_total", &[]), 8.0);
    assert!(metric(&metrics, "mainstay_feed_catch_ups_total", &[]) > 0.0, "of before the restart");
}

#[test]
fn a_stop_ends_streams_in_order_and_does_not_wait_for_them() {
    let mut node =
        Node::start(&format!("{{ shutdown: {{ drain: 1h, linger: 10ms }}, {}", &CONFIG[1..])).serving();
    let mut stream = Stream::open(&node, "", None);
    let mut page = node.connect();
    // From the beginning: whether it is begun before the change is not known.
    page.send(&format!("GET {CHANGES}?after=0&wait=25s HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    put(&node, "u7/a", "1");
    assert_eq!(stream.next().data["value"], 1);
    assert_eq!(page.answer(false).json()["events"][0]["key"], "u7/a");
    page.send(&format!("GET {CHANGES}?wait=25s HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    node.signal(Signal::TERM);
    node.wait_for("stopping");
    while stream.any().is_some() {}
    assert!(page.answer(false).json()["next"].is_string(), "who waits is answered");
    let (status, log, _folder) = node.ended();
    assert!(status.success(), "{log}");
}

#[test]
fn what_was_seen_before_a_restore_is_gone() {
    let node = Node::start(CONFIG).serving();
    put(&node, "u7/a", "1");
    let mut stream = Stream::open(&node, "?after=0", None);
    let last = stream.next().id;
    drop(stream);
    let run = |folder: &std::path::Path, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay"));
        let output =
            command.args(arguments).current_dir(folder).env_clear().output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
    };
    run(node.folder(), &["backup", "--name", "first"]);
    let folder = stopped(node);
    run(folder.path(), &["restore", "--from", "first", "--set", "data=./restored"]);
    let node = Node::start_in(folder, &format!("{{ data: ./restored, {}", &CONFIG[1..])).serving();
    for after in [&*last, "0"] {
        let gone = node.get(&format!("{CHANGES}?after={after}&wait=0s")).problem(410, "gone");
        assert!(gone["detail"].as_str().expect("text").contains("read the collection"), "{gone}");
    }
    let listed = node.get("/v1/collections/orders/items");
    let position = listed.header("mainstay-position").expect("it is in every answer").to_owned();
    put(&node, "u7/b", "2");
    let page = node.get(&format!("{CHANGES}?after={position}")).json();
    assert_eq!(page["events"][0]["key"], "u7/b");
}

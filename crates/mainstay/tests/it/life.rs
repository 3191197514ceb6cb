//! Starting, reloading, draining, dying.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::{Node, metric};

/// A request whose head has arrived and whose body has not.
const HALF: &str = "PUT /v1/telemetry/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 17\r\n\r\n{\"level\":";
const OTHER_HALF: &str = "\"debug\"}";

#[test]
fn a_stop_finishes_requests_in_flight_and_takes_no_new_ones() {
    let mut node =
        Node::start("{ shutdown: { linger: 1s }, telemetry: { logs: { rooms: { life: debug } } } }");
    let mut idle = node.connect();
    assert_eq!(idle.request("GET", "/v1/health/live", &[], "").status, 200);
    let mut busy = node.connect();
    // The first answer proves that the connection is served before the half request arrives.
    assert_eq!(busy.request("GET", "/v1/health/live", &[], "").status, 200);
    busy.send(HALF);
    let mut probe = node.connect();
    assert_eq!(probe.request("GET", "/v1/health/live", &[], "").status, 200);
    node.signal(Signal::TERM);
    node.wait_for("stopping");
    // The line is written just before connections are told; each of their requests is answered either way.
    let last = std::iter::repeat_with(|| probe.request("GET", "/v1/health/ready", &[], ""))
        .find(|it| it.header("connection") == Some("close"))
        .expect("the loop ends with one");
    last.problem(503, "unavailable");
    assert!(probe.is_closed());
    node.get("/v1/health/ready").problem(503, "unavailable");
    assert!(idle.is_closed(), "an idle connection is closed after a while");
    busy.send(OTHER_HALF);
    let answer = busy.answer(false);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed());
    let api = node.api;
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(TcpStream::connect(api).is_err(), "nothing listens any more");
    assert!(!log.contains("request failed"), "a probe is answered, and nothing has failed: {log}");
    let order: Vec<_> = log.lines().filter(|it| it.contains("part stopped")).collect();
    let names = ["gateway", "programs", "api", "shards", "log", "data", "tasks"]
        .map(|name| format!("\"part\":\"{name}\""));
    assert!(order.len() == 7 && order.iter().zip(&names).all(|(line, name)| line.contains(name)), "{log}");
}

#[test]
fn what_does_not_finish_is_cut_off_at_the_deadline_and_said() {
    let mut node = Node::start("shutdown: { drain: 100ms, linger: 10ms }");
    let mut busy = node.connect();
    assert_eq!(busy.request("GET", "/v1/health/live", &[], "").status, 200);
    busy.send(HALF);
    node.get("/v1/health/live");
    node.signal(Signal::INT);
    let cut = node.wait_for("part stopped with work unfinished");
    assert!(cut["error"].as_str().expect("text").contains("1 api connection"), "{cut}");
    assert!(busy.is_closed());
    assert_eq!(node.ended().0.code(), Some(1));
}

#[test]
fn half_a_head_is_no_request_in_flight() {
    let mut node = Node::start("shutdown: { drain: 1h, linger: 10ms }");
    let mut half = node.connect();
    half.send("GET / HT");
    let silent = node.connect();
    assert_eq!(node.get("/v1/health/live").status, 200);
    node.signal(Signal::TERM);
    node.wait_for("stopping");
    assert!(half.is_closed());
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    drop(silent);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut node = Node::start("shutdown: { drain: 1h }");
    let mut busy = node.connect();
    assert_eq!(busy.request("GET", "/v1/health/live", &[], "").status, 200);
    busy.send(HALF);
    node.get("/v1/health/live");
    node.signal(Signal::TERM);
    node.wait_for("stopping");
    node.signal(Signal::TERM);
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn a_reload_applies_as_one_or_changes_nothing_and_says_why() {
    const GOOD: &str = "shutdown: { drain: 7s }\ntelemetry: { logs: { level: info } }\n";
    let mut node = Node::start(GOOD);
    let drain = |node: &Node| {
        let view = node.get("/v1/config").json();
        let settings = view["settings"].as_array().expect("settings").clone();
        let drain = settings.iter().find(|it| it["path"] == "shutdown.drain").expect("a drain").clone();
        (view["generation"].as_u64(), drain["value"].as_str().map(str::to_owned), view["last_reload"].clone())
    };
    let seven = Some("7s".to_owned());

    node.write_config("shutdown: { drain: 8s }\ntelemetry: { logs: { level: wran } }\n");
    node.signal(Signal::HUP);
    let line = node.wait_for("configuration not reloaded, the running one stays");
    let reason = line["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("mainstay.yaml:2:29: ") && reason.contains("`warn`"), "{reason}");
    let (generation, value, last) = drain(&node);
    assert_eq!((generation, value), (Some(1), seven.clone()));
    assert_eq!((&last["result"], &last["problems"][0]["line"]), (&"refused".into(), &2.into()));

    node.write_config("shutdown: { drain: 8s }\nnode: { id: other }\n");
    node.signal(Signal::HUP);
    let line = node.wait_for("configuration not reloaded, the running one stays");
    assert!(line["reason"].as_str().expect("a reason").contains("`node.id` (n1 -> other)"), "{line}");
    assert_eq!(drain(&node).1, seven);

    node.write_config(GOOD);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded, nothing changed");
    assert_eq!(drain(&node).0, Some(1));

    node.write_config("shutdown: { drain: 8s }\ntelemetry: { logs: { level: debug } }\n");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    let (generation, value, last) = drain(&node);
    assert_eq!((generation, value), (Some(2), Some("8s".to_owned())));
    assert_eq!(last["result"], "applied");
    node.wait_for("request answered");
    let metrics = node.get("/metrics").body;
    for (result, count) in [("applied", 1.0), ("unchanged", 1.0), ("refused", 2.0)] {
        assert_eq!(
            metric(&metrics, "mainstay_config_reloads_total", &[("result", result)]),
            count,
            "{result}"
        );
    }
}

#[test]
fn a_reload_adds_collections_and_never_places_their_items_anew() {
    let mut node = Node::start("collections: { carts: {} }");
    node.write_config("collections: { carts: { partition_by: whole_key }, orders: {} }");
    node.signal(Signal::HUP);
    let line = node.wait_for("configuration not reloaded, the running one stays");
    let reason = line["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("the collection \"carts\" has `partition_by: first_segment` for good"),
        "{reason}"
    );
    assert_eq!(node.get("/v1/collections/orders").status, 404, "nothing of it is in force");
    node.write_config("collections: { carts: {}, orders: { content_type: application/json } }");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    let view = node.get("/v1/config").json();
    let settings = view["settings"].as_array().expect("settings");
    let find = |path: &str| settings.iter().find(|it| it["path"] == path).expect("a setting");
    assert_eq!(find("collections.orders.content_type")["value"], "application/json");
    assert_eq!(find("collections.orders.partition_by")["origin"], "default");
}

#[test]
fn a_reload_changes_the_token_and_never_loses_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "the-first-token-of-all\n").expect("a file");
    let mut node = Node::start_in(folder, "api: { token: '${file:token}', connections_max: 100 }");
    let status = |node: &Node, token: &str| {
        let bearer = format!("Bearer {token}");
        node.connect().request("GET", "/v1/config", &[("Authorization", &bearer)], "").status
    };
    assert_eq!(status(&node, "the-first-token-of-all"), 200);

    std::fs::write(&token, "the-second-token-there-is\n").expect("a file");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(status(&node, "the-first-token-of-all"), 401);
    assert_eq!(status(&node, "the-second-token-there-is"), 200);

    std::fs::remove_file(node.folder().join("mainstay.yaml")).expect("it is there");
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    assert!(refused["reason"].as_str().expect("text").contains("mainstay.yaml"), "{refused}");
    assert_eq!(status(&node, ""), 401, "without its file a node does not fall back to the defaults");

    node.write_config("api: { token: '${file:token}', connections_max: 1 }");
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    // Connections that were closed on this side may still be open on the other.
    let one = std::iter::repeat_with(|| node.connect())
        .find_map(|mut it| (it.request("GET", "/v1/health/live", &[], "").status == 200).then_some(it));
    assert_eq!(node.connect().answer(false).status, 503);
    drop(one);
}

#[test]
fn a_second_process_is_told_who_has_the_data_directory() {
    let node = Node::start("node: { id: first }");
    let second = Node::command(node.folder()).output().expect("the binary runs");
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).expect("UTF-8");
    for part in [format!("process {}", node.pid()), "`first`".into(), node.api.to_string()] {
        assert!(told.contains(&part), "{part} in {told}");
    }
    assert_eq!(node.get("/v1/health/live").status, 200);
}

#[test]
fn a_killed_node_starts_again_on_its_directory() {
    let node = Node::start("");
    node.signal(Signal::KILL);
    let (status, _, folder) = node.ended();
    assert_eq!(status.code(), None);
    let node = Node::start_in(folder, "");
    assert_eq!(node.get("/v1/health/ready").status, 200);
}

#[test]
fn an_address_in_use_is_named_and_nothing_stays_behind() {
    let node = Node::start("");
    let folder = tempfile::tempdir().expect("a folder");
    let taken = format!("listen.api={}", node.api);
    let mut command = Node::command(folder.path());
    let second = command.args(["--set", &taken]).output().expect("the binary runs");
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).expect("UTF-8");
    assert!(told.contains(&node.api.to_string()) && told.contains("`listen.api`"), "{told}");
    let third = Node::start_in(folder, "");
    assert_eq!(third.get("/v1/health/live").status, 200);
}

#[test]
fn an_invalid_configuration_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Node::command(folder.path()).args(["--set", "shutdown.drain=5"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("data").exists());
}

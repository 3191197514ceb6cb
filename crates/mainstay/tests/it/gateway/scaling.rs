//! Programs of which there are more and fewer by what they have to do, which are warm before they are needed, and are held to limits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::start;
use crate::support::{Client, Node, metric, run};

/// A server in Python's standard library. It begins only while one file is not there, and answers `/shop/hold`, and `/shop/burn` at work, once another is; it takes memory by `/shop/take/MIB`, is slow at `/shop/slow`, fails at `/shop/fail`, and else says who it is and what it was asked.
const SERVER: &str = r#"
import http.server, json, os, resource, time
while os.path.exists(os.environ["CLOSED"]):
    time.sleep(0.01)
asked, taken = [], []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        asked.append(self.path)
        if self.path == "/shop/hold":
            while not os.path.exists(os.environ["OPEN"]):
                time.sleep(0.01)
        while self.path == "/shop/burn" and not os.path.exists(os.environ["OPEN"]):
            pass
        if self.path == "/shop/slow":
            time.sleep(0.05)
        if self.path.startswith("/shop/take/"):
            taken.append(b"x" * (int(self.path.split("/")[3]) << 20))
        told = { "pid": os.getpid(), "asked": [path for path in asked if path != "/"], "files": resource.getrlimit(resource.RLIMIT_NOFILE) }
        body = json.dumps(told).encode()
        self.send_response({ "/shop/fail": 500, "/shop/none": 404 }.get(self.path, 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A node that runs the server.
struct World {
    node: Node,
    gateway: SocketAddr,
    files: tempfile::TempDir,
}

impl World {
    /// One whose program is defined with whatever else.
    fn start(more: &str) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let (node, gateway) = start(&yaml(files.path(), more));
        Self { node, gateway, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn scale(&self) -> Value {
        self.node.get("/v1/services/shop/scale").json()
    }

    /// Waits until so many instances are in a phase.
    fn wait_for(&self, phase: &str, count: u64) {
        while self.scale()[phase] != count {}
    }

    fn asked(&self, path: &str) -> Value {
        let answer = Client::connect(self.gateway).request("GET", path, &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A call that is answered when the file `open` is there.
    fn begin(&self, path: &'static str) -> JoinHandle<u16> {
        let gateway = self.gateway;
        let call = move || Client::connect(gateway).request("GET", path, &[], "").status;
        Builder::new().spawn(call).expect("a thread")
    }
}

fn yaml(files: &Path, more: &str) -> String {
    let [open, closed] = ["open", "closed"].map(|name| json!(files.join(name)));
    let server = json!(SERVER);
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
policies: {{ default: {{ timeout: 60s, try_timeout: 60s, retry: false }} }}
services: {{ shop: {{ run: {{ command: [python3, -c, {server}], env: {{ OPEN: {open}, CLOSED: {closed} }}, drain: 60s{more} }}, health: {{ every: 50ms, timeout: 10s }} }} }}
routes: [{{ name: shop, match: {{ path: "/shop/{{rest...}}" }}, to: {{ service: shop }} }}]
"#
    )
}

fn kill(pid: &Value) {
    let pid = i32::try_from(pid.as_i64().expect("a number")).expect("a number");
    kill_process(Pid::from_raw(pid).expect("it runs"), Signal::KILL).expect("it runs");
}

#[test]
fn a_burst_of_calls_has_more_instances_and_its_end_fewer_without_a_failed_request() {
    let scale = ", scale: { max: 4, target: { in_flight: 4 }, down_after: 1s }";
    let mut world = World::start(scale);
    let at_first = world.scale();
    assert_eq!((&at_first["wanted"], &at_first["by"]), (&json!(1), &json!("rule")), "{at_first}");
    let held: Vec<_> = (0..12).map(|_| world.begin("/shop/hold")).collect();
    let line = world.node.wait_for("instances scaled");
    assert_eq!((&line["service"], &line["from"]), (&json!("shop"), &json!(1)), "{line}");
    world.wait_for("ready", 3);
    let scaled = world.scale();
    let why = scaled["last"]["why"].as_str().expect("it says why");
    assert!(why.starts_with("in flight ") && why.contains(" of 4 per instance: "), "{scaled}");
    std::fs::write(world.file("open"), "").expect("a file");
    for call in held {
        assert_eq!(call.join().expect("it ends"), 200, "none is lost by starts");
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let caller = {
        let (is_over, gateway) = (Arc::clone(&is_over), world.gateway);
        let call = move || {
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(Client::connect(gateway).request("GET", "/shop/x", &[], "").status, 200);
                calls += 1;
            }
            calls
        };
        Builder::new().spawn(call).expect("a thread")
    };
    while {
        let now = world.scale();
        now["ready"] != 1 || now["leaving"] != 0
    } {}
    is_over.store(true, Ordering::Relaxed);
    assert!(caller.join().expect("each was answered") > 0);
    let text = world.node.get("/metrics").body;
    let of = |name, labels: &[(&str, &str)]| metric(&text, name, &[&[("service", "shop")], labels].concat());
    assert_eq!(of("mainstay_upstream_wanted", &[]), 1.0);
    assert_eq!(of("mainstay_upstream_instances", &[("phase", "ready")]), 1.0);
    assert_eq!(of("mainstay_upstream_instance_failures_total", &[]), 0.0);
    for direction in ["up", "down"] {
        assert!(of("mainstay_upstream_scalings_total", &[("direction", direction)]) >= 1.0);
    }
}

#[test]
fn there_are_more_instances_when_they_are_busy() {
    let mut world = World::start(", scale: { max: 2, target: { cpu: 0.05 } }");
    let call = world.begin("/shop/burn");
    let line = world.node.wait_for("instances scaled");
    let why = line["why"].as_str().expect("it says why");
    assert!(why.starts_with("cpu ") && why.ends_with(" of 0.05 per instance: 1 -> 2"), "{line}");
    world.wait_for("ready", 2);
    std::fs::write(world.file("open"), "").expect("a file");
    assert_eq!(call.join().expect("it ends"), 200);
}

#[test]
fn there_are_more_instances_when_calls_take_too_long() {
    let world = World::start(", scale: { max: 2, target: { latency: 5ms } }");
    while world.scale()["ready"] != 2 {
        world.asked("/shop/slow");
    }
    let scaled = world.scale();
    let why = scaled["last"]["why"].as_str().expect("it says why");
    assert!(why.starts_with("latency ") && why.ends_with(" of 5ms: 1 -> 2"), "{scaled}");
}

#[test]
fn what_somebody_asks_for_holds_until_it_is_left_to_the_rule_again() {
    let world = World::start(", scale: { min: 1, max: 4, target: { in_flight: 4 }, down_after: 0s }");
    let cli = |wish: &[&str]| {
        let (code, told) = run(world.node.folder(), &[&["services", "scale", "shop"], wish].concat());
        assert_eq!(code, Some(0), "{told}");
        told
    };
    assert!(cli(&["5"]).contains("5 of shop are to take calls, as was asked for"));
    world.wait_for("ready", 5);
    let asked = world.scale();
    assert_eq!((&asked["instances"], &asked["by"], asked.get("last")), (&json!(5), &json!("request"), None));
    assert!(cli(&["auto"]).contains("by its rule"));
    world.wait_for("wanted", 1);
    assert!(cli(&[]).contains("scaled last at "));
    assert_eq!(world.scale()["instances"], Value::Null);
    let json = [("Content-Type", "application/json")];
    let put = |body: &str| world.node.connect().request("PUT", "/v1/services/shop/scale", &json, body);
    put("{}").problem(422, "invalid");
    put(r#"{"instances": 257}"#).problem(422, "invalid");
    assert_eq!(put(r#"{"instances": null}"#).json()["by"], "rule");
}

#[test]
fn a_warm_instance_takes_calls_at_once_when_one_ends() {
    let mut world = World::start(", warm: 1");
    world.wait_for("warm", 1);
    let first = world.asked("/shop/x")["pid"].clone();
    for _ in 0..20 {
        assert_eq!(world.asked("/shop/x")["pid"], first, "one that is warm gets no calls");
    }
    // None that is started from now on takes calls.
    std::fs::write(world.file("closed"), "").expect("a file");
    kill(&first);
    world.node.wait_for("a warm instance takes calls");
    loop {
        let answer = Client::connect(world.gateway).request("GET", "/shop/x", &[], "");
        if answer.status == 200 && answer.json()["pid"] != first {
            break;
        }
    }
    world.wait_for("starting", 1);
    let now = world.scale();
    assert_eq!((&now["ready"], &now["warm"], &now["failures"]), (&json!(1), &json!(0), &json!(1)));
    std::fs::remove_file(world.file("closed")).expect("it is there");
    world.wait_for("warm", 1);
}

#[test]
fn what_warms_an_instance_up_comes_before_its_first_call() {
    let world =
        World::start(r#", warm_up: ["/shop/none", { path: "/shop/warm?all", times: 3 }, "/shop/fail"]"#);
    let asked = world.asked("/shop/x")["asked"].clone();
    let (warm, fail) = ("/shop/warm?all", "/shop/fail");
    let all = ["/shop/none", warm, warm, warm, fail, fail, fail, "/shop/x"];
    assert_eq!(asked, json!(all), "what fails is asked three times");
}

#[test]
fn an_instance_that_takes_too_much_memory_is_replaced_without_a_failed_request() {
    let mut world = World::start(", limits: { memory: 200MiB }");
    let first = world.asked("/shop/take/210")["pid"].clone();
    let line = world.node.wait_for("an instance has more memory than it may, and is replaced");
    assert_eq!(line["limit"], "200MiB", "{line}");
    while world.asked("/shop/x")["pid"] == first {}
    let second = world.asked("/shop/x")["pid"].clone();
    // It may be ended before it has answered.
    Client::connect(world.gateway).request("GET", "/shop/take/600", &[], "");
    world.node.wait_for("an instance has far more memory than it may, and is ended");
    loop {
        let answer = Client::connect(world.gateway).request("GET", "/shop/x", &[], "");
        if answer.status == 200 && answer.json()["pid"] != second {
            break;
        }
    }
    assert_eq!(world.scale()["failures"], 2);
}

#[test]
fn a_program_has_as_many_files_as_it_may() {
    let world = World::start(", limits: { files: 99 }");
    assert_eq!(world.asked("/shop/x")["files"], json!([99, 99]));
}

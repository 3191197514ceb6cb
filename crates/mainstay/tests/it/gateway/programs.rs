//! Services whose programs the node runs: started, scaled, exchanged, and ended with it.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{gateways_of, start};
use crate::support::{Client, Node, run};

/// A server in Python's standard library that says who it is: its process, and what it was started as.
const SERVER: &str = r#"
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print("asked", flush=True)
        gateway, shop = (os.environ.get(name, '') for name in ("MAINSTAY_GATEWAY", "SHOP"))
        told = f"{os.getpid()} {gateway} {shop} {os.environ['MAINSTAY_API']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn yaml(run: &str) -> String {
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
services: {{ shop: {{ run: {run}, health: {{ every: 50ms }} }} }}
routes: [{{ name: shop, match: {{ path: "/shop" }}, to: {{ service: shop }} }}]
"#
    )
}

/// A definition that runs the server, with whatever else.
fn python(more: &str) -> String {
    format!("{{ command: [python3, -c, {}]{more} }}", json!(SERVER))
}

fn asked(gateway: SocketAddr) -> String {
    let answer = Client::connect(gateway).request("GET", "/shop", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn endpoints(node: &Node) -> Vec<Value> {
    let shown = node.get("/v1/services/shop").json()["endpoints"].clone();
    serde_json::from_value(shown).unwrap_or_default()
}

fn healthy(node: &Node) -> usize {
    endpoints(node).iter().filter(|endpoint| endpoint["state"] == "healthy").count()
}

fn is_there(pid: &str) -> bool {
    Path::new(&format!("/proc/{pid}/status")).exists()
        && std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn pid(told: &str) -> String {
    told.split(' ').next().expect("it says who it is").to_owned()
}

#[test]
fn a_program_is_started_told_where_it_is_and_ended_with_the_node() {
    let (mut node, gateway) = start(&yaml(&python(", env: { SHOP: corner }")));
    let told = asked(gateway);
    let api = node.ready["api"].as_str().expect("it is told").to_owned();
    assert!(told.ends_with(&format!(" http://{gateway} corner http://{api}")), "{told}");
    let line = node.wait_for("asked");
    assert_eq!(line["service"], "shop", "what it writes is in the log: {line}");
    node.signal(Signal::TERM);
    let (status, output, _) = node.ended();
    assert!(status.success(), "{output}");
    assert!(!is_there(&pid(&told)), "it has ended");
}

#[test]
fn a_program_finds_what_the_configuration_defines() {
    // Its first act, before an interpreter has started. What serves is told as the number of its instance.
    let first = r#"at=${MAINSTAY_API#http://}; exec 3<>/dev/tcp/${at%:*}/${at#*:}
printf 'GET /v1/collections/c-199 HTTP/1.1\r\nHost: %s\r\n\r\n' "$at" >&3
read -r status <&3; [[ $status == *" 200 "* ]] || exit 3; exec python3 -c "$0""#;
    let server = SERVER.replace("{os.getpid()}", "{os.environ['MAINSTAY_INSTANCE'].split('/')[-1]}");
    let run = format!("{{ command: [bash, -c, {}, {}] }}", json!(first), json!(server));
    let collections: String = (0..200).map(|nth| format!("  c-{nth}: {{}}\n")).collect();
    let (_node, gateway) = start(&format!("{}collections:\n{collections}", yaml(&run)));
    assert!(asked(gateway).starts_with("1 "), "none before it has failed");
}

#[test]
fn a_program_is_told_the_listener_that_it_names() {
    let two = "{ address: \"127.0.0.1:0\" }, { name: inside, address: \"127.0.0.1:0\" }";
    let of = |listeners: &str, name: &str| {
        let one = yaml(&python(&format!(", gateway: {name}")));
        one.replace("{ address: \"127.0.0.1:0\" }", listeners)
    };
    let mut node = Node::start(&of(two, "inside"));
    let [public, inside] = gateways_of(&node).try_into().expect("two listeners");
    let told = |asked: &str| asked.split(' ').nth(1).expect("it says it").to_owned();
    let first = asked(public);
    assert_eq!(told(&first), format!("http://{inside}"));
    // A listener that comes with the program that is told of it.
    node.write_config(&of(&format!("{two}, {{ name: late, address: \"127.0.0.1:0\" }}"), "late"));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    let second = loop {
        let second = asked(public);
        if pid(&second) != pid(&first) {
            break told(&second);
        }
    };
    let late: SocketAddr = second.strip_prefix("http://").expect(&second).parse().expect("an address");
    assert!(late != public && late != inside, "{second}");
    assert_eq!(Client::connect(late).request("GET", "/shop", &[], "").status, 200);
}

#[test]
fn a_program_that_ends_is_started_again() {
    let (node, gateway) = start(&yaml(&python("")));
    let first = pid(&asked(gateway));
    let process = Pid::from_raw(first.parse().expect("a number")).expect("it runs");
    kill_process(process, Signal::KILL).expect("it runs");
    loop {
        let answer = Client::connect(gateway).request("GET", "/shop", &[], "");
        if answer.status == 200 && pid(&answer.body) != first {
            break;
        }
    }
    assert_eq!(endpoints(&node).len(), 1, "the one that ended is no endpoint any more");
}

#[test]
fn programs_end_when_the_node_is_killed() {
    let (node, gateway) = start(&yaml(&python("")));
    let program = pid(&asked(gateway));
    node.signal(Signal::KILL);
    drop(node.ended());
    while is_there(&program) {}
}

#[test]
fn instances_are_scaled_and_exchanged_without_a_failed_request() {
    let (mut node, gateway) = start(&yaml(&python(", env: { SHOP: one }")));
    let (code, told) = run(node.folder(), &["services", "scale", "shop", "3"]);
    assert_eq!(code, Some(0), "{told}");
    while healthy(&node) < 3 {
        asked(gateway);
    }
    let scale = node.get("/v1/services/shop/scale").json();
    assert_eq!(
        (&scale["instances"], &scale["wanted"], &scale["by"]),
        (&json!(3), &json!(3), &json!("request"))
    );
    node.write_config(&yaml(&python(", env: { SHOP: two }")));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    let mut in_a_row = 0;
    while in_a_row < 30 || endpoints(&node).len() > 3 {
        in_a_row = if asked(gateway).contains(" two ") { in_a_row + 1 } else { 0 };
    }
    let (code, told) = run(node.folder(), &["services", "scale", "shop", "1"]);
    assert_eq!(code, Some(0), "{told}");
    while endpoints(&node).len() > 1 {
        asked(gateway);
    }
}

#[test]
fn a_program_that_is_missing_holds_nothing_back_if_it_may_be() {
    let missing = "{ command: [no-such-program], optional: true }";
    let (mut node, gateway) = start(&yaml(missing));
    node.write_config(&yaml("{ command: [no-such-program, x], optional: true }"));
    node.signal(Signal::HUP);
    assert_eq!(node.get("/v1/health/ready").status, 200);
    assert_eq!(Client::connect(gateway).request("GET", "/shop", &[], "").status, 503);
    let line = node.wait_for("a service that is optional has no program");
    assert!(line["error"].as_str().is_some_and(|it| it.contains("no-such-program")), "{line}");
}

#[test]
fn a_service_without_a_program_is_not_scaled() {
    let (node, _) = start(
        "{ listen: { gateway: [{ address: \"127.0.0.1:0\" }] }, services: { shop: { endpoints: [\"127.0.0.1:9\"] } } }",
    );
    let json = [("Content-Type", "application/json")];
    let put = |body: &str| node.connect().request("PUT", "/v1/services/shop/scale", &json, body);
    put(r#"{"instances": 2}"#).problem(409, "conflict");
    node.get("/v1/services/none/scale").problem(404, "not_found");
}

#[test]
fn programs_are_not_taken_from_the_api() {
    let (node, _) = start("{ listen: { gateway: [{ address: \"127.0.0.1:0\" }] } }");
    let json = [("Content-Type", "application/json")];
    let put = node.connect().request("PUT", "/v1/services/shop", &json, r#"{"run": {"command": ["true"]}}"#);
    assert_eq!(put.problem(422, "invalid")["pointer"], "/run");
}

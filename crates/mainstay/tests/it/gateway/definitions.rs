//! The gateway's definitions while a node is up: looked at, and changed.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Echo, start};
use crate::support::{Answer, Client, Node, run};

/// A node whose configuration has a route `echo` to the service `echo`, and whatever else.
fn node(echo: SocketAddr, more: &str) -> (Node, SocketAddr) {
    start(&yaml(echo, more))
}

fn yaml(echo: SocketAddr, more: &str) -> String {
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {{ endpoints: ["{echo}"] }} }}
routes: [{{ name: echo, match: {{ path: /echo }}, to: {{ service: echo }} }}]
{more}
"#
    )
}

fn status(gateway: SocketAddr, path: &str) -> u16 {
    Client::connect(gateway).request("GET", path, &[], "").status
}

/// What a command prints as JSON in a node's folder, and its exit code.
fn asked(node: &Node, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, printed) = run(node.folder(), &[arguments, &["--output", "json"]].concat());
    (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}")))
}

#[test]
fn a_request_is_explained_from_the_file_and_by_the_node() {
    let echo = Echo::start();
    let (node, _) = node(echo.0, "");
    node.write_config(&yaml(echo.0, "").replace("/echo", "/moved"));
    for (of, taken, other) in [(&[][..], "/moved", "/echo"), (&["--live"][..], "/echo", "/moved")] {
        let (code, told) = asked(&node, &[&["routes", "test", "GET", taken], of].concat());
        assert_eq!((code, &told["route"]["name"]), (Some(0), &json!("echo")), "{told}");
        let to = json!([{ "service": "echo", "weight": 1, "endpoints": [echo.0.to_string()], "policy": "default" }]);
        assert_eq!(told["route"]["to"], to);
        let (code, told) = asked(&node, &[&["routes", "test", "GET", other], of].concat());
        assert_eq!((code, &told["refused"]["status"]), (Some(1), &json!(404)), "{told}");
        assert_eq!(told["others"][0]["why"], format!("the path is {other}, not {taken}"));
    }
    for wrong in [&["G T", "/"][..], &["GET", "shop.example"], &["GET", "/", "-H", "x y"]] {
        let (code, printed) = run(node.folder(), &[&["routes", "test"], wrong].concat());
        assert_eq!(code, Some(2), "{printed}");
    }
    let json = [("Content-Type", "application/json")];
    let wrong = node.connect().request("POST", "/v1/matches", &json, r#"{"method":"GET","url":"x"}"#);
    wrong.problem(422, "invalid");
}

#[test]
fn services_are_listed_with_what_guards_them() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens");
    let policies = "policies: { default: { retry: false, breaker: { consecutive: 2, open: 60s } } }";
    let (node, gateway) = node(gone, policies);
    let breaker = || {
        let (code, told) = asked(&node, &["services", "list", "--live"]);
        assert_eq!(code, Some(0));
        told["services"][0]["guards"][0].clone()
    };
    assert_eq!(breaker(), json!({ "breaker": "closed", "bulkhead": { "running": 0, "waiting": 0 } }));
    for _ in 0..4 {
        assert_eq!(status(gateway, "/echo"), 503);
    }
    assert_eq!(breaker()["breaker"], "open");
    assert_eq!(node.get("/v1/services").json()["services"][0]["guards"][0]["breaker"], "open");
    let (_, told) = asked(&node, &["services", "list"]);
    assert!(told["services"][0].get("guards").is_none(), "nothing runs in a file: {told}");
    assert_eq!(node.get("/v1/routes").json()["routes"][0]["name"], "echo");
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn put(node: &Node, path: &str, body: &str) -> Answer {
    node.connect().request("PUT", path, &[JSON], body)
}

fn delete(node: &Node, path: &str) -> Answer {
    node.connect().request("DELETE", path, &[], "")
}

const OF_FILE: &str = "{ name: broken, match: { path: /broken }, to: { service: echo }, faults: [{ fault: { error: unavailable }, ratio: 0 }] }";

/// The same configuration with a route whose fault it has itself.
fn with_fault(yaml: &str) -> String {
    yaml.replace("to: { service: echo } }]", &format!("to: {{ service: echo }} }}, {OF_FILE}]"))
}

#[test]
fn faults_are_injected_at_run_time_until_they_are_taken_out_or_the_node_stops() {
    let echo = Echo::start();
    let configured = with_fault(&yaml(echo.0, "faults: allowed"));
    let (mut node, gateway) = start(&configured);
    let error = r#"{"route":"echo","fault":{"error":"rate_limited"}}"#;
    assert_eq!(status(gateway, "/echo"), 200);
    let made = put(&node, "/v1/faults/drill", error);
    assert_eq!((made.status, &made.json()["origin"]), (201, &json!("api")), "{made:?}");
    assert_eq!(status(gateway, "/echo"), 429);
    node.write_config(&format!("{configured}\n# the same\n").replace("/broken", "/other"));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(status(gateway, "/other"), 200);
    assert_eq!(status(gateway, "/echo"), 429, "a reload keeps it");
    let of_service = r#"{"service":"echo","fault":"abort","schedule":{"from":"1h"}}"#;
    assert_eq!(put(&node, "/v1/faults/drill", of_service).status, 200, "another one by that name");
    assert_eq!(status(gateway, "/echo"), 200, "not before an hour has passed");
    let all = node.get("/v1/faults").json();
    let names: Vec<_> = all["faults"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (&it["name"], &it["origin"], &it["line"]))
        .collect();
    let file = (&json!("route broken 0"), &json!("file"), &json!(5));
    assert_eq!(names, [file, (&json!("drill"), &json!("api"), &Value::Null)], "{all}");
    assert_eq!(all["faults"][0]["route"], "broken");
    delete(&node, "/v1/faults/route%20broken%200").problem(409, "owned_by_file");
    delete(&node, "/v1/faults/none").problem(404, "not_found");
    assert_eq!(delete(&node, "/v1/faults/drill").status, 204);
    node.get("/v1/faults/drill").problem(404, "not_found");
    assert_eq!(put(&node, "/v1/faults/drill", error).status, 201);
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, &configured);
    assert_eq!(
        node.get("/v1/faults").json()["faults"].as_array().expect("a list").len(),
        1,
        "a restart forgets it"
    );
}

#[test]
fn faults_that_cannot_be_are_refused_and_change_nothing() {
    let echo = Echo::start();
    let (node, gateway) = node(echo.0, "faults: allowed");
    for (body, pointer) in [
        (r#"{"fault":"abort"}"#, ""),
        (r#"{"route":"echo","service":"echo","fault":"abort"}"#, ""),
        (r#"{"route":"none","fault":"abort"}"#, "/route"),
        (r#"{"service":"none","fault":"abort"}"#, "/service"),
    ] {
        let told = put(&node, "/v1/faults/drill", body).problem(422, "invalid");
        assert_eq!(told["pointer"], pointer, "{told}");
    }
    let spread = r#"{"route":"echo","fault":{"delay":{"from":"2s","to":"1s"}}}"#;
    put(&node, "/v1/faults/drill", spread).problem(422, "invalid");
    put(&node, "/v1/faults/Drill", r#"{"route":"echo","fault":"abort"}"#).problem(422, "invalid");
    assert_eq!(node.get("/v1/faults").json(), json!({ "faults": [] }));
    for number in 0..100 {
        let answer =
            put(&node, &format!("/v1/faults/f{number}"), r#"{"route":"echo","fault":{"delay":"0s"}}"#);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    put(&node, "/v1/faults/more", r#"{"route":"echo","fault":"abort"}"#).problem(422, "invalid");
    assert_eq!(status(gateway, "/echo"), 200);
    let (refusing, _) = self::node(echo.0, "");
    let told =
        put(&refusing, "/v1/faults/drill", r#"{"route":"echo","fault":"abort"}"#).problem(403, "forbidden");
    assert!(told["detail"].as_str().is_some_and(|it| it.contains("set `faults: allowed`")), "{told}");
}

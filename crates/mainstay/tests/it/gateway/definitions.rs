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

#[test]
fn what_guards_a_service_remembers_while_its_endpoints_change() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it listens");
    let policies = "policies: { default: { retry: false, breaker: { consecutive: 2, open: 60s } } }";
    let written = yaml(gone, policies);
    let (mut node, gateway) = start(&written);
    for _ in 0..2 {
        assert_eq!(status(gateway, "/echo"), 503);
    }
    let breaker =
        |node: &Node| node.get("/v1/services").json()["services"][0]["guards"][0]["breaker"].clone();
    assert_eq!(breaker(&node), "open");
    let more = written.replace(&format!("[\"{gone}\"]"), &format!("[\"{gone}\", \"127.0.0.1:1\"]"));
    assert_ne!(more, written);
    node.write_config(&more);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(breaker(&node), "open");
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

fn rollback(node: &Node, path: &str, to: &Value) -> Answer {
    node.connect().request("POST", &format!("{path}/rollback"), &[JSON], &json!({ "to": to }).to_string())
}

const TO_ECHO: &str = r#"{"match":{"path":"/api"},"to":{"service":"echo"}}"#;

#[test]
fn a_definition_of_the_api_changes_keeps_its_history_and_is_there_after_a_restart() {
    let (echo, other) = (Echo::start(), Echo::named("other"));
    let configured = yaml(echo.0, "");
    let (node, gateway) = start(&configured);
    let service = format!(r#"{{"endpoints":["{}"]}}"#, other.0);
    let made = put(&node, "/v1/services/other", &service);
    assert_eq!((made.status, &made.json()["origin"]), (201, &json!("api")), "{made:?}");
    let made = put(&node, "/v1/routes/api", TO_ECHO);
    assert_eq!((made.status, made.header("mainstay-durability")), (201, Some("synced")), "{made:?}");
    let first = made.json()["version"].clone();
    assert_eq!(made.header("etag"), Some(&*format!("\"{}\"", first.as_str().expect("a version"))));
    assert_eq!(made.json()["definition"], serde_json::from_str::<Value>(TO_ECHO).expect("JSON"));
    let of =
        |gateway| Client::connect(gateway).request("GET", "/api", &[], "").header("x-of").map(str::to_owned);
    assert_eq!(of(gateway).as_deref(), Some("echo"));
    let moved = TO_ECHO.replace("\"echo\"", "\"other\"");
    let dry = put(&node, "/v1/routes/api?dry_run=true", &moved);
    assert_eq!((dry.status, &dry.json()["changes"]), (200, &json!(true)), "{dry:?}");
    assert_eq!(
        (of(gateway).as_deref(), &node.get("/v1/routes/api").json()["version"]),
        (Some("echo"), &first)
    );
    let stale = [JSON, ("If-Match", "\"1-1\"")];
    node.connect().request("PUT", "/v1/routes/api", &stale, &moved).problem(412, "condition_failed");
    assert_eq!(put(&node, "/v1/routes/api", &moved).status, 200);
    assert_eq!(of(gateway).as_deref(), Some("other"));
    delete(&node, "/v1/services/other").problem(409, "conflict");
    assert_eq!(rollback(&node, "/v1/routes/api", &first).status, 200);
    assert_eq!(of(gateway).as_deref(), Some("echo"));
    assert_eq!(delete(&node, "/v1/services/other").json()["retired"], true);
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();

    let node = Node::start_in(folder, &configured);
    let gateway = super::gateway_of(&node);
    assert_eq!(of(gateway).as_deref(), Some("echo"), "from the first request on");
    node.get("/v1/services/other").problem(404, "not_found");
    let history = node.get("/v1/routes/api/history").json();
    let services: Vec<_> = history["versions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["definition"]["to"]["service"])
        .collect();
    assert_eq!(services, ["echo", "other", "echo"], "{history}");
    let page = node.get("/v1/routes?limit=1").json();
    assert_eq!((&page["routes"][0]["name"], &page["next"]), (&json!("api"), &json!("api")), "{page}");
    let rest = node.get("/v1/routes?cursor=api").json();
    assert_eq!((&rest["routes"][0]["name"], rest.get("next")), (&json!("echo"), None), "{rest}");
}

#[test]
fn what_does_not_go_together_is_refused_with_its_place_and_changes_nothing() {
    let echo = Echo::start();
    let (node, gateway) = node(echo.0, "");
    for (body, pointer) in [
        (r#"{"to":{"service":"none"}}"#, "/to/service"),
        (r#"{"match":{"path":"/api"}}"#, ""),
        (r#"{"match":{"path":"/api"},"to":{"service":"echo"},"policy":"none"}"#, "/policy"),
        (r#"{"match":{"path":"api"},"to":{"service":"echo"}}"#, "/match/path"),
        (r#"{"name":"api","to":{"service":"echo"}}"#, "/name"),
        (r#"{"to":{"service":"echo"},"too":1}"#, "/too"),
        (r#"{"match":{"path":"/api"},"to":{"service":"echo"},"faults":[{"fault":"abort"}]}"#, "/faults"),
    ] {
        let told = put(&node, "/v1/routes/api", body).problem(422, "invalid");
        assert_eq!(told["pointer"], pointer, "{told}");
    }
    let told = put(&node, "/v1/routes/api", &TO_ECHO.replace("/api", "/echo")).problem(409, "conflict");
    assert_eq!(
        (&told["findings"][0]["route"], &told["findings"][0]["place"]),
        (&json!("echo"), &json!("mainstay.yaml:5"))
    );
    put(&node, "/v1/routes/api", "[]").problem(422, "invalid");
    put(&node, "/v1/routes/api", "{").problem(400, "malformed");
    put(&node, "/v1/services/a", r#"{"endpoints":[]}"#).problem(422, "invalid");
    put(&node, "/v1/routes/Api", TO_ECHO).problem(422, "invalid");
    delete(&node, "/v1/routes/api").problem(404, "not_found");
    let told = put(&node, "/v1/routes/echo", TO_ECHO).problem(409, "owned_by_file");
    assert_eq!((&told["file"], &told["line"]), (&json!("mainstay.yaml"), &json!(5)), "{told}");
    delete(&node, "/v1/services/echo").problem(409, "owned_by_file");
    rollback(&node, "/v1/routes/echo", &json!("1-1")).problem(409, "owned_by_file");
    assert_eq!(node.get("/v1/routes").json()["routes"].as_array().expect("a list").len(), 1);
    assert_eq!((status(gateway, "/api"), status(gateway, "/echo")), (404, 200));
}

#[test]
fn a_key_makes_a_change_safe_to_send_again_also_after_a_restart() {
    let echo = Echo::start();
    let configured = yaml(echo.0, "");
    let (node, _) = start(&configured);
    let keyed = |node: &Node, body: &str| {
        node.connect().request("PUT", "/v1/routes/api", &[JSON, ("Idempotency-Key", "k1")], body)
    };
    let first = keyed(&node, TO_ECHO);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, &configured);
    let again = keyed(&node, TO_ECHO);
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")), "{again:?}");
    assert_eq!(again.json()["version"], first.json()["version"]);
    keyed(&node, &TO_ECHO.replace("/api", "/b")).problem(422, "idempotency_mismatch");
}

#[test]
fn a_file_takes_over_what_it_names_and_is_refused_where_it_contradicts_the_api() {
    let echo = Echo::start();
    let (mut node, gateway) = node(echo.0, "");
    assert_eq!(put(&node, "/v1/routes/api", TO_ECHO).status, 201);
    assert_eq!(put(&node, "/v1/routes/other", &TO_ECHO.replace("/api", "/other")).status, 201);
    let with = |more: &str| {
        yaml(echo.0, "").replace("to: { service: echo } }]", &format!("to: {{ service: echo }} }}{more}]"))
    };
    node.write_config(&with(", { name: mine, match: { path: /other }, to: { service: echo } }"));
    node.signal(Signal::HUP);
    let refused = node.wait_for("configuration not reloaded, the running one stays");
    let reason = refused["reason"].as_str().expect("a reason");
    assert!(reason.contains("route") && reason.contains("`mine`") && reason.contains("/match"), "{reason}");
    node.get("/v1/routes/mine").problem(404, "not_found");
    node.write_config(&with(", { name: api, match: { path: /file }, to: { service: echo } }"));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(
        (status(gateway, "/api"), status(gateway, "/file"), status(gateway, "/other")),
        (404, 200, 200)
    );
    assert_eq!(node.get("/v1/routes/api").json()["origin"], "file");
    put(&node, "/v1/routes/api", TO_ECHO).problem(409, "owned_by_file");
    node.write_config(&with(""));
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
    assert_eq!(
        (status(gateway, "/file"), status(gateway, "/other")),
        (404, 200),
        "and what it drops is retired"
    );
    let history = node.get("/v1/routes/api/history").json();
    let versions = history["versions"].as_array().expect("a list");
    let seen: Vec<_> = versions.iter().map(|it| (it["origin"].as_str(), it["retired"] == true)).collect();
    assert_eq!(seen, [(Some("file"), true), (Some("file"), false), (Some("api"), false)]);
    assert_eq!(rollback(&node, "/v1/routes/api", &versions[2]["version"]).status, 201);
    assert_eq!(status(gateway, "/api"), 200);
}

#[test]
fn a_reload_that_is_refused_takes_over_nothing_also_after_a_restart() {
    let echo = Echo::start();
    let collections = |by: &str| format!("collections: {{ c: {{ partition_by: {by} }} }}");
    let written = yaml(echo.0, &collections("first_segment"));
    let (mut node, _) = start(&written);
    assert_eq!(put(&node, "/v1/routes/api", TO_ECHO).status, 201);
    let api = ", { name: api, match: { path: /file }, to: { service: echo } }]";
    let other = yaml(echo.0, &collections("whole_key"))
        .replace("to: { service: echo } }]", &format!("to: {{ service: echo }} }}{api}"));
    node.write_config(&other);
    node.signal(Signal::HUP);
    node.wait_for("configuration not reloaded, the running one stays");
    node.signal(Signal::TERM);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, &written);
    assert_eq!(node.get("/v1/routes/api").json()["origin"], "api");
    assert_eq!(status(super::gateway_of(&node), "/api"), 200);
}

#[test]
fn changes_under_load_lose_no_request() {
    let (echo, other) = (Echo::start(), Echo::named("other"));
    let (node, gateway) = node(echo.0, "");
    let service = format!(r#"{{"endpoints":["{}"]}}"#, other.0);
    assert_eq!(put(&node, "/v1/services/other", &service).status, 201);
    assert_eq!(put(&node, "/v1/routes/api", TO_ECHO).status, 201);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let ask = || {
            let (mut client, mut asked) = (Client::connect(gateway), std::collections::BTreeMap::new());
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = client.request("GET", "/api", &[], "");
                assert_eq!(answer.status, 200, "{answer:?}");
                *asked.entry(answer.header("x-of").expect("it says").to_owned()).or_insert(0) += 1;
            }
            asked
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for number in 0..40 {
            let to = if number % 2 == 0 { "\"other\"" } else { "\"echo\"" };
            assert_eq!(put(&node, "/v1/routes/api", &TO_ECHO.replace("\"echo\"", to)).status, 200);
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().expect("every request is answered"))
            .collect::<Vec<_>>()
    });
    let of = |name: &str| asked.iter().filter_map(|it| it.get(name)).sum::<i32>();
    assert!(of("echo") > 0 && of("other") > 0, "both had some: {asked:?}");
}

#[test]
fn every_resource_of_the_gateway_is_described_with_its_methods() {
    let echo = Echo::start();
    let (node, _) = node(echo.0, "");
    let described = node.get("/v1/openapi.json").json();
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.contains_key("/v1/collections"), "those of the building blocks too");
    let is_ours = |path: &str| {
        ["/v1/routes", "/v1/services", "/v1/faults", "/v1/matches"].iter().any(|it| path.starts_with(it))
    };
    let mut references = Vec::new();
    collect(&described, &mut references);
    for reference in references {
        let found = described.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference} leads nowhere");
    }
    let ours: Vec<_> = paths.iter().filter(|(path, _)| is_ours(path)).collect();
    assert_eq!(ours.len(), 14);
    for (path, operations) in ours {
        let refused = node.connect().request(
            "TRACE",
            &path.replace("{name}", "echo").replace("{address}", "127.0.0.1:9"),
            &[],
            "",
        );
        let allowed = refused.header("allow").expect("it says").to_lowercase();
        let mut allowed: Vec<_> = allowed.split(',').filter(|it| *it != "head").map(str::to_owned).collect();
        let mut described: Vec<_> = operations.as_object().expect("operations").keys().cloned().collect();
        allowed.sort();
        described.sort();
        assert_eq!(described, allowed, "{path}");
    }
}

/// All references in a document.
fn collect<'d>(value: &'d Value, references: &mut Vec<&'d str>) {
    match value {
        Value::Array(all) => all.iter().for_each(|value| collect(value, references)),
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| collect(value, references));
        }
        _ => {}
    }
}

//! Connections to services: over TLS, and only so many.

use std::net::SocketAddr;
use std::sync::Barrier;

use serde_json::json;

use super::{Echo, gateway_of, start};
use crate::support::{Client, Node, metric, run};

/// A folder with an authority, and a certificate for this machine that both sides show.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, told) = run(folder.path(), &["certs", "dev", "payments.localhost"]);
    assert_eq!(code, Some(0), "{told}");
    folder
}

/// A node that answers those by itself who show a certificate.
fn payments() -> (tempfile::TempDir, Node, SocketAddr) {
    let folder = folder();
    let node = Node::start_in(
        copied(&folder),
        r#"
listen:
  gateway:
    - address: "127.0.0.1:0"
      tls: { certificates: [{ cert: certs/dev.pem, key: "${file:certs/dev.key}" }], client_auth: require, client_ca: certs/ca.pem }
shutdown: { linger: 100ms }
routes: [{ name: all, match: { path: "/{rest...}" }, answer: { status: 200, body: "paid\n" } }]
"#,
    );
    let address = gateway_of(&node);
    (folder, node, address)
}

/// Another folder with the same certificates.
fn copied(folder: &tempfile::TempDir) -> tempfile::TempDir {
    let other = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(other.path().join("certs")).expect("a folder");
    for file in ["ca.pem", "dev.pem", "dev.key"] {
        let [from, to] = [folder, &other].map(|it| it.path().join("certs").join(file));
        std::fs::copy(from, to).expect("it is there");
    }
    other
}

fn shop(payments: SocketAddr, tls: &str) -> String {
    format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
shutdown: {{ linger: 100ms }}
services: {{ payments: {{ endpoints: ["{payments}"], {tls} }} }}
routes: [{{ name: pay, match: {{ path: /pay, methods: [GET] }}, to: {{ service: payments }} }}]
"#
    )
}

#[test]
fn a_service_is_called_over_tls_by_whom_it_knows_and_if_it_is_itself() {
    let (certified, _payments, address) = payments();
    let shown = r#"cert: certs/dev.pem, key: "${file:certs/dev.key}""#;
    let known = format!("tls: {{ name: payments.localhost, ca: certs/ca.pem, {shown} }}");
    let other = known.replace("payments.localhost", "orders.localhost");
    for (tls, status) in [
        (known.clone(), 200),
        (format!("{known}, protocol: http2"), 200),
        (format!("{known}, health: {{ path: /ready }}"), 200),
        (other, 503),
        ("tls: { name: payments.localhost, ca: certs/ca.pem }, outliers: false".to_owned(), 502),
    ] {
        let node = Node::start_in(copied(&certified), &shop(address, &tls));
        let answer = Client::connect(gateway_of(&node)).request("GET", "/pay", &[], "");
        assert_eq!(answer.status, status, "{tls}: {answer:?}");
        let (_, told) = run(node.folder(), &["services", "endpoints", "payments"]);
        match status {
            200 => assert_eq!(answer.body, "paid\n"),
            // What is wrong is told to who operates it, and to nobody else.
            503 => assert!(told.contains("not valid for name") && !answer.body.contains("orders"), "{told}"),
            _ => {}
        }
    }
}

#[test]
fn tls_that_cannot_work_is_told_at_its_place() {
    let certified = folder();
    let check = |tls: &str| {
        let folder = copied(&certified);
        let yaml = shop("127.0.0.1:1".parse().expect("an address"), tls);
        std::fs::write(folder.path().join("mainstay.yaml"), yaml).expect("a file");
        let (code, told) = run(folder.path(), &["check"]);
        assert_eq!(code, Some(2), "{told}");
        told
    };
    let missing = check("tls: { ca: certs/none.pem }");
    assert!(
        missing.contains("services.payments.tls.ca") && missing.contains("none.pem cannot be read"),
        "{missing}"
    );
    let half = check("tls: { cert: certs/dev.pem }");
    assert!(half.contains("a `cert` without its `key`"), "{half}");
    let swapped = check(r#"tls: { cert: certs/ca.pem, key: "${file:certs/dev.key}" }"#);
    assert!(swapped.contains("cannot be used together"), "{swapped}");
    let none = check(r#"tls: { cert: certs/dev.pem, key: "${file:certs/none.key}" }"#);
    assert!(none.contains("services.payments.tls.key"), "{none}");
}

#[test]
fn files_are_for_the_configuration_alone() {
    let (node, _) = start(&shop("127.0.0.1:1".parse().expect("an address"), ""));
    let put = |tls: serde_json::Value| {
        let body = json!({ "endpoints": ["127.0.0.1:1"], "tls": tls }).to_string();
        let headers = [("content-type", "application/json")];
        node.connect().request("PUT", "/v1/services/other", &headers, &body)
    };
    let told = put(json!({ "ca": "/etc/shadow" })).problem(422, "invalid").to_string();
    assert!(told.contains("not taken from the API") && told.contains("/tls"), "{told}");
    assert_eq!(put(json!({ "name": "payments.internal" })).status, 201);
    assert_eq!(put(json!(true)).status, 200);
}

#[test]
fn there_are_no_more_connections_than_there_may_be_and_all_workers_share_them() {
    const CLIENTS: usize = 8;
    let echo = Echo::start();
    let service = format!("{{ endpoints: [\"{}\"], connections: {{ max: 2, max_wait: 10s }} }}", echo.0);
    let (node, gateway) = start(&format!(
        r#"
listen: {{ gateway: [{{ address: "127.0.0.1:0" }}] }}
gateway: {{ workers: 2 }}
shutdown: {{ linger: 100ms }}
services: {{ echo: {service} }}
routes: [{{ name: echo, match: {{ path: "/echo" }}, to: {{ service: echo }} }}]
"#
    ));
    let begin = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(gateway);
                begin.wait();
                for _ in 0..50 {
                    let answer = client.request("GET", "/echo", &[], "");
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            });
        }
    });
    let metrics = node.get("/metrics").body;
    let of_echo = |name: &str| metric(&metrics, name, &[("service", "echo")]);
    assert_eq!(of_echo("mainstay_upstream_connections"), 2.0);
    assert_eq!((of_echo("mainstay_upstream_waiting"), of_echo("mainstay_upstream_running")), (0.0, 0.0));
}

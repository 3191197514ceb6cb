//! Mainstay as programs that are not ours see it: the clients that its users have, and the references of its formats.
//!
//! Run by `make conformance`, which provides the Python packages in `requirements.txt`; SeaweedFS is one of them.

mod gateway;
mod s3;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mainstay_lab::process::{Probe, Server, free_port};
use xtask::binary::{self, Profile};

/// A running node with a data folder of its own.
struct Node {
    server: Server,
    address: String,
    folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With these lines in its configuration.
    fn start_with(lines: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder can be made"), "", lines)
    }

    /// With listeners besides that of the API, in a folder that may hold something.
    fn start_in(folder: tempfile::TempDir, listeners: &str, lines: &str) -> Self {
        let address = free_port().expect("a port is free");
        std::fs::write(
            folder.path().join("mainstay.yaml"),
            format!("listen: {{ api: \"{address}\", {listeners} }}\n{lines}"),
        )
        .expect("a file can be written");
        let mut command = Command::new(binary::mainstay(Profile::Dev).expect("mainstay builds"));
        command.arg("up").arg(folder.path().join("mainstay.yaml"));
        let mut server = Server::spawn(command, &folder.path().join("log")).expect("it starts");
        let ready = Probe::Http(address, "/v1/health/ready".into());
        server.wait_ready(&ready, Duration::from_secs(10)).expect("it becomes ready");
        Self { server, address: address.to_string(), folder }
    }

    /// Stops it; it must end by itself and in order.
    fn stop(self) {
        let stopped = self.server.stop(Duration::from_secs(20)).expect("it stops");
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(stopped.status.success() && !stopped.killed, "{stopped:?}\n{log}");
    }
}

/// Runs a script of this folder; it prints what it found and fails if that is not as it must be.
#[track_caller]
fn passes(interpreter: &str, script: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(script);
    let output = Command::new(interpreter)
        .arg(path)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{interpreter} is needed for {script}: {error}"));
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{script}: {}\n{}", output.status, String::from_utf8_lossy(&printed));
}

#[test]
fn python_clients_are_served() {
    let node = Node::start();
    passes("python3", "client.py", &[&node.address]);
    node.stop();
}

#[test]
fn node_clients_are_served_over_http_1_and_2() {
    let node = Node::start();
    passes("node", "client.mjs", &[&node.address]);
    node.stop();
}

#[test]
fn metrics_are_read_by_the_prometheus_parser() {
    let node = Node::start();
    passes("python3", "metrics.py", &[&node.address]);
    node.stop();
}

#[test]
fn what_is_committed_is_served_as_its_openapi_document_says() {
    let node = Node::start_with("collections: { kv: {} }\napi: { timeout: 2s }\n");
    passes("python3", "api.py", &[&node.address]);
    node.stop();
}

#[test]
fn the_configuration_schema_is_a_json_schema() {
    let mainstay = binary::mainstay(Profile::Dev).expect("mainstay builds");
    let example = binary::repository().join("examples/hello.yaml");
    let [mainstay, example] =
        [&mainstay, &example].map(|path| path.to_str().expect("a path of ours is UTF-8"));
    passes("python3", "schema.py", &[mainstay, example]);
}

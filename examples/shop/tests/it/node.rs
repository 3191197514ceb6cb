//! A real node with the shop's collections, and services before it, in the test's own process.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use serde_json::Value;
use shop::http::{Answer, Call, Client, Deadline};
use shop::mainstay::Mainstay;
use tokio::net::TcpListener;

/// Long enough for anything on a loaded machine; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The shop's configuration, whose collections the node has.
const CONFIGURATION: &str = include_str!("../../mainstay.yaml");

/// A running node. Killed when dropped.
pub struct Node {
    child: Child,
    folder: tempfile::TempDir,
    /// Its API: `http://127.0.0.1:...`.
    pub base: String,
}

impl Node {
    /// Starts a node on a free port, and waits until all of it is ready.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_configuration(folder.path());
        let log = File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(binary());
        command.args(["up", "--set", "listen.api=127.0.0.1:0"]).current_dir(folder.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the binary runs");
        let mut node = Self { child, folder, base: String::new() };
        node.base = node.address().await;
        let deadline = Deadline::after(PATIENCE);
        while get(&node.client(), "/v1/health/ready").await.status != 200 {
            assert!(!deadline.is_over(), "it is not ready:\n{}", node.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        node
    }

    /// Where it listens, as its log says.
    async fn address(&mut self) -> String {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let log = self.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(ready) = lines.into_iter().find(|line| line["message"] == "ready") {
                return format!("http://{}", ready["api"].as_str().expect("an address"));
            }
            let ended = self.child.try_wait().expect("it was started");
            assert!(ended.is_none() && !deadline.is_over(), "it did not get ready:\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a file")
    }

    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    pub fn api(&self) -> Mainstay {
        Mainstay::new(&self.base)
    }

    /// All that ever was in a collection, in the order of commits: each key with its value.
    pub async fn history(&self, collection: &str) -> Vec<(String, Value)> {
        let (mut after, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let path = format!("/v1/collections/{collection}/changes?after={after}&wait=0s&limit=1000");
            let page: Value = get(&self.client(), &path).await.json().expect("a page");
            let events = page["events"].as_array().expect("events");
            if events.is_empty() {
                return seen;
            }
            seen.extend(events.iter().map(|event| {
                assert_eq!(event["kind"], "put", "{event}");
                (event["key"].as_str().expect("a key").to_owned(), event["value"].clone())
            }));
            page["next"].as_str().expect("a place").clone_into(&mut after);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The node's program: that of `MAINSTAY_BINARY`, or beside the tests where cargo puts it.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MAINSTAY_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a path");
    let path = test.parent().and_then(Path::parent).expect("tests are in target/*/deps").join("mainstay");
    assert!(
        path.exists(),
        "these tests need a node, and there is no {}: run `cargo build -p mainstay` first, or set MAINSTAY_BINARY",
        path.display()
    );
    path
}

/// The collections are those of the shop, with their schemas; nothing is run and nothing is fixed.
fn write_configuration(folder: &Path) {
    let (_, collections) = CONFIGURATION.split_once("\ncollections:").expect("it has collections");
    let text = format!("data: ./data\ncollections:{collections}");
    std::fs::write(folder.join("mainstay.yaml"), text).expect("a file");
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    std::fs::create_dir(folder.join("schemas")).expect("a folder");
    for file in std::fs::read_dir(schemas).expect("the schemas") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder.join("schemas").join(file.file_name())).expect("a copy");
    }
}

/// Serves a service in this process; returns a client of it.
pub async fn serve(routes: Router) -> Client {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Client::new(&base)
}

/// The answer to a request, whatever its status.
pub async fn send(client: &Client, call: Call) -> Answer {
    client.send(call, Deadline::after(PATIENCE)).await.expect("an answer")
}

pub async fn get(client: &Client, path: &str) -> Answer {
    send(client, Call::new(Method::GET, path)).await
}

/// The answer to a request that is sent again while it is not known whether it was done, as callers of the shop's services do.
pub async fn insist(client: &Client, call: Call) -> Answer {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let answer = send(client, call.clone()).await;
        if ![503, 504].contains(&answer.status.as_u16()) {
            return answer;
        }
        assert!(!deadline.is_over(), "{}", text(&answer));
    }
}

pub fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

/// The body, if the answer has this status.
#[track_caller]
pub fn body(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", text(answer));
    answer.json().unwrap_or_else(|| panic!("not JSON: {}", text(answer)))
}

/// The problem, if the answer is this one.
#[track_caller]
pub fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    let problem = body(answer, status);
    assert_eq!(problem["code"], code, "{}", text(answer));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    problem
}

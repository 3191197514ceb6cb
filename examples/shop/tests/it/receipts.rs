//! The service of receipts, as it is compiled, on a real node.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::http::{Method, StatusCode};
use serde_json::Value;
use shop::http::{Answer, Call, Client, Deadline};

use crate::feed_node::{CONFIG, Node, PATIENCE, order};

/// The service as a process of its own. Killed when dropped.
struct Receipts {
    process: Child,
    client: Client,
}

impl Receipts {
    fn start(program: &Path, api: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(program).env("PORT", "0").env("MAINSTAY_API", api);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("receipts listens on ").expect("it says where it listens");
        Self { process, client: Client::new(&format!("http://{address}")) }
    }

    async fn get(&self, order: &str) -> Answer {
        let call = Call::new(Method::GET, format!("/receipts/{order}"));
        self.client.send(call, Deadline::after(PATIENCE)).await.unwrap()
    }

    /// The receipt of an order, as soon as there is one.
    async fn written(&self, order: &str) -> String {
        let deadline = Deadline::after(PATIENCE);
        while !deadline.is_over() {
            let answer = self.get(order).await;
            if answer.status == StatusCode::OK {
                return String::from_utf8(answer.body.to_vec()).unwrap();
            }
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("there is no receipt of {order}");
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The compiled program; none where it is not compiled, or nothing can run it.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("receipts/dist/receipts.js");
    let runs = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs || !program.exists() {
        crate::skipped("there is no node, or receipts/dist/receipts.js is not compiled");
        return None;
    }
    Some(program)
}

async fn item(node: &Node, path: &str) -> Value {
    let call = Call::new(Method::GET, format!("/v1/collections/{path}"));
    node.client.send(call, Deadline::after(PATIENCE)).await.unwrap().json().unwrap()
}

#[tokio::test]
async fn each_shipped_order_has_one_receipt_and_no_other_has() {
    let Some(program) = program() else { return };
    let node = Node::start(CONFIG);
    node.put("orders", "c-1/o-1", &order("shipped")).await;
    node.put("orders", "c-1/o-2", &order("paid")).await;
    let receipts = Receipts::start(&program, &node.api);
    let text = receipts.written("c-1/o-1").await;
    assert!(text.contains("Order  o-1\n") && text.contains("Date   30 November 2026, 00:53 UTC\n"), "{text}");
    assert!(text.contains("Stoneware mug  2 × €18.00  €36.00\n"), "{text}");
    assert!(
        text.contains("Total                      €36.00\nPaid                       €36.00\n"),
        "{text}"
    );

    // Later ones come by the feed, and those before are as they were.
    let first = item(&node, "receipts/items?prefix=c-1/o-1").await;
    node.put("orders", "c-1/o-1", &order("shipped")).await;
    node.put("orders", "c-2/o-3", &order("shipped")).await;
    receipts.written("c-2/o-3").await;
    assert_eq!(item(&node, "receipts/items?prefix=c-1/o-1").await, first);
    assert_eq!(receipts.get("c-1/o-2").await.status, StatusCode::NOT_FOUND);
    assert_eq!(receipts.get("..%2F..%2Fcursors/items").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let Some(program) = program() else { return };
    let node = Node::start(CONFIG);
    node.put("orders", "c-1/o-1", &order("shipped")).await;
    let receipts = Receipts::start(&program, &node.api);
    receipts.written("c-1/o-1").await;
    // What is stored is at most what has its receipt.
    let deadline = Deadline::after(PATIENCE);
    while item(&node, "cursors/items/receipts").await["after"].is_null() {
        assert!(!deadline.is_over(), "it stores where it is");
    }
    drop(receipts);
    node.put("orders", "c-1/o-2", &order("shipped")).await;
    let receipts = Receipts::start(&program, &node.api);
    receipts.written("c-1/o-2").await;
}

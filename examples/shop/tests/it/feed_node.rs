//! Orders that are followed through a real node: what the storefront tells a browser is what the change feed tells.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use shop::http::{Call, Client, Deadline};

pub use crate::node::PATIENCE;
use crate::node::binary;
use crate::storefront::{Stream, Visitor, serve};

pub const CONFIG: &str = "{ data: ./data, collections: {
    orders: { content_type: application/json, indexes: { by_open: [/open] } },
    receipts: { content_type: text/plain },
    cursors: { content_type: application/json } } }";

/// A node as a process of its own. Killed when dropped.
pub struct Node {
    process: Child,
    /// Where its API is.
    pub api: String,
    pub client: Client,
    _folder: tempfile::TempDir,
}

impl Node {
    /// Starts a node on a free port and waits until it is ready.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mainstay.yaml"), config).unwrap();
        let mut process = Command::new(binary())
            .args(["up", "--set", "listen.api=127.0.0.1:0"])
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            (line["message"] == "ready").then(|| line["api"].as_str().unwrap().to_owned())
        });
        let api = format!("http://{}", ready.expect("it says where its API is"));
        // What it writes later is read, so that it can go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, client: Client::new(&api), api, _folder: folder }
    }

    /// Puts an item.
    pub async fn put(&self, collection: &str, key: &str, document: &Value) {
        let call = Call::new(Method::PUT, format!("/v1/collections/{collection}/items/{key}")).json(document);
        let answer = self.client.send(call, Deadline::after(PATIENCE)).await.unwrap();
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn order(state: &str) -> Value {
    let mut order = json!({
        "state": state,
        "currency": "eur",
        "lines": [{"sku": "mug", "name": "Stoneware mug", "quantity": 2, "price": 1800}],
        "total": 3600,
        "placed_at": 1_796_000_000_000_u64,
        "changed_at": 1_796_000_000_000_u64,
    });
    if !matches!(state, "shipped" | "failed") {
        order["open"] = json!(true);
    }
    order
}

#[tokio::test]
async fn an_order_is_told_from_how_it_is_now_to_its_end() {
    let node = Node::start(CONFIG);
    let shop = serve(&node.api, "http://127.0.0.1:1").await;
    let visitor = Visitor::new(&shop);
    let key = format!("{}/o-1", visitor.customer);
    node.put("orders", &key, &order("placed")).await;
    node.put("orders", &key, &order("reserved")).await;

    let mut stream = Stream::open(&visitor, "o-1").await;
    let first = stream.order().await.expect("it begins with the present");
    assert_eq!(
        (&first["id"], &first["state"], &first["total"]),
        (&json!("o-1"), &json!("reserved"), &json!(3600))
    );

    // The feed of this key has that one too, and it is another order.
    node.put("orders", &format!("{key}0"), &order("shipped")).await;
    for state in ["charging", "paid", "shipped"] {
        node.put("orders", &key, &order(state)).await;
        let told = stream.order().await.unwrap();
        assert_eq!((&told["id"], &told["state"]), (&json!("o-1"), &json!(state)));
    }
    assert_eq!(stream.order().await, None, "it is final");

    let mut stream = Stream::open(&visitor, "o-1").await;
    assert_eq!(stream.order().await.unwrap()["state"], "shipped");
    assert_eq!(stream.order().await, None);
}

#[tokio::test]
async fn an_order_that_is_removed_ends_its_stream() {
    let node = Node::start(CONFIG);
    let shop = serve(&node.api, "http://127.0.0.1:1").await;
    let visitor = Visitor::new(&shop);
    let key = format!("{}/o-1", visitor.customer);
    node.put("orders", &key, &order("placed")).await;
    let mut stream = Stream::open(&visitor, "o-1").await;
    assert_eq!(stream.order().await.unwrap()["state"], "placed");
    let path = format!("/v1/collections/orders/items/{key}");
    node.client.send(Call::new(Method::DELETE, path), Deadline::after(PATIENCE)).await.unwrap();
    assert_eq!(stream.order().await, None);
}

#[tokio::test]
async fn nobody_follows_the_order_of_another_customer() {
    let node = Node::start(CONFIG);
    let shop = serve(&node.api, "http://127.0.0.1:1").await;
    let (owner, other) = (Visitor::new(&shop), Visitor::new(&shop));
    node.put("orders", &format!("{}/o-1", owner.customer), &order("placed")).await;
    assert_eq!(other.get("/orders/o-1/events").await.status, StatusCode::NOT_FOUND);
    // Not by an address within the collection either.
    let path = format!("/orders/..%2F{}%2Fo-1/events", owner.customer);
    assert_eq!(other.get(&path).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let without_a_cookie = Call::new(Method::GET, "/orders/o-1/events")
        .header(HeaderName::from_static("accept"), "text/event-stream");
    let answer = shop.send(without_a_cookie, Deadline::after(PATIENCE)).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

//! The API over HTTP/2, without TLS, as a client with prior knowledge speaks it.

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::Node;

type Body = Full<bytes::Bytes>;

async fn connect(node: &Node) -> SendRequest<Body> {
    let stream = TcpStream::connect(node.api).await.expect("it listens");
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    // Ends with the connection, whichever side closes it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    sender
}

async fn send(sender: &mut SendRequest<Body>, request: Request<Body>) -> (u16, Response<()>, String) {
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    (head.status.as_u16(), Response::from_parts(head, ()), text)
}

fn request(node: &Node, method: &str, path: &str, content_type: &str, body: &str) -> Request<Body> {
    let url = format!("http://{}{path}", node.api);
    let request = Request::builder().method(method).uri(url).header("content-type", content_type);
    request.body(Body::from(body.to_owned())).expect("a request")
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn answers_and_refusals_are_the_same_as_over_http_1() {
    run(async {
        let node = Node::start("");
        let mut sender = connect(&node).await;
        let (status, head, body) = send(&mut sender, request(&node, "GET", "/v1/health/live", "-", "")).await;
        assert_eq!(
            (status, head.version(), body.as_str()),
            (200, Version::HTTP_2, "{\"status\":\"live\"}\n")
        );
        let levels = "/v1/telemetry/logs";
        let body = r#"{"level": "info"}"#;
        let (status, head, text) = send(&mut sender, request(&node, "PUT", levels, "text/plain", body)).await;
        assert_eq!(
            (status, &head.headers()["content-type"]),
            (415, &"application/problem+json".parse().unwrap())
        );
        assert!(text.contains("unsupported_media_type"), "{text}");
        let (status, ..) = send(&mut sender, request(&node, "PUT", levels, "application/json", body)).await;
        assert_eq!(status, 200);
        let mut foreign = request(&node, "GET", "/v1/config", "-", "");
        foreign.headers_mut().insert("host", "evil.example".parse().unwrap());
        assert_eq!(send(&mut sender, foreign).await.0, 421);
    });
}

#[test]
fn a_stop_answers_open_connections_and_leaves_nothing_unfinished() {
    run(async {
        let mut node = Node::start("shutdown: { drain: 1h, linger: 200ms }");
        let mut sender = connect(&node).await;
        let live = || request(&node, "GET", "/v1/health/live", "-", "");
        assert_eq!(send(&mut sender, live()).await.0, 200);
        node.signal(Signal::TERM);
        let (_, head, _) = send(&mut sender, live()).await;
        assert!(!head.headers().contains_key("connection"), "HTTP/2 has no such header");
        node.wait_for("stopped");
        assert_eq!(node.ended().0.code(), Some(0));
    });
}

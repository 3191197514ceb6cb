//! What a service is sent is whole and has one reading, whatever its client has left out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http2;
use hyper::http::request::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Echo, config, start};
use crate::support::{Client, metric};

/// What the service was sent for these bytes.
fn sent(gateway: SocketAddr, bytes: &str) -> String {
    let mut client = Client::connect(gateway);
    client.send(bytes);
    let answer = client.answer(false);
    assert_eq!(answer.status, 200, "{bytes:?}: {answer:?}");
    answer.body
}

#[test]
fn a_query_without_a_path_has_the_root_for_one() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let told = sent(gateway, "GET http://shop?a=b HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(told.starts_with("GET /?a=b HTTP/1.1\r\nhost: shop\r\n"), "{told}");
}

#[test]
fn a_request_without_a_host_has_the_endpoint_for_one() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let told = sent(gateway, "GET / HTTP/1.0\r\n\r\n");
    assert!(told.contains(&format!("\r\nhost: {}\r\n", echo.0)), "{told}");
}

#[test]
fn cookies_that_come_in_pieces_over_http_2_are_one() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let told = over_http2(gateway, |request| request.header("cookie", "a=b").header("cookie", "c=d"));
    assert!(told.1.contains("\r\ncookie: a=b; c=d\r\n") && told.0 == 200, "{told:?}");
}

#[test]
fn what_is_refused_over_http_1_is_refused_over_http_2_and_its_connection_goes_on() {
    let echo = Echo::start();
    let (node, gateway) = start(&config(echo.0, "/{rest...}"));
    let told = over_http2(gateway, |request| request.header("host", "evil"));
    assert_eq!(told, (400, "The Host is another than that of the target\n".into()));
    let metrics = node.get("/metrics").body;
    assert_eq!(metric(&metrics, "mainstay_gateway_refused_total", &[("reason", "host_differs")]), 1.0);
}

/// The status and body of the answer to a request over HTTP/2. A usual one follows it on its connection.
fn over_http2(gateway: SocketAddr, with: impl FnOnce(Builder) -> Builder) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let stream = tokio::net::TcpStream::connect(gateway).await.expect("it listens");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/2");
        // Ends with the connection, whichever side closes it.
        tokio::task::spawn_local(async move { drop(connection.await) });
        let get = || Request::get("http://shop/");
        let mut answers = Vec::new();
        for request in [with(get()), get()] {
            let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            answers.push((status, String::from_utf8_lossy(&body).into_owned()));
        }
        assert_eq!(answers[1].0, 200);
        answers.swap_remove(0)
    })
}

#[test]
fn an_answer_to_head_over_http_2_has_no_body_whoever_answers() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/"));
    let told = over_http2(gateway, |request| request.method("HEAD").uri("http://shop/none"));
    assert_eq!(told, (404, String::new()));
    let told = over_http2(gateway, |request| request.method("HEAD").header("host", "evil"));
    assert_eq!(told, (400, String::new()));
}

#[test]
fn a_path_whose_normal_form_is_too_long_is_refused_and_not_cut() {
    let echo = Echo::start();
    let limits = "gateway: { limits: { request_line_size_max: 32KiB } }";
    let (_node, gateway) = start(&format!("{}{limits}\n", config(echo.0, "/{rest...}")));
    // Each of them takes three bytes then, and a target has at most 65,534.
    let path = format!("/public/{}", "[".repeat(22_000));
    let mut client = Client::connect(gateway);
    assert_eq!(client.request("GET", &path, &[], "").status, 414);
    assert_eq!(client.request("GET", &path[..1_000], &[], "").status, 200);
    let long = format!("http://shop/public/{}", "a".repeat(33_000));
    let told = over_http2(gateway, |request| request.uri(long));
    assert!(told.0 == 414 && told.1.contains("request line"), "{told:?}");
}

#[test]
fn an_offer_to_upgrade_is_passed_on_however_connection_is_written() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    for connection in ["Upgrade", "keep-alive, Upgrade", "UPGRADE", "x-a,upgrade"] {
        let mut client = Client::connect(gateway);
        client
            .send(&format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: echo\r\n\r\n"));
        assert!(client.line().expect("an answer").starts_with("HTTP/1.1 101"), "{connection}");
    }
}

#[test]
fn an_offer_to_upgrade_is_that_of_its_own_request() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let mut client = Client::connect(gateway);
    // HTTP/1.0 knows no upgrades. The guard has seen both heads when the first is handled.
    client.send(concat!(
        "GET /one HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nConnection: keep-alive\r\nUpgrade: echo\r\n\r\n",
        "GET /two HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    ));
    let first = client.answer(false);
    assert!(first.status == 200 && !first.body.contains("upgrade"), "{first:?}");
    assert!(client.line().expect("an answer").starts_with("HTTP/1.1 101"));
}

#[test]
fn a_body_that_is_refused_is_told_behind_the_answers_before_it() {
    let service = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (_node, gateway) = start(&config(service.local_addr().expect("it listens"), "/{rest...}"));
    let mut client = Client::connect(gateway);
    client.send(concat!(
        "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ));
    let (mut stream, _) = service.accept().expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow").expect("it reads");
    let first = client.answer(false);
    assert_eq!((first.status, first.body.as_str()), (200, "slow"));
    assert_eq!(client.answer(false).status, 400);
    assert!(client.is_closed());
}

#[test]
fn a_connection_that_has_sent_an_empty_line_is_idle() {
    let echo = Echo::start();
    let (_node, gateway) =
        start(&format!("{}gateway: {{ idle_timeout: 1s }}\n", config(echo.0, "/{rest...}")));
    for empty in ["\r\n", "\r"] {
        let mut client = Client::connect(gateway);
        client.send(empty);
        assert!(client.is_closed(), "{empty:?}");
    }
    let mut client = Client::connect(gateway);
    client.send("\r\n");
    assert_eq!(client.request("GET", "/", &[], "").status, 200);
}

#[test]
fn an_upgrade_with_a_body_is_a_request_with_a_body() {
    let echo = Echo::start();
    let (_node, gateway) = start(&config(echo.0, "/{rest...}"));
    let asking = "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 5\r\n\r\nhello";
    let told = sent(gateway, asking);
    assert!(!told.contains("upgrade") && told.ends_with("\r\n\r\nhello"), "{told}");
}

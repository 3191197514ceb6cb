//! Headers that all resources share: what they make of a command, and what is refused.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration as Std;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use bytes::Bytes;
use hyper::body::Frame;
use mainstay_base::time::Clock;
use mainstay_base::units::Duration;
use mainstay_machine::shards::Consistency;

use crate::world::{JSON, World};

const ITEM: &str = "/v1/collections/orders/items/u7";

#[tokio::test]
async fn a_timeout_becomes_a_deadline_by_the_clock() {
    let world = World::new();
    for (headers, expected_ms) in [
        (&[("mainstay-timeout", "250ms")][..], Some(250)),
        (&[("grpc-timeout", "2S")], Some(2000)),
        (&[("grpc-timeout", "1H")], Some(3_600_000)),
        (&[("grpc-timeout", "99999999M")], Some(99_999_999 * 60_000)),
        (&[("mainstay-timeout", "1.5s"), ("grpc-timeout", "300m")], Some(300)),
        (&[("mainstay-timeout", "1ms"), ("grpc-timeout", "300m")], Some(1)),
        (&[("mainstay-timeout", "300000d")], None),
        (&[], Some(30_000)),
    ] {
        let sent = [&[JSON], headers].concat();
        assert!(world.call("PUT", ITEM, &sent, "1").await.status < 300, "{headers:?}");
        let deadline = world.shards.last().1;
        let expected = expected_ms.and_then(|ms| world.clock.now().checked_add(Duration::from_millis(ms)));
        assert_eq!(deadline, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn the_trace_context_goes_with_the_command() {
    let world = World::new();
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let good = format!("00-{trace_id}-b7ad6b7169203331-01");
    let later = format!("cc-{trace_id}-b7ad6b7169203331-01-what-ever");
    for sent in [&good, &later] {
        world.call("PUT", ITEM, &[JSON, ("traceparent", sent)], "1").await;
        let trace = world.shards.last().0.trace.expect("a trace");
        assert_eq!(
            (trace.trace_id[0], trace.trace_id[15], trace.span_id[7], trace.flags),
            (0x0a, 0x9c, 0x31, 1)
        );
    }
    for wrong in [
        "",
        "00",
        &good[..54],
        &format!("{good}-x"),
        &good.to_uppercase(),
        &good.replace("00-", "ff-"),
        &good.replace(trace_id, &"0".repeat(32)),
        &good.replace("b7ad6b7169203331", &"0".repeat(16)),
    ] {
        let answer = world.call("PUT", ITEM, &[JSON, ("traceparent", wrong)], "1").await;
        assert!(answer.status < 300, "a trace that cannot be read is left: {wrong}");
        assert_eq!(world.shards.last().0.trace, None, "{wrong}");
    }
}

/// Headers that are refused whatever the request is.
const WRONG: &[(&str, &str)] = &[
    ("mainstay-timeout", ""),
    ("mainstay-timeout", "250"),
    ("mainstay-timeout", "-1s"),
    ("mainstay-timeout", "soon"),
    ("grpc-timeout", "S"),
    ("grpc-timeout", "1"),
    ("grpc-timeout", "1s"),
    ("grpc-timeout", "+1S"),
    ("grpc-timeout", "123456789S"),
    ("mainstay-consistency", ""),
    ("mainstay-consistency", "strong"),
    ("mainstay-consistency", "Linearizable"),
    ("mainstay-consistency", "bounded"),
    ("mainstay-consistency", "bounded=5"),
    ("mainstay-position", ""),
    ("mainstay-position", "1.2"),
    ("mainstay-position", "1.3.2F"),
    ("idempotency-key", ""),
    ("idempotency-key", "\"\""),
    ("idempotency-key", "\"a"),
    ("idempotency-key", "a\"b\""),
    ("idempotency-key", "\"a\";x=1"),
    ("idempotency-key", "\"a\\x\""),
    ("idempotency-key", "a, b"),
    ("idempotency-key", "a b"),
];

#[tokio::test]
async fn a_header_that_cannot_be_read_is_named_with_what_is_expected() {
    let world = World::new();
    let routes = [
        ("GET", ITEM, ""),
        ("PUT", ITEM, "1"),
        ("DELETE", ITEM, ""),
        ("GET", "/v1/collections/orders/items", ""),
        ("POST", "/v1/commits", r#"{"partition": "u7"}"#),
    ];
    for (name, value) in WRONG {
        for (method, path, body) in routes {
            let problem =
                world.call(method, path, &[JSON, (name, value)], body).await.problem(400, "malformed");
            assert!(problem["header"].as_str().unwrap().eq_ignore_ascii_case(name), "{problem:#}");
            assert!(problem["expected"].as_str().is_some_and(|text| text.len() > 10), "{problem:#}");
        }
    }
    let long = "x".repeat(256);
    world.call("PUT", ITEM, &[JSON, ("idempotency-key", &long)], "1").await.problem(400, "malformed");
    let twice = [JSON, ("mainstay-timeout", "1s"), ("mainstay-timeout", "1s")];
    world.call("PUT", ITEM, &twice, "1").await.problem(400, "malformed");
    let problem = world.call("GET", ITEM, &[("mainstay-consistency", "session")], "").await;
    assert_eq!(problem.problem(400, "malformed")["header"], "Mainstay-Position");
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn a_reading_says_how_fresh_and_how_durable_it_is() {
    let world = World::new();
    world.put(ITEM, "1").await.is(201);
    for (asked, given) in [
        (&[][..], "linearizable"),
        (&[("mainstay-consistency", "linearizable"), ("mainstay-position", "1.3.1")], "linearizable"),
        (&[("mainstay-consistency", "session"), ("mainstay-position", "1.3.1")], "session"),
        (&[("mainstay-consistency", "bounded=1500ms")], "bounded=1.5s"),
        (&[("mainstay-consistency", "eventual")], "eventual"),
    ] {
        for path in [ITEM, "/v1/collections/orders/items", "/v1/collections/orders/items/absent"] {
            let answer = world.call("GET", path, asked, "").await;
            assert_eq!(answer.header("mainstay-consistency"), Some(given), "{path}");
            assert_eq!(answer.header("mainstay-position"), Some("1.3.1"));
            assert_eq!(answer.header("mainstay-age"), Some("0s"));
            assert_eq!(answer.header("mainstay-durability"), Some("synced"));
        }
    }
    world.shards.answer_as(Consistency::Eventual, Duration::from_millis(40));
    let answer = world.get(ITEM).await;
    assert_eq!(answer.header("mainstay-consistency"), Some("eventual"), "what it is, not what was asked");
    assert_eq!(answer.header("mainstay-age"), Some("40ms"));
}

/// A body of which nothing arrives.
struct Silent;

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let world = World::new();
    let put = |timeout: Option<&str>| {
        let mut request = Request::put(ITEM).header(JSON.0, JSON.1);
        if let Some(timeout) = timeout {
            request = request.header("mainstay-timeout", timeout);
        }
        request.body(Body::new(Silent)).unwrap()
    };
    let begun = tokio::time::Instant::now();
    world.send(put(None)).await.problem(408, "request_timeout");
    assert_eq!(begun.elapsed().as_secs(), 30);
    let begun = tokio::time::Instant::now();
    let problem = world.send(put(Some("250ms"))).await.problem(504, "deadline");
    assert_eq!((begun.elapsed() < Std::from_secs(1), &problem["retry"]), (true, &"safe".into()));
}

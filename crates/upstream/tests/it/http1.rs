//! HTTP/1.1, as a service may speak it and must not.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use mainstay_resilience::Error;
use mainstay_upstream::Payload;
use tokio::io::AsyncReadExt;

use crate::world::*;

/// Calls once, and cuts the answer at each of its bytes: two writes with a wait between them.
async fn in_pieces(answer: &str) -> Vec<Result<(u16, String, HeaderMap), String>> {
    let mut answers = Vec::new();
    for cut in 1..answer.len() {
        let script = Script::new().await;
        let world = World::new(&[script.address()], r#"{"retry": false}"#);
        let serve = async {
            let mut connection = script.accept().await;
            connection.until("\r\n\r\n").await;
            connection.say(&answer[..cut]).await;
            tokio::task::yield_now().await;
            connection.say(&answer[cut..]).await;
        };
        answers.push(tokio::join!(serve, world.get()).1);
    }
    answers
}

#[tokio::test]
async fn each_framing_is_read_to_its_end_however_it_is_cut() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", (200, "hello")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
            (200, "hello"),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", (200, "hello")),
        ("HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno", (404, "no")),
        ("HTTP/1.1 204 No Content\r\n\r\n", (204, "")),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", (304, "")),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
            (201, ""),
        ),
    ];
    for (bytes, (status, body)) in cases {
        for answer in in_pieces(bytes).await {
            let (found_status, found_body, _) = answer.unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
            assert_eq!((found_status, &*found_body), (status, body), "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn trailers_follow_the_last_chunk() {
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nGrpc-Status: 0\r\n\r\n";
    for answer in in_pieces(bytes).await {
        let (_, body, trailers) = answer.unwrap();
        assert_eq!((&*body, trailers["grpc-status"].as_bytes()), ("a", &b"0"[..]));
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_no_answer() {
    let cases = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "both Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "more than one Content-Length",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", "is no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", "is no number"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "is not `chunked`"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "is not `chunked`",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            "longer than it says",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", "does not say how long"),
        ("HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n", "not HTTP/1.1"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", "ended before the answer did"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", "ended before the answer did"),
        ("HTTP/1.1 200", "ended before the answer did"),
    ];
    for (bytes, told) in cases {
        for answer in in_pieces(bytes).await {
            let error = answer.expect_err(bytes);
            assert!(error.contains(told), "{bytes:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_kept_when_its_answer_is_over_and_only_then() {
    let kept = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let cases = [
        (kept, true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: Keep-Alive\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more", false),
    ];
    for (bytes, is_kept) in cases {
        let script = Script::new().await;
        let world = World::new(&[script.address()], "{}");
        let serve = async {
            let mut first = script.accept().await;
            first.until("\r\n\r\n").await;
            first.say(bytes).await;
            if is_kept {
                first.until("\r\n\r\n").await;
                first.say(kept).await;
            } else {
                let mut second = script.accept().await;
                second.until("\r\n\r\n").await;
                second.say(kept).await;
            }
        };
        let call = async {
            assert_eq!(world.get().await.unwrap().1, "ok");
            assert_eq!(world.get().await.unwrap().1, "ok", "{bytes:?}");
        };
        tokio::join!(serve, call);
    }
}

#[tokio::test]
async fn each_answer_of_a_connection_has_its_own_headers() {
    let heads = [
        "X-One: 1\r\nX-Two: 2\r\n",
        "X-One: 3\r\nX-Two: 4\r\n",
        "X-Two: 5\r\nX-One: 6\r\nX-Six: 6\r\n",
        "x-two: 7\r\n",
        "X-Two: 8\r\nX-Two: 9\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n",
        "X-One: 1\r\nX-Two: 2\r\nX-Six: 3\r\n",
    ];
    let script = Script::new().await;
    let world = World::new(&[script.address()], "{}");
    let serve = async {
        let mut connection = script.accept().await;
        for head in heads {
            connection.until("\r\n\r\n").await;
            connection.say(&format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n")).await;
        }
    };
    let call = async {
        for head in heads {
            let answer = world.call(Method::GET, Payload::Empty).await.unwrap();
            let headers = answer.headers();
            let mut told: Vec<_> = headers
                .iter()
                .filter(|(name, _)| *name != "content-length")
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            told.sort_unstable();
            let head = head.to_lowercase();
            let of_connection = |line: &&str| line.contains("keep-alive");
            let mut said: Vec<_> = head.lines().filter(|line| !of_connection(line)).collect();
            said.sort_unstable();
            assert_eq!(told, said);
        }
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn one_that_was_closed_while_nobody_used_it_is_not_used() {
    let script = Script::new().await;
    let world = World::new(&[script.address()], r#"{"retry": false}"#);
    let serve = script.repeat("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true);
    let call = async {
        for _ in 0..20 {
            assert_eq!(world.get().await.unwrap().1, "ok");
            // Until its end has come.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! { () = serve => {}, () = call => {} }
}

#[tokio::test]
async fn a_body_is_dropped_with_its_connection() {
    let script = Script::new().await;
    let world = World::new(&[script.address()], "{}");
    let serve = async {
        let mut connection = script.accept().await;
        connection.until("\r\n\r\n").await;
        connection.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun").await;
        assert_eq!(connection.0.read(&mut [0; 8]).await.unwrap_or(0), 0, "it is closed");
    };
    let call = async {
        let answer = world.call(Method::GET, Payload::Empty).await.unwrap();
        drop(answer);
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn what_is_sent_is_the_request_with_its_framing_and_what_is_left_of_its_time() {
    let script = Script::new().await;
    let world = World::new(&[script.address()], r#"{"timeout": "2s", "retry": false}"#);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "shop"),
        ("x-a", "1"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("content-length", "9"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let serve = async {
        let mut connection = script.accept().await;
        let mut heads = Vec::new();
        for body in ["", "hello", "5\r\nhello\r\n0\r\n\r\n", ""] {
            let head = connection.until("\r\n\r\n").await;
            connection.until(body).await;
            connection.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let (before, timeout) = head.split_once("mainstay-timeout: ").expect("it is told");
            assert!(timeout.ends_with("ms\r\n\r\n"), "{timeout:?}");
            heads.push(before.to_owned());
        }
        heads
    };
    let call = async {
        let streamed =
            StreamBody::new(futures_util::stream::iter([Ok(Frame::data(bytes::Bytes::from("hello")))]));
        let payloads =
            [Payload::Empty, Payload::Whole("hello".into()), Payload::once(streamed), Payload::Empty];
        for (payload, method) in
            payloads.into_iter().zip([Method::GET, Method::PUT, Method::POST, Method::POST])
        {
            let answer = world.call_with(method, headers.clone(), payload).await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    };
    let heads = tokio::join!(serve, call).0;
    let expected = |method: &str, framing: &str| {
        format!("{method} /x?y=1 HTTP/1.1\r\nhost: shop\r\nx-a: 1\r\n{framing}")
    };
    assert_eq!(
        heads,
        [
            expected("GET", ""),
            expected("PUT", "content-length: 5\r\n"),
            expected("POST", "transfer-encoding: chunked\r\n"),
            expected("POST", "content-length: 0\r\n"),
        ]
    );
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_has_ended_is_taken() {
    let script = Script::new().await;
    let world = World::new(&[script.address()], r#"{"retry": false}"#);
    let serve = async {
        let mut connection = script.accept().await;
        connection.until("\r\n\r\n").await;
        connection.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").await;
        // Neither read nor closed: the rest of the request stays where it is.
        std::future::pending::<()>().await;
    };
    let call = async {
        let endless =
            futures_util::stream::repeat_with(|| Ok(Frame::data(bytes::Bytes::from(vec![0; 64 << 10]))));
        let payload = Payload::once(StreamBody::new(endless));
        let answer = world.call(Method::POST, payload).await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(text(&answer.into_body().collect().await.unwrap().to_bytes()), "big");
    };
    tokio::select! { () = serve => {}, () = call => {} }
}

/// A body that says how long it is, and need not be.
struct Told<B>(B, Option<u64>);

impl<B: Body + Unpin> Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[tokio::test]
async fn a_connection_whose_request_breaks_off_behind_its_answer_is_never_used_again() {
    for (length, ends_in_order) in [(None, false), (Some(50), false), (Some(50), true), (Some(3), true)] {
        let script = Script::new().await;
        let world = World::new(&[script.address()], r#"{"retry": false}"#);
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let serve = async {
            let mut first = script.accept().await;
            first.until("begun").await;
            first.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await;
            let mut rest = String::new();
            first.0.read_to_string(&mut rest).await.expect("its end is told");
            assert!(!rest.contains("0\r\n"), "as if it were whole: {rest:?}");
            first.say("k").await;
            let mut second = script.accept().await;
            second.until("\r\n\r\n").await;
            second.say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew").await;
        };
        let call = async {
            let broken = futures_util::stream::once(async move {
                told.await.expect("it is told");
                if ends_in_order {
                    Ok(Frame::data("more".into()))
                } else {
                    Err(mainstay_upstream::Error::Body)
                }
            });
            let begun = futures_util::stream::iter([Ok(Frame::data(bytes::Bytes::from("begun")))]);
            let body = StreamBody::new(begun.chain(broken).boxed());
            let answer = world.call(Method::POST, Payload::once(Told(body, length))).await;
            if length == Some(3) {
                // It is longer than it says from the first piece on.
                drop(answer.expect_err("it cannot be sent"));
                return;
            }
            tell.send(()).expect("it waits");
            let body = answer.unwrap().into_body().collect().await.expect("the answer is whole");
            assert_eq!(text(&body.to_bytes()), "ok");
            assert_eq!(world.get().await.unwrap().1, "new", "{length:?} {ends_in_order}");
        };
        if length == Some(3) {
            call.await;
        } else {
            tokio::join!(serve, call);
        }
    }
}

#[tokio::test]
async fn what_was_not_sent_is_sent_again_to_another_endpoint() {
    let gone = Script::new().await;
    let address = gone.address();
    drop(gone);
    let script = Script::new().await;
    let world = World::new(&[address, script.address()], "{}");
    let serve = script.repeat("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false);
    let call = async {
        for _ in 0..4 {
            let answer = world.call(Method::POST, Payload::Whole("x".into())).await.expect("one is there");
            assert_eq!(text(&answer.into_body().collect().await.unwrap().to_bytes()), "ok");
        }
    };
    tokio::select! { () = serve => {}, () = call => {} }
}

#[tokio::test]
async fn what_was_sent_is_sent_again_only_if_it_is_safe() {
    for (method, tries) in [(Method::GET, 3), (Method::PUT, 3), (Method::POST, 1)] {
        let script = Script::new().await;
        let world = World::new(&[script.address()], r#"{"retry": {"attempts": 3, "base": "1ms"}}"#);
        let serve = async {
            let mut seen = Vec::new();
            loop {
                let mut connection = script.accept().await;
                seen.push(connection.until("\r\n\r\n").await);
                if seen.len() == tries {
                    return seen;
                }
            }
        };
        let (seen, answer) = tokio::join!(serve, world.call(method.clone(), Payload::Empty));
        assert!(matches!(answer, Err(Error::Service(_))), "{method}");
        assert!(!seen[0].contains("mainstay-attempt"));
        if let Some(last) = seen.get(2) {
            assert!(last.contains("mainstay-attempt: 3\r\n"), "{last}");
        }
    }
}

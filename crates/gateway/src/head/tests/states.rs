//! What a guard tells between two calls, and what waits for an answer.

use super::super::{Guard, Limits, PREFACE, State};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn guard() -> Guard {
    Guard::new(Limits::default())
}

#[test]
fn a_connection_goes_from_head_to_body_to_idle() {
    let mut guard = guard();
    assert_eq!(guard.state(), State::Fresh);
    assert_eq!(guard.scan(b""), Ok(0));
    assert_eq!(guard.scan(b"\r\n"), Ok(0));
    assert_eq!(guard.state(), State::Fresh, "an empty line is no part of a head");
    assert_eq!(guard.scan(b"\r\nP"), Ok(0));
    assert_eq!(guard.state(), State::Head);
    let head = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(guard.scan(head), Ok(head.len()));
    assert_eq!((guard.state(), guard.heads(), guard.unanswered()), (State::Body, 1, 1));
    assert!(guard.expects_continue());
    assert_eq!(guard.scan(b"ab"), Ok(2));
    assert_eq!(guard.scan(b"cG"), Ok(1), "a head passes when it is complete");
    assert_eq!(guard.state(), State::Head);
    assert_eq!(guard.scan(GET), Ok(GET.len()));
    assert_eq!((guard.state(), guard.heads(), guard.unanswered()), (State::Idle, 2, 2));
    assert!(!guard.expects_continue());
    guard.answered(false);
    assert_eq!((guard.heads(), guard.unanswered()), (2, 1));
}

#[test]
fn an_expectation_is_of_a_body_and_of_http_1_1() {
    for (head, expects) in [
        ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n", true),
        ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
        ("PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false),
    ] {
        let mut guard = guard();
        assert_eq!(guard.scan(head.as_bytes()), Ok(head.len()));
        assert_eq!(guard.expects_continue(), expects, "{head}");
    }
}

#[test]
fn one_call_passes_at_most_one_head() {
    let mut guard = guard();
    let three = GET.repeat(3);
    for passed in 0..3 {
        assert_eq!(guard.heads(), passed);
        assert_eq!(guard.scan(&three[GET.len() * usize::try_from(passed).unwrap()..]), Ok(GET.len()));
    }
}

#[test]
fn requests_ahead_of_their_answers_are_bounded() {
    let mut guard = Guard::new(Limits { pipelined_max: 2, ..Limits::default() });
    assert_eq!(guard.scan(GET), Ok(GET.len()));
    assert_eq!(guard.scan(GET), Ok(GET.len()));
    assert_eq!(guard.state(), State::Full);
    assert_eq!(guard.scan(GET), Ok(0));
    assert_eq!(guard.scan(b"\0"), Ok(0), "what waits is not looked at");
    guard.answered(false);
    assert_eq!(guard.state(), State::Idle);
    assert_eq!(guard.scan(GET), Ok(GET.len()));
    assert_eq!(guard.state(), State::Full);
}

#[test]
fn nothing_passes_after_a_request_that_is_the_last() {
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Close, keep-alive\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.0\r\nConnection: keep-alive, close\r\nContent-Length: 1\r\n\r\n",
    ] {
        let mut guard = guard();
        assert_eq!(guard.scan(head.as_bytes()), Ok(head.len()), "{head}");
        assert!(guard.closes());
        assert_eq!(guard.scan(b"xGET"), Ok(1));
        assert_eq!(guard.state(), State::Closing);
        assert_eq!(guard.scan(GET), Ok(0));
        guard.answered(false);
        assert_eq!(guard.scan(GET), Ok(0));
    }
}

#[test]
fn an_upgrade_waits_for_its_answer() {
    for switched in [false, true] {
        let mut guard = guard();
        let both = [GET, UPGRADE, b"\0\n\r"].concat();
        assert_eq!(guard.scan(&both), Ok(GET.len()));
        assert_eq!(guard.scan(&both[GET.len()..]), Ok(UPGRADE.len()));
        assert_eq!(guard.state(), State::Verdict);
        assert!(guard.may_switch());
        assert_eq!(guard.scan(b"\0\n\r"), Ok(0));
        guard.answered(false);
        assert_eq!(guard.state(), State::Verdict, "that was the answer to the first one");
        guard.answered(switched);
        assert!(!guard.may_switch());
        if switched {
            assert_eq!(guard.state(), State::Opaque);
            assert_eq!(guard.scan(b"\0\n\r"), Ok(3));
        } else {
            assert_eq!(guard.state(), State::Idle);
            assert_eq!(guard.scan(GET), Ok(GET.len()));
        }
    }
}

#[test]
fn an_upgrade_that_is_answered_within_its_body_ends_with_the_body() {
    let head =
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a/1\r\nContent-Length: 2\r\n\r\n";
    for (switched, after) in [(false, State::Idle), (true, State::Opaque)] {
        let mut guard = guard();
        assert_eq!(guard.scan(head), Ok(head.len()));
        guard.answered(switched);
        assert_eq!(guard.state(), State::Body);
        assert_eq!(guard.scan(b"ab"), Ok(2));
        assert_eq!(guard.state(), after);
    }
}

#[test]
fn upgrades_to_http_2_and_of_http_1_0_are_none() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut guard = guard();
        assert_eq!(guard.scan(head.as_bytes()), Ok(head.len()));
        assert!(!guard.may_switch());
        assert_eq!(guard.state(), State::Idle, "{head}");
    }
}

#[test]
fn connect_waits_for_its_answer() {
    let mut guard = Guard::new(Limits { connect: true, ..Limits::default() });
    let head = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    assert_eq!(guard.scan(&[&head[..], b"\x16\x03"].concat()), Ok(head.len()));
    assert_eq!(guard.state(), State::Verdict);
    guard.answered(true);
    assert_eq!(guard.scan(b"\x16\x03"), Ok(2));
}

#[test]
fn http_2_is_known_by_its_whole_preface() {
    let mut whole = guard();
    let stream = [&PREFACE[..], b"\0\0"].concat();
    assert_eq!(whole.scan(&stream), Ok(26));
    assert_eq!((whole.state(), whole.heads()), (State::Http2, 0));
    let mut cut = guard();
    for come in 1..24 {
        assert_eq!(cut.scan(&PREFACE[..come]), Ok(0));
        assert_eq!(cut.state(), State::Head);
    }
    assert_eq!(cut.scan(PREFACE), Ok(24));
    assert_eq!(cut.state(), State::Http2);
    assert_eq!(cut.scan(b"\0"), Ok(1));
    let mut late = guard();
    assert_eq!(late.scan(GET), Ok(GET.len()));
    assert!(late.scan(PREFACE).is_err());
}

#[test]
fn the_last_chunk_passes_with_right_trailers_only() {
    let mut guard = guard();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(guard.scan(head), Ok(head.len()));
    assert_eq!(guard.scan(b"2\r\nab\r\n0\r\nA: b\r\n"), Ok(7));
    assert_eq!(guard.state(), State::Body);
    let mut bad = guard.clone();
    assert_eq!(guard.scan(b"0\r\nA: b\r\n\r\nG"), Ok(11));
    assert!(bad.scan(b"0\r\nA: b\r\nHost: a\r\n\r\n").is_err());
    assert_eq!(bad.state(), State::Refused);
}

#[test]
fn what_was_refused_stays_so() {
    let mut guard = guard();
    assert_eq!(guard.scan(&[GET, b"\n"].concat()), Ok(GET.len()));
    assert_eq!(guard.state(), State::Idle);
    let refusal = guard.scan(b"\n").unwrap_err();
    assert_eq!(guard.scan(GET), Err(refusal));
    assert_eq!(guard.state(), State::Refused);
}

#[test]
#[should_panic(expected = "an answer belongs to a request")]
fn an_answer_without_a_request_is_a_bug() {
    guard().answered(false);
}

#[test]
#[should_panic(expected = "only a request that asks for it switches")]
fn a_switch_that_nobody_asked_for_is_a_bug() {
    let mut guard = guard();
    let _ = guard.scan(GET);
    guard.answered(true);
}

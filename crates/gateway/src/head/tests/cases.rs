//! Streams by name: heads of real clients, which pass whole, and one way or more to earn each reason.

use super::super::{Limits, Reason, State};
use super::{byte_by_byte, feed, whole};

const GOOD: &[(&str, &str)] = &[
    ("curl", "GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"),
    ("curl, expecting", "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"),
    (
        "curl, from a pipe",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "Chrome",
        "GET /search?q=a%20b&tags[]=1|2 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
         sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: de-DE,de;q=0.9\r\nCookie: sid=31d4d96e407aad42; theme=dark\r\n\r\n",
    ),
    (
        "Firefox, for a WebSocket",
        "GET /live HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\
         Connection: keep-alive, Upgrade\r\nPragma: no-cache\r\nUpgrade: websocket\r\n\r\n",
    ),
    (
        "Safari, with an IPv6 address",
        "GET /a HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nAccept-Language: de\r\n\r\n",
    ),
    (
        "Go",
        "POST / HTTP/1.1\r\nHost: a:1\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 2\r\nAccept-Encoding: gzip\r\n\r\nok",
    ),
    (
        "Go, with trailers",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    (
        "requests",
        "GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
    ),
    (
        "wget",
        "GET / HTTP/1.1\r\nUser-Agent: Wget/1.21.4\r\nAccept: */*\r\nAccept-Encoding: identity\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
    ),
    (
        "ab, keeping",
        "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
    ),
    ("HTTP/1.0 of old", "GET /a HTTP/1.0\r\n\r\n"),
    (
        "Java, offering HTTP/2",
        "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "HttpClient of Apache",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n",
    ),
    ("through a proxy", "GET http://a.example/b?c HTTP/1.1\r\nHost: A.example:80\r\n\r\n"),
    ("a URL without a path", "GET https://a:443?b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "an empty line too many after a body",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("UTF-8 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-File: \u{e9}t\u{e9}.txt\r\nX-Empty:\r\n\r\n"),
    ("a GET with a body", "GET /_search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"),
    ("a DELETE with a body", "DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"),
    ("an own underscore", "GET / HTTP/1.1\r\nHost: my_service\r\nx_trace: 1\r\n\r\n"),
    (
        "padded sizes of chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0000000A\r\n0123456789\r\n00\r\n\r\n",
    ),
    ("TE with its option", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n"),
];

#[test]
fn heads_of_real_clients_pass_whole() {
    for (name, stream) in GOOD {
        let outcome = whole(stream.as_bytes());
        assert_eq!(outcome.refused, None, "{name}");
        assert_eq!(outcome.passed, stream.len(), "{name}");
        assert_eq!(outcome, byte_by_byte(stream.as_bytes()), "{name}");
    }
}

/// A request of HTTP/1.1 with one line more.
macro_rules! with {
    ($line:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: a\r\n", $line, "\r\n\r\n")
    };
}

macro_rules! chunks {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body)
    };
}

macro_rules! host {
    ($host:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: ", $host, "\r\n\r\n")
    };
}

macro_rules! target {
    ($target:literal) => {
        concat!("GET ", $target, " HTTP/1.1\r\nHost: a\r\n\r\n")
    };
}

const BAD: &[(Reason, &[&str])] = &[
    (Reason::EmptyLines, &["\r\n\r\nGET / HTTP/1.1\r\n", "\r\n\n"]),
    (
        Reason::Preface,
        &["PRI * HTTP/2.0\r\n\r\nSN", "PRI * HTTP/1.1\r\n", "PRI / ", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ),
    (
        Reason::RequestLine,
        &[
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / a HTTP/1.1\r\n",
            "GET /\r\n",
            "GET\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET \r\n",
            "GET  HTTP/1.1\r\n",
            "GET / \r\n",
        ],
    ),
    (
        Reason::Method,
        &[
            " GET / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
            "G(T / HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "\r\n\tGET / HTTP/1.1\r\n",
            "GET\0 / HTTP/1.1\r\n",
        ],
    ),
    (Reason::MethodTooLong, &["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n"]),
    (Reason::MethodCase, &["head / HTTP/1.1\r\n", "Connect a:1 HTTP/1.1\r\n"]),
    (Reason::ConnectRefused, &["CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"]),
    (
        Reason::TargetByte,
        &[
            target!("/\""),
            target!("/<b>"),
            target!("/a\\b"),
            target!("/{a}"),
            target!("/a`"),
            target!("/\u{e9}"),
            target!("/a\tb"),
            target!("/a\u{7f}"),
            target!("/?a=\""),
            target!("/?\u{e9}"),
            target!("/a\0"),
            "GET /\r HTTP/1.1\r\n",
            target!("http://a/<"),
        ],
    ),
    (Reason::TargetFragment, &[target!("/a#b"), target!("/?a#"), target!("http://a#b")]),
    (
        Reason::TargetForm,
        &[
            target!("a"),
            target!("*"),
            target!("a:80"),
            target!("ftp://a/"),
            target!("http:/a"),
            target!("?a"),
            "OPTIONS ** HTTP/1.1\r\n",
        ],
    ),
    (
        Reason::TargetAuthority,
        &[
            target!("http://"),
            target!("http:///a"),
            target!("http://u@a/"),
            target!("http://a:/"),
            target!("http://a:0/"),
            target!("http://a:65536/"),
            target!("http://a,b/"),
            target!("http://a\\b/"),
            target!("http://[::1/"),
        ],
    ),
    (
        Reason::Version,
        &[
            "GET / http/1.1\r\n",
            "GET / HTTP/1.1a\r\n",
            "GET / HTTP/11\r\n",
            "GET / X\r\n",
            "GET / HTTP/1.1\r\r\n",
        ],
    ),
    (
        Reason::VersionUnsupported,
        &["GET / HTTP/2.0\r\n", "GET / HTTP/1.2\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/3.0\r\n"],
    ),
    (
        Reason::BareLf,
        &[
            "\nGET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
            with!("A: b\nC: d"),
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            chunks!("1\na"),
            chunks!("0\r\n\n"),
            chunks!("0\r\nA: b\n"),
        ],
    ),
    (
        Reason::BareCr,
        &[
            "\rGET",
            with!("A: b\rC: d"),
            with!("A\r: b"),
            with!("A: b\r"),
            chunks!("1\ra"),
            chunks!("0\r\nA: b\r\r\n"),
        ],
    ),
    (
        Reason::ControlByte,
        &[
            with!("A: \0"),
            with!("A: b\u{1}"),
            with!("A: \u{7f}b"),
            with!("A: b\u{b}"),
            chunks!("0\r\nA: \0\r\n"),
        ],
    ),
    (
        Reason::LeadingWhitespace,
        &[
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n \r\n",
        ],
    ),
    (Reason::Fold, &[with!("A: b\r\n c"), with!("A: b\r\n\tc: d"), with!(" Transfer-Encoding: chunked")]),
    (Reason::HeaderWithoutColon, &[with!("A"), chunks!("0\r\nA\r\n")]),
    (Reason::NameEmpty, &[with!(": a")]),
    (
        Reason::NameWhitespace,
        &[
            with!("Transfer-Encoding : chunked"),
            with!("A b: c"),
            with!("Content-Length\t: 1"),
            chunks!("0\r\nA : b\r\n"),
        ],
    ),
    (
        Reason::NameByte,
        &[
            with!("A(: b"),
            with!("A\0: b"),
            with!("\u{e9}: b"),
            with!("A;b: c"),
            with!("\u{b}Transfer-Encoding: chunked"),
            with!("\"a\": b"),
        ],
    ),
    (
        Reason::NameUnderscore,
        &[
            with!("Content_Length: 1"),
            with!("transfer_encoding: chunked"),
            with!("X_Forwarded-For: a"),
            with!("Mainstay_Caller: a"),
        ],
    ),
    (
        Reason::ContentLength,
        &[
            with!("Content-Length:"),
            with!("Content-Length: +1"),
            with!("Content-Length: -1"),
            with!("Content-Length: 1, 1"),
            with!("Content-Length: 1 1"),
            with!("Content-Length: 01"),
            with!("Content-Length: 00"),
            with!("Content-Length: 0x1"),
            with!("Content-Length: 1_0"),
            with!("Content-Length:\t1"),
            with!("Content-Length: 1\t"),
            with!("Content-Length: \u{b2}"),
            with!("Content-Length: 1.0"),
        ],
    ),
    (
        Reason::ContentLengthTooLarge,
        &[with!("Content-Length: 9223372036854775808"), with!("Content-Length: 18446744073709551617")],
    ),
    (
        Reason::ContentLengthRepeated,
        &[with!("Content-Length: 1\r\nContent-Length: 1"), with!("Content-Length: 1\r\ncontent-length: 2")],
    ),
    (
        Reason::ContentLengthAndTransferEncoding,
        &[
            with!("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            with!("Transfer-Encoding: chunked\r\nContent-Length: 0"),
        ],
    ),
    (
        Reason::TransferEncoding,
        &[
            with!("Transfer-Encoding:"),
            with!("Transfer-Encoding: \"chunked\""),
            with!("Transfer-Encoding: chunked;q=1"),
            with!("Transfer-Encoding:\tchunked"),
            with!("Transfer-Encoding: chunked chunked"),
        ],
    ),
    (
        Reason::TransferEncodingList,
        &[
            with!("Transfer-Encoding: chunked, chunked"),
            with!("Transfer-Encoding: gzip, chunked"),
            with!("Transfer-Encoding: chunked,"),
            with!("Transfer-Encoding: ,chunked"),
        ],
    ),
    (
        Reason::TransferEncodingRepeated,
        &[
            with!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            with!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ],
    ),
    (Reason::TransferEncodingVersion, &["POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"]),
    (
        Reason::TransferCoding,
        &[
            with!("Transfer-Encoding: gzip"),
            with!("Transfer-Encoding: identity"),
            with!("Transfer-Encoding: xchunked"),
        ],
    ),
    (
        Reason::BodyOfTrace,
        &[
            "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            "TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    ),
    (Reason::HostMissing, &["GET / HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n"]),
    (Reason::HostRepeated, &[with!("Host: a"), with!("host: b")]),
    (Reason::HostEmpty, &[host!(""), host!("  ")]),
    (
        Reason::Host,
        &[
            host!("u@a"),
            host!("a b"),
            host!("a, b"),
            host!("a/b"),
            host!("[::1"),
            host!("::1"),
            host!("[::1]a"),
            host!("[fe80::1%25eth0]"),
            host!("[v1.a]"),
            host!("[]"),
            host!("a:65536"),
            host!("a:"),
            host!("a:080"),
            host!("a:0"),
            host!("a:+1"),
            host!("a:1:2"),
            host!(":80"),
            host!("a..b"),
            host!(".a"),
            host!("a%2eb"),
            host!("\ta"),
            host!("\u{e9}"),
            host!("a?b"),
            host!("a#b"),
            host!("a\\b"),
        ],
    ),
    (
        Reason::HostDiffers,
        &[
            "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "GET https://a:80/ HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a.\r\n\r\n",
        ],
    ),
    (
        Reason::Connection,
        &[
            with!("Connection: a b"),
            with!("Connection: \"close\""),
            with!("Connection: close;a"),
            with!("Connection: \u{e9}"),
        ],
    ),
    (
        Reason::ConnectionNames,
        &[
            with!("Connection: Host"),
            with!("Connection: close, Content-Length"),
            with!("Connection: transfer-encoding"),
            with!("Connection: X-Forwarded-For"),
            with!("Connection: cookie"),
            with!("Connection: content_length"),
        ],
    ),
    (
        Reason::Upgrade,
        &[
            with!("Connection: upgrade\r\nUpgrade:"),
            with!("Connection: upgrade\r\nUpgrade: a b"),
            with!("Connection: upgrade\r\nUpgrade: a/"),
            with!("Connection: upgrade\r\nUpgrade: a,,b"),
        ],
    ),
    (
        Reason::UpgradeAlone,
        &[
            with!("Upgrade: websocket"),
            with!("Connection: close\r\nUpgrade: websocket"),
            "GET / HTTP/1.0\r\nUpgrade: a\r\n\r\n",
        ],
    ),
    (
        Reason::Expectation,
        &[
            with!("Expect: 200-ok"),
            with!("Expect:"),
            with!("Expect: 100-continue, a"),
            with!("Expect: 100-continue\r\nExpect: 100-continue"),
        ],
    ),
    (
        Reason::ChunkSize,
        &[
            chunks!("g\r\n"),
            chunks!("\r\n"),
            chunks!(" 1\r\n"),
            chunks!("1 \r\n"),
            chunks!("0x1\r\n"),
            chunks!("+1\r\n"),
            chunks!("-1\r\n"),
            chunks!("\n"),
            chunks!("1\ta\r\n"),
        ],
    ),
    (
        Reason::ChunkSizeTooLarge,
        &[chunks!("00000000000000001"), chunks!("8000000000000000"), chunks!("ffffffffffffffff")],
    ),
    (Reason::ChunkExtension, &[chunks!("1;a=b\r\n"), chunks!("1;"), chunks!("0;\"\n")]),
    (
        Reason::ChunkEnd,
        &[chunks!("1\r\nab\r\n"), chunks!("1\r\na\n"), chunks!("1\r\na\rb"), chunks!("1\r\na0\r\n\r\n")],
    ),
    (
        Reason::TrailerName,
        &[
            chunks!("0\r\nHost: a\r\n"),
            chunks!("0\r\nContent-Length: 1\r\n"),
            chunks!("0\r\ntransfer-encoding: chunked\r\n"),
            chunks!("0\r\nA: b\r\nAuthorization: a\r\n"),
            chunks!("0\r\nConnection: close\r\n"),
            chunks!("0\r\nIf-Match: a\r\n"),
        ],
    ),
];

/// Reasons that take a limit or an option; they are earned elsewhere in this file.
const BY_LIMITS: [Reason; 7] = [
    Reason::RequestLineTooLarge,
    Reason::HeadTooLarge,
    Reason::HeaderTooLarge,
    Reason::HeadersTooMany,
    Reason::TrailersTooLarge,
    Reason::TrailersTooMany,
    Reason::BodyOfConnect,
];

#[test]
fn what_can_be_read_in_two_ways_is_refused_however_it_is_cut() {
    for (reason, streams) in BAD {
        for stream in *streams {
            let outcome = whole(stream.as_bytes());
            let found = outcome.refused.as_ref().map(|(reason, _)| *reason);
            assert_eq!(found, Some(*reason), "{stream:?}");
            assert_eq!(outcome.state, State::Refused);
            assert!(
                outcome.heads.len() == usize::from(outcome.passed > 0),
                "no part of a head passes: {stream:?}"
            );
            assert_eq!(outcome, byte_by_byte(stream.as_bytes()), "{stream:?}");
        }
    }
}

#[test]
fn every_reason_is_earned() {
    for reason in Reason::ALL {
        let is_earned = BY_LIMITS.contains(reason) || BAD.iter().any(|(earned, _)| earned == reason);
        assert!(is_earned, "{reason:?}");
    }
}

#[test]
fn the_same_holds_after_another_request() {
    let first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (reason, streams) in BAD {
        for stream in *streams {
            // At the beginning, and only there, these are HTTP/2.
            if stream.starts_with("PRI / ") {
                continue;
            }
            let both = [first, stream].concat();
            let outcome = whole(both.as_bytes());
            assert_eq!(outcome.refused.as_ref().map(|(reason, _)| *reason), Some(*reason), "{stream:?}");
            assert!(outcome.passed >= first.len());
            assert_eq!(outcome, byte_by_byte(both.as_bytes()), "{stream:?}");
        }
    }
}

fn tight() -> Limits {
    let size = mainstay_base::units::Size::from_bytes;
    Limits {
        head_size_max: size(120),
        request_line_size_max: size(24),
        header_size_max: size(40),
        headers_max: 5,
        trailers_size_max: size(40),
        trailers_max: 2,
        ..Limits::default()
    }
}

#[track_caller]
fn check_limit(stream: &str, reason: Option<Reason>) {
    let [one, other] = [feed(tight(), [stream.as_bytes()]), feed(tight(), stream.as_bytes().chunks(1))];
    assert_eq!(one.refused.as_ref().map(|(reason, _)| *reason), reason, "{stream:?}");
    assert_eq!(one, other, "{stream:?}");
    assert_eq!(reason.is_none(), one.passed == stream.len(), "{stream:?}");
}

#[test]
fn each_limit_is_the_last_that_passes() {
    // 24 bytes, and one more.
    check_limit("GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n", None);
    check_limit("GET /234567890 HTTP/1.1\r\nHost: a\r\n\r\n", Some(Reason::RequestLineTooLarge));
    let of = |bytes: usize| format!("A: {}\r\n", "x".repeat(bytes - 5));
    let head = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    check_limit(&head(&of(40)), None);
    check_limit(&head(&of(41)), Some(Reason::HeaderTooLarge));
    // 27 bytes are there already.
    check_limit(&head(&format!("{}{}{}", of(40), of(40), of(13))), None);
    check_limit(&head(&format!("{}{}{}", of(40), of(40), of(14))), Some(Reason::HeadTooLarge));
    check_limit(&head(&of(6).repeat(4)), None);
    check_limit(&head(&of(6).repeat(5)), Some(Reason::HeadersTooMany));
    let body = |lines: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{lines}\r\n")
    };
    check_limit(&body(&of(35)), None);
    check_limit(&body(&of(36)), Some(Reason::TrailersTooLarge));
    check_limit(&body(&of(6).repeat(2)), None);
    check_limit(&body(&of(6).repeat(3)), Some(Reason::TrailersTooMany));
}

#[test]
fn a_line_without_end_is_refused_when_no_end_fits() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (before, line, max, reason) in [
        ("", "GET /", 24, Reason::RequestLineTooLarge),
        ("GET / HTTP/1.1\r\n", "A: ", 40, Reason::HeaderTooLarge),
        (chunked, "0\r\nA: ", 40, Reason::TrailersTooLarge),
    ] {
        let stream = |len: usize| format!("{before}{line}{}", "x".repeat(len - line.len()));
        let refused = |len: usize| feed(tight(), [stream(len).as_bytes()]).refused.map(|(reason, _)| reason);
        // The LF would be one more.
        assert_eq!(refused(max - 1), None, "{reason:?}");
        assert_eq!(refused(max), Some(reason));
        check_limit(&stream(max + 20), Some(reason));
    }
}

#[test]
fn underscores_are_as_configured() {
    use super::super::Underscores::{Pass, Refuse, RefuseColliding};
    for (underscores, own, colliding) in
        [(RefuseColliding, true, false), (Refuse, false, false), (Pass, true, true)]
    {
        let limits = Limits { underscores, ..Limits::default() };
        for (line, passes) in [("x_trace: 1", own), ("content_type: a", colliding)] {
            let stream = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
            let refused = feed(limits, [stream.as_bytes()]).refused.map(|(reason, _)| reason);
            assert_eq!(refused, (!passes).then_some(Reason::NameUnderscore), "{underscores:?} {line}");
        }
    }
}

#[test]
fn connect_passes_where_it_is_offered_and_names_one_place() {
    let limits = Limits { connect: true, ..Limits::default() };
    let reason = |stream: &str| feed(limits, [stream.as_bytes()]).refused.map(|(reason, _)| reason);
    assert_eq!(reason("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), None);
    assert_eq!(reason("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"), None);
    assert_eq!(reason("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Reason::HostDiffers));
    for target in ["a", "/", "*", "http://a/", "u@a:1", "a:1/"] {
        let stream = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(reason(&stream), Some(Reason::TargetAuthority), "{target}");
    }
    for line in ["Content-Length: 0", "Transfer-Encoding: chunked"] {
        let stream = format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{line}\r\n\r\n");
        assert_eq!(reason(&stream), Some(Reason::BodyOfConnect), "{line}");
    }
}

#[test]
fn limits_are_checked() {
    assert_eq!(Limits::default().check(), Ok(()));
    let size = mainstay_base::units::Size::from_bytes;
    let broken = [
        (
            Limits { head_size_max: size(1023), ..Limits::default() },
            "`head_size_max` of 1023B: make it from 1KiB to 1MiB",
        ),
        (
            Limits { request_line_size_max: size(1 << 16), ..Limits::default() },
            "`request_line_size_max` of 64KiB: make it from 256B to 32KiB",
        ),
        (
            Limits { header_size_max: size(1 << 16), ..Limits::default() },
            "which no head of 32KiB has room for: make it smaller",
        ),
        (Limits { trailers_size_max: size(1 << 20), ..Limits::default() }, "`trailers_size_max` of 1MiB"),
        (Limits { headers_max: 7, ..Limits::default() }, "`headers_max` of 7: make it from 8 to 1000"),
        (Limits { trailers_max: 101, ..Limits::default() }, "`trailers_max` of 101"),
        (Limits { pipelined_max: 0, ..Limits::default() }, "`pipelined_max` of 0"),
    ];
    for (limits, message) in broken {
        let found = limits.check().expect_err(message);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn a_refusal_has_the_code_nearest_to_its_status() {
    use mainstay_base::error::Classify;
    for reason in Reason::ALL {
        let code = reason.here().code();
        let is_rough = [417, 501, 505].contains(&reason.status().as_u16());
        assert_eq!(code.status(), if is_rough { 400 } else { reason.status().as_u16() }, "{reason:?}");
    }
}

#[test]
fn a_refusal_shows_little_and_no_secrets() {
    let shown = |stream: &str| whole(stream.as_bytes()).refused.expect("it is refused").1;
    assert_eq!(
        shown("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic secret\u{1}\r\n\r\n"),
        "A header's value has a control byte: `Authorization`"
    );
    assert_eq!(
        shown("GET /a\u{1b}[31mbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb HTTP/1.1\r\n\r\n"),
        "The target has a byte that has to be percent-encoded there: `\\x1b[31mbbbbbbbbbbbbbbbbbbb…`"
    );
}

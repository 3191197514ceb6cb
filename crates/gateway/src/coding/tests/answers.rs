//! Which answers are compressed, and what becomes of their headers.

use super::*;

/// A request and an answer as lines, `GET gzip` and `200` with the answer's headers behind it, to the answer's headers as they are sent.
struct Case {
    request: &'static [(&'static str, &'static str)],
    method: Method,
    status: u16,
    answer: &'static [(&'static str, &'static str)],
    /// Without the type and what else stays in every case.
    sent: &'static [(&'static str, &'static str)],
}

const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];
const JSON: (&str, &str) = ("content-type", "application/json");
const CODED: (&str, &str) = ("content-encoding", "gzip");
const VARIES: (&str, &str) = ("vary", "Accept-Encoding");
const LONG: (&str, &str) = ("content-length", "5000");

fn case(
    answer: &'static [(&'static str, &'static str)],
    sent: &'static [(&'static str, &'static str)],
) -> Case {
    Case { request: GZIP, method: Method::GET, status: 200, answer, sent }
}

fn sent(case: &Case) -> (HeaderMap, bool) {
    let config = Compression::default();
    let negotiated = Negotiated::of(&case.method, &headers(case.request), &config);
    let mut answer = Response::new(Script::cut(&[b'x'; 5000], 5000));
    if case.method == Method::HEAD || case.status == 304 {
        answer = Response::new(Script { length: Some(0), ..Script::default() });
    }
    *answer.status_mut() = StatusCode::from_u16(case.status).unwrap();
    *answer.headers_mut() = headers(case.answer);
    let answer = compress(answer, &negotiated, &config, &background());
    let (parts, body) = answer.into_parts();
    (parts.headers, body.into_plain().is_none())
}

#[track_caller]
fn assert_sent(cases: &[Case]) {
    for case in cases {
        let (fields, is_coded) = sent(case);
        let shown = (&case.method, case.status, case.request, case.answer);
        assert_eq!(fields, headers(case.sent), "{shown:?}");
        let says_so = case.sent.contains(&CODED) && !case.answer.contains(&CODED);
        assert_eq!(is_coded, says_so && case.method != Method::HEAD, "{shown:?}");
    }
}

#[test]
fn what_is_coded_says_so_and_nothing_that_is_not_true_any_more() {
    assert_sent(&[
        case(&[JSON], &[JSON, CODED, VARIES]),
        case(&[JSON, LONG], &[JSON, CODED, VARIES]),
        case(&[JSON, ("content-length", "1024")], &[JSON, CODED, VARIES]),
        case(&[JSON, ("accept-ranges", "bytes")], &[JSON, CODED, VARIES]),
        case(&[JSON, ("etag", "\"7\"")], &[JSON, ("etag", "W/\"7\""), CODED, VARIES]),
        case(&[JSON, ("etag", "W/\"7\"")], &[JSON, ("etag", "W/\"7\""), CODED, VARIES]),
        case(
            &[JSON, ("content-md5", "x"), ("digest", "x"), ("content-digest", "x"), ("repr-digest", "x")],
            &[JSON, CODED, VARIES],
        ),
        case(&[JSON, ("vary", "Origin")], &[JSON, ("vary", "Origin"), CODED, VARIES]),
        case(
            &[JSON, ("vary", "Origin, accept-encoding")],
            &[JSON, ("vary", "Origin, accept-encoding"), CODED],
        ),
        case(&[JSON, ("vary", "*")], &[JSON, ("vary", "*"), CODED]),
        case(
            &[JSON, ("cache-control", "public, max-age=7")],
            &[JSON, ("cache-control", "public, max-age=7"), CODED, VARIES],
        ),
        Case { status: 404, ..case(&[JSON], &[JSON, CODED, VARIES]) },
        Case { status: 500, ..case(&[JSON], &[JSON, CODED, VARIES]) },
    ]);
}

#[test]
fn what_others_would_be_sent_coded_varies() {
    let none = |request| Case {
        request,
        ..case(&[JSON, LONG, ("etag", "\"7\"")], &[JSON, LONG, ("etag", "\"7\""), VARIES])
    };
    assert_sent(&[
        none(&[]),
        none(&[("accept-encoding", "deflate")]),
        none(&[("accept-encoding", "identity, gzip;q=0.1")]),
    ]);
}

#[test]
fn what_is_sent_coded_to_nobody_stays_as_it_is() {
    const IMAGE: (&str, &str) = ("content-type", "image/png");
    let left = |answer| case(answer, answer);
    assert_sent(&[
        left(&[]),
        left(&[IMAGE, ("etag", "\"7\"")]),
        left(&[("content-type", "text/event-stream")]),
        left(&[JSON, ("content-length", "1023"), ("etag", "\"7\"")]),
        left(&[JSON, CODED, LONG, ("etag", "\"7\"")]),
        left(&[JSON, ("content-encoding", "identity")]),
        left(&[JSON, ("cache-control", "max-age=7, No-Transform"), ("etag", "\"7\"")]),
        left(&[JSON, ("content-range", "bytes 0-1/7")]),
        Case { status: 206, ..left(&[JSON, LONG]) },
        Case { status: 204, ..left(&[("etag", "\"7\"")]) },
        Case { status: 205, ..left(&[JSON]) },
        Case { status: 101, ..left(&[("upgrade", "websocket")]) },
        Case {
            request: &[("accept-encoding", "gzip"), ("cache-control", "no-transform")],
            ..left(&[JSON, LONG])
        },
    ]);
}

#[test]
fn head_is_answered_as_get_is_but_for_the_length() {
    let head = |answer, sent| Case { method: Method::HEAD, ..case(answer, sent) };
    assert_sent(&[
        head(&[JSON, LONG, ("etag", "\"7\"")], &[JSON, ("etag", "W/\"7\""), CODED, VARIES]),
        head(&[JSON], &[JSON, CODED, VARIES]),
        head(&[JSON, ("content-length", "1023")], &[JSON, ("content-length", "1023")]),
        Case { request: &[], ..head(&[JSON, LONG], &[JSON, LONG, VARIES]) },
    ]);
}

#[test]
fn an_answer_that_nothing_changed_names_the_version_that_the_client_has() {
    let unchanged = |request, sent| Case { request, status: 304, ..case(&[("etag", "\"7\"")], sent) };
    let strong: &[_] = &[("etag", "\"7\""), VARIES];
    let weak: &[_] = &[("etag", "W/\"7\""), VARIES];
    assert_sent(&[
        unchanged(&[("accept-encoding", "gzip"), ("if-none-match", "W/\"7\"")], weak),
        unchanged(&[("accept-encoding", "gzip"), ("if-none-match", "\"6\", W/\"7\"")], weak),
        unchanged(&[("accept-encoding", "gzip"), ("if-none-match", "\"7\"")], strong),
        unchanged(&[("accept-encoding", "gzip"), ("if-none-match", "W/\"77\"")], strong),
        Case { status: 304, ..case(&[JSON], &[JSON, VARIES]) },
        Case { status: 304, ..case(&[("content-type", "image/png")], &[("content-type", "image/png")]) },
    ]);
}

#[test]
fn a_client_that_takes_nothing_uncoded_is_sent_everything_coded_that_may_be() {
    let must =
        |answer, sent| Case { request: &[("accept-encoding", "gzip, identity;q=0")], ..case(answer, sent) };
    assert_sent(&[
        must(
            &[("content-type", "image/png"), ("content-length", "7")],
            &[("content-type", "image/png"), CODED, VARIES],
        ),
        Case {
            request: &[("accept-encoding", "gzip, *;q=0")],
            ..must(&[("content-length", "7")], &[CODED, VARIES])
        },
        must(&[("content-length", "0")], &[("content-length", "0")]),
        must(&[JSON, ("cache-control", "no-transform")], &[JSON, ("cache-control", "no-transform")]),
        Case { request: &[("accept-encoding", "*;q=0")], ..must(&[JSON], &[JSON, VARIES]) },
    ]);
}

#[tokio::test]
async fn what_is_not_coded_passes_as_it_is() {
    let config = Compression::default();
    let negotiated = Negotiated::of(&Method::GET, &HeaderMap::new(), &config);
    let trailers = headers(&[("content-digest", "x")]);
    let script = Script {
        length: Some(4),
        ..Script::new([Step::Data("text".into()), Step::Trailers(trailers.clone())])
    };
    let mut body = compress(Response::new(script), &negotiated, &config, &background()).into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    let outcome = all(&mut body).await;
    assert_eq!((outcome.bytes, outcome.trailers), (b"text".to_vec(), Some(trailers)));
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn an_answer_is_coded_as_its_headers_say() {
    let config = Compression::default();
    for coding in Coding::ALL {
        let accepted = headers(&[("accept-encoding", coding.as_str())]);
        let negotiated = Negotiated::of(&Method::GET, &accepted, &config);
        let mut answer = Response::new(Script::cut(&[b'x'; 100_000], 9000));
        answer.headers_mut().insert("content-type", "text/css".parse().unwrap());
        let mut answer = compress(answer, &negotiated, &config, &background());
        assert_eq!(answer.headers()["content-encoding"], coding.as_str());
        let coded = all(answer.body_mut()).await;
        assert_eq!(undo(coding, &coded.bytes), [b'x'; 100_000]);
    }
}

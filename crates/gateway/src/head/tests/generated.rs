//! Streams that are generated: right ones pass whole, and whatever passes of broken ones every reader reads in one way.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::Limits;
use super::{byte_by_byte, feed, reference, tolerant, whole};
use crate::fuzz;

/// A request and how many of its bytes are its head.
type Sent = (Vec<u8>, usize);

fn field() -> impl Strategy<Value = String> {
    let name = "[!#$%&'*+.^`|~0-9A-Za-z-]{1,12}".prop_filter("it says nothing of framing", |name| {
        let known = ["host", "expect", "upgrade", "connection", "content-length", "transfer-encoding"];
        !known.contains(&name.to_ascii_lowercase().as_str())
    });
    (name, "[ \t]?([!-~\u{a1}-\u{ff}]([ -~\t]{0,40}[!-~])?)?[ \t]?")
        .prop_map(|(name, value)| format!("{name}:{value}\r\n"))
}

fn target() -> impl Strategy<Value = (&'static str, String, &'static str)> {
    let method = select(vec![
        "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "get",
    ]);
    let path = "(/[A-Za-z0-9._~!$&'()*+,;=:@%^|\\[\\]-]{0,8}){1,3}(\\?[A-Za-z0-9._~!$&'()*+,;=:@%/?`{}\\\\-]{0,12})?";
    let host =
        select(vec!["a", "a.example:8080", "127.0.0.1", "[::1]:80", "xn--nxasmq6b.example", "my_service-1"]);
    (method, path, host, 0..4_u8).prop_map(|(method, path, host, form)| match form {
        0 => ("OPTIONS", "*".to_owned(), host),
        1 => (method, format!("http://{host}{path}"), host),
        _ => (method, path, host),
    })
}

fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let chunks = (vec(vec(any::<u8>(), 1..24), 0..4), vec("X-[a-z]{1,6}: ?[a-z]{0,8}\r\n", 0..3));
    prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..40).prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        chunks.prop_map(|(chunks, trailers)| {
            let mut body = Vec::new();
            for chunk in chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(&chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
            ("transfer-encoding: Chunked\r\n".to_owned(), body)
        }),
    ]
}

fn request() -> impl Strategy<Value = Sent> {
    let connection =
        select(vec!["", "Connection: keep-alive\r\n", "Connection: TE, Upgrade\r\nUpgrade: TLS/1.2\r\n"]);
    (target(), vec(field(), 0..5), body(), connection, any::<Index>(), any::<bool>()).prop_map(
        |((method, target, host), mut fields, (framing, body), connection, place, has_empty_line)| {
            fields.insert(place.index(fields.len() + 1), format!("Host: {host}\r\n"));
            fields.insert(place.index(fields.len() + 1), framing);
            fields.insert(place.index(fields.len() + 1), connection.to_owned());
            let empty = if has_empty_line { "\r\n" } else { "" };
            // What is above 0x7F is one byte each.
            let text = format!("{empty}{method} {target} HTTP/1.1\r\n{}\r\n", fields.concat());
            let mut bytes: Vec<u8> =
                text.chars().map(|c| u8::try_from(c).expect("it is below 0x100")).collect();
            let head = bytes.len();
            bytes.extend_from_slice(&body);
            (bytes, head)
        },
    )
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut begin = 0;
    let mut parts = Vec::new();
    for place in places.into_iter().chain([bytes.len()]) {
        parts.push(&bytes[begin..place]);
        begin = place;
    }
    parts
}

/// What breaks a request, or nearly does.
const SNIPPETS: [&[u8]; 32] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b":",
    b",",
    b";",
    b"_",
    b"0",
    b"\"",
    b"\x7f",
    b"\xff",
    b"#",
    b"\r\n ",
    b"\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"\r\nContent-Length: 3",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\nTransfer-Encoding : chunked",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"1;a=b\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, u8),
    Remove(Index, usize),
    Insert(Index, &'static [u8]),
    /// A piece of the stream at another place of it.
    Copy(Index, usize, Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Replace(at, byte)),
            (any::<Index>(), 1..4_usize).prop_map(|(at, len)| Self::Remove(at, len)),
            (any::<Index>(), select(SNIPPETS.to_vec())).prop_map(|(at, snippet)| Self::Insert(at, snippet)),
            (any::<Index>(), 1..30_usize, any::<Index>()).prop_map(|(at, len, to)| Self::Copy(at, len, to)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Self::Replace(at, byte) => {
                let at = place(at);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Self::Remove(at, len) => {
                let at = place(at);
                let end = bytes.len().min(at + len);
                bytes.drain(at..end);
            }
            Self::Insert(at, snippet) => {
                // Mostly where lines begin, where it tells.
                let at = place(at);
                let line =
                    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(at, |found| at + found + 1);
                bytes.splice(line..line, snippet.iter().copied());
            }
            Self::Copy(at, len, to) => {
                let (at, to) = (place(at), place(to));
                let piece = bytes[at..bytes.len().min(at + len)].to_vec();
                bytes.splice(to..to, piece);
            }
        }
    }
}

/// What passed is read in one way.
fn check_passed(bytes: &[u8]) {
    let outcome = whole(bytes);
    let passed = &bytes[..outcome.passed];
    if passed.starts_with(super::super::PREFACE) {
        return;
    }
    assert_eq!(reference::heads(passed).as_ref(), Ok(&outcome.heads), "{}", bytes.escape_ascii());
    assert_eq!(tolerant::heads(passed).as_ref(), Ok(&outcome.heads), "{}", bytes.escape_ascii());
}

proptest! {
    #[test]
    fn right_streams_pass_whole_and_their_heads_are_found(requests in vec(request(), 1..4), cuts in vec(any::<Index>(), 0..6)) {
        let stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let mut at = 0;
        let heads: Vec<usize> = requests.iter().map(|(bytes, head)| { at += bytes.len(); at - bytes.len() + head }).collect();
        let outcome = whole(&stream);
        prop_assert_eq!(&outcome.refused, &None, "{}", stream.escape_ascii());
        prop_assert_eq!(outcome.passed, stream.len());
        prop_assert_eq!(&outcome.heads, &heads);
        prop_assert_eq!(&feed(Limits::default(), cut(&stream, &cuts)), &outcome);
        prop_assert_eq!(&byte_by_byte(&stream), &outcome);
        check_passed(&stream);
    }

    #[test]
    fn what_passes_of_broken_streams_is_right(
        requests in vec(request(), 1..3),
        mutations in vec(Mutation::any(), 1..4),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        for mutation in &mutations {
            mutation.apply(&mut stream);
        }
        check_passed(&stream);
        prop_assert_eq!(feed(Limits::default(), cut(&stream, &cuts)), whole(&stream));
        fuzz::head(&stream);
    }

    #[test]
    fn any_bytes_are_judged(bytes in vec(any::<u8>(), 0..80)) {
        fuzz::head(&bytes);
        check_passed(&bytes);
    }
}

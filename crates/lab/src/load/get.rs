//! One `GET`, prepared once and sent many times, over HTTP/1.1 as bytes: the cheapest client of a server of HTTP.

use std::net::SocketAddr;

use super::{Answer, Protocol, Read};

/// More header fields than any answer has.
const HEADERS_MAX: usize = 32;

/// Clients that ask for the same thing over and over.
#[derive(Debug, Clone)]
pub struct Get {
    address: SocketAddr,
    request: Vec<u8>,
}

impl Get {
    /// `GET path` of what is called `host`, at an address.
    #[must_use]
    pub fn new(address: SocketAddr, host: &str, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        Self { address, request }
    }
}

impl Protocol for Get {
    type Memory = ();

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) {}

    fn request(&self, (): &mut (), out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn read(&self, (): &mut (), input: &[u8]) -> Read {
        answer(input, |status, body| Answer { status, body_bytes: body.len() as u64 })
    }
}

/// Looks for a whole answer; `judge` makes of its status and body what it counts as.
pub(crate) fn answer(input: &[u8], judge: impl FnOnce(u16, &[u8]) -> Answer) -> Read {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let body_at = match head.parse(input) {
        Ok(httparse::Status::Complete(body_at)) => body_at,
        Ok(httparse::Status::Partial) => return Read::Part,
        Err(_) => return Read::Malformed,
    };
    let Some(status) = head.code else { return Read::Malformed };
    let Some(length) = length(status, head.headers) else { return Read::Malformed };
    let Some(body) = input.get(body_at..body_at + length) else { return Read::Part };
    Read::Answer(body_at + length, judge(status, body))
}

/// The length of the body; none if it is not told in advance: what is asked here has its length, and a server that takes it away does other work than one that does not.
fn length(status: u16, headers: &[httparse::Header<'_>]) -> Option<usize> {
    let told = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    match told {
        Some(header) => std::str::from_utf8(header.value).ok()?.trim().parse().ok(),
        None => Some(0).filter(|_| status == 204 || status == 304),
    }
}

#[test]
fn a_request_is_whole_and_an_answer_has_its_status_and_length() {
    let get = Get::new(SocketAddr::from(([127, 0, 0, 1], 80)), "localhost", "/k1");
    let mut out = Vec::new();
    get.request(&mut (), &mut out);
    assert_eq!(out, b"GET /k1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let both = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP";
    assert_eq!(get.read(&mut (), both), Read::Answer(both.len() - 4, Answer { status: 200, body_bytes: 2 }));
    assert_eq!(get.read(&mut (), &both[..both.len() - 5]), Read::Part);
}

//! Mainstay's items over HTTP/1.1: written out by hand, so that the load costs little, and in a duel about the same for each.

use std::net::SocketAddr;

use super::work::{Hand, Operation, Work};
use crate::load::{Answer, Protocol, Read, answer};

/// Clients of a node with the collection `kv`, whose answers are read to the end.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    /// What follows the key in a request.
    after_key: Vec<u8>,
    work: Work,
}

impl Http {
    /// Clients that do this work there.
    #[must_use]
    pub fn new(address: SocketAddr, work: Work) -> Self {
        let body = match work.operation() {
            Operation::Get => String::new(),
            Operation::Put => {
                let bytes = work.value_bytes();
                format!("Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n")
            }
        };
        let after_key = format!(" HTTP/1.1\r\nHost: {address}\r\n{body}\r\n").into_bytes();
        Self { address, after_key, work }
    }
}

impl Protocol for Http {
    type Memory = Hand;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Hand {
        self.work.hand()
    }

    fn request(&self, hand: &mut Hand, out: &mut Vec<u8>) {
        let key = self.work.next(hand);
        out.extend_from_slice(match self.work.operation() {
            Operation::Get => b"GET /v1/collections/kv/items/",
            Operation::Put => b"PUT /v1/collections/kv/items/",
        });
        out.extend_from_slice(&key);
        out.extend_from_slice(&self.after_key);
        if self.work.operation() == Operation::Put {
            out.extend_from_slice(self.work.value(hand));
        }
    }

    fn read(&self, hand: &mut Hand, input: &[u8]) -> Read {
        answer(input, |status, body| {
            let shows_item = status == 200 && self.work.operation() == Operation::Get;
            if shows_item { hand.shown(body) } else { Answer { status, body_bytes: body.len() as u64 } }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::work::{Task, VALUE_BYTES};
    use super::*;

    fn http(operation: Operation) -> Http {
        let address = SocketAddr::from(([127, 0, 0, 1], 7070));
        Http::new(address, Work::at_random(Task { operation, items: 1, value_bytes: VALUE_BYTES }))
    }

    #[test]
    fn requests_are_whole() {
        let mut out = Vec::new();
        let reads = http(Operation::Get);
        reads.request(&mut reads.memory(), &mut out);
        assert_eq!(out, b"GET /v1/collections/kv/items/k0000000 HTTP/1.1\r\nHost: 127.0.0.1:7070\r\n\r\n");
        out.clear();
        let writes = http(Operation::Put);
        writes.request(&mut writes.memory(), &mut out);
        let head = "PUT /v1/collections/kv/items/k0000000 HTTP/1.1\r\nHost: 127.0.0.1:7070\r\n\
                    Content-Type: application/octet-stream\r\nContent-Length: 256\r\n\r\nk0000000";
        assert!(out.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn answers_have_their_status_and_a_body_of_the_length_told() {
        let writes = http(Operation::Put);
        let mut hand = writes.memory();
        let made = b"HTTP/1.1 204 No Content\r\nETag: \"1\"\r\n\r\n";
        let read = writes.read(&mut hand, made);
        assert_eq!(read, Read::Answer(made.len(), Answer { status: 204, body_bytes: 0 }));
        let refused = b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}HTTP";
        let read = writes.read(&mut hand, refused);
        assert_eq!(read, Read::Answer(refused.len() - 4, Answer { status: 503, body_bytes: 2 }));
        assert_eq!(writes.read(&mut hand, &refused[..30]), Read::Part);
        assert_eq!(writes.read(&mut hand, &refused[..refused.len() - 5]), Read::Part);
        let unknown = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(writes.read(&mut hand, unknown), Read::Malformed);
        assert_eq!(writes.read(&mut hand, b"no"), Read::Malformed);
    }

    #[test]
    fn a_value_that_is_read_is_that_of_its_item() {
        let reads = http(Operation::Get);
        let mut hand = reads.memory();
        let mut status = |body: &str| {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            match reads.read(&mut hand, answer.as_bytes()) {
                Read::Answer(_, answer) => answer.status,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((status("k0000000-"), status("k0000001-")), (200, 409));
    }
}

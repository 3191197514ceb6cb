//! Reads and writes of documents in one collection, in a given mix, as bytes of HTTP/1.1; and commits that store all of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::document::{Documents, Shape};
use super::skew::{Draw, Skew};
use super::work::next;
use crate::clock::Moment;
use crate::load::{Answer, Histogram, Protocol, Read, answer};

/// Items of one partition.
pub const PARTITION_ITEMS: u64 = 256;

/// Bytes of documents in one commit, about, when all are stored: those of all clients fit into the inbox of one shard.
const COMMIT_BYTES: u64 = 64 << 10;

/// Bytes of every key.
pub const DOCUMENT_KEY_BYTES: usize = 15;

/// The key of the item of this number: that of its partition, and its own.
#[must_use]
pub fn document_key(number: u64) -> String {
    format!("p{:05}/k{number:07}", number / PARTITION_ITEMS)
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Items that there are, at most 10,000,000.
    pub items: u64,
    /// How requests spread over them.
    pub skew: Skew,
    /// The share of writes, 0..=1.
    pub writes_ratio: f64,
    /// What is written.
    pub shape: Shape,
}

/// Clients that read and write.
#[derive(Debug)]
pub struct Traffic {
    address: SocketAddr,
    collection: String,
    mix: Mix,
    draw: Draw,
    documents: Documents,
    clients: AtomicU64,
    latencies: Mutex<Latencies>,
}

/// How long requests took, reads and writes apart.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// Of reads.
    pub reads: Histogram,
    /// Of writes.
    pub writes: Histogram,
}

/// What one client keeps.
#[derive(Debug)]
pub struct Turn {
    random: u64,
    is_write: bool,
    begun: Moment,
    body: Vec<u8>,
}

impl Traffic {
    /// Clients of this node and collection.
    #[must_use]
    pub fn new(address: SocketAddr, collection: &str, mix: Mix) -> Self {
        Self {
            address,
            collection: collection.to_owned(),
            mix,
            draw: Draw::new(mix.skew, mix.items),
            documents: Documents::new(mix.shape),
            clients: AtomicU64::new(0),
            latencies: Mutex::default(),
        }
    }

    /// How long all requests until now took, those of the warm-up too.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Protocol for Traffic {
    type Memory = Turn;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Turn {
        // Far apart in the generator's sequence: neighbours would draw the same numbers one step later.
        let mut place = self.clients.fetch_add(1, Ordering::Relaxed);
        Turn { random: next(&mut place), is_write: false, begun: Moment::now(), body: Vec::new() }
    }

    fn request(&self, turn: &mut Turn, out: &mut Vec<u8>) {
        let share = (next(&mut turn.random) >> 11) as f64 / (1_u64 << 53) as f64;
        turn.is_write = share < self.mix.writes_ratio;
        let number = self.draw.next(&mut turn.random);
        let method = if turn.is_write { "PUT" } else { "GET" };
        let (collection, key, address) = (&self.collection, document_key(number), self.address);
        write!(out, "{method} /v1/collections/{collection}/items/{key} HTTP/1.1\r\nHost: {address}\r\n")
            .expect(WRITES);
        if turn.is_write {
            let length = self.documents.shape().bytes;
            write!(out, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n").expect(WRITES);
            self.documents.write(number, &mut turn.random, out);
        } else {
            out.extend_from_slice(b"\r\n");
        }
        turn.begun = Moment::now();
    }

    fn read(&self, turn: &mut Turn, input: &[u8]) -> Read {
        let read = answer(input, |status, body| Answer { status, body_bytes: body.len() as u64 });
        if let Read::Answer(_, _) = read {
            let took = Moment::now().since(turn.begun);
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            let of = if turn.is_write { &mut latencies.writes } else { &mut latencies.reads };
            of.record(took);
        }
        read
    }
}

/// Clients that store every item of a collection in turn, many in each commit.
#[derive(Debug)]
pub struct Storing {
    address: SocketAddr,
    collection: String,
    items: u64,
    documents: Documents,
    turn: AtomicU64,
}

impl Storing {
    /// Stores so many items of this shape there.
    #[must_use]
    pub fn new(address: SocketAddr, collection: &str, items: u64, shape: Shape) -> Self {
        let documents = Documents::new(shape);
        Self { address, collection: collection.to_owned(), items, documents, turn: AtomicU64::new(0) }
    }

    /// Items of one commit: a power of two, so that none has items of two partitions.
    fn chunk(&self) -> u64 {
        let fit = (COMMIT_BYTES / self.documents.shape().bytes as u64).max(1);
        PARTITION_ITEMS.min(1 << fit.ilog2())
    }

    /// How many commits store all items.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.items.div_ceil(self.chunk())
    }
}

impl Protocol for Storing {
    type Memory = Turn;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Turn {
        Turn { random: 1, is_write: true, begun: Moment::now(), body: Vec::new() }
    }

    fn request(&self, turn: &mut Turn, out: &mut Vec<u8>) {
        let chunk = self.chunk();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.commits() * chunk;
        let mut head = String::new();
        write!(head, "{{\"partition\":\"p{:05}\",\"do\":[", first / PARTITION_ITEMS).expect(WRITES);
        turn.body.clear();
        turn.body.extend_from_slice(head.as_bytes());
        for number in first..(first + chunk).min(self.items) {
            let (comma, key) = (if number == first { "" } else { "," }, document_key(number));
            let collection = &self.collection;
            write!(
                turn.body,
                "{comma}{{\"put\":{{\"collection\":\"{collection}\",\"key\":\"{key}\",\"value\":"
            )
            .expect(WRITES);
            self.documents.write(number, &mut turn.random, &mut turn.body);
            turn.body.extend_from_slice(b"}}");
        }
        turn.body.extend_from_slice(b"]}");
        let (address, length) = (self.address, turn.body.len());
        write!(
            out,
            "POST /v1/commits HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .expect(WRITES);
        out.extend_from_slice(&turn.body);
    }

    fn read(&self, _turn: &mut Turn, input: &[u8]) -> Read {
        answer(input, |status, body| Answer { status, body_bytes: body.len() as u64 })
    }
}

const WRITES: &str = "writing to memory does not fail";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const SHAPE: Shape = Shape { bytes: 128, fields: 0, fields_change: false };

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 7070))
    }

    fn request<P: Protocol>(protocol: &P, memory: &mut P::Memory) -> (String, String) {
        let mut out = Vec::new();
        protocol.request(memory, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn reads_and_writes_come_as_often_as_the_mix_says() {
        let mix = Mix { items: 1_000, skew: Skew::Uniform, writes_ratio: 0.05, shape: SHAPE };
        let traffic = Traffic::new(address(), "docs", mix);
        let mut turn = traffic.memory();
        let mut writes = 0;
        for _ in 0..10_000 {
            let (head, body) = request(&traffic, &mut turn);
            if head.starts_with("PUT /v1/collections/docs/items/p0000") {
                assert!(head.ends_with("Content-Length: 128") && body.len() == 128, "{head}");
                writes += 1;
            } else {
                assert!(head.starts_with("GET /v1/collections/docs/items/p0000") && body.is_empty());
            }
        }
        assert!((400..600).contains(&writes), "{writes}");
    }

    #[test]
    fn latencies_of_reads_and_writes_are_kept_apart() {
        let mix = Mix { items: 10, skew: Skew::Uniform, writes_ratio: 1.0, shape: SHAPE };
        let traffic = Traffic::new(address(), "docs", mix);
        let mut turn = traffic.memory();
        let _ = request(&traffic, &mut turn);
        assert_eq!(traffic.read(&mut turn, b"HTTP/1.1 204"), Read::Part);
        let read = traffic.read(&mut turn, b"HTTP/1.1 204 No Content\r\n\r\n");
        assert!(matches!(read, Read::Answer(27, Answer { status: 204, body_bytes: 0 })), "{read:?}");
        let latencies = traffic.latencies();
        assert_eq!((latencies.reads.len(), latencies.writes.len()), (0, 1));
    }

    #[test]
    fn every_item_is_stored_once_with_its_partition() {
        let storing = Storing::new(address(), "docs", 600, Shape { bytes: 4_000, ..SHAPE });
        let mut turn = storing.memory();
        let mut keys = BTreeSet::new();
        for _ in 0..storing.commits() {
            let body: Value = serde_json::from_str(&request(&storing, &mut turn).1).unwrap();
            let partition = body["partition"].as_str().unwrap();
            for operation in body["do"].as_array().unwrap() {
                let key = operation["put"]["key"].as_str().unwrap();
                assert!(key.starts_with(partition) && key.len() == DOCUMENT_KEY_BYTES);
                assert!(keys.insert(key.to_owned()), "{key} comes twice");
            }
        }
        assert_eq!((storing.chunk(), keys.len()), (16, 600));
        assert_eq!(keys.last().unwrap(), &document_key(599));
    }
}

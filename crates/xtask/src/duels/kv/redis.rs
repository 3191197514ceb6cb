//! Redis as a contestant: `SET` and `GET` over RESP, each change in the append-only file and synced before its answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::duel::{Contestant, Load, Started};
use mainstay_lab::items::{Hand, Operation, Task, Work};
use mainstay_lab::load::{Multiplexed, Protocol, Read, Shared, Wire};
use mainstay_lab::process::{Probe, Server, free_port};

use super::fill;
use super::talk::{self, bare, line};
use crate::peers;

/// What decides its speed and what it promises, asked of the running one.
const TELLING: [&str; 9] = [
    "appendonly",
    "appendfsync",
    "save",
    "no-appendfsync-on-rewrite",
    "auto-aof-rewrite-percentage",
    "auto-aof-rewrite-min-size",
    "aof-use-rdb-preamble",
    "io-threads",
    "maxmemory",
];

/// With clients that share connections.
pub(super) fn shared(task: Task) -> Contestant {
    contestant("redis", move |address| {
        fill::then(task, |work| Shared { protocol: Redis { address, work }, share: super::SHARE })
    })
}

/// With a connection for each client.
pub(super) fn unshared(task: Task) -> Contestant {
    contestant("redis-unshared", move |address| fill::then(task, |work| Wire(Redis { address, work })))
}

fn contestant(name: &str, load: impl Fn(SocketAddr) -> Result<Load> + 'static) -> Contestant {
    Contestant { name: name.to_owned(), start: Box::new(move |folder| start(folder, &load)) }
}

fn start(folder: &Path, load: &impl Fn(SocketAddr) -> Result<Load>) -> Result<Started> {
    let redis = peers::named("redis")?.require()?;
    let address = free_port()?;
    let mut command = Command::new(&redis.program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--dir"]).arg(folder);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let mut server = Server::spawn(command, &folder.join("log"))?;
    server.wait_ready(&Probe::Connect(address), Duration::from_secs(10))?;
    let settings = TELLING.iter().map(|name| ask(address, name)).collect::<Result<Vec<_>>>()?;
    let is = |name: &str, value: &str| settings.iter().any(|it| it.0 == name && it.1 == value);
    ensure!(is("appendonly", "yes") && is("appendfsync", "always"), "it does not sync: {settings:?}");
    Ok(Started { servers: vec![server], version: redis.version, settings, load: load(address)? })
}

/// The value of a setting in force.
fn ask(address: SocketAddr, name: &str) -> Result<(String, String)> {
    let question = format!("*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n${}\r\n{name}\r\n", name.len());
    let answer = talk::ask(address, question.as_bytes(), setting)?;
    let answer = answer.with_context(|| format!("Redis has no setting {name}"))?;
    Ok((name.to_owned(), answer))
}

/// The second of two bulk strings; none of that if the array is empty.
fn setting(input: &[u8]) -> Option<Option<String>> {
    let (head, rest) = line(input)?;
    if head != b"*2" {
        return Some(None);
    }
    let (_, rest) = bulk(rest)?;
    let (value, _) = bulk(rest)?;
    Some(Some(String::from_utf8_lossy(value).into_owned()))
}

/// A bulk string that is whole, and what follows.
fn bulk(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = line(input)?;
    let length = talk::number(head.strip_prefix(b"$")?)?;
    let rest_at = length.checked_add(2)?;
    (rest.len() >= rest_at).then(|| (&rest[..length], &rest[rest_at..]))
}

/// Clients of a Redis server.
struct Redis {
    address: SocketAddr,
    work: Work,
}

impl Protocol for Redis {
    type Memory = Hand;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Hand {
        self.work.hand()
    }

    fn request(&self, hand: &mut Hand, out: &mut Vec<u8>) {
        let key = self.work.next(hand);
        match self.work.operation() {
            Operation::Get => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$8\r\n");
                out.extend_from_slice(&key);
            }
            Operation::Put => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$8\r\n");
                out.extend_from_slice(&key);
                out.extend_from_slice(b"\r\n$256\r\n");
                out.extend_from_slice(self.work.value(hand));
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn read(&self, hand: &mut Hand, input: &[u8]) -> Read {
        let Some((head, rest)) = line(input) else { return Read::Part };
        let taken = input.len() - rest.len();
        match head {
            b"+OK" => Read::Answer(taken, bare(200)),
            b"$-1" => Read::Answer(taken, bare(404)),
            [b'-', ..] => Read::Answer(taken, bare(500)),
            [b'$', digits @ ..] if talk::number(digits).is_some() => {
                let Some((value, rest)) = bulk(input) else { return Read::Part };
                Read::Answer(input.len() - rest.len(), hand.shown(value))
            }
            _ => Read::Malformed,
        }
    }
}

impl Multiplexed for Redis {
    fn whose(&self, _: &[u8], oldest: usize) -> usize {
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(operation: Operation) -> Redis {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        Redis { address, work: Work::at_random(Task { operation, items: 1, value_bytes: 256 }) }
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        let reads = redis(Operation::Get);
        reads.request(&mut reads.memory(), &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$8\r\nk0000000\r\n");
        out.clear();
        let writes = redis(Operation::Put);
        writes.request(&mut writes.memory(), &mut out);
        assert!(out.starts_with(b"*3\r\n$3\r\nSET\r\n$8\r\nk0000000\r\n$256\r\nk0000000"), "{out:?}");
        assert!(out.ends_with(b"\r\n"));
        assert_eq!(out.len(), b"*3\r\n$3\r\nSET\r\n$8\r\nk0000000\r\n$256\r\n\r\n".len() + 256);
    }

    #[test]
    fn answers_are_told_apart() {
        let reads = redis(Operation::Get);
        let mut hand = reads.memory();
        let mut read = |input: &[u8]| reads.read(&mut hand, input);
        assert_eq!(read(b"+OK\r"), Read::Part);
        assert_eq!(read(b"+OK\r\n+"), Read::Answer(5, bare(200)));
        assert_eq!(read(b"$-1\r\n"), Read::Answer(5, bare(404)));
        assert_eq!(read(b"-ERR no\r\n"), Read::Answer(9, bare(500)));
        assert_eq!(read(b":1\r\n"), Read::Malformed);
        assert_eq!(read(b"$10\r\nk0000000+"), Read::Part);
        assert!(matches!(read(b"$10\r\nk0000000+-\r\n"), Read::Answer(17, answer) if answer.status == 200));
        assert!(matches!(read(b"$8\r\nk0000001\r\n"), Read::Answer(14, answer) if answer.status == 409));
    }

    #[test]
    fn settings_are_read_back() {
        assert_eq!(setting(b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"), Some(Some(String::new())));
        assert_eq!(setting(b"*2\r\n$4\r\nsave\r\n$0\r\n"), None);
        assert_eq!(setting(b"*0\r\n"), Some(None));
    }
}

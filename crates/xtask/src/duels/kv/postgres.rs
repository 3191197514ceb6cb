//! PostgreSQL as a contestant: one prepared statement on a table of keys and values, committed and synced before its answer.
//!
//! The load speaks the protocol's version 3 itself: one message each to bind, execute and sync, in one write.

use std::net::SocketAddr;

use mainstay_lab::duel::Contestant;
use mainstay_lab::items::{Hand, Operation, Task, Work};
use mainstay_lab::load::{Protocol, Read, Wire};

use super::talk::bare;
use super::{fill, postgres_server};

const WRITE: &str =
    "INSERT INTO kv (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";
const READ: &str = "SELECT value FROM kv WHERE key = $1";

/// Version 3.0 of the protocol.
const VERSION: u32 = 3 << 16;

pub(super) fn contestant(task: Task) -> Contestant {
    let start = move |folder: &_| {
        postgres_server::start(folder, |address| fill::then(task, |work| Wire(Postgres { address, work })))
    };
    Contestant { name: "postgresql".to_owned(), start: Box::new(start) }
}

/// Clients of a PostgreSQL server that trusts them.
struct Postgres {
    address: SocketAddr,
    work: Work,
}

impl Protocol for Postgres {
    type Memory = Hand;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Hand {
        self.work.hand()
    }

    fn open(&self, _: &[Hand], out: &mut Vec<u8>) -> usize {
        let parameters = b"user\0postgres\0database\0postgres\0\0";
        out.extend_from_slice(&(8 + parameters.len() as u32).to_be_bytes());
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(parameters);
        let statement = match self.work.operation() {
            Operation::Get => READ,
            Operation::Put => WRITE,
        };
        // The statement `s`, whose types the server finds out.
        message(out, b'P', &[b"s\0", statement.as_bytes(), b"\0", &[0, 0]]);
        message(out, b'S', &[]);
        // That the session stands, and that the statement does.
        2
    }

    fn request(&self, hand: &mut Hand, out: &mut Vec<u8>) {
        let key = self.work.next(hand);
        let key_length = (key.len() as u32).to_be_bytes();
        // The unnamed portal, the statement `s`, every parameter and result in binary form.
        let begin = b"\0s\0\0\x01\0\x01";
        let end = b"\0\x01\0\x01";
        match self.work.operation() {
            Operation::Get => message(out, b'B', &[begin, &[0, 1], &key_length, &key, end]),
            Operation::Put => {
                let value = self.work.value(hand);
                let value_length = (value.len() as u32).to_be_bytes();
                message(out, b'B', &[begin, &[0, 2], &key_length, &key, &value_length, value, end]);
            }
        }
        message(out, b'E', &[b"\0", &[0; 4]]);
        message(out, b'S', &[]);
    }

    fn read(&self, hand: &mut Hand, input: &[u8]) -> Read {
        let mut answer = match self.work.operation() {
            Operation::Get => bare(404),
            Operation::Put => bare(500),
        };
        let mut rest = input;
        loop {
            let Message { kind, content, after } = match next(rest) {
                Ok(Some(found)) => found,
                Ok(None) => return Read::Part,
                Err(Unknown) => return Read::Malformed,
            };
            rest = after;
            match kind {
                // A row of one column.
                b'D' => answer = content.get(6..).map_or(bare(500), |value| hand.shown(value)),
                b'C' if content.starts_with(b"INSERT 0 1\0") => answer = bare(200),
                b'E' => answer = bare(500),
                b'Z' => return Read::Answer(input.len() - rest.len(), answer),
                // Another way to log in than trust.
                b'R' if content != [0; 4] => return Read::Malformed,
                _ => {}
            }
        }
    }
}

/// Appends a message of a kind with its length.
fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend_from_slice(&(4 + length as u32).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A message of the server, and what follows it.
struct Message<'a> {
    kind: u8,
    content: &'a [u8],
    after: &'a [u8],
}

/// What no server sends.
struct Unknown;

/// The first message, if it is whole.
fn next(input: &[u8]) -> Result<Option<Message<'_>>, Unknown> {
    let [kind, a, b, c, d, ..] = *input else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !kind.is_ascii_alphanumeric() || length < 4 {
        return Err(Unknown);
    }
    Ok(input.get(5..=length).map(|content| Message { kind, content, after: &input[length + 1..] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(operation: Operation) -> Postgres {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        Postgres { address, work: Work::at_random(Task { operation, items: 1, value_bytes: 256 }) }
    }

    fn kinds(mut input: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while let Ok(Some(Message { kind, content, after })) = next(input) {
            found.push((kind, content.to_vec()));
            input = after;
        }
        assert_eq!(input, b"");
        found
    }

    #[test]
    fn a_connection_opens_with_its_statement() {
        let writes = postgres(Operation::Put);
        let mut out = Vec::new();
        assert_eq!(writes.open(&[writes.memory()], &mut out), 2);
        let length = u32::from_be_bytes(out[..4].try_into().unwrap()) as usize;
        assert_eq!(&out[4..8], [0, 3, 0, 0]);
        assert!(out[..length].ends_with(b"database\0postgres\0\0"));
        let messages = kinds(&out[length..]);
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].0, messages[1].clone()), (b'P', (b'S', Vec::new())));
        assert!(messages[0].1.starts_with(b"s\0INSERT INTO kv") && messages[0].1.ends_with(b"\0\0\0"));
    }

    #[test]
    fn a_request_binds_executes_and_syncs() {
        let reads = postgres(Operation::Get);
        let mut out = Vec::new();
        reads.request(&mut reads.memory(), &mut out);
        let bind = b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x08k0000000\0\x01\0\x01".to_vec();
        assert_eq!(kinds(&out), [(b'B', bind), (b'E', vec![0; 5]), (b'S', Vec::new())]);
        let writes = postgres(Operation::Put);
        out.clear();
        writes.request(&mut writes.memory(), &mut out);
        let messages = kinds(&out);
        assert!(messages[0].1.starts_with(b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x08k0000000\0\0\x01\0k0000000"));
    }

    #[test]
    fn an_answer_ends_when_the_server_is_ready_again() {
        let server = |messages: &[(u8, &[u8])]| {
            let mut bytes = Vec::new();
            messages.iter().for_each(|(kind, content)| message(&mut bytes, *kind, &[content]));
            bytes
        };
        let status = |operation, messages: &[(u8, &[u8])]| {
            let postgres = postgres(operation);
            let bytes = server(messages);
            assert_eq!(postgres.read(&mut postgres.memory(), &bytes[..bytes.len() - 1]), Read::Part);
            match postgres.read(&mut postgres.memory(), &bytes) {
                Read::Answer(taken, answer) if taken == bytes.len() => answer.status,
                other => panic!("{other:?}"),
            }
        };
        let ready: (u8, &[u8]) = (b'Z', b"I");
        let row = |value: &'static [u8]| (b'D', value);
        let put = |messages: &[_]| status(Operation::Put, messages);
        let get = |messages: &[_]| status(Operation::Get, messages);
        assert_eq!(put(&[(b'2', b""), (b'C', b"INSERT 0 1\0"), ready]), 200);
        assert_eq!(put(&[(b'2', b""), (b'C', b"INSERT 0 0\0"), ready]), 500);
        assert_eq!(put(&[(b'E', b"SERROR\0"), ready]), 500);
        assert_eq!(get(&[(b'2', b""), row(b"\0\x01\0\0\0\x08k0000000"), (b'C', b"SELECT 1\0"), ready]), 200);
        assert_eq!(get(&[(b'2', b""), row(b"\0\x01\0\0\0\x08k0000001"), (b'C', b"SELECT 1\0"), ready]), 409);
        assert_eq!(get(&[(b'2', b""), (b'C', b"SELECT 0\0"), ready]), 404);
        let postgres = postgres(Operation::Get);
        assert_eq!(postgres.read(&mut postgres.memory(), b"\0\0\0\0\0"), Read::Malformed);
        assert_eq!(
            postgres.read(&mut postgres.memory(), &server(&[(b'R', &[0, 0, 0, 10])])),
            Read::Malformed
        );
    }
}

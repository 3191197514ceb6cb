//! NATS as a contestant: a key-value bucket of JetStream in files, with a sync for each change.
//!
//! A `PUB` to the key's subject is a put, its acknowledgement arrives in the client's inbox; a get asks the stream for the
//! subject's last message directly, which is what clients do unless they are told not to.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::duel::{Contestant, Started};
use mainstay_lab::fetch;
use mainstay_lab::items::{Hand, Operation, Task, VALUE_BYTES, Work};
use mainstay_lab::load::{Answer, Multiplexed, Protocol, Read, Shared};
use mainstay_lab::process::{Probe, Server, free_port};
use serde_json::{Value, json};

use super::fill;
use super::talk::{self, bare, line, number};
use crate::peers;

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// What of the bucket's stream decides its speed and what it promises.
const TELLING: [&str; 7] = [
    "storage",
    "num_replicas",
    "max_msgs_per_subject",
    "allow_direct",
    "compression",
    "discard",
    "duplicate_window",
];

pub(super) fn contestant(task: Task) -> Contestant {
    Contestant { name: "nats".to_owned(), start: Box::new(move |folder| start(folder, task)) }
}

fn start(folder: &Path, task: Task) -> Result<Started> {
    let nats = peers::named("nats")?.require()?;
    let (address, monitor) = (free_port()?, free_port()?);
    let file = folder.join("nats.conf");
    let store = folder.join("store");
    let configuration = format!(
        "listen: \"{address}\"\nhttp: \"{monitor}\"\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n"
    );
    fs::write(&file, configuration).context("write nats.conf")?;
    let mut command = Command::new(&nats.program);
    command.arg("--config").arg(&file);
    let mut server = Server::spawn(command, &folder.join("log"))?;
    server.wait_ready(&Probe::Http(monitor, "/healthz".to_owned()), Duration::from_secs(10))?;
    let varz = fetch::get(monitor, "/varz", Duration::from_secs(10))?.json()?;
    let synced = &varz["jetstream"]["config"]["sync_always"];
    ensure!(synced == true, "it does not sync each change: {}", varz["jetstream"]);
    let mut settings = vec![("jetstream.sync_always".to_owned(), synced.to_string())];
    settings.extend(make_bucket(address)?);
    let load = fill::then(task, |work| Shared { protocol: Nats { address, work }, share: super::SHARE })?;
    Ok(Started { servers: vec![server], version: nats.version, settings, load })
}

/// Makes the bucket as the command-line client does; returns its settings as the server has them.
fn make_bucket(address: SocketAddr) -> Result<Vec<(String, String)>> {
    let bucket = json!({
        "name": "KV_kv", "subjects": ["$KV.kv.>"], "storage": "file", "num_replicas": 1, "max_msgs_per_subject": 1,
        "discard": "new", "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true,
    })
    .to_string();
    let question = format!(
        "{CONNECT}SUB made 1\r\nPUB $JS.API.STREAM.CREATE.KV_kv made {}\r\n{bucket}\r\n",
        bucket.len()
    );
    let made = talk::ask(address, question.as_bytes(), |input| {
        let at = input.windows(4).position(|window| window == b"MSG ")?;
        message(&input[at..]).map(|(_, message)| serde_json::from_slice::<Value>(message.payload))
    })?;
    let made = made.context("read what was made")?;
    let settings = made.get("config").with_context(|| format!("no bucket was made: {made}"))?;
    let telling = TELLING.iter().filter_map(|name| Some((*name, settings.get(name)?)));
    Ok(telling.map(|(name, value)| (format!("bucket.{name}"), value.to_string())).collect())
}

/// What was delivered.
struct Message<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
}

/// A `MSG` or `HMSG` that is whole, with its length.
fn message(input: &[u8]) -> Option<(usize, Message<'_>)> {
    let (head, rest) = line(input)?;
    let mut words = head.split(|byte| *byte == b' ').rev();
    let total = number(words.next()?)?;
    let headers = if head.starts_with(b"HMSG") { number(words.next()?)? } else { 0 };
    let whole = rest.get(..total + 2)?;
    let (headers, payload) = whole[..total].split_at_checked(headers)?;
    Some((input.len() - rest.len() + whole.len(), Message { headers, payload }))
}

/// Clients of a NATS server.
struct Nats {
    address: SocketAddr,
    work: Work,
}

impl Nats {
    fn answer(&self, hand: &Hand, message: &Message<'_>) -> Answer {
        // `NATS/1.0 404 Message Not Found`; where all is well the version stands alone.
        let status = line(message.headers).and_then(|(first, _)| number(first.get(9..12)?));
        match (status, self.work.operation()) {
            (Some(status), _) => bare(u16::try_from(status).unwrap_or(500)),
            (None, Operation::Get) => hand.shown(message.payload),
            (None, Operation::Put) => {
                let is_stored = message.payload.starts_with(b"{\"stream\":");
                bare(if is_stored { 200 } else { 500 })
            }
        }
    }
}

impl Protocol for Nats {
    type Memory = Hand;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> Hand {
        self.work.hand()
    }

    fn open(&self, hands: &[Hand], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(CONNECT.as_bytes());
        for (place, hand) in hands.iter().enumerate() {
            out.extend_from_slice(format!("SUB _INBOX.{} {}\r\n", hand.client, place + 1).as_bytes());
        }
        // Once `PONG` answers, the inboxes are known.
        out.extend_from_slice(b"PING\r\n");
        1
    }

    fn request(&self, hand: &mut Hand, out: &mut Vec<u8>) {
        let key = self.work.next(hand);
        let inbox = hand.client;
        match self.work.operation() {
            Operation::Get => {
                out.extend_from_slice(b"PUB $JS.API.DIRECT.GET.KV_kv.$KV.kv.");
                out.extend_from_slice(&key);
                out.extend_from_slice(format!(" _INBOX.{inbox} 0\r\n\r\n").as_bytes());
            }
            Operation::Put => {
                out.extend_from_slice(b"PUB $KV.kv.");
                out.extend_from_slice(&key);
                out.extend_from_slice(format!(" _INBOX.{inbox} {VALUE_BYTES}\r\n").as_bytes());
                out.extend_from_slice(self.work.value(hand));
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn read(&self, hand: &mut Hand, input: &[u8]) -> Read {
        let Some((head, rest)) = line(input) else { return Read::Part };
        let taken = input.len() - rest.len();
        let verb = head.split(|byte| *byte == b' ').next().unwrap_or_default();
        match verb {
            b"MSG" | b"HMSG" => message(input)
                .map_or(Read::Part, |(taken, message)| Read::Answer(taken, self.answer(hand, &message))),
            b"PING" => Read::Asked(taken, b"PONG\r\n"),
            b"PONG" => Read::Answer(taken, bare(200)),
            b"INFO" | b"+OK" => Read::Other(taken),
            _ => Read::Malformed,
        }
    }
}

impl Multiplexed for Nats {
    fn whose(&self, input: &[u8], _: usize) -> usize {
        // The third word is the number of the subscription, which are counted from 1.
        let head = line(input).map_or(&b""[..], |(head, _)| head);
        let subscription = head.split(|byte| *byte == b' ').nth(2).and_then(number);
        subscription.and_then(|number| number.checked_sub(1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nats(operation: Operation) -> Nats {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        Nats { address, work: Work::at_random(Task { operation, items: 1, value_bytes: 256 }) }
    }

    #[test]
    fn requests_name_the_inbox_of_their_client() {
        let mut out = Vec::new();
        let reads = nats(Operation::Get);
        reads.memory();
        reads.request(&mut reads.memory(), &mut out);
        assert_eq!(out, b"PUB $JS.API.DIRECT.GET.KV_kv.$KV.kv.k0000000 _INBOX.1 0\r\n\r\n");
        out.clear();
        let writes = nats(Operation::Put);
        writes.request(&mut writes.memory(), &mut out);
        assert!(out.starts_with(b"PUB $KV.kv.k0000000 _INBOX.0 256\r\nk0000000"), "{out:?}");
        assert!(out.ends_with(b"\r\n"));
    }

    #[test]
    fn a_connection_opens_with_its_inbox() {
        let reads = nats(Operation::Get);
        let mut hand = reads.memory();
        let mut out = Vec::new();
        let hands = [reads.memory(), reads.memory()];
        assert_eq!(reads.open(&hands, &mut out), 1);
        assert!(out.ends_with(b"\r\nSUB _INBOX.1 1\r\nSUB _INBOX.2 2\r\nPING\r\n"), "{out:?}");
        let mut read = |input: &[u8]| reads.read(&mut hand, input);
        assert_eq!(read(b"INFO {\"a\":1}\r\nPONG\r\n"), Read::Other(14));
        assert_eq!(read(b"PING\r\n"), Read::Asked(6, b"PONG\r\n"));
        assert_eq!(read(b"PONG\r\n"), Read::Answer(6, bare(200)));
        assert_eq!(read(b"-ERR 'x'\r\n"), Read::Malformed);
        assert_eq!(read(b"INFO"), Read::Part);
    }

    #[test]
    fn values_come_with_headers_and_statuses_in_them() {
        let reads = nats(Operation::Get);
        let mut hand = reads.memory();
        let mut read = |input: &[u8]| reads.read(&mut hand, input);
        let found = b"HMSG _INBOX.0 1 18 28\r\nNATS/1.0\r\na: b\r\n\r\nk000000012\r\n";
        assert!(
            matches!(read(found), Read::Answer(53, answer) if (answer.status, answer.body_bytes) == (200, 10))
        );
        assert_eq!(read(&found[..52]), Read::Part);
        let missing = b"HMSG _INBOX.0 1 34 34\r\nNATS/1.0 404 Message Not Found\r\n\r\n\r\n";
        assert_eq!(read(missing), Read::Answer(missing.len(), bare(404)));
    }

    #[test]
    fn an_acknowledgement_names_the_stream_and_a_refusal_does_not() {
        let writes = nats(Operation::Put);
        let mut hand = writes.memory();
        let mut read = |input: &[u8]| writes.read(&mut hand, input);
        let stored = b"MSG _INBOX.0 1 26\r\n{\"stream\":\"KV_kv\",\"seq\":1}\r\n";
        assert_eq!(read(stored), Read::Answer(stored.len(), bare(200)));
        assert_eq!(writes.whose(stored, 9), 0);
        assert_eq!(writes.whose(b"HMSG _INBOX.7 12 34 34\r\n", 9), 11);
        assert_eq!(writes.whose(b"PING\r\n", 9), usize::MAX);
        let refused = b"MSG _INBOX.0 1 12\r\n{\"error\":{}}\r\n";
        assert_eq!(read(refused), Read::Answer(refused.len(), bare(500)));
    }
}

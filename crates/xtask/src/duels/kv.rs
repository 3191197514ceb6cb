//! Items by key: Mainstay beside etcd, PostgreSQL, Redis and NATS, each durable and linearizable the way its users have it.

mod etcd;
mod fill;
mod grpc;
mod nats;
mod postgres;
mod postgres_server;
mod proto;
mod redis;
mod talk;

use anyhow::Result;
use mainstay_lab::duel::{Duel, Offer};
use mainstay_lab::items::{Http, Operation, Task, VALUE_BYTES};
use mainstay_lab::load::Wire;

use super::{Effort, Times, mainstay};

const WRITES: &str = "\
What a durable write of one item costs: every answer comes after a sync. Mainstay is sent `PUT` of an item over HTTP/1.1, etcd \
`Put` over gRPC, PostgreSQL a prepared `INSERT ... ON CONFLICT DO UPDATE` on a table of keys and values, Redis `SET` with \
`appendfsync always`, NATS a put into a JetStream key-value bucket in files with `sync_interval: always`.";

const READS: &str = "\
What a linearizable read of one item costs. Mainstay is sent `GET` of an item over HTTP/1.1 with its default consistency, etcd \
`Range` over gRPC, which is linearizable by default, PostgreSQL a prepared `SELECT` by primary key, Redis `GET`, NATS a direct get \
from a JetStream key-value bucket, which a server without replicas answers from its own stream. All of them still sync \
each write.";

/// What both have in common.
const TERMS: &str = "\
Each item is as likely as any other; all were stored once before; a value is 256 bytes of noise after its key, and a read that \
shows another item's value counts as wrong. Every contestant is one node without replicas or TLS, on one disk, reached by TCP over \
the loopback; what was set for it stands among its settings. etcd keeps every version, as it does until it is told to compact; \
PostgreSQL's autovacuum is on.\n\n\
A client makes one request at a time. Where the protocol carries many requests on one connection, the clients of a load thread \
share one, as they do with that protocol's own libraries, because this costs the server much less: in trials half of etcd's CPU time \
for a write, a third of NATS's and a fifth of Redis's for a read. With Mainstay (HTTP/1.1) and PostgreSQL each client has a \
connection of its own; so it has with `redis-unshared`, which is the same Redis reached the way Mainstay is. The load writes and \
reads the bytes of each protocol itself and costs about the same for all, more with unshared connections, and it runs on the \
same processors: the CPU time per request says more about a server's capacity than the rate does. Memory is the sum over processes \
just after the load; PostgreSQL's sessions end with it and are hardly ever in the sum.";

/// How many clients share a connection, where the protocol carries many requests on one: all of a thread, in every cell. A
/// connection for each costs etcd twice the CPU time for a write, and NATS three times that for a read.
const SHARE: usize = 128;

/// Durable writes.
pub(super) fn writes(effort: Effort) -> Result<Duel> {
    let title = "Duel: durable writes of items";
    prepare(effort, Operation::Put, ("kv-write", title, WRITES))
}

/// Linearizable reads.
pub(super) fn reads(effort: Effort) -> Result<Duel> {
    let title = "Duel: linearizable reads of items";
    prepare(effort, Operation::Get, ("kv-read", title, READS))
}

fn prepare(effort: Effort, operation: Operation, (name, title, about): (&str, &str, &str)) -> Result<Duel> {
    let times = Times::of(effort);
    let items = match effort {
        Effort::Full => 100_000,
        Effort::Quick => 10_000,
    };
    let task = Task { operation, items, value_bytes: VALUE_BYTES };
    let ours = move |address| fill::then(task, |work| Wire(Http::new(address, work)));
    Ok(Duel {
        name: name.to_owned(),
        title: title.to_owned(),
        about: format!("{about}\n\n{TERMS}"),
        contestants: vec![
            mainstay::contestant("collections: { kv: {} }\n", ours)?,
            etcd::contestant(task),
            postgres::contestant(task),
            redis::shared(task),
            redis::unshared(task),
            nats::contestant(task),
        ],
        // The first closed cell is the one whose slowest rate the open one takes its share of.
        cells: vec![
            times.cell("64 clients, closed loop", Offer::Closed, 64),
            times.cell("1 client, closed loop", Offer::Closed, 1),
            times.cell("256 clients, closed loop", Offer::Closed, 256),
            times.cell("64 clients, half of the slowest one's maximum", Offer::ShareOfSlowest(0.5), 64),
        ],
        pairs: Vec::new(),
        claims: Vec::new(),
        samples: times.samples,
        strict: effort == Effort::Full,
        seed: 1,
    })
}

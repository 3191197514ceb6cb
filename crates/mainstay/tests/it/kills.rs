//! Nodes that are killed while clients write to them: what was acknowledged is there once, and nothing else is.
//!
//! A kill comes after a number of acknowledgements that the seed draws. Which requests are under way at that moment is for the
//! machine to decide, so a seed repeats what is sent and when it is killed, and not every interleaving. A kill loses no page
//! cache: what a loss of power does is for the simulated disks of the log.

mod client;
mod model;

use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use mainstay_log::faulty::Random;
use rustix::process::Signal;

use crate::support::Node;
use client::Client;
use model::{Model, Operation};

const CLIENTS: u64 = 6;
/// How often each of many seeds kills.
const KILLS: u64 = 20;
/// Names the seed of the one run that `one_seed` makes.
const SEED: &str = "MAINSTAY_KILLS_SEED";

/// Nothing but a collection: rows stay in memory, and are made again from the log alone.
const PLAIN: &str = "{ shards: 4, collections: { kv: {} } }";
/// Tables are written, snapshots taken and the log trimmed all the time.
const BUSY: &str = "
shards: 2
collections: { kv: {} }
snapshots: { every: 64KiB }
store: { memtable: 16KiB, memtables_max: 64KiB }
";

/// Says how to do it again, when it has failed.
struct Told {
    seed: u64,
}

impl Drop for Told {
    #[expect(clippy::print_stdout, reason = "whoever looks at a failed test is told how to repeat it")]
    fn drop(&mut self) {
        if thread::panicking() {
            let seed = self.seed;
            println!("again: {SEED}={seed} cargo nextest run -p mainstay --run-ignored only kills::one_seed");
        }
    }
}

struct World {
    random: Random,
    clients: Vec<Client>,
    model: Model,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
        clients[0].opens();
        Self { random: Random::new(seed), clients, model: Model::default() }
    }

    /// Opens the accounts, before anybody else begins.
    fn opened(&mut self, node: &Node) {
        right(self.clients[0].repeat(node.api));
        self.note();
    }

    /// All clients send until the node is killed.
    fn killed(&mut self, node: Node, life: &Life) -> tempfile::TempDir {
        let api = node.api;
        let (acknowledged, counting) = sync_channel(1);
        let folder = thread::scope(|scope| {
            let working = self.clients.iter_mut().map(|client| {
                let acknowledged = acknowledged.clone();
                let work = move || client.work(api, &acknowledged);
                thread::Builder::new().name("client".into()).spawn_scoped(scope, work).expect("a thread")
            });
            let working = working.collect::<Vec<_>>();
            drop(acknowledged);
            let folder = kill(node, counting, life);
            for client in working {
                let worked = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                right(worked);
            }
            folder
        });
        self.note();
        folder
    }

    fn note(&mut self) {
        for (operation, told) in self.clients.iter_mut().flat_map(|client| client.answered.drain(..)) {
            self.model.acknowledged(&operation, &told);
        }
    }

    /// Everything is as it was told, with some of what was not answered. That is sent again, and then all of it is there.
    fn verified(&mut self, node: &Node) {
        let reading = right(client::read_back(node.api, &self.model.position));
        let unanswered: Vec<Option<Operation>> =
            self.clients.iter().map(|client| client.unanswered.clone()).collect();
        let sent: Vec<&Operation> = unanswered.iter().flatten().collect();
        let mut happened = right(self.model.check(&reading, &sent)).into_iter();
        for (client, operation) in self.clients.iter_mut().zip(&unanswered) {
            let replayed = right(client.repeat(node.api));
            let Some(operation) = operation else { continue };
            let happened = happened.next().expect("there is one for each");
            assert!(
                !operation.is_private() || replayed == Some(happened),
                "{} had happened: {happened}; it was a repetition: {replayed:?}",
                operation.key
            );
        }
        self.note();
        let reading = right(client::read_back(node.api, &self.model.position));
        right(self.model.check(&reading, &[]));
    }
}

/// What must be as it is said, or the test has failed.
#[track_caller]
fn right<T>(found: Result<T, String>) -> T {
    found.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// How long a node lives.
struct Life {
    /// Snapshots that it takes before the counting begins.
    snapshots: u64,
    acknowledgements: u64,
}

impl Life {
    fn drawn(random: &Random, config: &str, kill: u64) -> Self {
        let acknowledgements = match random.below(8) {
            // It still reads its log, or has just begun to serve.
            0 => 0,
            1 | 2 => random.between(1, 20),
            _ => random.between(20, 400),
        };
        let snapshots = match kill {
            _ if config == PLAIN => 0,
            // One of two shards takes more than two, so that the log is trimmed.
            0 => 5,
            _ if random.one_in(2) => random.between(1, 5),
            _ => 0,
        };
        Self { snapshots, acknowledgements }
    }
}

/// Counts what happens to a node, and kills it.
fn kill(node: Node, counting: Receiver<()>, life: &Life) -> tempfile::TempDir {
    // When nobody sends any more something is wrong, which the clients tell.
    let more = |count: u64| (0..count).all(|_| counting.recv().is_ok());
    while snapshots(&node) < life.snapshots && more(20) {}
    more(life.acknowledgements);
    node.signal(Signal::KILL);
    drop(counting);
    let (status, _, folder) = node.ended();
    assert_eq!(status.code(), None, "nothing but the kill ends it");
    folder
}

/// How many snapshots the node has taken.
fn snapshots(node: &Node) -> u64 {
    let view = node.get("/v1/shards").json();
    let shards = view["shards"].as_array().expect("shards").iter();
    shards.map(|shard| shard["counts"]["snapshots"].as_u64().expect("a number")).sum()
}

/// Kills this many times, loses the stores before the start after the kills that `lost` names, and stops. Returns the folder.
fn run(seed: u64, config: &str, kills: u64, lost: impl Fn(u64) -> bool) -> tempfile::TempDir {
    let _told = Told { seed };
    let mut world = World::new(seed);
    let mut folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    for kill in 0..kills {
        let mut node = Node::start_in(folder, config);
        // Sometimes what was not answered is sent again together with all the rest, or is killed once more.
        let is_looked_at = !world.random.one_in(4);
        let life = Life::drawn(&world.random, config, kill);
        if kill == 0 {
            world.opened(&node);
        }
        if is_looked_at {
            node = node.serving();
            world.verified(&node);
        }
        folder = world.killed(node, &life);
        if lost(kill) {
            std::fs::remove_dir_all(folder.path().join("data/stores")).expect("it is there");
        }
    }
    let mut node = Node::start_in(folder, config).serving();
    world.verified(&node);
    node.signal(Signal::TERM);
    node.wait_for("stopped");
    let (status, log, folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    let node = Node::start_in(folder, config).serving();
    world.verified(&node);
    node.signal(Signal::TERM);
    node.ended().2
}

/// What one seed does. More kills begin as fewer do, so that those of `one_seed` repeat any test.
fn run_seed(seed: u64, kills: u64) -> tempfile::TempDir {
    let config = if seed.is_multiple_of(2) { PLAIN } else { BUSY };
    run(seed, config, kills, |kill| (kill + seed) % 5 == 2)
}

#[test]
fn what_was_acknowledged_outlives_kills_and_the_loss_of_stores() {
    run_seed(2, 3);
}

#[test]
fn what_was_acknowledged_outlives_kills_while_snapshots_are_taken_and_the_log_is_trimmed() {
    let folder = run_seed(1, 3);
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    inspect.args(["inspect", "log", "data", "--output", "json"]).current_dir(folder.path());
    let output = inspect.output().expect("the binary runs");
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let shards = log["shards"].as_array().expect("shards");
    assert!(shards.iter().any(|shard| shard["begins"].as_u64() > Some(1)), "nothing was trimmed: {log}");
}

#[test]
#[ignore = "takes minutes"]
fn what_was_acknowledged_outlives_200_kills() {
    (10..20).for_each(|seed| drop(run_seed(seed, KILLS)));
}

#[test]
#[ignore = "is for doing again what has failed; by itself it does nothing"]
fn one_seed() {
    #[expect(clippy::disallowed_methods, reason = "how a test gets its seed")]
    let Ok(seed) = std::env::var(SEED) else { return };
    run_seed(seed.parse().expect("a number"), KILLS);
}

//! Snapshots and backups in a bucket, kept by SeaweedFS as a store that speaks S3.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mainstay_lab::clock::{Moment, poll_until};
use mainstay_lab::fetch;
use mainstay_lab::process::{Probe, Server, free_port};
use serde_json::{Value, json};
use xtask::binary::{self, Profile};

const PATIENCE: Duration = Duration::from_secs(120);

const ID: &str = "node";
const SECRET: &str = "correct-horse-battery";

const BUCKET: &str = "mainstay";

/// How often an object store is started until it listens on all of its ports.
const TRIES: usize = 3;

/// An object store with one bucket.
struct Store {
    server: Server,
    /// Where it speaks S3.
    address: SocketAddr,
    ports: Vec<SocketAddr>,
}

impl Store {
    fn start(folder: &Path) -> Self {
        // It listens seconds after it begins, when another process may have one of them.
        let ports = || (0..8).map(|_| free_port().expect("a port is free")).collect();
        let store = (0..TRIES).find_map(|_| Self::try_start_at(folder, ports()).ok());
        let store = store.expect("it becomes ready");
        store.shell(&format!("s3.bucket.create -name {BUCKET}"));
        store
    }

    /// With the files that are there.
    fn start_at(folder: &Path, ports: Vec<SocketAddr>) -> Self {
        Self::try_start_at(folder, ports).expect("it becomes ready")
    }

    fn try_start_at(folder: &Path, ports: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let keys = json!({ "identities": [{
            "name": "node",
            "credentials": [{ "accessKey": ID, "secretKey": SECRET }],
            "actions": ["Read", "Write", "List"],
        }] });
        let identities = folder.join("identities.json");
        std::fs::write(&identities, keys.to_string()).expect("a file can be written");
        let data = folder.join("objects");
        std::fs::create_dir_all(&data).expect("a folder can be made");
        let names = ["master", "volume", "filer", "s3"];
        let mut command = Command::new("weed");
        command
            .arg("server")
            .arg("-s3")
            // What else it serves has ports that are the same for all.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg("-ip=127.0.0.1")
            .arg("-ip.bind=127.0.0.1")
            .arg("-volume.max=8");
        command.arg("-master.volumeSizeLimitMB=64").arg(format!("-dir={}", data.display()));
        command.arg(format!("-s3.config={}", identities.display()));
        for (name, pair) in names.iter().zip(ports.chunks(2)) {
            command.arg(format!("-{name}.port={}", pair[0].port()));
            command.arg(format!("-{name}.port.grpc={}", pair[1].port()));
        }
        let mut server = Server::spawn(command, &folder.join("store.log")).expect("weed is installed");
        let address = ports[6];
        server.wait_ready(&Probe::Http(address, "/healthz".into()), PATIENCE)?;
        Ok(Self { server, address, ports })
    }

    /// Does what its operators would.
    fn shell(&self, line: &str) {
        let master = format!("-master=127.0.0.1:{}.{}", self.ports[0].port(), self.ports[1].port());
        let filer = format!("-filer=127.0.0.1:{}.{}", self.ports[4].port(), self.ports[5].port());
        let mut command = Command::new("weed");
        command.args(["shell", &master, &filer]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.stderr(Stdio::piped()).spawn().expect("weed is installed");
        writeln!(shell.stdin.take().expect("a pipe"), "{line}").expect("it reads");
        let output = shell.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !told.contains("error"), "{line}: {told}");
    }

    /// Ends it. It is not asked to finish first, for which it takes a minute.
    fn stop(self) -> Vec<SocketAddr> {
        drop(self.server);
        self.ports
    }
}

/// A node that keeps its copies in the bucket.
struct Node<'f> {
    server: Server,
    address: SocketAddr,
    folder: &'f Path,
}

impl<'f> Node<'f> {
    fn start(folder: &'f Path, store: SocketAddr, more: &[&str]) -> Self {
        let address = free_port().expect("a port is free");
        configure(folder, store);
        let mut command = mainstay(folder);
        command.args(["up", "mainstay.yaml", "--set", &format!("listen.api={address}")]);
        for set in more {
            command.args(["--set", set]);
        }
        let mut server = Server::spawn(command, &folder.join("log")).expect("it starts");
        let ready = Probe::Http(address, "/v1/health/ready".into());
        server.wait_ready(&ready, PATIENCE).expect("it becomes ready");
        Self { server, address, folder }
    }

    fn commit(&self, key: u32, value: &str) {
        let name = format!("u{}/{key}", key % 7);
        let put = json!({ "put": { "collection": "kv", "key": name, "value": value } });
        let commit = json!({ "partition": name.split('/').next(), "do": [put] });
        let answer = fetch::post(self.address, "/v1/commits", &commit, PATIENCE).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn value(&self, key: u32) -> Value {
        let path = format!("/v1/collections/kv/items/u{}/{key}", key % 7);
        fetch::get(self.address, &path, PATIENCE).and_then(|answer| answer.json()).expect("the item")
    }

    fn snapshots(&self, result: &str) -> u64 {
        let metrics = fetch::get(self.address, "/metrics", PATIENCE).expect("metrics").body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let start = "mainstay_shard_snapshots_total{";
        let is_it = |line: &&str| line.starts_with(start) && line.contains(&format!("\"{result}\""));
        let line = metrics.lines().find(is_it).expect("a counter");
        line.rsplit(' ').next().and_then(|it| it.parse().ok()).expect("a number")
    }

    fn stop(self) -> String {
        let stopped = self.server.stop(PATIENCE).expect("it stops");
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(stopped.status.success() && !stopped.killed, "{stopped:?}\n{log}");
        log
    }
}

fn configure(folder: &Path, store: SocketAddr) {
    let text = format!(
        "shards: 2\ncollections: {{ kv: {{}} }}\n\
         snapshots: {{ to: s3://{BUCKET}/node-1/snapshots, every: 64KiB }}\n\
         backups: {{ to: s3://{BUCKET}/backups }}\n\
         s3: {{ endpoint: \"http://{store}\", access_key: \"${{file:id}}\", secret_key: \"${{file:secret}}\" }}\n"
    );
    for (name, text) in [("mainstay.yaml", &*text), ("id", ID), ("secret", SECRET)] {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    }
}

fn mainstay(folder: &Path) -> Command {
    let mut command = Command::new(binary::mainstay(Profile::Dev).expect("mainstay builds"));
    command.current_dir(folder);
    command
}

/// Runs a command to its end; returns whether it did well, and what it printed.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = mainstay(folder).args(arguments).output().expect("it runs");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Moment::now().plus(PATIENCE);
    let come = poll_until(deadline, Duration::from_millis(20), || holds().then_some(()));
    assert!(come.is_some(), "{what} does not come about");
}

#[test]
fn a_bucket_keeps_snapshots_and_backups() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path();
    let store = Store::start(folder);
    let node = Node::start(folder, store.address, &[]);
    let value = "x".repeat(2_000);
    (0..400).for_each(|key| node.commit(key, &value));
    until("a snapshot after another", || {
        (0..50).for_each(|key| node.commit(key, &value));
        node.snapshots("taken") >= 4
    });
    let (is_done, printed) = run(folder, &["backup", "mainstay.yaml", "--name", "first"]);
    assert!(is_done && printed.contains(&format!("s3://{BUCKET}/backups")), "{printed}");
    (400..410).for_each(|key| node.commit(key, &value));
    node.stop();

    // What the stores had comes back from the bucket: the log has been trimmed to it.
    std::fs::remove_dir_all(folder.join("data/stores")).expect("stores");
    let node = Node::start(folder, store.address, &[]);
    (0..410).for_each(|key| assert_eq!(node.value(key), value.as_str(), "{key}"));
    assert_eq!(node.snapshots("failed"), 0);

    let elsewhere = ["--set", "data=restored", "--set", &format!("snapshots.to=s3://{BUCKET}/node-1b")];
    let (is_done, printed) =
        run(folder, &[&["restore", "mainstay.yaml", "--from", "first"][..], &elsewhere].concat());
    assert!(is_done && printed.contains("line of history 2"), "{printed}");
    let restored = Node::start(folder, store.address, &[elsewhere[1], elsewhere[3]]);
    (0..400).for_each(|key| assert_eq!(restored.value(key), value.as_str(), "{key}"));
    restored.stop();
    let missing = format!("s3://{BUCKET}/backups/none");
    let (is_done, printed) =
        run(folder, &["restore", "mainstay.yaml", "--from", &missing, "--set", "data=other"]);
    assert!(!is_done && printed.contains("there is no backup"), "{printed}");
    let log = node.stop();
    assert!(log.contains("store filled from a snapshot"), "{log}");
    store.stop();
}

#[test]
fn a_node_goes_on_and_starts_without_the_bucket() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path();
    let store = Store::start(folder);
    let node = Node::start(folder, store.address, &[]);
    node.commit(1, "before");
    let (address, ports) = (store.address, store.stop());
    (0..100).for_each(|key| node.commit(key, &"y".repeat(2_000)));
    until("a snapshot that fails", || node.snapshots("failed") > 0);
    node.stop();
    let node = Node::start(folder, address, &[]);
    assert_eq!(node.value(99), "y".repeat(2_000));
    let (is_done, printed) = run(folder, &["backup", "mainstay.yaml"]);
    assert!(!is_done && printed.contains("503"), "{printed}");
    let store = Store::start_at(folder, ports);
    (0..100).for_each(|key| node.commit(key, &"z".repeat(2_000)));
    until("a snapshot that is taken", || node.snapshots("taken") > 0);
    let log = node.stop();
    assert!(log.contains("snapshots not listed"), "{log}");

    // Another's keys open nothing, and the reason is told.
    std::fs::write(folder.join("secret"), "of-somebody-else").expect("a file can be written");
    let (is_done, printed) = run(folder, &["backup", "mainstay.yaml"]);
    assert!(!is_done && printed.contains("cannot") && !printed.contains("of-somebody-else"), "{printed}");
    store.stop();
}

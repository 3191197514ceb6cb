//! etcd as a contestant: `Put` and `Range` over gRPC, with its defaults but for the size that its store may reach.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::duel::{Contestant, Started};
use mainstay_lab::fetch;
use mainstay_lab::items::Task;
use mainstay_lab::process::{Probe, Server, free_port};

use super::fill;
use super::grpc::Grpc;
use crate::peers;

/// It keeps old values until it is told to forget them; at 2 GiB, the default, it would refuse writes.
const QUOTA_BYTES: &str = "8589934592";

/// What of its own account of its start is of interest.
const TELLING: [&str; 3] = ["heartbeat", "election", "snapshot count"];

pub(super) fn contestant(task: Task) -> Contestant {
    Contestant { name: "etcd".to_owned(), start: Box::new(move |folder| start(folder, task)) }
}

fn start(folder: &Path, task: Task) -> Result<Started> {
    let etcd = peers::named("etcd")?.require()?;
    let (address, peers) = (free_port()?, free_port()?);
    let (clients_url, peers_url) = (format!("http://{address}"), format!("http://{peers}"));
    let mut command = Command::new(&etcd.program);
    command.arg("--data-dir").arg(folder.join("data")).args([
        "--listen-client-urls",
        &clients_url,
        "--advertise-client-urls",
        &clients_url,
        "--listen-peer-urls",
        &peers_url,
        "--initial-advertise-peer-urls",
        &peers_url,
        "--initial-cluster",
        &format!("default={peers_url}"),
        "--quota-backend-bytes",
        QUOTA_BYTES,
    ]);
    let log = folder.join("log");
    let mut server = Server::spawn(command, &log)?;
    server.wait_ready(&Probe::Http(address, "/health".to_owned()), Duration::from_secs(30))?;
    let told = fs::read_to_string(&log).context("read etcd's log")?;
    let mut settings = read_back(&told);
    settings.push(("quota-backend-bytes".to_owned(), quota(address)?));
    let load = fill::then(task, |work| Grpc::new(address, work))?;
    Ok(Started { servers: vec![server], version: etcd.version, settings, load })
}

/// The telling pairs in what it prints when it starts.
fn read_back(log: &str) -> Vec<(String, String)> {
    let pairs = log.lines().filter_map(|line| line.split_once("embed: ")?.1.split_once(" = "));
    let telling = pairs.filter(|(name, _)| TELLING.contains(name));
    telling.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The size that its store may reach, of the running one.
fn quota(address: SocketAddr) -> Result<String> {
    let metrics = fetch::get(address, "/metrics", Duration::from_secs(10))?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let quota = metrics.lines().find_map(|line| line.strip_prefix("etcd_server_quota_backend_bytes "));
    Ok(quota.context("etcd tells no quota")?.to_owned())
}

#[test]
fn settings_are_read_back_from_the_log() {
    let log = "2026-01-01 00:00:00.0 I | embed: name = default\n2026-01-01 00:00:00.0 I | embed: heartbeat = 100ms\n\
               2026-01-01 00:00:00.0 I | embed: ready to serve client requests\n";
    assert_eq!(read_back(log), [("heartbeat".to_owned(), "100ms".to_owned())]);
}

//! Servers that are driven from outside: the gateway in a process of its own under callgrind, between clients and a service that are not counted.
//!
//! The gateway runs with one worker and the clock of [`subjects`](crate::subjects). One client asks one request after the other, so that nothing of a request depends on
//! how the requests of others lie; what is gained where several are ready at once is not in the figure.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use arc_swap::ArcSwap;
use mainstay_base::time::SeededEntropy;
use mainstay_gateway::config::{Definitions, Settings};
use mainstay_gateway::listener::{Bound, Greeting};
use mainstay_gateway::meters::Meters;
use mainstay_gateway::server::{Server, Shared};
use mainstay_gateway::snapshot::Maker;
use mainstay_lab::load::{Answer, Client as _, Get, Target, Wire};
use mainstay_resilience::fault::{self, Faults};
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::{Counted, callgrind};
use crate::duels::http2;
use crate::origin::{BODY_BYTES, Origin};
use crate::subjects::Paced;

/// What a process is asked for by that is the gateway.
pub(crate) const GATEWAY: &str = "gateway";

/// How often a request is made. Under callgrind one takes about a millisecond.
pub(super) const TIMES: u64 = 2_048;

/// Requests before those that are counted, in both runs: what is made by the first ones is there.
const BEFORE: u64 = 128;

/// How long the gateway may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Bounds of latencies, in seconds: as many as those of a node.
const BOUNDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

const PATH: &str = "/k1";

/// What clients speak.
#[derive(Debug, Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
}

/// What is counted: its name, what the client speaks, and whether policies guard the service.
const SUBJECTS: [(&str, Speaks, bool); 3] = [
    ("gateway, HTTP/1.1 to HTTP/1.1: a request of 1 KiB without policies", Speaks::Http1, false),
    ("gateway, HTTP/1.1 to HTTP/1.1: a request of 1 KiB behind the usual policies", Speaks::Http1, true),
    ("gateway, HTTP/2 to HTTP/1.1: a request of 1 KiB behind the usual policies", Speaks::Http2, true),
];

/// The gateway as it is counted.
pub(super) fn all(program: &Path) -> Vec<Counted> {
    let counted = |(name, speaks, guarded): (&str, Speaks, bool)| {
        let program = program.to_owned();
        let count = move |times| count(&program, (speaks, guarded), times);
        Counted { name: name.to_owned(), times: TIMES, count: Box::new(count) }
    };
    SUBJECTS.into_iter().map(counted).collect()
}

/// Instructions of a gateway from its start to its end, between which it is asked so often.
fn count(program: &Path, (speaks, guarded): (Speaks, bool), times: u64) -> Result<u64> {
    let folder = tempfile::tempdir().context("make a folder for what callgrind finds")?;
    let out = folder.path().join("callgrind.out");
    let origin = Origin::start()?;
    let mut command = callgrind::under(program, &out);
    command.args([GATEWAY, &origin.address().to_string()]);
    if guarded {
        command.arg("--guarded");
    }
    let drive = |address| match speaks {
        Speaks::Http1 => ask(Wire(Get::new(address, "localhost", PATH)), BEFORE + times),
        Speaks::Http2 => ask(http2::Get::new(address, PATH, 1), BEFORE + times),
    };
    drive_through(command, drive).context("`make instructions` installs valgrind")?;
    callgrind::written(&out)
}

/// Starts a gateway, drives it at the address that it tells, and lets it end.
fn drive_through(mut command: Command, drive: impl FnOnce(SocketAddr) -> Result<()>) -> Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the gateway")?;
    let mut told = String::new();
    let output = child.stdout.take().context("it has an output")?;
    let driven = BufReader::new(output).read_line(&mut told).context("read its address").and_then(|_| {
        let address = told.trim().parse().with_context(|| format!("it told {told:?}, and no address"))?;
        drive(address)
    });
    // The end of its input ends it, also after a failure.
    drop(child.stdin.take());
    let status = child.wait().context("wait for the gateway")?;
    driven?;
    ensure!(status.success(), "the gateway failed: {status}");
    Ok(())
}

/// Asks so often on one connection. Errors: an answer is wrong.
fn ask<T: Target>(target: T, times: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start a runtime for the client")?;
    let asked = async {
        let mut clients = Arc::new(target).clients(1);
        let Some(mut client) = clients.pop() else { bail!("no client") };
        let failed = |failure| anyhow::anyhow!("{failure}");
        client.connect().await.map_err(failed)?;
        for _ in 0..times {
            let answer = client.call().await.map_err(failed)?;
            ensure!(answer == Answer { status: 200, body_bytes: BODY_BYTES as u64 }, "answered {answer:?}");
        }
        Ok(())
    };
    LocalSet::new().block_on(&runtime, asked)
}

/// Is the gateway in front of a service until standard input ends; prints where it listens.
pub(crate) fn gateway(origin: SocketAddr, guarded: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start a runtime")?.block_on(async {
        let (server, address) = serve(origin, guarded)?;
        println!("{address}");
        // Nothing is said: what counts is its end.
        let mut said = Vec::new();
        std::io::stdin().read_to_end(&mut said).context("wait for the end of standard input")?;
        let cut = server.drain(Instant::now() + DRAIN, Duration::ZERO).await;
        ensure!(cut == 0, "{cut} connections were cut off");
        Ok(())
    })
}

fn serve(origin: SocketAddr, guarded: bool) -> Result<(Server, SocketAddr)> {
    let clock = Arc::new(Paced::new());
    let maker =
        Maker { clock, entropy: Arc::new(SeededEntropy::new(1)), meters: Meters::new(&BOUNDS), zone: None };
    let definitions = definitions(origin, guarded)?;
    let snapshot = maker.snapshot(&definitions, Settings::default(), None);
    let faults = fault::Handle::new(Faults::default(), maker.env_of("gateway"));
    let shared = Shared::new(&maker, Arc::new(ArcSwap::from_pointee(snapshot)), faults);
    let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).context("take an address")?;
    let server = Server::new(1, shared);
    let listener = server.listen(bound, None, Greeting::default()).context("start the worker")?;
    Ok((server, listener.address()))
}

fn definitions(origin: SocketAddr, guarded: bool) -> Result<Definitions> {
    let policy =
        if guarded { json!({}) } else { json!({ "retry": false, "breaker": false, "bulkhead": false }) };
    let read = || -> serde_json::Result<Definitions> {
        Ok(Definitions {
            policies: serde_json::from_value(json!({ "default": policy }))?,
            services: serde_json::from_value(json!({ "origin": { "endpoints": [origin] } }))?,
            routes: serde_json::from_value(json!([{ "name": "all", "to": { "service": "origin" } }]))?,
            ..Definitions::default()
        })
    };
    let definitions = read().context("define the gateway")?;
    ensure!(definitions.check().is_empty(), "the gateway's definitions are wrong");
    Ok(definitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway in this process, asked in what it is counted with.
    #[test]
    fn what_is_counted_is_answered() {
        let origin = Origin::start().unwrap();
        for (name, speaks, guarded) in SUBJECTS {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (server, address) = runtime.block_on(async { serve(origin.address(), guarded) }).unwrap();
            let asked = match speaks {
                Speaks::Http1 => ask(Wire(Get::new(address, "localhost", PATH)), 3),
                Speaks::Http2 => ask(http2::Get::new(address, PATH, 1), 3),
            };
            asked.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let cut = runtime.block_on(server.drain(Instant::now() + DRAIN, Duration::ZERO));
            assert_eq!(cut, 0, "{name}");
        }
    }

    #[test]
    fn a_gateway_is_driven_where_it_says_and_ends_with_its_input() {
        let script = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut driven = None;
        let drive = |address| {
            driven = Some(address);
            Ok(())
        };
        drive_through(script("echo 127.0.0.1:7; cat"), drive).unwrap();
        assert_eq!(driven, Some(SocketAddr::from(([127, 0, 0, 1], 7))));
        let failed = |text: &str| drive_through(script(text), |_| Ok(())).unwrap_err().to_string();
        assert!(failed("echo nowhere; cat").contains("nowhere"));
        assert!(failed("echo 127.0.0.1:7; cat; exit 3").contains("exit status: 3"));
        let wrong = drive_through(script("echo 127.0.0.1:7; cat"), |_| bail!("a wrong answer"));
        assert_eq!(wrong.unwrap_err().to_string(), "a wrong answer");
    }
}

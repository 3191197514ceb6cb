//! What an idle connection costs a proxy: memory for each of 10,000 that have done one request and are kept.
//!
//! Every round starts each proxy anew, since hardly one gives memory back. What the kernel keeps for a socket is in no process's memory, and is the same for all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::clock;
use mainstay_lab::load::{Get, Protocol as _, Read};
use mainstay_lab::process::{free_port, memory};
use mainstay_lab::report::{Report, Table};
use mainstay_lab::stats::{Spread, ratio_of_medians};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::proxy::{self, Front, PATH, Place, Policies, READY, Setup, Start, Up, ready};
use super::{Effort, place};
use crate::origin::{BODY_BYTES, Origin};

/// How many connections have one source address: the system has some 28,000 ports for each, and gives one that was closed back after a minute.
const PORTS: usize = 4096;

/// File descriptors beside those of the connections.
const FILES: u64 = 4096;

/// How long connections have been idle when memory is looked at: longer than any proxy here waits before it gives something back.
const SETTLE: Duration = Duration::from_secs(4);

/// What is claimed of ours.
const KIB_MAX: f64 = 8.0;

const TITLE: &str = "Duel: idle connections of proxies";

const QUESTION: &str = "How much memory does a proxy need for each connection that a client keeps open without a request? Each connection has done one request over HTTP/1.1, one after the \
                        other, so that none was ever busy beside another. Memory is the resident set of all processes of the proxy, before the first of them and when all have been idle \
                        for some seconds, and the difference is divided by their number. A proxy that closes one of them is not measured.";

/// Measures the gateway and these peers, or all.
pub(super) fn run(date: &str, effort: Effort, only: &[String]) -> Result<Report> {
    let (rounds, connections) = match effort {
        Effort::Full => (5, 10_000),
        Effort::Quick => (1, 1_000),
    };
    allow_files(connections)?;
    let contestants = contestants(only)?;
    let origin = Origin::start()?;
    let folder = place::make()?;
    let mut report = Report::new("idle-connections", TITLE, QUESTION, date);
    report.setting("connections", connections.to_string());
    report.setting("rounds", rounds.to_string());
    let mut found = vec![Vec::new(); contestants.len()];
    for round in 1..=rounds {
        for ((name, start), found) in contestants.iter().zip(&mut found) {
            println!("{name}: round {round} of {rounds}");
            let folder = folder.path().join(format!("{name}-{round}"));
            let measured = measure(*start, &folder, &origin, connections);
            let (measured, version) = measured.with_context(|| format!("measure {name}"))?;
            found.push(measured);
            if round == 1 {
                report.setting(name, version);
            }
        }
    }
    let names: Vec<&str> = contestants.iter().map(|(name, _)| *name).collect();
    judge(&mut report, &names, &found);
    Ok(report)
}

/// Ours, and the peers that are asked for.
fn contestants(only: &[String]) -> Result<Vec<(&'static str, Start)>> {
    let known = proxy::all();
    let unknown = only.iter().find(|name| !known.iter().any(|(known, _)| known == name));
    ensure!(unknown.is_none(), "no contestant `{}`", unknown.map_or("", String::as_str));
    let is_asked = |name: &str| only.is_empty() || name == known[0].0 || only.iter().any(|only| only == name);
    proxy::build()?;
    Ok(known.iter().filter(|(name, _)| is_asked(name)).copied().collect())
}

/// Lets this process, and those that it starts, have files for so many connections. Errors: the system refuses as many.
fn allow_files(connections: usize) -> Result<()> {
    let wanted = connections as u64 + FILES;
    let now = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if is_enough(now.current) {
        return Ok(());
    }
    let maximum = if is_enough(now.maximum) { now.maximum } else { Some(wanted) };
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    raised.with_context(|| format!("allow {wanted} open files: run `ulimit -n {wanted}` before, as root"))
}

/// Resident bytes of a proxy before and with so many idle connections.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    connections: usize,
    before: u64,
    with: u64,
}

impl Measured {
    fn kib_per_connection(self) -> f64 {
        (self.with as f64 - self.before as f64) / 1024.0 / self.connections as f64
    }
}

fn measure(start: Start, folder: &Path, origin: &Origin, connections: usize) -> Result<(Measured, String)> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let (address, metrics) = (free_port()?, free_port()?);
    let setup = Setup {
        front: Front::Http1,
        policies: Policies::Usual,
        connections_max: connections + 1024,
        origin: origin.address(),
    };
    let Up { mut server, version, .. } = start(&Place { folder, address, metrics, setup: &setup })?;
    server.wait_ready(&ready(Front::Http1, address), READY)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start a runtime for the clients")?;
    // What is done once is done by now: the way to the service, buffers that are kept.
    drop(runtime.block_on(open(address, 64))?);
    clock::sleep(SETTLE);
    let before = memory(&[server.pid()]).rss_bytes;
    let open = runtime.block_on(open(address, connections))?;
    clock::sleep(SETTLE);
    let with = memory(&[server.pid()]).rss_bytes;
    let closed = runtime.block_on(async { open.iter().filter(|stream| is_closed(stream)).count() });
    ensure!(closed == 0, "{closed} of {connections} connections were closed");
    Ok((Measured { connections, before, with }, version))
}

/// Opens connections, each of which does one request, one after the other.
async fn open(address: SocketAddr, connections: usize) -> Result<Vec<TcpStream>> {
    let get = Get::new(address, &address.to_string(), PATH);
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let socket = TcpSocket::new_v4().context("make a socket")?;
        socket.bind(source(number)).context("take a source address")?;
        let mut stream = socket.connect(address).await.context("connect")?;
        ask(&get, &mut stream).await.with_context(|| format!("ask on connection {number}"))?;
        open.push(stream);
    }
    Ok(open)
}

fn source(number: usize) -> SocketAddr {
    let last = 2 + (number / PORTS) % 250;
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, u8::try_from(last).expect("it is below 252")), 0))
}

async fn ask(get: &Get, stream: &mut TcpStream) -> Result<()> {
    let (mut request, mut input) = (Vec::new(), Vec::new());
    get.request(&mut (), &mut request);
    stream.write_all(&request).await.context("ask")?;
    loop {
        match get.read(&mut (), &input) {
            Read::Answer(_, answer) => {
                let is_right = answer.status == 200 && answer.body_bytes == BODY_BYTES as u64;
                ensure!(is_right, "a wrong answer: {answer:?}");
                return Ok(());
            }
            Read::Part => {
                let bytes = stream.read_buf(&mut input).await.context("read")?;
                ensure!(bytes > 0, "closed before an answer");
            }
            other => anyhow::bail!("no answer of HTTP/1.1: {other:?}"),
        }
    }
}

/// Nothing is to come on a connection without a request.
fn is_closed(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Writes what was found of each into the report, beside ours, which is first.
fn judge(report: &mut Report, names: &[&str], found: &[Vec<Measured>]) {
    let each: Vec<Vec<f64>> =
        found.iter().map(|of| of.iter().map(|it| it.kib_per_connection()).collect()).collect();
    let columns =
        ["proxy", "KiB of each connection", "MiB before", "MiB with them", "ours / its (95 % interval)"];
    let mut table = Table::new("Memory of idle connections", &columns);
    for (number, name) in names.iter().enumerate() {
        let mib = |of: fn(&Measured) -> u64| {
            let values: Vec<f64> =
                found[number].iter().map(|it| of(it) as f64 / f64::from(1 << 20)).collect();
            figure(&values, 1)
        };
        let ratio = ratio_of_medians(&each[0], &each[number], 1).filter(|_| number > 0);
        table.row(vec![
            (*name).to_owned(),
            figure(&each[number], 2),
            mib(|it| it.before),
            mib(|it| it.with),
            ratio.map_or_else(|| "-".to_owned(), |ratio| ratio.to_string()),
        ]);
    }
    report.tables.push(table);
    let ours = Spread::of(&each[0]).map(|spread| spread.median);
    let claim = format!("an idle connection takes at most {KIB_MAX:.0} KiB");
    report.verdict.check(claim, figure(&each[0], 2), ours.is_some_and(|ours| ours <= KIB_MAX));
}

/// A median with its quartiles.
fn figure(values: &[f64], decimals: usize) -> String {
    let text = |Spread { median, lower_quartile, upper_quartile, .. }: Spread| {
        format!("{median:.decimals$} ({lower_quartile:.decimals$} to {upper_quartile:.decimals$})")
    };
    Spread::of(values).map_or_else(|| "-".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(before: u64, with: u64) -> Measured {
        Measured { connections: 1024, before: before << 20, with: with << 20 }
    }

    #[test]
    fn memory_is_divided_among_connections_and_compared_with_ours() {
        let judged = |with: u64| {
            let mut report = Report::new("idle", "Idle", "How much?", "2026-01-02");
            let found = [vec![measured(10, with); 3], vec![measured(10, 26); 3]];
            judge(&mut report, &["mainstay", "nginx"], &found);
            report
        };
        let report = judged(18);
        assert!(report.verdict.holds(), "{}", report.markdown());
        let rows = &report.tables[0].rows;
        assert_eq!(rows[0][1..4], ["8.00 (8.00 to 8.00)", "10.0 (10.0 to 10.0)", "18.0 (18.0 to 18.0)"]);
        assert_eq!(rows[0][4], "-");
        assert_eq!((&*rows[1][1], &*rows[1][4]), ("16.00 (16.00 to 16.00)", "0.50 (0.50 to 0.50)"));
        assert!(!judged(19).verdict.holds());
        // What gave memory back has not measured anything of its connections.
        assert_eq!(measured(10, 9).kib_per_connection(), -1.0);
    }

    #[test]
    fn no_source_address_has_more_connections_than_ports() {
        assert_eq!(source(0), SocketAddr::from(([127, 0, 0, 2], 0)));
        assert_eq!(source(PORTS - 1), source(0));
        assert_eq!(source(9_999), SocketAddr::from(([127, 0, 0, 4], 0)));
    }

    #[test]
    fn a_connection_that_is_closed_is_seen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let origin = Origin::start().unwrap();
        runtime.block_on(async {
            let open = open(origin.address(), 3).await.unwrap();
            assert!(!open.iter().any(is_closed));
            drop(origin);
            for stream in &open {
                stream.readable().await.unwrap();
                assert!(is_closed(stream));
            }
        });
    }
}

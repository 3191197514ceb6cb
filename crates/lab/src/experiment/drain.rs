//! Whether a stop loses requests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::node::{LIVE, Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::{self, Moment};
use crate::load::{self, Outcome, Pace, Plan};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};

/// Stops a node with SIGTERM while requests come in.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Offered load, in requests per second.
    pub rate_per_s: f64,
    /// Over so many kept-alive connections.
    pub connections: usize,
    /// Requests of which only a part has arrived when the signal comes.
    pub held: usize,
    /// How long the load runs before the signal.
    pub before: Duration,
    /// How long after the signal the rest of the held requests is sent.
    pub hold: Duration,
}

impl Drain {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        rate_per_s: 1_000.0,
        connections: 32,
        held: 20,
        before: Duration::from_secs(3),
        hold: Duration::from_millis(500),
    };
}

impl Experiment for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn question(&self) -> &'static str {
        "A18"
    }

    fn about(&self) -> &'static str {
        "Stops a node under load with SIGTERM and accounts for every request"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let mut node = Node::start(&context.exe, folder.path())?;
        let plan = Plan {
            connections: self.connections,
            warm_up: Duration::ZERO,
            duration: self.before + Duration::from_secs(60),
            slice: Duration::from_millis(50),
            ..Plan::get(node.api, LIVE)
        };
        let held: Result<Vec<Held>> = (0..self.held).map(|_| Held::begin(node.api)).collect();
        let held = held?;
        let load = load::start(&plan, Pace::open(self.rate_per_s))?;
        let (started, _) = load.window();
        clock::sleep_until(started.plus(self.before));
        let signalled = Moment::now();
        node.server.signal(Signal::TERM)?;
        clock::sleep(self.hold);
        let answered = held.into_iter().filter_map(|held| held.finish().ok()).count();
        let status = node.server.wait(Duration::from_secs(40))?;
        let stopped_after = Moment::now().since(signalled);
        // A little longer, so that the picture shows the end.
        clock::sleep(Duration::from_millis(300));
        let outcome = load.stop()?;

        let mut report = context.report(self, "Stopping under load", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("offered load", format!("{:.0} requests/s, open loop", self.rate_per_s));
        report.setting("connections", self.connections.to_string());
        report.setting("signal after", format!("{:.1} s", self.before.as_secs_f64()));
        let lost = outcome.counts.sent - outcome.counts.ok - outcome.counts.failed_before_send();
        report.verdict.check(
            "no request that was sent stays without its answer",
            format!("{lost} lost"),
            lost == 0,
        );
        report.verdict.check(
            "requests of which a part had arrived at the signal are finished",
            format!("{answered} of {} answered", self.held),
            answered == self.held,
        );
        report.verdict.check(
            "the process ends by itself and reports success",
            format!("{status} {:.0} ms after the signal", stopped_after.as_secs_f64() * 1e3),
            status.success(),
        );
        report.tables.push(fates(&outcome));
        report.plot("rate", "Fates of requests over time", picture(&outcome, signalled.since(started))?);
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const QUESTION: &str = "A node that is told to stop finishes what it has accepted. Is any request lost?";

const NOTE: &str = "Requests for which no connection could be made, or whose connection was closed before anything \
                    was written, are not accepted and not lost: the sender knows that a retry elsewhere is safe.";

/// A request that the server has begun to read.
struct Held(TcpStream);

/// Any body will do: what counts is that the server answers.
const BODY: &str = "{\"default\":\"info\"}";

impl Held {
    fn begin(api: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(api).context("connect a held request")?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).context("set a timeout")?;
        let (length, first) = (BODY.len(), &BODY[..1]);
        let head = format!(
            "PUT /v1/telemetry/logs HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{first}"
        );
        stream.write_all(head.as_bytes()).context("send the first part of a request")?;
        Ok(Self(stream))
    }

    /// Sends the rest; fails if no whole head of an answer comes back.
    fn finish(mut self) -> Result<()> {
        self.0.write_all(&BODY.as_bytes()[1..]).context("send the rest of a request")?;
        let mut answer = Vec::new();
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut buffer = [0; 1024];
            let read = self.0.read(&mut buffer).context("read an answer")?;
            anyhow::ensure!(read > 0, "the connection was closed");
            answer.extend_from_slice(&buffer[..read]);
        }
        Ok(())
    }
}

fn fates(outcome: &Outcome) -> Table {
    let mut table = Table::new("Fates of requests", &["fate", "requests"]);
    let mut row = |fate: &str, count: u64| table.row(vec![fate.to_owned(), count.to_string()]);
    row("due", outcome.counts.sent + outcome.not_sent);
    row("answered as expected", outcome.counts.ok);
    row("answered otherwise", outcome.counts.rejected);
    for (kind, count) in &outcome.counts.failures {
        row(&format!("not answered: {kind}"), *count);
    }
    row("not sent", outcome.not_sent);
    table
}

fn picture(outcome: &Outcome, signalled: Duration) -> Result<String> {
    let slice_s = outcome.slice.as_secs_f64();
    let line = |name: &str, count: fn(&load::Slice) -> u64| {
        let slices = outcome.timeline.iter().enumerate();
        Line::new(
            name,
            slices.map(|(nth, slice)| (nth as f64 * slice_s, count(slice) as f64 / slice_s)).collect(),
        )
    };
    let peak = outcome.timeline.iter().map(|slice| slice.ok).max().unwrap_or(0) as f64 / slice_s;
    let signal = Line::new("SIGTERM", vec![(signalled.as_secs_f64(), 0.0), (signalled.as_secs_f64(), peak)]);
    let lines = [
        line("answered", |slice| slice.ok),
        line("lost", |slice| slice.failed),
        line("not accepted", |slice| slice.unsent),
        signal,
    ];
    let (x, y) = (Axis::linear("time a request was due (s)"), Axis::linear("requests/s"));
    plot::lines("Requests around a stop", &x, &y, &lines)
}

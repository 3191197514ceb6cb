//! Why latency is measured in an open loop: the same stalling server, seen by both kinds of load.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use super::{Context, Experiment};
use crate::clock::{self, Moment};
use crate::load::{self, Outcome, Plan};
use crate::plot;
use crate::report::{Report, Table};

/// Loads a server that stalls at intervals, once in a closed and once in an open loop.
#[derive(Debug, Clone, Copy)]
pub struct LoadModel {
    /// How long the server stalls.
    pub stall: Duration,
    /// From the start of one stall to the start of the next.
    pub every: Duration,
    /// The open loop's rate, in requests per second.
    pub rate_per_s: f64,
    /// Connections of both loops.
    pub connections: usize,
    /// How long each loop is measured.
    pub duration: Duration,
}

impl LoadModel {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        stall: Duration::from_millis(200),
        every: Duration::from_secs(2),
        rate_per_s: 500.0,
        connections: 16,
        duration: Duration::from_secs(20),
    };
}

impl Experiment for LoadModel {
    fn name(&self) -> &'static str {
        "load-model"
    }

    fn question(&self) -> &'static str {
        "A8"
    }

    fn about(&self) -> &'static str {
        "Shows how much of a stalling server's latency a closed loop hides"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let closed = self.measure(load::closed_loop)?;
        let open = self.measure(|plan| load::open_loop(plan, self.rate_per_s))?;
        let stall_ms = self.stall.as_secs_f64() * 1e3;
        let p99_ms = |outcome: &Outcome| outcome.latency.quantile_us(0.99) / 1e3;

        let mut report = context.report(self, "Why latency is measured in an open loop", QUESTION);
        report.setting("server", format!("stalls {stall_ms:.0} ms every {:.1} s", self.every.as_secs_f64()));
        report.setting("connections", self.connections.to_string());
        report.setting("rate of the open loop", format!("{:.0} requests/s", self.rate_per_s));
        report.setting("measured for", format!("{:.1} s each", self.duration.as_secs_f64()));
        report.verdict.check(
            "the open loop's 99th percentile shows the stalls",
            format!("{:.2} ms", p99_ms(&open)),
            p99_ms(&open) > stall_ms / 2.0,
        );
        report.verdict.check(
            "the closed loop's 99th percentile hides them",
            format!("{:.2} ms", p99_ms(&closed)),
            p99_ms(&closed) < stall_ms / 10.0,
        );
        report.tables.push(figures(&closed, &open));
        let curves = [("closed loop", &closed.latency), ("open loop, from due time", &open.latency)];
        report.plot("latency", "Latency of both loops", plot::percentiles("One server, two loads", &curves)?);
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const QUESTION: &str = "A server stalls now and then. How slow is it? A closed loop, in which each connection waits \
                        for its answer before it asks again, and an open loop, in which requests are due at a constant \
                        rate, give different answers.";

const NOTE: &str = "While the server stalls, a closed loop sends one request per connection and then waits: a few slow \
                    answers among very many fast ones. Users who do not know of each other do not wait; every one who \
                    comes during the stall is delayed. Latency in this project's reports is therefore that of an open \
                    loop, counted from the time a request was due.";

impl LoadModel {
    fn measure(&self, run: impl FnOnce(&Plan) -> Result<Outcome>) -> Result<Outcome> {
        let server = Stalling::start(self.stall, self.every)?;
        let plan = Plan {
            connections: self.connections,
            warm_up: self.every / 2,
            duration: self.duration,
            ..Plan::get(server.address, "/")
        };
        run(&plan)
    }
}

fn figures(closed: &Outcome, open: &Outcome) -> Table {
    let columns = ["load", "answers/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "service p99 ms"];
    let mut table = Table::new("Latency", &columns);
    for (name, outcome) in [("closed loop", closed), ("open loop", open)] {
        let latency = outcome.latency.percentiles();
        let us = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
        let mut row = vec![name.to_owned(), format!("{:.0}", outcome.rate_per_s())];
        row.extend(us.map(|us| format!("{:.2}", us / 1e3)));
        row.push(format!("{:.2}", outcome.service.quantile_us(0.99) / 1e3));
        table.row(row);
    }
    table
}

/// A server on one thread that now and then does nothing at all for a while. It ends when this is dropped.
struct Stalling {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stalling {
    fn start(stall: Duration, every: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        listener.set_nonblocking(true).context("listen without blocking")?;
        let address = listener.local_addr().context("find the server's port")?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).context("register the listener")?
        };
        let (stop, stopped) = oneshot::channel();
        let stalls = Arc::new(Stalls { stall, every, next: Mutex::new(Moment::now().plus(every)) });
        let serve = move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    // Also when the sender is dropped.
                    _ = stopped => {}
                    () = serve(&listener, &stalls) => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("lab-stalling".to_owned())
            .spawn(serve)
            .context("start a server")?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic was already printed by the thread.
            drop(thread.join());
        }
    }
}

struct Stalls {
    stall: Duration,
    every: Duration,
    next: Mutex<Moment>,
}

impl Stalls {
    /// Blocks the server's only thread if it is time to.
    fn pass(&self) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment::now();
        if now >= *next {
            *next = now.plus(self.every);
            clock::sleep(self.stall);
        }
    }
}

async fn serve(listener: &tokio::net::TcpListener, stalls: &Arc<Stalls>) {
    let mut connections = JoinSet::new();
    // A failed accept ends the server; the load then reports what it could not send.
    while let Ok((stream, _)) = listener.accept().await {
        let stalls = Arc::clone(stalls);
        connections.spawn_local(async move {
            let service = hyper::service::service_fn(move |_: Request<Incoming>| {
                stalls.pass();
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok\n")))) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // The client closes when it is done.
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_loop_sees_what_the_closed_one_hides() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            exe: "unused".into(),
            out_dir: folder.path().to_owned(),
            date: "2026-01-02".to_owned(),
        };
        let quick = LoadModel {
            every: Duration::from_millis(600),
            duration: Duration::from_millis(1_500),
            ..LoadModel::DEFAULT
        };
        let (report, page) = super::super::run(&quick, &context).unwrap();
        assert!(report.verdict.0[0].holds, "{:?}", report.verdict);
        let build = report.settings.iter().find(|(name, _)| name == "build");
        assert!(build.is_some_and(|(_, value)| value == "debug" || value == "release"), "{build:?}");
        assert!(std::fs::read_to_string(page).unwrap().contains("load-model-latency.svg"));
        assert!(folder.path().join("load-model-latency.svg").exists());
    }
}

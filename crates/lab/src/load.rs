//! Load generation: closed loop and open loop, with every request's fate accounted for.
//!
//! In a *closed loop* each connection sends its next request when the last is answered, so a slow server is asked
//! less. It measures capacity. In an *open loop* requests are due at times fixed in advance, whatever the server
//! does, as with independent users. It measures latency: from the time a request was DUE, so that a stall is paid
//! by every request that should have been sent during it (correction for coordinated omission, after Gil Tene,
//! "How NOT to Measure Latency"). The time from the actual send is kept as the *service* time.
//!
//! Invariants: in the warm-up and in the window each, `sent = ok + rejected + failed`; in an open loop, over both
//! together, `due = sent + not_sent` (what is not sent is not told apart by when it was due). Connections are opened before the clock starts. Each worker thread runs its own single-threaded runtime and
//! shares nothing with the others while it runs.

mod get;
mod http1;
mod outcome;
mod queue;
mod shared;
mod timer;
mod tls;
mod wire;
mod worker;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Moment;

pub use get::Get;
pub(crate) use get::answer;
pub use http1::{Http1, Http1Client};
pub use outcome::{Counts, Histogram, Outcome, Percentiles, Slice, Summary};
pub use shared::{Multiplexed, Shared, SharedClient};
pub use tls::{Sessions, Tls, TlsLine};
pub use wire::{Bare, Carrier, Line, Protocol, Read, Wire, WireClient};

/// Something that can be put under load. It is shared by all worker threads and makes their clients.
pub trait Target: Send + Sync + 'static {
    /// One client of it.
    type Client: Client + 'static;

    /// All clients of one thread, not connected yet. In protocols that are made for it they may share connections.
    fn clients(self: &Arc<Self>, count: usize) -> Vec<Self::Client>;
}

/// One client that makes one request at a time. It stays on the thread that made it.
pub trait Client {
    /// Opens its connection, replacing a former one.
    fn connect(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// Whether a request may be tried without connecting first.
    fn is_open(&self) -> bool;

    /// Sends one request and reads its answer to the end. [`Failure::Unsent`] promises that nothing of the request
    /// was written. Dropping the future closes the connection, or gives the request up where it is shared.
    fn call(&mut self) -> impl Future<Output = Result<Answer, Failure>>;
}

/// What came back, fully read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, or what the target uses in its place.
    pub status: u16,
    /// Bytes of the body, without framing.
    pub body_bytes: u64,
}

/// Why a request has no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The connection was refused: nobody listens.
    Refused,
    /// No connection could be made for another reason.
    NotConnected,
    /// A TLS session was to be resumed, and the server made a new one.
    NotResumed,
    /// The connection was closed before anything of the request was written, twice in a row.
    Unsent,
    /// The connection was closed or reset after the request was sent and before its answer's head was whole.
    Closed,
    /// The connection was closed or reset within the answer's body.
    Truncated,
    /// No whole answer within the plan's timeout.
    TimedOut,
    /// The answer is not valid in its protocol.
    Malformed,
}

impl Failure {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::NotConnected,
        Self::NotResumed,
        Self::Unsent,
        Self::Closed,
        Self::Truncated,
        Self::TimedOut,
        Self::Malformed,
    ];

    /// Whether the server can't have seen the request.
    #[must_use]
    pub const fn is_before_send(self) -> bool {
        matches!(self, Self::Refused | Self::NotConnected | Self::NotResumed | Self::Unsent)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::NotConnected => "not connected",
            Self::NotResumed => "session not resumed",
            Self::Unsent => "closed before sending",
            Self::Closed => "closed before an answer",
            Self::Truncated => "closed within an answer",
            Self::TimedOut => "timed out",
            Self::Malformed => "malformed answer",
        })
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection sends when its last request is answered.
    Closed,
    /// Requests are due at a constant rate over all connections.
    Open {
        /// Requests per second.
        rate_per_s: f64,
        /// How many due requests may wait for a free connection; more are counted as not sent.
        backlog_max: usize,
    },
}

impl Pace {
    /// A constant rate with a backlog of ten seconds of it.
    #[must_use]
    pub fn open(rate_per_s: f64) -> Self {
        Self::Open { rate_per_s, backlog_max: (rate_per_s * 10.0).ceil() as usize }
    }
}

/// What to send, over how much, for how long.
pub struct Plan<T = Http1> {
    /// Whom to ask what.
    pub target: Arc<T>,
    /// Clients over all threads, at least one per thread; each has a connection of its own, unless the target shares them.
    pub connections: usize,
    /// Worker threads.
    pub threads: usize,
    /// The first part of the run, whose requests are counted apart and not timed.
    pub warm_up: Duration,
    /// The measured part of the run.
    pub duration: Duration,
    /// Longest wait for one request's connection and answer, and for the backlog after the run's end.
    pub timeout: Duration,
    /// Length of one [`Slice`] of the time line.
    pub slice: Duration,
    /// Which answers are ok.
    pub expect: Expect,
}

/// Which answers are ok. By default any with a status of 200 to 299.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expect {
    /// The one status that is right.
    pub status: Option<u16>,
    /// The one length of the body that is right.
    pub body_bytes: Option<u64>,
}

impl Expect {
    /// Whether `answer` is ok.
    #[must_use]
    pub fn accepts(&self, answer: &Answer) -> bool {
        let status =
            self.status.map_or((200..300).contains(&answer.status), |status| status == answer.status);
        status && self.body_bytes.is_none_or(|bytes| bytes == answer.body_bytes)
    }
}

impl<T> Clone for Plan<T> {
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target), ..*self }
    }
}

impl<T: Target> Plan<T> {
    /// One connection on one thread for ten seconds after one of warm-up; 2xx is ok; a timeout of ten seconds.
    #[must_use]
    pub fn new(target: T) -> Self {
        Self {
            target: Arc::new(target),
            connections: 1,
            threads: 1,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            slice: Duration::from_millis(100),
            expect: Expect::default(),
        }
    }

    fn check(&self, pace: Pace) -> Result<()> {
        ensure!(self.threads > 0, "a load needs at least one thread");
        ensure!(self.connections >= self.threads, "a load needs at least one connection per thread");
        ensure!(
            !self.duration.is_zero() && !self.slice.is_zero(),
            "a load needs a duration and slices above zero"
        );
        if let Pace::Open { rate_per_s, .. } = pace {
            ensure!(
                rate_per_s.is_finite() && rate_per_s > 0.0,
                "a rate must be above zero, not {rate_per_s}"
            );
        }
        Ok(())
    }
}

impl Plan<Http1> {
    /// [`Plan::new`] for `GET path` at `target`.
    #[must_use]
    pub fn get(target: SocketAddr, path: &str) -> Self {
        Self::new(Http1::get(target, path))
    }
}

/// Runs `plan` as a closed loop to its end. Errors: the plan is impossible, or nothing could be connected.
pub fn closed_loop<T: Target>(plan: &Plan<T>) -> Result<Outcome> {
    start(plan, Pace::Closed)?.join()
}

/// Runs `plan` as an open loop at `rate_per_s` to its end. Errors: as [`closed_loop`].
pub fn open_loop<T: Target>(plan: &Plan<T>, rate_per_s: f64) -> Result<Outcome> {
    start(plan, Pace::open(rate_per_s))?.join()
}

/// Connects, then starts `plan` in the background; when this returns, connections stand and the clock runs.
///
/// Errors: the plan is impossible, a thread can't be started, or not one connection could be made.
pub fn start<T: Target>(plan: &Plan<T>, pace: Pace) -> Result<Running> {
    plan.check(pace)?;
    let (begin, begun) = watch::channel(None);
    let (connected, connecting) = sync_channel(plan.threads);
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let mut threads = Vec::with_capacity(plan.threads);
    for index in 0..plan.threads {
        let worker = worker::Worker { plan: plan.clone(), pace, index, end: Arc::clone(&end) };
        let (connected, begun) = (connected.clone(), begun.clone());
        let thread = std::thread::Builder::new()
            .name(format!("lab-load-{index}"))
            .spawn(move || worker.run(&connected, begun))
            .context("start a load thread")?;
        threads.push(thread);
    }
    drop(connected);
    let mut first_failure = None;
    let mut open = 0;
    for thread in 0..plan.threads {
        // A worker that dies before it is connected drops its sender; join then tells why.
        let Ok((connections, failure)) = connecting.recv() else { break };
        open += connections;
        first_failure = first_failure.or(failure.map(|failure: Failure| (thread, failure)));
    }
    if open == 0 {
        drop(begin);
        let reason = first_failure.map_or_else(|| "a worker failed".to_owned(), |(_, why)| why.to_string());
        anyhow::bail!("the load could not connect to its target: {reason}");
    }
    // Far enough ahead that every worker has been woken when its first request is due.
    let started = Moment::now().plus(Duration::from_millis(2));
    let window = (started.plus(plan.warm_up), started.plus(plan.warm_up + plan.duration));
    end.store(window.1.ns(), Ordering::Release);
    begin.send_replace(Some(started));
    Ok(Running { threads, begin: Some(begin), end, window, slice: plan.slice, pace })
}

/// A load that runs in the background. Dropping it stops it and waits for its threads.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<Result<outcome::Part>>>,
    /// Dropping it tells the workers to stop.
    begin: Option<watch::Sender<Option<Moment>>>,
    /// When the last request is due, in nanoseconds of [`Moment`]; stopping moves it forward.
    end: Arc<AtomicU64>,
    window: (Moment, Moment),
    slice: Duration,
    pace: Pace,
}

impl Running {
    /// The measured window: its start, after the warm-up, and its planned end.
    #[must_use]
    pub const fn window(&self) -> (Moment, Moment) {
        self.window
    }

    /// Waits for the planned end and every answer still due.
    pub fn join(mut self) -> Result<Outcome> {
        self.collect()
    }

    /// Sends nothing that is due from now on, waits for the answers still due, and returns what was measured.
    pub fn stop(mut self) -> Result<Outcome> {
        self.cut();
        self.collect()
    }

    fn cut(&mut self) {
        self.end.fetch_min(Moment::now().ns(), Ordering::AcqRel);
        self.begin = None;
    }

    fn collect(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::new(self.pace, self.slice);
        for thread in std::mem::take(&mut self.threads) {
            let part = thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
            outcome.merge(&part);
        }
        let end = Moment::from_ns(self.end.load(Ordering::Acquire));
        outcome.window = end.since(self.window.0);
        Ok(outcome)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cut();
        for thread in self.threads.drain(..) {
            // Its result is not wanted any more; a panic was already printed by the thread.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;

//! One worker thread: its connections as tasks of one single-threaded runtime, and the schedule that feeds them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::outcome::{Part, Times};
use super::queue::Queue;
use super::timer::Timer;
use super::{Answer, Client, Failure, Pace, Plan, Target};
use crate::clock::Moment;

/// How long a connection that was refused waits in a closed loop, so that a dead target is not asked in a spin.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Worker<T> {
    pub(super) plan: Plan<T>,
    pub(super) pace: Pace,
    /// Which of the plan's threads this is: it takes every n-th request of the schedule.
    pub(super) index: usize,
    pub(super) end: Arc<AtomicU64>,
}

/// Tells how many connections stand, and the first failure among them.
pub(super) type Connected = SyncSender<(usize, Option<Failure>)>;

impl<T: Target> Worker<T> {
    /// Connects, reports it, waits for the start, and works until the end. Blocks.
    pub(super) fn run(self, connected: &Connected, begun: watch::Receiver<Option<Moment>>) -> Result<Part> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("build a runtime for a load thread")?;
        LocalSet::new().block_on(&runtime, self.work(connected, begun))
    }

    async fn work(self, connected: &Connected, mut begun: watch::Receiver<Option<Moment>>) -> Result<Part> {
        let mut lines = self.connect(connected).await?;
        let Ok(started) = begun.wait_for(Option::is_some).await.map(|start| *start) else {
            // Given up before the start.
            return Ok(Part::new(Moment::from_ns(0), &self.plan));
        };
        let started = started.expect("the wait ends with a start");
        let part = Rc::new(RefCell::new(Part::new(started, &self.plan)));
        part.borrow_mut().connects = lines.iter().map(|line| line.connects).sum();
        let worker = Rc::new(self);
        let queue = Rc::new(Queue::new(worker.backlog_max()));
        let mut tasks = JoinSet::new();
        for line in lines.drain(..) {
            let (worker, queue, part) = (Rc::clone(&worker), Rc::clone(&queue), Rc::clone(&part));
            tasks.spawn_local(async move {
                match worker.pace {
                    Pace::Closed => worker.loop_closed(line, started, &part).await,
                    Pace::Open { .. } => worker.loop_open(line, &queue, &part).await,
                }
            });
        }
        if let Pace::Open { rate_per_s, .. } = worker.pace {
            let arrivals = Arrivals { started, rate_per_s, first: worker.index, step: worker.plan.threads };
            worker.schedule(arrivals, &queue, &part, &mut begun).await?;
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| anyhow!("a connection's task failed: {error}"))?;
        }
        // Every task has ended and given back its share.
        let part = Rc::into_inner(part).expect("tasks gave back their shares").into_inner();
        Ok(part)
    }

    /// Opens this thread's share of the connections.
    async fn connect(&self, connected: &Connected) -> Result<Vec<Line<T::Client>>> {
        let (all, threads) = (self.plan.connections, self.plan.threads);
        let share = all / threads + usize::from(self.index < all % threads);
        let mut lines = Vec::with_capacity(share);
        let mut first_failure = None;
        for client in self.plan.target.clients(share) {
            let mut line = Line { client, connects: 0 };
            if let Err(failure) = line.open(self.plan.timeout).await {
                first_failure = first_failure.or(Some(failure));
            }
            lines.push(line);
        }
        let open = lines.iter().filter(|line| line.client.is_open()).count();
        connected.send((open, first_failure)).context("report connections")?;
        Ok(lines)
    }

    fn backlog_max(&self) -> usize {
        match self.pace {
            Pace::Closed => 0,
            Pace::Open { backlog_max, .. } => backlog_max.div_ceil(self.plan.threads),
        }
    }

    fn end(&self) -> Moment {
        Moment::from_ns(self.end.load(Ordering::Acquire))
    }

    async fn loop_closed(&self, mut line: Line<T::Client>, started: Moment, part: &RefCell<Part>) {
        tokio::time::sleep(started.since(Moment::now())).await;
        loop {
            let sent = Moment::now();
            if sent >= self.end() {
                return;
            }
            let fate = self.attempt(&mut line, sent, sent, part).await;
            if fate.is_err_and(Failure::is_before_send) {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }

    async fn loop_open(&self, mut line: Line<T::Client>, queue: &Queue, part: &RefCell<Part>) {
        while let Some(intended) = queue.take().await {
            let sent = Moment::now();
            if sent > self.end().plus(self.plan.timeout) {
                // The backlog was not worked off in time. This one goes back to where the rest is counted.
                part.borrow_mut().not_sent += 1 + queue.drain() as u64;
                return;
            }
            // Its fate is in the counts; the schedule goes on whatever it was.
            let _ = self.attempt(&mut line, intended, sent, part).await;
        }
    }

    /// Sends one request, connecting where needed, and records its fate.
    async fn attempt(
        &self,
        line: &mut Line<T::Client>,
        intended: Moment,
        sent: Moment,
        part: &RefCell<Part>,
    ) -> Result<Answer, Failure> {
        let connects = line.connects;
        let fate = line.call(self.plan.timeout).await;
        let times = Times { intended, sent, done: Moment::now() };
        let ok = fate.is_ok_and(|answer| self.plan.expect.accepts(&answer));
        let mut part = part.borrow_mut();
        part.connects += line.connects - connects;
        part.record(times, fate, ok, self.end());
        fate
    }

    /// Puts this thread's requests into the queue, each at its due time.
    async fn schedule(
        &self,
        arrivals: Arrivals,
        queue: &Queue,
        part: &RefCell<Part>,
        stopped: &mut watch::Receiver<Option<Moment>>,
    ) -> Result<()> {
        let mut timer = Timer::new()?;
        let mut turn = 0;
        loop {
            let now = Moment::now();
            let mut next = arrivals.at(turn);
            while next <= now && next < self.end() {
                // Of every request, not of every wake-up: a late one holds up all that were due meanwhile.
                part.borrow_mut().record_lateness(next, now);
                if !queue.push(next) {
                    part.borrow_mut().not_sent += 1;
                }
                turn += 1;
                next = arrivals.at(turn);
            }
            if next >= self.end() {
                queue.close();
                return Ok(());
            }
            tokio::select! {
                biased;
                fired = timer.until(next) => fired?,
                // The end was moved forward; the next turn of the loop sees it.
                _ = stopped.changed() => {}
            }
        }
    }
}

/// The due times of one thread's requests: a constant rate over all threads, dealt out in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrivals {
    pub(super) started: Moment,
    pub(super) rate_per_s: f64,
    pub(super) first: usize,
    pub(super) step: usize,
}

impl Arrivals {
    pub(super) fn at(self, turn: u64) -> Moment {
        let request = turn * self.step as u64 + self.first as u64;
        // Computed from the start each time: errors do not add up, and a double is exact enough for days.
        let offset_ns = request as f64 * (1e9 / self.rate_per_s);
        self.started.plus(Duration::from_nanos(offset_ns as u64))
    }
}

/// A connection and how often it was opened.
struct Line<C> {
    client: C,
    connects: u64,
}

impl<C: Client> Line<C> {
    async fn open(&mut self, timeout: Duration) -> Result<(), Failure> {
        tokio::time::timeout(timeout, self.connect()).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        self.client.connect().await?;
        self.connects += 1;
        Ok(())
    }

    /// One request. A kept-alive connection that turns out closed before a byte is written is replaced once.
    async fn call(&mut self, timeout: Duration) -> Result<Answer, Failure> {
        let exchange = async {
            if self.client.is_open() {
                match self.client.call().await {
                    Err(Failure::Unsent) => {}
                    fate => return fate,
                }
            }
            self.connect().await?;
            self.client.call().await
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(Failure::TimedOut))
    }
}

//! Items whose data are opened in this process: clients are tasks that ask the port to the shards, as the API does.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use mainstay_base::error::Classify as _;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, PartitionBy};
use mainstay_base::time::{Clock, Entropy};
use mainstay_lab::bench::Stop;
use mainstay_lab::clock::Moment;
use mainstay_lab::items::{Hand, Operation, Work};
use mainstay_lab::load::Histogram;
use mainstay_machine::Outcome;
use mainstay_machine::command::{self, Caller, Command, Commit, ItemName, Request};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::shards::{Consistency, Get, Shards as _};
use mainstay_shard::space::Space;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::items::{Observed, Plan, watch};
use crate::config::{self, Config};
use crate::life::{Scope, Started};
use crate::log::NodeLog;
use crate::node;
use crate::shards::NodeShards;
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::metrics::Metrics;

/// How long stores may take to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(60);

/// Clients are spread over so many tallies, so that they hardly ever wait for each other.
const TALLIES: usize = 16;

/// Data that are open in this process.
pub struct Data {
    pub config: Config,
    pub log: NodeLog,
    pub shards: NodeShards,
}

impl Data {
    /// Metrics that show what its parts count.
    pub fn metrics(&self) -> Metrics {
        let metrics = Metrics::new(&self.config.node.id);
        self.log.count_in(&metrics);
        self.shards.count_in(&metrics);
        metrics
    }
}

/// Measures with files in `folder`. Errors: the data cannot be opened or closed, items cannot be stored, or `stop` was asked for.
pub fn measure(plan: &Plan, folder: &Path, stop: &Stop) -> Result<Observed> {
    let file = plan.configure(folder, nowhere())?;
    with_data(file, |data, runtime| put_under_load(plan, data, runtime, stop))
}

/// Where nobody listens.
pub fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Opens the data of a configuration file, waits until all shards are served, does the work, and closes them.
pub fn with_data<T>(file: PathBuf, work: impl FnOnce(&Data, &Runtime) -> Result<T>) -> Result<T> {
    let request = config::Request { file: Some(file), ..config::Request::default() };
    let loaded = config::load(&request).map_err(|findings| anyhow!(findings.render(false)))?;
    let declare = loaded.declare();
    let config = loaded.config;
    // Nobody else knows of it, so that nobody needs to be kept out.
    fs::create_dir_all(config.data.as_path()).context("make the data directory")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start threads")?;
    let (scope, _alarm) = Scope::new("bench");
    let mut started = Started::default();
    let opening = node::open_data(&config, (&clock, &entropy), &scope, &mut started, crate::log::directory);
    let done = match runtime.block_on(Box::pin(opening)) {
        Ok((log, shards)) => match runtime.block_on(shards.bring_up(declare)) {
            Ok(()) => work(&Data { config, log, shards }, &runtime),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    };
    let undone = runtime.block_on(started.stop(CLOSE_MAX));
    let done = done?;
    let undone: Vec<String> = undone.iter().map(ToString::to_string).collect();
    ensure!(undone.is_empty(), "the data could not be closed: {}", undone.join("; "));
    Ok(done)
}

/// Makes `calls` calls of this work, or a few more, with so many clients. Errors: one failed, or `stop` was asked for.
pub fn call_all(
    data: &Data,
    runtime: &Runtime,
    work: Work,
    (calls, clients): (u32, usize),
    stop: &Stop,
) -> Result<()> {
    let share = calls.div_ceil(u32::try_from(clients).expect("the command line allows few"));
    let load = Load::new(data.shards.space(), work, (Moment::now(), Moment::now()), stop);
    let load = Arc::new(load);
    runtime.block_on(all((0..clients).map(|_| Arc::clone(&load).fill(share)))).context("store the items")
}

fn put_under_load(plan: &Plan, data: &Data, runtime: &Runtime, stop: &Stop) -> Result<Observed> {
    let metrics = data.metrics();
    if plan.task.operation == Operation::Get {
        call_all(data, runtime, Work::in_turn(plan.task), (plan.task.items, plan.clients), stop)?;
    }
    let begin = Moment::now().plus(plan.warm_up);
    let window = (begin, begin.plus(plan.duration));
    let load = Arc::new(Load::new(data.shards.space(), Work::at_random(plan.task), window, stop));
    let clients = {
        let _entered = runtime.enter();
        let mut clients = JoinSet::new();
        for number in 0..plan.clients {
            clients.spawn(Arc::clone(&load).ask(number));
        }
        clients
    };
    let scrape = || String::from_utf8(metrics.text()).context("read the metrics");
    let watched = watch(window, &[], scrape, stop);
    // An interrupt has told them as well.
    runtime.block_on(joined(clients))?;
    load.observed(watched?)
}

async fn all(work: impl Iterator<Item = impl Future<Output = Result<()>> + Send + 'static>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for one in work {
        tasks.spawn(one);
    }
    joined(tasks).await
}

async fn joined(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.context("a client failed")??;
    }
    Ok(())
}

/// What the clients share.
struct Load {
    space: Arc<Space>,
    work: Work,
    collection: Name,
    content_type: ContentType,
    window: (Moment, Moment),
    stop: Stop,
    tallies: Vec<Mutex<Tally>>,
}

/// What some of the clients saw.
#[derive(Default)]
struct Tally {
    operations: u64,
    latency: Histogram,
    errors: BTreeMap<String, u64>,
}

impl Load {
    fn new(space: &Arc<Space>, work: Work, window: (Moment, Moment), stop: &Stop) -> Self {
        Self {
            space: Arc::clone(space),
            work,
            collection: "kv".parse().expect("a name"),
            content_type: "application/octet-stream".parse().expect("a content type"),
            window,
            stop: stop.clone(),
            tallies: (0..TALLIES).map(|_| Mutex::default()).collect(),
        }
    }

    /// Stores so many items.
    async fn fill(self: Arc<Self>, calls: u32) -> Result<()> {
        let mut hand = self.work.hand();
        for _ in 0..calls {
            self.stop.check()?;
            self.call(&mut hand).await.map_err(|error| anyhow!(error))?;
        }
        Ok(())
    }

    /// Asks until the end of the window.
    async fn ask(self: Arc<Self>, number: usize) -> Result<()> {
        let mut hand = self.work.hand();
        let tally = &self.tallies[number % TALLIES];
        loop {
            let begun = Moment::now();
            if begun >= self.window.1 || self.stop.is_asked() {
                return Ok(());
            }
            let fate = self.call(&mut hand).await;
            let waits = fate.is_ok() && self.work.operation() == Operation::Put;
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(self.window, begun, fate);
            if !waits {
                // It may not have waited for anything, and the others are to have their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// One operation. The error is what became of it in a few words that are known in advance.
    async fn call(&self, hand: &mut Hand) -> Result<(), String> {
        let key = self.work.next(hand);
        let key: Key = std::str::from_utf8(&key).expect("a letter and digits").parse().expect("a key");
        let partition = PartitionBy::default().partition(&key).into_owned();
        let item = ItemName { collection: self.collection.clone(), key };
        match self.work.operation() {
            Operation::Put => {
                let bytes = Bytes::copy_from_slice(self.work.value(hand));
                let value = Value::new(self.content_type.clone(), bytes).expect("bytes are what they are");
                let commit = Commit {
                    conditions: Vec::new(),
                    operations: vec![command::Operation::Put { item, value, ttl: None }],
                };
                let command = Command {
                    tenant: Tenant::DEFAULT,
                    caller: Caller::ANONYMOUS,
                    partition,
                    idempotency: None,
                    trace: None,
                    request: Request::Commit(commit),
                };
                let answer =
                    self.space.submit(command, None).await.map_err(|error| error.code().to_string())?;
                match answer.outcome {
                    Outcome::Committed(_) => Ok(()),
                    Outcome::Refused(refusal) => Err(refusal.code().to_string()),
                }
            }
            Operation::Get => {
                let get =
                    Get { tenant: Tenant::DEFAULT, partition, item, consistency: Consistency::Linearizable };
                let reading = self.space.get(get, None).await.map_err(|error| error.code().to_string())?;
                let item = reading.value.ok_or("an item that is not there")?;
                let is_right =
                    hand.shown(&item.bytes).status == 200 && item.bytes.len() == self.work.value_bytes();
                if is_right { Ok(()) } else { Err("another item's value".to_owned()) }
            }
        }
    }

    fn observed(&self, watched: super::items::Watched) -> Result<Observed> {
        let mut sum = Tally::default();
        for tally in &self.tallies {
            sum.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let Tally { operations, latency, errors } = sum;
        Ok(Observed { operations, latency: latency.percentiles(), errors, watched })
    }
}

impl Tally {
    fn count(&mut self, (begin, end): (Moment, Moment), begun: Moment, fate: Result<(), String>) {
        let done = Moment::now();
        match fate {
            Ok(()) => {
                self.operations += u64::from(done >= begin && done < end);
                if begun >= begin {
                    self.latency.record(done.since(begun));
                }
            }
            Err(what) => *self.errors.entry(what).or_default() += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.latency.merge(&other.latency);
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
    }
}

//! Producers: tasks on one thread, each the owner of a shard with one append in flight.
//!
//! One thread because a producer does nothing but seal a record and wait, and because its processor time can then be
//! told apart from the engine's.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::units::Size;
use mainstay_log::record::{Checksum, Draft, Extensions, Kind, Record, RecordId};
use mainstay_log::{Error, Log};
use tokio::task::JoinSet;

use super::runner::Stop;
use super::{Cell, disk, spent};
use crate::clock::Moment;
use crate::load::{Histogram, Percentiles};

/// The window in which acknowledgements count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Moment,
    pub(super) end: Moment,
}

/// What the producers saw in the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Acknowledged records.
    pub(super) records: u64,
    /// From the call of append to its acknowledgement.
    pub(super) latency: Percentiles,
    /// Processor time of the producers' thread.
    pub(super) cpu: Duration,
}

/// Producers at work.
pub(super) struct Producers(JoinHandle<Result<Seen>>);

impl Producers {
    /// Starts them; each trims its shard whenever it has about its part of `keep` behind it. Errors: there is
    /// no thread for them.
    pub(super) fn start(
        log: Arc<dyn Log>,
        cell: Cell,
        window: Window,
        keep: Size,
        stop: Stop,
    ) -> Result<Self> {
        let work = move || work(&log, cell, window, keep, &stop);
        let thread = std::thread::Builder::new().name("producers".to_owned()).spawn(work);
        Ok(Self(thread.context("start the producers' thread")?))
    }

    /// Waits for their end. Errors: an append or a trim failed.
    pub(super) fn join(self) -> Result<Seen> {
        self.0.join().map_err(|_| anyhow!("the producers panicked"))?
    }
}

fn work(log: &Arc<dyn Log>, cell: Cell, window: Window, keep: Size, stop: &Stop) -> Result<Seen> {
    let payload_bytes = usize::try_from(cell.payload.bytes()).context("a payload fits into memory")?;
    let payload = Bytes::from(disk::noise(payload_bytes));
    let trim_records = cell.trim_records(keep);
    let tally = Arc::new(Mutex::new(Tally::new(window)));
    // Without drivers: to wake its thread is then an atomic operation, or a futex when it sleeps.
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("build a runtime")?;
    runtime.block_on(async {
        let mut producers = JoinSet::new();
        for number in 0..cell.producers {
            let shard = ShardId::new(u32::try_from(number + 1).context("a shard for each producer")?);
            let (log, tally, stop) = (Arc::clone(log), Arc::clone(&tally), stop.clone());
            let payload = payload.clone();
            producers.spawn(async move {
                let producer = Producer { log: &*log, shard, payload, trim_records };
                producer.produce(&tally, window, &stop).await
            });
        }
        // After a failure the others are dropped where they are: so is the log.
        while let Some(ended) = producers.join_next().await {
            ended.context("a producer's task ended badly")??;
        }
        anyhow::Ok(())
    })?;
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.seen())
}

struct Producer<'a> {
    log: &'a dyn Log,
    shard: ShardId,
    payload: Bytes,
    trim_records: u64,
}

impl Producer<'_> {
    async fn produce(&self, tally: &Mutex<Tally>, window: Window, stop: &Stop) -> Result<(), Error> {
        let (mut index, mut prev) = (Index::FIRST, Checksum::START);
        loop {
            let record = self.draft(index).seal(self.shard, index, Epoch::new(1), prev);
            prev = record.checksum();
            let submitted = Moment::now();
            let waited = until_acknowledged(self.log, record).await?;
            let acknowledged = Moment::now();
            // One thread: there is never anybody to wait for.
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(submitted, acknowledged);
            if acknowledged >= window.end || stop.is_asked() {
                return Ok(());
            }
            index = index.next();
            if index.get() % self.trim_records == 0 {
                self.log.trim(self.shard, index).await?;
            }
            if !waited {
                // An engine that never waits would leave the thread to the first producer.
                tokio::task::yield_now().await;
            }
        }
    }

    fn draft(&self, index: Index) -> Draft {
        // Unique is enough here; the entropy of an id costs what it costs elsewhere.
        let id = (u128::from(self.shard.get()) << 64) | u128::from(index.get());
        Draft {
            kind: Kind::Data,
            id: RecordId::new(id.to_be_bytes()),
            extensions: Extensions::default(),
            payload: self.payload.clone(),
        }
    }
}

/// Appends, and tells whether that took more than the call.
async fn until_acknowledged(log: &dyn Log, record: Record) -> Result<bool, Error> {
    let mut append = log.append(record);
    let mut waited = false;
    let appended = poll_fn(|context| {
        let polled = append.as_mut().poll(context);
        waited |= polled.is_pending();
        polled
    });
    appended.await.map(|_| waited)
}

/// What counts, and what the thread had used when the window began and ended.
struct Tally {
    window: Window,
    latency: Histogram,
    began: Option<Duration>,
    ended: Option<Duration>,
}

impl Tally {
    fn new(window: Window) -> Self {
        Self { window, latency: Histogram::default(), began: None, ended: None }
    }

    fn count(&mut self, submitted: Moment, acknowledged: Moment) {
        if acknowledged < self.window.begin {
            return;
        }
        if self.began.is_none() {
            self.began = Some(spent::of_this_thread());
        }
        if acknowledged < self.window.end {
            self.latency.record(acknowledged.since(submitted));
        } else if self.ended.is_none() {
            self.ended = Some(spent::of_this_thread());
        }
    }

    fn seen(&self) -> Seen {
        let cpu = self.ended.zip(self.began).map(|(ended, began)| ended.saturating_sub(began));
        Seen {
            records: self.latency.len(),
            latency: self.latency.percentiles(),
            cpu: cpu.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
pub(super) fn count_all(window: Window, times: &[(u64, u64)]) -> Seen {
    let mut tally = Tally::new(window);
    for (submitted, acknowledged) in times {
        tally.count(Moment::from_ns(*submitted), Moment::from_ns(*acknowledged));
    }
    tally.seen()
}

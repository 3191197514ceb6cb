//! A group commit in front of any store, so that stores which commit one batch at a time can be measured as logs.
//!
//! Appends queue; one thread takes all that wait, commits them as one batch, and answers. Batches form as in the log: while
//! one commits the next gathers, and those just answered are waited for by the same rule ([`mainstay_log::gather`]). Only
//! appends are served, and in whatever order they come: a peer is not asked to check indexes, to be read or to be trimmed.

use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::Clock as _;
use mainstay_log::gather::Gathering;
use mainstay_log::record::Record;
use mainstay_log::{Act, Appended, BoxFuture, Durability, Error, Guarantees, Limits, Log, Tail};
use tokio::sync::oneshot;

use super::Opened;
use super::engines::LabClock;

/// Appends that may wait; more are refused.
const WAITING_MAX: usize = 4096;

const GUARANTEES: Guarantees = Guarantees { durability: Durability::Synced, fences_epochs: false };

/// Something that can make a batch of records durable.
pub trait Store: Send {
    /// Makes all of them durable, or fails. After a failure it is not called again.
    fn commit(&mut self, records: &[Record]) -> Result<()>;
}

/// A store as a log that can be measured: one thread commits what waits.
///
/// Errors: there is no thread for it.
pub fn open(store: impl Store + 'static) -> Result<Opened> {
    let shared = Arc::new(Shared::default());
    let writer = {
        let shared = Arc::clone(&shared);
        let builder = thread::Builder::new().name("front".to_owned());
        builder.spawn(move || shared.write(store)).context("start the writer's thread")?
    };
    let commits = Arc::clone(&shared);
    let closing = Arc::clone(&shared);
    Ok(Opened {
        log: Arc::new(Front(shared)),
        syncs: Box::new(move || commits.commits.load(Ordering::Relaxed)),
        close: Box::new(move || close(&closing, writer)),
    })
}

fn close(shared: &Shared, writer: JoinHandle<()>) -> Result<()> {
    shared.queue().closed = true;
    shared.filled.notify_one();
    writer.join().map_err(|_| anyhow!("the writer's thread panicked"))
}

#[derive(Debug)]
struct Front(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// The queue is no longer empty, or it is closed.
    filled: Condvar,
    commits: AtomicU64,
    /// As many as there are records in the queue, for who only looks.
    waiting: AtomicUsize,
}

/// Records, and who waits for each: `answers` is as long as `records`.
#[derive(Debug, Default)]
struct Queue {
    records: Vec<Record>,
    answers: Vec<oneshot::Sender<Result<(), String>>>,
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Pushes and swaps leave whole entries, whoever panics elsewhere.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: Record) -> Result<oneshot::Receiver<Result<(), String>>, Error> {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.queue();
        if queue.closed {
            return Err(Error::Closed);
        }
        if queue.records.len() >= WAITING_MAX {
            let reason = format!("{WAITING_MAX} appends wait already");
            return Err(Error::Unavailable { act: Act::Append, reason });
        }
        queue.records.push(record);
        queue.answers.push(answer);
        let first = queue.records.len() == 1;
        self.waiting.store(queue.records.len(), Ordering::Relaxed);
        drop(queue);
        if first {
            self.filled.notify_one();
        }
        Ok(answered)
    }

    /// Commits until the queue is closed and empty.
    fn write(&self, mut store: impl Store) {
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        let mut failed: Option<String> = None;
        let waiting = || self.waiting.load(Ordering::Relaxed);
        let mut gathering = Gathering::default();
        loop {
            gathering.begin(LabClock.now());
            while gathering.is_awaited(waiting(), || LabClock.now()) {
                thread::yield_now();
            }
            gathering.end(waiting());
            let queue = self.queue();
            let filled = self.filled.wait_while(queue, |queue| queue.records.is_empty() && !queue.closed);
            let mut queue = filled.unwrap_or_else(PoisonError::into_inner);
            if queue.records.is_empty() {
                return;
            }
            mem::swap(&mut queue.records, &mut records);
            mem::swap(&mut queue.answers, &mut answers);
            self.waiting.store(0, Ordering::Relaxed);
            drop(queue);
            let begun = LabClock.now();
            if failed.is_none() {
                failed = store.commit(&records).err().map(|error| format!("{error:#}"));
                self.commits.fetch_add(1, Ordering::Relaxed);
            }
            gathering.committed(records.len(), LabClock.now().saturating_since(begun).as_std(), waiting());
            records.clear();
            for answer in answers.drain(..) {
                // Whoever has stopped waiting needs no answer.
                let _ = answer.send(failed.clone().map_or(Ok(()), Err));
            }
        }
    }
}

impl Front {
    fn refuse<T: Send>(act: Act) -> BoxFuture<'static, Result<T, Error>> {
        let reason = "this log is here to be appended to".to_owned();
        Box::pin(async move { Err(Error::Unavailable { act, reason }) })
    }
}

impl Log for Front {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let (shard, index) = (record.head().shard, record.head().index);
            let unknown = |reason: String| Error::OutcomeUnknown { shard, index, reason };
            let answered = self.0.push(record)?.await;
            answered.map_err(|_| unknown("the writer ended".to_owned()))?.map_err(unknown)?;
            Ok(Appended { index, durability: GUARANTEES.durability })
        })
    }

    fn read(&self, _: ShardId, _: Index, _: usize) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        Self::refuse(Act::Read)
    }

    fn tail(&self, _: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        Self::refuse(Act::Tail)
    }

    fn wait(&self, _: ShardId, _: Index) -> BoxFuture<'_, Result<(), Error>> {
        Self::refuse(Act::Tail)
    }

    fn trim(&self, _: ShardId, _: Index) -> BoxFuture<'_, Result<(), Error>> {
        // Nothing is freed: a peer is spared the work of deleting.
        Box::pin(async { Ok(()) })
    }

    fn limits(&self) -> Limits {
        Limits { record_bytes_max: Record::PAYLOAD_BYTES_MAX }
    }

    fn guarantees(&self) -> Guarantees {
        GUARANTEES
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        Self::refuse(Act::Preflight)
    }
}

//! The engine with its threads: callers wait for answers, never for the disk.
//!
//! The writer takes everything that waits at once, so a batch is what gathered while the last one was synced, and those
//! whom it answered, if they return at once. Every queue is bounded, and refuses what it does not take.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::{Clock, Entropy};

use super::arriving::Arriving;
use super::catalogue::Catalogue;
use super::disk::{Directory, Disk};
use super::queue::{Answer, Queue, Rejected, answer};
use super::{Engine, Options, Pin, Reader, Recovery, Stats};
use crate::Error;
use crate::error::Act;
use crate::log::{Appended, BoxFuture, Guarantees, Limits, Log, Tail};
use crate::record::Record;
use crate::waiters;

/// How many appends and trims wait for the writer at most.
const JOBS_MAX: usize = 4096;

/// How many bytes of records wait for it at most.
const JOBS_BYTES_MAX: usize = 64 << 20;

/// How many reads wait for a reading thread at most.
const READS_MAX: usize = 1024;

const READ_THREADS: usize = 2;

/// The local engine with its threads. Several may be open in one process, in directories of their own.
///
/// [`Local::close`] stops it cleanly. Dropped without, it stops as in a crash, and blocks until its threads have
/// ended; nothing acknowledged is lost either way.
pub struct Local {
    // Nothing here holds the directory: it is unlocked when the threads have ended.
    jobs: Arc<Queue<Job>>,
    reads: Arc<Queue<Read>>,
    reader: Reader,
    catalogue: Arc<Catalogue>,
    spares: Arc<AtomicUsize>,
    limits: Limits,
    guarantees: Guarantees,
    pin_max: u64,
    writer: Option<JoinHandle<()>>,
}

pub(crate) type Done = Answer<Result<(), Error>>;

/// What the writing thread does.
pub(crate) enum Job {
    Append(Record, Answer<Result<Appended, Error>>),
    Trim(ShardId, Index, Done),
    Preflight(Answer<Result<Guarantees, Error>>),
    Close(Done),
}

/// What a reading thread does.
struct Read {
    shard: ShardId,
    from: Index,
    bytes_max: usize,
    answer: Answer<Result<Vec<Record>, Error>>,
}

impl Local {
    /// Opens the log in this directory of the operating system, or makes one. See [`Engine::open`], whose
    /// errors it has; [`Error::Unavailable`] also if another process has the directory.
    pub fn open(
        directory: &Path,
        options: &Options,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), Error> {
        Self::open_on(Arc::new(Directory::open(directory)?), options, clock, entropy)
    }

    /// The same on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: &Options,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), Error> {
        let bounds = options.check()?;
        let (engine, recovery) = Engine::open(disk, options, Arc::clone(&clock), entropy)?;
        let jobs = Arc::new(Queue::new(JOBS_MAX, JOBS_BYTES_MAX));
        let reads = Arc::new(Queue::new(READS_MAX, usize::MAX));
        let mut local = Self {
            jobs: Arc::clone(&jobs),
            reads: Arc::clone(&reads),
            reader: engine.reader(),
            catalogue: Arc::clone(&engine.catalogue),
            spares: engine.spares.count(),
            limits: Limits { record_bytes_max: bounds.record_max },
            guarantees: engine.guarantees(),
            pin_max: bounds.pin_max,
            writer: None,
        };
        let writer = Writer { engine: Some(engine), others: Vec::new(), jobs, reads, clock }.start();
        local.writer = Some(writer.map_err(|error| Error::Unavailable {
            act: Act::Open,
            reason: format!("a thread cannot be started: {error}"),
        })?);
        Ok((local, recovery))
    }

    /// What it has done and what it holds.
    pub fn stats(&self) -> Stats {
        Stats { spares: self.spares.load(Relaxed) as u64, ..self.catalogue.stats() }
    }

    /// The shards that hold back more than `pin_max`, the one that holds back most first.
    pub fn pins(&self) -> Vec<Pin> {
        self.catalogue.pins(self.pin_max)
    }

    /// Takes no more, finishes what waits, writes what is pending and a seal, and unlocks the directory. Afterwards everything is
    /// [`Error::Closed`], also closing again. Errors: [`Error::Poisoned`]; the log is closed all the same.
    /// Not cancel-safe: dropped, it closes all the same.
    pub fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let (answer, answered) = answer();
            self.jobs.push_last(Job::Close(answer)).map_err(|_| Error::Closed)?;
            answered.await.unwrap_or(Err(Error::Closed))
        })
    }
}

impl Rejected {
    /// What to answer when a queue does not take something.
    fn error(self, act: Act) -> Error {
        match self {
            Self::Full => Error::Unavailable { act, reason: "it is busy, and its queue is full".into() },
            Self::Closed => Error::Closed,
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.jobs.close();
        if let Some(writer) = self.writer.take() {
            // If it has panicked it has told so, and its callers have their answers.
            let _ = writer.join();
        }
    }
}

/// The thread that owns the engine, and the others.
struct Writer {
    engine: Option<Engine>,
    others: Vec<JoinHandle<()>>,
    jobs: Arc<Queue<Job>>,
    reads: Arc<Queue<Read>>,
    clock: Arc<dyn Clock>,
}

fn read_panicked() -> Error {
    let reason = "it met a bug of this program, which is told where the program tells its panics: report it";
    Error::Unavailable { act: Act::Read, reason: reason.into() }
}

impl Writer {
    /// Starts all threads. When one cannot be started, none is left behind.
    fn start(mut self) -> io::Result<JoinHandle<()>> {
        let engine = self.engine.as_ref().expect("it was given one");
        let (preparer, reader) = (engine.preparer(), engine.reader());
        self.others.push(thread::Builder::new().name("log-prepare".into()).spawn(move || {
            while preparer.wait() {
                preparer.prepare();
            }
        })?);
        for _ in 0..READ_THREADS {
            let (reads, reader) = (Arc::clone(&self.reads), reader.clone());
            self.others.push(thread::Builder::new().name("log-read".into()).spawn(move || {
                while let Some(Read { shard, from, bytes_max, answer }) = reads.take_one() {
                    // The thread outlives it: others wait for their reads.
                    let read = catch_unwind(AssertUnwindSafe(|| reader.read(shard, from, bytes_max)));
                    answer.give(read.unwrap_or_else(|_| Err(read_panicked())));
                }
            })?);
        }
        thread::Builder::new().name("log-write".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut arriving = Arriving::new(Arc::clone(&self.jobs), Arc::clone(&self.clock));
        while arriving.wait() {
            let Some(engine) = &mut self.engine else { return };
            let mut since = None;
            let (clock, queue) = (&*self.clock, &*self.jobs);
            engine.commit_each(&mut arriving, &mut |answer: Answer<_>, outcome| {
                since.get_or_insert_with(|| (clock.now(), queue.len()));
                answer.give(outcome);
            });
            for job in arriving.answered(since) {
                self.serve(job);
            }
        }
    }

    fn serve(&mut self, job: Job) {
        match (job, &mut self.engine) {
            (Job::Trim(shard, to, answer), Some(engine)) => answer.give(engine.trim(shard, to)),
            (Job::Preflight(answer), Some(engine)) => answer.give(engine.preflight()),
            (Job::Close(answer), Some(_)) => {
                let engine = self.engine.take().expect("matched above");
                let closed = engine.close();
                self.join();
                answer.give(closed);
            }
            (Job::Append(..), _) | (_, None) => {}
        }
    }

    /// Waits for the threads that may hold the directory; the engine is gone.
    fn join(&mut self) {
        self.reads.close();
        for other in self.others.drain(..) {
            // If it has panicked it has told so.
            let _ = other.join();
        }
    }
}

impl Drop for Writer {
    /// Also when the thread panics: nobody waits for it in vain.
    fn drop(&mut self) {
        self.jobs.close();
        self.engine = None;
        self.join();
    }
}

impl Log for Local {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let (shard, index, bytes) = (record.head().shard, record.head().index, record.encoded_bytes());
            let bytes_max = self.limits.record_bytes_max;
            if bytes > bytes_max {
                return Err(Error::TooLarge { shard, bytes, bytes_max });
            }
            let (answer, answered) = answer();
            self.jobs
                .push(Job::Append(record, answer), bytes)
                .map_err(|rejected| rejected.error(Act::Append))?;
            let gone =
                || Error::OutcomeUnknown { shard, index, reason: "the log was closed meanwhile".into() };
            answered.await.unwrap_or_else(|| Err(gone()))
        })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        Box::pin(async move {
            if let Some(read) = self.reader.read_at_once(shard, from) {
                return read;
            }
            let (answer, answered) = answer();
            self.reads
                .push(Read { shard, from, bytes_max, answer }, 0)
                .map_err(|rejected| rejected.error(Act::Read))?;
            answered.await.unwrap_or(Err(Error::Closed))
        })
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        Box::pin(async move { self.reader.tail(shard) })
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        waiters::wait(&*self.catalogue, shard, index)
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let (answer, answered) = answer();
            self.jobs.push(Job::Trim(shard, to, answer), 0).map_err(|rejected| rejected.error(Act::Trim))?;
            answered.await.unwrap_or(Err(Error::Closed))
        })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn guarantees(&self) -> Guarantees {
        self.guarantees
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        Box::pin(async move {
            let (answer, answered) = answer();
            self.jobs.push(Job::Preflight(answer), 0).map_err(|rejected| rejected.error(Act::Preflight))?;
            answered.await.unwrap_or(Err(Error::Closed))
        })
    }
}

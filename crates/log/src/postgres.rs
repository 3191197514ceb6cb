//! The engine on PostgreSQL: a head row and a table of records for each log, and one statement that appends.
//!
//! The statement moves the shard's head row from the record's index to the next one, if it is there and has no
//! higher epoch, and stores the record's own bytes. It is a transaction of its own, so an append is one round
//! trip. Of two appends of one index the second waits for the first's row lock, and then finds the head moved.
//!
//! **What is acknowledged.** An acknowledgement is the server's answer to the commit, under `synchronous_commit =
//! on`, which each session sets itself. What durability rests on besides (`fsync`, `full_page_writes`, for
//! `replicated` the names of synchronous standbys) is proven by preflight and is part of the statement's
//! condition from then on: when it is switched off, appends are refused. Those that are in flight meanwhile are with
//! `replicated` looked at once more, since the server ends their waits as if a standby had answered; with `synced`
//! the setting that the server commits under may be the new one.
//!
//! **What is promised.** With `synced`, a record survives a crash and the loss of power of the server; whether
//! it survives a failover is not promised, and a failover to a standby that lags loses acknowledged records. With
//! `replicated`, it is synced on a synchronous standby as well, and survives a failover to that one. Records
//! that were visible and not acknowledged may vanish with either; writers settle their ground for that. What an
//! asynchronous standby lacks is gone when it takes over, acknowledged or not, and to restore a backup under
//! a running node does the same: neither keeps the promise. When `synchronous_standby_names` is set again under a
//! running node, the server acknowledges without a standby until its checkpointer has read it too, for longer if that
//! syncs just then: a commit in between is taken for a replicated one, so name standbys before nodes start.
//!
//! **What a failure means.** An answer of severity `ERROR` was rolled back: [`Error::Unavailable`], or
//! [`Error::Full`] when the disk is. A broken connection, a backend that was ended, no answer in time, or a
//! cancelled wait for a standby leave [`Error::OutcomeUnknown`]. Before a statement is sent (no
//! connection, none free) nothing was done.
//!
//! **What a server needs.** PostgreSQL 13 or later, reached itself or through a pooler in session mode: settings,
//! prepared statements and `LISTEN` belong to a session. Room comes back after a trim when the server vacuums.
//!
//! The futures may be awaited anywhere; connections are driven by tasks on the runtime that the engine was opened on.

use std::future::poll_fn;
use std::sync::Arc;

use mainstay_base::position::{Index, ShardId};
use mainstay_base::time::Entropy;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Act, Error};
use crate::log::{Appended, BoxFuture, Guarantees, Limits, Log, Tail};
use crate::record::Record;

mod append;
mod bell;
mod failure;
mod listen;
mod options;
mod pool;
mod preflight;
mod read;
mod schema;
mod session;
mod sql;
mod stats;
mod tls;
mod trim;

use bell::Bell;
use failure::Failure;
use listen::Listener;
use pool::Pool;
use session::Connector;
use sql::Sql;
use stats::{Counters, count};

pub use options::{Invalid, Options, Schema, Server, TlsMode};
pub use stats::Stats;

/// Logs in one schema of a PostgreSQL database. Any number of processes may have the same one open.
pub struct Postgres {
    inner: Arc<Inner>,
    /// Ends listening and waiting, also when the engine is dropped without being closed.
    _closing: DropGuard,
}

/// What operations share.
struct Inner {
    options: Options,
    sql: Arc<Sql>,
    connector: Arc<Connector>,
    pool: Pool,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
    handle: Handle,
    closing: CancellationToken,
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The server cannot be reached, or its tables cannot be used.
    #[error(transparent)]
    Log(#[from] Error),
}

impl Postgres {
    /// Connects, makes the tables if there are none, and begins to listen. `entropy` spreads what many nodes would
    /// do at the same time.
    ///
    /// Tasks run on the calling runtime, which needs its I/O and time drivers and must be driven by threads of its
    /// own. Panics outside of a runtime. Cancel-safe.
    pub async fn open(options: Options, entropy: Arc<dyn Entropy>) -> Result<Self, OpenError> {
        options.check()?;
        let handle = Handle::current();
        let connector = Arc::new(Connector::new(&options, handle.clone())?);
        let sql = Arc::new(Sql::new(&options.schema, options.durability));
        let (bell, counters) = (Arc::new(Bell::default()), Arc::new(Counters::default()));
        let pool = Pool::new(&options, Arc::clone(&connector), Arc::clone(&sql), Arc::clone(&counters));
        pool.pin(identify(&options, &connector, &sql).await?);

        let closing = CancellationToken::new();
        let listener = Listener {
            connector: Arc::clone(&connector),
            sql: Arc::clone(&sql),
            bell: Arc::clone(&bell),
            counters: Arc::clone(&counters),
            entropy,
            answer_timeout: options.answer_timeout.as_std(),
            closing: closing.clone(),
        };
        connector.spawn(listener.run());
        let guard = closing.clone().drop_guard();
        let inner = Arc::new(Inner { options, sql, connector, pool, bell, counters, handle, closing });
        Ok(Self { inner, _closing: guard })
    }

    /// What the engine has done, for metrics.
    pub fn stats(&self) -> Stats {
        self.inner.counters.read(self.inner.pool.gauge())
    }

    /// Ends waits, lets what was begun come to its end, at most for the answer timeout, and joins all tasks.
    /// Whatever is asked afterwards gets [`Error::Closed`]. Cancel-safe; closing again does nothing.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.pool.close();
        self.inner.connector.close(self.inner.options.answer_timeout.as_std()).await;
    }
}

/// The id of the log in the schema, which is made if there is none.
async fn identify(options: &Options, connector: &Connector, sql: &Sql) -> Result<String, Error> {
    let link = connector.connect(|_| ()).await.map_err(|failure| failure.unavailable(Act::Open))?;
    let ensured = timeout(options.answer_timeout.as_std(), schema::ensure(&link, &options.schema, sql)).await;
    ensured.unwrap_or_else(|_| {
        let reason = "the tables were not ready in time".into();
        Err(Error::Unavailable { act: Act::Open, reason })
    })
}

impl Inner {
    /// The answer, or after the longest time none.
    async fn within<T, E: Into<Failure>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let limit = self.options.answer_timeout.as_std();
        match timeout(limit, answer).await {
            Ok(answer) => answer.map_err(E::into),
            Err(_) => Err(Failure::Lost(format!("there was no answer in {} ms", limit.as_millis()))),
        }
    }

    async fn tail_at(&self, key: i64, act: Act) -> Result<Tail, Error> {
        let failed = |failure: Failure| failure.unavailable(act);
        let lease = self.pool.lease().await.map_err(failed)?;
        let session = lease.session();
        let row = self.within(session.client().query_opt(&session.tail, &[&key])).await;
        let row = lease.settle(row).map_err(failed)?;
        Ok(row.map_or(Tail { begins: Index::FIRST, next: Index::FIRST }, |row| Tail {
            begins: index(row.get(0)),
            next: index(row.get(1)),
        }))
    }

    async fn wait_for(&self, shard: ShardId, index: Index) -> Result<(), Error> {
        let mut ear = self.bell.listen(shard);
        // Begun before the first look, so that no ring between the two is missed.
        while self.tail_at(key(shard), Act::Tail).await?.next <= index {
            tokio::select! {
                next = ear.rung() => if next > index {
                    return Ok(());
                },
                () = sleep(self.options.poll_interval.as_std()) => count(&self.counters.polled),
                () = self.closing.cancelled() => return Err(Error::Closed),
            }
        }
        Ok(())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { durability: self.options.durability, fences_epochs: true }
    }

    fn limits(&self) -> Limits {
        let record_bytes_max = usize::try_from(self.options.record_max.bytes());
        Limits { record_bytes_max: record_bytes_max.expect("the option's range fits in memory") }
    }

    /// The future, with the runtime's timers and sockets at hand wherever it is polled.
    fn entered<'a, T>(&'a self, work: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        let mut work = Box::pin(work);
        Box::pin(poll_fn(move |context| {
            let _entered = self.handle.enter();
            work.as_mut().poll(context)
        }))
    }
}

/// The key of a shard's rows.
fn key(shard: ShardId) -> i64 {
    shard.get().into()
}

/// An index from a column that holds none below zero.
fn index(column: i64) -> Index {
    Index::new(column.unsigned_abs())
}

impl Log for Postgres {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        self.inner.entered(async move { self.inner.append(&record).await })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        self.inner.entered(self.inner.read_at(key(shard), shard, from, bytes_max))
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        self.inner.entered(self.inner.tail_at(key(shard), Act::Tail))
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.entered(self.inner.wait_for(shard, index))
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.entered(self.inner.trim_to(shard, to))
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        self.inner.entered(self.inner.prove())
    }
}

//! A bounded number of sessions, lent to one operation at a time.
//!
//! A session that an operation did not bring back, because it was dropped in the middle, is ended: what it was
//! asked may still be going on. Who waits for one is bounded in number and time; first come, first served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::timeout;

use super::failure::Failure;
use super::options::Options;
use super::session::{Connector, Session};
use super::sql::Sql;
use super::stats::Counters;

/// The sessions of one log.
pub(super) struct Pool {
    connector: Arc<Connector>,
    sql: Arc<Sql>,
    counters: Arc<Counters>,
    /// The id of the log that every session must find.
    id: OnceLock<String>,
    permits: Semaphore,
    idle: Mutex<Vec<Session>>,
    waiting: AtomicUsize,
    connections_max: usize,
    waiting_max: usize,
    connect_timeout: Duration,
    acquire_timeout: Duration,
}

/// A session for one operation.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    /// There until the lease ends.
    session: Option<Session>,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    /// No connections yet.
    pub fn new(options: &Options, connector: Arc<Connector>, sql: Arc<Sql>, counters: Arc<Counters>) -> Self {
        Self {
            connector,
            sql,
            counters,
            id: OnceLock::new(),
            permits: Semaphore::new(options.connections_max),
            idle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            connections_max: options.connections_max,
            waiting_max: options.waiting_max,
            connect_timeout: options.connect_timeout.as_std(),
            acquire_timeout: options.acquire_timeout.as_std(),
        }
    }

    /// Says which log it is. Called once, before the first lease.
    pub fn pin(&self, id: String) {
        self.id.set(id).expect("the log's id is told once");
    }

    /// An idle session, or a new one. Fails only before anything is sent.
    pub async fn lease(&self) -> Result<Lease<'_>, Failure> {
        let permit = self.permit().await?;
        let session = match self.take_idle() {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(Lease { pool: self, session: Some(session), _permit: permit })
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match self.permits.try_acquire() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(Failure::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        let waiting = Waiting::begin(&self.waiting);
        if waiting.before >= self.waiting_max {
            let reason = format!(
                "all {} connections are busy and {} operations wait already",
                self.connections_max, self.waiting_max
            );
            return Err(Failure::NotSent(reason));
        }
        match timeout(self.acquire_timeout, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Failure::Closed),
            Err(_) => {
                let (all, waited) = (self.connections_max, self.acquire_timeout.as_millis());
                let reason = format!("all {all} connections were busy for {waited} ms");
                Err(Failure::NotSent(reason))
            }
        }
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle();
        while let Some(session) = idle.pop() {
            if !session.client().is_closed() {
                return Some(session);
            }
            self.counters.lost();
        }
        None
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let id = self.id.get().expect("the log's id is told before the first lease");
        let link = self.connector.connect(|_| ()).await?;
        let session = timeout(self.connect_timeout, Session::prepare(link, &self.sql, id)).await;
        let late = || Failure::NotSent("a new connection did not become ready in time".into());
        let session = session.unwrap_or_else(|_| Err(late()))?;
        self.counters.connected();
        Ok(session)
    }

    /// Ends idle sessions now and the others when they come back; nobody gets one any more.
    pub fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    /// How many sessions wait for work, and how many operations for a session.
    pub fn gauge(&self) -> (usize, usize) {
        (self.idle().len(), self.waiting.load(Ordering::Relaxed))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        // A push or a pop is whole or did not happen.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    pub fn session(&self) -> &Session {
        self.session.as_ref().expect("the session is there until the lease ends")
    }

    /// Ends the lease with the answer: the session goes back if it can be used again. When it was lost, idle ones end
    /// with it: a server that is gone without a word is not to be waited for once with each.
    pub fn settle<T>(mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(&answer, Err(Failure::Lost(_))) {
            for session in self.pool.idle().drain(..) {
                session.link().kill();
                self.pool.counters.lost();
            }
        }
        let is_usable =
            !matches!(&answer, Err(Failure::Lost(_) | Failure::RolledBack { is_stale: true, .. }));
        if is_usable {
            let session = self.session.take().expect("the session is there until the lease ends");
            let mut idle = self.pool.idle();
            // Under the lock that `close` clears it with.
            if !self.pool.permits.is_closed() {
                idle.push(session);
            }
        }
        answer
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.link().kill();
            self.pool.counters.lost();
        }
    }
}

/// Counts who waits, also when they give up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

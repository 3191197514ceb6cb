//! Connections to one endpoint that one thread keeps between calls.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use mainstay_base::time::Instant;
use mainstay_resilience::Env;

use crate::config::Protocol;
use crate::connection::Connection;
use crate::dial::Dial;
use crate::endpoint::Load;
use crate::error::Error;
use crate::http1::Client;
use crate::http2;
use crate::spot::Opened;

/// Connections to one endpoint that one thread keeps between calls.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: SocketAddr,
    dial: Dial,
    env: Env,
    /// What is counted of the endpoint, and the connections of other threads.
    load: Arc<Load>,
    /// The last used is used next, so that those that are not needed grow old.
    kept: Mutex<Kept>,
    /// Those over HTTP/2 that take calls.
    shared: Mutex<Vec<Shared>>,
    /// Held by whoever opens one over HTTP/2.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept {
    /// With the times since when they are.
    clients: Vec<(Box<Client>, Instant)>,
    /// As of the last sweep: a second more or less is nothing to a connection, and a clock is much to a call.
    now: Instant,
}

/// A connection over HTTP/2, and since when it has been seen without a call.
type Shared = (http2::Client, Option<Instant>);

/// A new connection: how long it may be used, and that it is counted.
type Fresh = (Connection, Instant, Opened);

/// How often a thread looks for a connection where all that there may be are there. One is free: there are no more calls than connections; but it may be on its way from one thread to another.
const LOOKS_MAX: u32 = 64;

impl Pool {
    /// To an endpoint of which this is counted.
    pub(crate) fn new(endpoint: SocketAddr, load: Arc<Load>, dial: Dial, env: Env) -> Self {
        let kept = Mutex::new(Kept { clients: Vec::new(), now: env.now() });
        let (shared, opening) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { endpoint, dial, env, load, kept, shared, opening }
    }

    /// A connection that takes a call: one that is kept, or a new one.
    pub(crate) async fn client(&self) -> Result<Box<Client>, Error> {
        if let Some(client) = self.kept_client().await {
            return Ok(client);
        }
        // In a box: it is seldom needed, and large.
        Box::pin(self.other_client()).await
    }

    /// One that is kept and open.
    async fn kept_client(&self) -> Option<Box<Client>> {
        while let Some(mut client) = self.pop() {
            let is_open = poll_fn(|context| Poll::Ready(client.is_open(context))).await;
            if is_open {
                return Some(client);
            }
        }
        None
    }

    /// A new one, or another thread's.
    async fn other_client(&self) -> Result<Box<Client>, Error> {
        for _ in 0..LOOKS_MAX {
            if let Some(opened) = self.may_open() {
                let (connection, until, opened) = self.connect(opened).await?;
                return Ok(Box::new(Client::new(connection, until, opened)));
            }
            let idle = self.load.spot.ask_others(self, |other| other.give(&self.dial));
            // That of another thread may have broken on its way.
            if let Some(Ok(mut client)) = idle.map(|client| client.taken_over())
                && poll_fn(|context| Poll::Ready(client.is_open(context))).await
            {
                return Ok(Box::new(client));
            }
            tokio::task::yield_now().await;
            if let Some(client) = self.kept_client().await {
                return Ok(client);
            }
        }
        // Those of an earlier definition are still in use: rather one too many for a while than a call that is refused.
        let (connection, until, opened) = self.connect(Opened::one_more(&self.load)).await?;
        Ok(Box::new(Client::new(connection, until, opened)))
    }

    /// One that lies idle, for another thread. What does not serve its calls is closed, so that it may open one.
    fn give(&self, dial: &Dial) -> Option<Box<Client>> {
        if dial.serves(&self.dial) {
            return self.pop();
        }
        self.let_go();
        None
    }

    /// Those that lie idle are closed, and those over HTTP/2 take no more calls.
    fn let_go(&self) {
        let idle = std::mem::take(&mut self.kept().clients);
        drop(idle);
        for (client, _) in std::mem::take(&mut *self.shared_mut()) {
            client.retire();
        }
    }

    /// A connection over HTTP/2 that takes a call besides those that it has.
    pub(crate) async fn shared(&self) -> Result<http2::Client, Error> {
        if let Some(client) = self.least().filter(|client| client.calls() < self.streams()) {
            return Ok(client);
        }
        // Those who wait for one that is being made wait no longer than it may take.
        let (endpoint, limit) = (self.endpoint, self.dial.connect_timeout);
        let shared = tokio::time::timeout(limit.as_std(), Box::pin(self.share())).await;
        shared.map_err(|_| Error::ConnectTimeout { endpoint, limit })?
    }

    async fn share(&self) -> Result<http2::Client, Error> {
        let _opening = match (self.opening.try_lock(), self.least()) {
            (Ok(opening), _) => opening,
            // What is full takes one more call rather than have it wait for a connection that others wait for as well.
            (Err(_), Some(full)) => return Ok(full),
            (Err(_), None) => self.opening.lock().await,
        };
        if let Some(client) = self.least().filter(|client| client.calls() < self.streams()) {
            return Ok(client);
        }
        let opened = match self.may_open() {
            Some(opened) => opened,
            None => match self.others_or_own() {
                Some(client) => return Ok(client),
                // As with those that carry one call at a time.
                None => self.may_open().unwrap_or_else(|| Opened::one_more(&self.load)),
            },
        };
        let opened = async {
            let (connection, until, opened) = self.connect(opened).await?;
            http2::Client::new(connection, self.endpoint, until, opened).await
        };
        match (opened.await, self.least()) {
            (Ok(client), _) => {
                self.shared_mut().push((client.clone(), None));
                Ok(client)
            }
            (Err(_), Some(full)) => Ok(full),
            (Err(error), None) => Err(error),
        }
    }

    /// A connection over HTTP/2 of another thread that takes one more call, or that of this one which has the fewest.
    fn others_or_own(&self) -> Option<http2::Client> {
        let others = self.load.spot.ask_others(self, |other| {
            if !self.dial.serves(&other.dial) {
                other.let_go();
                return None;
            }
            other.least().filter(|client| client.calls() < other.streams())
        });
        others.or_else(|| self.least())
    }

    /// That of the connections over HTTP/2 which has the fewest calls, for one more. Those that take none any more are let go.
    fn least(&self) -> Option<http2::Client> {
        let mut shared = self.shared_mut();
        shared.retain(|(client, _)| client.is_open() || client.retire());
        let (client, idle_since) = shared.iter_mut().min_by_key(|(client, _)| client.calls())?;
        *idle_since = None;
        Some(client.clone())
    }

    const fn streams(&self) -> u32 {
        self.dial.connections.streams.get()
    }

    /// One more connection, if there may be one.
    fn may_open(&self) -> Option<Opened> {
        Opened::new(&self.load, self.dial.connections.max.map(NonZeroU32::get))
    }

    async fn connect(&self, opened: Opened) -> Result<Fresh, Error> {
        let connection = self.dial.connect(self.endpoint).await?;
        let share = 0.9 + 0.1 * self.env.unit();
        let age = self.dial.connections.age_max.as_std().mul_f64(share);
        Ok((connection, self.env.now().saturating_add(age), opened))
    }

    /// Whether it counts its connections there.
    pub(crate) fn counts_at(&self, load: &Arc<Load>) -> bool {
        Arc::ptr_eq(&self.load, load)
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.dial.protocol
    }

    pub(crate) fn now(&self) -> Instant {
        self.env.now()
    }

    pub(crate) const fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Keeps a connection for the next call, if it is not too old and not one too many.
    pub(crate) fn keep(&self, client: Box<Client>) {
        let mut kept = self.kept();
        if kept.clients.len() < self.dial.idle.max as usize && client.until() > kept.now {
            let since = kept.now;
            kept.clients.push((client, since));
        }
    }

    /// Looks at the clock, and closes what was kept for too long.
    pub(crate) fn sweep(&self) {
        let now = self.env.now();
        let mut kept = self.kept();
        kept.now = now;
        let old: Vec<_> =
            kept.clients.extract_if(.., |(client, since)| self.is_old(client, *since, now)).collect();
        drop(kept);
        drop(old);
        // Those over HTTP/2 end with the calls that they have.
        self.shared_mut().retain_mut(|(client, idle_since)| {
            let is_idle = client.calls() == 0
                && now.saturating_since(*idle_since.get_or_insert(now)) >= self.dial.idle.timeout;
            (client.until() > now && !is_idle) || client.retire()
        });
    }

    fn is_old(&self, client: &Client, since: Instant, now: Instant) -> bool {
        now.saturating_since(since) >= self.dial.idle.timeout || client.until() <= now
    }

    fn pop(&self) -> Option<Box<Client>> {
        let mut kept = self.kept();
        loop {
            let (client, since) = kept.clients.pop()?;
            if !self.is_old(&client, since, kept.now) {
                return Some(client);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Pushing and popping leave a valid list behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared_mut(&self) -> MutexGuard<'_, Vec<Shared>> {
        // As above.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Connections to one endpoint that one thread keeps between calls.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use mainstay_base::time::Instant;
use mainstay_resilience::Env;
use tokio::net::TcpStream;

use crate::config::{Idle, Protocol};
use crate::error::Error;
use crate::http1::Client;
use crate::http2;
use crate::service::Dial;

/// Connections to one endpoint that one thread keeps between calls.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: SocketAddr,
    dial: Dial,
    idle: Idle,
    env: Env,
    /// The last used is used next, so that those that are not needed grow old.
    kept: Mutex<Vec<Kept>>,
    /// The one connection over HTTP/2.
    shared: tokio::sync::Mutex<Option<http2::Client>>,
}

#[derive(Debug)]
struct Kept {
    client: Box<Client>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(endpoint: SocketAddr, dial: Dial, idle: Idle, env: Env) -> Self {
        let shared = tokio::sync::Mutex::new(None);
        Self { endpoint, dial, idle, env, kept: Mutex::default(), shared }
    }

    /// A connection that takes a call: one that is kept, or a new one.
    pub(crate) async fn client(&self) -> Result<Box<Client>, Error> {
        while let Some(client) = self.pop() {
            let is_open = poll_fn(|context| Poll::Ready(client.is_open(context))).await;
            if is_open {
                return Ok(client);
            }
        }
        Ok(Box::new(Client::new(self.connect().await?)))
    }

    /// The connection over HTTP/2 that all calls of this thread share.
    pub(crate) async fn shared(&self) -> Result<http2::Client, Error> {
        let mut shared = self.shared.lock().await;
        if let Some(client) = shared.as_ref().filter(|client| client.is_open()) {
            return Ok(client.clone());
        }
        let client = http2::Client::new(self.connect().await?, self.endpoint).await?;
        Ok(shared.insert(client).clone())
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.dial.protocol
    }

    pub(crate) const fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        let (endpoint, limit) = (self.endpoint, self.dial.connect_timeout);
        let connected = tokio::time::timeout(limit.as_std(), TcpStream::connect(endpoint)).await;
        let stream = connected
            .map_err(|_| Error::ConnectTimeout { endpoint, limit })?
            .map_err(|source| Error::Connect { endpoint, source })?;
        // An error leaves Nagle's delay on, which is slower and not wrong.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Keeps a connection for the next call.
    pub(crate) fn keep(&self, client: Box<Client>) {
        let mut kept = self.kept();
        if kept.len() < self.idle.max as usize {
            kept.push(Kept { client, since: self.env.now() });
        }
    }

    /// Closes what was kept for too long.
    pub(crate) fn sweep(&self) {
        let now = self.env.now();
        let is_old = |kept: &Kept| now.saturating_since(kept.since) >= self.idle.timeout;
        let mut kept = self.kept();
        // The oldest come first.
        let old = kept.partition_point(is_old);
        let closed: Vec<Kept> = kept.drain(..old).collect();
        drop(kept);
        drop(closed);
    }

    fn pop(&self) -> Option<Box<Client>> {
        let now = self.env.now();
        let Kept { client, since } = self.kept().pop()?;
        (now.saturating_since(since) < self.idle.timeout).then_some(client)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Pushing and popping leave a valid list behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

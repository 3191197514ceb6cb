//! Connections to one endpoint that one thread keeps between calls.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use mainstay_base::time::Instant;
use mainstay_resilience::Env;
use rustix::net::sockopt::set_tcp_user_timeout;
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
    kept: Mutex<Kept>,
    /// The one connection over HTTP/2.
    shared: tokio::sync::Mutex<Option<http2::Client>>,
}

#[derive(Debug)]
struct Kept {
    /// With the times since when they are.
    clients: Vec<(Box<Client>, Instant)>,
    /// As of the last sweep: a second more or less is nothing to a connection, and a clock is much to a call.
    now: Instant,
}

/// How long what was sent may go without being received until the connection is given up. The system has a quarter of an hour by default, and calls over HTTP/2 share one.
const UNRECEIVED_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// An option that cannot be set leaves a connection that is slower, or is noticed later to be gone, and not wrong.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_user_timeout(stream, u32::try_from(UNRECEIVED_MAX.as_millis()).unwrap_or(u32::MAX));
}

/// The connection that is shared, if it takes calls.
fn open(shared: &Option<http2::Client>) -> Option<http2::Client> {
    shared.as_ref().filter(|client| client.is_open()).cloned()
}

impl Pool {
    pub(crate) fn new(endpoint: SocketAddr, dial: Dial, idle: Idle, env: Env) -> Self {
        let shared = tokio::sync::Mutex::new(None);
        let kept = Mutex::new(Kept { clients: Vec::new(), now: env.now() });
        Self { endpoint, dial, idle, env, kept, shared }
    }

    /// A connection that takes a call: one that is kept, or a new one.
    pub(crate) async fn client(&self) -> Result<Box<Client>, Error> {
        while let Some(client) = self.pop() {
            let is_open = poll_fn(|context| Poll::Ready(client.is_open(context))).await;
            if is_open {
                return Ok(client);
            }
        }
        // In a box: it is seldom needed, and large.
        Ok(Box::new(Client::new(Box::pin(self.connect()).await?)))
    }

    /// The connection over HTTP/2 that all calls of this thread share.
    pub(crate) async fn shared(&self) -> Result<http2::Client, Error> {
        if let Ok(shared) = self.shared.try_lock()
            && let Some(client) = open(&shared)
        {
            return Ok(client);
        }
        // Those who wait for one that is being made wait no longer than it may take.
        let (endpoint, limit) = (self.endpoint, self.dial.connect_timeout);
        let shared = tokio::time::timeout(limit.as_std(), Box::pin(self.share())).await;
        shared.map_err(|_| Error::ConnectTimeout { endpoint, limit })?
    }

    async fn share(&self) -> Result<http2::Client, Error> {
        let mut shared = self.shared.lock().await;
        if let Some(client) = open(&shared) {
            return Ok(client);
        }
        let client = http2::Client::new(self.connect().await?, self.endpoint).await?;
        Ok(shared.insert(client).clone())
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

    async fn connect(&self) -> Result<TcpStream, Error> {
        let (endpoint, limit) = (self.endpoint, self.dial.connect_timeout);
        let connected = tokio::time::timeout(limit.as_std(), TcpStream::connect(endpoint)).await;
        let stream = connected
            .map_err(|_| Error::ConnectTimeout { endpoint, limit })?
            .map_err(|source| Error::Connect { endpoint, source })?;
        tune(&stream);
        Ok(stream)
    }

    /// Keeps a connection for the next call.
    pub(crate) fn keep(&self, client: Box<Client>) {
        let mut kept = self.kept();
        if kept.clients.len() < self.idle.max as usize {
            let since = kept.now;
            kept.clients.push((client, since));
        }
    }

    /// Looks at the clock, and closes what was kept for too long.
    pub(crate) fn sweep(&self) {
        let now = self.env.now();
        let mut kept = self.kept();
        kept.now = now;
        // The oldest come first.
        let old = kept.clients.partition_point(|(_, since)| self.is_old(*since, now));
        let closed: Vec<_> = kept.clients.drain(..old).collect();
        drop(kept);
        drop(closed);
    }

    fn is_old(&self, since: Instant, now: Instant) -> bool {
        now.saturating_since(since) >= self.idle.timeout
    }

    fn pop(&self) -> Option<Box<Client>> {
        let mut kept = self.kept();
        let (client, since) = kept.clients.pop()?;
        (!self.is_old(since, kept.now)).then_some(client)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Pushing and popping leave a valid list behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_whose_other_side_is_gone_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it listens");
        let stream = TcpStream::connect(address).await.expect("it listens");
        tune(&stream);
        let millis = rustix::net::sockopt::tcp_user_timeout(&stream).expect("it is set");
        assert_eq!(std::time::Duration::from_millis(millis.into()), UNRECEIVED_MAX);
    }
}

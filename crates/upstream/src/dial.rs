//! How endpoints of a service are connected to.

use std::net::SocketAddr;

use mainstay_base::units::Duration;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;

use crate::config::{Connections, Idle, Protocol};
use crate::connection::Connection;
use crate::error::Error;
use crate::tls::{self, Over};

/// How an endpoint is connected to, and what is kept of its connections. Connections of one dial serve each call to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Dial {
    pub(crate) protocol: Protocol,
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<tls::Client>,
    pub(crate) connections: Connections,
    pub(crate) idle: Idle,
}

/// How long what was sent may go without being received until the connection is given up. The system has a quarter of an hour by default, and calls over HTTP/2 share one.
const UNRECEIVED_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// An option that cannot be set leaves a connection that is slower, or is noticed later to be gone, and not wrong.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_user_timeout(stream, u32::try_from(UNRECEIVED_MAX.as_millis()).unwrap_or(u32::MAX));
}

impl Dial {
    /// A new connection, with its handshake where there is TLS. Errors: there is none, or none in time.
    pub(crate) async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, Error> {
        self.connected(endpoint, Over::Http(self.protocol)).await
    }

    /// The same, over which anything is spoken.
    pub(crate) async fn connect_for_bytes(&self, endpoint: SocketAddr) -> Result<Connection, Error> {
        self.connected(endpoint, Over::Bytes).await
    }

    async fn connected(&self, endpoint: SocketAddr, over: Over) -> Result<Connection, Error> {
        let limit = self.connect_timeout;
        let connecting = async {
            let stream = TcpStream::connect(endpoint).await;
            let stream = stream.map_err(|source| Error::Connect { endpoint, source })?;
            tune(&stream);
            match &self.tls {
                None => Ok(Connection::Plain(stream)),
                // In a box: few have it, and it is large.
                Some(tls) => Box::pin(tls.connect(stream, endpoint, over))
                    .await
                    .map_err(|source| Error::Handshake { endpoint, source }),
            }
        };
        let connected = tokio::time::timeout(limit.as_std(), connecting).await;
        connected.map_err(|_| Error::ConnectTimeout { endpoint, limit })?
    }

    /// Whether a connection by another one serves calls by this one.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.tls == other.tls
    }

    /// How many calls there may be to one endpoint at a time, if that is bounded.
    pub(crate) fn calls_max(&self) -> Option<u32> {
        let Connections { max, streams, .. } = self.connections;
        let max = max?.get();
        Some(match self.protocol {
            Protocol::Http1 => max,
            Protocol::Http2 => max.saturating_mul(streams.get()),
        })
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

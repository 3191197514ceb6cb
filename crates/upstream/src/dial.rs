//! How endpoints of a service are connected to.

use std::net::SocketAddr;

use mainstay_base::units::Duration;
use rustix::net::sockopt;
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

/// How long what was sent may go without being received until the connection is given up, over HTTP. The system has a quarter of an hour by default, and calls over HTTP/2 share one. It is counted
/// while the other machine has no room as well: a service that takes nothing of an upload for so long counts as gone.
const UNRECEIVED_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// Where anything is spoken a side may take nothing for as long as it likes. After so long without a word the other machine is asked whether it is there, and again after each interval, until it has
/// given no answer so often.
const QUIET_MAX: std::time::Duration = std::time::Duration::from_secs(15);
const ASK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
const ASKS_MAX: u32 = 3;

/// An option that cannot be set leaves a connection that is slower, or is noticed later to be gone, and not wrong.
pub(crate) fn tune(stream: &TcpStream, over: Over) {
    let _ = stream.set_nodelay(true);
    let _ = match over {
        Over::Http(_) => {
            let millis = u32::try_from(UNRECEIVED_MAX.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(stream, millis)
        }
        Over::Bytes => asked_whether_it_is_there(stream),
    };
}

fn asked_whether_it_is_there(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(stream, QUIET_MAX)?;
    sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASKS_MAX)?;
    sockopt::set_socket_keepalive(stream, true)
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
            tune(&stream, over);
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

    async fn tuned(over: Over) -> TcpStream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it listens");
        let stream = TcpStream::connect(address).await.expect("it listens");
        tune(&stream, over);
        stream
    }

    #[tokio::test]
    async fn a_connection_whose_other_side_is_gone_is_given_up() {
        let stream = tuned(Over::Http(Protocol::Http1)).await;
        let millis = sockopt::tcp_user_timeout(&stream).expect("it is set");
        assert_eq!(std::time::Duration::from_millis(millis.into()), UNRECEIVED_MAX);
    }

    #[tokio::test]
    async fn where_anything_is_spoken_who_is_gone_is_found_and_who_takes_nothing_is_left_alone() {
        let stream = tuned(Over::Bytes).await;
        // It would count while the other side has no room.
        assert_eq!(sockopt::tcp_user_timeout(&stream), Ok(0));
        assert_eq!(sockopt::socket_keepalive(&stream), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&stream), Ok(QUIET_MAX));
        assert_eq!(sockopt::tcp_keepintvl(&stream), Ok(ASK_EVERY));
        assert_eq!(sockopt::tcp_keepcnt(&stream), Ok(ASKS_MAX));
    }
}

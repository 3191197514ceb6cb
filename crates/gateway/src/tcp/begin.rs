//! How a connection begins: for whom it is, TLS that is ended here, or the name that is asked for by TLS that is passed on.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::{Local, Passage, hello};
use crate::census::Counted;
use crate::config::Settings;
use crate::connection::begin::{self, Introduced, introduced, secured};
use crate::connection::farewell;
use crate::listener::Greeting;
use crate::stream::{Stream, server_name};

/// A connection that has begun.
pub(super) struct Begun {
    pub(super) stream: Stream,
    /// Where its client is, by the proxy before the gateway if that says so.
    pub(super) from: SocketAddr,
    /// Where that has connected to.
    pub(super) to: SocketAddr,
    /// The name that it asks for by TLS, as far as that was looked at.
    pub(super) name: Option<String>,
    /// What it has said already.
    pub(super) read: Bytes,
    pub(super) counted: Counted,
}

/// Why a connection is not passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("as many connections are open as may be")]
    Full,
    #[error(transparent)]
    Begin(begin::Failed),
    #[error(transparent)]
    Hello(hello::Error),
    #[error("no service is for {}", .name.as_deref().unwrap_or("clients that ask for no name"))]
    Name { name: Option<String> },
    #[error(transparent)]
    Service(mainstay_upstream::Error),
    #[error("{endpoint} took the connection and nothing of it: {source}")]
    Lost { endpoint: SocketAddr, source: std::io::Error },
    #[error("nothing is served any more")]
    Stopped,
}

impl Failed {
    /// In metrics.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::Begin(failed) => failed.reason(),
            Self::Hello(_) => "client_hello",
            Self::Name { .. } => "server_name",
            Self::Service(_) | Self::Lost { .. } => "unreachable",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it is not the client that has to mend it.
    pub(super) const fn is_of_service(&self) -> bool {
        matches!(self, Self::Service(_) | Self::Lost { .. })
    }
}

/// Has a connection begin as its listener says.
pub(super) async fn begin(
    (stream, peer): (TcpStream, SocketAddr),
    greeting: &Greeting,
    passage: &Passage,
    (local, settings, mut counted): (&Local, &Settings, Counted),
) -> Result<Begun, Failed> {
    let begun = async {
        let Introduced { mut stream, client: from, to } =
            introduced(stream, peer, greeting).await.map_err(Failed::Begin)?;
        if !counted.is_from(from.ip(), passage.config().connections) {
            return Err(Failed::Begin(begin::Failed::Source));
        }
        let to = to.or_else(|| stream.local_addr().ok()).unwrap_or(peer);
        let (stream, name, read) = match &greeting.tls {
            Some(tls) => {
                let wall = local.env().wall();
                let (stream, ..) = secured(stream, tls, wall).await.map_err(Failed::Begin)?;
                let name = server_name(&stream).map(str::to_ascii_lowercase);
                (stream, name, Bytes::new())
            }
            None if passage.tells_names_apart() => {
                let hello = match hello::read(&mut stream).await {
                    Ok(hello) => hello,
                    Err(error) => {
                        farewell(Stream::Plain(stream), error.alert()).await;
                        return Err(Failed::Hello(error));
                    }
                };
                (Stream::Plain(stream), hello.name, hello.read)
            }
            None => (Stream::Plain(stream), None, Bytes::new()),
        };
        Ok(Begun { stream, from, to, name, read, counted })
    };
    let limit = settings.patience;
    let begun = tokio::time::timeout(limit.as_std(), begun).await;
    begun.map_err(|_| Failed::Begin(begin::Failed::Late(limit)))?
}

//! How a connection begins: for whom it is, and TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::census::Counted;
use crate::client::Client;
use crate::config::Settings;
use crate::listener::{Greeting, Listener};
use crate::pipeline::Pipeline;
use crate::proxy_protocol::{self, Source};
use crate::stream::Stream;
use crate::tls::{PROTOCOLS, Peer, Tls, Unfit};

/// A connection that has begun.
pub(super) struct Begun {
    pub(super) stream: Stream,
    pub(super) client: Client,
    /// As the two have agreed on.
    pub(super) is_http2: bool,
    pub(super) counted: Counted,
}

/// Why a connection is closed before a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("it did not begin within {0}")]
    Late(Duration),
    #[error("its source has as many connections as it may")]
    Source,
    #[error("it is not from a proxy that the listener is for")]
    Stranger,
    #[error(transparent)]
    Proxy(proxy_protocol::Error),
    #[error("no handshake: {0}")]
    Tls(std::io::Error),
    #[error(transparent)]
    Unfit(Unfit),
}

impl Failed {
    /// In metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Late(_) => "begin_timeout",
            Self::Source => "source_connections",
            Self::Stranger | Self::Proxy(_) => "proxy_protocol",
            Self::Tls(_) => "tls_handshake",
            Self::Unfit(_) => "client_certificate",
        }
    }
}

/// Has a connection begin as its listener says.
pub(super) async fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    listener: &Listener,
    (pipeline, settings, mut counted): (&Pipeline, &Settings, Counted),
) -> Result<Begun, Failed> {
    let greeting = listener.greeting();
    let begun = async {
        let Introduced { stream, client: address, .. } = introduced(stream, peer, &greeting).await?;
        if !counted.is_from(address.ip(), settings.connections) {
            return Err(Failed::Source);
        }
        let listener = listener.clone();
        match &greeting.tls {
            None => {
                let client = Client::new(address, false, None, listener);
                Ok(Begun { stream: Stream::Plain(stream), client, is_http2: false, counted })
            }
            Some(tls) => {
                let (stream, peer, is_http2) = secured(stream, tls, pipeline.wall()).await?;
                Ok(Begun {
                    stream,
                    client: Client::new(address, true, peer.as_ref(), listener),
                    is_http2,
                    counted,
                })
            }
        }
    };
    let limit = settings.patience;
    tokio::time::timeout(limit.as_std(), begun).await.map_err(|_| Failed::Late(limit))?
}

/// A connection of which it is known whom it is for.
pub(crate) struct Introduced {
    pub(crate) stream: TcpStream,
    /// Where the client is.
    pub(crate) client: SocketAddr,
    /// Where it has connected to, by the proxy before the gateway.
    pub(crate) to: Option<SocketAddr>,
}

/// Whom the connection is for, by the proxy before the gateway where there is one.
pub(crate) async fn introduced(
    mut stream: TcpStream,
    peer: SocketAddr,
    greeting: &Greeting,
) -> Result<Introduced, Failed> {
    let Some(config) = &greeting.proxy_protocol else {
        return Ok(Introduced { stream, client: peer, to: None });
    };
    if !config.from.iter().any(|network| network.contains(peer.ip())) {
        return Err(Failed::Stranger);
    }
    let source = proxy_protocol::read(&mut stream).await.map_err(Failed::Proxy)?;
    Ok(match source {
        Source::Proxy => Introduced { stream, client: peer, to: None },
        Source::Client { client, to } => Introduced { stream, client, to: Some(to) },
    })
}

/// Ends TLS. Returns who the client is by its certificate, and whether the two have agreed on HTTP/2.
pub(crate) async fn secured(
    stream: TcpStream,
    tls: &Tls,
    wall: Timestamp,
) -> Result<(Stream, Option<Peer>, bool), Failed> {
    let acceptor = TlsAcceptor::from(Arc::clone(tls.server()));
    let stream = acceptor.accept(stream).await.map_err(Failed::Tls)?;
    let session = stream.get_ref().1;
    let peer = Peer::of(session, wall).map_err(Failed::Unfit)?;
    let is_http2 = session.alpn_protocol() == Some(PROTOCOLS[0]);
    Ok((Stream::Tls(Box::new(stream)), peer, is_http2))
}

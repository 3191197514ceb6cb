//! What a call to a service ends with instead of an answer.

use std::io;
use std::net::SocketAddr;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::id::Name;
use mainstay_base::units::Duration;

/// Why there is no answer of a service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service has no endpoints at the moment.
    #[error("the service `{service}` has no endpoints")]
    NoEndpoint {
        /// Its name.
        service: Name,
    },
    /// No connection to the endpoint: nothing was sent.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// Where.
        endpoint: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// No connection to the endpoint in time: nothing was sent.
    #[error("{endpoint} took no connection within {limit}")]
    ConnectTimeout {
        /// Where.
        endpoint: SocketAddr,
        /// How long it might have taken.
        limit: Duration,
    },
    /// No TLS with the endpoint: it is another than it should be, or speaks none. Nothing was sent. One that does not take the certificate that it is shown says so later (TLS 1.3): then no answer is usable.
    #[error("no TLS with {endpoint}: {source}")]
    Handshake {
        /// Where.
        endpoint: SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The connection ended before anything of the request was sent.
    #[error("{endpoint} closed the connection before anything was sent")]
    NotSent {
        /// Where.
        endpoint: SocketAddr,
    },
    /// The connection ended, or what came was no HTTP: the request may have been done.
    #[error("{endpoint} gave no usable answer: {source}")]
    Failed {
        /// Where.
        endpoint: SocketAddr,
        /// What is wrong with it.
        source: Broken,
    },
    /// What the caller sent as a body ended early, or was refused.
    #[error("the request's body did not arrive")]
    Body,
    /// The body was sent once and is not kept: the request cannot be sent again.
    #[error("the request's body was sent already and is not kept")]
    BodySpent,
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection.
    #[error(transparent)]
    Io(io::Error),
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did")]
    Ended,
    /// Its head cannot be read.
    #[error("its head is not HTTP/1.1: {0}")]
    Head(httparse::Error),
    /// It can be read in more than one way, or is more than is taken.
    #[error("{0}")]
    Answer(&'static str),
    /// What HTTP/2 says.
    #[error(transparent)]
    Http2(hyper::Error),
}

impl Error {
    /// Why there is no connection, where that is known to be what is told.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Connect { source, .. } => source.to_string(),
            Self::Handshake { source, .. } => format!("no TLS: {source}"),
            Self::ConnectTimeout { limit, .. } => format!("it took no connection within {limit}"),
            other => other.to_string(),
        }
    }

    /// What those may know who have asked: nothing of where services are, and of what runs there.
    pub const fn told(&self) -> &'static str {
        match self {
            Self::NoEndpoint { .. } => "the service has no endpoints at the moment: nothing was sent to it",
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Handshake { .. }
            | Self::NotSent { .. } => "the service cannot be reached: nothing was sent to it",
            Self::Failed { .. } => "the service gave no usable answer: it may have done what was asked",
            Self::Body => "the request's body did not arrive",
            Self::BodySpent => {
                "the service did not take the request, and its body is not kept to be sent again"
            }
        }
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoEndpoint { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Handshake { .. }
            | Self::NotSent { .. } => Code::Unavailable,
            Self::Failed { .. } | Self::BodySpent => Code::BadGateway,
            Self::Body => Code::Malformed,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoEndpoint { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Handshake { .. }
            | Self::NotSent { .. } => Retry::Safe,
            Self::Failed { .. } => Retry::WithIdempotencyKey,
            Self::Body | Self::BodySpent => Retry::Never,
        }
    }
}

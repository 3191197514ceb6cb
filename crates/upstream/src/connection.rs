//! A connection to an endpoint, which one thread has at a time and another may take over while nothing is on its way.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stream::Stream;

/// A connection to an endpoint.
pub type Connection = Stream<TlsStream<Socket>>;

/// The socket under TLS.
#[derive(Debug)]
pub struct Socket(Option<TcpStream>);

const HELD: &str = "it is none only after it could not be taken over, and is dropped then";

impl Socket {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.0.as_mut().expect(HELD))
    }

    /// Has the runtime of this thread wait for it from now on.
    fn take_over(&mut self) -> io::Result<()> {
        self.0 = Some(taken_over(self.0.take().expect(HELD))?);
        Ok(())
    }
}

fn taken_over(stream: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

impl Stream<TlsStream<Socket>> {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0.0.as_ref().expect(HELD),
        }
    }

    /// The same, for which the runtime of this thread waits from now on. Errors: the system's, and the connection is closed.
    pub(crate) fn taken_over(self) -> io::Result<Self> {
        match self {
            Self::Plain(stream) => taken_over(stream).map(Self::Plain),
            Self::Tls(mut stream) => {
                stream.get_mut().0.take_over()?;
                Ok(Self::Tls(stream))
            }
        }
    }

    /// Whether nothing has come that nobody asked for, nor its end.
    pub(crate) fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        match self {
            // The system is asked only if something has come.
            Self::Plain(stream) => {
                stream.poll_read_ready(context).is_pending()
                    || matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            }
            // What came may be a ticket, and what is to be read may have left the socket already.
            Self::Tls(stream) => {
                let mut byte = [0];
                Pin::new(&mut **stream).poll_read(context, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream().poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(context)
    }
}

//! Protocols that are written and read as bytes, one request after the other on each connection.
//!
//! As cheap as a client gets: two buffers and a socket, no task of its own. Where the load has the server's processors,
//! what a richer client costs is taken from the server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, Client, Failure, Target};

/// How much is read at once, at least.
pub(super) const READ_BYTES: usize = 4096;

/// What is said over a connection. Pure: bytes in, bytes out.
pub trait Protocol: Send + Sync + 'static {
    /// What one client keeps from request to request.
    type Memory: 'static;

    /// Where the server listens.
    fn address(&self) -> SocketAddr;

    /// That of a new client.
    fn memory(&self) -> Self::Memory;

    /// Appends what opens a connection for the clients whose memories these are; returns how many answers to await
    /// before the first request.
    fn open(&self, _memories: &[Self::Memory], _out: &mut Vec<u8>) -> usize {
        0
    }

    /// Appends the next request.
    fn request(&self, memory: &mut Self::Memory, out: &mut Vec<u8>);

    /// Looks at what has come and was not taken yet.
    fn read(&self, memory: &mut Self::Memory, input: &[u8]) -> Read;
}

/// What is at the front of the bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The beginning of something.
    Part,
    /// So many bytes that are no answer.
    Other(usize),
    /// So many bytes that ask for these.
    Asked(usize, &'static [u8]),
    /// So many bytes that are a whole answer.
    Answer(usize, Answer),
    /// Nothing that the protocol has.
    Malformed,
}

/// What carries a [`Protocol`], with a connection for each client.
pub trait Carrier: Send + Sync + 'static {
    /// What is said.
    type Protocol: Protocol;
    /// How one client opens its connections.
    type Line: Line;

    /// What is said.
    fn protocol(&self) -> &Self::Protocol;

    /// That of a new client.
    fn line(&self) -> Self::Line;

    /// Whether a connection serves more than one request.
    fn is_kept(&self) -> bool {
        true
    }
}

/// How one client opens its connections.
pub trait Line: 'static {
    /// A connection that bytes can be sent on.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Opens one.
    fn dial(&mut self, address: SocketAddr) -> impl Future<Output = Result<Self::Stream, Failure>>;
}

/// A target that speaks a [`Protocol`] over TCP; each client has a connection of its own.
#[derive(Debug)]
pub struct Wire<P>(pub P);

/// A connection without more.
#[derive(Debug)]
pub struct Bare;

impl Line for Bare {
    type Stream = TcpStream;

    async fn dial(&mut self, address: SocketAddr) -> Result<TcpStream, Failure> {
        connect(address).await
    }
}

impl<P: Protocol> Carrier for Wire<P> {
    type Protocol = P;
    type Line = Bare;

    fn protocol(&self) -> &P {
        &self.0
    }

    fn line(&self) -> Bare {
        Bare
    }
}

impl<P: Protocol> Target for Wire<P> {
    type Client = WireClient<Self>;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<WireClient<Self>> {
        clients(self, count)
    }
}

/// Clients with connections of their own.
pub(super) fn clients<C: Carrier>(target: &Arc<C>, count: usize) -> Vec<WireClient<C>> {
    let client = || WireClient {
        target: Arc::clone(target),
        memory: target.protocol().memory(),
        line: target.line(),
        open: None,
    };
    (0..count).map(|_| client()).collect()
}

/// One client with a connection of its own.
pub struct WireClient<C: Carrier> {
    target: Arc<C>,
    memory: <C::Protocol as Protocol>::Memory,
    line: C::Line,
    open: Option<Open<<C::Line as Line>::Stream>>,
}

struct Open<S> {
    stream: S,
    output: Vec<u8>,
    input: BytesMut,
}

impl<C: Carrier> Client for WireClient<C> {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.open = None;
        let protocol = self.target.protocol();
        let stream = self.line.dial(protocol.address()).await?;
        let mut open = Open { stream, output: Vec::new(), input: BytesMut::with_capacity(READ_BYTES) };
        let answers = protocol.open(std::slice::from_ref(&self.memory), &mut open.output);
        open.send().await.map_err(|_| Failure::NotConnected)?;
        for _ in 0..answers {
            open.answer(protocol, &mut self.memory).await.map_err(|_| Failure::NotConnected)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        // Taken out, so that a call that fails or is dropped takes its connection along.
        let Some(mut open) = self.open.take() else { return Err(Failure::Unsent) };
        let protocol = self.target.protocol();
        protocol.request(&mut self.memory, &mut open.output);
        open.send().await?;
        let answer = open.answer(protocol, &mut self.memory).await?;
        self.open = Some(open).filter(|_| self.target.is_kept());
        Ok(answer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Open<S> {
    async fn send(&mut self) -> Result<(), Failure> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.stream.write_all(&self.output).await?;
            // A stream may keep some of it until it is told not to.
            self.stream.flush().await
        };
        sent.await.map_err(|_| Failure::Closed)?;
        self.output.clear();
        Ok(())
    }

    async fn answer<P: Protocol>(&mut self, protocol: &P, memory: &mut P::Memory) -> Result<Answer, Failure> {
        loop {
            match protocol.read(memory, &self.input) {
                Read::Part => receive(&mut self.stream, &mut self.input).await?,
                Read::Other(bytes) => self.input.advance(bytes),
                Read::Asked(bytes, answer) => {
                    self.input.advance(bytes);
                    self.output.extend_from_slice(answer);
                    self.send().await?;
                }
                Read::Answer(bytes, answer) => {
                    self.input.advance(bytes);
                    return Ok(answer);
                }
                Read::Malformed => return Err(Failure::Malformed),
            }
        }
    }
}

pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::NotConnected,
    })?;
    stream.set_nodelay(true).map_err(|_| Failure::NotConnected)?;
    Ok(stream)
}

/// Reads more. Cancel-safe. Errors: the connection is at its end; it breaks off what `input` begins, if anything.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
) -> Result<(), Failure> {
    let broken = if input.is_empty() { Failure::Closed } else { Failure::Truncated };
    input.reserve(READ_BYTES);
    match stream.read_buf(input).await {
        Ok(0) | Err(_) => Err(broken),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;

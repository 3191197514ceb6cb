//! The listener: accepts connections within a limit, serves them, and drains without dropping a request.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use mainstay_gateway::accept::accept;

use super::Context;
use super::flights::Flights;
use super::measure::Counts;
use super::pipeline::Pipeline;
use super::stalling::Stalling;
use crate::life::rare::Rare;
use crate::life::{Scope, Unfinished};

/// Time to get rid of a connection over the limit.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for a connection without a request to end by itself when asked to.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long a caller may take nothing of what it is sent.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of a request that is refused with its connection.
const REFUSAL_READ_BYTES_MAX: u64 = 64 << 10;
/// What an HTTP/1 connection may hold of a request that is not read yet, and so the longest head.
const BUFFER_BYTES: usize = 64 << 10;
/// The same of HTTP/2, of all of its streams: more is not sent before it is read.
const WINDOW_BYTES: u32 = 256 << 10;
/// HTTP/2 streams of one connection that may be open at once.
const STREAMS_MAX: u32 = 256;

/// A listener whose address is taken and which is not served yet: callers wait in the kernel's queue.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address that was taken, also where port 0 left the choice to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve.
    pub fn serve(self, context: Context, scope: &Scope) -> Server {
        let counts = Counts::new(&context.metrics);
        let pipeline = Arc::new(Pipeline::new(context.clone(), counts.clone()));
        let acceptor = Acceptor {
            open: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            context,
            pipeline: Arc::clone(&pipeline),
            counts,
            connections: scope.sibling("api"),
        };
        let connections = acceptor.connections.clone();
        let accepting = scope.sibling("api");
        let closing = accepting.closing();
        let accepted = async move {
            accept(self.listener, closing, |stream, peer| acceptor.admit(stream, peer)).await;
        };
        accepting.spawn("api acceptor", accepted);
        Server { accepting, connections, pipeline }
    }
}

/// A listener that is being served.
pub struct Server {
    accepting: Scope,
    connections: Scope,
    pipeline: Arc<Pipeline>,
}

impl Server {
    /// Stops in two steps. For `linger` connections are still served, new ones too, each answer being the last of
    /// its connection: so a request already on its way is not lost, and probes see that readiness is withdrawn. Then
    /// the listener closes, and requests in flight may finish until `deadline`.
    pub async fn drain(self, deadline: Instant, linger: Duration) -> Result<(), Unfinished> {
        self.pipeline.drain();
        tokio::time::sleep_until((Instant::now() + linger).min(deadline)).await;
        let accepting = self.accepting.close(deadline).await;
        let connections = self.connections.close(deadline).await;
        accepting.and(connections)
    }
}

struct Acceptor {
    /// Counts connections; the limit itself may change while they are open.
    open: Arc<Semaphore>,
    context: Context,
    pipeline: Arc<Pipeline>,
    counts: Counts,
    connections: Scope,
}

impl Acceptor {
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let open = Semaphore::MAX_PERMITS - self.open.available_permits();
        let limit = self.context.settings.load().connections_max as usize;
        let permit = Arc::clone(&self.open).try_acquire_owned();
        let (Ok(permit), true) = (permit, open < limit) else {
            self.counts.refused.inc();
            tracing::debug!(target: "mainstay::api", %peer, limit, "connection refused, too many are open");
            self.connections.spawn_contained("api refusal", refuse(stream, self.pipeline.refusal(limit)));
            return;
        };
        let connection = self.connection(stream, permit);
        self.connections.spawn_contained("api connection", connection);
    }

    fn connection(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<> {
        let (pipeline, counts) = (Arc::clone(&self.pipeline), self.counts.clone());
        let closing = self.connections.closing();
        let head_timeout = self.context.settings.load().head_timeout.as_std();
        let builder = builder(&self.connections, head_timeout);
        let (flights, stream) = (Flights::default(), Stalling::new(stream, STALL_TIMEOUT));
        async move {
            let _permit = permit;
            counts.connections.inc();
            let _count = Decrement(counts.connections.clone());
            let begun = flights.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (pipeline, flight) = (Arc::clone(&pipeline), begun.begin());
                async move {
                    let response = pipeline.handle(request.map(Body::new)).await;
                    Ok::<_, std::convert::Infallible>(response.map(|body| flight.carry(body)))
                }
            });
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            let mut over = pin!(Rare::new(async {
                tokio::select! {
                    () = flights.idle(head_timeout) => {}
                    () = closing.cancelled() => {}
                }
            }));
            let mut served = tokio::select! {
                biased;
                served = connection.as_mut() => Some(served),
                () = over.as_mut() => None,
            };
            if served.is_none() && flights.none_yet() {
                // Accepted at the last moment: its first request may be on its way, or here and not read yet.
                served = tokio::select! {
                    served = connection.as_mut() => Some(served),
                    () = farewell(&flights) => None,
                };
            }
            if served.is_none() {
                connection.as_mut().graceful_shutdown();
                // What is left after the farewell had nothing in flight: half a head, a peer that does not answer.
                served = tokio::select! {
                    served = connection.as_mut() => Some(served),
                    () = farewell(&flights) => None,
                };
            }
            if let Some(Err(error)) = served {
                counts.broken(&*error);
                tracing::debug!(target: "mainstay::api", %error, "connection ended early");
            }
        }
    }
}

/// Completes when nothing was in flight for a while.
async fn farewell(flights: &Flights) {
    flights.none().await;
    tokio::time::sleep(FAREWELL).await;
}

fn builder(scope: &Scope, head_timeout: Duration) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams(scope.clone()));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    builder
}

/// Runs the streams of HTTP/2 connections as tasks of the connections' scope.
#[derive(Clone)]
struct Streams(Scope);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.spawn_contained("api stream", async move {
            stream.await;
        });
    }
}

struct Decrement(prometheus::IntGauge);

impl Drop for Decrement {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Tells a caller over the limit to come back later. HTTP/1.1 whatever the caller speaks: reading what it wants
/// is work that the limit is there to save.
async fn refuse(mut stream: TcpStream, answer: String) {
    let sent = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closed with unread bytes, the connection would be reset and the answer lost with it.
        tokio::io::copy(&mut stream.take(REFUSAL_READ_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whether it got through or not, the connection is closed.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, sent).await;
}

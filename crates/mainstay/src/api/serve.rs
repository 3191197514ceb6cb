//! The listener: accepts connections within a limit, serves them, and drains without dropping a request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::measure::Counts;
use super::pipeline::Pipeline;
use crate::life::{Scope, Unfinished};

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time to get rid of a connection over the limit.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
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
            listener: self.listener,
            open: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            context,
            pipeline: Arc::clone(&pipeline),
            counts,
            connections: scope.sibling("api"),
        };
        let connections = acceptor.connections.clone();
        let accepting = scope.sibling("api");
        let closing = accepting.closing();
        accepting.spawn("api acceptor", acceptor.run(closing));
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
    /// Closes the listener, lets requests in flight finish until `deadline`, and cuts off the rest. Connections
    /// without a request are closed after `linger`: closed at once, the request that is just arriving on one
    /// would be lost.
    pub async fn drain(self, deadline: Instant, linger: Duration) -> Result<(), Unfinished> {
        let lingering = Instant::now() + linger;
        self.pipeline.drain();
        let accepting = self.accepting.close(deadline).await;
        self.connections.settle(lingering.min(deadline)).await;
        let connections = self.connections.close(deadline).await;
        accepting.and(connections)
    }
}

struct Acceptor {
    listener: TcpListener,
    /// Counts connections; the limit itself may change while they are open.
    open: Arc<Semaphore>,
    context: Context,
    pipeline: Arc<Pipeline>,
    counts: Counts,
    connections: Scope,
}

impl Acceptor {
    async fn run(self, closing: CancellationToken) {
        while let Some(accepted) = closing.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_of_connection(&error) => {
                    tracing::debug!(target: "mainstay::api", %error, "connection lost before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(target: "mainstay::api", %error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Closing the listener resets what waits in its queue, so that is accepted first.
        while let Some(Ok((stream, peer))) = self.waiting().await {
            self.admit(stream, peer);
        }
    }

    /// The next connection in the queue; `None` when it is empty.
    async fn waiting(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        std::future::poll_fn(|context| match self.listener.poll_accept(context) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

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
        // An error leaves Nagle's delay on, which is slower and not wrong.
        let _ = stream.set_nodelay(true);
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
        let builder = self.builder();
        async move {
            let _permit = permit;
            counts.connections.inc();
            let _count = Decrement(counts.connections.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let pipeline = Arc::clone(&pipeline);
                async move { Ok::<_, std::convert::Infallible>(pipeline.handle(request.map(Body::new)).await) }
            });
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(target: "mainstay::api", %error, "connection ended early");
            }
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let head_timeout = self.context.settings.load().head_timeout.as_std();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        builder
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
        stream.shutdown().await
    };
    // Whether it got through or not, the connection is closed.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, sent).await;
}

/// Errors of `accept` that concern the one connection, by `accept(2)`.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

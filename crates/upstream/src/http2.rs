//! Connections over HTTP/2, which all calls of a thread share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mainstay_base::time::Instant;
use mainstay_resilience::{Call, Facts};

use crate::body::RequestBody;
use crate::connection::Connection;
use crate::error::{Broken, Error};
use crate::pool::Pool;
use crate::request::Request;
use crate::spot::Opened;

/// Bytes of one stream that may be on their way before they are read.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all streams of a connection, on which are the answers to many clients: 256 of them that do not read leave others room.
const CONNECTION_WINDOW_BYTES: u32 = 256 * STREAM_WINDOW_BYTES;

/// A connection over HTTP/2. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    sender: http2::SendRequest<RequestBody>,
    scheme: Scheme,
    calls: Arc<AtomicU32>,
    /// It takes no calls from then on.
    until: Instant,
    /// None once it takes no more calls: it does not count any more then.
    opened: Arc<Mutex<Option<Opened>>>,
}

/// A call that a connection carries: counted there until it is dropped.
#[derive(Debug)]
pub(crate) struct Carried(Arc<AtomicU32>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is counted until its task ends.
struct Counted(Arc<Mutex<Option<Opened>>>);

impl Drop for Counted {
    fn drop(&mut self) {
        uncount(&self.0);
    }
}

fn uncount(opened: &Mutex<Option<Opened>>) {
    // It is there or not at any time.
    drop(opened.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Client {
    /// Over a new connection, whose task belongs to the thread that asks.
    pub(crate) async fn new(
        connection: Connection,
        endpoint: SocketAddr,
        until: Instant,
        opened: Opened,
    ) -> Result<Self, Error> {
        let scheme = match &connection {
            Connection::Plain(_) => Scheme::HTTP,
            Connection::Tls(_) => Scheme::HTTPS,
        };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(64 << 10);
        let handshake = builder.handshake(TokioIo::new(connection));
        let (sender, connection) =
            handshake.await.map_err(|source| Error::Failed { endpoint, source: Broken::Http2(source) })?;
        let opened = Arc::new(Mutex::new(Some(opened)));
        let counted = Counted(Arc::clone(&opened));
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with its last sender, and with its thread's runtime"
        )]
        tokio::spawn(async move {
            let _counted = counted;
            if let Err(error) = connection.await {
                tracing::debug!(target: "mainstay::upstream", %endpoint, %error, "connection ended early");
            }
        });
        Ok(Self { sender, scheme, calls: Arc::default(), until, opened })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// It takes no more calls, and another one may be opened in its place. Returns `false`: it does not stay.
    pub(crate) fn retire(&self) -> bool {
        uncount(&self.opened);
        false
    }

    /// How many calls it carries.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Sends a request, and waits for the head of its answer, whose body it carries as well.
    pub(crate) async fn send(
        &mut self,
        Call { request, facts }: &Call<Request>,
        pool: &Pool,
    ) -> Result<(Response<Incoming>, Carried), Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let carried = Carried(Arc::clone(&self.calls));
        let endpoint = pool.endpoint();
        self.sender.ready().await.map_err(|_| Error::NotSent { endpoint })?;
        // A new connection, or the wait for a stream, has taken some of the time that is told.
        let mut sent = request.over_http2(&Facts { now: pool.now(), ..*facts })?;
        absolute(&mut sent, self.scheme.clone(), endpoint);
        let answered = self.sender.try_send_request(sent).await;
        let answer = answered.map_err(|mut failed| match failed.take_message() {
            Some(unsent) => {
                request.payload.restore(unsent.into_body());
                Error::NotSent { endpoint }
            }
            // The stream was reset by us.
            None if request.payload.has_failed() => Error::Body,
            None => Error::Failed { endpoint, source: Broken::Http2(failed.into_error()) },
        })?;
        Ok((answer, carried))
    }
}

/// Gives the target scheme and authority: what `Host` says, which HTTP/2 does not send.
fn absolute(request: &mut http::Request<RequestBody>, scheme: Scheme, endpoint: SocketAddr) {
    let host = request.headers_mut().remove(http::header::HOST);
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = named.unwrap_or_else(|| endpoint.to_string().parse().expect("an address with its port"));
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).expect("it has all three");
}

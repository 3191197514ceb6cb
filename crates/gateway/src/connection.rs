//! One connection of a client, from its first byte to its last.
//!
//! A connection on which nothing is on its way is parked: it keeps its socket and its guard, and neither a parser nor buffers. The first byte of the next request ends that.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::body::Body;
use crate::client::Client;
use crate::config::Settings;
use crate::head::{Refusal, State};
use crate::line::{Guarded, Line, Progress, Standing};
use crate::listener::Listener;
use crate::pipeline::{Aborted, Carrier, Pipeline};
use crate::prefixed::Prefixed;
use crate::stream::{Stream, readable};
use crate::{census, forward};

pub(crate) mod begin;
mod http2;
mod relay;
mod streams;

use begin::Begun;
pub(crate) use relay::stopped;

/// How often a connection is looked at: whether it is idle, or its client too slow.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// As long as a head may be: more is read only as it is taken.
const BUFFER_BYTES: usize = 64 << 10;
/// Time to get rid of a client that is refused.
const FAREWELL: Duration = Duration::from_secs(1);
/// What is read of a client that is refused, so that it sees why: a connection that is closed with bytes unread is reset.
const FAREWELL_BYTES_MAX: u64 = 64 << 10;

/// Serves a connection until it ends.
pub(crate) async fn run(stream: TcpStream, peer: SocketAddr, listener: Listener, pipeline: Arc<Pipeline>) {
    let settings = pipeline.settings();
    let Some(counted) = pipeline.census().count(settings.connections) else {
        pipeline.meters().refused("connections");
        return Box::pin(full(stream, &listener, settings.connections)).await;
    };
    let begun = Box::pin(begin::begin(stream, peer, &listener, (&pipeline, &settings, counted))).await;
    let Begun { mut stream, client, is_http2, counted: _counted } = match begun {
        Ok(begun) => begun,
        Err(failed) => {
            pipeline.meters().refused(failed.reason());
            tracing::debug!(target: "mainstay::gateway", %peer, error = %failed, "a connection did not begin");
            return;
        }
    };
    let client = Arc::new(client);
    let line = Line::new(settings.limits);
    if is_http2 {
        let stream = Prefixed::new(Bytes::new(), stream);
        return Box::pin(http2::serve(stream, client, (&pipeline, &settings))).await;
    }
    loop {
        if !parked(&mut stream, &client, settings.idle_timeout.as_std()).await {
            return;
        }
        // In a box, which is gone while the connection is parked.
        let (back, end) = Box::pin(serve(stream, &line, &client, (&pipeline, &settings))).await;
        match end {
            End::Idle => stream = back,
            End::Refused(refusal) => {
                pipeline.meters().refused(refusal.reason.name());
                return farewell(back, Some(forward::refusal(refusal))).await;
            }
            End::Late => {
                pipeline.meters().refused("slow");
                return farewell(back, Some(forward::late())).await;
            }
            End::Slow => {
                pipeline.meters().refused("slow");
                return;
            }
            End::Over => return farewell(back, None).await,
            End::Lost => return,
            End::Switched(said) => {
                return Box::pin(relay::run(back, said, &line, client.listener.stop().closing.clone())).await;
            }
            End::Http2 => {
                let stream = Prefixed::new(line.take_held(), back);
                return Box::pin(http2::serve(stream, client, (&pipeline, &settings))).await;
            }
        }
    }
}

/// Tells a client that there are too many connections, where that costs next to nothing.
async fn full(stream: TcpStream, listener: &Listener, connections: census::Config) {
    if listener.greeting().tls.is_none() {
        farewell(Stream::Plain(stream), Some(forward::full(connections.max))).await;
    }
}

/// Waits for bytes. Returns whether there are any, or the connection's end: not when it was idle for too long, or nothing is served any more.
async fn parked(stream: &mut Stream, client: &Client, timeout: Duration) -> bool {
    tokio::select! {
        biased;
        ready = readable(stream) => ready.is_ok(),
        () = client.listener.stop().closing.cancelled() => false,
        () = tokio::time::sleep(timeout) => false,
    }
}

/// Why a parser is given up.
enum End {
    /// Nothing is on its way.
    Idle,
    /// The client has sent what is refused, and is to be told.
    Refused(Refusal),
    /// A head has not come in time, and the client is to be told.
    Late,
    /// The client is too slow in the middle of something.
    Slow,
    /// It ends in order.
    Over,
    /// The client is gone, or has to be.
    Lost,
    /// It speaks what its service speaks from here on. What it said already.
    Switched(Bytes),
    /// It speaks HTTP/2, of which the line holds what came.
    Http2,
}

type Served = Pin<Box<dyn Future<Output = Result<Response<Body>, Aborted>> + Send>>;

async fn serve(
    stream: Stream,
    line: &Arc<Line>,
    client: &Arc<Client>,
    (pipeline, settings): (&Arc<Pipeline>, &Settings),
) -> (Stream, End) {
    let (of_requests, shared, from) = (Arc::clone(line), Arc::clone(pipeline), Arc::clone(client));
    let service = service_fn(move |request: Request<Incoming>| -> Served {
        let carrier = Carrier::Line(of_requests.begin());
        Box::pin(Arc::clone(&shared).handle(request, Arc::clone(&from), carrier))
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES).half_close(true);
    let guarded = Guarded { stream, line: Arc::clone(line) };
    let mut connection = builder.serve_connection(TokioIo::new(guarded), service);
    let (mut look, mut is_last) = (Look::new(line, settings), false);
    let end = poll_fn(|context| {
        if let Poll::Ready(served) = connection.poll_without_shutdown(context) {
            return Poll::Ready(if served.is_ok() { End::Over } else { End::Lost });
        }
        match line.standing() {
            Standing::Http2 => return Poll::Ready(End::Http2),
            Standing::Refused(refusal, true) => return Poll::Ready(End::Refused(refusal)),
            Standing::Refused(_, false) => return Poll::Ready(End::Lost),
            Standing::Busy | Standing::Idle => {}
        }
        let looked = look.poll(context);
        if client.listener.stop().is_draining()
            && client.listener.stop().closing.is_cancelled()
            && !std::mem::replace(&mut is_last, true)
        {
            Pin::new(&mut connection).graceful_shutdown();
            context.waker().wake_by_ref();
        }
        looked
    })
    .await;
    let parts = connection.into_parts();
    let end = match end {
        End::Over if line.is_switched() => End::Switched(parts.read_buf),
        end => end,
    };
    (parts.io.into_inner().stream, end)
}

/// Looks at a connection now and then.
struct Look<'a> {
    line: &'a Line,
    settings: &'a Settings,
    /// None until there is something to wait for.
    timer: Option<Pin<Box<Sleep>>>,
    last: Progress,
    /// How often in a row nothing had moved that should.
    slow: u32,
}

impl<'a> Look<'a> {
    fn new(line: &'a Line, settings: &'a Settings) -> Self {
        Self { line, settings, timer: None, last: line.progress(), slow: 0 }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        // It is polled once in a while: the task is woken by it in any case, and with each request twice by others.
        if self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed()) {
            return Poll::Pending;
        }
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK_EVERY)));
            std::task::ready!(timer.as_mut().poll(context));
            timer.as_mut().reset(tokio::time::Instant::now() + LOOK_EVERY);
            if let Some(end) = self.judge() {
                return Poll::Ready(end);
            }
        }
    }

    fn judge(&mut self) -> Option<End> {
        let now = self.line.progress();
        let last = std::mem::replace(&mut self.last, now);
        if self.line.standing() == Standing::Idle && now.heads == last.heads && now.written == last.written {
            return Some(End::Idle);
        }
        let is_slow = match now.state {
            // A head comes as one, however it is cut.
            State::Head => now.heads == last.heads,
            State::Body => now.is_starved && now.read - last.read < self.settings.body_rate_min.bytes(),
            _ => false,
        };
        let is_stalled = now.is_stalled && last.is_stalled && now.written == last.written;
        self.slow = if is_slow || is_stalled { self.slow + 1 } else { 0 };
        if u64::from(self.slow) < self.settings.patience.as_std().as_secs() {
            return None;
        }
        Some(match now.state {
            State::Head if is_slow && now.open == 0 => End::Late,
            _ => End::Slow,
        })
    }
}

/// Tells a client what there is to tell, and closes the connection so that it can be read.
pub(crate) async fn farewell(mut stream: Stream, last: Option<Bytes>) {
    let told = async {
        if let Some(last) = last {
            stream.write_all(&last).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whether it got through or not, the connection is closed.
    let _ = tokio::time::timeout(FAREWELL, told).await;
}

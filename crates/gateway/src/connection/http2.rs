//! A connection over HTTP/2, and how long its client is waited for.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::LOOK_EVERY;
use super::streams::{Answering, Streams};
use crate::client::Client;
use crate::config::Settings;
use crate::grpc;
use crate::pipeline::{Carrier, Pipeline};
use crate::prefixed::{Moved, Prefixed};
use crate::stream::Stream;
use crate::watched::Watch;

/// Streams of a connection that may be open at once.
const STREAMS_MAX: u32 = 256;
/// What of a stream may be on its way before it is read.
const WINDOW_BYTES: u32 = 256 << 10;
/// And of all streams of a connection: a service that does not read one leaves room for others.
const CONNECTION_WINDOW_BYTES: u32 = 8 * WINDOW_BYTES;
/// The most that headers of a request may take.
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// How often a connection is asked whether its client is still there, and how long the client has to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that was told that this is the end has so many seconds to move, once it has no stream.
const FAREWELL_SECONDS: u32 = 5;

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: Prefixed<Stream>,
    client: Arc<Client>,
    (pipeline, settings): (&Arc<Pipeline>, &Settings),
) {
    let (closing, peer) = (client.listener.stop().closing.clone(), client.hop.address);
    let streams = Streams::default();
    let mut look = Look::new(streams.clone(), stream.moved(), settings);
    let (begins, shared) = (streams.clone(), Arc::clone(pipeline));
    let service = service_fn(move |request: Request<Incoming>| {
        let (pace, open) = begins.begin();
        let is_grpc = grpc::is_call(request.headers());
        if is_grpc {
            // A stream of it may be quiet before its answer begins, and often is.
            pace.may_be_quiet();
        }
        let carrier = Carrier::Stream { pace: Arc::clone(&pace), is_grpc };
        Answering::new(Arc::clone(&shared).handle(request, Arc::clone(&client), carrier), pace, open)
    });
    let mut builder = http2::Builder::new(Spawn { streams, watch: pipeline.watch().clone() });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut closed = pin!(closing.cancelled());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = poll_fn(|context| {
        if let Poll::Ready(served) = connection.as_mut().poll(context) {
            return Poll::Ready(End::Served(served));
        }
        if look.streams.are_reset() {
            return Poll::Ready(End::Refused("stream_resets"));
        }
        let mut is_last = look.is_last || closed.as_mut().poll(context).is_ready();
        while look.due(context) {
            let seen = look.look();
            for _ in 0..seen.slow {
                pipeline.meters().refused("slow");
            }
            if seen.is_gone {
                return Poll::Ready(End::Gone);
            }
            is_last |= seen.is_idle;
        }
        if is_last && !std::mem::replace(&mut look.is_last, true) {
            // Streams that have begun go on; the client is told to begin no more.
            connection.as_mut().graceful_shutdown();
            context.waker().wake_by_ref();
        }
        Poll::Pending
    });
    match ended.await {
        End::Served(Ok(())) | End::Gone => {}
        End::Served(Err(error)) => {
            tracing::debug!(target: "mainstay::gateway", %peer, %error, "a connection over HTTP/2 ended early");
        }
        End::Refused(reason) => pipeline.meters().refused(reason),
    }
}

/// Why a connection is served no more.
enum End {
    Served(hyper::Result<()>),
    Refused(&'static str),
    /// It was told to end, and has nothing under way.
    Gone,
}

/// Looks at a connection once a second.
struct Look<'a> {
    streams: Streams,
    settings: &'a Settings,
    moved: Moved,
    tick: Interval,
    begun: u32,
    /// How many seconds it had no stream.
    idle: u64,
    /// Its client was told to begin no more streams.
    is_last: bool,
    last_moved: u64,
    /// How many seconds it has not moved since then.
    quiet: u32,
}

/// What is seen of a connection.
struct Seen {
    /// How many streams were given up.
    slow: usize,
    is_idle: bool,
    is_gone: bool,
}

impl<'a> Look<'a> {
    fn new(streams: Streams, moved: Moved, settings: &'a Settings) -> Self {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        Self { streams, settings, moved, tick, begun: 0, idle: 0, is_last: false, last_moved: 0, quiet: 0 }
    }

    fn due(&mut self, context: &mut Context<'_>) -> bool {
        self.tick.poll_tick(context).is_ready()
    }

    fn look(&mut self) -> Seen {
        let seen = self.streams.look(self.settings);
        let has_begun = std::mem::replace(&mut self.begun, seen.begun) != seen.begun;
        let is_empty = seen.open == 0;
        self.idle = if is_empty && !has_begun { self.idle + 1 } else { 0 };
        let moved = self.moved.count();
        let has_moved = std::mem::replace(&mut self.last_moved, moved) != moved;
        self.quiet = if self.is_last && is_empty && !has_moved { self.quiet + 1 } else { 0 };
        Seen {
            slow: seen.slow,
            is_idle: self.idle >= self.settings.idle_timeout.as_std().as_secs().max(1),
            is_gone: self.quiet >= FAREWELL_SECONDS,
        }
    }
}

/// Starts the tasks of streams, watched.
#[derive(Clone)]
struct Spawn {
    streams: Streams,
    watch: Watch,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Spawn {
    fn execute(&self, task: F) {
        #[expect(
            clippy::disallowed_methods,
            reason = "it is a stream of a connection, which is counted, and ends with its thread's runtime"
        )]
        let task = tokio::spawn(self.watch.task(task));
        self.streams.started(task.abort_handle());
    }
}

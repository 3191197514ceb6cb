//! One worker: a thread with its own runtime, listeners, connections, and connections to services.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_upstream::Worker as Upstream;
use tokio::net::{TcpListener, TcpStream};

use crate::connection;
use crate::pipeline::Pipeline;
use crate::server::{Shared, Stop};

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often connections to services are looked through for those that nobody uses.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A socket that listens for one worker.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) socket: std::net::TcpListener,
}

/// Serves until it is told to stop. Returns how many connections were cut off.
pub(crate) fn run(listening: Vec<Listening>, shared: Shared, stop: Stop) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(target: "mainstay::gateway", %error, "no runtime for a worker of the gateway");
            return 0;
        }
    };
    let open = Arc::new(AtomicUsize::new(0));
    runtime.block_on(serve(listening, shared, stop, &open));
    open.load(Ordering::Relaxed)
}

async fn serve(listening: Vec<Listening>, shared: Shared, stop: Stop, open: &Arc<AtomicUsize>) {
    let upstream = Upstream::new(shared.env.clone());
    let pipeline = Arc::new(Pipeline::new(shared, upstream.clone(), stop.clone()));
    for Listening { address, socket } in listening {
        let listener = match socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(target: "mainstay::gateway", %address, %error, "a worker cannot listen");
                continue;
            }
        };
        let accepting = accept(listener, Arc::clone(&pipeline), Arc::clone(open));
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends when the listener is to close, and with its thread's runtime"
        )]
        tokio::spawn(accepting);
    }
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.killed.cancelled() => return,
            _ = sweep.tick() => upstream.sweep(),
        }
        if stop.closing.is_cancelled() && open.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

async fn accept(listener: TcpListener, pipeline: Arc<Pipeline>, open: Arc<AtomicUsize>) {
    let closing = pipeline.stop().closing.clone();
    let mut failing = false;
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                admit(stream, peer, &pipeline, &open);
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(target: "mainstay::gateway", %error, "cannot accept connections, trying on");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, pipeline: &Arc<Pipeline>, open: &Arc<AtomicUsize>) {
    // An error leaves Nagle's delay on, which is slower and not wrong.
    let _ = stream.set_nodelay(true);
    let held = Open::new(Arc::clone(open), Arc::clone(pipeline));
    let connection = connection::run(stream, peer, Arc::clone(pipeline));
    #[expect(
        clippy::disallowed_methods,
        reason = "it is counted in `open`, and ends with its thread's runtime"
    )]
    tokio::spawn(async move {
        let _held = held;
        connection.await;
    });
}

/// A connection that is counted while it is open.
struct Open {
    open: Arc<AtomicUsize>,
    pipeline: Arc<Pipeline>,
}

impl Open {
    fn new(open: Arc<AtomicUsize>, pipeline: Arc<Pipeline>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        pipeline.meters().connections.inc();
        Self { open, pipeline }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.pipeline.meters().connections.dec();
    }
}

/// Errors of `accept` that concern the one connection, by `accept(2)`.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

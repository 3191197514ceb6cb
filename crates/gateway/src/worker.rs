//! A worker: one thread with its runtime, its sockets of all listeners, and connections to services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_upstream::Worker as Upstream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::accept::accept;
use crate::connection;
use crate::listener::Listener;
use crate::pipeline::Pipeline;
use crate::server::{Shared, Stop};
use crate::tcp;

/// How often connections to services are looked through for those that nobody uses.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A socket of a listener that is for one worker.
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    pub(crate) socket: std::net::TcpListener,
}

/// Serves until it is told to stop. Returns how many connections were cut off.
pub(crate) fn run(listening: mpsc::Receiver<Listening>, shared: Shared, stop: Stop) -> usize {
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

async fn serve(
    mut listening: mpsc::Receiver<Listening>,
    shared: Shared,
    stop: Stop,
    open: &Arc<AtomicUsize>,
) {
    let upstream = Upstream::new(shared.env.clone());
    let tcp = Arc::new(tcp::Local::new(shared.clone()));
    let pipeline = Arc::new(Pipeline::new(shared, upstream.clone()));
    let serving = Serving { pipeline, tcp, open: Arc::clone(open) };
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.killed.cancelled() => return,
            Some(one) = listening.recv() => listen(one, &serving),
            _ = sweep.tick() => upstream.sweep(),
        }
        if stop.closing.is_cancelled() && open.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

/// What a worker serves connections with.
#[derive(Clone)]
struct Serving {
    pipeline: Arc<Pipeline>,
    tcp: Arc<tcp::Local>,
    open: Arc<AtomicUsize>,
}

fn listen(Listening { listener, socket }: Listening, serving: &Serving) {
    let socket = match socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)) {
        Ok(socket) => socket,
        Err(error) => {
            let address = listener.address();
            tracing::error!(target: "mainstay::gateway", %address, %error, "a worker cannot listen");
            return;
        }
    };
    let serving = serving.clone();
    let closing = listener.stop().closing.clone();
    // Held while it accepts, so that what waits in the kernel is served before the worker ends.
    let accepting = Open::new(&serving.open);
    let accepting = async move {
        let _accepting = accepting;
        accept(socket, closing, |stream, peer| admit(stream, peer, &listener, &serving)).await;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends when the listener is to close, and with its thread's runtime"
    )]
    tokio::spawn(accepting);
}

fn admit(stream: TcpStream, peer: SocketAddr, listener: &Listener, serving: &Serving) {
    let Serving { pipeline, tcp, open } = serving;
    let (held, greeting, watch) = (Open::new(open), listener.greeting(), pipeline.watch());
    match greeting.tcp.clone() {
        None => {
            let connection = connection::run(stream, peer, listener.clone(), Arc::clone(pipeline));
            spawn(watch.task(connection), held);
        }
        Some(passage) => {
            let listener = (listener.clone(), greeting);
            spawn(watch.task(tcp::run((stream, peer), listener, passage, Arc::clone(tcp))), held);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is counted in `open`, and ends with its thread's runtime")]
fn spawn(connection: impl Future<Output = ()> + Send + 'static, held: Open) {
    tokio::spawn(async move {
        let _held = held;
        connection.await;
    });
}

/// Counts what the worker waits for at its end.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Two sides that are given what the other one says, until both have ended.
//!
//! What is read goes through a buffer that all connections of a worker share, and into the other side at once. Only what that does not take is kept, and nothing more is read of the one until it is taken: so a connection
//! on which nothing moves has no buffers, and one whose reader is slow holds [`SCRATCH_BYTES`] for each direction at most.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use mainstay_base::units::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::record::{IN, OUT, Progress};
use crate::connection::stopped;

/// What is read at a time: most of what waits when much does, and little enough to stay in a core's cache.
pub(super) const SCRATCH_BYTES: usize = 64 << 10;
/// After so many bytes of a direction others of the worker have their turn.
const TURN_BYTES: usize = 128 << 10;
/// What moved less than so long ago may be followed by more.
const QUIET: std::time::Duration = std::time::Duration::from_secs(1);

/// The buffer that all connections of a worker read through. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Scratch(Arc<Mutex<Box<[u8]>>>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(vec![0; SCRATCH_BYTES].into())))
    }
}

/// How a connection has ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides have said all.
    Over,
    /// The client is gone before that.
    Client(io::Error),
    /// The service is.
    Service(io::Error),
    /// Nothing has moved for too long.
    Idle {
        /// Something was on its way that one side does not take.
        is_amid: bool,
    },
    /// Nothing is served any more.
    Stopped {
        /// The same, or something has just moved.
        is_amid: bool,
    },
}

impl End {
    /// In metrics and the access log.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Client(_) => "client_lost",
            Self::Service(_) => "service_lost",
            Self::Idle { .. } => "idle",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Whether the client is to be reset, and the service: who has not got all that there was is not to take it for that.
    pub(super) const fn resets(&self) -> [bool; 2] {
        match self {
            Self::Over => [false, false],
            Self::Client(_) => [false, true],
            Self::Service(_) => [true, false],
            Self::Idle { is_amid } | Self::Stopped { is_amid } => [*is_amid; 2],
        }
    }
}

/// Two sides on their way.
#[derive(Debug)]
pub(super) struct Relay {
    scratch: Scratch,
    progress: Arc<Progress>,
    idle: Idle,
    into: Half,
    out: Half,
}

/// One direction.
#[derive(Debug)]
struct Half {
    /// [`IN`] or [`OUT`].
    direction: usize,
    /// What was read and is not taken yet.
    held: Bytes,
    /// TLS has taken it, and the connection below has not.
    is_unsent: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// One side has said all, and the other is to know.
    Ending,
    Ended,
}

/// Which side of a direction is gone.
enum Lost {
    Reading(io::Error),
    Writing(io::Error),
}

/// Ends a connection on which nothing moves.
#[derive(Debug)]
struct Idle {
    limit: std::time::Duration,
    /// Since when nothing has moved.
    since: Instant,
    /// Looks then. What moves in the meantime does not set it anew.
    timer: Pin<Box<Sleep>>,
}

impl Relay {
    /// Of which the client has said this already.
    pub(super) fn new(scratch: &Scratch, progress: &Arc<Progress>, read: Bytes, idle: Duration) -> Self {
        let half = |direction, held| Half { direction, held, is_unsent: false, stage: Stage::Open };
        Self {
            scratch: scratch.clone(),
            progress: Arc::clone(progress),
            idle: Idle::new(idle.as_std()),
            into: half(IN, read),
            out: half(OUT, Bytes::new()),
        }
    }

    /// Gives each side what the other one says until both have ended, or it is told to stop and they are quiet.
    pub(super) async fn run<C, S>(
        mut self,
        (client, service): (&mut C, &mut S),
        closing: CancellationToken,
    ) -> End
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let progress = Arc::clone(&self.progress);
        tokio::select! {
            end = poll_fn(|context| self.poll(client, service, context)) => end,
            () = stopped(closing, || progress.count()) => {
                // A stop waits for as long for a connection to be quiet.
                let is_quiet = self.idle.since.elapsed() >= QUIET;
                End::Stopped { is_amid: self.holds() || !is_quiet }
            }
        }
    }

    /// Whether something was read that has not left.
    fn holds(&self) -> bool {
        [&self.into, &self.out].into_iter().any(|half| half.is_unsent || !half.held.is_empty())
    }

    fn poll<C, S>(&mut self, client: &mut C, service: &mut S, context: &mut Context<'_>) -> Poll<End>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Bytes in it are of no account before they are read into it anew.
        let mut scratch = self.scratch.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (scratch, progress) = (&mut **scratch, &*self.progress);
        let before = progress.count();
        let into = match self.into.poll((client, service), scratch, progress, context) {
            Poll::Ready(Err(Lost::Reading(error))) => return Poll::Ready(End::Client(error)),
            Poll::Ready(Err(Lost::Writing(error))) => return Poll::Ready(End::Service(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        let out = match self.out.poll((service, client), scratch, progress, context) {
            Poll::Ready(Err(Lost::Reading(error))) => return Poll::Ready(End::Service(error)),
            Poll::Ready(Err(Lost::Writing(error))) => return Poll::Ready(End::Client(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if into && out {
            return Poll::Ready(End::Over);
        }
        let has_moved = progress.count() != before;
        self.idle.poll(has_moved, context).map(|()| End::Idle { is_amid: self.holds() })
    }
}

impl Half {
    fn poll<R, W>(
        &mut self,
        (from, to): (&mut R, &mut W),
        scratch: &mut [u8],
        progress: &Progress,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut taken = 0;
        loop {
            let mut held = mem::take(&mut self.held);
            let written = self.write(to, &mut held, progress, context);
            self.held = held;
            ready!(written)?;
            if self.stage == Stage::Ending {
                ready!(Pin::new(&mut *to).poll_shutdown(context)).map_err(Lost::Writing)?;
                (self.stage, self.is_unsent) = (Stage::Ended, false);
            }
            if self.stage == Stage::Ended {
                return Poll::Ready(Ok(()));
            }
            if taken >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *from).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read.map_err(Lost::Reading)?,
                Poll::Pending => {
                    // TLS keeps what it has made of it.
                    let flushed = Pin::new(&mut *to).poll_flush(context);
                    self.is_unsent = flushed.is_pending();
                    ready!(flushed).map_err(Lost::Writing)?;
                    return Poll::Pending;
                }
            }
            let mut read = buffer.filled();
            if read.is_empty() {
                self.stage = Stage::Ending;
                continue;
            }
            taken += read.len();
            let written = self.write(to, &mut read, progress, context);
            if written.is_pending() {
                self.held = Bytes::copy_from_slice(read);
            }
            ready!(written)?;
        }
    }

    /// Writes all of these, and leaves what is not taken yet.
    fn write<W: AsyncWrite + Unpin>(
        &self,
        to: &mut W,
        bytes: &mut impl Buf,
        progress: &Progress,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        while bytes.has_remaining() {
            let written = ready!(Pin::new(&mut *to).poll_write(context, bytes.chunk()));
            match written.map_err(Lost::Writing)? {
                0 => return Poll::Ready(Err(Lost::Writing(ErrorKind::WriteZero.into()))),
                written => {
                    bytes.advance(written);
                    progress.add(self.direction, written);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Idle {
    fn new(limit: std::time::Duration) -> Self {
        Self { limit, since: Instant::now(), timer: Box::pin(sleep(limit)) }
    }

    /// Ready once nothing has moved for too long.
    fn poll(&mut self, has_moved: bool, context: &mut Context<'_>) -> Poll<()> {
        if has_moved {
            self.since = Instant::now();
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let end = self.since + self.limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests;

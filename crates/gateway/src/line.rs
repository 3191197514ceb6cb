//! The bytes of a client's connection on their way to the parser, by way of the guard.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use mainstay_upstream::Switched;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::head::{Guard, Limits, Refusal, State};

/// What a connection, its parser and its requests know together. Everything happens on one thread; the lock is there for the compiler.
#[derive(Debug)]
pub(crate) struct Line(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    /// Has come, and was not given to the parser.
    held: BytesMut,
    /// How many bytes of it have passed the guard.
    passed: usize,
    /// Requests that the parser has handed over.
    begun: u64,
    /// Those of them whose answers have not been sent to their ends.
    open: u32,
    /// What was refused, and whether within the body of a request.
    refused: Option<(Refusal, bool)>,
    /// The client is waited for: to send, and to take.
    is_starved: bool,
    is_stalled: bool,
    is_flushed: bool,
    read: u64,
    written: u64,
    switched: Option<Switched>,
}

/// How a connection stands that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on.
    Busy,
    /// Nothing is on its way in either direction.
    Idle,
    /// It is HTTP/2, of which no byte was given to the parser.
    Http2,
    /// What came is refused. Whether that can be answered.
    Refused(Refusal, bool),
}

/// What a client has done, as it is compared with what it had done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) state: State,
    pub(crate) heads: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) is_starved: bool,
    pub(crate) is_stalled: bool,
    pub(crate) open: u32,
}

impl Line {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            guard: Guard::new(limits),
            held: BytesMut::new(),
            passed: 0,
            begun: 0,
            open: 0,
            refused: None,
            is_starved: false,
            is_stalled: false,
            is_flushed: true,
            read: 0,
            written: 0,
            switched: None,
        })))
    }

    /// A request begins. What is returned ends it when it is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        let mut inner = self.inner();
        inner.open += 1;
        inner.begun += 1;
        Open { line: Arc::clone(self), number: inner.begun, is_answered: false }
    }

    pub(crate) fn standing(&self) -> Standing {
        let inner = self.inner();
        if let Some((refusal, is_in_body)) = inner.refused {
            // Those before it are answered first.
            if is_in_body && inner.begun == inner.guard.heads() {
                let is_answered = inner.guard.unanswered() == 0;
                return if is_answered || inner.is_flushed {
                    Standing::Refused(refusal, !is_answered)
                } else {
                    Standing::Busy
                };
            }
            return if !is_in_body && inner.open == 0 && inner.is_flushed {
                Standing::Refused(refusal, true)
            } else {
                Standing::Busy
            };
        }
        match inner.guard.state() {
            State::Http2 => Standing::Http2,
            State::Fresh | State::Idle if inner.open == 0 && inner.is_flushed && inner.is_blank() => {
                Standing::Idle
            }
            _ => Standing::Busy,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let inner = self.inner();
        Progress {
            state: inner.guard.state(),
            heads: inner.guard.heads(),
            read: inner.read,
            written: inner.written,
            is_starved: inner.is_starved,
            is_stalled: inner.is_stalled,
            open: inner.open,
        }
    }

    pub(crate) fn is_switched(&self) -> bool {
        self.inner().switched.is_some()
    }

    pub(crate) fn take_switched(&self) -> Option<Switched> {
        self.inner().switched.take()
    }

    /// What has come and was not given to the parser.
    pub(crate) fn take_held(&self) -> Bytes {
        self.inner().held.split().freeze()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What it counts is right after each step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not over. It is over when its answer was sent to its end, or is not sent any more.
#[derive(Debug)]
pub(crate) struct Open {
    line: Arc<Line>,
    /// Among all of its connection, from 1.
    number: u64,
    is_answered: bool,
}

impl Open {
    /// Whether its request may make the connection another than HTTP.
    pub(crate) fn may_switch(&self) -> bool {
        let inner = self.line.inner();
        // The guard speaks of the last head that has passed, which may be that of a later request.
        inner.guard.may_switch() && self.number == inner.guard.heads()
    }

    /// The answer is known, and whether the connection is another than HTTP from there on.
    pub(crate) fn answered(&mut self, switched: Option<Switched>) {
        if !std::mem::replace(&mut self.is_answered, true) {
            let mut inner = self.line.inner();
            inner.guard.answered(switched.is_some());
            inner.switched = switched;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.answered(None);
        self.line.inner().open -= 1;
    }
}

impl Inner {
    /// Has as much of what is held pass as may.
    fn pass(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.passed += self.scan(&held[self.passed..]);
        self.held = held;
    }

    /// How many of the first of these bytes, which come after all that have passed, pass now.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() {
            match self.guard.scan(&bytes[passed..]) {
                Ok(0) => break,
                Ok(more) => passed += more,
                Err(refusal) => {
                    // A body was begun by a head that has passed, and is a part of the last request.
                    let is_in_body = self.guard.is_in_body();
                    self.refused.get_or_insert((refusal, is_in_body));
                    break;
                }
            }
        }
        passed
    }

    /// Whether nothing is held but what an empty line between two requests begins with.
    fn is_blank(&self) -> bool {
        self.passed == 0 && self.held.len() <= b"\r\n".len()
    }

    /// Whether more may be read: what cannot pass now is not collected.
    fn may_read(&self) -> bool {
        self.refused.is_none()
            && !matches!(self.guard.state(), State::Full | State::Verdict | State::Closing | State::Http2)
    }
}

/// A connection whose parser reads only what has passed the guard.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    pub(crate) stream: S,
    pub(crate) line: Arc<Line>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut inner = this.line.inner();
        let inner = &mut *inner;
        loop {
            if !inner.held.is_empty() {
                inner.pass();
                if matches!(inner.guard.state(), State::Http2) {
                    return Poll::Pending;
                }
                let given = inner.passed.min(buffer.remaining());
                if given > 0 {
                    buffer.put_slice(&inner.held[..given]);
                    inner.held.advance(given);
                    inner.passed -= given;
                    return Poll::Ready(Ok(()));
                }
            }
            if !inner.may_read() {
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            inner.is_starved = true;
            std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            inner.is_starved = false;
            let come = &buffer.filled()[before..];
            if come.is_empty() {
                return Poll::Ready(Ok(()));
            }
            inner.read += come.len() as u64;
            if !inner.held.is_empty() {
                inner.held.extend_from_slice(come);
                buffer.set_filled(before);
                continue;
            }
            let mut passed = inner.scan(come);
            if matches!(inner.guard.state(), State::Http2) {
                // It is for another parser.
                passed = 0;
            }
            inner.held.extend_from_slice(&come[passed..]);
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut inner = self.line.inner();
        inner.is_stalled = polled.is_pending();
        inner.is_flushed = false;
        if let Poll::Ready(Ok(bytes)) = &polled {
            inner.written += *bytes as u64;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        let mut inner = self.line.inner();
        // Over TLS what is written lies here until the client takes it.
        inner.is_stalled = flushed.is_pending();
        inner.is_flushed = matches!(flushed, Poll::Ready(Ok(())));
        drop(inner);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

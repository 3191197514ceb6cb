//! How the two bodies of a stream over HTTP/2 go on: its client may be too slow to send the one, or to take the other.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How a stream goes on. Everything happens on one thread; the lock is there for the compiler.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Progress>);

/// What of a stream's bodies has passed, as it is compared with what had passed before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the request's body.
    pub(crate) read: u64,
    /// More of it is wanted, and has not come.
    pub(crate) is_starved: bool,
    /// Nothing has to come: the answer has begun, or both sides speak when they like.
    pub(crate) may_be_quiet: bool,
    /// Pieces of the answer's body.
    pub(crate) given: u64,
    /// The last of them has not been taken, or the next would be asked for.
    pub(crate) is_owed: bool,
}

impl Pace {
    pub(crate) fn progress(&self) -> Progress {
        *self.inner()
    }

    /// Both sides speak when they like.
    pub(crate) fn may_be_quiet(&self) {
        self.inner().may_be_quiet = true;
    }

    fn inner(&self) -> MutexGuard<'_, Progress> {
        // What it counts is right after each step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request, as it comes.
#[derive(Debug)]
pub(crate) struct Received<B> {
    pub(crate) body: B,
    /// None over HTTP/1, where the line knows it.
    pub(crate) pace: Option<Arc<Pace>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Received<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Some(pace) = &self.pace {
            let mut pace = pace.inner();
            pace.is_starved = polled.is_pending();
            if let Poll::Ready(Some(Ok(frame))) = &polled {
                pace.read += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, as it is taken.
#[derive(Debug)]
pub(crate) struct Given<B, H> {
    body: B,
    pace: Arc<Pace>,
    /// Dropped with it.
    _held: H,
}

impl<B: Body, H> Given<B, H> {
    pub(crate) fn new(body: B, pace: Arc<Pace>, held: H) -> Self {
        let is_owed = !body.is_end_stream();
        let mut now = pace.inner();
        (now.may_be_quiet, now.is_owed) = (true, is_owed);
        drop(now);
        Self { body, pace, _held: held }
    }
}

impl<B, H> Drop for Given<B, H> {
    fn drop(&mut self) {
        self.pace.inner().is_owed = false;
    }
}

impl<B: Body + Unpin, H: Unpin> Body for Given<B, H> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.pace.inner().is_owed = false;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut pace = self.pace.inner();
        pace.given += 1;
        // Also the last one waits until the client has room for it.
        pace.is_owed = frame.is_some();
        drop(pace);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn the_last_piece_is_owed_until_the_body_is_dropped() {
        let pace = Arc::new(Pace::default());
        let mut body = Given::new(Full::new(Bytes::from("all")), Arc::clone(&pace), ());
        assert!(pace.progress().is_owed, "it is not asked for yet");
        body.frame().await.expect("a piece").expect("it is whole");
        assert!(body.is_end_stream() && pace.progress().is_owed, "it may wait for room");
        drop(body);
        assert!(!pace.progress().is_owed);
    }
}

//! The streams of a connection over HTTP/2 that are open: each is given up whose client is too slow, and the connection whose client resets them as fast as it begins them
//! (CVE-2023-44487): each of those costs a request, and none of them counts as open.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use slab::Slab;
use tokio::task::AbortHandle;

use crate::config::Settings;
use crate::pace::{Given, Pace, Progress};

/// So many resets are a client that has lost interest: a page that is left has about as many requests under way.
const RESETS_MAX: u32 = 256;

/// The streams of a connection. Clones are the same ones. Everything happens on one thread; the lock is there for the compiler.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    open: Slab<Stream>,
    begun: u32,
    reset: u32,
    /// The one whose task is started next.
    next: Option<usize>,
}

#[derive(Debug)]
struct Stream {
    pace: Arc<Pace>,
    last: Progress,
    /// How often in a row nothing had moved that should.
    slow: u32,
    /// None before it is started.
    task: Option<AbortHandle>,
    is_over: bool,
}

/// What is seen of the streams of a connection now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) open: usize,
    pub(super) begun: u32,
    /// How many were given up.
    pub(super) slow: usize,
}

impl Streams {
    /// A stream begins.
    pub(super) fn begin(&self) -> (Arc<Pace>, Open) {
        let pace = Arc::<Pace>::default();
        let stream = Stream {
            pace: Arc::clone(&pace),
            last: Progress::default(),
            slow: 0,
            task: None,
            is_over: false,
        };
        let mut inner = self.inner();
        inner.begun = inner.begun.wrapping_add(1);
        let key = inner.open.insert(stream);
        inner.next = Some(key);
        (pace, Open { streams: self.clone(), key })
    }

    /// The task of the stream that began last.
    pub(super) fn started(&self, task: AbortHandle) {
        let mut inner = self.inner();
        if let Some(key) = inner.next.take()
            && let Some(stream) = inner.open.get_mut(key)
        {
            stream.task = Some(task);
        }
    }

    /// Whether more were reset than a connection may have, and half of all its streams.
    pub(super) fn are_reset(&self) -> bool {
        let inner = self.inner();
        inner.reset > RESETS_MAX && inner.reset > inner.begun / 2
    }

    /// Gives up those whose clients are too slow. To be called once a second.
    pub(super) fn look(&self, settings: &Settings) -> Seen {
        let mut inner = self.inner();
        let mut slow = Vec::new();
        for (_, stream) in &mut inner.open {
            if stream.is_slow(settings) {
                stream.is_over = true;
                slow.extend(stream.task.take());
            }
        }
        let seen = Seen { open: inner.open.len(), begun: inner.begun, slow: slow.len() };
        drop(inner);
        slow.iter().for_each(AbortHandle::abort);
        seen
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is in it is right after each step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn is_slow(&mut self, settings: &Settings) -> bool {
        let now = self.pace.progress();
        let last = std::mem::replace(&mut self.last, now);
        let has_come = now.read - last.read;
        let is_starved = now.is_starved && !now.may_be_quiet && has_come < settings.body_rate_min.bytes();
        let is_owed = now.is_owed && last.is_owed && now.given == last.given;
        self.slow = if is_starved || is_owed { self.slow + 1 } else { 0 };
        u64::from(self.slow) >= settings.patience.as_std().as_secs()
    }
}

/// A stream that is open until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    key: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut inner = self.streams.inner();
        let stream = inner.open.remove(self.key);
        // Without an answer, and not by our doing.
        inner.reset += u32::from(!stream.is_over);
    }
}

pin_project! {
    /// The answer of a stream that is open.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        pace: Arc<Pace>,
        open: Option<Open>,
    }
}

impl<F> Answering<F> {
    pub(super) const fn new(answer: F, pace: Arc<Pace>, open: Open) -> Self {
        Self { answer, pace, open: Some(open) }
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
{
    type Output = Result<Response<Given<B, Option<Open>>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let open = this.open.take();
        if let Some(open) = &open {
            open.streams.inner().open[open.key].is_over = true;
        }
        Poll::Ready(answer.map(|answer| answer.map(|body| Given::new(body, Arc::clone(this.pace), open))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use mainstay_base::units::{Duration, Size};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::pace::Received;

    /// A body of which a piece is there for each poll, or is not.
    struct Pieces(VecDeque<Option<&'static str>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(None) => Poll::Pending,
                Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                None => Poll::Ready(None),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn pieces(all: &[Option<&'static str>]) -> Pieces {
        Pieces(all.iter().copied().collect())
    }

    fn poll(body: &mut (impl Body + Unpin)) {
        let _ = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    }

    fn settings() -> Settings {
        Settings {
            patience: Duration::from_secs(3),
            body_rate_min: Size::from_bytes(4),
            ..Settings::default()
        }
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        #[expect(clippy::disallowed_methods, reason = "it ends with its test's runtime")]
        tokio::spawn(task)
    }

    /// A stream whose answer never comes, with its task.
    fn stream(streams: &Streams) -> (Arc<Pace>, JoinHandle<()>) {
        let (pace, open) = streams.begin();
        let answer = std::future::pending::<Result<Response<Pieces>, Infallible>>();
        let answering = Answering::new(answer, Arc::clone(&pace), open);
        let task = spawn(async move { drop(answering.await) });
        streams.started(task.abort_handle());
        (pace, task)
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_ends_its_stream_alone() {
        let (streams, settings) = (Streams::default(), settings());
        let mut bodies = Vec::new();
        let mut tasks = Vec::new();
        let piece = |text| [Some(text), None];
        for (text, quiet) in [("a", false), ("abcd", false), ("", true)] {
            let (pace, task) = stream(&streams);
            if quiet {
                pace.may_be_quiet();
            }
            let all: Vec<_> = (0..4).flat_map(|_| piece(text)).collect();
            bodies.push(Received { body: pieces(&all), pace: Some(pace) });
            tasks.push(task);
        }
        for second in 1..=3 {
            for body in &mut bodies {
                poll(body);
                poll(body);
            }
            let seen = streams.look(&settings);
            assert_eq!((seen.slow, seen.open), (usize::from(second == 3), 3), "in second {second}");
        }
        assert!(tasks.remove(0).await.expect_err("it is given up").is_cancelled());
        assert_eq!(streams.look(&settings), Seen { open: 2, begun: 3, slow: 0 });
        assert!(!tasks.iter().any(JoinHandle::is_finished));
        assert_eq!(streams.inner().reset, 0, "its client has reset nothing");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_ends_its_stream_and_one_that_does_not_come_goes_on() {
        let (streams, settings) = (Streams::default(), settings());
        let mut taken = Vec::new();
        let many = [Some("a"); 9];
        let quiet = [None; 9];
        for (all, is_polled) in [(&many, false), (&many, true), (&quiet, true)] {
            let (pace, open) = streams.begin();
            let answer = std::future::ready(Ok::<_, Infallible>(Response::new(pieces(all))));
            let answered = Answering::new(answer, pace, open).await.expect("an answer");
            let task = spawn(std::future::pending());
            streams.started(task.abort_handle());
            taken.push((answered.into_body(), is_polled, task));
        }
        let mut given_up = 0;
        for _ in 0..5 {
            for (body, is_polled, _) in &mut taken {
                if *is_polled {
                    poll(body);
                }
            }
            given_up += streams.look(&settings).slow;
        }
        assert_eq!(given_up, 1);
        tokio::task::yield_now().await;
        let finished: Vec<_> = taken.iter().map(|(_, _, task)| task.is_finished()).collect();
        assert_eq!(finished, [true, false, false]);
    }

    #[tokio::test]
    async fn resets_are_too_many_when_they_are_more_than_half() {
        let streams = Streams::default();
        for _ in 0..RESETS_MAX {
            let (pace, open) = streams.begin();
            let answer = std::future::ready(Ok::<_, Infallible>(Response::new(pieces(&[]))));
            Answering::new(answer, pace, open).await.expect("an answer");
        }
        for number in 1..=RESETS_MAX + 1 {
            assert!(!streams.are_reset(), "after {number}");
            drop(streams.begin());
        }
        assert!(streams.are_reset());
    }
}

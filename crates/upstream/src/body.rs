//! Bodies of requests and answers.

use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mainstay_resilience::fault::Slow;

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::{Broken, Error};
use crate::http1::Http1Body;
use crate::http2::Carried;
use crate::slow::Slowed;
use crate::spot::Opened;
use crate::ticket::Running;

type Streamed = Pin<Box<dyn Body<Data = Bytes, Error = Error> + Send>>;

/// The body of a request. A clone is the same one.
#[derive(Clone)]
pub enum Payload {
    /// There is none.
    Empty,
    /// It is all here, and sent again with each try.
    Whole(Bytes),
    /// It comes bit by bit, and is sent once.
    Once(Arc<Once>),
}

/// A body that is sent once.
#[derive(Default)]
pub struct Once {
    body: Mutex<Option<Streamed>>,
    /// It has ended with an error.
    has_failed: AtomicBool,
}

impl Payload {
    /// One that comes bit by bit.
    pub fn once(body: impl Body<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        let body: Streamed = Box::pin(body);
        Self::Once(Arc::new(Once { body: Mutex::new(Some(body)), ..Once::default() }))
    }

    /// Whether it can be sent again.
    pub const fn is_kept(&self) -> bool {
        match self {
            Self::Empty | Self::Whole(_) => true,
            Self::Once(_) => false,
        }
    }

    /// Takes back what was not sent.
    pub(crate) fn restore(&self, body: RequestBody) {
        if let (Self::Once(once), RequestBody::Streamed(body, _)) = (self, body) {
            *once.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }

    /// Whether it has ended with an error, which is its client's.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Empty | Self::Whole(_) => false,
            Self::Once(once) => once.has_failed.load(Ordering::Relaxed),
        }
    }

    /// What is sent. Errors: [`Error::BodySpent`], if it was already.
    pub(crate) fn take(&self) -> Result<RequestBody, Error> {
        Ok(match self {
            Self::Empty => RequestBody::Whole(Bytes::new()),
            Self::Whole(bytes) => RequestBody::Whole(bytes.clone()),
            Self::Once(once) => {
                let taken = once.body.lock().unwrap_or_else(PoisonError::into_inner).take();
                RequestBody::Streamed(taken.ok_or(Error::BodySpent)?, Arc::clone(once))
            }
        })
    }
}

impl Debug for Payload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Once(_) => f.write_str("Once"),
        }
    }
}

/// The body of a request on its way.
pub(crate) enum RequestBody {
    /// Empty once it was sent.
    Whole(Bytes),
    Streamed(Streamed, Arc<Once>),
}

impl Debug for RequestBody {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body, once) => {
                let polled = body.as_mut().poll_frame(context);
                if matches!(polled, Poll::Ready(Some(Err(_)))) {
                    once.has_failed.store(true, Ordering::Relaxed);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(body, _) => body.size_hint(),
        }
    }
}

/// The body of an answer. Over HTTP/1.1, read to its end, its connection is kept for the next call; dropped before, the connection is closed.
#[derive(Debug)]
pub struct AnswerBody {
    /// Dropped first: who waits for room takes its connection over.
    kind: Kind,
    /// Counted at its endpoint until it is read.
    running: Option<Running>,
}

/// A connection to a service that speaks another protocol than HTTP from here on.
#[derive(Debug)]
pub struct Switched {
    /// The connection.
    pub stream: Connection,
    /// What the service has said already.
    pub said: Bytes,
    /// Counted at its endpoint until it is dropped, as a connection and as a call.
    pub counted: (Opened, Option<Running>),
}

#[derive(Debug)]
enum Kind {
    Http1(Http1Body),
    Http2 { body: Incoming, _carried: Carried },
    Slowed(Slowed),
}

impl AnswerBody {
    pub(crate) const fn http1(body: Http1Body) -> Self {
        Self { kind: Kind::Http1(body), running: None }
    }

    pub(crate) const fn http2(body: Incoming, carried: Carried) -> Self {
        Self { kind: Kind::Http2 { body, _carried: carried }, running: None }
    }

    /// The same, coming slowly.
    pub fn slowed(self, slow: Slow) -> Self {
        Self { kind: Kind::Slowed(Slowed::new(self, slow)), running: None }
    }

    /// The answer to a call that runs until it is read.
    pub(crate) fn of(mut self, running: Running) -> Self {
        self.running = Some(running);
        self
    }

    /// The endpoint that has answered.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        match (&self.running, &self.kind) {
            (Some(running), _) => Some(running.endpoint()),
            (None, Kind::Slowed(slowed)) => slowed.body().endpoint(),
            (None, Kind::Http1(_) | Kind::Http2 { .. }) => None,
        }
    }

    /// The connection itself, of an answer with status 101 over HTTP/1.1.
    pub fn switched(self) -> Option<Switched> {
        let (stream, said, opened) = match self.kind {
            Kind::Http1(body) => body.switched()?,
            Kind::Http2 { .. } => return None,
            Kind::Slowed(slowed) => return slowed.into_body().switched(),
        };
        Some(Switched { stream, said, counted: (opened, self.running) })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.get_mut().kind {
            Kind::Http1(body) => body.poll_frame(context),
            Kind::Http2 { body, .. } => Pin::new(body).poll_frame(context).map_err(Broken::Http2),
            Kind::Slowed(slowed) => slowed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2 { body, .. } => body.is_end_stream(),
            Kind::Slowed(slowed) => slowed.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2 { body, .. } => body.size_hint(),
            Kind::Slowed(slowed) => slowed.size_hint(),
        }
    }
}

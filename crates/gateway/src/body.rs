//! Bodies of answers to clients.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use mainstay_upstream::{AnswerBody, Broken, Switched};

use crate::access::Entry;
use crate::coding::Compressed;
use crate::line::Open;

/// The body of an answer to a client.
pub(crate) struct Body {
    kind: Kind,
    /// Over HTTP/1: dropped at the end of the answer.
    _open: Option<Open>,
    /// Logged when it is dropped.
    entry: Option<Box<Entry>>,
}

enum Kind {
    /// All of it; empty once it was sent.
    Whole(Bytes),
    /// As it comes from a service.
    Answer(AnswerBody),
    /// The same, compressed.
    Coded(Box<Compressed<Body>>),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(Kind::Whole(bytes.into()))
    }

    pub(crate) const fn answer(body: AnswerBody) -> Self {
        Self::new(Kind::Answer(body))
    }

    pub(crate) fn coded(body: Compressed<Self>) -> Self {
        Self::new(Kind::Coded(Box::new(body)))
    }

    const fn new(kind: Kind) -> Self {
        Self { kind, _open: None, entry: None }
    }

    /// The connection of a service that speaks another protocol from here on, and what it has said already.
    pub(crate) fn switched(self) -> Option<Switched> {
        match self.kind {
            Kind::Answer(body) => body.switched(),
            Kind::Coded(body) => body.into_plain()?.switched(),
            Kind::Whole(_) => None,
        }
    }

    /// Holds this until it is over.
    pub(crate) fn holding(self, open: Option<Open>) -> Self {
        Self { _open: open, ..self }
    }

    /// Has this logged when it is over. `is_unsent` says that nobody sees it, as with HEAD.
    pub(crate) fn logged(self, mut entry: Option<Box<Entry>>, is_unsent: bool) -> Self {
        if is_unsent || self.is_end_stream() {
            entry.iter_mut().for_each(|entry| entry.ends());
        }
        Self { entry, ..self }
    }
}

impl Kind {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Answer(body) => Pin::new(body).poll_frame(context),
            Self::Coded(body) => Pin::new(&mut **body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Answer(body) => body.is_end_stream(),
            Self::Coded(body) => body.is_end_stream(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let frame = ready!(this.kind.poll_frame(context));
        if let Some(entry) = &mut this.entry {
            match &frame {
                Some(Ok(frame)) => entry.sends(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => entry.breaks(),
                None => entry.ends(),
            }
            // Whoever sends a body of a known length does not ask for more after it.
            if matches!(frame, Some(Ok(_))) && this.kind.is_end_stream() {
                entry.ends();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Answer(body) => body.size_hint(),
            Kind::Coded(body) => body.size_hint(),
        }
    }
}

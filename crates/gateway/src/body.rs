//! Bodies of answers to clients.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use mainstay_upstream::{AnswerBody, Broken};
use tokio::net::TcpStream;

use crate::line::Open;

/// The body of an answer to a client.
pub(crate) struct Body {
    kind: Kind,
    /// Over HTTP/1: dropped at the end of the answer.
    _open: Option<Open>,
}

enum Kind {
    /// All of it; empty once it was sent.
    Whole(Bytes),
    /// As it comes from a service.
    Answer(AnswerBody),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Whole(bytes.into()), _open: None }
    }

    pub(crate) const fn answer(body: AnswerBody) -> Self {
        Self { kind: Kind::Answer(body), _open: None }
    }

    /// The connection of a service that speaks another protocol from here on, and what it has said already.
    pub(crate) fn switched(self) -> Option<(TcpStream, Bytes)> {
        match self.kind {
            Kind::Answer(body) => body.switched(),
            Kind::Whole(_) => None,
        }
    }

    /// Holds this until it is over.
    pub(crate) fn holding(self, open: Option<Open>) -> Self {
        Self { _open: open, ..self }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.get_mut().kind {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Answer(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Answer(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Answer(body) => body.size_hint(),
        }
    }
}

//! Bodies of answers that come slowly, where a fault is injected.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use mainstay_resilience::fault::{Slow, Slowing};
use tokio::time::{Instant, Sleep};

use crate::body::AnswerBody;
use crate::error::Broken;

/// How many pieces a second's bytes come in.
const PIECES_A_SECOND: u32 = 20;

/// Has answers come slowly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slower;

impl Slowing<Response<AnswerBody>> for Slower {
    fn slow(&self, answer: Response<AnswerBody>, slow: Slow) -> Response<AnswerBody> {
        answer.map(|body| body.slowed(slow))
    }
}

/// A body that comes slowly.
#[derive(Debug)]
pub(crate) struct Slowed {
    body: Box<AnswerBody>,
    slow: Slow,
    begun: Instant,
    sent_bytes: u64,
    /// Has come, and is not due yet.
    held: Bytes,
    due: Pin<Box<Sleep>>,
}

impl Slowed {
    pub(crate) fn new(body: AnswerBody, slow: Slow) -> Self {
        let begun = Instant::now();
        let due = Box::pin(tokio::time::sleep_until(begun));
        Self { body: Box::new(body), slow, begun, sent_bytes: 0, held: Bytes::new(), due }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let (held, mut hint) = (self.held.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(hint.lower() + held);
        hint
    }

    pub(crate) fn body(&self) -> &AnswerBody {
        &self.body
    }

    pub(crate) fn into_body(self) -> AnswerBody {
        *self.body
    }

    pub(crate) fn is_over(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while self.held.is_empty() {
            match ready!(Pin::new(&mut *self.body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.held = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None => return Poll::Ready(None),
            }
        }
        let piece = (self.slow.bytes_per_second.get() / PIECES_A_SECOND).max(1) as usize;
        let piece = self.held.len().min(piece);
        let due = self.begun + self.slow.after(self.sent_bytes + piece as u64).as_std();
        if self.due.deadline() != due {
            self.due.as_mut().reset(due);
        }
        ready!(self.due.as_mut().poll(context));
        self.sent_bytes += piece as u64;
        Poll::Ready(Some(Ok(Frame::data(self.held.split_to(piece)))))
    }
}

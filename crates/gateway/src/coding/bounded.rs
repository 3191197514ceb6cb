//! A body that may become so long.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, SizeHint};

use super::Polled;
use super::config::BodyLimit;
use super::error::{Error, Refusal};

/// A body of at most so many bytes. One that is longer ends with [`Refusal::Long`], and with none of the frame that was too much, so that whoever sends it on breaks off.
#[derive(Debug)]
pub struct Bounded<B> {
    body: B,
    limit: BodyLimit,
    left: u64,
    is_over: bool,
}

/// A body within its limit. Errors: it says that it is longer.
pub fn bound<B: Body<Data = Bytes> + Unpin>(body: B, limit: BodyLimit) -> Result<Bounded<B>, Refusal> {
    let left = limit.max.bytes();
    if body.size_hint().lower() > left {
        return Err(Refusal::Long { max: limit.max });
    }
    Ok(Bounded { body, limit, left, is_over: false })
}

impl<B: Body<Data = Bytes> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = Error<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<Self::Error> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context).map_err(Error::Body);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(Error::Refused(Refusal::Long { max: self.limit.max }))));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

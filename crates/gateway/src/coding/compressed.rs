//! A body that is coded on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::background::{Background, Desk};
use super::digest;
use super::encode::{Encoding, How, Then};
use super::{PIECE_BYTES_MAX, Polled};

/// A body as it is sent: coded, or as it was.
///
/// A coded one holds nothing back: when its inner body has nothing ready, all that has come from it comes out in a form that the client can decode. Its error is the inner body's,
/// and comes after all that came before it. It has to be polled in a runtime of tokio. Dropped, it leaves a piece in the background to its end.
pub struct Compressed<B: Body>(Kind<B>);

enum Kind<B: Body> {
    Plain(B),
    Coded(Box<Coded<B>>),
}

struct Coded<B: Body> {
    body: B,
    desk: Desk<Encoding>,
    short_bytes_max: usize,
    /// How many bytes went in since all that went in came out: an encoder may leave them for a later piece to work on.
    owed: usize,
    /// What of a frame is for the next piece.
    rest: Bytes,
    end: End<B::Error>,
}

/// How the inner body has ended.
enum End<E> {
    /// Not yet.
    Open,
    /// With trailers or without.
    Ended(Option<HeaderMap>),
    Failed(E),
    /// And so has this one, but for what comes out of the encoder.
    Over(Option<HeaderMap>),
}

impl<B: Body> Compressed<B> {
    pub(super) const fn plain(body: B) -> Self {
        Self(Kind::Plain(body))
    }

    pub(super) fn coded(body: B, how: How, background: &Background) -> Self {
        let desk = Desk::new(Encoding::new(how), background);
        let short_bytes_max = how.short_bytes_max();
        let coded = Coded { body, desk, short_bytes_max, owed: 0, rest: Bytes::new(), end: End::Open };
        Self(Kind::Coded(Box::new(coded)))
    }

    /// The body itself, where it is not coded.
    pub fn into_plain(self) -> Option<B> {
        match self.0 {
            Kind::Plain(body) => Some(body),
            Kind::Coded(_) => None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Coded<B> {
    fn poll(&mut self, context: &mut Context<'_>) -> Polled<B::Error> {
        loop {
            let encoding = ready!(self.desk.poll(context));
            if let Some(bytes) = encoding.take() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let End::Over(trailers) = &mut self.end {
                return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let (input, is_idle) = self.gather(context);
            let bytes: usize = input.iter().map(Bytes::len).sum();
            self.owed += bytes;
            let is_nothing = self.owed == 0;
            let then = match std::mem::replace(&mut self.end, End::Open) {
                // The rest of its last frame comes first.
                end @ (End::Ended(_) | End::Failed(_)) if !self.rest.is_empty() => {
                    self.end = end;
                    Then::More
                }
                End::Ended(trailers) => {
                    self.end = End::Over(trailers);
                    Then::End
                }
                End::Failed(error) if is_nothing => {
                    self.end = End::Over(None);
                    return Poll::Ready(Some(Err(error)));
                }
                End::Open if is_idle && is_nothing => return Poll::Pending,
                end => {
                    let is_more = matches!(end, End::Open) && !is_idle;
                    self.end = end;
                    if is_more { Then::More } else { Then::Flush }
                }
            };
            self.work(input, then, context);
        }
    }

    /// What is ready, up to a piece; and whether there is no more yet.
    fn gather(&mut self, context: &mut Context<'_>) -> (Vec<Bytes>, bool) {
        let mut input = Vec::new();
        let mut room = PIECE_BYTES_MAX;
        loop {
            if !self.rest.is_empty() {
                let piece = self.rest.split_to(self.rest.len().min(room));
                room -= piece.len();
                input.push(piece);
            }
            if room == 0 || !matches!(self.end, End::Open) {
                return (input, false);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return (input, true),
                Poll::Ready(None) => self.end = End::Ended(None),
                Poll::Ready(Some(Err(error))) => self.end = End::Failed(error),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        self.rest = bytes;
                        if self.body.is_end_stream() {
                            self.end = End::Ended(None);
                        }
                    }
                    Err(frame) => self.end = End::Ended(frame.into_trailers().ok().map(digest::without)),
                },
            }
        }
    }

    fn work(&mut self, input: Vec<Bytes>, then: Then, context: &mut Context<'_>) {
        if let Poll::Ready(encoding) = self.desk.poll(context) {
            encoding.input = input;
            encoding.then = then;
        }
        let is_short = self.owed <= self.short_bytes_max;
        if then != Then::More {
            self.owed = 0;
        }
        self.desk.begin(is_short);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Compressed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<B::Error> {
        match &mut self.0 {
            Kind::Plain(body) => Pin::new(body).poll_frame(context),
            Kind::Coded(coded) => coded.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Plain(body) => body.is_end_stream(),
            Kind::Coded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Plain(body) => body.size_hint(),
            Kind::Coded(_) => SizeHint::default(),
        }
    }
}

// The inner body is never pinned by it.
impl<B: Body> Unpin for Compressed<B> {}

//! A body whose coding is undone on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

use super::accept::items;
use super::background::{Background, Desk};
use super::config::{Coding, Decompression};
use super::decode::Decoding;
use super::digest;
use super::error::{Error, Refusal};
use super::{PIECE_BYTES_MAX, Polled};

/// So much comes out in at most about 60 µs, by the table above the module.
const SHORT_OUTPUT_BYTES: usize = 16 << 10;
/// So much goes in at a worker's own thread: what a client makes for the purpose takes far longer to decode than documents do.
const SHORT_INPUT_BYTES: usize = 4 << 10;
/// How many bytes a byte that goes in counts for, of those that come out.
const INPUT_WEIGHT: usize = SHORT_OUTPUT_BYTES / SHORT_INPUT_BYTES;
/// What is shown of a coding that is not known.
const SHOWN_CHARS_MAX: usize = 40;

/// A client's body as it is sent on: decoded, or as it was.
///
/// A decoded one ends with an error when its coding is broken, or when more comes out than may; what it gave before is right as far as it goes. A piece is
/// [`PIECE_BYTES_MAX`] at most. Errors: [`Error::Refused`]. It has to be polled in a runtime of tokio.
pub struct Decoded<B>(Kind<B>);

enum Kind<B> {
    Plain(B),
    Coded(Box<Coded<B>>),
}

struct Coded<B> {
    body: B,
    desk: Desk<Decoding>,
    /// What this thread has done since it could last do something else, in bytes that came out.
    owed: usize,
    end: End,
}

/// How the inner body has ended.
enum End {
    Open,
    /// And so has this one, but for the trailers.
    Over(Option<HeaderMap>),
}

/// A client's body without its coding, with the headers that say so: `Content-Encoding`, the length and digests are taken out of them.
///
/// Several codings on top of each other are refused: each multiplies what the one below it comes to, and no client is known to send them. Errors: [`Refusal::Unsupported`], to be
/// answered with what [`Refusal::accept_encoding`] says.
pub fn decode<B: Body<Data = Bytes> + Unpin>(
    headers: &mut HeaderMap,
    body: B,
    limits: &Decompression,
    background: &Background,
) -> Result<Decoded<B>, Refusal> {
    let Some(coding) = coding(headers)?.filter(|_| !body.is_end_stream()) else {
        return Ok(Decoded(Kind::Plain(body)));
    };
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    digest::remove(headers);
    let desk = Desk::new(Decoding::new(coding, *limits), background);
    Ok(Decoded(Kind::Coded(Box::new(Coded { body, desk, owed: 0, end: End::Open }))))
}

/// The one coding of a body, if it has one.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    const NAME: HeaderName = CONTENT_ENCODING;
    let is_coding = |name: &&str| !name.eq_ignore_ascii_case("identity");
    let mut named = items(headers, NAME).filter(is_coding);
    let coding = match (named.next(), named.next()) {
        (None, _) if headers.get_all(NAME).iter().all(|line| line.to_str().is_ok()) => return Ok(None),
        (Some(one), None) => Coding::named(one),
        _ => None,
    };
    coding.map(Some).ok_or_else(|| {
        let all: Vec<&str> = items(headers, NAME).collect();
        Refusal::Unsupported { named: all.join(", ").chars().take(SHOWN_CHARS_MAX).collect() }
    })
}

impl<B: Body<Data = Bytes> + Unpin> Coded<B> {
    fn poll(&mut self, context: &mut Context<'_>) -> Polled<Error<B::Error>> {
        loop {
            let was_busy = self.desk.is_busy();
            let Poll::Ready(decoding) = self.desk.poll(context) else {
                self.owed = 0;
                return Poll::Pending;
            };
            if let Some(bytes) = decoding.take() {
                if !was_busy {
                    self.owed += bytes.len();
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(refusal) = decoding.refused() {
                return Poll::Ready(Some(Err(self.fail(Error::Refused(refusal)))));
            }
            if let End::Over(trailers) = &mut self.end {
                return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if !decoding.is_waiting() {
                let taken = decoding.input.len();
                let is_short = taken <= SHORT_INPUT_BYTES && self.owed <= SHORT_OUTPUT_BYTES / 2;
                decoding.room = if is_short { SHORT_OUTPUT_BYTES - self.owed } else { PIECE_BYTES_MAX };
                self.owed += if is_short { taken * INPUT_WEIGHT } else { 0 };
                self.desk.begin(is_short);
                continue;
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => {
                    self.owed = 0;
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(self.fail(Error::Body(error)))));
                }
                Poll::Ready(frame) => frame.and_then(Result::ok),
            };
            match frame.map(Frame::into_data) {
                Some(Ok(bytes)) => ready!(self.desk.poll(context)).input = bytes,
                other => {
                    if let Err(refusal) = ready!(self.desk.poll(context)).end() {
                        return Poll::Ready(Some(Err(self.fail(Error::Refused(refusal)))));
                    }
                    let trailers = other.and_then(Result::err).and_then(|frame| frame.into_trailers().ok());
                    self.end = End::Over(trailers.map(digest::without));
                }
            }
        }
    }

    /// Nothing follows an error.
    fn fail(&mut self, error: Error<B::Error>) -> Error<B::Error> {
        self.end = End::Over(None);
        error
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Decoded<B> {
    type Data = Bytes;
    type Error = Error<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<Self::Error> {
        match &mut self.0 {
            Kind::Plain(body) => Pin::new(body).poll_frame(context).map_err(Error::Body),
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
impl<B> Unpin for Decoded<B> {}

//! Bodies of requests on their way to a service: bounded, decompressed, kept where they are small.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use mainstay_upstream::{Error, Payload};

use crate::coding::{self, Background, BodyLimit, Refusal, bound, decode};
use crate::head::http2;
use crate::snapshot::Route;

/// The largest body that is taken in before it is sent on, so that it can be sent again.
const KEPT_BODY_BYTES_MAX: u64 = 16 << 10;

/// Why a body was refused that had begun to be sent on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused(Option<Arc<OnceLock<Refusal>>>);

/// Why a request is not sent on.
#[derive(Debug)]
pub(crate) enum NoPayload {
    /// Its body is refused.
    Refused(Refusal),
    /// Its body did not arrive.
    Gone,
}

impl Refused {
    /// Why it was, if it was.
    pub(crate) fn why(&self) -> Option<&Refusal> {
        self.0.as_ref()?.get()
    }
}

/// The body of a request as its route takes it; a small one is kept if `keeps` says so. What a decoded one is no more is taken out of the headers.
pub(crate) async fn payload<B>(
    body: B,
    headers: &mut HeaderMap,
    (route, keeps): (&Route, bool),
    background: &Background,
) -> Result<(Payload, Refused), NoPayload>
where
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    if body.is_end_stream() {
        return Ok((Payload::Empty, Refused::default()));
    }
    match (route.body, route.decompression) {
        (None, None) => keep(Arriving::new(body, |_| None), keeps).await,
        (Some(limit), None) => {
            let body = bound(body, limit).map_err(NoPayload::Refused)?;
            keep(Arriving::new(body, refusal), keeps).await
        }
        (limit, Some(limits)) => {
            let limit = limit.unwrap_or(BodyLimit { max: BodyLimit::MOST });
            let body = bound(body, limit).map_err(NoPayload::Refused)?;
            let body = decode(headers, body, &limits, background).map_err(NoPayload::Refused)?;
            let arriving = Arriving::new(body, |error: coding::Error<_>| refusal(error.flatten()));
            keep(arriving, keeps).await
        }
    }
}

fn refusal<E>(error: coding::Error<E>) -> Option<Refusal> {
    match error {
        coding::Error::Refused(refusal) => Some(refusal),
        coding::Error::Body(_) => None,
    }
}

/// Takes in a small body, which can be sent again then; a larger one is sent as it comes, as all are if none are kept.
async fn keep<B>(body: Arriving<B>, keeps: bool) -> Result<(Payload, Refused), NoPayload>
where
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    let refused = body.refused.clone();
    if keeps && body.size_hint().exact().is_some_and(|bytes| bytes <= KEPT_BODY_BYTES_MAX) {
        return match body.collect().await {
            Ok(whole) => Ok((Payload::Whole(whole.to_bytes()), refused)),
            Err(_) => Err(refused.why().cloned().map_or(NoPayload::Gone, NoPayload::Refused)),
        };
    }
    Ok((Payload::once(body), refused))
}

/// A client's body, as it comes.
struct Arriving<B: Body> {
    body: B,
    refusal: fn(B::Error) -> Option<Refusal>,
    refused: Refused,
    /// It had trailers that it must not have: it never ends.
    has_odd_trailers: bool,
}

impl<B: Body> Arriving<B> {
    fn new(body: B, refusal: fn(B::Error) -> Option<Refusal>) -> Self {
        Self { body, refusal, refused: Refused(Some(Arc::default())), has_odd_trailers: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.has_odd_trailers {
            return Poll::Ready(Some(Err(Error::Body)));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.trailers_ref().is_some_and(|trailers| !http2::are_trailers(trailers))
        {
            // The guard has seen those of HTTP/1; these came over HTTP/2.
            self.has_odd_trailers = true;
            return Poll::Ready(Some(Err(Error::Body)));
        }
        polled.map_err(|error| {
            if let (Some(refusal), Some(cell)) = ((self.refusal)(error), &self.refused.0) {
                // A body ends with one error; the first is kept.
                let _ = cell.set(refusal);
            }
            Error::Body
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

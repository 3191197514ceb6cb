//! One call over a connection: a request is written while its answer is waited for and read.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use mainstay_resilience::{Call, Facts};
use tokio::io::AsyncWrite;

use super::body::Http1Body;
use super::decode::{self, Answer};
use super::encode::{self, Length};
use super::{Client, Shared};
use crate::body::{AnswerBody, RequestBody};
use crate::connection::Connection;
use crate::error::{Broken, Error};
use crate::request::Request;

/// A body up to this size is copied behind its head, so that both are one write.
const COPIED_BYTES_MAX: usize = 8 << 10;

/// Sends a request over a connection, and waits for the head of its answer.
pub(crate) async fn send(
    mut client: Box<Client>,
    call: &Call<Request>,
    pool: Shared,
) -> Result<Response<AnswerBody>, Error> {
    let Call { request, facts } = call;
    let endpoint = pool.endpoint();
    let mut upload = Upload::new(request.payload.take()?);
    let was_used = std::mem::replace(&mut client.is_used, true);
    // A new connection has taken some of the time that is told.
    let now = if was_used { facts.now } else { pool.now() };
    let facts = Facts { now, ..*facts };
    encode::head(&mut client.unwritten, &request.head, &facts, upload.length(), endpoint);
    let head = poll_fn(|context| poll_head(&mut client, &mut upload, &request.head.method, context));
    let Answer { response, framing, is_kept } = head.await.map_err(|failed| match failed {
        Failed::Body => Error::Body,
        Failed::NotSent(_) if was_used => Error::NotSent { endpoint },
        Failed::NotSent(source) | Failed::Broken(source) => Error::Failed { endpoint, source },
    })?;
    let body = Http1Body::new(client, upload, framing, is_kept, pool);
    Ok(response.map(|()| AnswerBody::http1(body)))
}

/// Why there is no head of an answer.
enum Failed {
    /// The request's body did not arrive.
    Body,
    /// Nothing was sent.
    NotSent(Broken),
    /// Something was.
    Broken(Broken),
}

fn poll_head(
    client: &mut Client,
    upload: &mut Upload,
    method: &Method,
    context: &mut Context<'_>,
) -> Poll<Result<Answer, Failed>> {
    upload.poll(client, context).map_err(|_| Failed::Body)?;
    loop {
        while !client.come.is_empty() {
            let Client { come, names, .. } = &mut *client;
            let Some(answer) = decode::head(come, method, names).map_err(Failed::Broken)? else { break };
            // What goes before the answer proper, such as 100 (Continue), is not passed on.
            if !answer.response.status().is_informational()
                || answer.response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                return Poll::Ready(Ok(answer));
            }
        }
        let has_come = ready!(client.poll_read(context));
        if !has_come.as_ref().is_ok_and(|has_come| *has_come) {
            let why = has_come.err().or_else(|| upload.why()).unwrap_or(Broken::Ended);
            return Poll::Ready(Err(if upload.has_sent {
                Failed::Broken(why)
            } else {
                Failed::NotSent(why)
            }));
        }
    }
}

/// What is still to be sent of a request.
#[derive(Debug)]
pub(super) struct Upload {
    /// None once all of it was taken.
    body: Option<RequestBody>,
    is_chunked: bool,
    /// How many bytes of the length that was told are still to come.
    lacking: u64,
    /// Data that is written after what the client has unwritten, and what is written after it.
    data: Bytes,
    after: Bytes,
    has_sent: bool,
    /// TLS may hold some of what was written.
    is_unflushed: bool,
    /// The service is to be told that nothing more comes.
    is_ending: bool,
    /// Why nothing more is written: the connection can be used for nothing else. The service may have answered before.
    failed: Option<Stop>,
}

/// Why nothing more of a request is written.
#[derive(Debug)]
enum Stop {
    /// The connection takes nothing more.
    Io(std::io::Error),
    /// Its body did not arrive, or is not as long as was told.
    Body,
}

impl Upload {
    fn new(body: RequestBody) -> Self {
        let exact = body.size_hint().exact();
        let is_chunked = !body.is_end_stream() && exact.is_none();
        let body = (!body.is_end_stream()).then_some(body);
        let (data, after) = (Bytes::new(), Bytes::new());
        Self {
            body,
            is_chunked,
            lacking: exact.unwrap_or(0),
            data,
            after,
            has_sent: false,
            is_unflushed: false,
            is_ending: false,
            failed: None,
        }
    }

    fn length(&self) -> Length {
        match &self.body {
            None => Length::None,
            Some(_) if self.is_chunked => Length::Chunked,
            Some(_) => Length::Exact(self.lacking),
        }
    }

    /// Why the connection takes nothing more, if that is so.
    fn why(&mut self) -> Option<Broken> {
        match self.failed.take()? {
            Stop::Io(error) => Some(Broken::Io(error)),
            Stop::Body => None,
        }
    }

    /// Whether all is written.
    pub(super) fn is_over(&self, client: &Client) -> bool {
        self.body.is_none() && self.failed.is_none() && !self.has_unwritten(client)
    }

    fn has_unwritten(&self, client: &Client) -> bool {
        client.unwritten.has_remaining()
            || self.data.has_remaining()
            || self.after.has_remaining()
            || self.is_unflushed
    }

    /// Writes what can be written. Errors, once: the body did not arrive. The service is told by the end of what it reads, and the request is never over.
    pub(super) fn poll(&mut self, client: &mut Client, context: &mut Context<'_>) -> Result<(), Error> {
        self.poll_end(client, context);
        while self.failed.is_none() {
            // A small body goes out with its head.
            while client.unwritten.len() < COPIED_BYTES_MAX && !self.data.has_remaining() {
                let Some(body) = &mut self.body else { break };
                let sent = match Pin::new(body).poll_frame(context) {
                    Poll::Ready(Some(frame)) => frame.and_then(|frame| self.take(client, frame)),
                    Poll::Ready(None) => self.end(client, None),
                    Poll::Pending => break,
                };
                if sent.is_err() {
                    (self.failed, self.body) = (Some(Stop::Body), None);
                    // What was not written yet would be no more than a part of it either.
                    self.is_ending = true;
                    self.poll_end(client, context);
                    return sent;
                }
            }
            if !self.has_unwritten(client) || self.write(client, context).is_pending() {
                break;
            }
        }
        Ok(())
    }

    /// Tells the service that nothing more comes, which with TLS takes room for some bytes.
    fn poll_end(&mut self, client: &mut Client, context: &mut Context<'_>) {
        self.is_ending = self.is_ending && Pin::new(&mut client.stream).poll_shutdown(context).is_pending();
    }

    fn take(&mut self, client: &mut Client, frame: http_body::Frame<Bytes>) -> Result<(), Error> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if !self.is_chunked {
                    self.lacking = self.lacking.checked_sub(data.len() as u64).ok_or(Error::Body)?;
                }
                if self.is_chunked {
                    encode::chunk_size(&mut client.unwritten, data.len());
                }
                let after = if self.is_chunked { encode::CHUNK_END } else { Bytes::new() };
                if data.len() <= COPIED_BYTES_MAX {
                    client.unwritten.extend_from_slice(&data);
                    client.unwritten.extend_from_slice(&after);
                } else {
                    (self.data, self.after) = (data, after);
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.end(client, Some(&trailers))?;
                }
            }
        }
        match &self.body {
            Some(body) if body.is_end_stream() => self.end(client, None),
            Some(_) | None => Ok(()),
        }
    }

    fn end(&mut self, client: &mut Client, trailers: Option<&http::HeaderMap>) -> Result<(), Error> {
        if self.lacking > 0 {
            return Err(Error::Body);
        }
        if self.body.take().is_none() || !self.is_chunked {
            return Ok(());
        }
        if self.data.has_remaining() {
            // Behind the data.
            let mut after = bytes::BytesMut::from(&self.after[..]);
            encode::last_chunk(&mut after, trailers);
            self.after = after.freeze();
        } else {
            encode::last_chunk(&mut client.unwritten, trailers);
        }
        Ok(())
    }

    fn write(&mut self, client: &mut Client, context: &mut Context<'_>) -> Poll<()> {
        let Client { stream, unwritten, .. } = client;
        let is_tls = matches!(stream, Connection::Tls(_));
        let stream = Pin::new(stream);
        let written = if self.data.has_remaining() || self.after.has_remaining() {
            let parts = [IoSlice::new(unwritten), IoSlice::new(&self.data), IoSlice::new(&self.after)];
            ready!(stream.poll_write_vectored(context, &parts))
        } else if unwritten.has_remaining() {
            ready!(stream.poll_write(context, unwritten))
        } else {
            let flushed = ready!(stream.poll_flush(context));
            self.is_unflushed = false;
            flushed.map(|()| 0)
        };
        match written {
            Ok(mut written) => {
                self.has_sent |= written > 0;
                self.is_unflushed |= is_tls && written > 0;
                let parts: [&mut dyn Buf; 3] = [unwritten, &mut self.data, &mut self.after];
                for part in parts {
                    let of_part = written.min(part.remaining());
                    part.advance(of_part);
                    written -= of_part;
                }
            }
            Err(error) => {
                // Records before the one that failed may have gone out.
                self.has_sent |= is_tls;
                (self.failed, self.body) = (Some(Stop::Io(error)), None);
            }
        }
        Poll::Ready(())
    }
}

//! The body of an answer over HTTP/1.1.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::decode::{Framing, Piece};
use super::exchange::Upload;
use super::{Client, Shared};
use crate::connection::Connection;
use crate::error::Broken;
use crate::spot::Opened;

/// The body of an answer over HTTP/1.1, and what is left to be sent of its request. Read to its end, its connection is kept for the next call; dropped before, the connection is closed.
#[derive(Debug)]
pub(crate) struct Http1Body {
    framing: Framing,
    /// None once the answer is over.
    from: Option<From>,
}

#[derive(Debug)]
struct From {
    client: Box<Client>,
    /// None once all of the request is sent.
    upload: Option<Box<Upload>>,
    is_kept: bool,
    pool: Shared,
}

impl Http1Body {
    pub(super) fn new(
        client: Box<Client>,
        upload: Upload,
        framing: Framing,
        is_kept: bool,
        pool: Shared,
    ) -> Self {
        let upload = (!upload.is_over(&client)).then(|| Box::new(upload));
        let mut body = Self { framing, from: Some(From { client, upload, is_kept, pool }) };
        if framing == Framing::Over {
            body.land();
        }
        body
    }

    /// Keeps the connection for the next call, if it may carry one.
    fn land(&mut self) {
        // A request that the service did not read to its end leaves a connection that nobody can use.
        if let Some(From { client, upload: None, is_kept: true, pool }) = self.from.take()
            && client.come.is_empty()
        {
            pool.keep(client);
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let Some(from) = &mut self.from else { return Poll::Ready(None) };
            if let Some(upload) = &mut from.upload {
                // Where the rest of the request does not arrive, the answer may be all there is to it: it goes on, and its connection with it.
                let sent = upload.poll(&mut from.client, context);
                if sent.is_ok() && upload.is_over(&from.client) {
                    from.upload = None;
                }
            }
            let piece = self.framing.next(&mut from.client.come);
            if self.framing == Framing::Over {
                self.land();
            }
            match piece {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::Wait) => {}
                Err(broken) => return self.broken(broken),
            }
            let Some(from) = &mut self.from else { return Poll::Ready(None) };
            match ready!(from.client.poll_read(context)) {
                Ok(true) => {}
                Ok(false) if self.framing == Framing::Close => {
                    self.framing = Framing::Over;
                    self.from = None;
                }
                Ok(false) => return self.broken(Broken::Ended),
                Err(broken) => return self.broken(broken),
            }
        }
    }

    fn broken(&mut self, broken: Broken) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.from = None;
        Poll::Ready(Some(Err(broken)))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.from.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(bytes) => SizeHint::with_exact(bytes),
            Framing::Over => SizeHint::with_exact(0),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }

    /// The connection itself, of a service that speaks another protocol from here on; and what came of that already.
    pub(crate) fn switched(self) -> Option<(Connection, Bytes, Opened)> {
        let From { client, .. } = self.from?;
        let Client { stream, come, opened, .. } = *client;
        Some((stream, come, opened))
    }
}

//! Connections over HTTP/1.1, each of which carries one call at a time.
//!
//! Whoever waits for an answer drives the connection, then whoever reads the answer's body; between calls it lies in its pool, and nobody does. A head is written straight from
//! the headers of the request, and what was read becomes the answer's headers and body without being copied.
//!
//! An answer is taken only if it can be read in one way (RFC 9112, section 6.3): one that has both lengths, or a length twice, is refused.

mod body;
mod decode;
mod encode;
mod exchange;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mainstay_base::time::Instant;
use tokio_util::io::poll_read_buf;

pub(crate) use body::Http1Body;
pub(crate) use exchange::send;

use crate::connection::Connection;
use crate::error::Broken;
use crate::pool::Pool;
use crate::spot::Opened;

use decode::Names;

/// What is read at a time, at least, and at most where an answer is long.
const ROOM_BYTES: usize = 8 << 10;
const ROOM_BYTES_MAX: usize = 64 << 10;

/// Where a connection goes back to.
type Shared = Arc<Pool>;

/// A connection that nobody else uses. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Connection,
    /// What came and was not looked at.
    come: Bytes,
    /// Where more is read into.
    room: BytesMut,
    room_bytes: usize,
    names: Names,
    /// What is to be written.
    unwritten: BytesMut,
    /// Whether it has carried a call.
    is_used: bool,
    /// It carries no calls from then on.
    until: Instant,
    opened: Opened,
}

impl Client {
    /// Over a new connection.
    pub(crate) fn new(stream: Connection, until: Instant, opened: Opened) -> Self {
        let (room, unwritten) = (BytesMut::new(), BytesMut::new());
        Self {
            stream,
            come: Bytes::new(),
            room,
            room_bytes: ROOM_BYTES,
            names: Names::default(),
            unwritten,
            is_used: false,
            until,
            opened,
        }
    }

    /// Whether it can take a call: nothing has come that nobody asked for, nor its end.
    pub(crate) fn is_open(&mut self, context: &mut Context<'_>) -> bool {
        self.stream.is_quiet(context)
    }

    /// From when on it carries no calls.
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// The same, which lay idle with another thread. Errors: the system's, and the connection is closed.
    pub(crate) fn taken_over(self) -> io::Result<Self> {
        let stream = self.stream.taken_over()?;
        Ok(Self { stream, ..self })
    }

    /// Reads more, behind what was not looked at. Returns whether there was any: not at the end of the connection.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        self.room.clear();
        self.room.reserve(self.come.len() + self.room_bytes);
        self.room.extend_from_slice(&self.come);
        let come = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.room));
        let come = come.map_err(Broken::Io)?;
        if come >= self.room_bytes {
            self.room_bytes = (self.room_bytes * 2).min(ROOM_BYTES_MAX);
        }
        self.come = self.room.split().freeze();
        Poll::Ready(Ok(come > 0))
    }
}

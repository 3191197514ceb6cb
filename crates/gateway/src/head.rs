//! What guards HTTP/1 connections before they are parsed.
//!
//! A [`Guard`] sees every byte that a client sends before the parser does, follows the framing from one head to the next, and refuses whatever two parsers could
//! read differently. Parsers are made to take what they can; request smuggling lives on two of them taking it in two ways, so what passes here is what RFC 9112 has exactly one
//! reading for, and a little less. A page for people, docs/gateway/strictness.md, has every reason.
//!
//! - The bytes of a head pass when it is complete and right, those of a body as they come, and those of trailers with the end of the body: a parser sees no part of what is
//!   refused later, but for the data of a body.
//! - The verdict, and the bytes that pass before it, are the same however the bytes are cut into reads.
//! - It holds no bytes and looks for no line's end twice; only a head that comes in several reads takes an allocation.
//!
//! It must not know sockets, time, routes or services, and changes no byte.

mod authority;
mod byte;
mod chunks;
mod field;
pub(crate) mod http2;
mod limits;
mod lines;
mod names;
mod reason;
mod request;
mod request_line;
#[cfg(test)]
mod tests;

use chunks::{Chunks, Step};
use field::Field;
pub use limits::{Limits, Underscores};
use lines::Lines;
pub use reason::{Reason, Refusal};
use request::{Body, Headers, Request};
use request_line::{Method, RequestLine};

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing of a request has come yet.
    Fresh,
    /// Between two requests: nothing of the next one has come. An empty line is nothing.
    Idle,
    /// Between two requests: a next one waits, since `pipelined_max` are ahead of their answers.
    Full,
    /// Within a head, or within the preface of HTTP/2.
    Head,
    /// Within a body or its trailers.
    Body,
    /// After a request whose answer says whether HTTP goes on. What follows waits until then.
    Verdict,
    /// After a request that was to be the last. What follows never passes.
    Closing,
    /// HTTP no more: all bytes pass.
    Opaque,
    /// HTTP/2 from the first byte: all bytes pass.
    Http2,
    /// Refused. What follows never passes.
    Refused,
}

/// The limits as they are compared with.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    head_size_max: usize,
    request_line_size_max: usize,
    header_size_max: usize,
    headers_max: usize,
    trailers_size_max: usize,
    trailers_max: usize,
    pipelined_max: u32,
    underscores: Underscores,
    connect: bool,
}

impl From<Limits> for Bounds {
    fn from(limits: Limits) -> Self {
        let bytes = |size: mainstay_base::units::Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            head_size_max: bytes(limits.head_size_max),
            request_line_size_max: bytes(limits.request_line_size_max),
            header_size_max: bytes(limits.header_size_max),
            headers_max: count(limits.headers_max),
            trailers_size_max: bytes(limits.trailers_size_max),
            trailers_max: count(limits.trailers_max),
            pipelined_max: limits.pipelined_max,
            underscores: limits.underscores,
            connect: limits.connect,
        }
    }
}

/// Where in the stream the next byte is.
#[derive(Debug, Clone, Copy)]
enum At {
    Between,
    Length(u64),
    Chunks(Chunks),
    Verdict,
    Closing,
    Opaque,
    Http2,
}

/// A head that has come in part.
#[derive(Debug, Clone, Default)]
struct Partial {
    lines: Lines,
    line: Option<RequestLine>,
    headers: Headers,
}

/// Judges what a client sends on one connection, of which it is told every byte in order.
#[derive(Debug, Clone)]
pub struct Guard {
    bounds: Bounds,
    at: At,
    /// Something of the next head has come.
    has_begun: bool,
    /// The next head, as far as it has come in earlier reads.
    partial: Option<Box<Partial>>,
    refusal: Option<Refusal>,
    heads: u64,
    /// Requests whose heads have passed and whose answers are not told yet.
    unanswered: u32,
    /// The last request.
    expects_continue: bool,
    closes: bool,
    may_switch: bool,
    has_switched: bool,
}

impl Guard {
    /// A guard of a new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            bounds: limits.into(),
            at: At::Between,
            has_begun: false,
            partial: None,
            refusal: None,
            heads: 0,
            unanswered: 0,
            expects_continue: false,
            closes: false,
            may_switch: false,
            has_switched: false,
        }
    }

    /// How many of the first `bytes` may be passed on now: those that have come and were not passed, in order. The rest is to be given again, with what has come
    /// since; but for those of a head, which it bounds by its limits, it is for the caller to bound them.
    ///
    /// At most one head begins in what one call passes, so that what is told of the last request is told of each. To be called with what is left until nothing passes,
    /// and again when bytes have come or a request was [`answered`](Self::answered).
    ///
    /// Cost: a head that is whole is read in place. One that comes in parts goes on where it was, and takes one allocation.
    ///
    /// Errors: the first of what is wrong, when all before it has passed; and again whenever it is called after that.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let heads = self.heads;
        let mut passed = 0;
        while passed < bytes.len() {
            let rest = &bytes[passed..];
            let step = match &mut self.at {
                At::Between if self.heads > heads => break,
                At::Between => self.between(rest),
                At::Length(left) => {
                    let step = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= step as u64;
                    if *left == 0 {
                        self.end_body();
                    }
                    Ok(step)
                }
                At::Chunks(chunks) => match chunks.step(rest, &self.bounds) {
                    Ok(Step::Wait) => Ok(0),
                    Ok(Step::Pass(step)) => Ok(step),
                    Ok(Step::End(step)) => {
                        self.end_body();
                        Ok(step)
                    }
                    Err(refusal) => Err(refusal),
                },
                At::Verdict | At::Closing => break,
                At::Opaque | At::Http2 => Ok(rest.len()),
            };
            match step {
                Ok(0) => break,
                Ok(step) => passed += step,
                Err(refusal) => {
                    self.refusal = Some(refusal);
                    return if passed == 0 { Err(refusal) } else { Ok(passed) };
                }
            }
        }
        Ok(passed)
    }

    /// To be called once for each request whose head has passed, in their order, when its final answer is known: whether that answer makes the connection another
    /// than HTTP, which are 101, and a success of CONNECT.
    ///
    /// # Panics
    ///
    /// When no request is without an answer, or the last one had not asked to switch.
    pub fn answered(&mut self, switched: bool) {
        assert!(self.unanswered > 0, "an answer belongs to a request");
        self.unanswered -= 1;
        // The one that may switch is the last that passes.
        let is_verdict = self.may_switch && self.unanswered == 0;
        assert!(is_verdict || !switched, "only a request that asks for it switches");
        if is_verdict {
            self.may_switch = false;
            self.has_switched = switched;
            if matches!(self.at, At::Verdict) {
                self.end_body();
            }
        }
    }

    /// Where the connection is.
    pub fn state(&self) -> State {
        match self.at {
            _ if self.refusal.is_some() => State::Refused,
            At::Between if self.has_begun => State::Head,
            At::Between if self.unanswered >= self.bounds.pipelined_max => State::Full,
            At::Between if self.heads == 0 => State::Fresh,
            At::Between => State::Idle,
            At::Length(_) | At::Chunks(_) => State::Body,
            At::Verdict => State::Verdict,
            At::Closing => State::Closing,
            At::Opaque => State::Opaque,
            At::Http2 => State::Http2,
        }
    }

    /// Whether the next byte is of the body or the trailers of the request whose head passed last, also if it is refused.
    pub fn is_in_body(&self) -> bool {
        matches!(self.at, At::Length(_) | At::Chunks(_))
    }

    /// How many heads have passed.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// How many requests whose heads have passed were not [`answered`](Self::answered).
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Whether the request whose head passed last has a body and may wait with it for 100 (Continue).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the request whose head passed last is to be the last: it says so, or it is HTTP/1.0 and does not ask to keep the connection.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Whether the request whose head passed last may make the connection another than HTTP, which its answer was not told to yet.
    pub fn may_switch(&self) -> bool {
        self.may_switch
    }

    /// What follows the last request, when all of it has passed.
    fn end_body(&mut self) {
        self.at = match () {
            () if self.has_switched => At::Opaque,
            () if self.may_switch => At::Verdict,
            () if self.closes => At::Closing,
            () => At::Between,
        };
    }

    fn between(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        if self.unanswered >= self.bounds.pipelined_max {
            return Ok(0);
        }
        let Some(begin) = skip_empty_line(bytes)? else { return Ok(0) };
        self.has_begun = true;
        if begin == 0 && self.heads == 0 && bytes.starts_with(&PREFACE[..4]) {
            return self.preface(bytes);
        }
        if byte::class(bytes[begin]) & byte::TOKEN == 0 {
            // What follows it may not have come.
            return Err(Reason::Method.at(&bytes[begin..=begin]));
        }
        let (request, len) = match self.partial.take() {
            None => {
                let mut partial = Partial { lines: Lines::from(begin), ..Partial::default() };
                let Some(found) = partial.read(bytes, &self.bounds)? else {
                    self.partial = Some(Box::new(partial));
                    return Ok(0);
                };
                found
            }
            Some(mut partial) => {
                let Some(found) = partial.read(bytes, &self.bounds)? else {
                    self.partial = Some(partial);
                    return Ok(0);
                };
                found
            }
        };
        self.begin(request);
        Ok(len)
    }

    fn preface(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let come = bytes.len().min(PREFACE.len());
        if bytes[..come] != PREFACE[..come] {
            return Err(Reason::Preface.at(b"PRI"));
        }
        if come < PREFACE.len() {
            return Ok(0);
        }
        self.partial = None;
        self.at = At::Http2;
        Ok(bytes.len())
    }

    /// A head has passed.
    fn begin(&mut self, request: Request) {
        self.has_begun = false;
        self.heads += 1;
        self.unanswered += 1;
        self.expects_continue = request.expects_continue;
        self.closes = request.closes;
        self.may_switch = request.may_switch;
        match request.body {
            Body::Length(0) => self.end_body(),
            Body::Length(length) => self.at = At::Length(length),
            Body::Chunked => self.at = At::Chunks(Chunks::Size),
        }
    }
}

/// Where a request begins: after at most one empty line, which RFC 9112, section 2.2, asks to take, since clients of old end a body with one too many. None if that
/// is not certain yet.
fn skip_empty_line(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    match bytes {
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Reason::EmptyLines.here()),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r', ..] => Err(Reason::BareCr.here()),
        [b'\n', ..] => Err(Reason::BareLf.here()),
        _ => Ok(Some(0)),
    }
}

impl Partial {
    /// The request of the head that `bytes` begin with, and how many of them are the head; none if it is not complete.
    fn read(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<(Request, usize)>, Refusal> {
        let all = (bounds.head_size_max, Reason::HeadTooLarge);
        let line = match &self.line {
            Some(line) => line,
            None => {
                let at = self.lines.next;
                let max = (bounds.request_line_size_max, Reason::RequestLineTooLarge);
                let Some(text) = self.lines.read(bytes, max, all)? else { return Ok(None) };
                let line = RequestLine::read(text, at)?;
                if line.method == Method::Connect && !bounds.connect {
                    return Err(Reason::ConnectRefused.here());
                }
                self.line.insert(line)
            }
        };
        let max = (bounds.header_size_max, Reason::HeaderTooLarge);
        loop {
            let at = self.lines.next;
            let Some(text) = self.lines.read(bytes, max, all)? else { return Ok(None) };
            if text.is_empty() {
                let request = self.headers.finish(line, bytes)?;
                return Ok(Some((request, self.lines.next)));
            }
            if self.headers.count == bounds.headers_max {
                return Err(Reason::HeadersTooMany.here());
            }
            let field = Field::read(text, self.headers.count == 0, bounds.underscores)?;
            self.headers.take(&field, at)?;
            self.headers.count += 1;
        }
    }
}

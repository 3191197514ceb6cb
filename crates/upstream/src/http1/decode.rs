//! Answers as they are read.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};

use crate::error::Broken;

/// The most headers of an answer, and the most bytes of its head.
const HEADERS_MAX: usize = 128;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest line that says how long a chunk is.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its bytes, of which so many are left.
    Length(u64),
    /// By its last chunk.
    Chunked(Chunk),
    /// By the end of the connection.
    Close,
    /// There is nothing more.
    Over,
}

/// Where in a body of chunks the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the line that says how long it is.
    Size,
    /// In its data, of which so many bytes are left.
    Data(u64),
    /// In what stands after its data.
    DataEnd,
    /// In what stands after the last one.
    Trailers,
}

/// A head, and what follows it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection carries another call after this one.
    pub(super) is_kept: bool,
}

/// The names of the headers of the last answer: most answers of a service have the same in the same order.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(Box<[u8]>, HeaderName)>);

impl Names {
    /// So many are kept, of so many bytes at most.
    const KEPT_MAX: usize = 32;
    const KEPT_BYTES_MAX: usize = 64;

    /// The name that is written at a place. Errors: it is none.
    fn name(&mut self, place: usize, written: &str) -> Result<HeaderName, Broken> {
        if let Some((seen, name)) = self.0.get(place)
            && **seen == *written.as_bytes()
        {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(written.as_bytes())
            .map_err(|_| Broken::Answer("a header's name is no token"))?;
        if written.len() <= Self::KEPT_BYTES_MAX && place <= self.0.len() && place < Self::KEPT_MAX {
            self.0.truncate(place);
            self.0.push((written.as_bytes().into(), name.clone()));
        }
        Ok(name)
    }
}

/// The head that the bytes begin with, which are taken out; none if it is not complete.
pub(super) fn head(come: &mut Bytes, method: &Method, names: &mut Names) -> Result<Option<Answer>, Broken> {
    let bytes = come.clone();
    let mut uninit = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let head_bytes = match config.parse_response_with_uninit_headers(&mut parsed, &bytes, &mut uninit) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Broken::Answer("its head is longer than 64KiB")),
        Err(error) => return Err(Broken::Head(error)),
    };
    come.advance(head_bytes);
    let status = StatusCode::from_u16(parsed.code.unwrap_or(0))
        .map_err(|_| Broken::Answer("its status is no number of three digits"))?;
    let mut response = Response::new(());
    let seen = headers(response.headers_mut(), &bytes, parsed.headers, status, names)?;
    let framing = framing(method, status, &seen)?;
    let is_new = parsed.version == Some(1);
    *response.status_mut() = status;
    *response.version_mut() = if is_new { Version::HTTP_11 } else { Version::HTTP_10 };
    let is_kept = framing != Framing::Close && !seen.closes && (is_new || seen.keeps);
    Ok(Some(Answer { response, framing, is_kept }))
}

/// What a head says of its connection and its body.
#[derive(Debug, Default)]
struct Seen {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps: bool,
}

/// Takes the headers of an answer, without those of the single connection.
fn headers(
    to: &mut HeaderMap,
    bytes: &Bytes,
    fields: &[httparse::Header<'_>],
    status: StatusCode,
    names: &mut Names,
) -> Result<Seen, Broken> {
    to.reserve(fields.len());
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let (mut seen, mut names_others) = (Seen::default(), false);
    for (place, field) in fields.iter().enumerate() {
        let name = names.name(place, field.name)?;
        match name {
            header::CONTENT_LENGTH => {
                let length = digits(field.value).ok_or(Broken::Answer("its Content-Length is no number"))?;
                if seen.length.replace(length).is_some() {
                    return Err(Broken::Answer("it has more than one Content-Length"));
                }
            }
            header::TRANSFER_ENCODING => {
                if seen.is_chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Broken::Answer("its Transfer-Encoding is not `chunked`"));
                }
                seen.is_chunked = true;
                continue;
            }
            header::CONNECTION => {
                names_others |= connection(&mut seen, field.value);
                continue;
            }
            header::UPGRADE if !switches => continue,
            // Of the single connection, whether that is said or not.
            _ if name == KEEP_ALIVE => continue,
            _ => {}
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| Broken::Answer("a header's value has a control byte"))?;
        to.append(name, value);
    }
    if names_others {
        remove_named(to, fields);
    }
    Ok(seen)
}

/// Takes note of what a `Connection` says. Returns whether it names other headers.
fn connection(seen: &mut Seen, value: &[u8]) -> bool {
    let mut named = false;
    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        match option {
            _ if option.eq_ignore_ascii_case(b"close") => seen.closes = true,
            _ if option.eq_ignore_ascii_case(b"keep-alive") => seen.keeps = true,
            _ => named = true,
        }
    }
    named
}

/// Takes out what a `Connection` names: it is of the single connection.
#[cold]
fn remove_named(to: &mut HeaderMap, fields: &[httparse::Header<'_>]) {
    let of_connection = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    for option in of_connection.flat_map(|field| field.value.split(|byte| *byte == b',')) {
        if let Ok(name) = HeaderName::from_bytes(option.trim_ascii())
            && !matches!(name, header::UPGRADE | header::CONTENT_LENGTH)
        {
            to.remove(name);
        }
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// What follows a head, by RFC 9112, section 6.3.
fn framing(method: &Method, status: StatusCode, seen: &Seen) -> Result<Framing, Broken> {
    let is_bare =
        *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match (seen.is_chunked, seen.length) {
        // What follows is not HTTP.
        _ if status == StatusCode::SWITCHING_PROTOCOLS => Ok(Framing::Close),
        _ if status.is_informational() => Ok(Framing::Over),
        (true, Some(_)) => Err(Broken::Answer("it has both Content-Length and Transfer-Encoding")),
        _ if is_bare => Ok(Framing::Over),
        (true, None) => Ok(Framing::Chunked(Chunk::Size)),
        (false, Some(0)) => Ok(Framing::Over),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::Close),
    }
}

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More has to come first.
    Wait,
}

impl Framing {
    /// The next piece of what came.
    pub(super) fn next(&mut self, come: &mut Bytes) -> Result<Piece, Broken> {
        loop {
            if come.is_empty() {
                return Ok(Piece::Wait);
            }
            match self {
                Self::Over => return Ok(Piece::Wait),
                Self::Close => return Ok(Piece::Data(std::mem::take(come))),
                Self::Length(left) => {
                    let data = take(come, left);
                    if *left == 0 {
                        *self = Self::Over;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let data = take(come, left);
                    if *left == 0 {
                        *self = Self::Chunked(Chunk::DataEnd);
                    }
                    return Ok(Piece::Data(data));
                }
                Self::Chunked(chunk @ Chunk::Size) => match size(come)? {
                    None => return Ok(Piece::Wait),
                    Some(0) => *chunk = Chunk::Trailers,
                    Some(bytes) => *chunk = Chunk::Data(bytes),
                },
                Self::Chunked(chunk @ Chunk::DataEnd) => {
                    if come.len() < 2 {
                        return Ok(Piece::Wait);
                    }
                    if &come[..2] != b"\r\n" {
                        return Err(Broken::Answer("a chunk is longer than it says"));
                    }
                    come.advance(2);
                    *chunk = Chunk::Size;
                }
                Self::Chunked(Chunk::Trailers) => {
                    let Some(trailers) = trailers(come)? else { return Ok(Piece::Wait) };
                    *self = Self::Over;
                    return Ok(if trailers.is_empty() { Piece::Wait } else { Piece::Trailers(trailers) });
                }
            }
        }
    }
}

fn take(come: &mut Bytes, left: &mut u64) -> Bytes {
    let bytes = usize::try_from(*left).map_or(come.len(), |left| left.min(come.len()));
    *left -= bytes as u64;
    come.split_to(bytes)
}

/// How long the next chunk is; none if its line is not complete.
fn size(come: &mut Bytes) -> Result<Option<u64>, Broken> {
    match httparse::parse_chunk_size(come) {
        Ok(httparse::Status::Complete((line_bytes, size))) => {
            come.advance(line_bytes);
            Ok(Some(size))
        }
        Ok(httparse::Status::Partial) if come.len() <= CHUNK_LINE_BYTES_MAX => Ok(None),
        _ => Err(Broken::Answer("a chunk does not say how long it is")),
    }
}

/// The trailers; none if they are not complete.
fn trailers(come: &mut Bytes) -> Result<Option<HeaderMap>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (bytes, trailers) = match httparse::parse_headers(come, &mut fields) {
        Ok(httparse::Status::Complete((bytes, fields))) => {
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let value = HeaderValue::from_bytes(field.value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(Broken::Answer("a trailer has a byte that it must not have"));
                };
                trailers.append(name, value);
            }
            (bytes, trailers)
        }
        Ok(httparse::Status::Partial) if come.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Broken::Answer("its trailers are longer than 64KiB")),
        Err(error) => return Err(Broken::Head(error)),
    };
    come.advance(bytes);
    Ok(Some(trailers))
}

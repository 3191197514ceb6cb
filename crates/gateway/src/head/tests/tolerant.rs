//! A reader as tolerant as hyper's: httparse with a small reader of framing around it. It has to find the same boundaries in what passed.

use httparse::{EMPTY_HEADER, Request, Status, parse_chunk_size, parse_headers};

/// Where the heads end; all of `bytes` has to be heads and bodies, of which the last may be cut.
///
/// What the types of `http` make of a head is looked at as well, since hyper refuses what they refuse.
pub(super) fn heads(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let mut headers = [EMPTY_HEADER; 100];
        let mut request = Request::new(&mut headers);
        let parsed = request.parse(&bytes[at..]).map_err(|error| format!("{error} at {at}"))?;
        let Status::Complete(len) = parsed else { return Err(format!("a part of a head at {at}")) };
        let method = request.method.ok_or("no method")?;
        http::Method::from_bytes(method.as_bytes()).map_err(|error| format!("{error}: {method}"))?;
        let target = request.path.ok_or("no target")?;
        target.parse::<http::Uri>().map_err(|error| format!("{error}: {target}"))?;
        at += len;
        ends.push(at);
        let (mut length, mut is_chunked) = (0, false);
        for header in request.headers.iter() {
            http::HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| error.to_string())?;
            http::HeaderValue::from_bytes(header.value).map_err(|error| error.to_string())?;
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = str::from_utf8(header.value).map_err(|error| error.to_string())?;
                length = text.parse::<usize>().map_err(|error| error.to_string())?;
            }
            is_chunked |= header.name.eq_ignore_ascii_case("transfer-encoding");
        }
        at = if is_chunked { chunks(bytes, at)? } else { bytes.len().min(at.saturating_add(length)) };
    }
    Ok(ends)
}

/// Where the body in chunks ends that begins at a place.
fn chunks(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    while at < bytes.len() {
        let size = parse_chunk_size(&bytes[at..]).map_err(|_| format!("no chunk at {at}"))?;
        let Status::Complete((line, size)) = size else { return Err(format!("a part of a size at {at}")) };
        at += line;
        if size == 0 {
            let mut headers = [EMPTY_HEADER; 100];
            let parsed = parse_headers(&bytes[at..], &mut headers).map_err(|error| error.to_string())?;
            let Status::Complete((len, _)) = parsed else {
                return Err(format!("a part of trailers at {at}"));
            };
            return Ok(at + len);
        }
        let end = at.saturating_add(usize::try_from(size).map_err(|error| error.to_string())?);
        if end >= bytes.len() {
            return Ok(bytes.len());
        }
        if bytes[end..].starts_with(b"\r\n") {
            at = end + 2;
        } else {
            return Err(format!("no end of a chunk at {end}"));
        }
    }
    Ok(at)
}

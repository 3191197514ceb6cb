//! Paths of requests in one normal form, which is matched and sent on.
//!
//! The normal form of a path, by RFC 3986, sections 6.2.2 and 5.2.4, and by what the [`Config`] says of the rest:
//!
//! 1. it begins with `/`; an empty path is `/`;
//! 2. each `%XX` has upper-case digits, and none stands for an unreserved character (letters, digits, `-`, `.`, `_`, `~`), which is written plainly;
//! 3. every byte that RFC 3986 has no place for in a path is written `%XX`;
//! 4. no segment is `.` or `..`, and none is empty but the last, unless empty ones are kept.
//!
//! Everything else stays: reserved characters in the form in which they came (`%3A` is not `:`), `;` and what follows it, a slash at the end. A path is decoded once:
//! `%252E` stays. The normal form of a normal path is itself, and it is the same path to a parser that does less than this one: there is nothing left in it for a
//! second one to decode to a separator, to merge or to resolve, unless the configuration lets that pass. Pure: no I/O, no configuration of its own.

use std::borrow::Cow;

use mainstay_base::error::{Classify, Code};

mod config;
mod segments;

pub use config::{Config, EmptySegments, Handling};

/// A path that is not sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// A byte has no place in a path, whatever the configuration says: a NUL, a line feed or a carriage return.
    #[error("byte 0x{byte:02X} at byte {at} of the path is never allowed, encoded or not: leave it out")]
    Byte {
        /// The byte, decoded.
        byte: u8,
        /// Its place, counted from 0.
        at: usize,
    },
    /// A `?` or `#` that is not encoded: each ends a path, and this is one already.
    #[error("the path holds a \"{}\" at byte {at}: write it %{byte:02X}", char::from(*.byte))]
    Delimiter {
        /// Which one.
        byte: u8,
        /// Its place, counted from 0.
        at: usize,
    },
    /// A control character.
    #[error("the path holds a control character: leave it out, or let `control` pass")]
    Control,
    /// A `%` is not followed by two hexadecimal digits.
    #[error(
        "the \"%\" at byte {at} of the path has no two hexadecimal digits behind it: write it %25, or let `invalid_encoding` pass"
    )]
    Encoding {
        /// Its place, counted from 0.
        at: usize,
    },
    /// An encoded slash.
    #[error("the path holds an encoded slash at byte {at}: write it \"/\", or let `encoded_slash` pass")]
    EncodedSlash {
        /// Its place, counted from 0.
        at: usize,
    },
    /// A backslash, encoded or not.
    #[error("the path holds a backslash at byte {at}: write it \"/\", or let `backslash` pass")]
    Backslash {
        /// Its place, counted from 0.
        at: usize,
    },
    /// A segment is `.` or `..` only when it is decoded.
    #[error("the path holds an encoded \".\" or \"..\" segment: leave it out, or let `encoded_dots` pass")]
    EncodedDots,
    /// A segment is `.` or `..` to some parsers.
    #[error(
        "the path holds \".\" or \"..\" in front of a \";\", an encoded slash or a backslash, which some take for a segment of its own: leave it out"
    )]
    DisguisedDots,
    /// It is not UTF-8 when it is decoded.
    #[error("the path is not UTF-8 when it is decoded: encode it as UTF-8, or let `invalid_utf8` pass")]
    Utf8,
    /// It holds UTF-8 that is longer than it need be.
    #[error("the path holds an overlong form of a character, which is not UTF-8: write the character itself")]
    Overlong,
    /// It has more `..` than segments before them.
    #[error("the path leads above the root: it has more \"..\" than segments before them")]
    AboveRoot,
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Malformed
    }
}

/// The normal form of a path, without query. Borrowed, and nothing is allocated, when the path is normal. Takes time in proportion to the path's length. Errors: [`Error`].
pub fn normalise<'p>(path: &'p str, config: &Config) -> Result<Cow<'p, str>, Error> {
    if path.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !path.starts_with('/') {
        return Err(Error::Relative);
    }
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let written = write_bytes(path, config)?;
    segments::check(&written)?;
    if segments::are_normal(&written, config) {
        return Ok(written);
    }
    segments::resolve(&written, config).map(Cow::Owned)
}

/// What a byte can be in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It stays, and `%XX` for it is decoded.
    Unreserved,
    /// It stays as it came.
    Reserved,
    Slash,
    Percent,
    /// It is only written encoded.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
};

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => {
            Class::Reserved
        }
        b'/' => Class::Slash,
        b'%' => Class::Percent,
        _ => Class::Other,
    }
}

/// Whether a path that begins with a slash is normal at first sight: it has no `%`, and no segment that begins with a dot or is empty.
fn is_plain(path: &[u8]) -> bool {
    let mut is_start = false;
    for &byte in path {
        match CLASSES[usize::from(byte)] {
            Class::Slash if is_start => return false,
            Class::Slash => is_start = true,
            Class::Unreserved if is_start && byte == b'.' => return false,
            Class::Unreserved | Class::Reserved => is_start = false,
            Class::Percent | Class::Other => return false,
        }
    }
    true
}

/// The value of the two digits at the front.
pub(crate) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| {
        digits
            .get(at)
            .and_then(|digit| char::from(*digit).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some(digit(0)? << 4 | digit(1)?)
}

/// Writes every byte in its one form, which is points 2 and 3 of the normal form.
fn write_bytes<'p>(path: &'p str, config: &Config) -> Result<Cow<'p, str>, Error> {
    let bytes = path.as_bytes();
    let mut writer = Writer { path, out: None };
    let (mut at, mut has_encoded_dot, mut has_high) = (0, false, false);
    while at < bytes.len() {
        let byte = bytes[at];
        let class = CLASSES[usize::from(byte)];
        if matches!(class, Class::Unreserved | Class::Reserved | Class::Slash) {
            writer.keep(at..at + 1);
            at += 1;
            continue;
        }
        let decoded = if class == Class::Percent { hex(&bytes[at + 1..]) } else { Some(byte) };
        let Some(decoded) = decoded else {
            if config.invalid_encoding == Handling::Refuse {
                return Err(Error::Encoding { at });
            }
            writer.encode(at, b'%');
            at += 1;
            continue;
        };
        let is_encoded = class == Class::Percent;
        check_byte(decoded, at, is_encoded, config)?;
        has_high |= decoded >= 0x80;
        let end = at + if is_encoded { 3 } else { 1 };
        if is_encoded && CLASSES[usize::from(decoded)] == Class::Unreserved {
            has_encoded_dot |= decoded == b'.';
            writer.plain(at, decoded);
        } else if is_encoded && !bytes[at + 1..end].iter().any(u8::is_ascii_lowercase) {
            writer.keep(at..end);
        } else {
            writer.encode(at, decoded);
        }
        at = end;
    }
    if has_encoded_dot && config.encoded_dots == Handling::Refuse && segments::have_encoded_dots(path) {
        return Err(Error::EncodedDots);
    }
    let written = writer.finish();
    if has_high {
        check_text(&written, config)?;
    }
    Ok(written)
}

/// What may not be in a path, encoded or not.
fn check_byte(decoded: u8, at: usize, is_encoded: bool, config: &Config) -> Result<(), Error> {
    match decoded {
        b'\0' | b'\r' | b'\n' => Err(Error::Byte { byte: decoded, at }),
        b'?' | b'#' if !is_encoded => Err(Error::Delimiter { byte: decoded, at }),
        b'/' if config.encoded_slash == Handling::Refuse => Err(Error::EncodedSlash { at }),
        b'\\' if config.backslash == Handling::Refuse => Err(Error::Backslash { at }),
        byte if byte.is_ascii_control() && config.control == Handling::Refuse => Err(Error::Control),
        _ => Ok(()),
    }
}

/// What may not be in a path's text beyond ASCII.
fn check_text(written: &str, config: &Config) -> Result<(), Error> {
    let decoded = decode(written);
    match str::from_utf8(&decoded) {
        Ok(text) if config.control == Handling::Refuse && text.chars().any(char::is_control) => {
            Err(Error::Control)
        }
        Ok(_) => Ok(()),
        Err(_)
            if decoded
                .iter()
                .zip(decoded.iter().skip(1).chain([&0]))
                .any(|(one, next)| is_overlong(*one, *next)) =>
        {
            Err(Error::Overlong)
        }
        Err(_) if config.invalid_utf8 == Handling::Refuse => Err(Error::Utf8),
        Err(_) => Ok(()),
    }
}

/// Whether two bytes begin a form of a character that is longer than it need be. RFC 3629, section 3.
fn is_overlong(one: u8, next: u8) -> bool {
    matches!(
        (one, next),
        (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F)
        // Of five and six bytes, as the first decoders took them (RFC 2279).
        | (0xF8, 0x80..=0x87) | (0xFC, 0x80..=0x83)
    )
}

/// The bytes that a text with `%XX` stands for. A `%` without digits is one.
pub(crate) fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let byte = (bytes[at] == b'%').then(|| hex(&bytes[at + 1..])).flatten();
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    Cow::Owned(decoded)
}

/// Appends a byte as `%XX`.
pub(crate) fn push_encoded(out: &mut String, byte: u8) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(DIGITS[usize::from(digit)].into());
    }
}

/// Appends a text with everything encoded but unreserved characters, so that it is data wherever in a URI it stands.
pub(crate) fn push_data(out: &mut String, text: &str) {
    for &byte in text.as_bytes() {
        match CLASSES[usize::from(byte)] {
            Class::Unreserved => out.push(byte.into()),
            _ => push_encoded(out, byte),
        }
    }
}

/// Copies a path only once something in it changes.
struct Writer<'p> {
    path: &'p str,
    out: Option<String>,
}

impl<'p> Writer<'p> {
    fn keep(&mut self, place: std::ops::Range<usize>) {
        if let Some(out) = &mut self.out {
            out.push_str(&self.path[place]);
        }
    }

    fn plain(&mut self, at: usize, byte: u8) {
        self.changed(at).push(byte.into());
    }

    fn encode(&mut self, at: usize, byte: u8) {
        push_encoded(self.changed(at), byte);
    }

    fn changed(&mut self, at: usize) -> &mut String {
        self.out.get_or_insert_with(|| {
            let mut out = String::with_capacity(self.path.len() + 16);
            out.push_str(&self.path[..at]);
            out
        })
    }

    fn finish(self) -> Cow<'p, str> {
        self.out.map_or(Cow::Borrowed(self.path), Cow::Owned)
    }
}

#[cfg(test)]
mod tests;

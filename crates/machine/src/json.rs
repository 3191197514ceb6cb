//! JSON as bytes: checked once, then cut and joined, never decoded and written again.
//!
//! What an operation does not touch stays as its writer wrote it, byte for byte: `1e400`, `0.10` and
//! `9007199254740993` mean what they meant. Three things that RFC 8259 leaves open are refused here, so that a
//! text has one meaning for everyone who reads it: a name twice in one object, a surrogate without its other half,
//! and arrays and objects more than [`DEPTH_MAX`] deep.

use std::borrow::Cow;

use bytes::Bytes;
use mainstay_base::error::{Classify, Code};

use crate::text::shown;

mod check;
mod cursor;
mod increment;
mod merge_patch;
mod pointer;

pub use check::check;
pub(crate) use cursor::{Cursor, Malformed};
pub use increment::{IncrementError, Incremented, increment};
pub use merge_patch::merge_patch;
pub use pointer::{Pointer, PointerError};

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 128;

/// A JSON text (RFC 8259) that was checked. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Bytes);

/// Bytes that are not a JSON text, or one that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They are not UTF-8.
    #[error("the JSON text is not UTF-8 at byte {at}")]
    Encoding {
        /// The first byte that is wrong, counted from 0.
        at: usize,
    },
    /// They do not follow the grammar.
    #[error("the JSON text is wrong at byte {at}: expected {expected}")]
    Syntax {
        /// The first byte that is wrong, counted from 0.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// Arrays and objects are nested too deeply.
    #[error("the JSON text is nested more than {DEPTH_MAX} deep at byte {at}: make it flatter")]
    TooDeep {
        /// Where the first array or object that is too deep begins.
        at: usize,
    },
    /// An object has two members of one name.
    #[error("the JSON text has the name {} twice in the object that ends at byte {at}: keep one", shown(.name))]
    Duplicate {
        /// The name.
        name: String,
        /// The end of the object.
        at: usize,
    },
    /// An escape is half of a character.
    #[error("the JSON text has half of a surrogate pair at byte {at}: write the whole character")]
    Surrogate {
        /// Where the escape begins.
        at: usize,
    },
}

impl Json {
    /// Checks that the bytes are a JSON text, and keeps them as they are. Errors: [`Error`].
    pub fn new(bytes: Bytes) -> Result<Self, Error> {
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// The text's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text's bytes, on their own.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.0).expect("it was checked to be UTF-8")
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Encoding { .. } | Self::Syntax { .. } => Code::Malformed,
            Self::TooDeep { .. } | Self::Duplicate { .. } | Self::Surrogate { .. } => Code::Invalid,
        }
    }
}

/// The text that a JSON string stands for, from what is between its quotes. The string was checked.
pub(crate) fn unescape(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    let Some(first) = raw.find('\\') else { return Ok(Cow::Borrowed(raw)) };
    let mut text = String::with_capacity(raw.len());
    let mut rest = &raw[first..];
    text.push_str(&raw[..first]);
    while let Some(escaped) = rest.strip_prefix('\\') {
        let kind = escaped.chars().next().ok_or(Malformed)?;
        rest = &escaped[kind.len_utf8()..];
        text.push(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode(&mut rest)?,
            _ => return Err(Malformed),
        });
        let plain = rest.find('\\').unwrap_or(rest.len());
        text.push_str(&rest[..plain]);
        rest = &rest[plain..];
    }
    Ok(Cow::Owned(text))
}

/// The character whose escape `rest` goes on with, after `\u`.
fn unicode(rest: &mut &str) -> Result<char, Malformed> {
    fn unit(rest: &mut &str) -> Result<u32, Malformed> {
        let digits = rest.get(..4).ok_or(Malformed)?;
        *rest = &rest[4..];
        u32::from_str_radix(digits, 16).map_err(|_| Malformed)
    }
    let high = unit(rest)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high).ok_or(Malformed);
    }
    *rest = rest.strip_prefix("\\u").ok_or(Malformed)?;
    let low = unit(rest)?;
    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(Malformed)?;
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low).ok_or(Malformed)
}

#[cfg(test)]
mod tests;

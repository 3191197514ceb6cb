//! A number in a document made larger or smaller, with every other byte left as it is.

use thiserror::Error;

use super::{Cursor, Malformed, Pointer};

/// A document with a number changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incremented {
    /// The document.
    pub text: Vec<u8>,
    /// The number before; 0 when it was missing.
    pub before: i64,
    /// The number now.
    pub after: i64,
}

/// A number that cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IncrementError {
    /// What is there is not a whole number of 64 bits, written without a fraction and an exponent.
    #[error("what is there is not a whole number of 64 bits")]
    NotAnInteger,
    /// The way leads through something that is missing, or that is no object or array.
    #[error("step {step} of the path finds nothing to go on from: put the object around the number first")]
    NoParent {
        /// The step that fails, counted from 1.
        step: usize,
    },
    /// The array has no such element.
    #[error("step {step} of the path is no element of the array there: elements are counted from 0")]
    NoElement {
        /// The step that fails, counted from 1.
        step: usize,
    },
    /// The sum has more than 64 bits.
    #[error("the sum does not fit in 64 bits: the number there is {before}")]
    Overflow {
        /// The number there.
        before: i64,
    },
    /// The document is not JSON.
    #[error("the document is not JSON")]
    Malformed,
}

/// Where the number is, or where it goes.
enum Found<'a> {
    Value {
        at: usize,
        raw: &'a str,
    },
    /// It is to be the last member of the object whose closing bracket is at this place.
    Missing {
        close: usize,
    },
}

/// The document with `by` added to the whole number at `path`; without a document, the empty object or, for the empty path,
/// the number 0 is taken.
///
/// The last step may name a member that its object lacks: it begins at 0 and is added as the last. Nothing else is created.
/// Errors: [`IncrementError`]. Cost: one pass over the document.
pub fn increment(document: Option<&[u8]>, path: &Pointer, by: i64) -> Result<Incremented, IncrementError> {
    let document = document.unwrap_or(if path.steps().is_empty() { b"0" } else { b"{}" });
    let document = str::from_utf8(document).map_err(|_| IncrementError::Malformed)?;
    let found = find(document, path)?;
    let before = match &found {
        Found::Value { raw, .. } => integer(raw).ok_or(IncrementError::NotAnInteger)?,
        Found::Missing { .. } => 0,
    };
    let after = before.checked_add(by).ok_or(IncrementError::Overflow { before })?;
    let number = after.to_string();
    let mut text = Vec::with_capacity(document.len() + number.len() + path.as_str().len() + 4);
    match found {
        Found::Value { at, raw } => {
            text.extend_from_slice(&document.as_bytes()[..at]);
            text.extend_from_slice(number.as_bytes());
            text.extend_from_slice(&document.as_bytes()[at + raw.len()..]);
        }
        Found::Missing { close } => {
            let is_alone = document.as_bytes()[..close].trim_ascii_end().ends_with(b"{");
            let name = path.steps().last().expect("a member is missing, so the path names it");
            let name = serde_json::to_string(name).expect("text is JSON");
            text.extend_from_slice(&document.as_bytes()[..close]);
            text.extend_from_slice(if is_alone { b"" } else { b"," });
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(number.as_bytes());
            text.extend_from_slice(&document.as_bytes()[close..]);
        }
    }
    Ok(Incremented { text, before, after })
}

fn find<'a>(document: &'a str, path: &Pointer) -> Result<Found<'a>, IncrementError> {
    let mut cursor = Cursor::new(document);
    for (place, wanted) in path.steps().iter().enumerate() {
        let step = place + 1;
        match cursor.peek() {
            Some(b'{') if cursor.enter_member(wanted)? => {}
            Some(b'{') if step == path.steps().len() => {
                return Ok(Found::Missing { close: cursor.at() - 1 });
            }
            Some(b'[') if cursor.enter_element(wanted)? => {}
            Some(b'[') => return Err(IncrementError::NoElement { step }),
            _ => return Err(IncrementError::NoParent { step }),
        }
    }
    Ok(Found::Value { at: cursor.at(), raw: cursor.value()? })
}

/// A number that is written as whole and has at most 64 bits.
fn integer(raw: &str) -> Option<i64> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole { raw.parse().ok() } else { None }
}

impl From<Malformed> for IncrementError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

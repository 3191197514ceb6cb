//! One value of an entry, and the bytes that it is.
//!
//! | byte | is | adds |
//! |---|---|---|
//! | 10 | absent: the document has nothing there | |
//! | 20 | null | |
//! | 30, 31 | false, true | |
//! | 40 | a number | the largest double that is not above it (8 bytes whose order is theirs), and how much the number is above that (2, big-endian) |
//! | 50 | a text | its UTF-8, with 00 FF for each 00, and 00 01 as its end |
//! | 60 | an object, or an array in an array: all of them alike | |
//!
//! Bytes are in hexadecimal. The gaps between them are for kinds to come.

use std::borrow::Cow;

use bytes::BufMut;

use crate::json::{Malformed, unescape};

pub(super) const ABSENT: u8 = 0x10;
pub(super) const NULL: u8 = 0x20;
pub(super) const FALSE: u8 = 0x30;
pub(super) const TRUE: u8 = 0x31;
pub(super) const NUMBER: u8 = 0x40;
pub(super) const TEXT: u8 = 0x50;
pub(super) const OBJECT: u8 = 0x60;

const NUMBER_BYTES: usize = 8 + 2;
const NUL_WITHIN: u8 = 0xff;
const NUL_AT_END: u8 = 0x01;

/// One value of an entry. The order is that of the kinds here, and within a kind that of expressions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar<'a> {
    /// There is nothing: no member or element, or an array without elements.
    Absent,
    /// `null`.
    Null,
    /// `false` or `true`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, unescaped.
    Text(Cow<'a, str>),
    /// Any object, or an array that is an element of an array.
    Object,
}

/// A number as expressions compare it: a whole one of 64 bits with or without a sign is exact, every other is its double. What is
/// out of the range of doubles is infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// The largest double that is not above the number, as bits in the order of doubles. Never NaN or a negative zero.
    floor: u64,
    /// What is left of a whole number: doubles of 64 bits are at most 2048 apart.
    rest: u16,
}

const SIGN: u64 = 1 << 63;

impl Number {
    /// The number that a double is; none for NaN.
    pub fn of_double(double: f64) -> Option<Self> {
        (!double.is_nan()).then(|| Self { floor: ordered(double), rest: 0 })
    }

    /// The number that JSON text stands for.
    fn of_json(raw: &str) -> Result<Self, Malformed> {
        if let Ok(int) = raw.parse::<i64>() {
            return Ok(int.into());
        }
        if let Ok(uint) = raw.parse::<u64>() {
            return Ok(uint.into());
        }
        raw.parse().ok().and_then(Self::of_double).ok_or(Malformed)
    }

    /// A number of 64 bits, or less.
    fn of_whole(whole: i128) -> Self {
        let nearest = whole as f64;
        let floor = if nearest as i128 > whole { nearest.next_down() } else { nearest };
        let rest = whole - floor as i128;
        Self {
            floor: ordered(floor),
            rest: rest.try_into().expect("doubles of 64 bits are at most 2048 apart"),
        }
    }
}

/// The bits of a double, changed so that they order as doubles do.
fn ordered(double: f64) -> u64 {
    // A negative zero and zero make zero.
    let bits = (double + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::of_whole(number.into())
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::of_whole(number.into())
    }
}

impl<'a> Scalar<'a> {
    /// The value that an element of an array or the value at a pointer stands for.
    pub(super) fn of_json(raw: &'a str) -> Result<Self, Malformed> {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => Ok(Self::Object),
            Some(b'"') => {
                let inner = raw.get(1..raw.len() - 1).ok_or(Malformed)?;
                unescape(inner).map(Self::Text)
            }
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'n') => Ok(Self::Null),
            _ => Number::of_json(raw).map(Self::Number),
        }
    }

    /// Writes the value's bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.put_u8(ABSENT),
            Self::Null => out.put_u8(NULL),
            Self::Bool(false) => out.put_u8(FALSE),
            Self::Bool(true) => out.put_u8(TRUE),
            Self::Number(Number { floor, rest }) => {
                out.put_u8(NUMBER);
                out.put_u64(*floor);
                out.put_u16(*rest);
            }
            Self::Text(text) => {
                put_text_start(out, text);
                out.put_slice(&[0, NUL_AT_END]);
            }
            Self::Object => out.put_u8(OBJECT),
        }
    }
}

/// Writes what the bytes of all texts begin with that begin with this one.
pub(super) fn put_text_start(out: &mut Vec<u8>, text: &str) {
    out.put_u8(TEXT);
    for (place, part) in text.split('\0').enumerate() {
        if place > 0 {
            out.put_slice(&[0, NUL_WITHIN]);
        }
        out.put_slice(part.as_bytes());
    }
}

/// Takes an entry of an index on this many fields apart: the bytes of its values, and what follows them, which is the item's key.
/// None if the bytes are damaged.
pub fn split(entry: &[u8], fields: usize) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    for _ in 0..fields {
        at += length(&entry[at..])?;
    }
    Some(entry.split_at(at))
}

/// How many bytes the first value takes.
fn length(bytes: &[u8]) -> Option<usize> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        ABSENT | NULL | FALSE | TRUE | OBJECT => Some(1),
        NUMBER => (rest.len() >= NUMBER_BYTES).then_some(1 + NUMBER_BYTES),
        TEXT => text_length(rest).map(|length| 1 + length),
        _ => None,
    }
}

/// How many bytes a text takes, with its end.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == 0)? + 2;
        match *bytes.get(at - 1)? {
            NUL_AT_END => return Some(at),
            NUL_WITHIN => {}
            _ => return None,
        }
    }
}

/// Whether a tuple lacks a value. Damaged bytes lack one.
pub fn has_absent(mut tuple: &[u8]) -> bool {
    while let Some(kind) = tuple.first() {
        match length(tuple) {
            Some(length) if *kind != ABSENT => tuple = &tuple[length..],
            _ => return true,
        }
    }
    false
}

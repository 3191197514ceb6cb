//! Consecutive entries of an index, by the bytes of their tuples.
//!
//! Bounds are cut between values and never within one, but for the beginning of a text: an entry is in a span
//! with the item's key behind its tuple exactly if it is without.

use bytes::Bytes;

use super::scalar::{ABSENT, FALSE, NULL, NUMBER, OBJECT, Scalar, TEXT, TRUE, put_text_start, split};

/// Tuples whose bytes are at or above `start` and below `end`. What stands before tuples in a store goes before both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first bytes that may be in it.
    pub start: Bytes,
    /// The first bytes after it.
    pub end: Bytes,
}

impl Span {
    /// The tuples that begin with these values; all if there are none.
    pub fn of(values: &[Scalar<'_>]) -> Self {
        Self::all().behind(&encoded(values))
    }

    /// The tuples whose first value is of the bound's kind and below it.
    pub fn below(bound: &Scalar<'_>, is_inclusive: bool) -> Self {
        let bound_span = Self::of(std::slice::from_ref(bound));
        let end = if is_inclusive { bound_span.end } else { bound_span.start };
        Self { start: kinds(bound).start, end }
    }

    /// The tuples whose first value is of the bound's kind and above it.
    pub fn above(bound: &Scalar<'_>, is_inclusive: bool) -> Self {
        let bound_span = Self::of(std::slice::from_ref(bound));
        let start = if is_inclusive { bound_span.start } else { bound_span.end };
        Self { start, end: kinds(bound).end }
    }

    /// The tuples whose first value is a text that begins with this one.
    pub fn starting_with(text: &str) -> Self {
        let mut start = Vec::new();
        put_text_start(&mut start, text);
        Self::beginning(start)
    }

    /// The tuples that have these values before what this span has.
    #[must_use]
    pub fn after(&self, values: &[Scalar<'_>]) -> Self {
        self.behind(&encoded(values))
    }

    /// Whether a tuple, with or without an item's key behind it, is in the span.
    pub fn contains(&self, tuple: &[u8]) -> bool {
        self.start[..] <= *tuple && *tuple < self.end[..]
    }

    /// Every tuple.
    pub(super) fn all() -> Self {
        Self { start: Bytes::new(), end: Bytes::from_static(&[OBJECT + 1]) }
    }

    /// The tuples of this span behind the bytes of other values.
    pub(super) fn behind(&self, values: &[u8]) -> Self {
        if values.is_empty() {
            return self.clone();
        }
        if *self == Self::all() {
            // There may be no further value: what follows these may be a key.
            return Self::beginning(values.to_vec());
        }
        Self { start: [values, &self.start].concat().into(), end: [values, &self.end].concat().into() }
    }

    /// The bytes of the only value that the first field has in this span; none if it has others, or more is said of it.
    pub(super) fn one_value(&self) -> Option<&[u8]> {
        let (value, rest) = split(&self.start, 1)?;
        (rest.is_empty() && *self == Self::beginning(value.to_vec())).then_some(value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// What is in both; none if nothing is.
    pub(super) fn common(&self, other: &Self) -> Option<Self> {
        let (start, end) = ((&self.start).max(&other.start), (&self.end).min(&other.end));
        (start < end).then(|| Self { start: start.clone(), end: end.clone() })
    }

    /// Everything that begins with these bytes, of which there is at least one.
    fn beginning(start: Vec<u8>) -> Self {
        let mut end = start.clone();
        let last =
            end.iter().rposition(|byte| *byte != u8::MAX).expect("a value begins with the byte of its kind");
        end.truncate(last + 1);
        end[last] += 1;
        Self { start: start.into(), end: end.into() }
    }
}

fn encoded(values: &[Scalar<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| value.put(&mut out));
    out
}

/// The tuples whose first value can be compared with this one.
fn kinds(of: &Scalar<'_>) -> Span {
    let (first, last) = match of {
        Scalar::Absent => (ABSENT, ABSENT),
        Scalar::Null => (NULL, NULL),
        Scalar::Bool(_) => (FALSE, TRUE),
        Scalar::Number(_) => (NUMBER, NUMBER),
        Scalar::Text(_) => (TEXT, TEXT),
        Scalar::Object => (OBJECT, OBJECT),
    };
    Span { start: vec![first].into(), end: vec![last + 1].into() }
}

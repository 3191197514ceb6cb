//! What is known of one field of the documents that are searched for.

use super::{Scalar, Span};
use crate::json::Pointer;

/// What holds for a field of every document that is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint<'a> {
    /// The field.
    pub path: Pointer,
    /// What holds for it.
    pub what: What<'a>,
}

/// What holds for a field. It is one value and no array, but for [`What::Contains`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// It is this value.
    Equal(Scalar<'a>),
    /// It is of the bound's kind and below it.
    Below {
        /// The bound.
        bound: Scalar<'a>,
        /// Whether it may be the bound.
        is_inclusive: bool,
    },
    /// It is of the bound's kind and above it.
    Above {
        /// The bound.
        bound: Scalar<'a>,
        /// Whether it may be the bound.
        is_inclusive: bool,
    },
    /// It is one of these values.
    OneOf(Vec<Scalar<'a>>),
    /// It is an array with this element, or an object with a member of this name.
    Contains(Scalar<'a>),
    /// It is a text that begins with this one.
    StartsWith(&'a str),
}

impl What<'_> {
    /// Where a field is of which this holds, as the first one of tuples: in order, and apart from each other.
    ///
    /// Of an array one entry is there, of any other field its only one.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = match self {
            Self::Equal(value) => vec![one(value)],
            Self::Below { bound, is_inclusive } => vec![Span::below(bound, *is_inclusive)],
            Self::Above { bound, is_inclusive } => vec![Span::above(bound, *is_inclusive)],
            Self::OneOf(values) => values.iter().map(one).collect(),
            Self::Contains(name @ Scalar::Text(_)) => vec![one(name), one(&Scalar::Object)],
            Self::Contains(element) => vec![one(element)],
            Self::StartsWith(text) => vec![Span::starting_with(text)],
        };
        spans.retain(|span| !span.is_empty());
        spans.sort_unstable_by(|one, other| one.start.cmp(&other.start));
        spans.dedup();
        spans
    }
}

fn one(value: &Scalar<'_>) -> Span {
    Span::of(std::slice::from_ref(value))
}

//! What secondary indexes are made of: the fields they are on, and bytes whose order is that of the fields' values.
//!
//! An index has one entry for each combination of values that a document has at the index's pointers ([`entries()`]): a tuple of
//! encoded [`Scalar`]s, after which stands the item's key ([`split`]). Every encoding says where it ends and orders as the
//! values do, so that a search is a walk over consecutive bytes: a [`Span`]. What an expression says of fields
//! ([`Constraint`]) makes the spans that a search can keep to ([`narrow()`]).
//!
//! A search never believes its spans alone: they hold every item that is searched for, and may hold others.
//! It does not know rows: what stands before a tuple is added by whoever stores it. Changing the encoding changes what is
//! stored: the golden bytes of the tests hold it.

use mainstay_base::error::{Classify, Code};

use crate::json::{Malformed, Pointer};
use crate::text::shown;

mod constraint;
mod entries;
mod form;
mod narrow;
mod scalar;
mod span;
pub mod state;

pub use constraint::{Constraint, What};
pub use entries::entries;
pub use narrow::{Narrowed, narrow};
pub use scalar::{Number, Scalar, has_absent, split};
pub use span::Span;
pub use state::State;

/// The fields of documents by which their items are found.
///
/// Written as the list of its pointers, or as an object with `on` and `unique`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Where the fields are, in the order in which they are compared: 1 to [`Index::FIELDS_MAX`], none of them the whole
    /// document, no two equal.
    pub on: Vec<Pointer>,
    /// Whether no two items of one partition may have one entry. Items that lack one of the fields may.
    pub unique: bool,
}

/// An index that cannot be, or a document that one cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has too few fields or too many.
    #[error("the index is on {found} fields: name 1 to {}", Index::FIELDS_MAX)]
    Fields {
        /// How many it has.
        found: usize,
    },
    /// A field is the whole document.
    #[error("field {field} of the index is the whole document: name one in it, as in \"/state\"")]
    Whole {
        /// The field's place, counted from 1.
        field: usize,
    },
    /// Two fields are the same.
    #[error("the index is on {} twice: keep one", shown(.pointer.as_str()))]
    Repeated {
        /// The field.
        pointer: Pointer,
    },
    /// A text takes too many bytes in its entry.
    #[error(
        "a text at {} takes {bytes} bytes in the index, and at most {} are allowed: shorten it, or keep the field out of the index",
        shown(.pointer.as_str()),
        Index::VALUE_BYTES_MAX
    )]
    TooLong {
        /// The field.
        pointer: Pointer,
        /// What the text takes, encoded.
        bytes: usize,
    },
    /// An array has too many different values.
    #[error(
        "the array at {} has more than {} different values, each of them an entry of the index: shorten it, or keep the field out of \
         the index",
        shown(.pointer.as_str()),
        Index::ENTRIES_MAX
    )]
    TooMany {
        /// The field.
        pointer: Pointer,
    },
    /// Two fields are arrays.
    #[error(
        "there are arrays at {} and at {}: one field of an index may be an array of a document",
        shown(.pointers[0].as_str()),
        shown(.pointers[1].as_str())
    )]
    Arrays {
        /// The first two fields that are arrays.
        pointers: [Pointer; 2],
    },
    /// The document is not JSON, although it was checked when it was stored.
    #[error("the document is not JSON")]
    Malformed,
}

impl Index {
    /// The most fields.
    pub const FIELDS_MAX: usize = 8;

    /// The most entries of one item.
    pub const ENTRIES_MAX: usize = 256;

    /// The most bytes of one encoded value.
    pub const VALUE_BYTES_MAX: usize = 1024;

    /// An index on these fields. Errors: [`Error::Fields`], [`Error::Whole`], [`Error::Repeated`].
    pub fn new(on: Vec<Pointer>, unique: bool) -> Result<Self, Error> {
        if on.is_empty() || on.len() > Self::FIELDS_MAX {
            return Err(Error::Fields { found: on.len() });
        }
        for (place, pointer) in on.iter().enumerate() {
            if pointer.steps().is_empty() {
                return Err(Error::Whole { field: place + 1 });
            }
            if on[..place].contains(pointer) {
                return Err(Error::Repeated { pointer: pointer.clone() });
            }
        }
        Ok(Self { on, unique })
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Malformed => Code::Internal,
            _ => Code::Invalid,
        }
    }
}

#[cfg(test)]
mod tests;

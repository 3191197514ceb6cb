//! The port to what is stored: an ordered map of rows, read and never written here.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use mainstay_base::error::{Classify, Code, Retry};

use crate::overlay::Mutation;
use crate::row::{self, RowRange};

/// The rows that evaluation reads.
pub trait State {
    /// The value of a row; none if there is none. Errors: [`Error`].
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The first rows of the range in the order of their keys, at most `limit`. Errors: [`Error`].
    fn scan(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error>;

    /// Hears what a row is from evaluation, which knows it without reading: none if there is no such row. It need not be remembered.
    fn hear(&self, _key: &Bytes, _row: Option<&Bytes>) {}
}

/// What the value of a row says; none if there is no such row. Errors: [`Error`].
pub(crate) fn read<S: State + ?Sized, T>(
    state: &S,
    row: &[u8],
    decode: fn(&Bytes) -> Result<T, row::Error>,
) -> Result<Option<T>, Error> {
    let value = state.get(row)?;
    value.map(|value| decode(&value)).transpose().map_err(|error| Error::damaged(row, &error))
}

/// Rows of a range, one after another.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), Error>> + Send + 'a>;

/// Rows that can be walked over in both directions, reading no more of them than is looked at.
pub trait Walk: State + Sync {
    /// The rows of a range in the order of their keys, or in the reverse of it. The first error ends it.
    fn walk<'a>(&'a self, range: &RowRange, is_back: bool) -> Rows<'a>;
}

/// A row that cannot be read. Nothing was changed, and nothing is known of the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store cannot be read.
    #[error("the store cannot be read: {reason}")]
    Unreadable {
        /// Why not.
        reason: String,
    },
    /// A row is not what this program writes.
    #[error("the row {row} is not readable: {reason}")]
    Damaged {
        /// The row's key: printable ASCII as it is, other bytes in hexadecimal.
        row: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// What is wrong with the key or the value of this row.
    pub fn damaged(row: &[u8], error: &row::Error) -> Self {
        Self::Damaged { row: shown(row), reason: error.to_string() }
    }

    pub(crate) fn damaged_value(row: &[u8], reason: &str) -> Self {
        Self::Damaged { row: shown(row), reason: reason.to_owned() }
    }
}

fn shown(row: &[u8]) -> String {
    row.iter().fold(String::with_capacity(row.len()), |mut text, byte| {
        if byte.is_ascii_graphic() && *byte != b'\\' {
            text.push((*byte).into());
        } else {
            write!(text, "\\x{byte:02x}").expect("writing to a string does not fail");
        }
        text
    })
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unreadable { .. } => Code::Internal.retry(),
            Self::Damaged { .. } => Retry::Never,
        }
    }
}

/// Rows in memory, for tests and simulations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory(BTreeMap<Bytes, Bytes>);

impl Memory {
    /// Makes the changes, in their order.
    pub fn apply<'a>(&mut self, mutations: impl IntoIterator<Item = &'a Mutation>) {
        for mutation in mutations {
            match mutation {
                Mutation::Put { key, value } => drop(self.0.insert(key.clone(), value.clone())),
                Mutation::Delete { key } => drop(self.0.remove(key)),
            }
        }
    }

    /// Every row, in the order of keys.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }
}

impl Walk for Memory {
    fn walk<'a>(&'a self, range: &RowRange, is_back: bool) -> Rows<'a> {
        if range.start >= range.end {
            return Box::new(std::iter::empty());
        }
        let rows = self.0.range::<Bytes, _>(&range.start..&range.end);
        let rows = rows.map(|(key, value)| Ok((key.clone(), value.clone())));
        if is_back { Box::new(rows.rev()) } else { Box::new(rows) }
    }
}

impl State for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.0.range::<Bytes, _>(&range.start..&range.end).take(limit);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

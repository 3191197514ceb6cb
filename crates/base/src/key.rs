//! Keys and where they live: a key's partition, and the partition's slot.
//!
//! A key is placed by two pure functions: its collection's [`PartitionBy`] takes the [`Partition`] out of it,
//! and [`slot()`] hashes tenant and partition to one of 4096 slots. Neither may ever change its results: what
//! is stored would no longer be found.

mod partition;
mod slot;

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

pub use partition::{Partition, PartitionBy};
pub use slot::{Slot, slot};

use crate::error::{Classify, Code};
use crate::text::{self, Text, shown};

/// The key of an item, a message, a run, a lock or a schedule.
///
/// 1 to 512 bytes of UTF-8 in segments separated by `/`. No segment is empty, none is `.` or `..` (clients
/// would fold those out of a path before they send it), and no character is a control character. Keys are
/// compared byte by byte: nothing is normalised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

/// A text that is neither a [`Key`] nor a [`Partition`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is nothing in it.
    #[error("a key cannot be empty: write 1 to {} bytes", Key::BYTES_MAX)]
    Empty,
    /// It has more than 512 bytes.
    #[error("the key {} has {bytes} bytes, and at most {} are allowed", shown(.key), Key::BYTES_MAX)]
    TooLong {
        /// The text.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// A segment is empty: a slash begins it, ends it or follows another.
    #[error("segment {segment} of the key {} is empty: put single slashes between segments only", shown(.key))]
    EmptySegment {
        /// The text.
        key: String,
        /// The segment's place, counted from 1.
        segment: usize,
    },
    /// A segment is `.` or `..`.
    #[error("segment {segment} of the key {} is \".\" or \"..\", which clients fold out of paths", shown(.key))]
    DotSegment {
        /// The text.
        key: String,
        /// The segment's place, counted from 1.
        segment: usize,
    },
    /// A character is a control character (Unicode category Cc).
    #[error("the key {} holds the control character {found:?} at byte {offset}", shown(.key))]
    Control {
        /// The text.
        key: String,
        /// The character.
        found: char,
        /// Its place, counted in bytes from 0.
        offset: usize,
    },
    /// A partition that its rule can never give: one of `first_segment` with a slash.
    #[error("the partition {} holds a slash, but it is the first segment of a key", shown(.partition))]
    SlashInSegment {
        /// The text.
        partition: String,
    },
}

impl Key {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's segments, of which there is at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

/// Checks what a key and a partition have in common.
fn check(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Empty);
    }
    if key.len() > Key::BYTES_MAX {
        return Err(Error::TooLong { key: key.to_owned(), bytes: key.len() });
    }
    if let Some((offset, found)) = key.char_indices().find(|(_, c)| c.is_control()) {
        return Err(Error::Control { key: key.to_owned(), found, offset });
    }
    for (place, segment) in key.split('/').enumerate() {
        match segment {
            "" => return Err(Error::EmptySegment { key: key.to_owned(), segment: place + 1 }),
            "." | ".." => return Err(Error::DotSegment { key: key.to_owned(), segment: place + 1 }),
            _ => (),
        }
    }
    Ok(())
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Text for Key {
    const EXPECTED: &'static str = "a key as text: 1 to 512 bytes in segments separated by single slashes";
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Key",
            "description": "1 to 512 bytes of UTF-8 in segments separated by single slashes; \
                            no segment is \".\" or \"..\", no character is a control character.",
            "type": "string",
            "minLength": 1,
            "maxLength": Self::BYTES_MAX,
            "pattern": "^[^/\\u0000-\\u001f\\u007f-\\u009f]+(?:/[^/\\u0000-\\u001f\\u007f-\\u009f]+)*$",
            "not": { "pattern": "(?:^|/)\\.\\.?(?:/|$)" },
            "examples": ["u7/items/3"],
        })
    }
}

#[cfg(test)]
mod tests;

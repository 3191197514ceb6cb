//! JSON Pointer (RFC 6901): a place in a document, as text.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{Cursor, DEPTH_MAX, Malformed};
use crate::text::shown;

/// A JSON Pointer (RFC 6901), such as `/open/orders`; the empty one is the whole document.
///
/// At most 1,024 bytes and [`DEPTH_MAX`] steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pointer {
    text: String,
    /// Unescaped.
    steps: Vec<String>,
}

/// A text that is not a [`Pointer`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a JSON Pointer: {why}, as in \"/open/orders\"", shown(.text))]
pub struct PointerError {
    text: String,
    why: &'static str,
}

impl Pointer {
    /// The longest pointer, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// The pointer that steps through these names and places. Errors: [`PointerError`] when they are too many or too long.
    pub fn of_steps<'a>(steps: impl IntoIterator<Item = &'a str>) -> Result<Self, PointerError> {
        let escaped = steps.into_iter().map(|step| step.replace('~', "~0").replace('/', "~1"));
        escaped.map(|step| format!("/{step}")).collect::<String>().parse()
    }

    /// The names and places to step through, unescaped.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The place of the value that it leads to in a document; none if it leads to nothing. Cost: one pass over the document,
    /// up to there.
    pub(crate) fn find<'a>(&self, document: &'a str) -> Result<Option<Cursor<'a>>, Malformed> {
        let mut cursor = Cursor::new(document);
        for step in &self.steps {
            let is_there = match cursor.peek() {
                Some(b'{') => cursor.enter_member(step)?,
                Some(b'[') => cursor.enter_element(step)?,
                _ => false,
            };
            if !is_there {
                return Ok(None);
            }
        }
        Ok(Some(cursor))
    }

    /// The text of the value that it leads to in a JSON text that was checked; none if it leads to nothing.
    pub fn raw<'a>(&self, document: &'a str) -> Option<&'a str> {
        self.find(document).ok().flatten()?.value().ok()
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let refuse = |why| PointerError { text: text.to_owned(), why };
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > Self::BYTES_MAX {
            return Err(refuse("it has at most 1024 bytes"));
        }
        let Some(rest) = text.strip_prefix('/') else { return Err(refuse("it begins with a slash")) };
        let steps: Option<Vec<_>> = rest.split('/').map(unescape).collect();
        let steps = steps.ok_or_else(|| refuse("after a tilde comes 0 (for ~) or 1 (for /)"))?;
        if steps.len() > DEPTH_MAX {
            return Err(refuse("it has at most 128 steps"));
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

fn unescape(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        text.push(match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        text.push_str(&part[1..]);
    }
    Some(text)
}

impl Display for Pointer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "JSON Pointer",
            "description": "A place in a document (RFC 6901): a slash before each name or number on the way, ~1 for a slash in a \
                            name and ~0 for a tilde.",
            "type": "string",
            "pattern": "^(/([^~/]|~[01])*)*$",
            "maxLength": Self::BYTES_MAX,
            "examples": ["/state", "/open/orders"],
        })
    }
}

impl Classify for PointerError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

//! References: a member of a collection's documents that is the key of an item of another, in the same partition.
//!
//! It does not know rows: what finds an item by what it refers to is written by evaluation, and what is done when a referred item goes.

use std::borrow::Cow;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::key::{self, Key};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::{Malformed, Pointer};
use crate::text::shown;

mod graph;

pub use graph::{Edge, Graph};

/// A member of documents that is the key of an item of a collection, in the same partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Where in a document the key is: a text. One that is missing there, or null, refers to nothing.
    pub on: Pointer,
    /// The collection of the item that has the key, which may be the same collection.
    pub collection: Name,
    /// What a deletion of that item does, and its end.
    #[serde(default)]
    pub on_delete: OnDelete,
}

/// What becomes of items when an item that they refer to is deleted, or its end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion is refused. Items that can be referred to must not end.
    #[default]
    Restrict,
    /// They are deleted too.
    Cascade,
    /// The member becomes null.
    SetNull,
}

/// What a document has where a reference is, and cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is something else than a text.
    #[error("what is at {} is no text: name a key there, or nothing", shown(.pointer.as_str()))]
    NotText {
        /// Where.
        pointer: Pointer,
    },
    /// It is a text, and no key.
    #[error("what is at {} is no key: {source}", shown(.pointer.as_str()))]
    NotKey {
        /// Where.
        pointer: Pointer,
        /// Why not.
        source: key::Error,
    },
    /// The document is not JSON, although it was checked when it was stored.
    #[error("the document is not JSON")]
    Malformed,
}

impl Reference {
    /// The key that a document refers to; none when it refers to nothing. The document is JSON that was checked; without one it refers
    /// to nothing. Errors: [`Error`]. Cost: one pass over the document, up to there.
    pub fn target(&self, document: Option<&str>) -> Result<Option<Key>, Error> {
        let pointer = || self.on.clone();
        let found = document.map(|document| self.on.find(document)).transpose()?.flatten();
        let Some(raw) = found.map(|mut cursor| cursor.value()).transpose()? else { return Ok(None) };
        match raw.as_bytes().first() {
            Some(b'n') => Ok(None),
            Some(b'"') => {
                // A text with half of a pair of surrogates is JSON, and no text.
                let text: Cow<'_, str> =
                    serde_json::from_str(raw).map_err(|_| Error::NotText { pointer: pointer() })?;
                let key = text.parse().map_err(|source| Error::NotKey { pointer: pointer(), source })?;
                Ok(Some(key))
            }
            _ => Err(Error::NotText { pointer: pointer() }),
        }
    }

    /// The document with null where the reference is, and every other byte as it was; none when there is nothing.
    pub fn cleared(&self, document: &str) -> Option<Vec<u8>> {
        let mut cursor = self.on.find(document).ok().flatten()?;
        let start = cursor.at();
        let end = start + cursor.value().ok()?.len();
        let parts = [&document[..start], "null", &document[end..]];
        Some(parts.concat().into_bytes())
    }
}

impl OnDelete {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restrict => "restrict",
            Self::Cascade => "cascade",
            Self::SetNull => "set_null",
        }
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
            Self::NotText { .. } | Self::NotKey { .. } => Code::Invalid,
            Self::Malformed => Code::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(on: &str) -> Reference {
        let collection = Name::from_static("customers");
        Reference { on: on.parse().unwrap(), collection, on_delete: OnDelete::Restrict }
    }

    #[test]
    fn a_document_refers_to_a_key_or_to_nothing() {
        let reference = reference("/for/customer");
        for (document, found) in [
            (r#"{"for":{"customer":"u7/c1"}}"#, Some("u7/c1")),
            (r#"{"for":{"customer": "u7\/c\u0031" }}"#, Some("u7/c1")),
            (r#"{"for":{"customer":null}}"#, None),
            (r#"{"for":{}}"#, None),
            (r#"{"for":"u7"}"#, None),
            ("[]", None),
        ] {
            let target = reference.target(Some(document)).unwrap();
            assert_eq!(target.as_ref().map(Key::as_str), found, "{document}");
        }
        assert_eq!(reference.target(None), Ok(None), "what is not JSON refers to nothing");
    }

    #[test]
    fn what_is_no_text_or_no_key_is_an_error_that_names_its_place() {
        let reference = reference("/customer");
        for (value, said) in [
            ("7", "what is at \"/customer\" is no text"),
            ("true", "what is at \"/customer\" is no text"),
            ("[\"u7\"]", "what is at \"/customer\" is no text"),
            ("{}", "what is at \"/customer\" is no text"),
            (r#""\ud800""#, "what is at \"/customer\" is no text"),
            (r#""""#, "what is at \"/customer\" is no key: a key cannot be empty"),
            (r#""u7//c""#, "what is at \"/customer\" is no key: segment 2"),
        ] {
            let error = reference.target(Some(&format!("{{\"customer\":{value}}}"))).unwrap_err();
            assert!(error.to_string().starts_with(said), "{error}");
            assert_eq!(error.code(), Code::Invalid);
        }
    }

    #[test]
    fn a_member_is_cleared_and_the_rest_stays_as_it_was() {
        let cleared = |on: &str, document: &str| {
            reference(on).cleared(document).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(
            cleared("/c", r#"{ "a" : 1, "c" : "u7/1" , "b":[] }"#).unwrap(),
            r#"{ "a" : 1, "c" : null , "b":[] }"#
        );
        assert_eq!(cleared("/a/1", r#"{"a":["x","u7/1"]}"#).unwrap(), r#"{"a":["x",null]}"#);
        assert_eq!(cleared("/c", "{}"), None);
    }

    #[test]
    fn what_it_says_is_read_as_written() {
        let read = |text: &str| serde_json::from_str::<Reference>(text).map_err(|error| error.to_string());
        let plain = read(r#"{"on":"/customer","collection":"customers"}"#).unwrap();
        assert_eq!(plain, reference("/customer"), "a deletion is refused unless it says otherwise");
        for word in ["restrict", "cascade", "set_null"] {
            let text = format!(r#"{{"on":"/a","collection":"b","on_delete":"{word}"}}"#);
            let read = read(&text).unwrap();
            assert_eq!((read.on_delete.as_str(), serde_json::to_string(&read).unwrap()), (word, text));
        }
        assert!(
            read(r#"{"on":"/a","collection":"b","on_delete":"no_action"}"#).unwrap_err().contains("set_null")
        );
        assert!(
            read(r#"{"on":"/a","collection":"b","on_update":"cascade"}"#).unwrap_err().contains("on_update")
        );
    }
}

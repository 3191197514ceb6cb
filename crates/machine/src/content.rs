//! What an item holds: bytes and their content type, JSON or anything else.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::error::{Classify, Code};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::json::{self, Json};
use crate::text::shown;

/// A media type (RFC 9110, section 8.3.1): 1 to 255 visible ASCII characters and spaces, with a slash. Cloning is cheap.
///
/// `application/json`, in any case and with or without `charset=utf-8`, is one value, [`ContentType::JSON`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentType(Kind);

/// A content type has one kind, so that two that are equal compare as such.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Json,
    /// One of [`USUAL`].
    Usual(&'static str),
    Other(Arc<str>),
}

/// What most values are that are not JSON, as it is mostly written: read and cloned without a check or an allocation.
const USUAL: [&str; 10] = [
    "application/octet-stream",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html; charset=utf-8",
    "application/protobuf",
    "application/cbor",
    "application/msgpack",
    "application/x-www-form-urlencoded",
    "image/jpeg",
    "image/png",
];

/// A text that is not a [`ContentType`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{} is not a content type: write type/subtype in at most {} ASCII characters, such as \"image/png\"",
    shown(.0),
    ContentType::BYTES_MAX
)]
pub struct ParseError(String);

/// A value that can be stored: what claims to be JSON is JSON. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    content_type: ContentType,
    bytes: Bytes,
}

impl ContentType {
    /// The longest content type, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// JSON (RFC 8259).
    pub const JSON: Self = Self(Kind::Json);

    /// The content type as text.
    pub fn as_str(&self) -> &str {
        self.stored().unwrap_or("application/json")
    }

    /// Whether values of this type are JSON texts: `application/json`, and every type that ends in `+json`
    /// (RFC 6839, section 3.1).
    pub fn is_json(&self) -> bool {
        self.stored().is_none_or(|text| {
            let essence = essence(text);
            let has_suffix = essence
                .len()
                .checked_sub(5)
                .and_then(|start| essence.get(start..))
                .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
            essence.eq_ignore_ascii_case("application/json") || has_suffix
        })
    }

    /// Whether values of another type may be where this one is wanted: those of this type, however it is spelled, and where this is a text of which no
    /// parameter is said also those that say `charset=utf-8`, as most clients do by themselves.
    pub fn takes(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let [(wanted, said), (found, more)] = [self, other].map(|it| parts(it.as_str()));
        let is_text = wanted.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"));
        let is_usual = is_text && said.is_empty() && is_utf8(more);
        wanted.eq_ignore_ascii_case(found) && (said == more || is_utf8(said) && is_utf8(more) || is_usual)
    }

    /// None for [`ContentType::JSON`].
    pub(crate) fn stored(&self) -> Option<&str> {
        match &self.0 {
            Kind::Json => None,
            Kind::Usual(text) => Some(text),
            Kind::Other(text) => Some(text),
        }
    }
}

fn essence(text: &str) -> &str {
    parts(text).0
}

/// What stands before the parameters, and these.
fn parts(text: &str) -> (&str, &str) {
    let essence = text.split(';').next().unwrap_or(text).trim_end();
    (essence, text[essence.len()..].trim_start().trim_start_matches(';').trim())
}

/// Whether these parameters say this alone, in any case.
fn is_utf8(parameters: &str) -> bool {
    ["charset=utf-8", "charset=\"utf-8\""].iter().any(|it| parameters.eq_ignore_ascii_case(it))
}

impl Display for ContentType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ContentType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim_matches([' ', '\t']);
        if let Some(usual) = USUAL.iter().find(|usual| **usual == text) {
            return Ok(Self(Kind::Usual(usual)));
        }
        let (essence, parameters) = parts(text);
        let is_token = |part: &str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            !part.is_empty() && part.chars().all(is_allowed)
        };
        let has_form = essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
            && text.len() <= Self::BYTES_MAX
            && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        if !has_form {
            return Err(ParseError(text.to_owned()));
        }
        let is_plain = parameters.is_empty() || is_utf8(parameters);
        let is_json = essence.eq_ignore_ascii_case("application/json") && is_plain;
        Ok(Self(if is_json { Kind::Json } else { Kind::Other(text.into()) }))
    }
}

impl Serialize for ContentType {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ContentType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ContentType {
    fn schema_name() -> Cow<'static, str> {
        "ContentType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Content type",
            "description": "A media type: type/subtype in at most 255 ASCII characters.",
            "type": "string",
            "minLength": 3,
            "maxLength": Self::BYTES_MAX,
            "examples": ["application/json", "image/png"],
        })
    }
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Value {
    /// A value of this type. Errors: [`json::Error`] when the type is JSON and the bytes are not.
    pub fn new(content_type: ContentType, bytes: Bytes) -> Result<Self, json::Error> {
        if content_type.is_json() {
            json::check(&bytes)?;
        }
        Ok(Self { content_type, bytes })
    }

    /// The type.
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// The bytes, as they were given.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self { content_type: ContentType::JSON, bytes: json.into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_json_is_one_type() {
        for json in
            ["application/json", "Application/JSON", "application/json; charset=UTF-8", " application/json;"]
        {
            assert_eq!(json.parse(), Ok(ContentType::JSON), "{json}");
        }
        for (text, is_json) in [
            ("application/cloudevents+json; charset=utf-8", true),
            ("application/json; profile=a", true),
            ("image/svg+xml", false),
            ("text/json", false),
            ("a/é+json", false),
        ] {
            let Ok(parsed) = text.parse::<ContentType>() else {
                assert_eq!(text, "a/é+json");
                continue;
            };
            assert_eq!((parsed.as_str(), parsed.is_json()), (text, is_json));
            assert_ne!(parsed, ContentType::JSON);
        }
    }

    #[test]
    fn a_text_is_taken_with_the_charset_that_clients_add() {
        for (wanted, found, takes) in [
            ("text/plain", "text/plain; charset=utf-8", true),
            ("text/plain", "Text/Plain;Charset=\"UTF-8\"", true),
            ("text/plain", "TEXT/plain", true),
            ("text/plain; charset=utf-8", "text/plain;charset=UTF-8", true),
            ("application/json", "application/json; charset=utf-8", true),
            ("text/plain", "text/plain; charset=latin-1", false),
            ("text/plain", "text/plain; charset=utf-8; format=flowed", false),
            ("text/plain", "text/html; charset=utf-8", false),
            ("text/plain; charset=utf-8", "text/plain", false),
            ("image/png", "image/png; charset=utf-8", false),
            ("application/json", "application/json; profile=a", false),
        ] {
            let [of, other]: [ContentType; 2] = [wanted, found].map(|text| text.parse().unwrap());
            assert_eq!(of.takes(&other), takes, "{wanted} and {found}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for wrong in [
            "",
            "json",
            "/",
            "a/",
            "/b",
            "a b/c",
            "a/b\n",
            "a/b; c=\u{7f}",
            &format!("a/{}", "b".repeat(254)),
        ] {
            assert!(wrong.parse::<ContentType>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_type_is_text_outside() {
        let png: ContentType = serde_json::from_str("\"image/png\"").unwrap();
        assert_eq!(serde_json::to_string(&png).unwrap(), "\"image/png\"");
        assert_eq!(serde_json::from_str::<ContentType>("\"Application/JSON\"").unwrap(), ContentType::JSON);
        assert!(
            serde_json::from_str::<ContentType>("\"png\"").unwrap_err().to_string().contains("write type/")
        );
    }

    #[test]
    fn only_what_claims_to_be_json_must_be() {
        assert!(Value::new(ContentType::JSON, Bytes::from_static(b"{")).is_err());
        assert!(Value::new("a/b+json".parse().unwrap(), Bytes::from_static(b"{")).is_err());
        assert!(Value::new("a/b".parse().unwrap(), Bytes::from_static(b"{")).is_ok());
    }
}

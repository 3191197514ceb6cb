//! The id of a request.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::{Builder, Uuid};

use crate::error::{Classify, Code};
use crate::text::{self, Text, shown};
use crate::time::Timestamp;

/// Names one request in answers, logs and traces: a UUID of version 7 (RFC 9562, section 5.7).
///
/// 16 bytes whose order is that of the milliseconds they were made at. Text: 36 characters with hyphens,
/// written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

/// A text that is not a [`RequestId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a request id: write a UUID of version 7, such as {EXAMPLE:?}", shown(.0))]
pub struct RequestIdError(String);

impl RequestId {
    /// The id made at `wall` from this entropy, of which 74 bits are used.
    pub const fn new(wall: Timestamp, entropy: [u8; 10]) -> Self {
        Self(Builder::from_unix_timestamp_millis(wall.as_micros() / 1000, &entropy).into_uuid())
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Its text.
    pub fn encode(&self) -> [u8; uuid::fmt::Hyphenated::LENGTH] {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.0.as_hyphenated().encode_lower(&mut text);
        text
    }

    /// The id of these bytes; none unless they are a UUID of version 7.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Some(Uuid::from_bytes(bytes)).filter(is_version_7).map(Self)
    }
}

fn is_version_7(uuid: &Uuid) -> bool {
    uuid.get_version() == Some(uuid::Version::SortRand) && uuid.get_variant() == uuid::Variant::RFC4122
}

const EXAMPLE: &str = "019ab2c4-5d60-7e0f-8a3b-1c2d3e4f5a6b";

impl Display for RequestId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let uuid = Uuid::try_parse(text).ok().filter(|uuid| {
            // The parser also takes forms without hyphens, in braces and as a URN.
            text.len() == uuid::fmt::Hyphenated::LENGTH && is_version_7(uuid)
        });
        uuid.map(Self).ok_or_else(|| RequestIdError(text.to_owned()))
    }
}

impl Classify for RequestIdError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Text for RequestId {
    const EXPECTED: &'static str = "a request id as text: a UUID of version 7";
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for RequestId {
    fn schema_name() -> Cow<'static, str> {
        "RequestId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "RequestId",
            "description": "Names one request in answers, logs and traces: a UUID of version 7.",
            "type": "string",
            "format": "uuid",
            "examples": [EXAMPLE],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(micros: u64, entropy: u8) -> RequestId {
        RequestId::new(Timestamp::from_micros(micros), [entropy; 10])
    }

    #[test]
    fn an_id_is_a_version_7_uuid_of_its_time_and_entropy() {
        let id = id(0x0123_4567_89ab * 1000 + 999, 0xff);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<RequestId>(&format!("\"{id}\"")).unwrap(), id);
    }

    #[test]
    fn ids_are_ordered_by_their_millisecond_and_differ_by_their_entropy() {
        assert!(id(1_999, 0xff) < id(2_000, 0));
        assert_ne!(id(1_000, 1), id(1_000, 2));
    }

    #[test]
    fn only_hyphenated_version_7_uuids_are_read() {
        assert_eq!(EXAMPLE.parse::<RequestId>().unwrap().to_string(), EXAMPLE);
        assert_eq!(EXAMPLE.to_uppercase().parse::<RequestId>().unwrap().to_string(), EXAMPLE);
        for bad in [
            "",
            "019ab2c45d607e0f8a3b1c2d3e4f5a6b",
            "{019ab2c4-5d60-7e0f-8a3b-1c2d3e4f5a6b}",
            "urn:uuid:019ab2c4-5d60-7e0f-8a3b-1c2d3e4f5a6b",
            "019ab2c4-5d60-4e0f-8a3b-1c2d3e4f5a6b",
            "019ab2c4-5d60-7e0f-0a3b-1c2d3e4f5a6b",
            "019ab2c4-5d60-7e0f-8a3b-1c2d3e4f5a6g",
        ] {
            let error = bad.parse::<RequestId>().expect_err(bad);
            assert!(error.to_string().contains("version 7"), "{error}");
        }
    }

    #[test]
    fn bytes_make_the_same_id_or_none() {
        let id = RequestId::new(Timestamp::EPOCH, [7; 10]);
        assert_eq!(RequestId::from_bytes(*id.as_bytes()), Some(id));
        assert_eq!(RequestId::from_bytes([0; 16]), None);
        assert_eq!(RequestId::from_bytes([0xff; 16]), None);
    }
}

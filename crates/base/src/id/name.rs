//! Names that people give to things.

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::error::{Classify, Code};
use crate::text::{self, Text, shown};

/// What a person calls a collection, a topic, a route and so on: `[a-z0-9][a-z0-9._-]{0,62}`.
///
/// At most 63 bytes, all of them ASCII, so that a name needs no escaping in a path, a header, a metric's
/// label or a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Cow<'static, str>);

/// Whose data it is: a [`Name`] that every key, command and record carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tenant(Name);

/// One process of a cluster: a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeId(Name);

/// A text that is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name cannot be empty: write 1 to 63 of a-z, 0-9, '.', '_' and '-'")]
    Empty,
    /// It has more than 63 bytes.
    #[error("{} is not a name: it has {bytes} bytes, and at most {} are allowed", shown(.text), Name::BYTES_MAX)]
    TooLong {
        /// The text.
        text: String,
        /// Its length.
        bytes: usize,
    },
    /// A character is not allowed where it stands.
    #[error(
        "{} is not a name: {found:?} at position {position} is not allowed; \
         use a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit",
        shown(.text)
    )]
    Char {
        /// The text.
        text: String,
        /// The first character that is wrong.
        found: char,
        /// Its place, counted in characters from 1.
        position: usize,
    },
}

impl Name {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 63;

    /// The pattern of names, as a regular expression.
    pub const PATTERN: &'static str = "^[a-z0-9][a-z0-9._-]{0,62}$";

    /// A name that is known when the program is built. Panics when it is not a name.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= Self::BYTES_MAX, "a name has 1 to 63 bytes");
        let mut place = 0;
        while place < bytes.len() {
            assert!(is_allowed(bytes[place], place), "a name has no such character there");
            place += 1;
        }
        Self(Cow::Borrowed(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_allowed(byte: u8, place: usize) -> bool {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => true,
        b'.' | b'_' | b'-' => place > 0,
        _ => false,
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let wrong = text
            .char_indices()
            .enumerate()
            .find(|(_, (place, found))| !u8::try_from(*found).is_ok_and(|byte| is_allowed(byte, *place)));
        if let Some((chars_before, (_, found))) = wrong {
            return Err(NameError::Char { text: text.to_owned(), found, position: chars_before + 1 });
        }
        if text.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong { text: text.to_owned(), bytes: text.len() });
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Classify for NameError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Text for Name {
    const EXPECTED: &'static str = "a name as text: 1 to 63 of a-z, 0-9, '.', '_' and '-'";
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Name",
            "description": "1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit.",
            "type": "string",
            "minLength": 1,
            "maxLength": Self::BYTES_MAX,
            "pattern": Self::PATTERN,
            "examples": ["orders"],
        })
    }
}

impl Tenant {
    /// The only tenant until tenancy is switched on.
    pub const DEFAULT: Self = Self(Name::from_static("default"));

    /// The tenant by its name.
    pub const fn new(name: Name) -> Self {
        Self(name)
    }

    /// The tenant's name.
    pub const fn name(&self) -> &Name {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Display for Tenant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Tenant {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl NodeId {
    /// The node by its name.
    pub const fn new(name: Name) -> Self {
        Self(name)
    }

    /// The node's name.
    pub const fn name(&self) -> &Name {
        &self.0
    }
}

impl Display for NodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_and_written_unchanged() {
        for good in ["a", "0", "orders", "orders.v2", "a_b-c.d", &"a".repeat(63)] {
            let name: Name = good.parse().expect(good);
            assert_eq!((name.as_str(), name.to_string().as_str()), (good, good));
            assert_eq!(serde_json::to_value(&name).unwrap(), good);
            assert_eq!(serde_json::from_value::<Name>(good.into()).unwrap(), name);
        }
        assert_eq!(Tenant::DEFAULT.to_string(), "default");
        assert_eq!(Tenant::default(), "default".parse().unwrap());
        assert_eq!(serde_json::to_value(NodeId::new(Name::from_static("n1"))).unwrap(), "n1");
    }

    #[test]
    fn an_error_names_the_character_and_its_place() {
        let refusal = |text: &str| text.parse::<Name>().expect_err(text);
        let wrong = |text: &str, found, position| {
            assert_eq!(refusal(text), NameError::Char { text: text.into(), found, position });
        };
        wrong("Orders", 'O', 1);
        wrong(".orders", '.', 1);
        wrong("or ders", ' ', 3);
        wrong("aé/b", 'é', 2);
        wrong("orders\n", '\n', 7);
        assert_eq!(refusal(""), NameError::Empty);
        assert_eq!(refusal(&"a".repeat(64)), NameError::TooLong { text: "a".repeat(64), bytes: 64 });
        assert_eq!(
            refusal("or ders").to_string(),
            "\"or ders\" is not a name: ' ' at position 3 is not allowed; \
             use a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
        );
        assert!(refusal(&"é".repeat(10_000)).to_string().len() < 400);
        let error = serde_json::from_str::<Tenant>("7").expect_err("a number");
        assert!(error.to_string().contains("expected a name as text"), "{error}");
    }

    proptest! {
        #[test]
        fn exactly_the_pattern_is_accepted(text in "[a-zA-Z0-9._é/-]{0,70}|[a-z0-9][a-z0-9._-]{0,64}") {
            let mut chars = text.chars();
            let first_fits = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let rest_fits = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
            prop_assert_eq!(text.parse::<Name>().is_ok(), first_fits && rest_fits && text.len() <= 63);
        }
    }
}

//! Conditions on headers and on parameters of the query, and what one says of another.

use std::fmt::{self, Display, Formatter};

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds for a header or for a parameter of the query: `present`, `absent`, or one of `{exact: text}` and `{prefix: text}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its value is this text, byte by byte.
    Exact(String),
    /// Its value begins with this text, byte by byte.
    Prefix(String),
    /// It is there, with whatever value.
    Present,
    /// It is not there.
    Absent,
}

/// How a value relates to the text of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Same,
    Longer,
    Other,
}

impl Condition {
    /// Whether it holds for values of which `relation` says how each relates to a text; none when there is no value.
    pub(crate) fn holds(&self, is_there: bool, relation: impl FnOnce(&str) -> Text) -> bool {
        match self {
            Self::Exact(text) => is_there && relation(text) == Text::Same,
            Self::Prefix(text) => is_there && relation(text) != Text::Other,
            Self::Present => is_there,
            Self::Absent => !is_there,
        }
    }

    /// Whether all that it holds for is what the other holds for as well.
    pub(crate) fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Exact(one) | Self::Prefix(one), Self::Prefix(other)) => one.starts_with(&**other),
            (Self::Exact(_) | Self::Prefix(_) | Self::Present, Self::Present)
            | (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }

    /// Whether nothing is what both hold for.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => false,
            (Self::Absent, _) | (_, Self::Absent) => true,
            (Self::Exact(one), Self::Exact(other)) => one != other,
            (Self::Exact(text), Self::Prefix(prefix)) | (Self::Prefix(prefix), Self::Exact(text)) => {
                !text.starts_with(&**prefix)
            }
            (Self::Prefix(one), Self::Prefix(other)) => {
                !one.starts_with(&**other) && !other.starts_with(&**one)
            }
            (Self::Present, _) | (_, Self::Present) => false,
        }
    }

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Prefix(text) if text.is_empty() => {
                Err("has an empty `prefix`, which every value has: write `present`".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The same for a header. Errors: what is wrong and what to do.
    pub(super) fn check_header(&self) -> Result<(), String> {
        self.check()?;
        let (Self::Exact(text) | Self::Prefix(text)) = self else { return Ok(()) };
        if HeaderValue::from_str(text).is_err() {
            return Err(format!("asks for {text:?}, which no header can hold: leave out control characters"));
        }
        let is_trimmed = matches!(self, Self::Prefix(_)) && text.trim_start() == text || text.trim() == text;
        if is_trimmed {
            Ok(())
        } else {
            Err(format!("asks for {text:?}, and values have no spaces around them: leave them out"))
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exactly {text:?}"),
            Self::Prefix(text) => write!(f, "something that begins with {text:?}"),
            Self::Present => f.write_str("present"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

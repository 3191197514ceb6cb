//! Media types, as routes name them.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A media type without parameters, all of one top-level type (`text/*`), or those of them with a suffix (`application/*+json`); case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct MediaRange(
    /// In lower case.
    Box<str>,
);

/// A text that names no media types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no media type: write one without parameters, such as application/json, text/* or application/*+json"
)]
pub struct MediaError(String);

/// The one type that no wildcard takes.
const EVENTS: &str = "text/event-stream";

const COMPRESSIBLE: [&str; 15] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/yaml",
    "application/javascript",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
];

impl MediaRange {
    /// What is worth it.
    pub(super) fn compressible() -> Vec<Self> {
        COMPRESSIBLE.into_iter().map(|text| Self(text.into())).collect()
    }

    /// Whether a `Content-Type` is of it.
    pub fn takes(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        let Some((top, suffix)) = self.0.split_once('*') else {
            return essence.eq_ignore_ascii_case(&self.0);
        };
        let has = |text: Option<&str>, wanted: &str| text.is_some_and(|it| it.eq_ignore_ascii_case(wanted));
        essence.len() > self.0.len() - 1
            && has(essence.get(..top.len()), top)
            && has(essence.get(essence.len() - suffix.len()..), suffix)
            && !essence.eq_ignore_ascii_case(EVENTS)
    }
}

/// Letters, digits, and what else RFC 9110, section 5.6.2, has in tokens but for `*`.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte))
}

impl TryFrom<String> for MediaRange {
    type Error = MediaError;

    fn try_from(text: String) -> Result<Self, MediaError> {
        let is_range = |subtype: &str| match subtype.strip_prefix('*') {
            Some(suffix) => suffix.is_empty() || suffix.strip_prefix('+').is_some_and(is_token),
            None => is_token(subtype),
        };
        match text.split_once('/') {
            Some((top, subtype)) if is_token(top) && is_range(subtype) => {
                Ok(Self(text.to_ascii_lowercase().into()))
            }
            _ => Err(MediaError(text)),
        }
    }
}

impl From<MediaRange> for String {
    fn from(range: MediaRange) -> Self {
        range.0.into()
    }
}

impl Display for MediaRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Origins as they are configured, in the form in which browsers send them.
//!
//! The header `Origin` holds the ASCII serialisation of an origin (<https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin>): scheme and host in lower case, and the port
//! unless it is the scheme's own. What is configured is brought into this form once, and then bytes are compared.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actions::authority;

/// An origin, such as `https://app.example.com` or `http://localhost:3000`; `https://*.example.com` for all names below one, at any depth; `*` for all; or `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Origin {
    /// Every origin.
    Any,
    /// That of pages without one.
    Null,
    /// This one, serialised.
    Exact(Box<str>),
    /// Those of all names below one.
    Below {
        /// The scheme with its `://`.
        scheme: Box<str>,
        /// What they end with: a dot, the name, and the port if it is not the scheme's own.
        end: Box<str>,
    },
}

/// A text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an origin: {reason}")]
pub struct OriginError {
    text: String,
    reason: String,
}

impl Origin {
    /// Whether the value of a header `Origin` is this one, or one of these.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Null => value == b"null",
            Self::Exact(origin) => value == origin.as_bytes(),
            Self::Below { scheme, end } => {
                let host = value.strip_prefix(scheme.as_bytes());
                host.and_then(|host| host.strip_suffix(end.as_bytes())).is_some_and(are_labels)
            }
        }
    }
}

/// Whether a text is labels of a name with single dots between them. Nothing else may stand before the end of a wildcard: `https://evil.example/.example.com` ends so, too.
fn are_labels(text: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let is_letter =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte);
        !label.is_empty() && label.iter().all(is_letter)
    };
    text.split(|byte| *byte == b'.').all(is_label)
}

/// The port that a scheme has without its being written. <https://url.spec.whatwg.org/#special-scheme>
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Origin, String> {
    match text {
        "*" => return Ok(Origin::Any),
        "null" => return Ok(Origin::Null),
        _ => {}
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("write scheme and host, such as https://app.example.com, or `*`, or `null`")?;
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Err("before its \"://\" is no scheme: write one such as https".to_owned());
    }
    if rest.contains(['/', '?', '#', '@']) {
        return Err(
            "an origin is scheme, host and port: leave out what follows them, also a \"/\"".to_owned()
        );
    }
    let (host, port) = authority::split(rest)?;
    let port = port.filter(|port| default_port(&scheme) != Some(*port));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let name = host.name();
    if host.is_wildcard() {
        return Ok(Origin::Below {
            scheme: format!("{scheme}://").into(),
            end: format!(".{name}{port}").into(),
        });
    }
    Ok(Origin::Exact(format!("{scheme}://{name}{port}").into()))
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        parse(&text).map_err(|reason| OriginError { text, reason })
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Null => f.write_str("null"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below { scheme, end } => write!(f, "{scheme}*{end}"),
        }
    }
}

//! Patterns of paths.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::path;

/// A pattern of paths: `/a/b` is this path; a segment `{name}` is any one that is not empty; `{name...}` at the end is whatever follows, also nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What a segment of a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text, in the normal form of paths; only the last one is empty.
    Literal(Box<str>),
    /// Any one segment that is not empty, by the name.
    Param(Box<str>),
    /// This segment and all that follow, or none, by the name. The last.
    Rest(Box<str>),
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a path to match: {reason}")]
pub struct PatternError {
    text: String,
    reason: String,
}

impl Pattern {
    /// The most segments.
    pub const SEGMENTS_MAX: usize = 32;

    /// The most names.
    pub const PARAMS_MAX: usize = 8;

    /// The longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 32;

    /// The segments, of which there is one at least.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names in their order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Param(name) | Segment::Rest(name) => Some(&**name),
        })
    }

    /// Whether a path in normal form matches. By comparison, for explanations; requests go through the table.
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        for wanted in &self.segments {
            let is_right = match (wanted, segments.next()) {
                (Segment::Rest(_), _) => return true,
                (Segment::Literal(text), Some(segment)) => **text == *segment,
                (Segment::Param(_), Some(segment)) => !segment.is_empty(),
                (_, None) => false,
            };
            if !is_right {
                return false;
            }
        }
        segments.next().is_none()
    }
}

fn parse(text: &str) -> Result<Box<[Segment]>, String> {
    let path = text.strip_prefix('/').ok_or("it begins with \"/\"")?;
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > Pattern::SEGMENTS_MAX {
        return Err(format!(
            "it has {} segments, and at most {} are allowed",
            parts.len(),
            Pattern::SEGMENTS_MAX
        ));
    }
    let mut segments = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        segments.push(segment(part, place + 1 == parts.len())?);
    }
    let names: Vec<&str> = segments.iter().filter_map(name).collect();
    if names.len() > Pattern::PARAMS_MAX {
        return Err(format!("it has {} names, and at most {} are allowed", names.len(), Pattern::PARAMS_MAX));
    }
    if let Some((_, twice)) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        return Err(format!("{{{twice}}} is in it twice: give each its own name"));
    }
    Ok(segments.into())
}

fn name(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(_) => None,
        Segment::Param(name) | Segment::Rest(name) => Some(name),
    }
}

fn segment(part: &str, is_last: bool) -> Result<Segment, String> {
    if !part.contains(['{', '}']) {
        return literal(part, is_last);
    }
    let inner = part.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).ok_or_else(|| {
        format!(
            "{part:?} is neither a text nor a name: a name in braces is a whole segment, as in /{{name}}/"
        )
    })?;
    let (name, is_rest) = match inner.strip_suffix("...") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !is_word || name.len() > Pattern::NAME_BYTES_MAX || name == "in" {
        return Err(format!(
            "{name:?} is not a name: write at most {} letters, digits and \"_\", not beginning with a digit",
            Pattern::NAME_BYTES_MAX
        ));
    }
    match is_rest {
        true if !is_last => Err(format!("{part} is whatever follows, and stands at the end only")),
        true => Ok(Segment::Rest(name.into())),
        false => Ok(Segment::Param(name.into())),
    }
}

fn literal(part: &str, is_last: bool) -> Result<Segment, String> {
    match part {
        "" if is_last => return Ok(Segment::Literal("".into())),
        "" => {
            return Err(
                "a segment is empty: write single slashes; `{rest...}` matches empty segments".to_owned()
            );
        }
        "." | ".." => return Err("paths are matched without \".\" and \"..\": leave them out".to_owned()),
        "*" | "**" => {
            return Err(format!(
                "{part:?} matches nothing but itself: write {{name}} for one segment, or {{rest...}} at the end"
            ));
        }
        _ if part.contains('?') => {
            return Err("a path has no query: write what holds for it as `query`".to_owned());
        }
        _ => {}
    }
    // What a node may let pass is matched by what it is written as. A "%" alone never is: written %25 it means the same.
    let config = path::Config { invalid_encoding: path::Handling::Refuse, ..path::Config::PERMISSIVE };
    let path = format!("/{part}");
    let normal = path::normalise(&path, &config).map_err(|error| error.to_string())?;
    Ok(Segment::Literal(normal[1..].into()))
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        match parse(&text) {
            Ok(segments) => Ok(Self { text: text.into(), segments }),
            Err(reason) => Err(PatternError { text, reason }),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text.into()
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

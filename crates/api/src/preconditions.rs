//! Conditions of single items as HTTP writes them: `If-Match` and `If-None-Match` (RFC 9110, section 13.1).

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use mainstay_base::problem::Problem;
use mainstay_machine::Version;
use mainstay_machine::command::{Condition, Expected, ItemName};

use crate::answer::header;
use crate::terms::{one, wrong};

/// The entity tag of a version.
pub fn etag(version: Version) -> HeaderValue {
    header(format_args!("\"{version}\""))
}

/// What a change of an item depends on. Errors: a header that cannot be read, or that no condition can express.
pub(crate) fn for_change(headers: &HeaderMap, item: &ItemName) -> Result<Vec<Condition>, Problem> {
    let mut conditions = Vec::new();
    match tag(headers, &IF_MATCH)? {
        None => {}
        Some(Tag::Any) => conditions.push(Condition::Present { item: item.clone() }),
        Some(Tag::Version(is)) => conditions.push(Condition::Version { item: item.clone(), is }),
    }
    match tag(headers, &IF_NONE_MATCH)? {
        None => {}
        Some(Tag::Any) => conditions.push(Condition::Absent { item: item.clone() }),
        Some(Tag::Version(_)) => {
            let why = "asks for a version that the item must not have, which no change can depend on";
            return Err(wrong(&IF_NONE_MATCH, why, "`*`, or `If-Match` with the version that it must have"));
        }
    }
    Ok(conditions)
}

/// What a change of a definition depends on. Errors: a header that cannot be read, or that no change can depend on.
pub fn for_definition(headers: &HeaderMap) -> Result<Expected, Problem> {
    match (tag(headers, &IF_MATCH)?, tag(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Expected::Anything),
        (Some(Tag::Any), None) => Ok(Expected::Present),
        (Some(Tag::Version(is)), None) => Ok(Expected::Version(is)),
        (None, Some(Tag::Any)) => Ok(Expected::Absent),
        (Some(_), Some(Tag::Any)) => Ok(Expected::Impossible),
        (_, Some(Tag::Version(_))) => {
            let why = "asks for a version that the definition must not have, which no change can depend on";
            Err(wrong(&IF_NONE_MATCH, why, "`*`, or `If-Match` with the version that it must have"))
        }
    }
}

/// What a reading of an item depends on.
#[derive(Debug)]
pub(crate) struct ForReading<'h> {
    matching: Option<Tag>,
    /// Entity tags with commas between them, or `*`. Those that are not ours match nothing.
    none_matching: Option<&'h str>,
}

/// What becomes of a reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The item is answered.
    Show,
    /// The caller has it already.
    NotModified,
    /// It is not what the caller asked for.
    Failed,
}

impl<'h> ForReading<'h> {
    /// Errors: a header that cannot be read.
    pub(crate) fn read(headers: &'h HeaderMap) -> Result<Self, Problem> {
        Ok(Self { matching: tag(headers, &IF_MATCH)?, none_matching: one(headers, &IF_NONE_MATCH)? })
    }

    /// Whether an item with this entity tag is to be shown.
    pub(crate) fn judge(&self, version: Version, etag: &HeaderValue) -> Verdict {
        // Compared weakly: who has a weakened copy has a copy.
        let is_ours = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag;
        let is_there = |tags: &str| tags.split(',').map(str::trim).any(is_ours);
        if self.matching.as_ref().is_some_and(|tag| !tag.covers(version)) {
            Verdict::Failed
        } else if self.none_matching.is_some_and(is_there) {
            Verdict::NotModified
        } else {
            Verdict::Show
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Tag {
    Any,
    Version(Version),
}

impl Tag {
    fn covers(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Version(is) => *is == version,
        }
    }
}

fn tag(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tag>, Problem> {
    let Some(text) = one(headers, name)? else { return Ok(None) };
    if text == "*" {
        return Ok(Some(Tag::Any));
    }
    let version = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).and_then(|it| it.parse().ok());
    let expected = "`*`, or one version in double quotes as `ETag` had it, such as `\"1-2f\"`";
    version
        .map(|version| Some(Tag::Version(version)))
        .ok_or_else(|| wrong(name, "names no version", expected))
}

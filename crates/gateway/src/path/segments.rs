//! Segments that mean something: `.`, `..`, empty ones, and what looks like them to others.

use super::{Config, EmptySegments, Error};

fn segments(path: &str) -> std::str::Split<'_, char> {
    path[1..].split('/')
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// The text without the prefix in any case of its letters.
fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (front, rest) = text.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether a raw segment is `.` or `..` when it is decoded, and is not as it is written.
pub(super) fn have_encoded_dots(path: &str) -> bool {
    let is_encoded = |segment: &str| {
        let dot = |text| strip(text, ".").or_else(|| strip(text, "%2e"));
        !is_dots(segment) && dot(segment).is_some_and(|rest| rest.is_empty() || dot(rest) == Some(""))
    };
    segments(path).any(is_encoded)
}

/// Refuses segments that are `.` or `..` to those who cut `;` off or take `%2F` and `%5C` for slashes. The path has its bytes in their one form.
pub(super) fn check(path: &str) -> Result<(), Error> {
    let is_disguised = |segment: &str| !is_dots(segment) && pieces(segment).any(is_dots);
    if segments(path).any(is_disguised) { Err(Error::DisguisedDots) } else { Ok(()) }
}

/// What is left of a segment's pieces between separators of others when their parameters are cut off.
fn pieces(segment: &str) -> impl Iterator<Item = &str> {
    let separated = segment.split("%2F").flat_map(|piece| piece.split("%5C"));
    separated
        .map(|piece| piece.split(';').next().unwrap_or(piece))
        .map(|piece| piece.split("%3B").next().unwrap_or(piece))
}

pub(super) fn are_normal(path: &str, config: &Config) -> bool {
    let merges = config.empty_segments == EmptySegments::Merge;
    let mut segments = segments(path).peekable();
    while let Some(segment) = segments.next() {
        if is_dots(segment) || merges && segment.is_empty() && segments.peek().is_some() {
            return false;
        }
    }
    true
}

/// Merges empty segments if it shall, and takes `.` and `..` away with what they take back. RFC 3986, section 5.2.4; but above the root is an error.
pub(super) fn resolve(path: &str, config: &Config) -> Result<String, Error> {
    let merges = config.empty_segments == EmptySegments::Merge;
    let mut resolved = String::with_capacity(path.len());
    let mut segments = segments(path).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                let parent = resolved.rfind('/').ok_or(Error::AboveRoot)?;
                resolved.truncate(parent);
            }
            "" if merges && !is_last => {}
            segment => {
                resolved.push('/');
                resolved.push_str(segment);
                continue;
            }
        }
        if is_last {
            resolved.push('/');
        }
    }
    Ok(resolved)
}

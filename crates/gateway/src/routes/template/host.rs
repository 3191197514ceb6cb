//! Where a location leads: to the host that its template says, whatever the request.
//!
//! Who makes a link chooses its path and query. If these could end up in the host of a `Location`, a link to an honest host would lead anywhere (CWE-601).

use super::Part;

/// What ends an authority, to browsers as well: they take `\` for `/` (<https://url.spec.whatwg.org/#authority-state>).
const ENDS: [char; 4] = ['/', '?', '#', '\\'];

const BEGIN: &str =
    "it is a location: begin it with \"/\", or with a scheme and a host, such as https://example.com/";

/// Errors: what is wrong and what to do.
pub(super) fn check(parts: &[Part]) -> Result<(), String> {
    let Some(Part::Text(first)) = parts.first() else { return Err(BEGIN.to_owned()) };
    let Some(authority) = authority(first)? else { return Ok(()) };
    if let Some(end) = authority.find(ENDS) {
        return if end == 0 { Err(BEGIN.to_owned()) } else { Ok(()) };
    }
    let (mut count, mut is_own, mut end) = (0, false, authority);
    for part in &parts[1..] {
        match part {
            Part::Text(text) => match text.split_once(ENDS) {
                Some((text, _)) => {
                    end = text;
                    break;
                }
                None => end = text,
            },
            Part::Param(_) => {
                return Err("a part of the path stands in its host, where it could lead anywhere: put a \"/\" before it, or write ${{ params.name }} with the end of the host behind it, such as .example.com".to_owned());
            }
            Part::Expression(formula) => {
                count += 1;
                is_own = authority.is_empty() && formula.source() == "request.host";
                end = "";
            }
        }
    }
    let name = end.split(':').next().unwrap_or(end);
    match count {
        0 if authority.is_empty() => Err(BEGIN.to_owned()),
        0 => Ok(()),
        1 if is_own && name.is_empty() => Ok(()),
        // Without a dot in front it would be the end of a name that the client chooses, such as evil-example.com.
        _ if name.strip_prefix('.').is_some_and(|name| name.trim_end_matches('.').contains('.')) => Ok(()),
        _ => Err("its host ends with an expression and could be any: end it with text, such as .example.com, or let ${{ request.host }} be all of it".to_owned()),
    }
}

/// What of a location's beginning is behind its `//`; none if it has no host.
fn authority(first: &str) -> Result<Option<&str>, String> {
    if let Some(authority) = first.strip_prefix("//") {
        return Ok(Some(authority));
    }
    if first.starts_with('/') {
        return if first.starts_with("/\\") { Err(BEGIN.to_owned()) } else { Ok(None) };
    }
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    };
    match first.split_once("://") {
        Some((scheme, authority)) if is_scheme(scheme) => Ok(Some(authority)),
        _ => Err(BEGIN.to_owned()),
    }
}

//! Elements of the header `Forwarded` (RFC 7239, section 4).

use std::net::IpAddr;

use http::HeaderValue;

/// What an element says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Whom it is for, if that is an address.
    pub(super) address: Option<IpAddr>,
    /// By which scheme it came.
    pub(super) proto: Option<String>,
}

/// The elements of a list, which commas part that do not stand in quotes. It is read from its end: what a proxy has appended is never taken for a part of what a client
/// has left open.
pub(super) fn elements(list: &str) -> Vec<&str> {
    let (bytes, mut end, mut is_quoted) = (list.as_bytes(), list.len(), false);
    let mut elements = Vec::new();
    for at in (0..bytes.len()).rev() {
        match bytes[at] {
            b'"' => {
                let escapes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                is_quoted ^= escapes % 2 == 0;
            }
            b',' if !is_quoted => {
                elements.push(list[at + 1..end].trim());
                end = at;
            }
            _ => {}
        }
    }
    elements.push(list[..end].trim());
    elements.reverse();
    elements
}

/// Reads an element. What it says that cannot be read it does not say.
pub(super) fn read(element: &str) -> Element {
    let mut read = Element::default();
    for pair in pairs(element) {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = unquoted(value);
        if name.eq_ignore_ascii_case("for") {
            read.address = super::address(&value);
        } else if name.eq_ignore_ascii_case("proto") {
            read.proto = Some(value);
        }
    }
    read
}

/// The element that tells of one hop.
pub(super) fn written(ip: IpAddr, is_tls: bool, host: Option<&HeaderValue>) -> HeaderValue {
    let node = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    };
    let mut element = format!("for={node};proto={}", if is_tls { "https" } else { "http" });
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\'])) {
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    element.try_into().expect("an address, and what was a header's value")
}

fn pairs(element: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_between = move |char: char| {
        match char {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return char == ';' && !is_quoted,
        }
        false
    };
    element.split(is_between).map(str::trim)
}

fn unquoted(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut chars = quoted.chars();
    std::iter::from_fn(|| chars.next().and_then(|char| if char == '\\' { chars.next() } else { Some(char) }))
        .collect()
}

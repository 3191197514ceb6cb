//! Hosts with ports as they are configured.

use crate::routes::Host;

/// A host, which may be a wildcard, and its port if it has one. Errors: what is wrong and what to do.
pub(super) fn split(text: &str) -> Result<(Host, Option<u16>), String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let host = Host::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let number = |port: &str| {
        let is_written = !port.starts_with(['0', '+']);
        port.parse().ok().filter(|_| is_written).ok_or_else(|| {
            "behind its \":\" is no port: write a number from 1 to 65535, or leave it out".to_owned()
        })
    };
    Ok((host, port.map(number).transpose()?))
}

//! A host or an address that a certificate can be for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A DNS name in lower case, perhaps with an asterisk as its first label, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostName {
    Dns(String),
    Ip(IpAddr),
}

impl HostName {
    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with("*."))
    }

    /// Whether it is a wildcard below a name of one label, such as `*.localhost`.
    pub(super) fn is_weak_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.strip_prefix("*.").is_some_and(|rest| !rest.contains('.')))
    }

    pub(super) fn in_url(&self) -> String {
        match self {
            Self::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            name => name.to_string(),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Self::Ip(address));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            return Err(format!("it is a URL: write its host alone, `{host}`"));
        }
        if let Some((host, _)) = text.rsplit_once(':') {
            return Err(format!("a certificate is not for a port: write `{host}`"));
        }
        if !text.is_ascii() {
            return Err(
                "a name is written as it is sent, such as `xn--bcher-kva.example` (RFC 5890)".to_owned()
            );
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        if rest.contains('*') {
            return Err("an asterisk stands for the whole first label, such as `*.shop.localhost`".to_owned());
        }
        if name.len() > 253 || !rest.split('.').all(is_label) {
            return Err(
                "a name is labels of up to 63 letters, digits and '-', joined by '.', 253 in all".to_owned()
            );
        }
        Ok(Self::Dns(name))
    }
}

fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_and_addresses() {
        for (text, shown, in_url) in [
            ("localhost", "localhost", "localhost"),
            ("Shop.Localhost.", "shop.localhost", "shop.localhost"),
            ("*.shop.localhost", "*.shop.localhost", "*.shop.localhost"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1", "[::1]"),
        ] {
            let name: HostName = text.parse().expect(text);
            assert_eq!((name.to_string().as_str(), name.in_url().as_str()), (shown, in_url));
        }
        let weak = |text: &str| text.parse::<HostName>().expect(text).is_weak_wildcard();
        assert!(weak("*.localhost") && !weak("*.shop.localhost") && !weak("shop.localhost"));
    }

    #[test]
    fn what_is_no_name_says_what_to_write() {
        let long = ["a"; 128].join(".");
        for (text, hint) in [
            ("https://localhost:8443/", "write its host alone, `localhost`"),
            ("localhost:8443", "write `localhost`"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("a.*.example", "the whole first label"),
            ("*", "the whole first label"),
            ("shop*.example", "the whole first label"),
            ("", "labels of up to 63"),
            ("a..b", "labels of up to 63"),
            ("-a", "labels of up to 63"),
            ("a b", "labels of up to 63"),
            (&long, "253 in all"),
        ] {
            let error = text.parse::<HostName>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}

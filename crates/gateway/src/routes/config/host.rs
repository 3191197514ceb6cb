//! Hosts that requests are for.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::net::Ipv6Addr;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A host, such as `example.com`, `127.0.0.1` or `[::1]`, without a port; or `*.example.com` for all names below one, at any depth. Names beyond ASCII are written in Punycode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    /// In lower case, without the `*.` of a wildcard.
    name: Box<str>,
    is_wildcard: bool,
}

/// One host, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Hosts(Vec<Host>);

/// A text that is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a host: {reason}")]
pub struct HostError {
    text: String,
    reason: &'static str,
}

impl Host {
    /// The longest name, in bytes. RFC 1035, section 2.3.4, as text.
    pub const BYTES_MAX: usize = 253;

    /// The name; of a wildcard, what the names end with, behind a dot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is every name below [`Host::name`].
    pub fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// Whether a host, as [`host`] gives it, is this one or one of these.
    pub fn matches(&self, host: &str) -> bool {
        match host.strip_suffix(&*self.name) {
            Some("") => !self.is_wildcard,
            Some(below) => self.is_wildcard && below.len() > 1 && below.ends_with('.'),
            None => false,
        }
    }
}

/// The host of an authority, such as a `Host` header, as routes compare it: without port, in lower case, without a dot at the end. Borrowed when it is so already.
pub fn host(authority: &str) -> Cow<'_, str> {
    let is_bracketed = authority.starts_with('[');
    let after = if is_bracketed { b']' } else { b':' };
    let end = authority.bytes().position(|byte| byte == after);
    let end = end.map_or(authority.len(), |end| end + usize::from(is_bracketed));
    let name = authority[..end].strip_suffix('.').unwrap_or(&authority[..end]);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

fn check(name: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if let Some(address) = name.strip_prefix('[') {
        let address = address
            .strip_suffix(']')
            .ok_or("write an IPv6 address in brackets and without a port, such as [::1]")?;
        return address
            .parse::<Ipv6Addr>()
            .map(drop)
            .map_err(|_| "what is in the brackets is not an IPv6 address");
    }
    if !name.is_ascii() {
        return Err("write names beyond ASCII in Punycode, such as xn--caf-dma.example");
    }
    if name.contains([':', '/']) {
        return Err("leave out scheme, port and path");
    }
    if name.contains('*') {
        return Err("a `*` stands only in front, as in *.example.com; for any host leave `host` out");
    }
    if name.len() > Host::BYTES_MAX || !name.split('.').all(is_label) {
        return Err(
            "write labels of 1 to 63 letters, digits and dashes with single dots between them, such as example.com",
        );
    }
    Ok(())
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        let (name, is_wildcard) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (&*text, false),
        };
        match check(name) {
            Ok(()) if is_wildcard && name.starts_with('[') => {
                Err(HostError { text, reason: "addresses have no names below them" })
            }
            Ok(()) => Ok(Self { name: name.to_ascii_lowercase().into(), is_wildcard }),
            Err(reason) => Err(HostError { text, reason }),
        }
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_wildcard { "*." } else { "" })?;
        f.write_str(&self.name)
    }
}

impl Deref for Hosts {
    type Target = [Host];

    fn deref(&self) -> &[Host] {
        &self.0
    }
}

impl From<Vec<Host>> for Hosts {
    fn from(hosts: Vec<Host>) -> Self {
        Self(hosts)
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(HostsVisitor)
    }
}

struct HostsVisitor;

impl<'de> Visitor<'de> for HostsVisitor {
    type Value = Hosts;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a host such as example.com or *.example.com, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Hosts, E> {
        Host::try_from(text.to_owned()).map(|host| Hosts(vec![host])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hosts, A::Error> {
        let mut hosts = Vec::new();
        while let Some(host) = list.next_element()? {
            hosts.push(host);
        }
        Ok(Hosts(hosts))
    }
}

impl JsonSchema for Hosts {
    fn schema_name() -> Cow<'static, str> {
        "Hosts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let host = generator.subschema_for::<Host>();
        json_schema!({
            "description": "One host, or a list of them.",
            "anyOf": [host, { "type": "array", "items": host }],
        })
    }
}

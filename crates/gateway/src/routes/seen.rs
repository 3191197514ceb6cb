//! What is seen of a request, and how expressions see it.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method};
use mainstay_machine::expression::{Given, Members, Subject};

use super::config::Text;
use crate::network;

mod query;

pub use query::Query;

/// The names of what expressions about a request can look at, in the order of their places.
///
/// `request.host`, `request.path` are in their normal forms, `request.method`, `request.scheme` as they came; `request.headers` is a map by names in any case, several lines of one
/// header being one value with `, ` between them; `request.query` is a map by decoded names, of the first value of each; `request.listener` is the name of the listener by which it came in,
/// empty if that has none; `client.address` is an IP address as text, and `client.network` what one host has of addresses: the same for IPv4, and for IPv6 the network of 64 bits, such as `2001:db8::/64`.
pub const NAMES: [&str; 9] = [
    "request.method",
    "request.path",
    "request.host",
    "request.headers",
    "request.query",
    "request.scheme",
    "client.address",
    "client.network",
    "request.listener",
];

/// What is seen of a request.
#[derive(Debug, Clone)]
pub struct Seen<'r> {
    /// The method.
    pub method: &'r Method,
    /// `http` or `https`.
    pub scheme: &'r str,
    /// The host, as [`host`](super::host) gives it.
    pub host: &'r str,
    /// The path, as [`normalise`](crate::path::normalise) gives it.
    pub path: &'r str,
    /// The query.
    pub query: Query<'r>,
    /// The headers.
    pub headers: Headers<'r>,
    /// The name of the listener by which it came in; empty if that has none.
    pub listener: &'r str,
    /// Where the request comes from: the nearest address that is trusted to be true.
    pub client: IpAddr,
}

/// The headers of a request.
#[derive(Clone, Copy)]
pub struct Headers<'r>(pub &'r HeaderMap);

impl Subject for Seen<'_> {
    fn given(&self, place: usize) -> Given<'_> {
        match place {
            0 => Given::Text(self.method.as_str().into()),
            1 => Given::Text(self.path.into()),
            2 => Given::Text(self.host.into()),
            3 => Given::Members(&self.headers),
            4 => Given::Members(&self.query),
            5 => Given::Text(self.scheme.into()),
            6 => Given::Text(network::text(self.client).into()),
            7 => Given::Text(network::text_of_host(self.client).into()),
            8 => Given::Text(self.listener.into()),
            _ => unreachable!("there are no more names"),
        }
    }
}

impl Headers<'_> {
    /// How a header's value relates to a text.
    pub(super) fn relation(&self, name: &str, text: &str) -> Text {
        let (mut rest, mut is_first) = (text.as_bytes(), true);
        for line in self.0.get_all(name) {
            let comma: &[u8] = if std::mem::take(&mut is_first) { b"" } else { b", " };
            for piece in [comma, line.as_bytes()] {
                let common = piece.len().min(rest.len());
                if piece[..common] != rest[..common] {
                    return Text::Other;
                }
                if common < piece.len() {
                    return Text::Longer;
                }
                rest = &rest[common..];
            }
        }
        if rest.is_empty() { Text::Same } else { Text::Other }
    }

    pub(super) fn is_there(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A header's value as text, with the Unicode replacement character where it is none; none if it is not there.
    pub(super) fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = |line| String::from_utf8_lossy(HeaderValue::as_bytes(line));
        let mut lines = self.0.get_all(name).iter().map(text);
        let first = lines.next()?;
        Some(lines.fold(first, |joined, line| joined + ", " + line))
    }
}

impl Members for Headers<'_> {
    fn member(&self, key: &str) -> Option<Given<'_>> {
        self.value(key).map(Given::Text)
    }

    fn names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        Box::new(self.0.keys().map(|name| name.as_str().into()))
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// How many there are: what they hold may be secret.
impl Debug for Headers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Headers").field(&self.0.len()).finish()
    }
}

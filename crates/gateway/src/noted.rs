//! Which headers a request has of those that the gateway looks at.

use http::HeaderMap;
use http::header::HeaderName;

/// A header that the gateway looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    Connection,
    Expect,
    Forwarded,
    ForwardedClientCert,
    ForwardedHost,
    ForwardedPort,
    ForwardedServer,
    GrpcTimeout,
    IdempotencyKey,
    KeepAlive,
    ProxyAuthorization,
    ProxyConnection,
    RealIp,
    Timeout,
    Via,
}

/// Which of them a request has: found in one pass over its headers, since looking each up is a hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Noted(u16);

impl Note {
    const ALL: [Self; 15] = [
        Self::Connection,
        Self::Expect,
        Self::Forwarded,
        Self::ForwardedClientCert,
        Self::ForwardedHost,
        Self::ForwardedPort,
        Self::ForwardedServer,
        Self::GrpcTimeout,
        Self::IdempotencyKey,
        Self::KeepAlive,
        Self::ProxyAuthorization,
        Self::ProxyConnection,
        Self::RealIp,
        Self::Timeout,
        Self::Via,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Expect => "expect",
            Self::Forwarded => "forwarded",
            Self::ForwardedClientCert => "x-forwarded-client-cert",
            Self::ForwardedHost => "x-forwarded-host",
            Self::ForwardedPort => "x-forwarded-port",
            Self::ForwardedServer => "x-forwarded-server",
            Self::GrpcTimeout => "grpc-timeout",
            Self::IdempotencyKey => "idempotency-key",
            Self::KeepAlive => "keep-alive",
            Self::ProxyAuthorization => "proxy-authorization",
            Self::ProxyConnection => "proxy-connection",
            Self::RealIp => "x-real-ip",
            Self::Timeout => "mainstay-timeout",
            Self::Via => "via",
        }
    }

    pub(crate) const fn header(self) -> HeaderName {
        HeaderName::from_static(self.name())
    }

    /// The one of this name. By length first: few names have the length of another.
    fn named(name: &str) -> Option<Self> {
        let of_length = |note: &Self| note.name().len() == name.len();
        Self::ALL.into_iter().filter(of_length).find(|note| note.name() == name)
    }
}

/// That there are headers by which others are believed to say who the client is, or what it has asked for, besides those that are notes of their own, and those two that are
/// always written anew.
const CLAIMS: u16 = 1 << Note::ALL.len();

/// Whether a header is one of them.
fn is_claim(name: &str) -> bool {
    let begins = |family: &str| name.starts_with(family);
    name.starts_with("x-")
        && !matches!(name, "x-forwarded-for" | "x-forwarded-proto")
        && (name == "x-client-ip" || ["x-forwarded", "x-original-", "x-rewrite-"].into_iter().any(begins))
}

impl Noted {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let bit = |name: &HeaderName| match Note::named(name.as_str()) {
            Some(note) => 1 << note as u8,
            None if is_claim(name.as_str()) => CLAIMS,
            None => 0,
        };
        Self(headers.keys().fold(0, |noted, name| noted | bit(name)))
    }

    /// Takes claims out, but for those that are notes of their own.
    pub(crate) fn remove_claims(self, headers: &mut HeaderMap) {
        if self.0 & CLAIMS == 0 {
            return;
        }
        let is_other = |name: &&HeaderName| Note::named(name.as_str()).is_none() && is_claim(name.as_str());
        let claims: Vec<_> = headers.keys().filter(is_other).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
    }

    pub(crate) const fn has(self, note: Note) -> bool {
        self.0 & 1 << note as u8 != 0
    }

    /// Takes a header out, if it is there.
    pub(crate) fn remove(self, headers: &mut HeaderMap, note: Note) {
        if self.has(note) {
            headers.remove(note.header());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_there_is_noted_and_nothing_else() {
        for (place, note) in Note::ALL.into_iter().enumerate() {
            assert_eq!(note as usize, place, "{note:?}");
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("a"));
            headers.insert("x-forwarded-for", HeaderValue::from_static("a"));
            assert_eq!(Noted::of(&headers), Noted::default());
            headers.append(note.header(), HeaderValue::from_static("a"));
            headers.append(note.header(), HeaderValue::from_static("b"));
            let noted = Noted::of(&headers);
            assert!(Note::ALL.into_iter().all(|other| noted.has(other) == (other == note)), "{note:?}");
            noted.remove(&mut headers, note);
            assert_eq!(headers.len(), 2, "{note:?}");
        }
    }
}

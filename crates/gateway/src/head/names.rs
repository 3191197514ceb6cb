//! Names of headers that others rely on: none may be hidden, doubled by an underscore, or sent where it is not looked for.

/// Headers that say where a message ends or goes, who sent it, what it may do, or what its body is.
const RELIED_ON: [&str; 11] = [
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "origin",
    "transfer-encoding",
    "x-api-key",
    "x-client-ip",
    "x-real-ip",
];

/// And all that begin with one of these: `mainstay-` is what the gateway itself says of a request.
const RELIED_ON_FAMILIES: [&str; 9] = [
    "content-",
    "mainstay-",
    "proxy-auth",
    "sec-",
    "x-forwarded-",
    "x-http-method",
    "x-original-",
    "x-rewrite-",
    "x-user-",
];

/// What besides is of use in a head only (RFC 9110, section 6.5.1): what a connection is told, what a request depends on, and what caches are told.
const HEAD_ONLY: [&str; 22] = [
    "age",
    "cache-control",
    "connection",
    "date",
    "expires",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded",
];

/// And all that begin with this.
const CONDITIONS: &str = "if-";

/// Whether others rely on a header of this name, an underscore being read as a hyphen.
pub(super) fn is_relied_on(name: &[u8]) -> bool {
    RELIED_ON.iter().any(|known| is(name, known))
        || RELIED_ON_FAMILIES.iter().any(|family| begins(name, family))
}

/// Whether a header of this name belongs in a head and not in trailers, an underscore being read as a hyphen.
pub(super) fn is_head_only(name: &[u8]) -> bool {
    is_relied_on(name) || HEAD_ONLY.iter().any(|known| is(name, known)) || begins(name, CONDITIONS)
}

fn is(name: &[u8], known: &str) -> bool {
    name.len() == known.len() && begins(name, known)
}

fn begins(name: &[u8], known: &str) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() >= known.len() && name.iter().map(plain).zip(known.bytes()).all(|(one, other)| one == other)
}

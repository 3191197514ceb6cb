//! Headers that say what the bytes of a body are.

use http::{HeaderMap, HeaderName};

/// Those that are not true any more when a body is coded or decoded: RFC 9530 has digests of the content and of the representation, both with its coding; RFC 3230 and RFC 1864 what
/// came before. They are taken out, and not made again: whoever made them vouched for bytes that only they had seen.
const NAMES: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Takes them out of headers.
pub(super) fn remove(headers: &mut HeaderMap) {
    for name in NAMES {
        headers.remove(name);
    }
}

/// Trailers without them.
pub(super) fn without(mut trailers: HeaderMap) -> HeaderMap {
    remove(&mut trailers);
    trailers
}

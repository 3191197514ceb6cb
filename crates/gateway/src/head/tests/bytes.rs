//! Every byte in every place where bytes are judged, against the sets as documents have them.

use super::super::byte::has_control;
use super::{tolerant, whole};

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Whether a stream passes with each byte in its place, which are those that `may` says.
fn check(begin: &str, end: &str, may: impl Fn(u8) -> bool) {
    for byte in 0..=u8::MAX {
        let stream = [begin.as_bytes(), &[byte], end.as_bytes()].concat();
        let outcome = whole(&stream);
        let passes = outcome.passed == stream.len();
        assert_eq!(passes, may(byte), "{begin:?} {byte:#x} {outcome:?}");
        if passes {
            assert_eq!(tolerant::heads(&stream).as_ref(), Ok(&outcome.heads), "{begin:?} {byte:#x}");
        }
    }
}

fn one_of(sets: &[&str], byte: u8) -> bool {
    sets.iter().any(|set| set.as_bytes().contains(&byte))
}

#[test]
fn each_place_takes_its_bytes() {
    let token = |byte: u8| one_of(&[LETTERS, "!#$%&'*+-.^_`|~"], byte);
    let path = |byte: u8| one_of(&[LETTERS, "-._~", "!$&'()*+,;=", ":@/%", "[]^|"], byte);
    let query = |byte: u8| path(byte) || one_of(&["?`{}\\"], byte);
    check("G", "T / HTTP/1.1\r\nHost: a\r\n\r\n", token);
    check("GET /a", "b HTTP/1.1\r\nHost: a\r\n\r\n", |byte| path(byte) || byte == b'?');
    check("GET /?a", "b HTTP/1.1\r\nHost: a\r\n\r\n", query);
    check("GET http://a/", " HTTP/1.1\r\nHost: a\r\n\r\n", |byte| path(byte) || byte == b'?');
    check("GET / HTTP/1.1\r\nHost: a\r\nX", "y: z\r\n\r\n", |byte| token(byte) || byte == b':');
    check("GET / HTTP/1.1\r\nHost: a\r\nX: y", "z\r\n\r\n", |byte| {
        byte == b'\t' || (byte >= b' ' && byte != 0x7f)
    });
    check("GET / HTTP/1.1\r\nHost: a", "c\r\n\r\n", |byte| one_of(&[LETTERS, "-._"], byte));
    check("GET / HTTP/1.1\r\nHost: a:1", "\r\n\r\n", |byte| one_of(&["0123456789 "], byte));
    check("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "\r\n\r\n", |byte| byte == b' ');
    // A chunk of one byte would have to end after the CR.
    let size = |byte: u8| one_of(&["023456789abcdefABCDEF"], byte);
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0", "\r\n\r\n", size);
}

#[test]
fn a_control_byte_is_found_wherever_it_stands() {
    for filler in [b' ', b'\t', b'a', 0x80, 0x9f, 0xff, b'~'] {
        for len in 0..40 {
            let mut bytes = vec![filler; len];
            assert!(!has_control(&bytes));
            for place in 0..len {
                for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
                    bytes[place] = byte;
                    assert!(has_control(&bytes), "{byte:#x} at {place} of {len} {filler:#x}");
                }
                bytes[place] = filler;
            }
        }
    }
}

//! JSON documents of a given length, with fields for indexes. Pure.

use std::io::Write as _;

use super::work::next;

/// Bytes of a document at least: what is needed for its fixed members.
pub const DOCUMENT_BYTES_MIN: usize = 96;

/// Items of one value of `/group`.
pub const GROUP_ITEMS: u64 = 2_000;

/// Bytes of one of the fields `f00`, `f01` and so on, with its comma.
const FIELD_BYTES: usize = 17;

/// Places in the noise at which padding begins.
const NOISE_PLACES: u64 = 1 << 16;

/// Letters that JSON does not escape; 64 of them, so that no compression finds anything in them but a quarter of each byte.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What documents look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length of each; at least [`DOCUMENT_BYTES_MIN`], and 17 more for each field.
    pub bytes: usize,
    /// Fields `f00`, `f01` and so on, at most 100; texts of eight letters.
    pub fields: usize,
    /// Whether a new version of a document has other values in these fields.
    pub fields_change: bool,
}

/// Makes documents of a shape.
#[derive(Debug)]
pub struct Documents {
    shape: Shape,
    noise: Vec<u8>,
}

impl Documents {
    /// Panics if the shape's fields do not fit.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        assert!(shape.fields <= 100, "fields have two digits");
        assert!(
            shape.bytes >= DOCUMENT_BYTES_MIN + FIELD_BYTES * shape.fields,
            "the fields do not fit into {} bytes",
            shape.bytes
        );
        let mut random = 1;
        let length = NOISE_PLACES as usize + shape.bytes;
        let noise = (0..length).map(|_| letter(next(&mut random))).collect();
        Self { shape, noise }
    }

    /// What they look like.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Appends a version of the document of this number; what changes is drawn.
    pub fn write(&self, number: u64, random: &mut u64, out: &mut Vec<u8>) {
        let begin = out.len();
        let (group, tag) = (number / GROUP_ITEMS, number % 100);
        write!(out, "{{\"number\":{number},\"group\":{group},\"tags\":[\"t{tag}\",\"all\"]").expect(WRITES);
        let mut own = number;
        for field in 0..self.shape.fields {
            let mut bits = next(if self.shape.fields_change { &mut *random } else { &mut own });
            write!(out, ",\"f{field:02}\":\"").expect(WRITES);
            for _ in 0..8 {
                out.push(letter(bits));
                bits >>= 6;
            }
            out.push(b'"');
        }
        out.extend_from_slice(b",\"pad\":\"");
        let rest = (begin + self.shape.bytes - 2).saturating_sub(out.len());
        let at = (next(random) % NOISE_PLACES) as usize;
        out.extend_from_slice(&self.noise[at..at + rest]);
        out.extend_from_slice(b"\"}");
    }
}

const WRITES: &str = "writing to memory does not fail";

fn letter(bits: u64) -> u8 {
    LETTERS[(bits % 64) as usize]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn made(shape: Shape, number: u64, random: &mut u64) -> (usize, Value) {
        let mut out = Vec::new();
        Documents::new(shape).write(number, random, &mut out);
        (out.len(), serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn documents_are_json_of_the_length_that_was_asked_for() {
        for (bytes, fields) in [(DOCUMENT_BYTES_MIN, 0), (1_024, 16), (100_000, 3)] {
            for number in [0, 7, 999_999, 9_999_999] {
                let shape = Shape { bytes, fields, fields_change: true };
                let (length, value) = made(shape, number, &mut 3);
                assert_eq!((length, value["number"].as_u64()), (bytes, Some(number)));
                assert_eq!(value.as_object().unwrap().len(), 4 + fields);
            }
        }
    }

    #[test]
    fn fields_change_only_where_they_are_to() {
        let mut random = 3;
        let mut versions = |fields_change| {
            let shape = Shape { bytes: 200, fields: 2, fields_change };
            let mut one = || made(shape, 5, &mut random).1;
            (one(), one())
        };
        let (before, after) = versions(false);
        assert_eq!((&before["f00"], &before["f01"]), (&after["f00"], &after["f01"]));
        assert_ne!(before["f00"], before["f01"]);
        assert_ne!(before["pad"], after["pad"], "each version is another document");
        let (before, after) = versions(true);
        assert_ne!(before["f00"], after["f00"]);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn fields_that_do_not_fit_are_refused() {
        let _ = Documents::new(Shape { bytes: 100, fields: 3, fields_change: false });
    }
}

//! Reading and writing the fields that rows and batches are made of.
//!
//! A reader never allocates by a length that it was told: what it hands out are slices of the bytes it reads.

use bytes::{BufMut, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are not what was written by this program, or were written by a newer one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are too few bytes.
    #[error("{what} is cut off at byte {at}")]
    Short {
        /// What was read.
        what: &'static str,
        /// Where the bytes end too early.
        at: usize,
    },
    /// There are more bytes than belong to it.
    #[error("{what} ends at byte {at}, and bytes follow")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// Where it ends.
        at: usize,
    },
    /// A field has a value that is never written.
    #[error("{what} is damaged before byte {at}: {why}")]
    Field {
        /// What was read.
        what: &'static str,
        /// The end of the field.
        at: usize,
        /// What is wrong with the field.
        why: &'static str,
    },
    /// It is written in a format that this program does not know.
    #[error("{what} is written in format {found}, and this program reads format {newest}: use a newer one")]
    Format {
        /// What was read.
        what: &'static str,
        /// Its format.
        found: u8,
        /// The newest format that this program reads.
        newest: u8,
    },
}

/// Reads fields from the front of bytes.
pub(crate) struct Reader<'a> {
    what: &'static str,
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of what begins with this format's byte.
    pub(crate) fn new(what: &'static str, bytes: &'a Bytes, format: u8) -> Result<Self, Error> {
        let mut reader = Self { what, bytes, at: 0 };
        match reader.u8()? {
            found if found == format => Ok(reader),
            0 => Err(reader.field("no format has number 0")),
            found => Err(Error::Format { what, found, newest: format }),
        }
    }

    /// The next bytes, shared with what is read.
    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, Error> {
        let start = self.advance(length)?;
        Ok(self.bytes.slice(start..self.at))
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let start = self.advance(length)?;
        Ok(&self.bytes[start..self.at])
    }

    fn advance(&mut self, length: usize) -> Result<usize, Error> {
        let start = self.at;
        let end = start.checked_add(length).filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Error::Short { what: self.what, at: self.bytes.len() })?;
        Ok(start)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.slice(N)?.try_into().expect("the slice has this length"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of 1 to 10 bytes, in the one way that [`put_varint`] writes it.
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0u64;
        for place in 0..10 {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << (7 * place) >> (7 * place) != bits {
                return Err(self.field("a number has more than 64 bits"));
            }
            number |= bits << (7 * place);
            if byte < 0x80 {
                let is_shortest = byte != 0 || place == 0;
                return if is_shortest { Ok(number) } else { Err(self.field("a number is padded")) };
            }
        }
        Err(self.field("a number has more than 64 bits"))
    }

    /// The next bytes, after a varint with their number.
    pub(crate) fn sized(&mut self) -> Result<Bytes, Error> {
        let length = self.length()?;
        self.take(length)
    }

    /// The next text, after a varint with its bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str, Error> {
        let length = self.length()?;
        self.text_of(length)
    }

    /// The next text of this many bytes.
    pub(crate) fn text_of(&mut self, length: usize) -> Result<&'a str, Error> {
        let bytes = self.slice(length)?;
        str::from_utf8(bytes).map_err(|_| self.field("a text is not UTF-8"))
    }

    fn length(&mut self) -> Result<usize, Error> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| Error::Short { what: self.what, at: self.bytes.len() })
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All the bytes that are left.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.left() == 0 { Ok(()) } else { Err(Error::Trailing { what: self.what, at: self.at }) }
    }

    /// The error that the field just read has a value that is never written.
    pub(crate) fn field(&self, why: &'static str) -> Error {
        Error::Field { what: self.what, at: self.at, why }
    }
}

/// A value as JSON, after the byte of its format.
pub(crate) fn as_json(format: u8, value: &impl Serialize) -> Bytes {
    let mut out = vec![format];
    serde_json::to_writer(&mut out, value).expect("what is stored as JSON is plain data");
    out.into()
}

/// Reads what [`as_json`] has written in this format.
pub(crate) fn of_json<T: DeserializeOwned>(
    what: &'static str,
    bytes: &Bytes,
    format: u8,
) -> Result<T, Error> {
    let json = Reader::new(what, bytes, format)?.rest();
    serde_json::from_slice(&json).map_err(|error| {
        // There is one line of it.
        Error::Field { what, at: 1 + error.column(), why: "it is not what this program writes" }
    })
}

/// Writes a number as 1 to 10 bytes: seven bits in each, the low ones first, the top bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Writes bytes after a varint with their number.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: u64) -> Vec<u8> {
        let mut out = vec![1];
        put_varint(&mut out, number);
        out
    }

    fn read(bytes: &[u8]) -> Result<u64, Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new("a number", &bytes, 1)?;
        let number = reader.varint()?;
        reader.end()?;
        Ok(number)
    }

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(written(0), [1, 0]);
        assert_eq!(written(300), [1, 0xac, 0x02]);
        assert_eq!(read(&written(u64::MAX)), Ok(u64::MAX));
        assert!(matches!(read(&[1, 0x80, 0x00]), Err(Error::Field { why: "a number is padded", .. })));
        let too_large = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(matches!(read(&too_large), Err(Error::Field { .. })));
        assert!(matches!(read(&[1, 0x80]), Err(Error::Short { at: 2, .. })));
        assert!(matches!(read(&[1, 0, 0]), Err(Error::Trailing { at: 2, .. })));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = read(&[2, 0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a number is written in format 2, and this program reads format 1: use a newer one"
        );
        assert!(matches!(read(&[0]), Err(Error::Field { .. })));
        assert!(matches!(read(&[]), Err(Error::Short { at: 0, .. })));
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_written(number: u64) {
            prop_assert_eq!(read(&written(number)), Ok(number));
        }
    }
}

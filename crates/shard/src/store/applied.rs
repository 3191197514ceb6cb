//! The row that says how far the log was applied, and what the owner keeps beside that.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format: 1 |
//! | 8 | index, little-endian |
//! | .. | the owner's memo |

use bytes::{BufMut, Bytes};
use mainstay_base::position::Index;

/// It comes after all rows of slots.
pub(super) const KEY: &[u8] = b"\xffapplied";

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 9;

/// How far the log was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The last record that was applied.
    pub index: Index,
    /// What its owner needs to go on from there. The store does not look into it.
    pub memo: Bytes,
}

pub(super) fn encode(applied: &Applied, out: &mut Vec<u8>) {
    out.put_u8(FORMAT);
    out.put_u64_le(applied.index.get());
    out.put_slice(&applied.memo);
}

pub(super) fn encoded_bytes(applied: &Applied) -> usize {
    HEAD_BYTES + applied.memo.len()
}

/// Errors: what is wrong.
pub(super) fn decode(value: &Bytes) -> Result<Applied, String> {
    match value.split_first_chunk::<HEAD_BYTES>() {
        Some(([FORMAT, index @ ..], _)) => {
            let index = Index::new(u64::from_le_bytes(*index));
            Ok(Applied { index, memo: value.slice(HEAD_BYTES..) })
        }
        Some(([format, ..], _)) => {
            Err(format!("its applied index has format {format}, this program reads {FORMAT}"))
        }
        None => Err(format!("its applied index has {} bytes", value.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_has_these_bytes() {
        let applied = Applied { index: Index::new(0x0102), memo: Bytes::from_static(b"memo") };
        let mut out = Vec::new();
        encode(&applied, &mut out);
        assert_eq!(out, b"\x01\x02\x01\0\0\0\0\0\0memo");
        assert_eq!(encoded_bytes(&applied), out.len());
        assert_eq!(decode(&out.into()), Ok(applied));
    }

    #[test]
    fn other_bytes_are_refused() {
        let says = |bytes: &'static [u8]| decode(&Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(says(b"\x02\0\0\0\0\0\0\0\0"), "its applied index has format 2, this program reads 1");
        assert_eq!(says(b"\x01\0"), "its applied index has 2 bytes");
    }
}

//! What a store says of itself: up to where the log is in it, as the owner has told it.
//!
//! The store keeps these bytes with the rows, changes both in one step, and knows nothing of what they mean.
//!
//! Format 1, integers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | format: 1 |
//! | 1 | 8 | index of the next record |
//! | 9 | 8 | highest accepted epoch |
//! | 17 | 4 | checksum of the last accepted record |
//! | 21 | 8 | hybrid time of the last batch |
//! | 29 | 8 | number of the timeline |
//! | 37 | 16 | id of the timeline |

use bytes::{BufMut, Bytes};
use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::hlc::HybridTime;
use mainstay_base::position::{Epoch, Index};
use mainstay_log::accept::Cursor;
use mainstay_log::record::{Checksum, Timeline};
use thiserror::Error;

const FORMAT: u8 = 1;
const BYTES: usize = 53;

/// The timeline of a shard that was never restored.
const FIRST_TIMELINE: Timeline = Timeline { number: 1, id: [0; 16] };

/// Where a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Where reading the log goes on. Always a settled cursor.
    pub cursor: Cursor,
    /// The time of the last batch that is in the store.
    pub time: HybridTime,
    /// The line of history.
    pub timeline: Timeline,
}

/// Bytes that are not where a store stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They are written in a format that this program does not know.
    #[error(
        "what the store has applied is written in format {found}, and this program reads format 1: use a newer one"
    )]
    Format {
        /// Their format.
        found: u8,
    },
    /// They are not what was written.
    #[error("what the store says to have applied is not readable: {what}; build the store anew")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

impl Applied {
    /// An empty store, before the first record of the first timeline.
    pub const START: Self =
        Self { cursor: Cursor::START, time: HybridTime::from_bits(0), timeline: FIRST_TIMELINE };

    /// The bytes in format 1.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(BYTES);
        out.put_u8(FORMAT);
        out.put_u64_le(self.cursor.next.get());
        out.put_u64_le(self.cursor.epoch.get());
        out.put_u32_le(self.cursor.prev.get());
        out.put_u64_le(self.time.to_bits());
        out.put_u64_le(self.timeline.number);
        out.put_slice(&self.timeline.id);
        out.into()
    }

    /// Reads the bytes that a store has kept. Errors: [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let damaged = |what| DecodeError::Damaged { what };
        match bytes.first() {
            None | Some(0) => return Err(damaged("they have no format")),
            Some(&FORMAT) => {}
            Some(&found) => return Err(DecodeError::Format { found }),
        }
        let bytes: &[u8; BYTES] = bytes.try_into().map_err(|_| damaged("their length is not 53 bytes"))?;
        let next = Index::new(u64_at(bytes, 1));
        let number = u64_at(bytes, 29);
        if next < Index::FIRST {
            return Err(damaged("the next index is 0"));
        }
        if number == 0 || number > u64::from(u32::MAX) {
            return Err(damaged("the timeline's number is not from 1 to 2^32 - 1"));
        }
        let prev = Checksum::new(u32::from_le_bytes(array_at(bytes, 17)));
        Ok(Self {
            cursor: Cursor { next, epoch: Epoch::new(u64_at(bytes, 9)), prev },
            time: HybridTime::from_bits(u64_at(bytes, 21)),
            timeline: Timeline { number, id: array_at(bytes, 37) },
        })
    }

    /// The last index that is in the store; 0 for none.
    pub fn index(&self) -> Index {
        Index::new(self.cursor.next.get() - 1)
    }
}

fn array_at<const N: usize>(bytes: &[u8; BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn u64_at(bytes: &[u8; BYTES], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

impl Classify for DecodeError {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_1_is_these_bytes() {
        let applied = Applied {
            cursor: Cursor {
                next: Index::new(0x0807_0605_0403_0201),
                epoch: Epoch::new(9),
                prev: Checksum::new(0x0403_0201),
            },
            time: HybridTime::from_bits(0x1122),
            timeline: Timeline { number: 2, id: [7; 16] },
        };
        let mut bytes = vec![1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        bytes.extend([0x22, 0x11, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([7; 16]);
        assert_eq!(applied.encode(), bytes);
        assert_eq!(Applied::decode(&bytes), Ok(applied));
        assert_eq!(Applied::decode(&Applied::START.encode()), Ok(Applied::START));
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = Applied::START.encode();
        assert!(matches!(Applied::decode(&[]), Err(DecodeError::Damaged { .. })));
        assert!(matches!(Applied::decode(&good[..52]), Err(DecodeError::Damaged { .. })));
        let mut newer = good.to_vec();
        newer[0] = 2;
        assert_eq!(Applied::decode(&newer), Err(DecodeError::Format { found: 2 }));
        for zero in [1, 29] {
            let mut bytes = good.to_vec();
            bytes[zero] = 0;
            assert!(matches!(Applied::decode(&bytes), Err(DecodeError::Damaged { .. })));
        }
    }
}

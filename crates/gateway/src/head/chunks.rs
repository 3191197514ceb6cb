//! A body in chunks (RFC 9112, section 7.1): where its data are, and what ends it.
//!
//! The line of the last chunk passes with the trailers, when they are complete and right: before that no reader takes the request for whole.

use super::Bounds;
use super::field::Field;
use super::lines::Lines;
use super::names;
use super::reason::{Reason, Refusal};

/// The most digits of a chunk's size. Some clients send a fixed number of them, with zeros in front.
const SIZE_DIGITS_MAX: usize = 16;

/// Where in its chunks a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chunks {
    /// Before a chunk.
    Size,
    /// Before so many bytes of data.
    Data(u64),
    /// Between data and the CRLF after them.
    DataEnd,
    /// After the line of the last chunk, which is the first of the bytes that wait.
    Trailers { lines: Lines, count: usize },
}

/// What becomes of the bytes that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// More have to come.
    Wait,
    /// So many pass.
    Pass(usize),
    /// So many pass, and with them the body ends.
    End(usize),
}

impl Chunks {
    /// Goes over one part of a body, which is at the beginning of `bytes`.
    pub(super) fn step(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Step, Refusal> {
        match self {
            Self::Size => {
                let Some((size, line)) = read_size(bytes)? else { return Ok(Step::Wait) };
                if size == 0 {
                    *self = Self::Trailers { lines: Lines::from(line), count: 0 };
                    return self.step(bytes, bounds);
                }
                *self = Self::Data(size);
                Ok(Step::Pass(line))
            }
            Self::Data(left) => {
                let passed = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= passed as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(Step::Pass(passed))
            }
            Self::DataEnd => match bytes {
                [] | [b'\r'] => Ok(Step::Wait),
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Step::Pass(2))
                }
                _ => Err(Reason::ChunkEnd.here()),
            },
            Self::Trailers { lines, count } => trailers(bytes, lines, count, bounds),
        }
    }
}

/// A chunk's size, and how many bytes its line has. It is judged byte by byte, so that the verdict is the same however they are cut.
fn read_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, Refusal> {
    let mut size: u64 = 0;
    for (place, byte) in bytes.iter().enumerate() {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            return match (&bytes[place..], place) {
                ([b'\r'], 1..) => Ok(None),
                ([b'\r', b'\n', ..], 1..) => Ok(Some((size, place + 2))),
                ([b'\r', ..], 1..) => Err(Reason::BareCr.here()),
                ([b'\n', ..], 1..) => Err(Reason::BareLf.here()),
                ([b';', ..], 1..) => Err(Reason::ChunkExtension.here()),
                _ => Err(Reason::ChunkSize.at(&bytes[..=place])),
            };
        };
        size = (size << 4) | u64::from(digit);
        if place == SIZE_DIGITS_MAX || size > i64::MAX.unsigned_abs() {
            return Err(Reason::ChunkSizeTooLarge.at(&bytes[..=place]));
        }
    }
    Ok(None)
}

fn trailers(bytes: &[u8], lines: &mut Lines, count: &mut usize, bounds: &Bounds) -> Result<Step, Refusal> {
    let all = (bounds.trailers_size_max, Reason::TrailersTooLarge);
    while let Some(line) = lines.read(bytes, all, all)? {
        if line.is_empty() {
            return Ok(Step::End(lines.next));
        }
        if *count == bounds.trailers_max {
            return Err(Reason::TrailersTooMany.here());
        }
        let field = Field::read(line, *count == 0, bounds.underscores)?;
        if names::is_head_only(field.name) {
            return Err(Reason::TrailerName.at(field.name));
        }
        *count += 1;
    }
    Ok(Step::Wait)
}

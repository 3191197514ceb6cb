//! Lines of a head or of trailers, as far as they have come: none is looked at twice, and one that is too long is refused as soon as that is certain.
//!
//! A line is judged when it is whole, so that the verdict is the same however the bytes are cut. It must not know what lines say.

use super::reason::{Reason, Refusal};

/// How far lines have been read; places count from the first byte of what they are lines of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lines {
    /// Where the next line begins.
    pub(super) next: usize,
    /// Below it there is no LF but those of lines that have been read.
    looked: usize,
}

/// A bound, and why what is above it is refused.
pub(super) type Bound = (usize, Reason);

impl Lines {
    /// Lines from a place on.
    pub(super) fn from(next: usize) -> Self {
        Self { next, looked: next }
    }

    /// The next line without its CRLF; none if it is not all there.
    ///
    /// `line` and `all` are how many bytes it and all until its end may have.
    #[inline]
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        line: Bound,
        all: Bound,
    ) -> Result<Option<&'a [u8]>, Refusal> {
        let room = all.0.saturating_sub(self.next);
        let (max, reason) = if line.0 <= room { line } else { (room, all.1) };
        let looked = self.looked.max(self.next);
        let Some(found) = memchr::memchr(b'\n', &bytes[looked..]) else {
            self.looked = bytes.len();
            // The LF to come would be one more.
            return if bytes.len() - self.next >= max { Err(reason.here()) } else { Ok(None) };
        };
        let line = &bytes[self.next..looked + found];
        if line.len() + 1 > max {
            return Err(reason.here());
        }
        let [line @ .., b'\r'] = line else { return Err(Reason::BareLf.here()) };
        self.next = looked + found + 1;
        Ok(Some(line))
    }
}

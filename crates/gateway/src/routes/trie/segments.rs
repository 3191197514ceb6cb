//! The first segments of a path, with their hashes.

use super::Pattern;
use super::children::{grown, hash_start};

/// A path whose first segments are known, as many as patterns look at.
#[derive(Debug)]
pub(in super::super) struct Segments<'p> {
    path: &'p str,
    /// Where each begins; behind the last one, where the next one would.
    starts: [u32; Pattern::SEGMENTS_MAX + 1],
    hashes: [u64; Pattern::SEGMENTS_MAX],
    count: usize,
    /// Whether there are no others.
    is_all: bool,
}

impl<'p> Segments<'p> {
    /// The first `count_max` segments of a path that begins with a slash.
    pub(super) fn split(path: &'p str, count_max: usize) -> Self {
        let mut segments = Self {
            path,
            starts: [1; Pattern::SEGMENTS_MAX + 1],
            hashes: [0; Pattern::SEGMENTS_MAX],
            count: 0,
            is_all: false,
        };
        let (bytes, mut at) = (path.as_bytes(), 1);
        while segments.count < count_max && !segments.is_all {
            let mut hash = hash_start();
            while let Some(&byte) = bytes.get(at) {
                if byte == b'/' {
                    break;
                }
                hash = grown(hash, byte);
                at += 1;
            }
            segments.is_all = at >= bytes.len();
            at += 1;
            segments.hashes[segments.count] = hash;
            segments.count += 1;
            segments.starts[segments.count] = u32::try_from(at).expect("heads of requests are shorter");
        }
        segments
    }

    /// The segment at a place, with its hash, if it is known.
    pub(super) fn get(&self, place: usize) -> Option<(&'p str, u64)> {
        (place < self.count).then(|| (self.segment(place), self.hashes[place]))
    }

    pub(super) fn ends_at(&self, place: usize) -> bool {
        self.is_all && place == self.count
    }

    /// A segment that is known.
    pub(in super::super) fn segment(&self, place: usize) -> &'p str {
        &self.path[self.starts[place] as usize..self.starts[place + 1] as usize - 1]
    }

    /// All from a segment on, of which the one before is known.
    pub(in super::super) fn rest(&self, place: usize) -> &'p str {
        self.path.get(self.starts[place] as usize..).unwrap_or_default()
    }
}

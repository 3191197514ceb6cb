//! How a local log is kept.

use std::collections::BTreeMap;

use mainstay_base::position::{Index, ShardId};
use mainstay_base::units::Size;

use super::group::{BLOCK, ENTRY_BYTES, TRIM_BYTES, padded};
use crate::record::HEADER_BYTES;
use crate::{Durability, Error};

/// The shortest segment: an opening, one group, a trim and a seal.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 * BLOCK;

/// The most that is kept at the end of a segment for trims and the seal, unless there are very many shards.
const RESERVE_BYTES: u64 = 64 << 10;

/// The most shards of a log, however large its segments are.
const SHARDS_MAX: u64 = 1 << 16;

/// How a local log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What an acknowledged record has survived: [`Durability::Synced`] (the default) or [`Durability::Written`].
    pub durability: Durability,
    /// The length of a segment, a multiple of 4 KiB and at least twice `record_max` and 32 KiB. Default: 64 MiB.
    pub segment: Size,
    /// The length of the very first segment, a multiple of 4 KiB and at least 16 KiB, which is made while the caller
    /// waits. Default: 4 MiB.
    pub first_segment: Size,
    /// The largest record, with its header. Default: 8 MiB.
    pub record_max: Size,
    /// A group that has this much is written. Default: 4 MiB.
    pub group_max: Size,
    /// Shards that hold back more are told. Default: 1 GiB.
    pub pin_max: Size,
    /// How many trimmed segments are kept to be used again, at least 1; one is ready in any case. Default: 2.
    pub spares_max: usize,
    /// Next indexes that are proven elsewhere, by a snapshot or a store: a log that ends before is damaged, and not torn.
    pub known: BTreeMap<ShardId, Index>,
}

/// Options that fit together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) is_synced: bool,
    pub(crate) segment: u64,
    pub(crate) first_segment: u64,
    pub(crate) record_max: usize,
    pub(crate) group_max: usize,
    pub(crate) pin_max: u64,
    pub(crate) spares_max: usize,
    /// So many that an opening with all of them takes an eighth of a segment.
    pub(crate) shards_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            segment: Size::from_mib(64),
            first_segment: Size::from_mib(4),
            record_max: Size::from_mib(8),
            group_max: Size::from_mib(4),
            pin_max: Size::from_mib(1024),
            spares_max: 2,
            known: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Errors: [`Error::Unproven`] with what does not fit.
    pub(crate) fn check(&self) -> Result<Bounds, Error> {
        let unproven =
            |found: String| Err(Error::Unproven { guarantee: "its options fit together".into(), found });
        let is_synced = match self.durability {
            Durability::Synced => true,
            Durability::Written => false,
            durability @ (Durability::Memory | Durability::Replicated) => {
                return unproven(format!("durability {durability}: use synced or written"));
            }
        };
        for (name, size) in [("segment", self.segment), ("first_segment", self.first_segment)] {
            if size.bytes() % BLOCK != 0 || size.bytes() < SEGMENT_BYTES_MIN {
                return unproven(format!("{name} {size}: use a multiple of 4KiB, at least 16KiB"));
            }
        }
        let (record_max, group_max) = (self.record_max, self.group_max);
        for (name, size) in [("record_max", record_max), ("group_max", group_max)] {
            if size > Size::from_mib(1024) || size.bytes() < HEADER_BYTES as u64 {
                return unproven(format!("{name} {size}: use {HEADER_BYTES}B to 1GiB"));
            }
        }
        let segment_min = Size::from_bytes(2 * record_max.bytes() + (32 << 10));
        if self.segment < segment_min {
            return unproven(format!(
                "segment {} with record_max {record_max}: use segments of {segment_min} or more",
                self.segment
            ));
        }
        let in_memory = |size: Size| usize::try_from(size.bytes()).expect("at most 1 GiB");
        let shards_max = (self.segment.bytes() / 8 / ENTRY_BYTES as u64).min(SHARDS_MAX);
        Ok(Bounds {
            is_synced,
            segment: self.segment.bytes(),
            first_segment: self.first_segment.bytes(),
            record_max: in_memory(record_max),
            group_max: in_memory(group_max),
            pin_max: self.pin_max.bytes(),
            spares_max: self.spares_max.max(1),
            shards_max: usize::try_from(shards_max).expect("at most 65,536"),
        })
    }
}

impl Bounds {
    /// The bytes at the end of a segment that only trims which free segments, and the seal, may use.
    pub(crate) fn reserve(self, segment_bytes: u64, shards: usize) -> u64 {
        let both = padded(shards * TRIM_BYTES) * 2;
        both.max((segment_bytes / 8 / BLOCK * BLOCK).min(RESERVE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::group::Opening;

    /// Whether a new segment with this many shards takes a group with a body of so many bytes.
    fn fits_new(bounds: &Bounds, shards: usize, body_bytes: usize) -> bool {
        let taken = padded(Opening::body_bytes(shards)) + padded(body_bytes);
        taken + bounds.reserve(bounds.segment, shards) <= bounds.segment
    }

    #[test]
    fn the_largest_record_fits_a_new_segment_with_every_shard() {
        for (segment, record_max) in
            [(64 << 10, 16 << 10), (40 << 10, 4 << 10), (64 << 20, 8 << 20), (1 << 30, 400 << 20)]
        {
            let options = Options {
                segment: Size::from_bytes(segment),
                record_max: Size::from_bytes(record_max),
                ..Options::default()
            };
            let bounds = options.check().unwrap();
            assert!(bounds.shards_max >= 100);
            assert!(fits_new(&bounds, bounds.shards_max + 1, bounds.record_max), "{segment} {record_max}");
        }
    }

    #[test]
    fn options_that_do_not_fit_are_refused_with_what_to_use() {
        let default = Options::default;
        for (options, says) in [
            (Options { durability: Durability::Replicated, ..default() }, "use synced or written"),
            (Options { segment: Size::from_bytes(100_000), ..default() }, "multiple of 4KiB"),
            (Options { first_segment: Size::from_kib(8), ..default() }, "at least 16KiB"),
            (Options { segment: Size::from_mib(16), ..default() }, "use segments of 16416KiB or more"),
            (Options { group_max: Size::from_mib(2048), ..default() }, "to 1GiB"),
            (Options { record_max: Size::ZERO, ..default() }, "to 1GiB"),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

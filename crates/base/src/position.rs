//! Places in a shard's log: which shard, which record, and under which ownership it was written.
//!
//! Three numbers that are easily swapped, as three types. They count from one: zero is the place before the
//! first record and the ownership before the first owner, so that a fresh log needs no exception.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which shard: a number that is given once and never changes. JSON: a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ShardId(u32);

/// The place of a record in its shard's log. The first record has index 1, and no index is ever given twice.
/// JSON: a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Index(u64);

/// One ownership of a shard: every new owner has a higher epoch than all before it. JSON: a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(u64);

impl ShardId {
    /// The shard with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The shard's number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Index {
    /// The index of the first record of every log.
    pub const FIRST: Self = Self(1);

    /// The index with this number, of which 0 is before the first record.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The index as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The index after this one. Panics after the last of 2^64, which takes 500,000 years at a million a
    /// second.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("an index stays below 2^64"))
    }

    /// The index this far behind this one; none beyond the range.
    pub const fn checked_add(self, records: u64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// How many records lie from `earlier` on and before this one; none when it is before `earlier`.
    pub const fn checked_since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl Epoch {
    /// The epoch before the first owner. No record is written under it.
    pub const NONE: Self = Self(0);

    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The epoch as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this one; none beyond the range.
    pub const fn checked_next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl Display for ShardId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Index {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Epoch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_count_from_one_and_know_their_distance() {
        let third = Index::FIRST.next().next();
        assert_eq!((Index::FIRST.get(), third.get()), (1, 3));
        assert_eq!(Index::FIRST.checked_add(2), Some(third));
        assert_eq!(Index::new(u64::MAX).checked_add(1), None);
        assert_eq!(third.checked_since(Index::FIRST), Some(2));
        assert_eq!(Index::FIRST.checked_since(third), None);
    }

    #[test]
    #[should_panic(expected = "below 2^64")]
    fn the_last_index_has_no_next() {
        let _ = Index::new(u64::MAX).next();
    }

    #[test]
    fn the_first_epoch_follows_none() {
        assert_eq!(Epoch::NONE.checked_next(), Some(Epoch::new(1)));
        assert_eq!(Epoch::new(u64::MAX).checked_next(), None);
        assert!(Epoch::NONE < Epoch::new(1));
    }

    #[test]
    fn all_three_are_numbers_on_the_wire_and_in_text() {
        assert_eq!(
            serde_json::to_string(&(ShardId::new(3), Index::new(7), Epoch::new(2))).unwrap(),
            "[3,7,2]"
        );
        assert_eq!(serde_json::from_str::<Index>("7").unwrap(), Index::new(7));
        assert!(serde_json::from_str::<ShardId>("4294967296").is_err());
        assert_eq!(format!("{:>4}|{}|{}", ShardId::new(3), Index::new(7), Epoch::new(2)), "   3|7|2");
    }
}

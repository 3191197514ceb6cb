//! How far a reader has seen, or a writer has written: a place in each of several shards' logs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use mainstay_base::position::{Index, ShardId};
use thiserror::Error;

use crate::text::shown;

mod event_id;

pub use event_id::{EventId, ParseError as EventIdError};

/// A place in the logs of any number of shards. Merged by the maximum; the empty one is before everything.
///
/// Text, opaque to clients: for each shard its timeline, number and index in lower-case hexadecimal with dots between them, the
/// shards in ascending order with `_` between them (`1.3.2f_1.7.9`); the empty one is `0`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(BTreeMap<ShardId, Place>);

/// A place in one shard's log. A later timeline is after every index of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line of history: grows with each restore of a backup.
    pub timeline: u32,
    /// The record.
    pub index: Index,
}

/// A text that is not a [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a position: send one as it was answered", shown(.0))]
pub struct ParseError(String);

impl Position {
    /// The most shards that are read from a text.
    pub const SHARDS_MAX: usize = 4096;

    /// A place in one shard's log.
    pub fn of(shard: ShardId, place: Place) -> Self {
        Self(BTreeMap::from([(shard, place)]))
    }

    /// The place in a shard's log, if it says something of it.
    pub fn get(&self, shard: ShardId) -> Option<Place> {
        self.0.get(&shard).copied()
    }

    /// The shards that it says something of, in ascending order.
    pub fn places(&self) -> impl Iterator<Item = (ShardId, Place)> {
        self.0.iter().map(|(shard, place)| (*shard, *place))
    }

    /// Takes note of a place in a shard's log: the later place stays.
    pub fn reach(&mut self, shard: ShardId, place: Place) {
        let mine = self.0.entry(shard).or_insert(place);
        *mine = place.max(*mine);
    }

    /// Takes note of another position: of each shard the later place stays.
    pub fn merge(&mut self, other: &Self) {
        for (shard, place) in other.places() {
            self.reach(shard, place);
        }
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        event_id::write(f, self, None)
    }
}

impl FromStr for Position {
    type Err = ParseError;

    /// The text is that of an id which is within no record.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let id = text.parse::<EventId>().ok().filter(|id| id.partly().is_none());
        id.map(EventId::into_position).ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, shard: u32, index: u64) -> Position {
        Position::of(ShardId::new(shard), Place { timeline, index: Index::new(index) })
    }

    fn merged(parts: &[Position]) -> Position {
        parts.iter().fold(Position::default(), |mut all, part| {
            all.merge(part);
            all
        })
    }

    #[test]
    fn a_position_has_one_text() {
        let position = merged(&[at(1, 7, 9), at(1, 3, 47)]);
        assert_eq!(position.to_string(), "1.3.2f_1.7.9");
        assert_eq!("1.3.2f_1.7.9".parse(), Ok(position));
        assert_eq!("0".parse(), Ok(Position::default()));
        assert_eq!(Position::default().to_string(), "0");
        for wrong in
            ["", "1", "1.2", "1.2.3.4", "1.2.3_", "01.2.3", "1.2.F", "1.7.9_1.3.2f", "1.3.1_1.3.1", "+1.2.3"]
        {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
        assert!("f".repeat(1 << 20).parse::<Position>().is_err());
        let of_shards = |count: u32| {
            merged(&(0..count).map(|shard| at(u32::MAX, u32::MAX - shard, u64::MAX)).collect::<Vec<_>>())
        };
        let most = of_shards(Position::SHARDS_MAX as u32);
        assert_eq!(most.to_string().parse(), Ok(most));
        assert!(of_shards(Position::SHARDS_MAX as u32 + 1).to_string().parse::<Position>().is_err());
    }

    #[test]
    fn merging_keeps_the_later_place_of_each_shard() {
        let all = [at(1, 3, 9), at(2, 3, 4), at(1, 5, 1)];
        let forwards = merged(&all);
        assert_eq!(forwards.to_string(), "2.3.4_1.5.1", "a restore is later than what was lost by it");
        let mut backwards = all.clone();
        backwards.reverse();
        assert_eq!(merged(&backwards), forwards);
        assert_eq!(merged(&[forwards.clone(), forwards.clone()]), forwards);
        assert_eq!(forwards.get(ShardId::new(3)), Some(Place { timeline: 2, index: Index::new(4) }));
        assert_eq!(forwards.get(ShardId::new(4)), None);
    }
}

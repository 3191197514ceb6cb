//! Where a reader of a feed stands, and so which event it has seen last.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use mainstay_base::position::{Index, ShardId};
use thiserror::Error;

use super::{Place, Position};
use crate::text::{Hex, shown};

/// A place in a feed: after everything up to a position, or within the last record of one of its shards.
///
/// That of an event says that the reader has seen the event and everything before it. Whoever reads at its position sees the event's
/// whole record.
///
/// Text: the position's, in which the place within a record has the number of the event's change after its index
/// (`1.3.2f.4_1.7.9`). The text of a position is one as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventId {
    position: Position,
    /// The shard, of which the position says something, and the number of the last change that was seen of that record.
    within: Option<(ShardId, u32)>,
}

/// A text that is not an [`EventId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is neither a position nor an event's id: send one as it was answered", shown(.0))]
pub struct ParseError(String);

impl EventId {
    /// After this change of a record, and after everything up to the position, of which the record is the last of its shard.
    ///
    /// Panics when the position says of no record of the shard.
    pub fn within(position: Position, shard: ShardId, change: u32) -> Self {
        let place = position.get(shard).filter(|place| place.index >= Index::FIRST);
        assert!(place.is_some(), "a record is within its shard's log");
        Self { position, within: Some((shard, change)) }
    }

    /// Who reads here sees the event's record, and everything before it.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The same, without the event.
    pub fn into_position(self) -> Position {
        self.position
    }

    /// The shard whose last record was seen in part, and the number of the last change that was.
    pub fn partly(&self) -> Option<(ShardId, u32)> {
        self.within
    }
}

impl From<Position> for EventId {
    fn from(position: Position) -> Self {
        Self { position, within: None }
    }
}

impl Display for EventId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write(f, &self.position, self.within)
    }
}

impl FromStr for EventId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError(text.to_owned()))
    }
}

/// Writes the places of a position, of which one may be within a record.
pub(super) fn write(
    f: &mut Formatter<'_>,
    position: &Position,
    within: Option<(ShardId, u32)>,
) -> fmt::Result {
    if position.0.is_empty() {
        return f.write_str("0");
    }
    for (place_of, (shard, place)) in position.places().enumerate() {
        let mut text = Hex::default();
        if place_of > 0 {
            text.push(b'_');
        }
        let change = within.filter(|(within, _)| *within == shard).map(|(_, change)| change);
        let numbers = [place.timeline.into(), shard.get().into(), place.index.get()];
        for (at, number) in numbers.into_iter().chain(change.map(u64::from)).enumerate() {
            if at > 0 {
                text.push(b'.');
            }
            text.push_number(number);
        }
        f.write_str(text.as_str())?;
    }
    Ok(())
}

fn parse(text: &str) -> Option<EventId> {
    const PLACE_BYTES_MAX: usize = 8 + 1 + 8 + 1 + 16 + 1;
    const CHANGE_BYTES_MAX: usize = 1 + 8;
    if text == "0" {
        return Some(EventId::default());
    }
    if text.len() > PLACE_BYTES_MAX * Position::SHARDS_MAX + CHANGE_BYTES_MAX {
        return None;
    }
    let (mut places, mut within) = (BTreeMap::new(), None);
    for part in text.split('_') {
        let mut numbers = part.split('.');
        let timeline = u32::from_str_radix(numbers.next()?, 16).ok()?;
        let shard = ShardId::new(u32::from_str_radix(numbers.next()?, 16).ok()?);
        let index = Index::new(u64::from_str_radix(numbers.next()?, 16).ok()?);
        if let Some(change) = numbers.next() {
            // Records count from 1.
            within = Some((shard, u32::from_str_radix(change, 16).ok().filter(|_| index >= Index::FIRST)?));
        }
        places.insert(shard, Place { timeline, index });
    }
    // Only the form that is displayed is read, so that an id has one text, and a record is within one shard only.
    let id = EventId { position: Position(places), within };
    (id.position.0.len() <= Position::SHARDS_MAX && id.to_string() == text).then_some(id)
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let position: Position = "1.3.2f_1.7.9".parse().unwrap();
        for (shard, text) in [(3, "1.3.2f.4_1.7.9"), (7, "1.3.2f_1.7.9.4")] {
            let id = EventId::within(position.clone(), ShardId::new(shard), 4);
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for wrong in [
            "",
            "1",
            "1.2",
            "1.2.3.4.5",
            "1.2.3.",
            "1.2.3.4_",
            "1.2.3.04",
            "1.2.3.F",
            "1.2.3.+4",
            "1.2.0.1",
            "1.7.9.1_1.3.2f",
            "1.3.1.1_1.3.1",
            "1.3.1.1_1.4.1.1",
            "1.2.3.100000000",
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
        assert!("f".repeat(1 << 20).parse::<EventId>().is_err());
        let largest = format!("ffffffff.ffffffff.{:x}.ffffffff", u64::MAX);
        assert_eq!(largest.parse::<EventId>().unwrap().to_string(), largest);
    }

    #[test]
    fn a_position_is_an_id() {
        for text in ["0", "1.3.2f", "1.3.2f_1.7.9"] {
            let position: Position = text.parse().unwrap();
            let id = EventId::from(position.clone());
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id.clone()));
            assert_eq!((id.position(), id.partly()), (&position, None));
        }
    }
}

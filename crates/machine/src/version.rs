//! The version of an item: which commit wrote it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::text::{Hex, shown};

/// Which commit wrote an item: the timeline, and the commit's number in its slot.
///
/// Of one key, a later version is greater. Text, which clients see as an opaque ETag: both numbers in lower-case
/// hexadecimal with a dash between them (`1-2f`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The line of history: grows with each restore of a backup.
    pub timeline: u32,
    /// The number of the commit among those of its slot, from 1.
    pub sequence: u64,
}

/// A text that is not a [`Version`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a version: send one as it was answered, such as \"1-2f\"", shown(.0))]
pub struct ParseError(String);

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut text = Hex::default();
        text.push_number(self.timeline.into());
        text.push(b'-');
        text.push_number(self.sequence);
        f.write_str(text.as_str())
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts = || {
            let (timeline, sequence) = text.split_once('-')?;
            let timeline = u32::from_str_radix(timeline, 16).ok()?;
            let sequence = u64::from_str_radix(sequence, 16).ok()?;
            // Only the form that is displayed is read, so that a version has one text.
            Some(Self { timeline, sequence }).filter(|version| version.to_string() == text)
        };
        parts().ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
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

    #[test]
    fn a_version_has_one_text() {
        let version = Version { timeline: 1, sequence: 47 };
        assert_eq!(version.to_string(), "1-2f");
        assert_eq!("1-2f".parse(), Ok(version));
        let last = Version { timeline: u32::MAX, sequence: u64::MAX };
        assert_eq!(last.to_string().parse(), Ok(last));
        for wrong in ["", "1", "1-", "-1", "01-2f", "1-2F", "1-+2", "1-2f-3", "1 -2", "1-10000000000000000"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_restore_puts_later_versions_above_all_earlier_ones() {
        let (before, after) = (Version { timeline: 1, sequence: 9 }, Version { timeline: 2, sequence: 3 });
        assert!(before < after && after < Version { timeline: 2, sequence: 4 });
    }
}

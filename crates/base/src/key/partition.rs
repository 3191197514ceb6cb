//! The part of a key that decides what can be committed together.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Key, check};

/// What of a key is its partition. Fixed when a collection, topic or saga is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// What stands before the first slash: `u7/items/3` is in `u7`, together with all else of `u7`.
    #[default]
    FirstSegment,
    /// The key itself: nothing is committed together, and load spreads best.
    WholeKey,
}

/// What of a key decides its slot; one commit changes things of one partition.
///
/// 1 to 512 bytes, borrowed from its key or owned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition<'a>(Cow<'a, str>);

impl PartitionBy {
    /// The partition of a key.
    pub fn partition(self, key: &Key) -> Partition<'_> {
        let key = key.as_str();
        Partition(Cow::Borrowed(match self {
            Self::FirstSegment => key.split_once('/').map_or(key, |(first, _)| first),
            Self::WholeKey => key,
        }))
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstSegment => "first_segment",
            Self::WholeKey => "whole_key",
        }
    }

    /// The partition by its own name, as a caller writes it; an error when this rule can never give it.
    pub fn parse(self, partition: &str) -> Result<Partition<'_>, Error> {
        check(partition)?;
        if self == Self::FirstSegment && partition.contains('/') {
            return Err(Error::SlashInSegment { partition: partition.to_owned() });
        }
        Ok(Partition(Cow::Borrowed(partition)))
    }
}

impl Partition<'_> {
    /// The partition as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same partition, independent of the key it was taken from.
    pub fn into_owned(self) -> Partition<'static> {
        Partition(Cow::Owned(self.0.into_owned()))
    }
}

impl Display for PartitionBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Display for Partition<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

//! How far an index is in a shard: entries of new changes are made from its definition on, those of earlier items are caught up on.

use bytes::Bytes;
use mainstay_base::id::Name;
use mainstay_base::key::{Key, Slot};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::row::{self, FORMAT, IndexName, RowKey};
use crate::state;

/// How far an index is. Encoded as the format and a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// Items that were there before it are gone through.
    Building(Building),
    /// It has all items.
    Ready,
    /// It lacks items that it cannot take: nothing is searched for in it.
    Invalid(Misfits),
    /// It is not defined any more: its entries are removed.
    Dropping {
        /// How many fields it is on.
        fields: usize,
        /// Whether values of it are held.
        is_unique: bool,
    },
    /// The reference is not defined any more: the rows that find its items are removed.
    DroppingReference {
        /// The collection that it was to.
        to: Name,
        /// Where the last of them was that are removed, by what it referred to; none before the first.
        at: Option<Reached>,
    },
}

/// How far the building of an index is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Building {
    /// The last item that was gone through; none before the first.
    pub at: Option<Reached>,
    /// How many items were.
    pub items: u64,
    /// Those that it cannot take.
    pub misfits: Option<Misfits>,
}

/// A place among the items of a collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// The slot's number.
    pub slot: u16,
    /// The item's key.
    pub key: Key,
}

/// Items that an index cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misfits {
    /// How many.
    pub items: u64,
    /// The first of them.
    pub key: Key,
    /// Why not.
    pub reason: String,
}

/// How far an index is, by its row; none if there is none. Errors: [`state::Error`].
pub(crate) fn of<S: state::State + ?Sized>(
    state: &S,
    index: IndexName<'_>,
) -> Result<Option<State>, state::Error> {
    state::read(state, &RowKey::index_state(index), State::decode)
}

impl Reached {
    /// The item's slot; none when there is no such slot.
    pub fn slot(&self) -> Option<Slot> {
        Slot::new(self.slot)
    }
}

impl Building {
    /// Takes note of an item that the index cannot take.
    pub fn misfit(&mut self, key: &Key, reason: &str) {
        self.misfits = Some(Misfits::with(self.misfits.take(), key, reason));
    }
}

impl Misfits {
    /// One more of them.
    fn with(before: Option<Self>, key: &Key, reason: &str) -> Self {
        match before {
            Some(misfits) => Self { items: misfits.items + 1, ..misfits },
            None => Self { items: 1, key: key.clone(), reason: reason.to_owned() },
        }
    }
}

impl State {
    /// The value of the row.
    pub fn encode(&self) -> Bytes {
        codec::as_json(FORMAT, self)
    }

    /// Reads the value of the row. Errors: [`row::Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, row::Error> {
        codec::of_json("the state of an index", value, FORMAT)
    }

    /// The same, with an item that it cannot take.
    #[must_use]
    pub fn with_misfit(self, key: &Key, reason: &str) -> Self {
        match self {
            Self::Building(mut building) => {
                building.misfit(key, reason);
                Self::Building(building)
            }
            Self::Ready => Self::Invalid(Misfits::with(None, key, reason)),
            Self::Invalid(misfits) => Self::Invalid(Misfits::with(Some(misfits), key, reason)),
            Self::Dropping { .. } | Self::DroppingReference { .. } => self,
        }
    }

    /// Whether all items have been gone through.
    pub fn is_through(&self) -> bool {
        matches!(self, Self::Ready | Self::Invalid(_))
    }

    /// Its word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Building(_) => "building",
            Self::Ready => "ready",
            Self::Invalid(_) => "invalid",
            Self::Dropping { .. } | Self::DroppingReference { .. } => "dropping",
        }
    }
}

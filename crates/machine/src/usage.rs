//! What collections take and what is done to them, counted.
//!
//! What the rows of a collection take ([`Rows`]) is kept in a row of each shard, which the [`Ledger`] brings up to date with the rows
//! that a record changes, in the same write of the store. It is derived: it is in no record, and whoever applies the log, now or
//! after a crash, comes to the same. What is done ([`Flow`], [`HotKey`]) is counted in memory since the node was started.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use mainstay_base::time::Timestamp;
use mainstay_base::units::Duration;

use crate::codec::{Error, Reader, put_varint};
use crate::row::FORMAT;

mod ledger;

pub use ledger::Ledger;

/// What a row is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// An item.
    Items,
    /// What finds an item by its end.
    Ends,
    /// An entry of the index with this number.
    Entries(u32),
    /// What holds values that only one item may have, by the index with this number.
    Held(u32),
}

/// Rows, and the bytes of their keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many.
    pub rows: u64,
    /// Their bytes, before they are compressed.
    pub bytes: u64,
}

/// What the rows of a collection take. Parts that have none are not in it.
///
/// Encoded as the format, the number of parts, and for each its kind (1 byte: items, ends, entries, held from 0 on), the number of its index
/// (0 where there is none), rows and bytes, as varints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows(BTreeMap<Part, Taken>);

/// Bytes that changes of a collection were made of, since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Keys and values that callers gave, in commits that happened.
    pub given: u64,
    /// Keys and values of the collection's rows in records: items, and what finds them.
    pub logged: u64,
    /// The collection's share of what the stores have flushed.
    pub flushed: u64,
    /// The collection's share of what the stores have written once more, in compactions.
    pub compacted: u64,
}

/// A key of which there is much to do.
#[derive(Debug, Clone, PartialEq)]
pub struct HotKey {
    /// The key.
    pub key: String,
    /// How often it was used, at most; what is a half-life ago counts half.
    pub count: f64,
    /// By how much that may be too high.
    pub error: f64,
}

/// What a collection takes, and what is done to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// What its rows take.
    pub rows: Rows,
    /// Since when what is done is counted.
    pub since: Timestamp,
    /// What changes were made of.
    pub flow: Flow,
    /// The keys that are read most, the most first.
    pub reads: Vec<HotKey>,
    /// The keys that are changed most, the most first.
    pub writes: Vec<HotKey>,
    /// In what time counts of keys are halved.
    pub half_life: Duration,
}

impl Rows {
    /// What rows that are counted as this take.
    pub fn get(&self, part: Part) -> Taken {
        self.0.get(&part).copied().unwrap_or_default()
    }

    /// All parts that have rows.
    pub fn parts(&self) -> impl Iterator<Item = (Part, Taken)> {
        self.0.iter().map(|(part, taken)| (*part, *taken))
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the rows of another shard.
    pub fn merge(&mut self, other: &Self) {
        for (part, Taken { rows, bytes }) in other.parts() {
            let taken = self.0.entry(part).or_default();
            (taken.rows, taken.bytes) = (taken.rows + rows, taken.bytes + bytes);
        }
    }

    /// A row of this size is there from now on.
    fn add(&mut self, part: Part, bytes: u64) {
        let taken = self.0.entry(part).or_default();
        (taken.rows, taken.bytes) = (taken.rows + 1, taken.bytes + bytes);
    }

    /// A row of this size is there no more. Were it not counted, commits must go on all the same.
    fn remove(&mut self, part: Part, bytes: u64) {
        let taken = self.get(part);
        let left = Taken { rows: taken.rows.saturating_sub(1), bytes: taken.bytes.saturating_sub(bytes) };
        if left.rows == 0 {
            self.0.remove(&part);
        } else {
            self.0.insert(part, left);
        }
    }

    /// The value of the row.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![FORMAT];
        put_varint(&mut out, self.0.len() as u64);
        for (part, Taken { rows, bytes }) in self.parts() {
            let (kind, number) = match part {
                Part::Items => (0, 0),
                Part::Ends => (1, 0),
                Part::Entries(number) => (2, number),
                Part::Held(number) => (3, number),
            };
            out.put_u8(kind);
            [number.into(), rows, bytes].into_iter().for_each(|number| put_varint(&mut out, number));
        }
        out.into()
    }

    /// Reads the value of the row. Errors: [`Error`] when it is damaged or newer.
    pub fn decode(value: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new("what the rows of a collection take", value, FORMAT)?;
        let mut parts = BTreeMap::new();
        for _ in 0..reader.varint()? {
            let (kind, number) = (reader.u8()?, reader.varint()?);
            let number =
                u32::try_from(number).map_err(|_| reader.field("an index has a number of 32 bits"))?;
            let part = match (kind, number) {
                (0, 0) => Part::Items,
                (1, 0) => Part::Ends,
                (2, number) => Part::Entries(number),
                (3, number) => Part::Held(number),
                _ => return Err(reader.field("there is no such part")),
            };
            let taken = Taken { rows: reader.varint()?, bytes: reader.varint()? };
            if taken.rows == 0 || parts.last_key_value().is_some_and(|(last, _)| *last >= part) {
                return Err(reader.field("parts have rows, and stand in their order"));
            }
            parts.insert(part, taken);
        }
        reader.end()?;
        Ok(Self(parts))
    }
}

impl Flow {
    /// Adds that of another shard.
    pub fn merge(&mut self, other: Self) {
        self.given += other.given;
        self.logged += other.logged;
        self.flushed += other.flushed;
        self.compacted += other.compacted;
    }

    /// Bytes written for each byte that was given: to the log, by flushes and by compactions; none while nothing was given.
    pub fn amplification(&self) -> Option<f64> {
        (self.given > 0).then(|| (self.logged + self.flushed + self.compacted) as f64 / self.given as f64)
    }
}

#[cfg(test)]
mod tests;

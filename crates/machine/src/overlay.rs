//! What the commands of a batch have changed so far, over the state that the batch began with.
//!
//! Each command writes within a savepoint: it keeps all of its changes or none. The overlay is itself a
//! [`State`], so that a command sees what those before it did, durable or not.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{self, Debug, Formatter};

use bytes::Bytes;

use crate::row::{RowKey, RowRange};
use crate::state::{Error, State};

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// The row has this value from now on.
    Put {
        /// The row's key.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// The row is no more, if it was.
    Delete {
        /// The row's key.
        key: Bytes,
    },
}

impl Mutation {
    /// The key of the row that changes.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// The row's value afterwards; none when it is deleted.
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }
}

/// Rows changed over a state.
pub struct Overlay<'a> {
    base: &'a dyn State,
    changes: BTreeMap<Bytes, Change>,
    /// Counts savepoints.
    savepoint: u64,
    /// The rows changed since the savepoint, in the order of their first change, and what the overlay held before.
    journal: Vec<(Bytes, Option<Change>)>,
}

#[derive(Debug, Clone)]
struct Change {
    /// None when the row is deleted.
    value: Option<Bytes>,
    /// The savepoint under which it was made.
    savepoint: u64,
}

impl<'a> Overlay<'a> {
    /// An overlay without changes.
    pub fn new(base: &'a dyn State) -> Self {
        Self { base, changes: BTreeMap::new(), savepoint: 0, journal: Vec::new() }
    }

    /// Begins a savepoint: until the next, changes can be undone.
    pub(crate) fn begin(&mut self) {
        self.savepoint += 1;
        self.journal.clear();
    }

    /// Undoes what was changed since the savepoint.
    pub(crate) fn rollback(&mut self) {
        for (key, before) in self.journal.drain(..).rev() {
            match before {
                Some(change) => drop(self.changes.insert(key, change)),
                None => drop(self.changes.remove(&key)),
            }
        }
    }

    /// Changes a row: to this value, or to be no more.
    pub(crate) fn write(&mut self, key: RowKey, value: Option<Bytes>) {
        let change = Change { value, savepoint: self.savepoint };
        match self.changes.entry(key.into_bytes()) {
            Entry::Vacant(entry) => {
                self.journal.push((entry.key().clone(), None));
                entry.insert(change);
            }
            Entry::Occupied(mut entry) if entry.get().savepoint == self.savepoint => {
                entry.insert(change);
            }
            Entry::Occupied(mut entry) => {
                let before = entry.insert(change);
                self.journal.push((entry.key().clone(), Some(before)));
            }
        }
    }

    /// Changes a row that is known to have the value `before`, or not to be.
    pub(crate) fn write_over(&mut self, key: RowKey, before: Option<&Bytes>, value: Option<Bytes>) {
        if !self.changes.contains_key(key.bytes()) {
            self.base.hear(key.bytes(), before);
        }
        self.write(key, value);
    }

    /// The rows changed since the savepoint, each once, in the order of their first change.
    pub(crate) fn changed(&self) -> Vec<Mutation> {
        let mutation = |(key, _): &(Bytes, Option<Change>)| {
            let change = self.changes.get(key).expect("what is in the journal is in the changes");
            match &change.value {
                Some(value) => Mutation::Put { key: key.clone(), value: value.clone() },
                None => Mutation::Delete { key: key.clone() },
            }
        };
        self.journal.iter().map(mutation).collect()
    }

    /// What a row that was changed since the savepoint was before. Errors: [`Error`].
    pub(crate) fn before(&self, place: usize) -> Result<Option<Bytes>, Error> {
        let (key, before) = &self.journal[place];
        match before {
            Some(change) => Ok(change.value.clone()),
            None => self.base.get(key),
        }
    }

    fn merge(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut rows = Vec::new();
        let mut changes = self.changes.range::<Bytes, _>(&range.start..&range.end).peekable();
        let mut rest = range.clone();
        loop {
            let page = self.base.scan(&rest, limit)?;
            let is_last = page.len() < limit;
            let page_end = page.last().map(|(key, _)| key.clone());
            for (key, value) in page {
                while let Some((changed, change)) = changes.next_if(|(changed, _)| **changed < key) {
                    rows.extend(change.value.clone().map(|value| (changed.clone(), value)));
                }
                match changes.next_if(|(changed, _)| **changed == key) {
                    Some((_, change)) => rows.extend(change.value.clone().map(|value| (key, value))),
                    None => rows.push((key, value)),
                }
                if rows.len() >= limit {
                    rows.truncate(limit);
                    return Ok(rows);
                }
            }
            match page_end {
                Some(key) if !is_last => rest = rest.after(&key),
                _ => break,
            }
        }
        let left = limit.saturating_sub(rows.len());
        let added = changes.filter_map(|(key, change)| Some((key.clone(), change.value.clone()?)));
        rows.extend(added.take(left));
        Ok(rows)
    }
}

impl State for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.changes.get(key) {
            Some(change) => Ok(change.value.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        if range.start >= range.end || limit == 0 {
            return Ok(Vec::new());
        }
        self.merge(range, limit)
    }
}

impl Debug for Overlay<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("changes", &self.changes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::id::{Name, Tenant};
    use mainstay_base::key::{Key, Slot};
    use proptest::prelude::*;

    use super::*;
    use crate::state::Memory;

    fn row(number: u8) -> RowKey {
        let key: Key = format!("k{number:03}").parse().unwrap();
        RowKey::item(Slot::new(1).unwrap(), &Tenant::DEFAULT, &Name::from_static("c"), &key)
    }

    fn all() -> RowRange {
        RowRange::slot(Slot::new(1).unwrap())
    }

    fn value(number: u8) -> Bytes {
        Bytes::from(vec![number])
    }

    #[test]
    fn a_rollback_undoes_one_command_only() {
        let base = Memory::default();
        let mut overlay = Overlay::new(&base);
        overlay.begin();
        overlay.write(row(1), Some(value(1)));
        overlay.begin();
        overlay.write(row(1), None);
        overlay.write(row(2), Some(value(2)));
        overlay.write(row(2), Some(value(3)));
        assert_eq!(
            overlay.changed(),
            [
                Mutation::Delete { key: row(1).into_bytes() },
                Mutation::Put { key: row(2).into_bytes(), value: value(3) },
            ]
        );
        overlay.rollback();
        assert_eq!(overlay.changed(), []);
        assert_eq!(overlay.scan(&all(), 9).unwrap(), [(row(1).into_bytes(), value(1))]);
    }

    proptest! {
        #[test]
        fn a_scan_sees_what_applying_would_give(
            stored in proptest::collection::btree_set(0u8..20, 0..12),
            writes in proptest::collection::vec((0u8..20, any::<bool>()), 0..12),
            limit in 0usize..9,
        ) {
            let mut base = Memory::default();
            let puts: Vec<_> = stored.iter()
                .map(|number| Mutation::Put { key: row(*number).into_bytes(), value: value(0) }).collect();
            base.apply(&puts);
            let mut overlay = Overlay::new(&base);
            overlay.begin();
            for (number, is_put) in &writes {
                overlay.write(row(*number), is_put.then(|| value(1)));
            }
            let mut applied = base.clone();
            applied.apply(&overlay.changed());
            prop_assert_eq!(overlay.scan(&all(), limit).unwrap(), applied.scan(&all(), limit).unwrap());
            for number in 0..20 {
                prop_assert_eq!(overlay.get(&row(number)).unwrap(), applied.get(&row(number)).unwrap());
            }
        }
    }
}

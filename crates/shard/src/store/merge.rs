//! Several sorted walks as one: the newest version of each row, in the order of keys.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use lsm_tree::{InternalValue, Result, UserKey};

/// Walks over the sources together. Each gives its rows in the order of keys and, of one key, the newest version first.
/// Tombstones are rows. An error ends the walk.
pub(super) struct Newest<I> {
    sources: Vec<I>,
    heads: BinaryHeap<Head>,
    last: Option<UserKey>,
    state: State,
}

enum State {
    New,
    Walking,
    Ended,
}

/// The next row of a source.
struct Head {
    row: InternalValue,
    source: usize,
}

impl<I: Iterator<Item = Result<InternalValue>>> Newest<I> {
    pub(super) fn new(sources: Vec<I>) -> Self {
        Self { heads: BinaryHeap::with_capacity(sources.len()), sources, last: None, state: State::New }
    }

    fn advance(&mut self, source: usize) -> Result<()> {
        if let Some(row) = self.sources[source].next() {
            self.heads.push(Head { row: row?, source });
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<InternalValue>> {
        if matches!(self.state, State::New) {
            self.state = State::Walking;
            (0..self.sources.len()).try_for_each(|source| self.advance(source))?;
        }
        while let Some(Head { row, source }) = self.heads.pop() {
            self.advance(source)?;
            if self.last.as_ref() != Some(&row.key.user_key) {
                self.last = Some(row.key.user_key.clone());
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

impl<I: Iterator<Item = Result<InternalValue>>> Iterator for Newest<I> {
    type Item = Result<InternalValue>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, State::Ended) {
            return None;
        }
        let row = self.step().transpose();
        if !matches!(row, Some(Ok(_))) {
            self.state = State::Ended;
        }
        row
    }
}

impl Ord for Head {
    /// The greatest of the heap is the first row: the lowest key, of its versions the newest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.row.key.cmp(&self.row.key).then(other.source.cmp(&self.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use lsm_tree::{Error, ValueType};

    use super::*;

    fn row(key: &str, seqno: u64) -> Result<InternalValue> {
        Ok(InternalValue::from_components(key, "", seqno, ValueType::Value))
    }

    #[test]
    fn of_each_key_the_newest_version_comes_once() {
        let sources = vec![
            vec![row("b", 9), row("b", 2), row("d", 3)].into_iter(),
            vec![row("a", 1), row("b", 5), row("d", 4), row("e", 1)].into_iter(),
            vec![].into_iter(),
            vec![row("d", 4)].into_iter(),
        ];
        let rows: Vec<_> = Newest::new(sources).map(|row| row.unwrap().key).collect();
        let expected = [row("a", 1), row("b", 9), row("d", 4), row("e", 1)].map(|row| row.unwrap().key);
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_error_ends_the_walk() {
        let failing = vec![row("b", 1), Err(Error::InvalidTrailer), row("d", 1)].into_iter();
        let walk = Newest::new(vec![vec![row("a", 1), row("c", 1)].into_iter(), failing]);
        let outcomes: Vec<_> = walk.map(|row| row.is_ok()).collect();
        assert_eq!(outcomes, [true, false], "an error comes before any row that it could change");
    }
}

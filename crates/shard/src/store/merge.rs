//! Several sorted walks as one: the newest version of each row, in the order of keys or against it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use lsm_tree::{InternalValue, Result};

/// Walks over the sources together. Each gives its rows in the direction of the walk; the versions of one key, of which a table
/// may have several, in any order. Tombstones are rows. An error ends the walk.
pub(super) struct Newest<I> {
    sources: Vec<I>,
    heads: BinaryHeap<Head>,
    direction: Direction,
    state: State,
}

/// Where a walk goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    /// In the order of keys.
    Forward,
    /// From the greatest key on.
    Backward,
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
    direction: Direction,
}

impl Direction {
    /// The same items, from the end at which a walk begins.
    pub(super) fn along<T>(self, mut items: impl DoubleEndedIterator<Item = T>) -> impl Iterator<Item = T> {
        std::iter::from_fn(move || match self {
            Self::Forward => items.next(),
            Self::Backward => items.next_back(),
        })
    }
}

impl<I: Iterator<Item = Result<InternalValue>>> Newest<I> {
    pub(super) fn new(sources: Vec<I>, direction: Direction) -> Self {
        Self { heads: BinaryHeap::with_capacity(sources.len()), sources, direction, state: State::New }
    }

    fn start(&mut self) -> Result<()> {
        self.state = State::Walking;
        for (source, rows) in self.sources.iter_mut().enumerate() {
            if let Some(row) = rows.next() {
                self.heads.push(Head { row: row?, source, direction: self.direction });
            }
        }
        Ok(())
    }

    /// Takes the first row, in whose place comes the next one of its source.
    fn take_first(&mut self) -> Result<Option<InternalValue>> {
        let Some(mut first) = self.heads.peek_mut() else { return Ok(None) };
        Ok(Some(match self.sources[first.source].next() {
            Some(next) => std::mem::replace(&mut first.row, next?),
            None => PeekMut::pop(first).row,
        }))
    }

    fn step(&mut self) -> Result<Option<InternalValue>> {
        if matches!(self.state, State::New) {
            self.start()?;
        }
        let Some(mut newest) = self.take_first()? else { return Ok(None) };
        while self.heads.peek().is_some_and(|head| head.row.key.user_key == newest.key.user_key) {
            let other = self.take_first()?.expect("it was looked at");
            if other.key.seqno > newest.key.seqno {
                newest = other;
            }
        }
        Ok(Some(newest))
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
    /// The greatest of the heap is the first row.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.row.key.user_key.cmp(&other.row.key.user_key);
        match self.direction {
            Direction::Forward => order.reverse(),
            Direction::Backward => order,
        }
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
    use std::cell::Cell;

    use lsm_tree::{Error, ValueType};

    use super::*;

    fn row(key: &str, seqno: u64) -> Result<InternalValue> {
        Ok(InternalValue::from_components(key, "", seqno, ValueType::Value))
    }

    #[test]
    fn of_each_key_the_newest_version_comes_once() {
        let newest: &[_] = &[("a", 1), ("b", 9), ("c", 7), ("d", 8), ("e", 3)];
        let mut sources: [&[_]; 4] = [
            &[("b", 9), ("b", 2), ("d", 3)],
            &[("a", 1), ("b", 5), ("d", 8), ("d", 4), ("e", 1)],
            &[],
            &[("c", 7), ("c", 6), ("d", 4), ("e", 3), ("e", 2)],
        ];
        for direction in [Direction::Forward, Direction::Backward] {
            let rows = |source: &'static [(&str, u64)]| {
                direction.along(source.iter().map(|(key, seqno)| row(key, *seqno)))
            };
            let expected: Vec<_> = rows(newest).map(|row| row.unwrap().key).collect();
            for _ in 0..sources.len() {
                sources.rotate_left(1);
                let walk = Newest::new(sources.into_iter().map(rows).collect(), direction);
                assert_eq!(walk.map(|row| row.unwrap().key).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn no_more_is_read_than_a_row_ahead_of_each_source() {
        for direction in [Direction::Forward, Direction::Backward] {
            let read = Cell::new(0);
            let source = |seqno| {
                let keys = direction.along('a'..='z');
                keys.inspect(|_| read.set(read.get() + 1)).map(move |key| row(&key.to_string(), seqno))
            };
            let mut walk = Newest::new(vec![source(1), source(2), source(3)], direction);
            assert_eq!(read.get(), 0);
            assert_eq!(walk.by_ref().take(5).count(), 5);
            assert_eq!(read.get(), 6 * 3);
        }
    }

    #[test]
    fn an_error_ends_the_walk() {
        for direction in [Direction::Forward, Direction::Backward] {
            let failing = vec![row("b", 1), Err(Error::InvalidTrailer), row("b", 2)].into_iter();
            let others = direction.along(["a", "b", "c"].into_iter()).map(|key| row(key, 3));
            let walk = Newest::new(vec![others.collect::<Vec<_>>().into_iter(), failing], direction);
            let outcomes: Vec<_> = walk.map(|row| row.is_ok()).collect();
            assert_eq!(outcomes, [true, false], "an error comes before any row that it could change");
        }
    }
}

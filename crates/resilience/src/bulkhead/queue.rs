//! Who waits: a line for each key, and the order in which lines have their turns. Everything is done in constant time.

use std::collections::HashMap;

use super::Place;
use super::list::{Links, List};
use crate::call::Key;

/// Who waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    count: u32,
    lines: Vec<Line>,
    /// Lines that no key has.
    free: Vec<u32>,
    /// The line of each key that has someone waiting, and of no other.
    by_key: HashMap<Key, u32>,
    /// The line that each place is in.
    line_of: Vec<u32>,
    /// Places in their lines.
    place_links: Links,
    /// Lines, the one whose turn is next first.
    turns: List,
    turn_links: Links,
    /// Lines by how many wait in them.
    by_count: Vec<List>,
    count_links: Links,
    /// How many wait in the longest line.
    longest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    key: Key,
    places: List,
    count: u32,
}

impl Queue {
    /// How many wait.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// How many wait for a key.
    pub(super) fn count_of(&self, key: Key) -> u32 {
        self.by_key.get(&key).map_or(0, |line| self.lines[*line as usize].count)
    }

    /// Puts a place at the end of the line of its key. A new line has its turn after all others.
    pub(super) fn push(&mut self, place: Place, key: Key) {
        let line = self.by_key.get(&key).copied().unwrap_or_else(|| self.open(key));
        if self.line_of.len() <= place.index() {
            self.line_of.resize(place.index() + 1, 0);
        }
        self.line_of[place.index()] = line;
        self.place_links.push(&mut self.lines[line as usize].places, place.0);
        let count = self.lines[line as usize].count;
        self.recount(line, count + 1);
        self.count += 1;
    }

    /// Takes out the one whose turn it is.
    pub(super) fn next(&mut self) -> Option<Place> {
        let line = self.turns.first?;
        let place = self.lines[line as usize].places.first.map(Place);
        // Last from now on, unless it was the last of its line.
        self.turn_links.remove(&mut self.turns, line);
        self.turn_links.push(&mut self.turns, line);
        place.inspect(|place| self.remove(*place))
    }

    /// Takes out one that waits.
    pub(super) fn remove(&mut self, place: Place) {
        let line = self.line_of[place.index()];
        let Line { key, count, .. } = self.lines[line as usize];
        self.place_links.remove(&mut self.lines[line as usize].places, place.0);
        self.recount(line, count - 1);
        self.count -= 1;
        if count == 1 {
            self.turn_links.remove(&mut self.turns, line);
            self.by_key.remove(&key);
            self.free.push(line);
        }
    }

    /// The last in the longest line, if more than so many wait in that.
    pub(super) fn newest_of_longer_than(&self, count: u32) -> Option<Place> {
        let is_longer = self.longest > count;
        let line = self.by_count.get(self.longest as usize).filter(|_| is_longer)?.last?;
        self.lines[line as usize].places.last.map(Place)
    }

    fn open(&mut self, key: Key) -> u32 {
        let opened = Line { key, places: List::default(), count: 0 };
        let line = self.free.pop().unwrap_or_else(|| {
            let line = u32::try_from(self.lines.len()).expect("there are no more lines than places");
            self.lines.push(opened);
            line
        });
        self.lines[line as usize] = opened;
        self.by_key.insert(key, line);
        self.turn_links.push(&mut self.turns, line);
        line
    }

    /// Notes that one more or one less waits in a line.
    fn recount(&mut self, line: u32, count: u32) {
        let before = std::mem::replace(&mut self.lines[line as usize].count, count);
        if before > 0 {
            self.count_links.remove(&mut self.by_count[before as usize], line);
        }
        if count > 0 {
            if self.by_count.len() <= count as usize {
                self.by_count.resize(count as usize + 1, List::default());
            }
            self.count_links.push(&mut self.by_count[count as usize], line);
        }
        if count > self.longest || (before == self.longest && self.by_count[before as usize].first.is_none())
        {
            // It was the only one so long, so that its new count is the longest.
            self.longest = count;
        }
    }
}

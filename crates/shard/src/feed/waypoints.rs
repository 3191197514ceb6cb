//! Places of a log at which is known which records count: where whoever reads it may begin.
//!
//! Some are spread over all that was applied, the fewer the more there is; some more are where readers have come to, so that one who
//! reads page by page does not read anything twice. All of them are settled.

use std::collections::{BTreeMap, VecDeque};

use mainstay_base::position::Index;
use mainstay_log::accept::Cursor;

/// Of those that are spread.
const SPREAD_MAX: usize = 512;

/// Of those where readers have come to.
const RECENT_MAX: usize = 64;

/// Records between two that are spread, as long as there are few.
const DISTANCE_MIN: u64 = 64;

/// Known places of one log.
pub(super) struct Waypoints {
    spread: BTreeMap<Index, Cursor>,
    /// Doubles whenever there are too many.
    distance: u64,
    recent: VecDeque<Cursor>,
}

impl Default for Waypoints {
    fn default() -> Self {
        Self { spread: BTreeMap::new(), distance: DISTANCE_MIN, recent: VecDeque::new() }
    }
}

impl Waypoints {
    /// Whether there is none near below this index.
    pub(super) fn is_due(&self, next: Index) -> bool {
        let below = self.spread.range(..=next).next_back();
        below.is_none_or(|(found, _)| next.get() - found.get() >= self.distance)
    }

    pub(super) fn note(&mut self, cursor: Cursor) {
        self.spread.insert(cursor.next, cursor);
        while self.spread.len() > SPREAD_MAX {
            self.distance *= 2;
            let (distance, mut kept) = (self.distance, None);
            self.spread.retain(|next, _| {
                let is_far = kept.is_none_or(|kept: Index| next.get() - kept.get() >= distance);
                if is_far {
                    kept = Some(*next);
                }
                is_far
            });
        }
    }

    /// A reader stands here.
    pub(super) fn note_recent(&mut self, cursor: Cursor) {
        if self.is_due(cursor.next) {
            return self.note(cursor);
        }
        self.recent.retain(|recent| recent.next != cursor.next);
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(cursor);
    }

    /// The last one that is not behind this index.
    pub(super) fn at_or_before(&self, next: Index) -> Option<Cursor> {
        let spread = self.spread.range(..=next).next_back().map(|(_, cursor)| *cursor);
        let recent = self.recent.iter().copied().filter(|recent| recent.next <= next);
        recent.chain(spread).max_by_key(|cursor| cursor.next)
    }

    pub(super) fn forget_below(&mut self, begins: Index) {
        self.spread = self.spread.split_off(&begins);
        self.recent.retain(|recent| recent.next >= begins);
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::position::Epoch;
    use mainstay_log::record::Checksum;

    use super::*;

    fn cursor(next: u64) -> Cursor {
        Cursor { next: Index::new(next), epoch: Epoch::new(1), prev: Checksum::new(7) }
    }

    fn found(waypoints: &Waypoints, next: u64) -> Option<u64> {
        waypoints.at_or_before(Index::new(next)).map(|cursor| cursor.next.get())
    }

    #[test]
    fn they_are_bounded_and_spread_over_everything() {
        let mut waypoints = Waypoints::default();
        for next in 1..1_000_000 {
            if waypoints.is_due(Index::new(next)) {
                waypoints.note(cursor(next));
            }
        }
        assert!(
            (SPREAD_MAX / 2 - 1..=SPREAD_MAX).contains(&waypoints.spread.len()),
            "{}",
            waypoints.spread.len()
        );
        assert_eq!(found(&waypoints, 1), Some(1), "the first stays");
        for next in (1..1_000_000).step_by(9_999) {
            let distance = next - found(&waypoints, next).unwrap();
            assert!(distance < 2 * waypoints.distance, "{next}: {distance}");
        }
    }

    #[test]
    fn a_reader_goes_on_where_it_has_come_to() {
        let mut waypoints = Waypoints::default();
        assert_eq!(found(&waypoints, 9), None);
        waypoints.note(cursor(5));
        (6..200).for_each(|next| waypoints.note_recent(cursor(next)));
        assert_eq!(found(&waypoints, 199), Some(199));
        assert_eq!(found(&waypoints, 4), None);
        assert!(waypoints.recent.len() <= RECENT_MAX);
        waypoints.forget_below(Index::new(150));
        assert_eq!(found(&waypoints, 149), None);
    }
}

//! What happens next, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// What happens next. What is put down for one moment happens in the order in which it was put down.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    now: Instant,
    next: BinaryHeap<Reverse<Entry<E>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    /// An empty one, at the beginning of time.
    pub(crate) fn new() -> Self {
        Self { now: Instant::from_nanos(0), next: BinaryHeap::new(), count: 0 }
    }

    /// The moment of the last event.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Puts down what happens in a while.
    pub(crate) fn after(&mut self, wait: Duration, event: E) {
        let at = self.now.checked_add(wait).expect("simulations end long before time does");
        self.count += 1;
        self.next.push(Reverse(Entry { at, number: self.count, event }));
    }

    /// Goes to the next event, if there is one before `end`.
    pub(crate) fn next_before(&mut self, end: Instant) -> Option<E> {
        if self.next.peek().is_none_or(|Reverse(entry)| entry.at >= end) {
            return None;
        }
        let Reverse(Entry { at, event, .. }) = self.next.pop()?;
        self.now = at;
        Some(event)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_their_making() {
        let mut agenda = Agenda::new();
        for (ms, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b'), (9, 'z')] {
            agenda.after(Duration::from_millis(ms), event);
        }
        let end = Instant::from_nanos(9_000_000);
        let events: String = std::iter::from_fn(|| agenda.next_before(end)).collect();
        assert_eq!((events.as_str(), agenda.now()), ("abcd", Instant::from_nanos(5_000_000)));
    }
}

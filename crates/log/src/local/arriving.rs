//! The records of a group, taken from the queue while it is made.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use mainstay_base::time::{Clock, Instant};

use super::queue::{Answer, Queue};
use super::service::Job;
use crate::gather::Gathering;
use crate::record::Record;
use crate::{Appended, Error};

/// The records of a group, as they come.
pub(crate) struct Arriving {
    queue: Arc<Queue<Job>>,
    clock: Arc<dyn Clock>,
    gathering: Gathering,
    taken: VecDeque<Job>,
    /// Given to the group in the making.
    appends: usize,
    /// What is done after it.
    others: Vec<Job>,
    /// When the group was as large as it got.
    closed: Instant,
}

impl Arriving {
    pub(crate) fn new(queue: Arc<Queue<Job>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            queue,
            clock,
            gathering: Gathering::default(),
            taken: VecDeque::new(),
            appends: 0,
            others: Vec::new(),
            closed: Instant::from_nanos(0),
        }
    }

    /// Waits for what a group can begin with. Returns false when nothing comes any more.
    pub(crate) fn wait(&mut self) -> bool {
        self.gathering.begin(self.clock.now());
        while self.queue.len() == 0 && self.is_awaited() {
            thread::yield_now();
        }
        self.queue.take_all(&mut self.taken)
    }

    /// The group is answered for since then, while so many waited; none: it had no records. Gives what is to be done now.
    pub(crate) fn answered(&mut self, since: Option<(Instant, usize)>) -> Vec<Job> {
        let appends = std::mem::take(&mut self.appends);
        if let Some((since, waiting)) = since {
            self.gathering.committed(appends, since.saturating_since(self.closed).as_std(), waiting);
        }
        std::mem::take(&mut self.others)
    }

    fn is_awaited(&mut self) -> bool {
        self.gathering.is_awaited(self.appends, || self.clock.now())
    }
}

impl Iterator for Arriving {
    type Item = (Record, Answer<Result<Appended, Error>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.taken.pop_front() {
                Some(Job::Append(record, answer)) => {
                    self.appends += 1;
                    return Some((record, answer));
                }
                Some(other) => self.others.push(other),
                None if self.is_awaited() => {
                    if !self.queue.take_waiting(&mut self.taken) {
                        thread::yield_now();
                    }
                }
                None => {
                    self.gathering.end(self.appends + self.queue.len());
                    self.closed = self.clock.now();
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use mainstay_base::position::{Epoch, Index, ShardId};
    use mainstay_base::time::Timestamp;

    use super::super::queue::answer;
    use super::*;
    use crate::record::{Checksum, Draft, RecordId};

    /// Time that goes on by a microsecond whenever somebody looks, and brings an append each time, up to so many.
    struct Busy {
        queue: Arc<Queue<Job>>,
        micros: AtomicU64,
        coming: AtomicU64,
    }

    impl Clock for Busy {
        fn now(&self) -> Instant {
            let one_less = |coming: u64| coming.checked_sub(1);
            if self.coming.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
                push(&self.queue);
            }
            Instant::from_nanos(1000 * self.micros.fetch_add(1, SeqCst))
        }

        fn wall(&self) -> Timestamp {
            Timestamp::MAX
        }
    }

    fn push(queue: &Queue<Job>) {
        let draft = Draft::data(RecordId::new([0; 16]), b"it".as_slice().into());
        let record = draft.seal(ShardId::new(1), Index::FIRST, Epoch::new(1), Checksum::START);
        assert_eq!(queue.push(Job::Append(record, answer().0), 1), Ok(()));
    }

    fn busy() -> (Arc<Busy>, Arriving) {
        let queue = Arc::new(Queue::new(100, 100));
        let (micros, coming) = (AtomicU64::new(0), AtomicU64::new(0));
        let clock = Arc::new(Busy { queue: Arc::clone(&queue), micros, coming });
        (Arc::clone(&clock), Arriving::new(queue, clock))
    }

    /// Makes a group of what waits and of those that come, whose commit takes 50 us.
    fn group(clock: &Busy, arriving: &mut Arriving, coming: u64) -> usize {
        clock.coming.store(coming, SeqCst);
        assert!(arriving.wait());
        let count = arriving.by_ref().count();
        clock.micros.fetch_add(50, SeqCst);
        let waiting = clock.queue.len();
        assert!(arriving.answered(Some((clock.now(), waiting))).is_empty());
        count
    }

    #[test]
    fn a_group_takes_in_those_who_return() {
        let (clock, mut arriving) = busy();
        (0..8).for_each(|_| push(&clock.queue));
        for coming in [0, 8, 8] {
            assert_eq!(group(&clock, &mut arriving, coming), 8, "they come one after another");
        }
        assert_eq!(group(&clock, &mut arriving, 5), 5, "some have gone");
        assert_eq!(group(&clock, &mut arriving, 5), 1, "so few are not waited for");
    }

    #[test]
    fn a_group_waits_for_nobody_else() {
        let (clock, mut arriving) = busy();
        (0..7).for_each(|_| push(&clock.queue));
        assert_eq!(group(&clock, &mut arriving, 0), 7);
        (0..7).for_each(|_| push(&clock.queue));
        assert_eq!(group(&clock, &mut arriving, 90), 8, "and the one that came when it began");
    }
}

//! A service as queueing theory has it: so many workers, and a queue before them.

use std::collections::VecDeque;

use mainstay_base::time::Instant;

/// A service: so many workers, and a queue before them, the first to come being the first to be served.
#[derive(Debug)]
pub(crate) struct Server<J> {
    workers: usize,
    queue_max: usize,
    running: usize,
    queue: VecDeque<(Instant, J)>,
}

/// What became of a job that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered<J> {
    /// A worker has begun it.
    Begun(J),
    /// It waits.
    Queued,
    /// Nobody has room for it.
    Full(J),
}

impl<J> Server<J> {
    pub(crate) fn new(workers: usize, queue_max: usize) -> Self {
        Self { workers, queue_max, running: 0, queue: VecDeque::new() }
    }

    /// Has more or fewer workers from now on; those that are at work finish.
    pub(crate) fn set_workers(&mut self, workers: usize) {
        self.workers = workers;
    }

    pub(crate) fn offer(&mut self, now: Instant, job: J) -> Offered<J> {
        if self.running < self.workers {
            self.running += 1;
            Offered::Begun(job)
        } else if self.queue.len() < self.queue_max {
            self.queue.push_back((now, job));
            Offered::Queued
        } else {
            Offered::Full(job)
        }
    }

    /// Takes out of the queue what matches.
    pub(crate) fn forget(&mut self, matches: impl Fn(&J) -> bool) {
        self.queue.retain(|(_, job)| !matches(job));
    }

    /// A worker has finished. Returns what it begins now, and since when that has waited.
    pub(crate) fn finish(&mut self) -> Option<(Instant, J)> {
        self.running -= 1;
        self.begin()
    }

    /// Gives a worker who is free the next job.
    pub(crate) fn begin(&mut self) -> Option<(Instant, J)> {
        if self.running >= self.workers {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.running += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_begun_wait_in_their_order_or_find_no_room() {
        let mut server = Server::new(1, 1);
        let at = Instant::from_nanos;
        assert_eq!(server.offer(at(1), 'a'), Offered::Begun('a'));
        assert_eq!(server.offer(at(2), 'b'), Offered::Queued);
        assert_eq!(server.offer(at(3), 'c'), Offered::Full('c'));
        assert_eq!(server.finish(), Some((at(2), 'b')));
        server.set_workers(0);
        assert_eq!(server.offer(at(4), 'd'), Offered::Queued);
        assert_eq!(server.finish(), None);
        server.set_workers(1);
        assert_eq!(server.begin(), Some((at(4), 'd')));
    }
}

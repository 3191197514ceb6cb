//! How long a group commit waits for those that it has just answered.
//!
//! Whoever was answered together returns together, a moment later. A writer that goes on at once leaves them behind, and half of
//! them alternate with the other half, at a sync each; one that waits for them has them all in one group.

use std::time::Duration;

use mainstay_base::time::Instant;

/// Waiting pays when it brings at least every second one: its time is at most that of the commit saved.
const RETURNING_SHARE: usize = 2;

/// Below this many the wake-up of a sleeping writer costs less than watching for them.
const ANSWERED_MIN: usize = 8;

const WAIT_MAX: Duration = Duration::from_micros(100);

/// Waits in vain use it up, two for each that paid.
const PATIENCE_MAX: u32 = 8;

/// Without patience every so many groups wait: those who return late today may be quick tomorrow.
const PROBE_GROUPS: u32 = 16;

/// However slowly time passes, or if it stands still.
const LOOKS_MAX: u32 = 10_000;

/// What a writer that commits in groups knows about those that it answers.
///
/// Before each group: [`begin`](Self::begin); look for records until [`is_awaited`](Self::is_awaited) says no, yielding the core
/// meanwhile; [`end`](Self::end). After it: [`committed`](Self::committed). No timer is armed: a wait ends when all of them
/// are back, or when it has taken as long as the last commit, which delayed them longer.
#[derive(Debug)]
pub struct Gathering {
    /// Who was answered and is not back yet, and who waited by then: those of the last group.
    answered: usize,
    waiting: usize,
    limit: Duration,
    /// None: this group waits for nobody.
    until: Option<Instant>,
    looks: u32,
    patience: u32,
    groups: u32,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            answered: 0,
            waiting: 0,
            limit: Duration::ZERO,
            until: None,
            looks: 0,
            patience: PATIENCE_MAX,
            groups: 0,
        }
    }
}

impl Gathering {
    /// A group was committed in this time, and so many are being answered; so many others waited by then.
    pub fn committed(&mut self, answered: usize, took: Duration, waiting: usize) {
        (self.answered, self.waiting, self.limit) = (answered, waiting, took.min(WAIT_MAX));
    }

    /// The next group is about to be made.
    pub fn begin(&mut self, now: Instant) {
        (self.groups, self.looks) = (self.groups.wrapping_add(1), 0);
        let pays = self.patience > 0 || self.groups.is_multiple_of(PROBE_GROUPS);
        self.until = (self.answered >= ANSWERED_MIN && pays).then(|| now.checked_add(self.limit)).flatten();
    }

    /// Whether more are worth waiting for when so many are there, in the group and behind it.
    pub fn is_awaited(&mut self, there: usize, now: impl FnOnce() -> Instant) -> bool {
        self.looks += 1;
        self.looks < LOOKS_MAX
            && there < self.waiting + self.answered
            && self.until.is_some_and(|until| now() < until)
    }

    /// The group is as large as it gets: so many were there.
    pub fn end(&mut self, there: usize) {
        let answered = std::mem::take(&mut self.answered);
        if self.until.take().is_none() {
            return;
        }
        let returned = there.saturating_sub(self.waiting);
        self.patience = if returned * RETURNING_SHARE >= answered {
            (self.patience + 1).min(PATIENCE_MAX)
        } else {
            self.patience.saturating_sub(2)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT_MICROS: u64 = 50;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// A group after one of 32 records, beside which 32 more came: so many return, one in every microsecond. How many it has,
    /// and for how many microseconds it waited.
    fn group(gathering: &mut Gathering, returning: u64) -> (u64, u64) {
        gathering.committed(32, Duration::from_micros(COMMIT_MICROS), 32);
        gathering.begin(at(7));
        let mut micros = 0;
        let there = |micros: u64| 32 + micros.min(returning);
        while gathering.is_awaited(usize::try_from(there(micros)).unwrap(), || at(7 + micros)) {
            micros += 1;
        }
        gathering.end(usize::try_from(there(micros)).unwrap());
        (there(micros), micros)
    }

    #[test]
    fn it_waits_until_all_are_back() {
        let mut gathering = Gathering::default();
        for _ in 0..100 {
            assert_eq!(group(&mut gathering, 32), (64, 32));
        }
    }

    #[test]
    fn it_waits_no_longer_than_the_commit_took_and_never_long() {
        let mut gathering = Gathering::default();
        assert_eq!(group(&mut gathering, 20), (52, COMMIT_MICROS));
        gathering.committed(32, Duration::from_millis(50), 0);
        gathering.begin(at(0));
        assert!(gathering.is_awaited(0, || at(99)));
        assert!(!gathering.is_awaited(0, || at(100)));
        let waits = (0..).take_while(|_| gathering.is_awaited(0, || at(99))).count();
        assert!(waits < 10_000, "time may stand still: {waits}");
    }

    #[test]
    fn it_stops_waiting_for_those_who_do_not_return_and_notices_when_they_do() {
        let mut gathering = Gathering::default();
        let waits = |gathering: &mut Gathering, returning| {
            (0..160).filter(|_| group(gathering, returning).1 > 0).count()
        };
        let vain = waits(&mut gathering, 15);
        assert!((10..=14).contains(&vain), "until its patience ends, and then each sixteenth: {vain}");
        let paid = waits(&mut gathering, 16);
        assert!(paid > 140, "every second one is enough: {paid}");
    }

    #[test]
    fn a_few_are_not_waited_for_and_nobody_is_twice() {
        let mut gathering = Gathering::default();
        gathering.committed(ANSWERED_MIN - 1, Duration::from_micros(50), 1000);
        gathering.begin(at(0));
        assert!(!gathering.is_awaited(1000, || at(0)));
        gathering.end(1000);
        group(&mut gathering, 0);
        gathering.begin(at(0));
        assert!(!gathering.is_awaited(0, || at(0)), "they were given up");
    }
}

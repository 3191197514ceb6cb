//! The instances of one service's program: which are to be started and which to stop, decided without doing it.
//!
//! Whoever drives it does what [`Fleet::next`] says, and tells what came of it. It never blocks, and reads no clock.

use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::config::Run;

/// An instance, by a number that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number(pub(crate) u64);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start another one.
    Start(Number),
    /// Give it no more calls.
    Leave(Number),
    /// Tell it to end.
    Terminate(Number),
    /// End it.
    Kill(Number),
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does not take calls yet, since then.
    Starting(Instant),
    /// It takes calls, since then.
    Ready(Instant),
    /// It gets no more calls, and is told to end at that time or when it has none.
    Leaving(Instant),
    /// It was told to end, and is killed at that time.
    Ending(Instant),
    /// It was killed.
    Killed,
}

#[derive(Debug)]
struct Instance {
    number: Number,
    /// The definition that it was started by.
    run: Arc<Run>,
    phase: Phase,
}

/// The instances of one service's program.
#[derive(Debug)]
pub(crate) struct Fleet {
    run: Arc<Run>,
    /// How many there are to be.
    wanted: u32,
    instances: Vec<Instance>,
    started: u64,
    /// How many in a row ended before they were of use.
    failures: u32,
    /// When one may be started again.
    start_at: Instant,
}

/// How long it takes until one is started again after one has failed: the first time, and at most.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One that has taken calls for so long was of use.
const OF_USE: Duration = Duration::from_secs(10);

impl Fleet {
    /// Without instances.
    pub(crate) fn new(run: Run, now: Instant) -> Self {
        let wanted = run.instances.get();
        Self { run: Arc::new(run), wanted, instances: Vec::new(), started: 0, failures: 0, start_at: now }
    }

    /// Goes by another definition from now on. Instances of one that starts another program are replaced.
    pub(crate) fn define(&mut self, run: Run, now: Instant) {
        if !self.run.starts_same(&run) {
            (self.failures, self.start_at) = (0, now);
        }
        if self.run.instances != run.instances {
            self.wanted = run.instances.get();
        }
        self.run = Arc::new(run);
    }

    /// Has so many instances from now on.
    pub(crate) const fn scale(&mut self, wanted: u32) {
        self.wanted = wanted;
    }

    /// How many there are to be.
    pub(crate) const fn wanted(&self) -> u32 {
        self.wanted
    }

    /// How an instance is.
    pub(crate) fn phase(&self, number: Number) -> Option<Phase> {
        self.instances.iter().find(|it| it.number == number).map(|it| it.phase)
    }

    /// How many ended in a row before they were of use.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// An instance takes calls.
    pub(crate) fn is_ready(&mut self, number: Number, now: Instant) {
        if let Some(instance) = self.instance(number)
            && matches!(instance.phase, Phase::Starting(_))
        {
            instance.phase = Phase::Ready(now);
        }
    }

    /// An instance has no calls any more.
    pub(crate) fn is_idle(&mut self, number: Number, now: Instant) {
        if let Some(instance) = self.instance(number)
            && matches!(instance.phase, Phase::Leaving(_))
        {
            instance.phase = Phase::Leaving(now);
        }
    }

    /// An instance has ended, or could not be started.
    pub(crate) fn has_ended(&mut self, number: Number, now: Instant) {
        let Some(place) = self.instances.iter().position(|it| it.number == number) else { return };
        let instance = self.instances.remove(place);
        if matches!(instance.phase, Phase::Leaving(_) | Phase::Ending(_) | Phase::Killed) {
            return;
        }
        let was_of_use =
            matches!(instance.phase, Phase::Ready(since) if now.saturating_since(since) >= OF_USE);
        self.failures = if was_of_use { 1 } else { self.failures.saturating_add(1) };
        self.start_at = now.saturating_add(self.backoff());
    }

    fn backoff(&self) -> Duration {
        BACKOFF.saturating_mul(1 << (self.failures.max(1) - 1).min(16)).min(BACKOFF_MAX)
    }

    fn instance(&mut self, number: Number) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|it| it.number == number)
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.end_late(now, &mut actions);
        self.leave_surplus(now, &mut actions);
        self.start_missing(now, &mut actions);
        actions
    }

    /// Ends those whose time is over.
    fn end_late(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Run { start_timeout, stop_timeout, .. } = *self.run;
        let mut late = false;
        for instance in &mut self.instances {
            match instance.phase {
                Phase::Starting(since) if now.saturating_since(since) >= start_timeout => {
                    // It counts as one that has failed.
                    late = true;
                    instance.phase = Phase::Ending(now.saturating_add(stop_timeout));
                    actions.push(Action::Terminate(instance.number));
                }
                Phase::Leaving(until) if until <= now => {
                    instance.phase = Phase::Ending(now.saturating_add(stop_timeout));
                    actions.push(Action::Terminate(instance.number));
                }
                Phase::Ending(until) if until <= now => {
                    instance.phase = Phase::Killed;
                    actions.push(Action::Kill(instance.number));
                }
                Phase::Starting(_)
                | Phase::Ready(_)
                | Phase::Leaving(_)
                | Phase::Ending(_)
                | Phase::Killed => {}
            }
        }
        if late {
            self.failures = self.failures.saturating_add(1);
            self.start_at = now.saturating_add(self.backoff());
        }
    }

    fn count(&self, is: impl Fn(&Instance) -> bool) -> u32 {
        self.instances.iter().filter(|it| is(it)).count() as u32
    }

    /// Lets those go that are too many, or are of an earlier version and not needed any more.
    fn leave_surplus(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let (run, wanted) = (Arc::clone(&self.run), self.wanted);
        let is_new = |it: &Instance| it.run.starts_same(&run);
        let is_ready = |it: &Instance| matches!(it.phase, Phase::Ready(_));
        let is_up = |it: &Instance| matches!(it.phase, Phase::Ready(_) | Phase::Starting(_));
        // Those that have not begun to take calls are not missed.
        let until = |phase: Phase, drain: Duration| match phase {
            Phase::Ready(_) => now.saturating_add(drain),
            _ => now,
        };
        loop {
            let (up, ready) = (self.count(is_up), self.count(is_ready));
            let new = self.count(|it| is_up(it) && is_new(it));
            let old_starting =
                self.instances.iter().position(|it| !is_new(it) && matches!(it.phase, Phase::Starting(_)));
            let place = if old_starting.is_some() {
                old_starting
            } else if new > wanted {
                // The newest go: they have done the least.
                self.instances.iter().rposition(|it| is_up(it) && is_new(it))
            } else if new < up && ready > wanted.saturating_sub(self.run.max_unavailable) {
                self.instances.iter().position(|it| is_ready(it) && !is_new(it))
            } else {
                None
            };
            let Some(place) = place else { return };
            let instance = &mut self.instances[place];
            instance.phase = Phase::Leaving(until(instance.phase, self.run.drain));
            actions.push(Action::Leave(instance.number));
        }
    }

    /// Starts those that are missing, as far as more may run.
    fn start_missing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now < self.start_at {
            return;
        }
        let run = Arc::clone(&self.run);
        let is_up = |it: &Instance| matches!(it.phase, Phase::Ready(_) | Phase::Starting(_));
        let is_new = |it: &Instance| it.run.starts_same(&run);
        loop {
            let (up, new) = (self.count(is_up), self.count(|it| is_up(it) && is_new(it)));
            let up_max = self.wanted.saturating_add(self.run.max_surge);
            // After a failure one shows whether it is over.
            let is_trying = self.failures > 0
                && new > 0
                && self.count(|it| is_new(it) && matches!(it.phase, Phase::Ready(_))) == 0;
            if new >= self.wanted || (up >= up_max && up > new) || is_trying {
                return;
            }
            self.started += 1;
            let number = Number(self.started);
            self.instances.push(Instance { number, run: Arc::clone(&run), phase: Phase::Starting(now) });
            actions.push(Action::Start(number));
        }
    }

    /// When something is to be done next, whatever happens.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let of = |instance: &Instance| match instance.phase {
            Phase::Starting(since) => Some(since.saturating_add(self.run.start_timeout)),
            Phase::Leaving(until) | Phase::Ending(until) => Some(until),
            Phase::Ready(_) | Phase::Killed => None,
        };
        let is_up = |it: &Instance| matches!(it.phase, Phase::Ready(_) | Phase::Starting(_));
        let new = self.count(|it| is_up(it) && it.run.starts_same(&self.run));
        // What may be started now waits for something else.
        let start = (new < self.wanted && self.start_at > now).then_some(self.start_at);
        self.instances.iter().filter_map(of).chain(start).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn run(json: &str) -> Run {
        serde_json::from_str(json).expect("a definition")
    }

    fn fleet(json: &str) -> Fleet {
        Fleet::new(run(json), at(0))
    }

    fn starts(actions: &[Action]) -> Vec<Number> {
        let started = actions.iter().filter_map(|action| match action {
            Action::Start(number) => Some(*number),
            _ => None,
        });
        started.collect()
    }

    #[test]
    fn as_many_run_as_there_should_be() {
        let mut fleet = fleet(r#"{"command": ["x"], "instances": 3}"#);
        let started = starts(&fleet.next(at(0)));
        assert_eq!(started.len(), 3);
        assert_eq!(fleet.next(at(1)), []);
        started.iter().for_each(|number| fleet.is_ready(*number, at(2)));
        fleet.scale(1);
        let leaves = fleet.next(at(20_000));
        assert_eq!(leaves, [Action::Leave(started[2]), Action::Leave(started[1])]);
        fleet.is_idle(started[2], at(20_001));
        assert_eq!(fleet.next(at(20_001)), [Action::Terminate(started[2])]);
        assert_eq!(fleet.next(at(25_001)), [Action::Kill(started[2])]);
        assert_eq!(fleet.next(at(30_000)), [Action::Terminate(started[1])], "it had calls for 10 s");
        for number in [started[1], started[2]] {
            fleet.has_ended(number, at(31_000));
        }
        assert_eq!((fleet.next(at(31_000)), fleet.failures(), fleet.due(at(31_000))), (vec![], 0, None));
    }

    #[test]
    fn one_that_ends_is_started_again_after_a_while_that_doubles() {
        let mut fleet = fleet(r#"{"command": ["x"]}"#);
        let mut now = 0;
        for wait in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
            let [number] = starts(&fleet.next(at(now)))[..] else { panic!("one is started") };
            fleet.has_ended(number, at(now));
            assert_eq!(fleet.next(at(now + wait - 1)), []);
            assert_eq!(fleet.due(at(now)), Some(at(now + wait)));
            now += wait;
        }
        let [number] = starts(&fleet.next(at(now)))[..] else { panic!("one is started") };
        fleet.is_ready(number, at(now));
        fleet.has_ended(number, at(now + 10_000));
        assert_eq!(
            fleet.due(at(now + 10_000)),
            Some(at(now + 10_100)),
            "it was of use, so that it begins anew"
        );
    }

    #[test]
    fn after_a_failure_one_shows_whether_it_is_over() {
        let mut fleet = fleet(r#"{"command": ["x"], "instances": 3}"#);
        for number in starts(&fleet.next(at(0))) {
            fleet.has_ended(number, at(0));
        }
        let [number] = starts(&fleet.next(at(60_000)))[..] else { panic!("one is tried") };
        fleet.is_ready(number, at(60_100));
        assert_eq!(starts(&fleet.next(at(60_100))).len(), 2, "it is over");
    }

    #[test]
    fn one_that_does_not_begin_in_time_is_ended() {
        let mut fleet = fleet(r#"{"command": ["x"], "start_timeout": "1s"}"#);
        let [number] = starts(&fleet.next(at(0)))[..] else { panic!("one is started") };
        assert_eq!(fleet.due(at(0)), Some(at(1_000)));
        assert_eq!(fleet.next(at(1_000)), [Action::Terminate(number)]);
        assert_eq!(fleet.failures(), 1);
        let again = fleet.next(at(1_100));
        assert_eq!(starts(&again).len(), 1, "{again:?}");
    }

    /// Rolls from one version to another, each new one being ready after a second; returns the fewest that took calls, and the most that ran.
    fn roll(more: &str) -> (usize, usize) {
        let mut fleet = fleet(&format!(r#"{{"command": ["one"], "instances": 4{more}}}"#));
        let mut up: Vec<Number> = starts(&fleet.next(at(0)));
        up.iter().for_each(|number| fleet.is_ready(*number, at(0)));
        fleet.define(run(&format!(r#"{{"command": ["two"], "instances": 4{more}}}"#)), at(20_000));
        let (mut fewest, mut most) = (usize::MAX, 0);
        let old = up.clone();
        for step in 0..100 {
            let now = at(20_000 + step * 1_000);
            for action in fleet.next(now) {
                match action {
                    Action::Start(number) => up.push(number),
                    Action::Leave(number) => fleet.is_idle(number, now),
                    Action::Terminate(number) | Action::Kill(number) => {
                        fleet.has_ended(number, now);
                        up.retain(|it| *it != number);
                    }
                }
            }
            let phases: Vec<_> = up.iter().filter_map(|number| fleet.phase(*number)).collect();
            let ready = phases.iter().filter(|phase| matches!(phase, Phase::Ready(_))).count();
            let starting = phases.iter().filter(|phase| matches!(phase, Phase::Starting(_))).count();
            (fewest, most) = (fewest.min(ready), most.max(ready + starting));
            up.iter().for_each(|number| fleet.is_ready(*number, now));
        }
        assert!(
            up.len() == 4 && up.iter().all(|number| !old.contains(number)),
            "all are of the new version: {up:?}"
        );
        (fewest, most)
    }

    #[test]
    fn a_version_takes_over_from_another_within_bounds() {
        assert_eq!(roll(""), (4, 5));
        assert_eq!(roll(r#", "max_surge": 3"#), (4, 7));
        assert_eq!(roll(r#", "max_surge": 0, "max_unavailable": 1"#), (3, 4));
        assert_eq!(roll(r#", "max_surge": 1, "max_unavailable": 2"#), (2, 5));
    }

    #[test]
    fn what_runs_stays_when_a_definition_comes_back() {
        let mut fleet = fleet(r#"{"command": ["one"]}"#);
        starts(&fleet.next(at(0))).iter().for_each(|number| fleet.is_ready(*number, at(0)));
        fleet.define(run(r#"{"command": ["two"]}"#), at(1));
        let [new] = starts(&fleet.next(at(1)))[..] else { panic!("one is started") };
        fleet.has_ended(new, at(2));
        fleet.define(run(r#"{"command": ["one"]}"#), at(3));
        assert_eq!(fleet.next(at(3)), []);
    }

    #[test]
    fn a_definition_that_starts_the_same_replaces_nothing() {
        let mut fleet = fleet(r#"{"command": ["x"], "instances": 2}"#);
        starts(&fleet.next(at(0))).iter().for_each(|number| fleet.is_ready(*number, at(0)));
        fleet.scale(5);
        fleet.define(run(r#"{"command": ["x"], "instances": 2, "drain": "1s"}"#), at(1));
        assert_eq!((fleet.wanted(), starts(&fleet.next(at(1))).len()), (5, 3), "what was scaled stays so");
        fleet.define(run(r#"{"command": ["x"], "instances": 1}"#), at(2));
        assert_eq!(fleet.wanted(), 1);
    }
}

//! The instances of one service's program: which are to be started and which to stop, decided without doing it.
//!
//! Whoever drives it does what [`Fleet::next`] says, and tells what came of it. It never blocks, and reads no clock.

use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::config::Run;

/// An instance, by a number that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start another one.
    Start(Number),
    /// Give it calls: it was warm.
    Take(Number),
    /// Give it no more calls.
    Leave(Number),
    /// Tell it to end.
    Terminate(Number),
    /// End it.
    Kill(Number),
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It could not take calls yet, since then.
    Starting(Instant),
    /// It could take calls since then, and gets none as long as others are enough.
    Warm(Instant),
    /// It could take calls since then, and gets them.
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
    /// It is to be replaced, whatever the definition says.
    is_spent: bool,
    phase: Phase,
}

/// How many instances are in which phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that cannot take calls yet.
    pub starting: u32,
    /// Those that could.
    pub warm: u32,
    /// Those that do.
    pub ready: u32,
    /// Those that take none any more, and have not ended.
    pub leaving: u32,
}

/// The instances of one service's program.
#[derive(Debug)]
pub struct Fleet {
    run: Arc<Run>,
    /// How many are to take calls.
    wanted: u32,
    /// In the order in which they were started.
    instances: Vec<Instance>,
    started: u64,
    /// How many in a row ended before they were of use.
    failures: u32,
    /// When the last one of them failed.
    failed_at: Instant,
    /// How many have ended by themselves or were not of use.
    failed: u64,
    /// When one may be started again.
    start_at: Instant,
}

/// How long it takes until one is started again after one has failed: the first time, and at most.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One that could take calls for so long was of use.
const OF_USE: Duration = Duration::from_secs(10);

impl Instance {
    /// Whether it is what the definition starts now.
    fn is_new(&self, run: &Run) -> bool {
        !self.is_spent && self.run.starts_same(run)
    }

    const fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting(_))
    }

    const fn is_warm(&self) -> bool {
        matches!(self.phase, Phase::Warm(_))
    }

    const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// Whether it takes calls or could soon.
    const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Starting(_) | Phase::Warm(_) | Phase::Ready(_))
    }

    /// Whether it could take calls since this time, or later.
    fn is_since(&self, time: Instant) -> bool {
        matches!(self.phase, Phase::Warm(since) | Phase::Ready(since) if since >= time)
    }

    fn was_of_use(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Warm(since) | Phase::Ready(since) if now.saturating_since(since) >= OF_USE)
    }
}

impl Fleet {
    /// Without instances.
    pub fn new(run: Run, now: Instant) -> Self {
        let wanted = run.first();
        let (run, instances) = (Arc::new(run), Vec::new());
        Self { run, wanted, instances, started: 0, failures: 0, failed_at: now, failed: 0, start_at: now }
    }

    /// Goes by another definition from now on. Instances of one that starts another program are replaced. Returns whether the definition says how many are to take calls, whatever there were.
    pub fn define(&mut self, run: Run, now: Instant) -> bool {
        if !self.run.starts_same(&run) {
            (self.failures, self.start_at) = (0, now);
        }
        let says_number =
            self.run.instances != run.instances || self.run.scale.is_some() && run.scale.is_none();
        if says_number {
            self.wanted = run.first();
        } else if self.run.scale != run.scale {
            self.wanted = run.scale.as_ref().map_or(self.wanted, |scale| scale.within(self.wanted));
        }
        self.run = Arc::new(run);
        says_number
    }

    /// Has so many take calls from now on.
    pub const fn scale(&mut self, wanted: u32) {
        self.wanted = wanted;
    }

    /// How many are to take calls.
    pub const fn wanted(&self) -> u32 {
        self.wanted
    }

    /// How many are to run besides. Where none is to take calls none waits for them.
    fn warm(&self) -> u32 {
        if self.wanted == 0 { 0 } else { self.run.warm }
    }

    /// How many of the newest version are to run.
    fn runs_max(&self) -> u32 {
        self.wanted.saturating_add(self.warm())
    }

    /// How many of all versions may take calls or be about to.
    fn up_max(&self) -> u32 {
        self.runs_max().saturating_add(self.run.max_surge)
    }

    /// How an instance is.
    pub fn phase(&self, number: Number) -> Option<Phase> {
        self.instances.iter().find(|it| it.number == number).map(|it| it.phase)
    }

    /// How many are in which phase.
    pub fn counts(&self) -> Counts {
        Counts {
            starting: self.count(Instance::is_starting),
            warm: self.count(Instance::is_warm),
            ready: self.count(Instance::is_ready),
            leaving: self.count(|it| !it.is_up()),
        }
    }

    /// How many ended in a row before they were of use.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How many in all have ended by themselves, did not begin in time, or took more than they may.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// An instance can take calls: it does if there are too few that do.
    pub fn is_ready(&mut self, number: Number, now: Instant) {
        let ready = self.count(|it| it.is_ready() && it.is_new(&self.run));
        let wanted = self.wanted;
        if let Some(instance) = self.instance(number)
            && instance.is_starting()
        {
            instance.phase = if ready < wanted { Phase::Ready(now) } else { Phase::Warm(now) };
        }
    }

    /// An instance has no calls any more.
    pub fn is_idle(&mut self, number: Number, now: Instant) {
        if let Some(instance) = self.instance(number)
            && matches!(instance.phase, Phase::Leaving(_))
        {
            instance.phase = Phase::Leaving(now);
        }
    }

    /// An instance takes more than it may: it is replaced, or if it cannot be borne so long, ended. Returns whether that is news.
    pub fn is_spent(&mut self, number: Number, is_borne: bool, now: Instant) -> bool {
        let Some(instance) = self.instance(number) else { return false };
        let is_waited_for = matches!(instance.phase, Phase::Leaving(until) if until > now);
        if !instance.is_up() {
            if is_waited_for && !is_borne {
                instance.phase = Phase::Leaving(now);
            }
            return is_waited_for && !is_borne;
        }
        let (was_spent, was_of_use) = (instance.is_spent, instance.was_of_use(now));
        instance.is_spent = true;
        if !is_borne {
            instance.phase = Phase::Leaving(now);
        }
        if !was_spent {
            self.fail(was_of_use, now);
        }
        !was_spent || !is_borne
    }

    /// An instance has ended, or could not be started.
    pub fn has_ended(&mut self, number: Number, now: Instant) {
        let Some(place) = self.instances.iter().position(|it| it.number == number) else { return };
        let instance = self.instances.remove(place);
        // What was to go, or was found to have failed already, is no failure.
        if instance.is_up() && !instance.is_spent {
            self.fail(instance.was_of_use(now), now);
        }
    }

    /// An instance could not be started, since its program need not be there: that is no failure.
    pub fn is_missing(&mut self, number: Number) {
        self.instances.retain(|it| it.number != number);
    }

    /// A row of failures is over once one of the newest version was of use that began after it.
    fn forgive(&mut self, now: Instant) {
        let is_over =
            |it: &Instance| it.was_of_use(now) && it.is_new(&self.run) && it.is_since(self.failed_at);
        if self.failures > 0 && self.instances.iter().any(is_over) {
            self.failures = 0;
        }
    }

    fn fail(&mut self, was_of_use: bool, now: Instant) {
        self.forgive(now);
        self.failed += 1;
        self.failed_at = now;
        self.failures = if was_of_use { 1 } else { self.failures.saturating_add(1) };
        self.start_at = now.saturating_add(self.backoff());
    }

    fn backoff(&self) -> Duration {
        BACKOFF.saturating_mul(1 << (self.failures.max(1) - 1).min(16)).min(BACKOFF_MAX)
    }

    fn instance(&mut self, number: Number) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|it| it.number == number)
    }

    fn count(&self, is: impl Fn(&Instance) -> bool) -> u32 {
        self.instances.iter().filter(|it| is(it)).count() as u32
    }

    /// What is to be done now.
    pub fn next(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.forgive(now);
        self.end_late(now, &mut actions);
        self.take_warm(&mut actions);
        self.leave_surplus(now, &mut actions);
        self.start_missing(now, &mut actions);
        actions
    }

    /// Ends those whose time is over.
    fn end_late(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Run { start_timeout, stop_timeout, .. } = *self.run;
        let mut late = 0;
        for instance in &mut self.instances {
            match instance.phase {
                Phase::Starting(since) if now.saturating_since(since) >= start_timeout => {
                    // It counts as one that has failed.
                    late += 1;
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
                | Phase::Warm(_)
                | Phase::Ready(_)
                | Phase::Leaving(_)
                | Phase::Ending(_)
                | Phase::Killed => {}
            }
        }
        if late > 0 {
            self.failed += late;
            self.failed_at = now;
            self.failures = self.failures.saturating_add(1);
            self.start_at = now.saturating_add(self.backoff());
        }
    }

    /// Gives calls to those that are warm while too few take them: those that have been it longest, of the newest version first. One of an earlier version only stands in for others of it.
    fn take_warm(&mut self, actions: &mut Vec<Action>) {
        let (run, wanted) = (Arc::clone(&self.run), self.wanted);
        loop {
            let (ready, new) =
                (self.count(Instance::is_ready), self.count(|it| it.is_ready() && it.is_new(&run)));
            let place = self.instances.iter().position(|it| it.is_warm() && it.is_new(&run) && new < wanted);
            let standing_in =
                || self.instances.iter().position(|it| it.is_warm() && !it.is_spent && ready < wanted);
            let Some(place) = place.or_else(standing_in) else { return };
            let instance = &mut self.instances[place];
            if let Phase::Warm(since) = instance.phase {
                instance.phase = Phase::Ready(since);
                actions.push(Action::Take(instance.number));
            }
        }
    }

    /// Lets those go that are too many, or are of an earlier version and not needed any more.
    fn leave_surplus(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(place) = self.surplus() {
            let drain = self.run.drain;
            let instance = &mut self.instances[place];
            // Those that have not begun to take calls are not missed.
            let until = if instance.is_ready() { now.saturating_add(drain) } else { now };
            instance.phase = Phase::Leaving(until);
            actions.push(Action::Leave(instance.number));
        }
    }

    /// One that may go.
    fn surplus(&self) -> Option<usize> {
        let (run, wanted) = (&*self.run, self.wanted);
        let newest = |is: &dyn Fn(&Instance) -> bool| self.instances.iter().rposition(is);
        let oldest = |is: &dyn Fn(&Instance) -> bool| self.instances.iter().position(is);
        let (new, new_ready) =
            (self.count(|it| it.is_up() && it.is_new(run)), self.count(|it| it.is_ready() && it.is_new(run)));
        // Those of an earlier version stand by until the newest one has shown that it works, unless they keep it from that.
        let is_proven = self.count(|it| (it.is_warm() || it.is_ready()) && it.is_new(run)) > 0;
        let has_no_room = new == 0 && self.count(Instance::is_up) >= self.up_max();
        let stands_by = |it: &Instance| !it.is_spent && wanted > 0 && !is_proven && !has_no_room;
        let old_idle = oldest(&|it| !it.is_new(run) && (it.is_starting() || it.is_warm() && !stands_by(it)));
        if old_idle.is_some() {
            return old_idle;
        }
        // The newest go: they have done the least.
        if new_ready > wanted {
            return newest(&|it| it.is_ready() && it.is_new(run));
        }
        if new > self.runs_max() {
            return newest(&|it| it.is_starting() && it.is_new(run))
                .or_else(|| newest(&|it| it.is_warm() && it.is_new(run)));
        }
        let may_be_missed = self.count(Instance::is_ready) > wanted.saturating_sub(run.max_unavailable);
        oldest(&|it| it.is_ready() && !it.is_new(run)).filter(|_| may_be_missed)
    }

    /// Starts those that are missing, as far as more may run.
    fn start_missing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if now < self.start_at {
            return;
        }
        let run = Arc::clone(&self.run);
        let (runs_max, up_max) = (self.runs_max(), self.up_max());
        loop {
            let (up, new) = (self.count(Instance::is_up), self.count(|it| it.is_up() && it.is_new(&run)));
            // After a failure one shows whether it is over.
            let is_trying = self.failures > 0
                && new > 0
                && self.count(|it| it.is_new(&run) && (it.is_ready() || it.is_warm())) == 0;
            if new >= runs_max || (up >= up_max && up > new) || is_trying {
                return;
            }
            self.started += 1;
            let number = Number(self.started);
            let phase = Phase::Starting(now);
            self.instances.push(Instance { number, run: Arc::clone(&run), is_spent: false, phase });
            actions.push(Action::Start(number));
        }
    }

    /// When something is to be done next, whatever happens.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let of = |instance: &Instance| match instance.phase {
            Phase::Starting(since) => Some(since.saturating_add(self.run.start_timeout)),
            Phase::Leaving(until) | Phase::Ending(until) => Some(until),
            Phase::Warm(_) | Phase::Ready(_) | Phase::Killed => None,
        };
        let new = self.count(|it| it.is_up() && it.is_new(&self.run));
        // What may be started now waits for something else.
        let is_missing = new < self.runs_max();
        let start = (is_missing && self.start_at > now).then_some(self.start_at);
        self.instances.iter().filter_map(of).chain(start).min()
    }
}

#[cfg(test)]
mod tests;

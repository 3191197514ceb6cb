//! Calls to a service by way of so many connections, which its callers take in turns.
//!
//! The service works on all calls that it has at once, each of which gets an even share of what it can do (processor sharing). It can do more with each call up to as many as it has cores for, and less with each one beyond, by
//! what they cost each other: locks, caches, memory.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead::{Asked, Bulkhead, Config, Permit, Ticket, Turn};
use mainstay_resilience::{Facts, Key};

use super::{Agenda, Random};

/// What is simulated. Times are in seconds from the beginning.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// Calls that come in each second, of each caller.
    pub(crate) rates_per_s: &'a [f64],
    /// How many calls the service works on before they are in each other's way.
    pub(crate) cores: f64,
    /// Which part of its work is lost with each call beyond.
    pub(crate) contention: f64,
    /// The median of the work of a call, alone, and how long its tail is.
    pub(crate) work: (Duration, f64),
    /// How long a call is of use to its caller.
    pub(crate) patience: Duration,
    /// How many connections there are, and how many calls wait for how long.
    pub(crate) connections: u32,
    pub(crate) queue: u32,
    pub(crate) max_wait: Duration,
    /// Whether callers take turns; else who comes first is first.
    pub(crate) is_fair: bool,
}

/// What came of it: for each caller, when calls came in, in seconds, and after how many milliseconds they had their answers in time; none if they had not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome(pub(crate) Vec<Vec<(f64, Option<f64>)>>);

enum Event {
    Arrival(usize),
    /// The call that is next to be done is, if nothing has changed since this was put down.
    Done(u64),
    /// A call at a place has waited for as long as it may.
    Late(usize, u64),
}

#[derive(Clone, Copy)]
struct Call {
    number: u64,
    caller: usize,
    begun: Instant,
}

/// What is worked on.
struct Working {
    call: Call,
    permit: Permit,
}

/// Runs it.
pub(crate) fn run(scenario: &Scenario<'_>) -> Outcome {
    let concurrent = NonZeroU32::new(scenario.connections).expect("there is a connection");
    let config = Config { concurrent, queue: scenario.queue, max_wait: scenario.max_wait };
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        agenda: Agenda::new(),
        bulkhead: Bulkhead::new(config),
        waiting: HashMap::new(),
        working: BTreeMap::new(),
        progress: 0.0,
        as_of: Instant::from_nanos(0),
        changes: 0,
        calls: 0,
        outcome: Outcome(vec![Vec::new(); scenario.rates_per_s.len()]),
    };
    for caller in 0..scenario.rates_per_s.len() {
        run.agenda.after(Duration::ZERO, Event::Arrival(caller));
    }
    let end = Instant::from_nanos(0).saturating_add(scenario.length);
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival(caller) => run.arrival(caller),
            Event::Done(changes) if changes == run.changes => run.done(),
            Event::Done(_) => {}
            Event::Late(place, number) => run.late(place, number),
        }
    }
    run.outcome
}

impl Outcome {
    /// What came in from one second to another, of all callers.
    pub(crate) fn all(&self, from: f64, to: f64) -> Vec<Option<f64>> {
        (0..self.0.len()).flat_map(|caller| self.of(caller, from, to)).collect()
    }

    /// The same of one caller.
    pub(crate) fn of(&self, caller: usize, from: f64, to: f64) -> Vec<Option<f64>> {
        let within = self.0[caller].iter().filter(|(begun, _)| (from..to).contains(begun));
        within.map(|(_, took)| *took).collect()
    }
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    random: Random,
    agenda: Agenda<Event>,
    bulkhead: Bulkhead,
    /// By their places.
    waiting: HashMap<usize, (Call, Ticket)>,
    /// By what each call will have got when it is done, in nanoseconds of work.
    working: BTreeMap<(u64, u64), Working>,
    /// How much each call that is worked on has got since the beginning, in nanoseconds, as of a moment.
    progress: f64,
    as_of: Instant,
    changes: u64,
    calls: u64,
    outcome: Outcome,
}

fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

impl Run<'_, '_> {
    /// How much each call gets of a core.
    fn share(&self) -> f64 {
        let running = self.working.len() as f64;
        let beyond = (running - self.scenario.cores).max(0.0);
        let all = running.min(self.scenario.cores) / (1.0 + self.scenario.contention * beyond);
        all / running.max(1.0)
    }

    /// Goes on to now with what is worked on.
    fn work(&mut self) {
        let now = self.agenda.now();
        self.progress += now.saturating_since(self.as_of).as_nanos() as f64 * self.share();
        self.as_of = now;
    }

    /// Puts down when the next call is done, as long as nothing changes.
    fn expect_next(&mut self) {
        self.changes += 1;
        if let Some(((until, _), _)) = self.working.first_key_value() {
            let left = (*until as f64 - self.progress).max(0.0) / self.share();
            // A nanosecond later than it is, so that it is done then.
            self.agenda.after(Duration::from_nanos(left as u64 + 1), Event::Done(self.changes));
        }
    }

    fn arrival(&mut self, caller: usize) {
        let rate = self.scenario.rates_per_s[caller];
        let wait = self.random.exponential(Duration::from_nanos((1e9 / rate) as u64));
        self.agenda.after(wait, Event::Arrival(caller));
        let now = self.agenda.now();
        self.calls += 1;
        let call = Call { number: self.calls, caller, begun: now };
        let of = if self.scenario.is_fair { caller as u8 } else { 0 };
        let facts = Facts {
            key: Key::of(0, &[of]),
            deadline: Some(now.saturating_add(self.scenario.patience)),
            ..Facts::new(now)
        };
        match self.bulkhead.ask(&facts) {
            Ok(Asked::Passed(permit)) => self.begin(call, permit),
            Ok(Asked::Waits { ticket, until, displaced }) => {
                let place = ticket.place().index();
                if let Some(displaced) = displaced {
                    self.look(displaced.index());
                }
                self.waiting.insert(place, (call, ticket));
                self.agenda.after(until.saturating_since(now), Event::Late(place, call.number));
            }
            Err(_) => self.ended(call, false),
        }
    }

    fn begin(&mut self, call: Call, permit: Permit) {
        self.work();
        let (median, sigma) = self.scenario.work;
        let work = self.random.lognormal(median, sigma).as_nanos() as f64;
        self.working.insert(((self.progress + work) as u64, call.number), Working { call, permit });
        self.expect_next();
    }

    fn done(&mut self) {
        self.work();
        let Some((_, Working { call, permit })) = self.working.pop_first() else { return };
        self.ended(call, true);
        let next = self.bulkhead.release(permit, self.agenda.now());
        if let Some(place) = next {
            self.look(place.index());
        }
        self.expect_next();
    }

    fn late(&mut self, place: usize, number: u64) {
        if self.waiting.get(&place).is_some_and(|(call, _)| call.number == number) {
            self.look(place);
        }
    }

    /// How it stands with one that waits.
    fn look(&mut self, place: usize) {
        let Some((call, ticket)) = self.waiting.remove(&place) else { return };
        match self.bulkhead.look(ticket, self.agenda.now()) {
            Turn::Passed(permit) => self.begin(call, permit),
            Turn::Waits(ticket) => drop(self.waiting.insert(place, (call, ticket))),
            Turn::Rejected(_) => self.ended(call, false),
        }
    }

    fn ended(&mut self, call: Call, is_answered: bool) {
        let took = self.agenda.now().saturating_since(call.begun);
        let in_time = is_answered && took <= self.scenario.patience;
        let took = in_time.then(|| took.as_std().as_secs_f64() * 1e3);
        self.outcome.0[call.caller].push((seconds(call.begun), took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(connections: u32) -> Scenario<'static> {
        Scenario {
            seed: 1,
            length: Duration::from_secs(1_000),
            rates_per_s: &[50.0],
            cores: 1.0,
            contention: 0.0,
            work: (Duration::from_millis(10), 0.0),
            patience: Duration::from_secs(10),
            connections,
            queue: 10_000,
            max_wait: Duration::from_secs(10),
            is_fair: true,
        }
    }

    #[test]
    fn calls_are_kept_waiting_as_theory_has_it() {
        let mean = |connections| {
            let all = run(&scenario(connections)).all(10.0, 990.0);
            all.iter().flatten().sum::<f64>() / all.len() as f64
        };
        // M/D/1, one after the other: 10 ms, and half of that at a utilisation of a half.
        assert!((14.5..15.5).contains(&mean(1)), "{}", mean(1));
        // M/G/1 with processor sharing: 1 / (100/s - 50/s).
        assert!((18.5..21.5).contains(&mean(10_000)), "{}", mean(10_000));
    }

    #[test]
    fn what_finds_no_room_or_is_late_has_no_answer_in_time() {
        let answered = |wait_ms| {
            let (max_wait, patience) = (Duration::from_millis(wait_ms), Duration::from_millis(100));
            let overrun = Scenario { rates_per_s: &[200.0], max_wait, patience, ..scenario(1) };
            let all = run(&overrun).all(10.0, 990.0);
            assert!(all.iter().flatten().all(|took| *took <= 100.0));
            all.iter().flatten().count() as f64 / all.len() as f64
        };
        // Twice as much comes as can be done.
        assert!((0.49..0.51).contains(&answered(80)), "{}", answered(80));
        assert!(answered(100) < 0.2, "what waits until the end is done in vain");
    }
}

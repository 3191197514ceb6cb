//! A process that has so many places for requests in all, and calls a service from behind a bulkhead; some of its requests need that service, others do not.
//!
//! A request holds its place while it waits in the bulkhead and while its call runs. When the service hangs, what it holds is missing to the others.

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead::{Asked, Bulkhead, Config, Permit, Ticket, Turn};
use mainstay_resilience::{Facts, Key};
use slab::Slab;

use super::{Agenda, Random};

/// What is simulated. Times are in seconds from the beginning.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// Requests each second, by their callers, all of which need the service. A caller that has none at a time has none from then on.
    pub(crate) rates_per_s: [&'a dyn Fn(f64) -> f64; 2],
    /// Requests each second that do not need it.
    pub(crate) others_per_s: f64,
    /// How many requests the process has at a time.
    pub(crate) places: u32,
    /// How long a call takes: a median, by when it begins.
    pub(crate) takes: &'a dyn Fn(f64) -> Duration,
    /// How long a call is waited for, with its wait in the bulkhead.
    pub(crate) timeout: Duration,
}

/// What came of it, of each caller and of the others: requests, and those that came to a good end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) offered: [u32; 3],
    pub(crate) good: [u32; 3],
    /// How long requests waited in the bulkhead that did so in vain, in milliseconds, and how many there were.
    in_vain: (f64, u32),
}

impl Outcome {
    /// The share that did not come to a good end.
    pub(crate) fn lost(&self, who: usize) -> f64 {
        1.0 - f64::from(self.good[who]) / f64::from(self.offered[who].max(1))
    }

    /// How long those waited on average that waited and came to no good end.
    pub(crate) fn in_vain_ms(&self) -> f64 {
        self.in_vain.0 / f64::from(self.in_vain.1.max(1))
    }
}

/// The place of those that do not need the service.
pub(crate) const OTHERS: usize = 2;

/// How long one works that does not need it.
const OTHERS_WORK: Duration = Duration::from_millis(5);

/// How long the tail of calls is.
const SIGMA: f64 = 0.3;

enum Event {
    Arrival(usize),
    OtherDone,
    /// One that waits looks whether it still may.
    Look(usize, Instant),
    Done(usize),
}

struct Request {
    who: usize,
    begun: Instant,
    /// When its call began to run.
    ran: Option<Instant>,
    stage: Stage,
}

enum Stage {
    Waits(Ticket),
    Runs(Permit),
}

/// Runs it. What is still on its way at the end counts for nothing.
pub(crate) fn run(scenario: &Scenario<'_>, config: Config) -> Outcome {
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        agenda: Agenda::new(),
        bulkhead: Bulkhead::new(config),
        requests: Slab::new(),
        waiting: Vec::new(),
        used: 0,
        outcome: Outcome::default(),
    };
    (0..3).for_each(|who| run.agenda.after(Duration::ZERO, Event::Arrival(who)));
    let end = Instant::from_nanos(0).checked_add(scenario.length).expect("it ends");
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival(who) => run.arrival(who),
            Event::OtherDone => {
                run.used -= 1;
                run.outcome.good[OTHERS] += 1;
            }
            Event::Look(request, begun) => run.look(request, begun),
            Event::Done(request) => run.done(request),
        }
    }
    run.outcome
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    random: Random,
    agenda: Agenda<Event>,
    bulkhead: Bulkhead,
    requests: Slab<Request>,
    /// The request that waits at each place of the bulkhead.
    waiting: Vec<usize>,
    used: u32,
    outcome: Outcome,
}

impl Run<'_, '_> {
    fn seconds(&self) -> f64 {
        self.agenda.now().as_nanos() as f64 / 1e9
    }

    fn arrival(&mut self, who: usize) {
        let now = self.agenda.now();
        let rate = self
            .scenario
            .rates_per_s
            .get(who)
            .map_or(self.scenario.others_per_s, |rate| rate(self.seconds()));
        if rate <= 0.0 {
            return;
        }
        let mean = Duration::from_nanos((1e9 / rate) as u64);
        self.agenda.after(self.random.exponential(mean), Event::Arrival(who));
        self.outcome.offered[who] += 1;
        if self.used >= self.scenario.places {
            return;
        }
        if who == OTHERS {
            self.used += 1;
            return self.agenda.after(OTHERS_WORK, Event::OtherDone);
        }
        let deadline = now.checked_add(self.scenario.timeout);
        let facts = Facts { key: Key::of(0, &[who as u8]), deadline, ..Facts::new(now) };
        match self.bulkhead.ask(&facts) {
            Err(_) => {}
            Ok(Asked::Passed(permit)) => {
                self.used += 1;
                let request =
                    self.requests.insert(Request { who, begun: now, ran: None, stage: Stage::Runs(permit) });
                self.begin(request);
            }
            Ok(Asked::Waits { ticket, until, displaced }) => {
                self.used += 1;
                let place = ticket.place().index();
                let request =
                    self.requests.insert(Request { who, begun: now, ran: None, stage: Stage::Waits(ticket) });
                if self.waiting.len() <= place {
                    self.waiting.resize(place + 1, 0);
                }
                self.waiting[place] = request;
                self.agenda.after(until.saturating_since(now), Event::Look(request, now));
                if let Some(displaced) = displaced {
                    self.turn(self.waiting[displaced.index()]);
                }
            }
        }
    }

    /// A call begins to run.
    fn begin(&mut self, request: usize) {
        let now = self.agenda.now();
        self.requests[request].ran = Some(now);
        let rest = self
            .scenario
            .timeout
            .as_std()
            .saturating_sub(now.saturating_since(self.requests[request].begun).as_std());
        let work = self.random.lognormal((self.scenario.takes)(self.seconds()), SIGMA);
        self.agenda.after(work.min(rest.into()), Event::Done(request));
    }

    fn look(&mut self, request: usize, begun: Instant) {
        let is_waiting = |it: &Request| it.begun == begun && matches!(it.stage, Stage::Waits(_));
        if self.requests.get(request).is_some_and(is_waiting) {
            self.turn(request);
        }
    }

    /// One that waits learns how it stands with it.
    fn turn(&mut self, request: usize) {
        let now = self.agenda.now();
        let Request { who, begun, ran, stage } = self.requests.remove(request);
        let Stage::Waits(ticket) = stage else { unreachable!("only those that wait have turns") };
        let turn = self.bulkhead.look(ticket, now);
        let stage = match turn {
            Turn::Waits(ticket) => Stage::Waits(ticket),
            Turn::Passed(permit) => Stage::Runs(permit),
            Turn::Rejected(_) => {
                self.used -= 1;
                self.waited_in_vain(begun, now);
                return;
            }
        };
        let runs = matches!(stage, Stage::Runs(_));
        // It gets the place in the slab that it has just left.
        let same = self.requests.insert(Request { who, begun, ran, stage });
        assert_eq!(same, request, "a slab gives the place that was left last");
        if runs {
            self.begin(request);
        }
    }

    fn waited_in_vain(&mut self, from: Instant, to: Instant) {
        let waited_ms = to.saturating_since(from).as_std().as_secs_f64() * 1e3;
        let (sum_ms, count) = self.outcome.in_vain;
        self.outcome.in_vain = (sum_ms + waited_ms, count + 1);
    }

    fn done(&mut self, request: usize) {
        let now = self.agenda.now();
        let Request { who, begun, ran, stage } = self.requests.remove(request);
        let Stage::Runs(permit) = stage else { unreachable!("only those that run end") };
        self.used -= 1;
        if now.saturating_since(begun) < self.scenario.timeout {
            self.outcome.good[who] += 1;
        } else if let Some(ran) = ran.filter(|ran| *ran > begun) {
            self.waited_in_vain(begun, ran);
        }
        if let Some(next) = self.bulkhead.release(permit, now) {
            self.turn(self.waiting[next.index()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn simulate(takes_ms: u64, rates_per_s: [&dyn Fn(f64) -> f64; 2], concurrent: u32) -> Outcome {
        let scenario = Scenario {
            seed: 1,
            length: Duration::from_secs(5),
            rates_per_s,
            others_per_s: 100.0,
            places: 40,
            takes: &|_| Duration::from_millis(takes_ms),
            timeout: Duration::from_secs(1),
        };
        let concurrent = NonZeroU32::new(concurrent).expect("it is above zero");
        run(&scenario, Config { concurrent, queue: 8, max_wait: Duration::from_millis(50) })
    }

    #[test]
    fn all_is_done_by_a_service_that_is_well() {
        let outcome = simulate(20, [&|_| 200.0, &|_| 100.0], 20);
        assert!((0..3).all(|who| outcome.offered[who] > 400 && outcome.lost(who) < 0.02), "{outcome:?}");
        assert_eq!(outcome.in_vain_ms(), 0.0);
    }

    #[test]
    fn a_service_that_hangs_takes_all_places_that_the_bulkhead_leaves_it() {
        let hung = |concurrent| simulate(100_000, [&|_| 200.0, &|_| 0.0], concurrent);
        let (narrow, wide) = (hung(20), hung(40));
        assert!(narrow.lost(OTHERS) < 0.02 && wide.lost(OTHERS) > 0.5, "{narrow:?} {wide:?}");
        assert!(narrow.lost(0) == 1.0 && (45.0..=50.0).contains(&narrow.in_vain_ms()), "{narrow:?}");
    }

    #[test]
    fn a_caller_has_its_turns_beside_one_that_floods() {
        let outcome = simulate(20, [&|_| 3_000.0, &|_| 100.0], 20);
        assert!(outcome.lost(1) < 0.05 && outcome.lost(0) > 0.5, "{outcome:?}");
    }
}

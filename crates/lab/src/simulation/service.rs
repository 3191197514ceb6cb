//! Clients of one service, which send again what failed, and a service with a queue, which may turn calls away.
//!
//! A service does not know that whoever asked has gone away, unless it is told until when an answer is of use: it works on what nobody waits for any more. That
//! is what retries do harm by.

use mainstay_base::error::Retry;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::retry::{self, Budget, Tries};
use mainstay_resilience::{Criticality, Facts, Verdict};
use slab::Slab;

use super::{Agenda, Offered, Random, Server};

/// What is simulated. Times are in seconds from the beginning.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// Operations that come in each second, whatever becomes of them.
    pub(crate) rate_per_s: &'a dyn Fn(f64) -> f64,
    /// How many of them come in at the same moment.
    pub(crate) at_once: u32,
    /// Of each class, their share; they add up to 1.
    pub(crate) classes: [f64; 4],
    /// How many calls the service works on at a time.
    pub(crate) workers: &'a dyn Fn(f64) -> usize,
    /// How many wait at most.
    pub(crate) queue_max: usize,
    /// The median of the time that a call is worked on, and how long its tail is.
    pub(crate) work: (Duration, f64),
    /// So many times as long as that it takes.
    pub(crate) slowness: &'a dyn Fn(f64) -> f64,
    /// The share of calls that fail when they are done.
    pub(crate) failures: &'a dyn Fn(f64) -> f64,
    /// How long a client waits for an answer to a try.
    pub(crate) timeout: Duration,
    /// Whether the service does not begin what nobody will wait for when it is done.
    pub(crate) knows_deadlines: bool,
}

/// What clients do about calls that fail. All of them share one budget.
pub(crate) struct Clients {
    /// How they are tried again; never, if it is not said.
    pub(crate) retry: Option<retry::Config>,
    /// How many more tries there may be; any number, if it is not said.
    pub(crate) budget: Option<Budget>,
}

impl Clients {
    /// Send each call once.
    pub(crate) const fn once() -> Self {
        Self { retry: None, budget: None }
    }

    /// Try again, within the configuration's budget or without one.
    pub(crate) fn retrying(config: retry::Config, has_budget: bool) -> Self {
        Self { retry: Some(config), budget: has_budget.then(|| Budget::new(config.budget)) }
    }

    fn sent(&mut self, now: Instant, number: u32) {
        if let Some(budget) = self.budget.as_mut().filter(|_| number == 1) {
            budget.first(now);
        }
    }

    /// After which time a call is sent again that has failed so, if it is.
    fn again(&mut self, tries: &mut Tries, why: Retry, now: Instant, random: &Random) -> Option<Duration> {
        let facts = Facts { is_idempotent: true, ..Facts::new(now) };
        let verdict = (Verdict::Failure(why), &facts);
        let retry::Next::Again { at } = tries.tell(self.retry.as_ref()?, verdict, now, random.entropy())
        else {
            return None;
        };
        let has_leave = match &mut self.budget {
            None => true,
            Some(budget) => budget.ask(now).is_some(),
        };
        has_leave.then(|| at.saturating_since(now))
    }
}

/// What a service does about the calls that come in. By default it takes all that its queue has room for.
pub(crate) trait Admission {
    /// Whether a call of this class is taken. Errors: what the client is told about coming again.
    fn takes(&mut self, _now: Instant, _of: &Try, _random: &Random) -> Result<(), Retry> {
        Ok(())
    }

    /// A call is begun that has waited so long.
    fn begun(&mut self, _now: Instant, _waited: Duration) {}

    /// A call that was taken has ended: whether it was of use.
    fn ended(&mut self, _now: Instant, _of: &Try, _is_ok: bool) {}

    /// The client waits no longer for a call that was taken.
    fn timed_out(&mut self, _now: Instant, _of: &Try) {}
}

/// Takes whatever there is room for.
pub(crate) struct Everything;

impl Admission for Everything {}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Of each second.
    pub(crate) seconds: Vec<Second>,
    /// How long operations took that came to a good end, in milliseconds, in the order of their ends, and when that was.
    pub(crate) took: Vec<(Instant, f64)>,
    /// How long those took that came to none, until their client gave up, in milliseconds.
    pub(crate) gave_up: Vec<f64>,
    /// Tries that the service was sent, of each ten milliseconds.
    pub(crate) slots: Vec<u32>,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Second {
    /// Operations that came in.
    pub(crate) offered: u32,
    /// Tries that the service was sent.
    pub(crate) tries: u32,
    /// Operations that came to a good end, of each class.
    pub(crate) good: [u32; 4],
    /// Operations that came in, of each class.
    pub(crate) offered_by: [u32; 4],
    /// Calls that the service turned away.
    pub(crate) rejected: u32,
    /// Calls that were worked on though nobody waited for them.
    pub(crate) in_vain: u32,
}

/// One operation, until it has an answer or is given up.
struct Operation {
    begun: Instant,
    class: Criticality,
    attempt: u32,
    tries: Tries,
    /// A bit for each try that is on its way, by its number.
    running: u64,
}

/// One try of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    operation: usize,
    /// When the operation begun, which tells it from others that had its place before.
    begun: Instant,
    pub(crate) class: Criticality,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// Which one of the operation it is, from 1.
    number: u32,
    /// Which one it is of all, from 1.
    pub(crate) serial: u64,
}

#[derive(Clone, Copy)]
enum Event {
    Arrival,
    Send(usize, Instant),
    Done(Try),
    TimedOut(Try),
    /// The number of workers may have changed.
    Look,
}

/// How often it is looked how many workers there are.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a scenario from its beginning to its end.
pub(crate) fn run(scenario: &Scenario<'_>, clients: &mut Clients, admission: &mut dyn Admission) -> Outcome {
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        agenda: Agenda::new(),
        server: Server::new((scenario.workers)(0.0), scenario.queue_max),
        operations: Slab::new(),
        tries: 0,
        outcome: Outcome::default(),
        clients,
        admission,
    };
    run.agenda.after(Duration::ZERO, Event::Arrival);
    run.agenda.after(LOOK, Event::Look);
    let end = Instant::from_nanos(0).checked_add(scenario.length).expect("it ends");
    while let Some(event) = run.agenda.next_before(end) {
        run.on(event);
    }
    run.outcome
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    random: Random,
    agenda: Agenda<Event>,
    server: Server<Try>,
    operations: Slab<Operation>,
    /// How many there were.
    tries: u64,
    outcome: Outcome,
    clients: &'a mut Clients,
    admission: &'a mut dyn Admission,
}

impl Run<'_, '_> {
    fn on(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrival(),
            Event::Send(operation, begun) => self.send(operation, begun),
            Event::Done(of) => self.done(of),
            Event::TimedOut(of) => {
                self.admission.timed_out(self.agenda.now(), &of);
                self.failed(of, Retry::WithIdempotencyKey);
            }
            Event::Look => {
                self.server.set_workers((self.scenario.workers)(self.seconds()));
                while let Some((since, next)) = self.server.begin() {
                    self.begin(next, since);
                }
                self.agenda.after(LOOK, Event::Look);
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.agenda.now().as_nanos() as f64 / 1e9
    }

    fn second(&mut self) -> &mut Second {
        let number = (self.agenda.now().as_nanos() / 1_000_000_000) as usize;
        if self.outcome.seconds.len() <= number {
            self.outcome.seconds.resize(number + 1, Second::default());
        }
        &mut self.outcome.seconds[number]
    }

    fn arrival(&mut self) {
        let at_once = self.scenario.at_once;
        let rate = (self.scenario.rate_per_s)(self.seconds()).max(1e-3) / f64::from(at_once);
        let wait = self.random.exponential(Duration::from_nanos((1e9 / rate) as u64));
        self.agenda.after(wait, Event::Arrival);
        (0..at_once).for_each(|_| self.operation());
    }

    fn operation(&mut self) {
        let class = self.class();
        let begun = self.agenda.now();
        let operation = self.operations.insert(Operation {
            begun,
            class,
            attempt: 0,
            tries: Tries::new(begun),
            running: 0,
        });
        let second = self.second();
        second.offered += 1;
        second.offered_by[class as usize] += 1;
        self.send(operation, begun);
    }

    fn class(&self) -> Criticality {
        let mut rest = self.random.unit();
        for (class, share) in Criticality::ALL.into_iter().zip(self.scenario.classes) {
            rest -= share;
            if rest < 0.0 {
                return class;
            }
        }
        Criticality::default()
    }

    fn is_waiting(&self, operation: usize, begun: Instant) -> bool {
        self.operations.get(operation).is_some_and(|it| it.begun == begun)
    }

    fn send(&mut self, operation: usize, begun: Instant) {
        if !self.is_waiting(operation, begun) {
            return;
        }
        let now = self.agenda.now();
        let it = &mut self.operations[operation];
        it.attempt += 1;
        it.running |= bit(it.attempt);
        self.tries += 1;
        let of = Try { operation, begun, class: it.class, sent: now, number: it.attempt, serial: self.tries };
        self.clients.sent(now, of.number);
        self.second().tries += 1;
        self.note_slot();
        if let Err(why) = self.admission.takes(now, &of, &self.random) {
            return self.rejected(of, why);
        }
        match self.server.offer(now, of) {
            Offered::Begun(of) => self.begin(of, now),
            Offered::Queued => {}
            Offered::Full(of) => {
                self.admission.ended(now, &of, false);
                return self.rejected(of, Retry::Safe);
            }
        }
        self.agenda.after(self.scenario.timeout, Event::TimedOut(of));
    }

    fn note_slot(&mut self) {
        let number = (self.agenda.now().as_nanos() / 10_000_000) as usize;
        if self.outcome.slots.len() <= number {
            self.outcome.slots.resize(number + 1, 0);
        }
        self.outcome.slots[number] += 1;
    }

    fn rejected(&mut self, of: Try, why: Retry) {
        self.second().rejected += 1;
        self.failed(of, why);
    }

    fn begin(&mut self, of: Try, since: Instant) {
        let now = self.agenda.now();
        self.admission.begun(now, now.saturating_since(since));
        let (median, sigma) = self.scenario.work;
        let usual_end = now.checked_add(median.as_std() * 2).unwrap_or(now);
        let is_too_late = usual_end.saturating_since(of.sent) >= self.scenario.timeout;
        let work = if is_too_late && self.scenario.knows_deadlines {
            Duration::ZERO
        } else {
            let slowness = (self.scenario.slowness)(self.seconds());
            self.random.lognormal(median.as_std().mul_f64(slowness).into(), sigma)
        };
        self.agenda.after(work, Event::Done(of));
    }

    /// The service has done its work for a try, and begins the next.
    fn done(&mut self, of: Try) {
        let now = self.agenda.now();
        let took = now.saturating_since(of.sent);
        let is_waited_for = took < self.scenario.timeout && self.is_waiting(of.operation, of.begun);
        let has_failed = self.random.chance((self.scenario.failures)(self.seconds()));
        self.admission.ended(now, &of, is_waited_for && !has_failed);
        if let Some((since, next)) = self.server.finish() {
            self.begin(next, since);
        }
        if !is_waited_for {
            self.second().in_vain += 1;
        } else if has_failed {
            self.failed(of, Retry::Safe);
        } else {
            self.operations.remove(of.operation);
            self.outcome.took.push((now, now.saturating_since(of.begun).as_std().as_secs_f64() * 1e3));
            self.second().good[of.class as usize] += 1;
        }
    }

    /// A try has failed, was turned away, or is waited for no longer.
    fn failed(&mut self, of: Try, why: Retry) {
        let now = self.agenda.now();
        let Some(it) = self.operations.get_mut(of.operation).filter(|it| it.begun == of.begun) else {
            return;
        };
        if it.running & bit(of.number) == 0 {
            // It has failed before, in another way.
            return;
        }
        it.running &= !bit(of.number);
        if it.running != 0 {
            return;
        }
        match self.clients.again(&mut it.tries, why, now, &self.random) {
            Some(wait) => self.agenda.after(wait, Event::Send(of.operation, of.begun)),
            None => {
                self.operations.remove(of.operation);
                self.outcome.gave_up.push(now.saturating_since(of.begun).as_std().as_secs_f64() * 1e3);
            }
        }
    }
}

/// That of a try. Clients that send more than 64 are none of ours.
const fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

impl Outcome {
    /// What happened from one second to another.
    pub(crate) fn between(&self, from: usize, to: usize) -> Second {
        self.seconds[from.min(self.seconds.len())..to.min(self.seconds.len())].iter().fold(
            Second::default(),
            |sum, second| {
                let add =
                    |one: [u32; 4], other: [u32; 4]| std::array::from_fn(|class| one[class] + other[class]);
                Second {
                    offered: sum.offered + second.offered,
                    tries: sum.tries + second.tries,
                    good: add(sum.good, second.good),
                    offered_by: add(sum.offered_by, second.offered_by),
                    rejected: sum.rejected + second.rejected,
                    in_vain: sum.in_vain + second.in_vain,
                }
            },
        )
    }
}

impl Second {
    /// Operations that came to a good end.
    pub(crate) fn good(&self) -> u32 {
        self.good.iter().sum()
    }

    /// Their share of what was offered.
    pub(crate) fn good_ratio(&self) -> f64 {
        f64::from(self.good()) / f64::from(self.offered.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: Scenario<'static> = Scenario {
        seed: 1,
        length: Duration::from_secs(20),
        rate_per_s: &|_| 100.0,
        at_once: 1,
        classes: [0.0, 0.0, 1.0, 0.0],
        workers: &|_| 4,
        queue_max: 1_000,
        work: (Duration::from_millis(10), 0.1),
        slowness: &|_| 1.0,
        failures: &|_| 0.0,
        timeout: Duration::from_millis(500),
        knows_deadlines: false,
    };

    #[test]
    fn below_its_capacity_all_is_done_and_the_same_seed_does_the_same() {
        let outcome = run(&STEADY, &mut Clients::once(), &mut Everything);
        let sum = outcome.between(0, 19);
        assert!((1_700..2_100).contains(&sum.offered) && sum.tries == sum.offered, "{sum:?}");
        assert!(sum.good_ratio() > 0.99 && sum.in_vain == 0, "{sum:?}");
        assert_eq!(outcome.seconds, run(&STEADY, &mut Clients::once(), &mut Everything).seconds);
    }

    #[test]
    fn failures_are_tried_again_as_often_as_the_client_says() {
        let scenario = Scenario { failures: &|_| 1.0, ..STEADY };
        let wait = Duration::from_millis(50);
        let attempts = 3.try_into().expect("it is above zero");
        let config = retry::Config { attempts, base: wait, cap: wait, ..retry::Config::default() };
        let mut clients = Clients::retrying(config, false);
        let sum = run(&scenario, &mut clients, &mut Everything).between(0, 18);
        assert!(sum.good() == 0 && (2.95..3.05).contains(&(f64::from(sum.tries) / f64::from(sum.offered))));
    }

    #[test]
    fn above_its_capacity_a_service_works_for_nobody_unless_it_knows_deadlines() {
        let overload = Scenario { rate_per_s: &|_| 800.0, ..STEADY };
        let sum = run(&overload, &mut Clients::once(), &mut Everything).between(10, 19);
        assert!(sum.good_ratio() < 0.05 && sum.in_vain > 3_000, "{sum:?}");
        let knowing = Scenario { knows_deadlines: true, ..overload };
        let sum = run(&knowing, &mut Clients::once(), &mut Everything).between(10, 19);
        assert!(sum.good_ratio() > 0.4, "{sum:?}");
    }

    #[test]
    fn slowness_operations_at_once_and_those_that_give_up_are_counted() {
        let length = Duration::from_secs(10);
        let slower = Scenario { slowness: &|_| 10.0, at_once: 30, length, ..STEADY };
        let outcome = run(&slower, &mut Clients::once(), &mut Everything);
        let sum = outcome.between(0, 10);
        assert!(outcome.slots.iter().any(|slot| *slot >= 30) && sum.offered.is_multiple_of(30), "{sum:?}");
        assert!(outcome.gave_up.iter().all(|ms| *ms == 500.0), "nobody waits for longer");
        assert!(outcome.gave_up.len() > 300, "four workers do 40 in a second: {sum:?}");
        let least_ms = outcome.took.iter().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min);
        assert!(least_ms > 50.0, "{least_ms}");
    }
}

//! Three services in a row, each of whose workers is held while it waits for the one behind it; and a route that needs only the first.
//!
//! When the last one stalls, workers pile up behind it, service by service, until the first has none left for what does not need the last at all. The policies stand
//! where the first calls the second, and the second the third.

use mainstay_base::error::Retry;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Verdict;
use mainstay_resilience::breaker::{self, Breaker, Permit};
use slab::Slab;

use super::{Agenda, Offered, Random, Server};

/// The services: the first takes everything, the last is what stalls.
const TIERS: usize = 3;

/// What is simulated.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// Requests each second that need only the first service, and that need all three.
    pub(crate) rates_per_s: [f64; 2],
    /// Of each service.
    pub(crate) workers: [usize; TIERS],
    pub(crate) queue_max: usize,
    /// How long each service works on a request.
    pub(crate) work: Duration,
    /// From when until when the last one takes `stalled` instead.
    pub(crate) stall: (Instant, Instant),
    pub(crate) stalled: Duration,
    /// How long clients wait.
    pub(crate) patience: Duration,
    /// Within which time an answer is a good one.
    pub(crate) good_within: Duration,
    pub(crate) policies: Policies,
}

/// What guards the calls between services.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policies {
    /// Whether services are told until when an answer is of use, and give up then.
    pub(crate) has_deadlines: bool,
    /// How many calls a service has on their way to the next at a time.
    pub(crate) bulkhead: Option<usize>,
    /// A breaker before each call.
    pub(crate) breaker: Option<breaker::Config>,
    /// Whether a service tells that a policy of its own has turned a call away, so that it is not taken for a failure of that service.
    pub(crate) tells_rejections: bool,
}

/// What happened in a second, by route: those that need only the first service, and those that need all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) offered: [u32; 2],
    pub(crate) good: [u32; 2],
}

struct Request {
    begun: Instant,
    /// 0: needs only the first service, 1: all.
    route: usize,
    /// In which service it is.
    tier: usize,
    /// Whether it has a worker there; otherwise it waits for one.
    is_at_work: bool,
    /// For its calls to the second and the third service.
    permits: [Option<Permit>; TIERS],
    /// When it called them.
    called: [Option<Instant>; TIERS],
}

/// How a request ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    /// A policy did not let it through to the next service.
    Rejected,
    /// The queue before the service where it is was full.
    Full,
    /// Nobody waits for it any more.
    Due,
}

enum Event {
    Arrival(usize),
    /// It has been worked on in the service where it is.
    Worked(usize, Instant),
    /// Clients wait no longer.
    Due(usize, Instant),
}

/// Runs it. Returns what happened in each second.
pub(crate) fn run(scenario: &Scenario) -> Vec<Second> {
    let guard = |_| Guard { running: 0, breaker: scenario.policies.breaker.map(Breaker::new) };
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        agenda: Agenda::new(),
        servers: scenario.workers.map(|workers| Server::new(workers, scenario.queue_max)),
        guards: std::array::from_fn(guard),
        requests: Slab::new(),
        seconds: Vec::new(),
    };
    (0..2).for_each(|route| run.agenda.after(Duration::ZERO, Event::Arrival(route)));
    let end = Instant::from_nanos(0).checked_add(scenario.length).expect("it ends");
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival(route) => run.arrival(route),
            Event::Worked(request, begun) => run.worked(request, begun),
            Event::Due(request, begun) => run.due(request, begun),
        }
    }
    run.seconds
}

/// What stands before the calls to a service.
struct Guard {
    running: usize,
    breaker: Option<Breaker>,
}

struct Run<'a> {
    scenario: &'a Scenario,
    random: Random,
    agenda: Agenda<Event>,
    servers: [Server<usize>; TIERS],
    /// Of the calls to each service; nobody guards those to the first.
    guards: [Guard; TIERS],
    requests: Slab<Request>,
    seconds: Vec<Second>,
}

impl Run<'_> {
    fn second(&mut self) -> &mut Second {
        let number = (self.agenda.now().as_nanos() / 1_000_000_000) as usize;
        if self.seconds.len() <= number {
            self.seconds.resize(number + 1, Second::default());
        }
        &mut self.seconds[number]
    }

    fn arrival(&mut self, route: usize) {
        let mean = Duration::from_nanos((1e9 / self.scenario.rates_per_s[route]) as u64);
        let wait = self.random.exponential(mean);
        self.agenda.after(wait, Event::Arrival(route));
        self.second().offered[route] += 1;
        let begun = self.agenda.now();
        let (permits, called) = (std::array::from_fn(|_| None), [None; TIERS]);
        let request = Request { begun, route, tier: 0, is_at_work: false, permits, called };
        let request = self.requests.insert(request);
        self.agenda.after(self.scenario.patience, Event::Due(request, begun));
        self.enter(request);
    }

    /// A request comes to the service where it is.
    fn enter(&mut self, request: usize) {
        let (now, tier) = (self.agenda.now(), self.requests[request].tier);
        match self.servers[tier].offer(now, request) {
            Offered::Begun(request) => self.work(request),
            Offered::Queued => {}
            Offered::Full(request) => self.end(request, End::Full),
        }
    }

    fn work(&mut self, request: usize) {
        let now = self.agenda.now();
        let (from, to) = self.scenario.stall;
        let it = &mut self.requests[request];
        it.is_at_work = true;
        let is_stalled = it.tier == TIERS - 1 && (from..to).contains(&now);
        let begun = it.begun;
        let work =
            if is_stalled { self.scenario.stalled } else { self.random.exponential(self.scenario.work) };
        self.agenda.after(work, Event::Worked(request, begun));
    }

    fn worked(&mut self, request: usize, begun: Instant) {
        if self.requests.get(request).is_none_or(|it| it.begun != begun) {
            return;
        }
        let Request { route, tier, .. } = self.requests[request];
        if route == 0 || tier == TIERS - 1 {
            return self.end(request, End::Good);
        }
        if self.passes(request, tier + 1) {
            self.requests[request].tier += 1;
            self.requests[request].is_at_work = false;
            self.enter(request);
        } else {
            self.end(request, End::Rejected);
        }
    }

    /// Whether the policies let a call to a service through.
    fn passes(&mut self, request: usize, to: usize) -> bool {
        let now = self.agenda.now();
        let guard = &mut self.guards[to];
        if self.scenario.policies.bulkhead.is_some_and(|most| guard.running >= most) {
            return false;
        }
        if let Some(breaker) = &mut guard.breaker {
            let Ok(permit) = breaker.ask(now).0 else { return false };
            self.requests[request].permits[to] = Some(permit);
        }
        self.requests[request].called[to] = Some(now);
        guard.running += 1;
        true
    }

    /// Clients have gone away. A service that was told until when they wait gives up, too.
    fn due(&mut self, request: usize, begun: Instant) {
        if self.requests.get(request).is_some_and(|it| it.begun == begun)
            && self.scenario.policies.has_deadlines
        {
            self.end(request, End::Due);
        }
    }

    /// A request ends, in all services where it has come to: their workers are free again.
    fn end(&mut self, request: usize, end: End) {
        let mut it = self.requests.remove(request);
        let now = self.agenda.now();
        for tier in (1..TIERS).rev() {
            let Some(called) = it.called[tier] else { continue };
            let guard = &mut self.guards[tier];
            guard.running -= 1;
            if let (Some(breaker), Some(permit)) = (&mut guard.breaker, it.permits[tier].take()) {
                let verdict = match end {
                    End::Good => Verdict::Success,
                    End::Rejected if self.scenario.policies.tells_rejections => Verdict::Neutral,
                    End::Rejected | End::Full | End::Due => Verdict::Failure(Retry::Safe),
                };
                let told = (verdict, now.saturating_since(called));
                let _ = breaker.tell(permit, told, now, self.random.entropy());
            }
        }
        if end == End::Good && now.saturating_since(it.begun) < self.scenario.good_within {
            self.second().good[it.route] += 1;
        }
        let last_held = if it.is_at_work { Some(it.tier) } else { it.tier.checked_sub(1) };
        if !it.is_at_work {
            self.servers[it.tier].forget(|waiting| *waiting == request);
        }
        for tier in 0..=last_held.unwrap_or(0) {
            if last_held.is_some()
                && let Some((_, next)) = self.servers[tier].finish()
            {
                self.work(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(policies: Policies) -> Scenario {
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        Scenario {
            seed: 1,
            length: Duration::from_secs(20),
            rates_per_s: [100.0, 50.0],
            workers: [16; TIERS],
            queue_max: 100,
            work: Duration::from_millis(5),
            stall: (at(5), at(10)),
            stalled: Duration::from_secs(30),
            patience: Duration::from_secs(1),
            good_within: Duration::from_secs(1),
            policies,
        }
    }

    fn good(seconds: &[Second], route: usize, from: usize, to: usize) -> f64 {
        let sum = |of: fn(&Second) -> [u32; 2]| seconds[from..to].iter().map(|it| of(it)[route]).sum::<u32>();
        f64::from(sum(|it| it.good)) / f64::from(sum(|it| it.offered))
    }

    #[test]
    fn all_is_well_until_the_last_stalls_and_then_nothing_is() {
        let seconds = run(&scenario(Policies::default()));
        assert!(good(&seconds, 0, 0, 4) > 0.99 && good(&seconds, 1, 0, 4) > 0.99);
        assert!(good(&seconds, 0, 7, 10) < 0.1 && good(&seconds, 1, 7, 10) == 0.0);
    }

    #[test]
    fn a_bulkhead_keeps_workers_for_the_others() {
        let policies = Policies { has_deadlines: true, bulkhead: Some(6), ..Policies::default() };
        let seconds = run(&scenario(policies));
        assert!(good(&seconds, 0, 5, 20) > 0.99, "{}", good(&seconds, 0, 5, 20));
        assert!(good(&seconds, 1, 5, 10) < 0.1 && good(&seconds, 1, 12, 20) > 0.95);
    }
}

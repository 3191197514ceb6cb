//! Calls to a service with several endpoints, each with workers and a queue of its own, among which somebody chooses.

use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_upstream::Running;
use mainstay_upstream::balance::{Algorithm, Ask, Random as Choices};
use mainstay_upstream::endpoint::{Endpoint, Instance};
use mainstay_upstream::outliers;
use mainstay_upstream::roster::{Described, Outcome as Ended, Roster, Rules, Source};

use super::{Agenda, Offered, Random, Server};

/// What is simulated. Times are in seconds from the beginning.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length_s: usize,
    /// Who choose, each by what it has seen itself; calls come to each of them alike.
    pub(crate) gateways: usize,
    pub(crate) endpoints: usize,
    /// Of each endpoint.
    pub(crate) workers: usize,
    /// Calls that come in each second, at a time.
    pub(crate) rate_per_s: &'a dyn Fn(f64) -> f64,
    /// How long a call takes that a worker of this endpoint begins then.
    pub(crate) takes: &'a dyn Fn(usize, f64, &Random) -> Duration,
}

/// How endpoints are chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) algorithm: Algorithm,
    pub(crate) outliers: Option<outliers::Config>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// When calls came in, in seconds, after how many milliseconds they had their answers, and from which endpoint.
    pub(crate) took: Vec<(f64, f64, usize)>,
    /// Of those that came in, how many had none by the end.
    pub(crate) waiting: usize,
}

enum Event {
    Arrival,
    Second,
    Done(Call),
}

/// A call at an endpoint.
struct Call {
    begun: Instant,
    gateway: usize,
    place: usize,
    running: Running,
}

/// Runs it.
pub(crate) fn run(scenario: &Scenario<'_>, way: Way) -> Outcome {
    let gateways = (0..scenario.gateways).map(|_| roster(scenario.endpoints, way)).collect();
    let servers = (0..scenario.endpoints).map(|_| Server::new(scenario.workers, usize::MAX)).collect();
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        choices: Choices::new(scenario.seed),
        agenda: Agenda::new(),
        gateways,
        servers,
        outcome: Outcome { took: Vec::new(), waiting: 0 },
    };
    run.agenda.after(Duration::ZERO, Event::Arrival);
    run.agenda.after(Duration::from_secs(1), Event::Second);
    let end = Instant::from_nanos(scenario.length_s as u64 * 1_000_000_000);
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival => run.arrival(),
            Event::Second => run.second(),
            Event::Done(call) => run.done(call),
        }
    }
    run.outcome
}

fn roster(endpoints: usize, Way { algorithm, outliers }: Way) -> Roster {
    let rules = Rules { outliers, ..Rules::choosing(algorithm) };
    let roster = Roster::new("service".parse().expect("a name"), rules);
    let described = |place| Described { instance: Instance::at(address(place)), is_leaving: false };
    roster.describe(Source::Defined, (0..endpoints).map(described).collect(), Instant::from_nanos(0));
    roster
}

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(place + 1).expect("there are few")))
}

fn place(endpoint: &Endpoint) -> usize {
    usize::from(endpoint.instance().address.port()) - 1
}

impl Outcome {
    /// How long calls took that came in from one second to another, the shortest first.
    pub(crate) fn latencies_ms(&self, from: f64, to: f64) -> Vec<f64> {
        let mut found: Vec<_> = self.during(from, to).map(|(_, ms, _)| *ms).collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// The share of these calls that an endpoint answered.
    pub(crate) fn share_of(&self, place: usize, from: f64, to: f64) -> f64 {
        let all = self.during(from, to).count();
        let there = self.during(from, to).filter(|(_, _, of)| *of == place).count();
        there as f64 / all.max(1) as f64
    }

    fn during(&self, from: f64, to: f64) -> impl Iterator<Item = &(f64, f64, usize)> {
        self.took.iter().filter(move |(begun, ..)| (from..to).contains(begun))
    }
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    random: Random,
    choices: Choices,
    agenda: Agenda<Event>,
    gateways: Vec<Roster>,
    servers: Vec<Server<Call>>,
    outcome: Outcome,
}

fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

impl Run<'_, '_> {
    fn arrival(&mut self) {
        let now = self.agenda.now();
        let rate = (self.scenario.rate_per_s)(seconds(now));
        let wait = self.random.exponential(Duration::from_nanos((1e9 / rate) as u64));
        self.agenda.after(wait, Event::Arrival);
        let gateway = (self.random.unit() * self.gateways.len() as f64) as usize;
        let key = self.choices.draw();
        let mut ask = Ask { key, now, tried: &[], room: u32::MAX, random: &mut self.choices };
        let picture = self.gateways[gateway].picture();
        let endpoint = picture.choose(None, &mut ask).expect("there are endpoints");
        let call =
            Call { begun: now, gateway, place: place(endpoint), running: Running::new(Arc::clone(endpoint)) };
        self.outcome.waiting += 1;
        if let Offered::Begun(call) = self.servers[call.place].offer(now, call) {
            self.begin(call);
        }
    }

    fn begin(&mut self, call: Call) {
        let now = seconds(self.agenda.now());
        let takes = (self.scenario.takes)(call.place, now, &self.random);
        self.agenda.after(takes, Event::Done(call));
    }

    fn done(&mut self, Call { begun, gateway, place, running }: Call) {
        let now = self.agenda.now();
        let took = now.saturating_since(begun);
        self.gateways[gateway].ended(running.endpoint(), Ended::Success(took), now);
        drop(running);
        self.outcome.took.push((seconds(begun), took.as_std().as_secs_f64() * 1e3, place));
        self.outcome.waiting -= 1;
        if let Some((_, next)) = self.servers[place].finish() {
            self.begin(next);
        }
    }

    fn second(&mut self) {
        let now = self.agenda.now();
        for roster in &self.gateways {
            roster.settle(now);
        }
        self.agenda.after(Duration::from_secs(1), Event::Second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_with_calls_at_random_keeps_them_waiting_as_theory_has_it() {
        let takes = |_: usize, _: f64, random: &Random| random.exponential(Duration::from_millis(10));
        let scenario = Scenario {
            seed: 1,
            length_s: 1_000,
            gateways: 1,
            endpoints: 1,
            workers: 1,
            rate_per_s: &|_| 50.0,
            takes: &takes,
        };
        let outcome = run(&scenario, Way { algorithm: Algorithm::RoundRobin, outliers: None });
        let latencies = outcome.latencies_ms(10.0, 990.0);
        let mean = latencies.iter().sum::<f64>() / latencies.len() as f64;
        // M/M/1: 1 / (100/s - 50/s).
        assert!((18.0..22.0).contains(&mean), "{mean}");
        assert_eq!(outcome.share_of(0, 0.0, 1_000.0), 1.0);
    }
}

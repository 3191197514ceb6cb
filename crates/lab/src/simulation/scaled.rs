//! Calls to a service whose instances are started and ended by the rule and the fleet that also run in production.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::brief::Brief;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_upstream::Running;
use mainstay_upstream::balance::{Algorithm, Ask, Random as Choices};
use mainstay_upstream::config::Run as Program;
use mainstay_upstream::endpoint::{Endpoint, Instance as At};
use mainstay_upstream::roster::{Described, Outcome as Ended, Roster, Rules, Source};
use mainstay_upstream::run::fleet::{Action, Fleet, Number, Phase};
use mainstay_upstream::run::scaling::{Look, Rule};

use super::{Agenda, Offered, Random, Server};

/// What is simulated. Times are in seconds from the beginning, when as many instances take calls as the program says at first, and are not cold.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length_s: usize,
    /// Calls that come in each second, at a time.
    pub(crate) rate_per_s: &'a dyn Fn(f64) -> f64,
    /// What a call takes of an instance, which does one at a time: the median, and the standard deviation of its logarithm.
    pub(crate) work: (Duration, f64),
    /// How long a program takes until it answers.
    pub(crate) start: Duration,
    /// How many times as long its first calls take, and how many those are.
    pub(crate) cold: (f64, u32),
    /// How many calls wait at each instance; one more fails.
    pub(crate) queue_max: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// When calls came in, in seconds, and after how many milliseconds they had their answers; never for those that failed.
    pub(crate) calls: Vec<(f64, f64)>,
    /// How many instances there were, ten times a second.
    pub(crate) instances: Vec<(f64, usize)>,
}

enum Event {
    Arrival,
    Sample,
    Started(Number),
    Done(Number, Call),
}

struct Call {
    begun: Instant,
    running: Running,
}

struct Instance {
    server: Server<Call>,
    calls: u32,
    /// How many more are cold.
    cold: u32,
}

const SAMPLE: Duration = Duration::from_millis(100);
const SAMPLES_OF_A_LOOK: usize = 10;

/// Runs it, with instances of a program that is defined so.
pub(crate) fn run(scenario: &Scenario<'_>, program: &Program) -> Outcome {
    let beginning = Instant::from_nanos(0);
    let mut fleet = Fleet::new(program.clone(), beginning);
    let rule = program.scale.clone().map(|scaling| Rule::new(scaling, fleet.wanted(), beginning));
    let mut instances = BTreeMap::new();
    for action in fleet.next(beginning) {
        if let Action::Start(number) = action {
            fleet.is_ready(number, beginning);
            instances.insert(number, Instance::new(scenario, 0));
        }
    }
    let mut run = Run {
        scenario,
        program,
        random: Random::new(scenario.seed),
        choices: Choices::new(scenario.seed),
        agenda: Agenda::new(),
        roster: Roster::new("service".parse().expect("a name"), Rules::choosing(Algorithm::PeakEwma)),
        fleet,
        rule,
        instances,
        samples: Vec::new(),
        outcome: Outcome::default(),
    };
    run.act();
    run.agenda.after(Duration::ZERO, Event::Arrival);
    run.agenda.after(SAMPLE, Event::Sample);
    let end = Instant::from_nanos(scenario.length_s as u64 * 1_000_000_000);
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival => run.arrival(),
            Event::Sample => run.sample(),
            Event::Started(number) => {
                run.fleet.is_ready(number, run.agenda.now());
                run.act();
            }
            Event::Done(number, call) => run.done(number, call),
        }
    }
    run.outcome
}

impl Instance {
    fn new(scenario: &Scenario<'_>, cold: u32) -> Self {
        Self { server: Server::new(1, scenario.queue_max), calls: 0, cold }
    }
}

impl Outcome {
    /// How long calls took that came in from one second to another, the shortest first.
    pub(crate) fn latencies_ms(&self, from: f64, to: f64) -> Vec<f64> {
        let of = self.calls.iter().filter(|(begun, _)| (from..to).contains(begun));
        let mut found: Vec<_> = of.map(|(_, ms)| *ms).collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// For how many seconds instances ran, in all.
    pub(crate) fn instance_s(&self) -> f64 {
        let samples = self.instances.iter().map(|(_, count)| *count).sum::<usize>();
        samples as f64 * SAMPLE.as_std().as_secs_f64()
    }
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    program: &'a Program,
    random: Random,
    choices: Choices,
    agenda: Agenda<Event>,
    roster: Roster,
    fleet: Fleet,
    rule: Option<Rule>,
    instances: BTreeMap<Number, Instance>,
    /// How many calls ran or waited at those that take calls, since the last look.
    samples: Vec<u32>,
    outcome: Outcome,
}

fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

fn address(number: Number) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(number.0).expect("there are few")))
}

fn number(endpoint: &Endpoint) -> Number {
    Number(endpoint.instance().address.port().into())
}

impl Run<'_, '_> {
    /// Does what the fleet says, and has the roster know.
    fn act(&mut self) {
        let now = self.agenda.now();
        loop {
            for (number, instance) in &self.instances {
                if instance.calls == 0 {
                    self.fleet.is_idle(*number, now);
                }
            }
            let actions = self.fleet.next(now);
            for action in &actions {
                match *action {
                    Action::Start(number) => self.start(number),
                    Action::Terminate(number) | Action::Kill(number) => {
                        self.instances.remove(&number);
                        self.fleet.has_ended(number, now);
                    }
                    Action::Take(_) | Action::Leave(_) => {}
                }
            }
            if actions.is_empty() {
                break;
            }
        }
        let described = self.instances.keys().filter_map(|number| {
            let is_leaving = match self.fleet.phase(*number)? {
                Phase::Ready(_) => false,
                Phase::Leaving(_) | Phase::Ending(_) => true,
                Phase::Starting(_) | Phase::Warm(_) | Phase::Killed => return None,
            };
            Some(Described { instance: At::at(address(*number)), is_leaving })
        });
        self.roster.describe_if_other(Source::Supervised, described.collect(), now);
    }

    /// One begins, and is asked what warms it up before it is ready.
    fn start(&mut self, number: Number) {
        let mut instance = Instance::new(self.scenario, self.scenario.cold.1);
        let mut ready = self.scenario.start.as_std();
        let requests: u32 = self.program.warm_up.iter().map(|Brief(request)| request.times.get()).sum();
        for _ in 0..requests {
            ready += self.takes(&mut instance).as_std();
        }
        self.instances.insert(number, instance);
        self.agenda.after(ready.into(), Event::Started(number));
    }

    /// How long a call takes that an instance begins now.
    fn takes(&self, instance: &mut Instance) -> Duration {
        let Scenario { work: (median, sigma), cold: (factor, _), .. } = *self.scenario;
        let is_cold = instance.cold > 0;
        instance.cold = instance.cold.saturating_sub(1);
        let takes = self.random.lognormal(median, sigma).as_std();
        takes.mul_f64(if is_cold { factor } else { 1.0 }).into()
    }

    fn arrival(&mut self) {
        let now = self.agenda.now();
        let rate = (self.scenario.rate_per_s)(seconds(now));
        let wait = self.random.exponential(Duration::from_nanos((1e9 / rate) as u64));
        self.agenda.after(wait, Event::Arrival);
        let key = self.choices.draw();
        let mut ask = Ask { key, now, tried: &[], room: u32::MAX, random: &mut self.choices };
        let picture = self.roster.picture();
        let endpoint = picture.choose(None, &mut ask).expect("one takes calls at least");
        let (number, call) =
            (number(endpoint), Call { begun: now, running: Running::new(Arc::clone(endpoint)) });
        let instance = self.instances.get_mut(&number).expect("it has not ended");
        match instance.server.offer(now, call) {
            Offered::Begun(call) => {
                instance.calls += 1;
                self.begin(number, call);
            }
            Offered::Queued => instance.calls += 1,
            Offered::Full(_) => self.outcome.calls.push((seconds(now), f64::INFINITY)),
        }
    }

    fn begin(&mut self, number: Number, call: Call) {
        let Some(mut instance) = self.instances.remove(&number) else { return };
        let takes = self.takes(&mut instance);
        self.instances.insert(number, instance);
        self.agenda.after(takes, Event::Done(number, call));
    }

    fn done(&mut self, number: Number, Call { begun, running }: Call) {
        let now = self.agenda.now();
        let took = now.saturating_since(begun);
        self.outcome.calls.push((seconds(begun), took.as_std().as_secs_f64() * 1e3));
        self.roster.ended(running.endpoint(), Ended::Success(took), now);
        drop(running);
        // An instance that was ended has let its calls go.
        let Some(instance) = self.instances.get_mut(&number) else { return };
        instance.calls -= 1;
        if let Some((_, next)) = instance.server.finish() {
            self.begin(number, next);
        }
    }

    fn sample(&mut self) {
        let now = self.agenda.now();
        self.agenda.after(SAMPLE, Event::Sample);
        self.roster.settle(now);
        self.outcome.instances.push((seconds(now), self.instances.len()));
        let is_ready = |number: &Number| matches!(self.fleet.phase(*number), Some(Phase::Ready(_)));
        let ready = self.instances.iter().filter(|(number, _)| is_ready(number));
        let calls: Vec<u32> = ready.map(|(_, instance)| instance.calls).collect();
        self.samples.push(calls.iter().sum());
        if self.samples.len() == SAMPLES_OF_A_LOOK {
            let in_flight = f64::from(self.samples.iter().sum::<u32>()) / SAMPLES_OF_A_LOOK as f64;
            self.samples.clear();
            let look = Look { taking: calls.len() as u32, in_flight, latency: None, cpu: None };
            let wanted = self.fleet.wanted();
            if let Some(change) = self.rule.as_mut().and_then(|rule| rule.look(&look, wanted, now)) {
                self.fleet.scale(change.to);
            }
        }
        self.act();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_instances_as_calls_need_by_theory() {
        let scenario = Scenario {
            seed: 1,
            length_s: 200,
            rate_per_s: &|_| 400.0,
            work: (Duration::from_millis(10), 0.0),
            start: Duration::from_secs(1),
            cold: (1.0, 0),
            queue_max: 1_000,
        };
        let program = serde_json::json!({
            "command": ["x"], "scale": { "max": 20, "target": { "in_flight": 1 }, "look_ahead": "0s", "down_after": "10s" }
        });
        let outcome = run(&scenario, &serde_json::from_value(program).expect("a program"));
        // Four are at work at any time; with one call each in the mean there are a few more.
        let last = outcome.instances.last().expect("some").1;
        assert!((5..=9).contains(&last), "{last}");
        let latencies = outcome.latencies_ms(50.0, 190.0);
        assert!(latencies[latencies.len() / 2] < 15.0, "{}", latencies[latencies.len() / 2]);
    }
}

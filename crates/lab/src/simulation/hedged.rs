//! Calls to a service that never has too much to do, and second tries beside those that take long.

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::hedge::{Config, Hedge};
use slab::Slab;

use super::{Agenda, Random};

/// What is simulated. Times are in seconds from the beginning.
pub(crate) struct Scenario<'a> {
    pub(crate) seed: u64,
    pub(crate) length_s: usize,
    /// Calls that come in each second.
    pub(crate) rate_per_s: f64,
    /// How long a try takes that begins then.
    pub(crate) takes: &'a dyn Fn(f64, &Random) -> Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// When calls had their answers, in seconds, and after how many milliseconds.
    took: Vec<(f64, f64)>,
    /// Of each second: calls that came in, and tries.
    seconds: Vec<(u32, u32)>,
}

enum Event {
    Arrival,
    Second(usize, Instant),
    /// Of the first try or the second.
    Done(usize, Instant, bool),
}

/// Runs it, with second tries if there is a configuration for them.
pub(crate) fn run(scenario: &Scenario<'_>, config: Option<Config>) -> Outcome {
    let mut run = Run {
        scenario,
        random: Random::new(scenario.seed),
        agenda: Agenda::new(),
        hedge: config.map(Hedge::new),
        begun: Slab::new(),
        outcome: Outcome { took: Vec::new(), seconds: vec![(0, 0); scenario.length_s] },
    };
    run.agenda.after(Duration::ZERO, Event::Arrival);
    let end = Instant::from_nanos(scenario.length_s as u64 * 1_000_000_000);
    while let Some(event) = run.agenda.next_before(end) {
        match event {
            Event::Arrival => run.arrival(),
            Event::Second(call, begun) => run.second(call, begun),
            Event::Done(call, begun, is_first) => run.done(call, begun, is_first),
        }
    }
    run.outcome
}

impl Outcome {
    /// How long calls took that ended from one second to another, the shortest first.
    pub(crate) fn latencies_ms(&self, from: usize, to: usize) -> Vec<f64> {
        let during = |end: f64| (from as f64..to as f64).contains(&end);
        let mut found: Vec<f64> =
            self.took.iter().filter(|(end, _)| during(*end)).map(|(_, ms)| *ms).collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// Tries for each call, from one second to another.
    pub(crate) fn load(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to];
        let calls: u32 = seconds.iter().map(|second| second.0).sum();
        let tries: u32 = seconds.iter().map(|second| second.1).sum();
        f64::from(tries) / f64::from(calls.max(1))
    }
}

struct Run<'a, 's> {
    scenario: &'a Scenario<'s>,
    random: Random,
    agenda: Agenda<Event>,
    hedge: Option<Hedge>,
    /// When each call began that has no answer.
    begun: Slab<Instant>,
    outcome: Outcome,
}

impl Run<'_, '_> {
    fn seconds(&self) -> f64 {
        self.agenda.now().as_nanos() as f64 / 1e9
    }

    fn second_mut(&mut self) -> &mut (u32, u32) {
        let number = self.seconds() as usize;
        &mut self.outcome.seconds[number]
    }

    fn arrival(&mut self) {
        let now = self.agenda.now();
        let wait = self.random.exponential(Duration::from_nanos((1e9 / self.scenario.rate_per_s) as u64));
        self.agenda.after(wait, Event::Arrival);
        self.second_mut().0 += 1;
        let call = self.begun.insert(now);
        self.send(call, now, true);
        if let Some(delay) = self.hedge.as_mut().and_then(|hedge| hedge.begin(now)) {
            self.agenda.after(delay, Event::Second(call, now));
        }
    }

    fn send(&mut self, call: usize, begun: Instant, is_first: bool) {
        self.second_mut().1 += 1;
        let took = (self.scenario.takes)(self.seconds(), &self.random);
        self.agenda.after(took, Event::Done(call, begun, is_first));
    }

    fn is_waiting(&self, call: usize, begun: Instant) -> bool {
        self.begun.get(call) == Some(&begun)
    }

    fn second(&mut self, call: usize, begun: Instant) {
        let now = self.agenda.now();
        if self.is_waiting(call, begun) && self.hedge.as_mut().is_some_and(|hedge| hedge.ask(now)) {
            self.send(call, begun, false);
        }
    }

    fn done(&mut self, call: usize, begun: Instant, is_first: bool) {
        if !self.is_waiting(call, begun) {
            return;
        }
        self.begun.remove(call);
        let now = self.agenda.now();
        let took = now.saturating_since(begun);
        if let Some(hedge) = &mut self.hedge {
            hedge.tell(took, !is_first, now);
        }
        self.outcome.took.push((self.seconds(), took.as_std().as_secs_f64() * 1e3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_tries_are_counted_and_the_first_answer_is_taken() {
        let takes = |s: f64, random: &Random| {
            let stalls = random.chance(0.02) && s < 20.0;
            Duration::from_millis(if stalls { 1_000 } else { 10 })
        };
        let scenario = Scenario { seed: 1, length_s: 30, rate_per_s: 200.0, takes: &takes };
        let (without, with) = (run(&scenario, None), run(&scenario, Some(Config::default())));
        let slowest = |outcome: &Outcome, from, to| outcome.latencies_ms(from, to).last().copied();
        assert_eq!((slowest(&without, 5, 20), slowest(&without, 22, 30)), (Some(1_000.0), Some(10.0)));
        assert!(
            without.load(0, 30) == 1.0 && (1.01..1.1).contains(&with.load(5, 20)),
            "{}",
            with.load(5, 20)
        );
        // One in fifty stalls, so that one in sixty-six is slower than this without second tries.
        let slow = |outcome: &Outcome| {
            let latencies_ms = outcome.latencies_ms(5, 20);
            latencies_ms[latencies_ms.len() * 985 / 1_000]
        };
        assert!(slow(&without) >= 1_000.0 && slow(&with) < 50.0, "{} {}", slow(&without), slow(&with));
    }
}

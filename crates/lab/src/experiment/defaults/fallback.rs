//! The ladder of fallbacks: when it begins lower, and when higher again.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::fallback::{Config, Descent, Ladder};

use super::choice::{Choice, cost, settings};
use super::{is_within, mean};
use crate::report::Report;
use crate::simulation::{Agenda, Random};

/// When outages begin, and when they end: it is probed now and then, so that it matters by chance when that is.
const OUTAGE_FROM_S: f64 = 10.0;
const OUTAGE_TO_S: [f64; 4] = [69.0, 70.0, 70.3, 71.6];

const LENGTH_S: f64 = 130.0;
const RATE_PER_S: f64 = 100.0;
const FEW_PER_S: f64 = 5.0;

/// Probes that succeed by chance are rare, so that it is a mean of so many.
const MOSTLY_RUNS: u64 = 8;

pub(super) const SETTINGS: [(&str, &str); 1] = [(
    "fallback: calls",
    "100/s, Poisson, few 5/s, with one step below the service; an answer and a failure of 10 % and 30 % take 20 ms, others 1 s; an outage lasts a minute",
)];

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let default = Config::default();
    let some = |count: u32| NonZeroU32::new(count).expect("it is above zero");
    let costs = [
        cost("lower while 10 % fail", 0.05, 3),
        cost("lower while 30 % fail", 0.1, 3),
        cost("few waited in an outage", 0.1, 3),
        cost("few: s until well", 4.0, 1),
        cost("waited in vain, 80 % fail", 0.1, 3),
    ];
    let measure = |config: &Config| measure(seed, *config);
    let counts =
        settings([1, 2, 3, 5, 7, 10, 20, 50], |count| Ok(Config { failures: some(*count), ..default }))?;
    Choice { title: "fallback: failures", default, settings: counts, costs: &costs }.judge(report, measure);
    let counts = settings([1, 2, 3, 5, 10, 20], |count| Ok(Config { successes: some(*count), ..default }))?;
    Choice { title: "fallback: successes", default, settings: counts, costs: &costs }.judge(report, measure);
    let times = settings(["50ms", "200ms", "500ms", "1s", "2s", "5s", "15s"], |time| {
        Ok(Config { probe_every: time.parse()?, ..default })
    })?;
    Choice { title: "fallback: probe_every", default, settings: times, costs: &costs }.judge(report, measure);
    Ok(())
}

fn measure(seed: u64, config: Config) -> Vec<f64> {
    let lower = |share| {
        simulate(seed, RATE_PER_S, config, &|_| Fails { share, is_slow: false }).share(|call| !call.is_full)
    };
    let outage = |to: f64| {
        let fails =
            |s: f64| Fails { share: f64::from(u8::from(is_within(s, OUTAGE_FROM_S, to))), is_slow: true };
        let calls = simulate(seed, FEW_PER_S, config, &fails);
        let waited = calls.share_of(OUTAGE_FROM_S, to, |call| call.waited_in_vain);
        [waited, calls.last_lower_s() - to]
    };
    let outages = OUTAGE_TO_S.map(outage);
    let in_vain = |run: u64| {
        let mostly = |_: f64| Fails { share: 0.8, is_slow: true };
        simulate(seed * MOSTLY_RUNS + run, FEW_PER_S, config, &mostly).share(|call| call.waited_in_vain)
    };
    let in_vain = mean(&(0..MOSTLY_RUNS).map(in_vain).collect::<Vec<_>>());
    vec![lower(0.1), lower(0.3), mean(&outages.map(|it| it[0])), mean(&outages.map(|it| it[1])), in_vain]
}

/// How the service fails.
struct Fails {
    /// The share of calls.
    share: f64,
    /// Whether whoever calls waits for a failure.
    is_slow: bool,
}

struct Call {
    /// When it came in, in seconds.
    at: f64,
    /// Whether the service itself answered.
    is_full: bool,
    /// Whether a slow failure was waited for.
    waited_in_vain: bool,
}

struct Calls(Vec<Call>);

impl Calls {
    fn share(&self, which: impl Fn(&Call) -> bool) -> f64 {
        self.share_of(0.0, LENGTH_S, which)
    }

    fn share_of(&self, from: f64, to: f64, which: impl Fn(&Call) -> bool) -> f64 {
        let during = || self.0.iter().filter(|call| is_within(call.at, from, to));
        during().filter(|call| which(call)).count() as f64 / during().count().max(1) as f64
    }

    /// When the last call came in that was answered lower.
    fn last_lower_s(&self) -> f64 {
        self.0.iter().filter(|call| !call.is_full).map(|call| call.at).fold(0.0, f64::max)
    }
}

enum Event {
    Arrival,
    /// A call of the service has ended that came in then.
    Done {
        descent: Descent,
        begun: Instant,
        has_failed: bool,
        is_slow: bool,
    },
}

/// Calls a service with one step below it.
fn simulate(seed: u64, rate_per_s: f64, config: Config, fails: &dyn Fn(f64) -> Fails) -> Calls {
    let (random, mut agenda, mut ladder) = (Random::new(seed), Agenda::new(), Ladder::new(config, 2));
    let mut calls = Vec::new();
    let seconds = |at: Instant| at.as_nanos() as f64 / 1e9;
    let gap = Duration::from_nanos((1e9 / rate_per_s) as u64);
    agenda.after(Duration::ZERO, Event::Arrival);
    while let Some(event) = agenda.next_before(Instant::from_nanos((LENGTH_S * 1e9) as u64)) {
        let now = agenda.now();
        match event {
            Event::Arrival => {
                agenda.after(random.exponential(gap), Event::Arrival);
                let descent = ladder.begin(now);
                if descent.first() > 0 {
                    calls.push(Call { at: seconds(now), is_full: false, waited_in_vain: false });
                    continue;
                }
                let Fails { share, is_slow } = fails(seconds(now));
                let has_failed = random.chance(share);
                let takes = Duration::from_millis(if has_failed && is_slow { 1_000 } else { 20 });
                agenda.after(takes, Event::Done { descent, begun: now, has_failed, is_slow });
            }
            Event::Done { descent, begun, has_failed, is_slow } => {
                let _ = ladder.tell(&descent, 0, has_failed, now);
                let waited_in_vain = has_failed && is_slow;
                calls.push(Call { at: seconds(begun), is_full: !has_failed, waited_in_vain });
            }
        }
    }
    Calls(calls)
}

//! Bulkheads: how many calls run, and how many wait for how long.

use std::num::NonZeroU32;

use anyhow::Result;
use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead::Config;

use super::choice::{Choice, cost, settings};
use crate::report::Report;
use crate::simulation::places::{OTHERS, Outcome, Scenario, run};

/// How many requests the process has at a time.
const PLACES: u32 = 512;

/// Calls to the service, and how long it takes for them, also when it hangs.
const RATE_PER_S: f64 = 1_000.0;
const TAKES_MS: u64 = 100;
const HUNG_MS: u64 = 100_000;

pub(super) const SETTINGS: [(&str, &str); 3] = [
    ("bulkhead: process", "512 requests at a time; 200/s need nothing, each for 5 ms"),
    ("bulkhead: calls", "1000/s, Poisson, to a service that takes 100 ms (median); clients wait 1 s"),
    (
        "bulkhead: trouble",
        "bursts of three times as much for 200 ms; the service takes 500 ms, or hangs; one of two callers sends 5000/s, the other 200/s",
    ),
];

/// Has the report show and claim all of it.
pub(super) fn judge(report: &mut Report, seed: u64) -> Result<()> {
    let default = Config::default();
    let costs = [
        cost("lost by bursts", 0.1, 3),
        cost("others lost, it hangs", 0.02, 3),
        cost("others lost, it is slow", 0.02, 3),
        cost("lost by a flood", 0.1, 3),
        cost("ms in vain, it hangs", 150.0, 0),
    ];
    let measure = |config: &Config| {
        let burst = |s: f64| if s % 2.0 < 0.2 { 3.0 * RATE_PER_S } else { RATE_PER_S };
        let bursts = simulate(seed, *config, [&burst, &|_| 0.0], TAKES_MS);
        let hung = simulate(seed, *config, [&|_| RATE_PER_S, &|_| 0.0], HUNG_MS);
        let slow = simulate(seed, *config, [&|_| RATE_PER_S, &|_| 0.0], 5 * TAKES_MS);
        let flood = simulate(seed, *config, [&|_| 5.0 * RATE_PER_S, &|_| 0.2 * RATE_PER_S], TAKES_MS);
        vec![bursts.lost(0), hung.lost(OTHERS), slow.lost(OTHERS), flood.lost(1), hung.in_vain_ms()]
    };
    let counts = settings([32, 64, 128, 256, 384, 512, 1_024], |count| {
        Ok(Config { concurrent: NonZeroU32::new(*count).expect("it is above zero"), ..default })
    })?;
    Choice { title: "bulkhead: concurrent", default, settings: counts, costs: &costs }.judge(report, measure);
    let queues =
        settings([0, 8, 16, 32, 64, 128, 256, 1_024], |queue| Ok(Config { queue: *queue, ..default }))?;
    Choice { title: "bulkhead: queue", default, settings: queues, costs: &costs }.judge(report, measure);
    let waits = settings(["1ms", "10ms", "30ms", "100ms", "300ms", "1s"], |wait| {
        Ok(Config { max_wait: wait.parse()?, ..default })
    })?;
    Choice { title: "bulkhead: max_wait", default, settings: waits, costs: &costs }.judge(report, measure);
    Ok(())
}

fn simulate(seed: u64, config: Config, rates_per_s: [&dyn Fn(f64) -> f64; 2], takes_ms: u64) -> Outcome {
    let scenario = Scenario {
        seed,
        length: Duration::from_secs(6),
        rates_per_s,
        others_per_s: 200.0,
        places: PLACES,
        takes: &|_| Duration::from_millis(takes_ms),
        timeout: Duration::from_secs(1),
    };
    run(&scenario, config)
}

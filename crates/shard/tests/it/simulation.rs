//! Many seeds of the simulation, and what happens to it when a rule is taken away.

use std::ops::Range;

use mainstay_shard::sim::{self, Report, Rule};

/// Runs a seed; when it fails, tells how to replay it and what happened.
fn run(seed: u64) -> Report {
    sim::run(seed).unwrap_or_else(|failure| {
        panic!(
            "{}{}\nseed {seed} fails; replay: MAINSTAY_SEED={seed} cargo test -p mainstay-shard simulation",
            failure.trace, failure.what
        )
    })
}

/// Runs these seeds, or the one that is to be replayed; a simulation in which nothing happens proves nothing.
fn run_all(seeds: Range<u64>) {
    #[expect(clippy::disallowed_methods, reason = "how a person names the seed to replay")]
    if let Ok(seed) = std::env::var("MAINSTAY_SEED") {
        run(seed.parse().expect("MAINSTAY_SEED is a number"));
        return;
    }
    let count = seeds.end - seeds.start;
    let mut all = Report::default();
    for seed in seeds {
        let report = run(seed);
        all.answered += report.answered;
        all.unknown += report.unknown;
        all.not_done += report.not_done;
        all.claims += report.claims;
        all.deposed += report.deposed;
        all.loaded += report.loaded;
        all.clocks += report.clocks;
        all.overloaded += report.overloaded;
        all.records += report.records;
    }
    let is_busy = all.answered > 10 * count && all.unknown > count && all.not_done > count;
    let is_disturbed = all.claims > 2 * count
        && all.deposed > count / 2
        && all.loaded > count / 40
        && all.clocks > count / 20
        && all.overloaded > count / 2;
    assert!(is_busy && is_disturbed, "{all:?}");
}

#[test]
fn what_was_answered_stays_and_one_order_explains_it() {
    run_all(0..1_000);
}

#[test]
#[ignore = "takes as long as it is given seeds: hours"]
fn what_was_answered_stays_and_one_order_explains_it_for_long() {
    run_all(1_000..200_000);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(5).digest, run(6).digest);
}

#[test]
fn without_a_rule_a_seed_fails() {
    const SEEDS_MAX: u64 = 3_000;
    let is_noticed = |rule| sim::without(rule, || (0..SEEDS_MAX).any(|seed| sim::run(seed).is_err()));
    let unnoticed: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !is_noticed(*rule)).collect();
    assert!(unnoticed.is_empty(), "no seed notices that these are gone: {unnoticed:?}");
}

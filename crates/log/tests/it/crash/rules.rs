//! Each of the engine's rules is taken away, and a simulation notices: so it would notice a bug.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mainstay_log::faulty::{Rule, without};

use super::flips::{self, Left};
use super::{crash_at_random, random_world};

/// Of the seeds that the simulation runs, so many are enough for every rule.
const SEEDS: u64 = 60;

/// Whether this seed fails without these rules.
fn fails(rules: &[Rule], seed: u64) -> bool {
    let run = || without(rules, || crash_at_random(&mut random_world(seed), seed, 150));
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// The first seed that fails without these rules. Panics when there is none.
fn first_failing(rules: &[Rule]) -> u64 {
    (0..SEEDS)
        .find(|seed| fails(rules, *seed))
        .unwrap_or_else(|| panic!("nothing is noticed without {rules:?}"))
}

fn fails_without(rule: Rule, check: fn()) -> bool {
    catch_unwind(|| without(&[rule], check)).is_err()
}

#[test]
fn a_crash_is_noticed_without_a_rule_of_writing() {
    for rule in [
        Rule::SyncBeforeAcknowledging,
        Rule::SyncBeforeShowing,
        Rule::PoisonAfterFailure,
        Rule::SyncNamesBeforeUse,
        Rule::SyncOpeningBeforeUse,
        Rule::SyncTrimsBeforeFreeing,
        Rule::NextIndexInOpenings,
    ] {
        first_failing(&[rule]);
    }
}

#[test]
fn a_crash_is_noticed_without_a_rule_of_recovery() {
    for rule in [Rule::RewriteAtRecovery, Rule::SyncAtRecovery, Rule::SegmentInHeads, Rule::BodyCrc] {
        first_failing(&[rule]);
    }
}

/// Either keeps a group that was cut off from coming back behind another: one is enough, and without both it comes.
#[test]
fn a_crash_is_noticed_without_wiping_and_without_the_chain_of_groups() {
    let both = [Rule::WipeAtRecovery, Rule::Follows];
    let seed = first_failing(&both);
    for rule in both {
        assert!(!fails(&[rule], seed), "the other makes up for {rule:?}");
    }
}

#[test]
fn damage_is_noticed_without_a_rule_of_reading() {
    for rule in [Rule::LookAhead, Rule::HeadCrc, Rule::BodyCrc] {
        assert!(
            fails_without(rule, || flips::flip_all(Left::Unfollowed)),
            "nothing is noticed without {rule:?}"
        );
    }
    assert!(fails_without(Rule::LogInHeads, flips::cut_behind_a_forged_head));
}

#[test]
fn a_payload_that_looks_like_a_head_of_another_log_proves_nothing() {
    flips::cut_behind_a_forged_head();
}

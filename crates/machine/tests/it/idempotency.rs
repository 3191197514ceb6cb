//! Commands with idempotency keys: replays, mismatches, and for how long.

use mainstay_base::error::{Classify, Code};
use mainstay_base::units::Duration;
use mainstay_machine::command::{Caller, Idempotency};
use mainstay_machine::row::Parts;
use mainstay_machine::{Command, Outcome, Overlay, evaluate};

use proptest::prelude::*;

use crate::world::*;

fn add(key: &str, by: i64) -> Command {
    with_key(key, command("u7", vec![], vec![increment("carts/u7", "/n", by)]))
}

fn count(world: &World) -> (usize, usize) {
    let rows = || world.state.rows().map(|(key, _)| Parts::of(key).unwrap());
    let kept = rows().filter(|parts| matches!(parts, Parts::Kept { .. })).count();
    (kept, rows().filter(|parts| matches!(parts, Parts::KeptByAge { .. })).count())
}

#[test]
fn a_repetition_is_answered_and_not_done_again() {
    let mut world = World::new();
    let first = world.run(&add("k", 1));
    let state = world.state.clone();
    let again = world.run(&add("k", 1));
    assert!(!first.replayed && again.replayed);
    assert_eq!((&again.outcome, again.effects.len()), (&first.outcome, 0));
    assert_eq!(world.state, state);
    world.run(&add("l", 1));
    assert_eq!(world.text("carts/u7").unwrap(), r#"{"n":2}"#, "another key is another command");
}

#[test]
fn a_repetition_within_a_batch_is_one_too() {
    let world = World::new();
    let mut overlay = Overlay::new(&world.state);
    let mut run =
        |command: &Command| evaluate(&command.clone().into(), &mut overlay, &world.context()).unwrap();
    let (first, again, other) = (run(&add("k", 1)), run(&add("k", 1)), run(&add("k", 2)));
    assert!(again.replayed && again.outcome == first.outcome && again.effects.is_empty());
    assert!(
        matches!(other.outcome, Outcome::Refused(refusal) if refusal.code() == Code::IdempotencyMismatch)
    );
}

#[test]
fn a_key_belongs_to_its_request() {
    let mut world = World::new();
    let first = world.run(&add("k", 1));
    let state = world.state.clone();
    let other = world.run(&add("k", 2));
    let Outcome::Refused(refusal) = other.outcome else { panic!("it is another request") };
    assert!(refusal.code() == Code::IdempotencyMismatch && refusal.detail().contains("use a new key"));
    assert!(!other.replayed && other.effects.is_empty() && world.state == state, "a mismatch is not kept");
    assert_eq!(world.run(&add("k", 1)).outcome, first.outcome);
}

#[test]
fn every_refusal_is_kept_too() {
    let mut world = World::new();
    let operations = || vec![put("orders/u7/new", "1")];
    for (key, conditions, operations, code) in [
        ("412", vec![present("orders/u7/new")], operations(), Code::ConditionFailed),
        ("422", vec![check("orders/u7/new", "value.x == 1")], operations(), Code::Invalid),
        ("404", vec![], vec![put("none/u7", "1")], Code::NotFound),
    ] {
        let told = with_key(key, command("u7", conditions, operations));
        let first = world.run(&told);
        assert!(matches!(&first.outcome, Outcome::Refused(refusal) if refusal.code() == code));
        assert_eq!(first.effects.len(), 3, "the outcome, its place by age, and the tenant's account");
        world.done(vec![put("orders/u7/new", r#"{"x":1}"#)]);
        let again = world.run(&told);
        assert!(again.replayed, "although it would succeed by now");
        assert_eq!(again.outcome, first.outcome);
        world.done(vec![delete("orders/u7/new")]);
    }
}

#[test]
fn tenants_callers_and_partitions_have_keys_of_their_own() {
    let mut world = World::new();
    world.run(&add("k", 1));
    let mut other = add("k", 1);
    other.caller = "someone".parse::<Caller>().unwrap();
    let Command { tenant, caller, partition, request, .. } = &other;
    other.idempotency = Some(Idempotency::new(&"k".parse().unwrap(), tenant, caller, partition, request));
    assert!(!world.run(&other).replayed);
    let partition = with_key("k", command("u8", vec![], vec![increment("carts/u8", "/n", 1)]));
    assert!(!world.run(&partition).replayed);
    assert_eq!(world.text("carts/u7").unwrap(), r#"{"n":2}"#);
}

#[test]
fn an_outcome_counts_exactly_as_long_as_it_is_to_be_kept() {
    let mut world = World::new();
    world.settings.retention.keep = Duration::from_secs(60);
    world.run(&add("k", 1));
    let kept = world.now;
    world.pass(Duration::from_secs(60));
    world.now = mainstay_base::hlc::HybridTime::from_bits(kept.to_bits() + (59_999_999 << 12));
    assert!(world.run(&add("k", 1)).replayed, "a microsecond before");
    world.now = mainstay_base::hlc::HybridTime::from_bits(kept.to_bits() + (60_000_000 << 12));
    let anew = world.run(&add("k", 2));
    assert!(!anew.replayed && matches!(anew.outcome, Outcome::Committed(_)), "not even a mismatch is left");
    assert_eq!(count(&world), (1, 1), "the stale row was replaced");
    assert!(world.run(&add("k", 2)).replayed);
    assert_eq!(world.text("carts/u7").unwrap(), r#"{"n":3}"#);
}

#[test]
fn old_outcomes_are_retired_a_few_at_a_time() {
    let mut world = World::new();
    world.settings.retention.keep = Duration::from_secs(64);
    for number in 0..20 {
        world.run(&add(&format!("old-{number}"), 1));
    }
    world.pass(Duration::from_secs(64));
    world.run(&add("a", 1));
    assert_eq!(count(&world), (21, 21), "those just past their time wait for a burst");
    world.pass(Duration::from_secs(1));
    let mut left = Vec::new();
    for number in 0..4 {
        let evaluated = world.run(&add(&format!("new-{number}"), 1));
        assert!(evaluated.effects.len() <= 2 + 3 + 2 * 8, "bounded work");
        left.push(count(&world).0);
    }
    assert_eq!(left, [14, 7, 4, 5]);
    assert_eq!(count(&world), (5, 5));
    assert!(world.run(&add("a", 1)).replayed);
}

#[test]
fn beyond_their_number_the_oldest_go_first() {
    let mut world = World::new();
    world.settings.retention.outcomes_max = 4;
    for number in 0..10 {
        world.run(&add(&number.to_string(), 1));
        assert!(count(&world).0 <= 4);
    }
    assert!(world.run(&add("9", 1)).replayed && world.run(&add("6", 1)).replayed);
    assert!(!world.run(&add("5", 1)).replayed);

    let mut world = World::new();
    world.settings.retention.outcomes_max = 80;
    let mut least = usize::MAX;
    for number in 0..300 {
        world.run(&add(&number.to_string(), 1));
        let (kept, by_age) = count(&world);
        assert!(kept == by_age && kept <= 80);
        least = if number > 80 { least.min(kept) } else { least };
    }
    assert_eq!(least, 73, "a burst makes room for a few at once");
}

#[test]
fn a_tenant_does_not_crowd_out_another() {
    let mut world = World::new();
    world.settings.retention.outcomes_max = 4;
    let quiet = |key| {
        let mut command = command("u7", vec![], vec![]);
        command.tenant = "quiet".parse().unwrap();
        with_key(key, command)
    };
    world.run(&quiet("k"));
    for number in 0..20 {
        world.run(&add(&number.to_string(), 1));
    }
    assert!(world.run(&quiet("k")).replayed);
}

#[test]
fn a_lower_number_is_reached_step_by_step() {
    let mut world = World::new();
    for number in 0..40 {
        world.run(&add(&number.to_string(), 1));
    }
    world.settings.retention.outcomes_max = 8;
    let mut counts = vec![];
    for number in 40..48 {
        world.run(&add(&number.to_string(), 1));
        counts.push(count(&world).0);
    }
    assert_eq!(counts, [33, 26, 19, 12, 8, 8, 8, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_was_retired_an_outcome_counts_by_its_time_alone(
        steps in proptest::collection::vec((0u64..30_000, 0usize..30), 1..80),
        has_bursts: bool,
    ) {
        let mut world = World::new();
        world.settings.retention.keep = Duration::from_millis(if has_bursts { 64_000 } else { 64 });
        let mut kept = std::collections::BTreeMap::new();
        for (millis, key) in steps {
            world.pass(Duration::from_millis(if has_bursts { millis / 10 } else { millis % 20 }));
            let evaluated = world.run(&add(&key.to_string(), 1));
            let counts = kept.get(&key).is_some_and(|(time, _): &(mainstay_base::hlc::HybridTime, Outcome)| {
                world.now.wall().since(time.wall()).unwrap() < world.settings.retention.keep
            });
            prop_assert_eq!(evaluated.replayed, counts);
            if counts {
                prop_assert_eq!(&evaluated.outcome, &kept[&key].1);
            } else {
                kept.insert(key, (world.now, evaluated.outcome));
            }
            let (rows, by_age) = count(&world);
            prop_assert_eq!(rows, by_age);
        }
    }
}

//! What is thought of endpoints, and who takes calls then.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::balance::{Ask, Random};
use crate::standing::State;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000 * (100_000 + millis))
}

fn rules() -> Rules {
    Rules {
        algorithm: Algorithm::RoundRobin,
        zone: None,
        near_ratio: Ratio::new(0.7).expect("a share"),
        panic_ratio: Ratio::new(0.5).expect("a share"),
        slow_start: Duration::ZERO,
        outliers: Some(outliers::Config::default()),
        checks: None,
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

fn described(numbers: impl IntoIterator<Item = u8>) -> Vec<Described> {
    let described = |number| Described { instance: Instance::at(address(number)), is_leaving: false };
    numbers.into_iter().map(described).collect()
}

fn in_zones(zones: &[&str]) -> Vec<Described> {
    let mut all = described(0..zones.len() as u8);
    for (described, zone) in all.iter_mut().zip(zones) {
        described.instance.zone = Some(name(zone));
    }
    all
}

struct World {
    roster: Roster,
    random: Random,
}

impl World {
    fn new(rules: Rules, described: Vec<Described>) -> Self {
        let roster = Roster::new(name("payments"), rules);
        roster.describe(Source::Defined, described, at(0));
        Self { roster, random: Random::new(3) }
    }

    fn endpoint(&self, number: u8) -> Arc<Endpoint> {
        let mut all = self.roster.endpoints().into_iter();
        all.find(|endpoint| endpoint.instance().address == address(number)).expect("it is there")
    }

    fn end(&self, number: u8, outcome: Outcome<'_>, now: Instant) {
        self.roster.ended(&self.endpoint(number), outcome, now);
    }

    fn fail(&self, number: u8, times: u32, now: Instant) {
        for _ in 0..times {
            self.end(number, Outcome::Failure(Duration::from_millis(1)), now);
        }
    }

    /// How many of so many calls go to each, by the last number of its address.
    fn spread(&mut self, calls: u64, now: Instant) -> BTreeMap<u8, u64> {
        let picture = self.roster.picture();
        let mut counts = BTreeMap::new();
        for _ in 0..calls {
            let key = self.random.draw();
            let mut ask = Ask { key, now, tried: &[], room: u32::MAX, random: &mut self.random };
            let chosen = picture.choose(None, &mut ask).expect("there are some");
            let SocketAddr::V4(address) = chosen.instance().address else { panic!("they are IPv4") };
            *counts.entry(address.ip().octets()[3]).or_insert(0) += 1;
        }
        counts
    }

    fn states(&self, now: Instant) -> Vec<State> {
        self.roster.view(now).into_iter().map(|view| view.state).collect()
    }
}

#[test]
fn a_dead_endpoint_is_passed_over_at_once_and_until_it_can_be_reached() {
    let mut world = World::new(rules(), described(0..4));
    let before = world.roster.picture();
    world.end(2, Outcome::Unreachable("refused"), at(0));
    assert!(world.roster.is_newest(&before), "no picture was made where the call was");
    assert_eq!(world.spread(300, at(0)), BTreeMap::from([(0, 100), (1, 100), (3, 100)]));
    assert_eq!(world.roster.settle(at(0)), Some(at(1_000)));
    assert!(!world.roster.is_newest(&before));
    assert_eq!(world.states(at(0))[2], State::Unreachable);
    assert!(world.roster.to_be_tried(at(999), at(9_000)).is_empty());
    let tried = world.roster.to_be_tried(at(1_000), at(9_000));
    assert_eq!(tried.iter().map(|it| it.instance().address).collect::<Vec<_>>(), [address(2)]);
    world.roster.reached(tried[0].id(), Err("refused".to_owned()), at(1_000));
    world.roster.settle(at(1_000));
    assert!(world.roster.to_be_tried(at(2_999), at(9_000)).is_empty(), "twice as long");
    world.roster.reached(tried[0].id(), Ok(()), at(3_000));
    world.roster.settle(at(3_000));
    assert_eq!(world.spread(400, at(3_000)).len(), 4);
}

#[test]
fn failures_in_a_row_take_an_endpoint_out_for_a_while_but_never_too_many() {
    let mut world = World::new(rules(), described(0..4));
    world.fail(1, 4, at(0));
    world.end(1, Outcome::Success(Duration::from_millis(1)), at(0));
    world.fail(1, 4, at(0));
    assert_eq!(world.spread(400, at(0)).len(), 4, "they were not in a row");
    world.fail(1, 1, at(0));
    assert_eq!(world.spread(300, at(0)).get(&1), None);
    assert_eq!(world.roster.view(at(0))[1].why.as_deref(), Some("5 failures in a row"));
    world.fail(2, 5, at(0));
    world.fail(3, 50, at(0));
    world.roster.settle(at(0));
    assert_eq!(
        world.states(at(0)),
        [State::Healthy, State::Ejected, State::Ejected, State::Healthy],
        "half may be out"
    );
    assert_eq!(world.roster.settle(at(29_999)).map(|due| due <= at(30_000)), Some(true));
    assert_eq!(world.spread(400, at(29_999)).len(), 2);
    world.roster.settle(at(30_000));
    assert_eq!(world.spread(400, at(30_000)).len(), 4);
}

#[test]
fn the_only_endpoint_is_called_whatever_is_thought_of_it() {
    let mut world = World::new(rules(), described(0..1));
    world.fail(0, 100, at(0));
    world.end(0, Outcome::Unreachable("refused"), at(0));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(0, 10)]));
    world.roster.settle(at(0));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(0, 10)]));
}

#[test]
fn below_the_panic_ratio_all_are_called_but_those_on_which_nobody_listens() {
    let checked = Rules { checks: Some((1, 1)), ..rules() };
    let mut world = World::new(checked, described(0..5));
    assert!(world.roster.picture().is_panic(), "nothing is known of any yet");
    assert_eq!(world.spread(500, at(0)).len(), 5);
    for number in 0..5 {
        world.roster.checked(world.endpoint(number).id(), Ok(()));
    }
    world.roster.settle(at(0));
    for number in 0..2 {
        world.roster.checked(world.endpoint(number).id(), Err("it answered 500".to_owned()));
    }
    world.roster.settle(at(0));
    assert_eq!(world.spread(300, at(0)), BTreeMap::from([(2, 100), (3, 100), (4, 100)]));
    world.end(2, Outcome::Unreachable("refused"), at(0));
    world.roster.settle(at(0));
    assert!(world.roster.picture().is_panic());
    assert_eq!(world.spread(400, at(0)), BTreeMap::from([(0, 100), (1, 100), (3, 100), (4, 100)]));
    for number in [0, 1, 3, 4] {
        world.end(number, Outcome::Unreachable("refused"), at(0));
    }
    world.roster.settle(at(0));
    assert_eq!(world.spread(500, at(0)).len(), 5, "all is tried when nothing is left");
}

#[test]
fn calls_stay_in_their_zone_while_most_of_it_takes_calls() {
    let zones = ["a", "a", "a", "a", "b", "b"];
    let mut world = World::new(Rules { zone: Some(name("a")), ..rules() }, in_zones(&zones));
    let far = |spread: &BTreeMap<u8, u64>| {
        spread.iter().filter(|(number, _)| **number >= 4).map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(far(&world.spread(1_000, at(0))), 0);
    world.end(0, Outcome::Unreachable("refused"), at(0));
    world.roster.settle(at(0));
    assert_eq!(far(&world.spread(1_000, at(0))), 0, "three of four are enough");
    world.end(1, Outcome::Unreachable("refused"), at(0));
    world.roster.settle(at(0));
    let spilt = far(&world.spread(10_000, at(0)));
    assert!((2_800..=2_900).contains(&spilt), "1 - 0.5 / 0.7 of them: {spilt}");
    for number in [2, 3] {
        world.end(number, Outcome::Unreachable("refused"), at(0));
    }
    world.roster.settle(at(0));
    assert_eq!(far(&world.spread(1_000, at(0))), 1_000);
    // Without a zone of one's own all are alike.
    let mut world = World::new(rules(), in_zones(&zones));
    assert_eq!(far(&world.spread(600, at(0))), 200);
}

#[test]
fn a_new_endpoint_gets_few_calls_at_first() {
    let mut world = World::new(Rules { slow_start: Duration::from_secs(10), ..rules() }, described(0..3));
    world.roster.settle(at(20_000));
    world.roster.describe(Source::Defined, described(0..4), at(20_000));
    let mut shares = Vec::new();
    for millis in [20_000, 22_500, 25_000, 30_000] {
        world.roster.settle(at(millis));
        shares.push(world.spread(4_000, at(millis)).get(&3).copied().unwrap_or_default());
    }
    assert!(shares.is_sorted(), "{shares:?}");
    assert!(
        (100..160).contains(&shares[0]) && shares[3] == 1_000,
        "a tenth of a share, and then all of it: {shares:?}"
    );
    let due = world.roster.settle(at(20_100)).expect("weights change");
    assert!(due <= at(20_600), "they change step by step");
}

#[test]
fn endpoints_keep_what_is_known_of_them_when_they_are_described_anew() {
    let mut world = World::new(rules(), described(0..3));
    world.fail(1, 5, at(0));
    let mut next = described([4, 1]);
    next[1].instance.weight = 3;
    world.roster.describe(Source::Defined, next, at(0));
    assert_eq!(world.states(at(0)), [State::Healthy, State::Ejected]);
    assert_eq!(world.roster.view(at(0))[1].failed, 5);
    assert_eq!(world.endpoint(1).instance().weight, 3);
    // Described by two, it is the first one's, and stays when that goes.
    world.roster.describe(Source::Registered, described([1, 7]), at(0));
    assert_eq!(
        world.roster.view(at(0)).iter().map(|it| it.source).collect::<Vec<_>>(),
        [Source::Defined, Source::Defined, Source::Registered]
    );
    world.roster.describe(Source::Defined, Vec::new(), at(0));
    assert_eq!(world.states(at(0)), [State::Ejected, State::Healthy]);
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(7, 10)]));
}

#[test]
fn who_leaves_gets_no_more_calls_unless_nobody_else_is_there() {
    let leaving = |all: bool| {
        let mut described = described(0..2);
        described[0].is_leaving = true;
        described[1].is_leaving = all;
        described
    };
    let mut world = World::new(rules(), leaving(false));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(1, 10)]));
    assert!(!world.roster.picture().is_panic(), "who leaves is not missing");
    world.roster.describe(Source::Defined, leaving(true), at(0));
    assert_eq!(world.spread(10, at(0)).len(), 2);
}

#[test]
fn what_is_worse_than_the_others_goes_out_when_they_are_compared() {
    let mut world = World::new(rules(), described(0..4));
    let compared = world.roster.settle(at(0)).expect("they are compared");
    assert_eq!(compared, at(10_000));
    for _ in 0..100 {
        for number in 0..4 {
            let millis = if number == 3 { 400 } else { 10 };
            world.end(number, Outcome::Success(Duration::from_millis(millis)), at(5_000));
        }
    }
    world.roster.settle(at(9_999));
    assert_eq!(world.spread(400, at(9_999)).len(), 4);
    world.roster.settle(at(10_000));
    assert_eq!(world.states(at(10_000))[3], State::Ejected);
    assert_eq!(
        world.roster.view(at(10_000))[3].why.as_deref(),
        Some("its calls take 400ms on average, the median endpoint's 10ms")
    );
    // Nothing new is known at the next look, and that is no reason to keep it out.
    world.roster.settle(at(40_000));
    assert_eq!(world.states(at(40_000))[3], State::Healthy);
}

#[test]
fn a_call_that_is_kept_to_an_endpoint_goes_there_while_it_takes_calls() {
    let mut world = World::new(rules(), described(0..4));
    let kept = world.endpoint(2).id();
    let choose = |world: &mut World, tried: &[Id]| {
        let mut ask = Ask { key: 1, now: at(0), tried, room: u32::MAX, random: &mut world.random };
        world.roster.picture().choose(Some(kept), &mut ask).expect("there are some").id()
    };
    for _ in 0..20 {
        assert_eq!(choose(&mut world, &[]), kept);
        assert_ne!(choose(&mut world, &[kept]), kept);
    }
    world.end(2, Outcome::Unreachable("refused"), at(0));
    assert_ne!(choose(&mut world, &[]), kept);
}

#[test]
fn a_retry_goes_to_another_zone_before_it_goes_to_the_same_endpoint() {
    let mut world = World::new(Rules { zone: Some(name("a")), ..rules() }, in_zones(&["a", "b"]));
    let (near, far) = (world.endpoint(0).id(), world.endpoint(1).id());
    let mut ask = Ask { key: 1, now: at(0), tried: &[near], room: u32::MAX, random: &mut world.random };
    assert_eq!(world.roster.picture().choose(None, &mut ask).map(|it| it.id()), Some(far));
}

#[test]
fn pictures_change_only_when_something_does() {
    let world = World::new(rules(), described(0..4));
    let before = world.roster.picture();
    world.roster.settle(at(1));
    world.roster.describe(Source::Defined, described(0..4), at(2));
    world.end(0, Outcome::Success(Duration::from_millis(1)), at(3));
    world.roster.settle(at(4));
    assert!(world.roster.is_newest(&before));
    world.roster.rule(Rules { algorithm: Algorithm::PeakEwma, ..rules() }, at(5));
    assert!(!world.roster.is_newest(&before));
}

#[test]
fn a_call_that_has_a_connection_shows_that_an_endpoint_can_be_reached() {
    let mut world = World::new(rules(), described(0..2));
    for number in 0..2 {
        world.end(number, Outcome::Unreachable("refused"), at(0));
    }
    world.roster.settle(at(0));
    assert_eq!(world.spread(10, at(0)).len(), 2, "both are called for want of others");
    world.end(0, Outcome::Unreachable("refused"), at(1));
    assert_eq!(world.spread(10, at(0)).len(), 2, "that is nothing new");
    world.end(0, Outcome::Success(Duration::from_millis(1)), at(2));
    world.roster.settle(at(2));
    assert_eq!(world.spread(10, at(2)), BTreeMap::from([(0, 10)]));
}

#[test]
fn a_near_endpoint_that_was_found_dead_is_passed_over_at_once() {
    let mut world = World::new(Rules { zone: Some(name("a")), ..rules() }, in_zones(&["a", "b"]));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(0, 10)]));
    world.end(0, Outcome::Unreachable("refused"), at(0));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(1, 10)]));
}

#[test]
fn who_leaves_is_called_before_one_on_which_nobody_listens() {
    let mut all = described(0..2);
    all[0].is_leaving = true;
    let mut world = World::new(rules(), all);
    world.end(1, Outcome::Unreachable("refused"), at(0));
    world.roster.settle(at(0));
    assert_eq!(world.spread(10, at(0)), BTreeMap::from([(0, 10)]));
}

#[test]
fn whoever_waits_for_changes_is_told_of_states_and_not_of_counts() {
    let world = World::new(rules(), described(0..3));
    let mut changes = world.roster.changes();
    let mut is_told = || {
        let is_told = changes.has_changed().expect("the roster is there");
        changes.mark_unchanged();
        is_told
    };
    world.end(0, Outcome::Success(Duration::from_millis(1)), at(1));
    world.fail(0, 4, at(2));
    world.roster.settle(at(3));
    assert!(!is_told(), "calls alone are none");
    world.fail(0, 1, at(4));
    world.roster.settle(at(5));
    assert!(is_told(), "it was ejected");
    world.roster.settle(at(6));
    assert!(!is_told());
    world.roster.settle(at(120_000));
    assert!(is_told(), "it is back");
    world.roster.describe_if_other(Source::Defined, described(0..3), at(120_001));
    assert!(!is_told());
    let mut leaving = described(0..3);
    leaving[1].is_leaving = true;
    world.roster.describe(Source::Defined, leaving, at(120_002));
    assert!(is_told());
    world.end(2, Outcome::Unreachable("refused"), at(120_003));
    world.roster.settle(at(120_004));
    assert!(is_told());
}

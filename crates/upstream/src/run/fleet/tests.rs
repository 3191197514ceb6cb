//! What becomes of instances, event by event.

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn run(json: &str) -> Run {
    serde_json::from_str(json).expect("a definition")
}

fn fleet(json: &str) -> Fleet {
    Fleet::new(run(json), at(0))
}

fn starts(actions: &[Action]) -> Vec<Number> {
    let started = actions.iter().filter_map(|action| match action {
        Action::Start(number) => Some(*number),
        _ => None,
    });
    started.collect()
}

#[test]
fn as_many_run_as_there_should_be() {
    let mut fleet = fleet(r#"{"command": ["x"], "instances": 3}"#);
    let started = starts(&fleet.next(at(0)));
    assert_eq!(started.len(), 3);
    assert_eq!(fleet.next(at(1)), []);
    started.iter().for_each(|number| fleet.is_ready(*number, at(2)));
    fleet.scale(1);
    let leaves = fleet.next(at(20_000));
    assert_eq!(leaves, [Action::Leave(started[2]), Action::Leave(started[1])]);
    fleet.is_idle(started[2], at(20_001));
    assert_eq!(fleet.next(at(20_001)), [Action::Terminate(started[2])]);
    assert_eq!(fleet.next(at(25_001)), [Action::Kill(started[2])]);
    assert_eq!(fleet.next(at(30_000)), [Action::Terminate(started[1])], "it had calls for 10 s");
    for number in [started[1], started[2]] {
        fleet.has_ended(number, at(31_000));
    }
    assert_eq!((fleet.next(at(31_000)), fleet.failures(), fleet.due(at(31_000))), (vec![], 0, None));
}

#[test]
fn one_that_ends_is_started_again_after_a_while_that_doubles() {
    let mut fleet = fleet(r#"{"command": ["x"]}"#);
    let mut now = 0;
    for wait in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
        let [number] = starts(&fleet.next(at(now)))[..] else { panic!("one is started") };
        fleet.has_ended(number, at(now));
        assert_eq!(fleet.next(at(now + wait - 1)), []);
        assert_eq!(fleet.due(at(now)), Some(at(now + wait)));
        now += wait;
    }
    let [number] = starts(&fleet.next(at(now)))[..] else { panic!("one is started") };
    fleet.is_ready(number, at(now));
    fleet.has_ended(number, at(now + 10_000));
    assert_eq!(fleet.due(at(now + 10_000)), Some(at(now + 10_100)), "it was of use, so that it begins anew");
}

#[test]
fn after_a_failure_one_shows_whether_it_is_over() {
    let mut fleet = fleet(r#"{"command": ["x"], "instances": 3}"#);
    for number in starts(&fleet.next(at(0))) {
        fleet.has_ended(number, at(0));
    }
    let [number] = starts(&fleet.next(at(60_000)))[..] else { panic!("one is tried") };
    fleet.is_ready(number, at(60_100));
    assert_eq!(starts(&fleet.next(at(60_100))).len(), 2, "it is over");
}

#[test]
fn one_that_does_not_begin_in_time_is_ended() {
    let mut fleet = fleet(r#"{"command": ["x"], "start_timeout": "1s"}"#);
    let [number] = starts(&fleet.next(at(0)))[..] else { panic!("one is started") };
    assert_eq!(fleet.due(at(0)), Some(at(1_000)));
    assert_eq!(fleet.next(at(1_000)), [Action::Terminate(number)]);
    assert_eq!(fleet.failures(), 1);
    let again = fleet.next(at(1_100));
    assert_eq!(starts(&again).len(), 1, "{again:?}");
}

#[test]
fn a_row_of_failures_is_over_when_one_was_of_use_since() {
    let mut fleet = fleet(r#"{"command": ["x"], "instances": 2}"#);
    let first = starts(&fleet.next(at(0)));
    fleet.is_ready(first[0], at(0));
    let (mut last, mut now) = (first[1], 0);
    for wait in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600] {
        fleet.has_ended(last, at(now));
        assert_eq!(
            fleet.due(at(now)),
            Some(at(now + wait)),
            "that the other one works says nothing of this one"
        );
        now += wait;
        last = starts(&fleet.next(at(now)))[0];
    }
    fleet.is_ready(last, at(now));
    fleet.next(at(now + 9_999));
    assert_eq!(fleet.failures(), 9);
    fleet.next(at(now + 10_000));
    assert_eq!(fleet.failures(), 0);
    fleet.scale(3);
    let [another] = starts(&fleet.next(at(now + 20_000)))[..] else { panic!("one is started") };
    fleet.has_ended(another, at(now + 20_000));
    assert_eq!(fleet.due(at(now + 20_000)), Some(at(now + 20_100)));
}

#[test]
fn one_that_is_missing_and_may_be_has_not_failed() {
    let mut fleet = fleet(r#"{"command": ["x"], "optional": true}"#);
    let [number] = starts(&fleet.next(at(0)))[..] else { panic!("one is tried") };
    fleet.scale(0);
    fleet.is_missing(number);
    assert_eq!((fleet.failed(), fleet.failures(), fleet.next(at(0))), (0, 0, vec![]));
    fleet.scale(1);
    assert_eq!(starts(&fleet.next(at(0))).len(), 1, "at once");
}

/// Rolls from one version to another, each new one being ready after a second; returns the fewest that took calls, and the most that ran.
fn roll(more: &str) -> (usize, usize) {
    let mut fleet = fleet(&format!(r#"{{"command": ["one"], "instances": 4{more}}}"#));
    let mut up: Vec<Number> = starts(&fleet.next(at(0)));
    up.iter().for_each(|number| fleet.is_ready(*number, at(0)));
    fleet.define(run(&format!(r#"{{"command": ["two"], "instances": 4{more}}}"#)), at(20_000));
    let (mut fewest, mut most) = (usize::MAX, 0);
    let old = up.clone();
    for step in 0..100 {
        let now = at(20_000 + step * 1_000);
        for action in fleet.next(now) {
            match action {
                Action::Start(number) => up.push(number),
                Action::Take(_) => panic!("none was warm"),
                Action::Leave(number) => fleet.is_idle(number, now),
                Action::Terminate(number) | Action::Kill(number) => {
                    fleet.has_ended(number, now);
                    up.retain(|it| *it != number);
                }
            }
        }
        let phases: Vec<_> = up.iter().filter_map(|number| fleet.phase(*number)).collect();
        let ready = phases.iter().filter(|phase| matches!(phase, Phase::Ready(_))).count();
        let starting = phases.iter().filter(|phase| matches!(phase, Phase::Starting(_))).count();
        (fewest, most) = (fewest.min(ready), most.max(ready + starting));
        up.iter().for_each(|number| fleet.is_ready(*number, now));
    }
    assert!(
        up.len() == 4 && up.iter().all(|number| !old.contains(number)),
        "all are of the new version: {up:?}"
    );
    (fewest, most)
}

#[test]
fn a_version_takes_over_from_another_within_bounds() {
    assert_eq!(roll(""), (4, 5));
    assert_eq!(roll(r#", "max_surge": 3"#), (4, 7));
    assert_eq!(roll(r#", "max_surge": 0, "max_unavailable": 1"#), (3, 4));
    assert_eq!(roll(r#", "max_surge": 1, "max_unavailable": 2"#), (2, 5));
}

#[test]
fn what_runs_stays_when_a_definition_comes_back() {
    let mut fleet = fleet(r#"{"command": ["one"]}"#);
    starts(&fleet.next(at(0))).iter().for_each(|number| fleet.is_ready(*number, at(0)));
    fleet.define(run(r#"{"command": ["two"]}"#), at(1));
    let [new] = starts(&fleet.next(at(1)))[..] else { panic!("one is started") };
    fleet.has_ended(new, at(2));
    fleet.define(run(r#"{"command": ["one"]}"#), at(3));
    assert_eq!(fleet.next(at(3)), []);
}

#[test]
fn a_definition_that_starts_the_same_replaces_nothing() {
    let mut fleet = fleet(r#"{"command": ["x"], "instances": 2}"#);
    starts(&fleet.next(at(0))).iter().for_each(|number| fleet.is_ready(*number, at(0)));
    fleet.scale(5);
    fleet.define(run(r#"{"command": ["x"], "instances": 2, "drain": "1s"}"#), at(1));
    assert_eq!((fleet.wanted(), starts(&fleet.next(at(1))).len()), (5, 3), "what was scaled stays so");
    fleet.define(run(r#"{"command": ["x"], "instances": 1}"#), at(2));
    assert_eq!(fleet.wanted(), 1);
}

fn phases(fleet: &Fleet) -> (u32, u32, u32, u32) {
    let Counts { starting, warm, ready, leaving } = fleet.counts();
    (starting, warm, ready, leaving)
}

/// A fleet whose instances are all up since the beginning.
fn up(json: &str) -> (Fleet, Vec<Number>) {
    let mut fleet = fleet(json);
    let started = starts(&fleet.next(at(0)));
    started.iter().for_each(|number| fleet.is_ready(*number, at(0)));
    (fleet, started)
}

#[test]
fn a_warm_one_takes_calls_at_once_when_one_ends_or_more_are_wanted() {
    let (mut fleet, started) = up(r#"{"command": ["x"], "instances": 2, "warm": 1}"#);
    assert_eq!((started.len(), phases(&fleet)), (3, (0, 1, 2, 0)));
    fleet.has_ended(started[0], at(100));
    assert_eq!(fleet.next(at(100)), [Action::Take(started[2])], "another one is started in its place later");
    let next = starts(&fleet.next(at(200)));
    assert_eq!((next.len(), phases(&fleet)), (1, (1, 0, 2, 0)));
    fleet.is_ready(next[0], at(300));
    assert_eq!(phases(&fleet), (0, 1, 2, 0));
    fleet.scale(4);
    let actions = fleet.next(at(20_000));
    assert_eq!((actions[0], starts(&actions).len()), (Action::Take(next[0]), 2));
    assert_eq!(phases(&fleet), (2, 0, 3, 0));
    fleet.scale(0);
    fleet.next(at(20_000));
    assert_eq!(phases(&fleet), (0, 0, 0, 5), "none is warm for nobody");
}

#[test]
fn those_that_are_too_many_go_before_those_that_are_warm() {
    let (mut fleet, started) = up(r#"{"command": ["x"], "instances": 3, "warm": 1}"#);
    fleet.scale(2);
    assert_eq!(fleet.next(at(0)), [Action::Leave(started[2])]);
    assert_eq!(phases(&fleet), (0, 1, 2, 1));
    fleet.define(run(r#"{"command": ["x"], "instances": 3}"#), at(1));
    assert_eq!(fleet.next(at(1)), [Action::Leave(started[3])], "none is to be warm any more");
}

#[test]
fn those_that_are_warm_are_replaced_with_the_others_once_the_new_version_works() {
    let (mut fleet, old) = up(r#"{"command": ["one"], "instances": 2, "warm": 1}"#);
    fleet.define(run(r#"{"command": ["two"], "instances": 2, "warm": 1}"#), at(0));
    let new = starts(&fleet.next(at(0)));
    assert_eq!(new.len(), 1);
    fleet.has_ended(old[0], at(1));
    assert_eq!(fleet.next(at(1)), [Action::Take(old[2])], "it stands in, as long as none is new");
    let mut now = 200;
    let mut all_new = new;
    loop {
        let actions = fleet.next(at(now));
        for action in &actions {
            match action {
                Action::Terminate(number) | Action::Kill(number) => fleet.has_ended(*number, at(now)),
                Action::Leave(number) => fleet.is_idle(*number, at(now)),
                Action::Start(number) => all_new.push(*number),
                Action::Take(_) => {}
            }
        }
        if actions.is_empty() && fleet.counts().starting == 0 {
            break;
        }
        all_new.iter().for_each(|number| fleet.is_ready(*number, at(now)));
        now += 100;
    }
    assert_eq!(phases(&fleet), (0, 1, 2, 0));
    assert!(old.iter().all(|number| fleet.phase(*number).is_none()), "all are of the new version");
}

#[test]
fn one_that_is_warm_stands_by_until_one_of_the_new_version_works() {
    let (mut fleet, old) = up(r#"{"command": ["one"], "instances": 2, "warm": 1}"#);
    fleet.define(run(r#"{"command": ["two"], "instances": 2, "warm": 1}"#), at(0));
    let actions = fleet.next(at(0));
    let [new] = starts(&actions)[..] else { panic!("one is started") };
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert_eq!(fleet.next(at(100)), []);
    assert_eq!(phases(&fleet), (1, 1, 2, 0));
    fleet.has_ended(new, at(200));
    assert_eq!(fleet.next(at(200)), [], "nor does it go when that has failed");
    let [new] = starts(&fleet.next(at(300)))[..] else { panic!("one is tried again") };
    assert_eq!(phases(&fleet), (1, 1, 2, 0));
    fleet.is_ready(new, at(400));
    assert!(fleet.next(at(400)).contains(&Action::Leave(old[2])), "it works");
}

#[test]
fn those_that_are_warm_make_room_where_there_is_none_for_another_version() {
    let (mut fleet, old) = up(r#"{"command": ["one"], "instances": 1, "warm": 2}"#);
    fleet.define(run(r#"{"command": ["two"], "instances": 1}"#), at(0));
    let actions = fleet.next(at(0));
    assert_eq!(actions[..2], [Action::Leave(old[1]), Action::Leave(old[2])]);
    assert_eq!((starts(&actions).len(), phases(&fleet)), (1, (1, 0, 1, 2)));
}

#[test]
fn one_that_takes_too_much_goes_when_another_takes_its_place() {
    let (mut fleet, started) = up(r#"{"command": ["x"], "instances": 2}"#);
    assert!(fleet.is_spent(started[0], true, at(20_000)) && !fleet.is_spent(started[0], true, at(20_001)));
    assert_eq!((fleet.next(at(20_001)), fleet.failed()), (vec![], 1));
    let [next] = starts(&fleet.next(at(20_100)))[..] else { panic!("one is started") };
    assert_eq!(phases(&fleet), (1, 0, 2, 0));
    fleet.is_ready(next, at(20_200));
    assert_eq!(fleet.next(at(20_200)), [Action::Leave(started[0])]);
    assert!(!fleet.is_spent(started[0], true, at(20_300)), "it has its calls to finish");
    assert!(fleet.is_spent(started[0], false, at(20_300)));
    assert_eq!((fleet.next(at(20_300)), fleet.failed()), (vec![Action::Terminate(started[0])], 1));
    let (mut fleet, started) = up(r#"{"command": ["x"], "instances": 2, "warm": 1}"#);
    fleet.is_spent(started[0], false, at(20_000));
    assert_eq!(fleet.next(at(20_000)), [Action::Terminate(started[0]), Action::Take(started[2])]);
}

#[test]
fn a_rule_that_changes_leaves_as_many_as_it_may() {
    let with = |max: u32| {
        format!(r#"{{"command": ["x"], "scale": {{"max": {max}, "target": {{"in_flight": 1}}}}}}"#)
    };
    let mut fleet = fleet(&with(9));
    fleet.scale(7);
    for (definition, wanted) in [(with(8), 7), (with(4), 4), (r#"{"command": ["x"]}"#.to_owned(), 1)] {
        fleet.define(run(&definition), at(0));
        assert_eq!(fleet.wanted(), wanted, "{definition}");
    }
}

/// Something that happens to a fleet; what it happens to is drawn by a number.
#[derive(Debug, Clone)]
enum Event {
    Time(u64),
    Scale(u32),
    Define(u32, u32, u32, u32),
    Ready(usize),
    Ended(usize),
    Idle(usize),
    Spent(usize, bool),
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    use proptest::prelude::*;
    prop_oneof![
        3 => (0_u64..20_000).prop_map(Event::Time),
        1 => (0_u32..7).prop_map(Event::Scale),
        1 => (0_u32..3, 1_u32..3, 0_u32..2, 0_u32..3).prop_map(|(version, surge, unavailable, warm)| Event::Define(version, surge, unavailable, warm)),
        6 => any::<usize>().prop_map(Event::Ready),
        2 => any::<usize>().prop_map(Event::Ended),
        2 => any::<usize>().prop_map(Event::Idle),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_borne)| Event::Spent(which, is_borne)),
    ]
}

/// A fleet with the processes that it has, and how it was defined last.
struct World {
    fleet: Fleet,
    running: Vec<Number>,
    now: u64,
    of: (u32, u32, u32, u32),
}

impl World {
    fn definition((version, surge, unavailable, warm): (u32, u32, u32, u32)) -> Run {
        run(&format!(
            r#"{{"command": ["{version}"], "instances": 3, "max_surge": {surge}, "max_unavailable": {unavailable}, "warm": {warm}}}"#
        ))
    }

    fn new() -> Self {
        let of = (0, 1, 0, 1);
        Self { fleet: Fleet::new(Self::definition(of), at(0)), running: Vec::new(), now: 0, of }
    }

    fn happens(&mut self, event: &Event) {
        let now = at(self.now);
        let one = |which: usize| self.running.get(which % self.running.len().max(1)).copied();
        match *event {
            Event::Time(millis) => self.now += millis,
            Event::Scale(wanted) => self.fleet.scale(wanted),
            Event::Define(version, surge, unavailable, warm) => {
                self.of = (version, surge, unavailable, warm);
                self.fleet.define(Self::definition(self.of), now);
            }
            Event::Ready(which) => one(which).into_iter().for_each(|number| self.fleet.is_ready(number, now)),
            Event::Ended(which) => {
                if let Some(number) = one(which) {
                    self.running.retain(|it| *it != number);
                    self.fleet.has_ended(number, now);
                }
            }
            Event::Idle(which) => one(which).into_iter().for_each(|number| self.fleet.is_idle(number, now)),
            Event::Spent(which, is_borne) => {
                if let Some(number) = one(which) {
                    self.fleet.is_spent(number, is_borne, now);
                }
            }
        }
    }

    /// Those of an earlier version that are warm while none of the newest works, and those of the newest that begin.
    fn standing_by(&self) -> (Vec<Number>, Vec<Number>) {
        let of = |is: &dyn Fn(&Instance) -> bool| -> Vec<Number> {
            self.fleet.instances.iter().filter(|it| is(it)).map(|it| it.number).collect()
        };
        let is_new = |it: &Instance| it.is_new(&self.fleet.run);
        if self.fleet.wanted() == 0 || !of(&|it| is_new(it) && (it.is_warm() || it.is_ready())).is_empty() {
            return (Vec::new(), Vec::new());
        }
        (of(&|it| it.is_warm() && !it.is_spent && !is_new(it)), of(&|it| it.is_starting() && is_new(it)))
    }

    /// Does what the fleet says, and sees that it may say so.
    fn acts(&mut self) -> usize {
        let before = self.fleet.counts();
        let standing_by = self.standing_by();
        let actions = self.fleet.next(at(self.now));
        // Unless the new one did not begin in time, or it stands in, and fewer may take calls meanwhile.
        if self.fleet.instances.iter().any(|it| it.is_starting() && standing_by.1.contains(&it.number)) {
            let is_gone = |number: &&Number| {
                actions.contains(&Action::Leave(**number)) && !actions.contains(&Action::Take(**number))
            };
            let gone = standing_by.0.iter().find(is_gone);
            assert_eq!(gone, None, "no new one works yet, of {standing_by:?}");
        }
        let (after, wanted) = (self.fleet.counts(), self.fleet.wanted());
        let (_, surge, unavailable, warm) = self.of;
        let warm = if wanted == 0 { 0 } else { warm };
        let went = actions.iter().filter(|action| matches!(action, Action::Leave(_))).count();
        assert!(
            after.ready >= before.ready.min(wanted.saturating_sub(unavailable)),
            "{before:?} -> {after:?} by {actions:?}, of {wanted}"
        );
        assert!(
            after.ready >= wanted
                || went > 0
                || after.warm == 0
                || self.fleet.instances.iter().all(|it| it.is_spent || !it.is_warm()),
            "one is warm, and too few take calls: {after:?} of {wanted}"
        );
        for action in &actions {
            match action {
                Action::Start(number) => {
                    let up = after.starting + after.warm + after.ready;
                    assert!(up <= wanted + warm + surge, "{after:?} of {wanted} and {warm}");
                    self.running.push(*number);
                }
                Action::Take(_) | Action::Leave(_) | Action::Terminate(_) => {}
                Action::Kill(number) => {
                    self.running.retain(|it| it != number);
                    self.fleet.has_ended(*number, at(self.now));
                }
            }
        }
        for number in &self.running {
            assert!(self.fleet.phase(*number).is_some(), "{number:?} runs, and is forgotten");
        }
        assert_eq!(self.fleet.instances.len(), self.running.len(), "what has ended is forgotten");
        actions.len()
    }

    /// All that is started works from now on, and ends when it is told to.
    fn comes_to_rest(&mut self) {
        for _ in 0..1_000 {
            let acted = self.acts();
            let now = at(self.now);
            self.running.clone().into_iter().for_each(|number| match self.fleet.phase(number) {
                Some(Phase::Ending(_) | Phase::Killed) => {
                    self.running.retain(|it| *it != number);
                    self.fleet.has_ended(number, now);
                }
                Some(Phase::Leaving(_)) => self.fleet.is_idle(number, now),
                _ => self.fleet.is_ready(number, now),
            });
            self.now =
                self.fleet.due(now).map_or(self.now + 1, |due| due.as_nanos() / 1_000_000).max(self.now);
            let Counts { starting, warm, ready, leaving } = self.fleet.counts();
            let wanted = self.fleet.wanted();
            let is_new = self.fleet.instances.iter().all(|it| it.is_new(&self.fleet.run));
            let has_warm = if wanted == 0 { 0 } else { self.of.3 };
            if acted == 0 && (starting, warm, ready, leaving) == (0, has_warm, wanted, 0) && is_new {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.fleet);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_happens_enough_take_calls_and_none_is_forgotten(events in proptest::collection::vec(event(), 0..80)) {
        let mut world = World::new();
        world.acts();
        for event in &events {
            world.happens(event);
            world.acts();
        }
        world.comes_to_rest();
    }
}

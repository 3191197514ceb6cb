//! Who runs, who waits and who is turned away, and laws over random histories.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use mainstay_base::units::Duration;
use proptest::prelude::*;

use super::*;
use crate::call::Key;
use crate::testing::at;

fn key(number: u8) -> Key {
    Key::of(1, &[number])
}

fn config(concurrent: u32, queue: u32) -> Config {
    let concurrent = NonZeroU32::new(concurrent).unwrap();
    Config { concurrent, queue, ..Config::default() }
}

/// A bulkhead, and a clock that is moved by hand.
struct Scene {
    bulkhead: Bulkhead,
    now_ms: u64,
}

impl Scene {
    fn new(config: Config) -> Self {
        config.check().unwrap();
        Self { bulkhead: Bulkhead::new(config), now_ms: 0 }
    }

    fn ask(&mut self, of: u8, deadline_ms: Option<u64>) -> Result<Asked, Rejection> {
        let facts = Facts { key: key(of), deadline: deadline_ms.map(at), ..Facts::new(at(self.now_ms)) };
        self.bulkhead.ask(&facts)
    }

    fn passes(&mut self) -> Permit {
        match self.ask(0, None) {
            Ok(Asked::Passed(permit)) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// A ticket, and the one that was displaced.
    fn waits(&mut self, of: u8) -> (Ticket, Option<Place>) {
        match self.ask(of, None) {
            Ok(Asked::Waits { ticket, displaced, .. }) => (ticket, displaced),
            other => panic!("{other:?}"),
        }
    }

    fn look(&mut self, ticket: Ticket) -> Turn {
        self.bulkhead.look(ticket, at(self.now_ms))
    }

    fn release(&mut self, permit: Permit) -> Option<Place> {
        self.bulkhead.release(permit, at(self.now_ms))
    }
}

#[test]
fn calls_run_then_wait_then_are_turned_away() {
    let mut scene = Scene::new(config(2, 1));
    let (one, _two) = (scene.passes(), scene.passes());
    let (ticket, displaced) = scene.waits(0);
    assert_eq!(displaced, None);
    assert_eq!(scene.ask(0, None), Err(Rejection::BulkheadFull { concurrent: 2, waiting: 1 }));
    let Turn::Waits(ticket) = scene.look(ticket) else { panic!("nothing has ended") };
    assert_eq!(scene.release(one), Some(ticket.place()));
    assert_eq!((scene.bulkhead.running(), scene.bulkhead.waiting()), (2, 0), "its turn is its run");
    let Turn::Passed(permit) = scene.look(ticket) else { panic!("it is its turn") };
    assert_eq!(scene.release(permit), None);
    assert_eq!(scene.bulkhead.running(), 1);
}

#[test]
fn another_size_lets_those_run_that_wait_and_nobody_until_fewer_run() {
    let size = |size: u32| NonZeroU32::new(size).expect("it is above zero");
    let mut scene = Scene::new(config(1, 8));
    let first = scene.passes();
    let tickets: Vec<_> = (0..3).map(|of| scene.waits(of).0).collect();
    let places: Vec<_> = tickets.iter().map(Ticket::place).collect();
    assert_eq!(scene.bulkhead.resize(size(3), at(0)), places[..2], "two more in their turn");
    assert_eq!(scene.bulkhead.resize(size(1), at(0)), []);
    let mut passed: Vec<_> = Vec::new();
    for ticket in tickets {
        match scene.look(ticket) {
            Turn::Passed(permit) => passed.push(permit),
            Turn::Waits(ticket) => assert_eq!(ticket.place(), places[2]),
            Turn::Rejected(rejection) => panic!("{rejection}"),
        }
    }
    assert_eq!((passed.len(), scene.bulkhead.running()), (2, 3), "those that run go on");
    assert_eq!(passed.into_iter().map(|permit| scene.release(permit)).collect::<Vec<_>>(), [None, None]);
    assert_eq!(scene.release(first), Some(places[2]));
}

#[test]
fn without_a_queue_nothing_waits() {
    let mut scene = Scene::new(config(1, 0));
    let permit = scene.passes();
    assert_eq!(scene.ask(1, None), Err(Rejection::BulkheadFull { concurrent: 1, waiting: 0 }));
    scene.release(permit);
    let _ = scene.passes();
}

#[test]
fn keys_take_turns_and_each_is_first_come_first_served() {
    let mut scene = Scene::new(config(1, 8));
    let mut permit = scene.passes();
    let tickets = [1, 1, 1, 2, 3, 3, 1].map(|of| (of, scene.waits(of).0));
    let mut turns = Vec::new();
    for _ in &tickets {
        let place = scene.release(permit).unwrap();
        turns.push(tickets.iter().position(|(_, ticket)| ticket.place() == place).unwrap());
        permit = Permit(());
    }
    assert_eq!(turns, [0, 3, 4, 1, 5, 2, 6]);
}

#[test]
fn when_the_whole_is_full_the_longest_line_makes_room_for_shorter_ones() {
    let mut scene = Scene::new(config(1, 4));
    let _permit = scene.passes();
    let mut greedy: Vec<Ticket> = (0..4).map(|_| scene.waits(1).0).collect();
    assert!(scene.ask(1, None).is_err(), "not for itself");
    let (_other, displaced) = scene.waits(2);
    let newest = greedy.pop().unwrap();
    assert_eq!(displaced, Some(newest.place()));
    assert_eq!(scene.look(newest), Turn::Rejected(Rejection::BulkheadFull { concurrent: 1, waiting: 4 }));
    let (_other, displaced) = scene.waits(2);
    assert_eq!(displaced, greedy.pop().as_ref().map(Ticket::place));
    assert!(scene.ask(2, None).is_err(), "both have an even share");
    let (_third, displaced) = scene.waits(3);
    assert!(displaced.is_some(), "one that has none yet is always let in for one that has two");
    assert_eq!(scene.bulkhead.waiting(), 4);
}

#[test]
fn nothing_waits_longer_than_it_may_or_past_its_deadline() {
    let mut scene = Scene::new(config(1, 4));
    let permit = scene.passes();
    assert_eq!(scene.ask(1, Some(0)), Err(Rejection::DeadlinePassed));
    let asked = [Some(50), Some(100), Some(101), None].map(|deadline_ms| scene.ask(1, deadline_ms).unwrap());
    let [due, just_due, waited, last] = asked.map(|asked| match asked {
        Asked::Waits { ticket, until, .. } => (ticket, until),
        Asked::Passed(_) => panic!("one runs"),
    });
    assert_eq!([due.1, just_due.1, waited.1, last.1], [at(50), at(100), at(100), at(100)]);
    scene.now_ms = 50;
    assert_eq!(scene.look(due.0), Turn::Rejected(Rejection::DeadlinePassed), "it sees by itself");
    scene.now_ms = 100;
    assert_eq!(scene.release(permit), None, "the turn of one that is late is no turn");
    assert_eq!((scene.bulkhead.running(), scene.bulkhead.waiting()), (0, 0));
    assert_eq!(scene.look(just_due.0), Turn::Rejected(Rejection::DeadlinePassed));
    let limit = Duration::from_millis(100);
    assert_eq!(scene.look(waited.0), Turn::Rejected(Rejection::BulkheadWaited { concurrent: 1, limit }));
}

#[test]
fn a_turn_that_was_given_to_one_that_went_away_goes_to_the_next() {
    let mut scene = Scene::new(config(1, 4));
    let permit = scene.passes();
    let [(first, _), (gone, _), (next, _)] = [1, 2, 3].map(|of| scene.waits(of));
    assert_eq!(scene.bulkhead.leave(gone, at(0)), None);
    assert_eq!(scene.bulkhead.waiting(), 2);
    assert_eq!(scene.release(permit), Some(first.place()));
    assert_eq!(scene.bulkhead.leave(first, at(0)), Some(next.place()));
    assert!(matches!(scene.look(next), Turn::Passed(_)));
    assert_eq!((scene.bulkhead.running(), scene.bulkhead.waiting()), (1, 0));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases = [
        ("at most 65536", config(1, 65_537)),
        ("nothing would ever wait", Config { max_wait: Duration::ZERO, ..Config::default() }),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config { queue: 0, max_wait: Duration::ZERO, ..Config::default() }.check(), Ok(()));
    let read: Config = serde_json::from_str(r#"{"concurrent": 8, "max_wait": "1s"}"#).unwrap();
    assert_eq!(read, Config { max_wait: Duration::from_secs(1), ..config(8, 64) });
    assert!(serde_json::from_str::<Config>(r#"{"concurrent": 0}"#).is_err());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { of: u8, deadline_ms: Option<u64> },
    Look { place: usize },
    Leave { place: usize },
    Release { place: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    // One key asks as often as all others together.
    let of = prop_oneof![Just(0_u8), 0_u8..6];
    prop_oneof![
        6 => (of, prop::option::of(0_u64..150)).prop_map(|(of, deadline_ms)| Step::Ask { of, deadline_ms }),
        2 => (0_usize..64).prop_map(|place| Step::Look { place }),
        1 => (0_usize..64).prop_map(|place| Step::Leave { place }),
        3 => (0_usize..64).prop_map(|place| Step::Release { place }),
        1 => (0_u64..60).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// How it would be by keeping every line whole: the line whose turn is next first, and who waits in it until when.
#[derive(Default)]
struct Naive {
    lines: VecDeque<(u8, Vec<(Place, u64)>)>,
}

impl Naive {
    fn waiting(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).sum()
    }

    fn count_of(&self, of: u8) -> usize {
        self.lines.iter().find(|(key, _)| *key == of).map_or(0, |(_, line)| line.len())
    }

    fn has(&self, place: Place) -> bool {
        self.lines.iter().any(|(_, line)| line.iter().any(|(other, _)| *other == place))
    }

    fn longest(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).max().unwrap_or(0)
    }

    fn push(&mut self, of: u8, waiter: (Place, u64)) {
        match self.lines.iter_mut().find(|(key, _)| *key == of) {
            Some((_, line)) => line.push(waiter),
            None => self.lines.push_back((of, vec![waiter])),
        }
    }

    /// Takes one out, and says how many were in its line and how many came after it there.
    fn remove(&mut self, place: Place) -> Option<(usize, usize)> {
        let mut found = None;
        for (_, line) in &mut self.lines {
            if let Some(at) = line.iter().position(|(other, _)| *other == place) {
                found = Some((line.len(), line.len() - at - 1));
                line.remove(at);
            }
        }
        self.lines.retain(|(_, line)| !line.is_empty());
        found
    }

    fn next(&mut self, now_ms: u64) -> Option<Place> {
        while let Some((of, mut line)) = self.lines.pop_front() {
            let (place, until_ms) = line.remove(0);
            if !line.is_empty() {
                self.lines.push_back((of, line));
            }
            if until_ms > now_ms {
                return Some(place);
            }
        }
        None
    }
}

/// One that was the first of its line, and how many turns others may have before it.
struct Single {
    place: Place,
    turns_left: usize,
}

/// Everything that a random history needs, next to what it is compared with.
struct History {
    scene: Scene,
    naive: Naive,
    running: Vec<Permit>,
    tickets: Vec<Ticket>,
    singles: Vec<Single>,
}

impl History {
    fn new(concurrent: u32, queue: u32) -> Self {
        Self {
            scene: Scene::new(config(concurrent, queue)),
            naive: Naive::default(),
            running: Vec::new(),
            tickets: Vec::new(),
            singles: Vec::new(),
        }
    }

    fn ask(&mut self, of: u8, deadline_ms: Option<u64>, queue: u32) -> Result<(), TestCaseError> {
        let is_full = self.naive.waiting() == queue as usize;
        let (own, longest) = (self.naive.count_of(of), self.naive.longest());
        let deadline_ms = deadline_ms.map(|ms| self.scene.now_ms + ms);
        match self.scene.ask(of, deadline_ms) {
            Ok(Asked::Passed(permit)) => self.running.push(permit),
            Ok(Asked::Waits { ticket, until, displaced }) => {
                prop_assert_eq!(displaced.is_some(), is_full);
                if let Some(place) = displaced {
                    prop_assert_eq!(
                        self.naive.remove(place),
                        Some((longest, 0)),
                        "the newest of the longest line"
                    );
                    prop_assert!(longest > own + 1);
                    self.singles.retain(|single| single.place != place);
                }
                if own == 0 {
                    self.singles.push(Single { place: ticket.place(), turns_left: self.naive.lines.len() });
                }
                self.naive.push(of, (ticket.place(), until.as_nanos() / 1_000_000));
                self.tickets.push(ticket);
            }
            Err(Rejection::DeadlinePassed) => prop_assert_eq!(deadline_ms, Some(self.scene.now_ms)),
            Err(_) => {
                prop_assert!(is_full && longest <= own + 1, "one with no line is let in for any longer one");
            }
        }
        Ok(())
    }

    /// Notes whose turn it is, which is the one whose it should be.
    fn turn(&mut self, next: Option<Place>) -> Result<(), TestCaseError> {
        prop_assert_eq!(next, self.naive.next(self.scene.now_ms));
        // Those that were late have gone as well.
        self.singles.retain(|single| self.naive.has(single.place));
        for single in self.singles.iter_mut().filter(|_| next.is_some()) {
            prop_assert!(single.turns_left > 0, "it waits for more than one turn of each key");
            single.turns_left -= 1;
        }
        Ok(())
    }

    fn step(&mut self, step: Step, queue: u32) -> Result<(), TestCaseError> {
        match step {
            Step::Ask { of, deadline_ms } => self.ask(of, deadline_ms, queue)?,
            Step::Look { place } if !self.tickets.is_empty() => {
                let ticket = self.tickets.swap_remove(place % self.tickets.len());
                let place = ticket.place();
                match self.scene.look(ticket) {
                    Turn::Waits(ticket) => self.tickets.push(ticket),
                    Turn::Passed(permit) => self.running.push(permit),
                    Turn::Rejected(_) => self.gone(place),
                }
            }
            Step::Leave { place } if !self.tickets.is_empty() => {
                let ticket = self.tickets.swap_remove(place % self.tickets.len());
                let place = ticket.place();
                let was_turn = self.scene.bulkhead.places[place.index()] == Stage::Passed;
                self.gone(place);
                let next = self.scene.bulkhead.leave(ticket, at(self.scene.now_ms));
                if was_turn {
                    self.turn(next)?;
                } else {
                    prop_assert_eq!(next, None);
                }
            }
            Step::Release { place } if !self.running.is_empty() => {
                let permit = self.running.swap_remove(place % self.running.len());
                let next = self.scene.release(permit);
                self.turn(next)?;
            }
            Step::Wait { ms } => self.scene.now_ms += ms,
            Step::Look { .. } | Step::Leave { .. } | Step::Release { .. } => {}
        }
        Ok(())
    }

    fn gone(&mut self, place: Place) {
        self.naive.remove(place);
        self.singles.retain(|single| single.place != place);
    }
}

proptest! {
    #[test]
    fn it_is_never_over_its_limits_keys_take_turns_and_no_permit_is_lost(
        steps in prop::collection::vec(step(), 1..300),
        concurrent in 1_u32..4,
        queue in 0_u32..12,
    ) {
        let mut history = History::new(concurrent, queue);
        for step in steps {
            history.step(step, queue)?;
            let bulkhead = &history.scene.bulkhead;
            prop_assert!(bulkhead.running() <= concurrent && bulkhead.waiting() <= queue);
            prop_assert!(bulkhead.waiting() == 0 || bulkhead.running() == concurrent, "nothing waits for nothing");
            prop_assert_eq!(bulkhead.waiting() as usize, history.naive.waiting());
            prop_assert_eq!(bulkhead.queue.count_of(key(0)) as usize, history.naive.count_of(0));
        }
        let History { mut scene, running, tickets, .. } = history;
        for ticket in tickets {
            let _ = scene.bulkhead.leave(ticket, at(scene.now_ms));
        }
        for permit in running {
            let _ = scene.release(permit);
        }
        prop_assert_eq!((scene.bulkhead.running(), scene.bulkhead.waiting()), (0, 0));
        prop_assert_eq!(scene.bulkhead.free.len(), scene.bulkhead.places.len());
        for _ in 0..concurrent {
            let _ = scene.passes();
        }
    }
}

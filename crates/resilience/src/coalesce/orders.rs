//! Flights between threads, in the orders in which these can take their steps: the code itself, with the locks of loom's model.
//!
//! A step is all that is done between two takings of locks. The model has every order with up to so many interruptions of threads that could go on; with a
//! thread that waits for a wake-up that never comes, it ends in a deadlock, which it reports.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread;

use super::flight::Lost;
use super::flights::{Flights, Passenger};

/// What a future does until it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Waits for so many events from outside, and answers.
    Answers { events: usize },
    /// Wakes itself once, and answers when it is polled again.
    Yields,
    /// Waits for an event from outside, and panics.
    Panics,
}

impl Act {
    /// How many events from outside it waits for.
    const fn events(self) -> usize {
        match self {
            Self::Answers { events } => events,
            Self::Yields => 0,
            Self::Panics => 1,
        }
    }
}

/// Until when a passenger stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Until it has an answer.
    ToTheEnd,
    /// Goes away right after so many polls.
    Polls(usize),
    /// Goes away when it has been woken after so many polls, instead of polling again.
    Wakings(usize),
    /// Is not polled any more after so many polls, and does not go away.
    StandsStillAfter(usize),
}

use Stay::{Polls, StandsStillAfter, ToTheEnd, Wakings};

/// What all futures of an order have in common.
struct World {
    act: Act,
    outside: Mutex<Outside>,
    /// Not of the model, as it decides nothing.
    seen: std::sync::Mutex<Seen>,
}

/// What was seen of calls.
#[derive(Default)]
struct Seen {
    begun: usize,
    alive: usize,
    alive_max: usize,
}

#[derive(Default)]
struct Outside {
    events: usize,
    waker: Option<Waker>,
}

struct Scripted {
    world: Arc<World>,
    number: usize,
    polls: usize,
    /// Written in each poll: the model ends if two do so at a time, or one does not see what the last one did.
    turn: UnsafeCell<()>,
}

impl World {
    fn new(act: Act) -> Self {
        Self { act, outside: Mutex::default(), seen: std::sync::Mutex::default() }
    }

    fn begin(self: &Arc<Self>) -> Scripted {
        let mut seen = self.seen();
        seen.begun += 1;
        seen.alive += 1;
        seen.alive_max = seen.alive_max.max(seen.alive);
        Scripted { world: self.clone(), number: seen.begun, polls: 0, turn: UnsafeCell::new(()) }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // A call that panics is dropped while it does.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One event from outside.
    fn happen(&self) {
        let mut outside = self.outside();
        outside.events += 1;
        let waker = outside.waker.take();
        drop(outside);
        waker.into_iter().for_each(Waker::wake);
    }

    fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().expect("nothing panics in it")
    }
}

impl Future for Scripted {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        self.polls += 1;
        self.turn.with_mut(|_| ());
        if self.world.act == Act::Yields && self.polls == 1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut outside = self.world.outside();
        if outside.events < self.world.act.events() {
            let last = outside.waker.replace(context.waker().clone());
            drop(outside);
            drop(last);
            return Poll::Pending;
        }
        drop(outside);
        if self.world.act == Act::Panics {
            // Without the hook, which would write thousands of messages.
            resume_unwind(Box::new("as scripted"));
        }
        Poll::Ready(self.number)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.turn.with_mut(|_| ());
        self.world.seen().alive -= 1;
    }
}

/// A task that a thread waits for.
#[derive(Default)]
struct Task {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Task {
    fn wait(&self) {
        let mut is_woken = self.is_woken.lock().expect("nothing panics in it");
        while !std::mem::take(&mut *is_woken) {
            is_woken = self.changed.wait(is_woken).expect("nothing panics in it");
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().expect("nothing panics in it") = true;
        self.changed.notify_one();
    }
}

type Place = Passenger<u8, Scripted>;

/// What became of a passenger.
enum End {
    Answered(Result<usize, Lost>),
    /// It drove the future when that panicked.
    Panicked,
    WentAway,
    /// It is still there.
    StandsStill(#[expect(dead_code, reason = "it is only held")] Place),
}

fn travel(place: Place, stay: Stay) -> End {
    let task = Arc::new(Task::default());
    let waker = Waker::from(task.clone());
    if stay == StandsStillAfter(0) {
        return End::StandsStill(place);
    }
    for polls in 1.. {
        let poll = || place.poll(&mut Context::from_waker(&waker));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(answer)) => return End::Answered(answer),
            Ok(Poll::Pending) => {}
            Err(_) => return End::Panicked,
        }
        if stay == Polls(polls) {
            break;
        }
        if stay == StandsStillAfter(polls) {
            return End::StandsStill(place);
        }
        task.wait();
        if stay == Wakings(polls) {
            break;
        }
    }
    End::WentAway
}

/// How passengers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boarding {
    /// All are aboard before anyone polls.
    Together,
    /// Each when its thread comes to it, perhaps when others have gone.
    Apart,
}

/// Tries all orders of threads with up to so many interruptions. Each passenger is a thread, and what happens outside is one more.
fn explore(interruptions: usize, boarding: Boarding, act: Act, stays: &[Stay]) {
    let stays: Arc<[Stay]> = stays.into();
    let mut model = Builder::new();
    model.preemption_bound = Some(interruptions);
    model.check(move || fly(boarding, act, &stays));
}

fn fly(boarding: Boarding, act: Act, stays: &[Stay]) {
    let world = Arc::new(World::new(act));
    let flights = Arc::new(Flights::new(10));
    let board = || {
        let (world, flights) = (world.clone(), flights.clone());
        move || flights.board(7, || world.begin()).0
    };
    let journeys: Vec<_> = stays
        .iter()
        .map(|stay| {
            let (board, stay) = (board(), *stay);
            let place = (boarding == Boarding::Together).then(&board);
            move || travel(place.unwrap_or_else(board), stay)
        })
        .collect();
    let threads: Vec<_> = journeys.into_iter().map(thread::spawn).collect();
    (0..act.events()).for_each(|_| world.happen());
    let ends: Vec<End> =
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect();
    judge(boarding, stays, &world, &ends);
    drop(ends);
    let Seen { alive, .. } = *world.seen();
    assert_eq!((alive, flights.count()), (0, 0), "nothing flies without passengers, and nothing is kept");
}

fn judge(boarding: Boarding, stays: &[Stay], world: &World, ends: &[End]) {
    let Seen { begun, alive_max, .. } = *world.seen();
    // When all have gone away the next call may begin while the last one is being dropped.
    if !stays.iter().any(|stay| matches!(stay, Polls(_) | Wakings(_))) {
        assert_eq!(alive_max, 1, "one call is made at a time");
    }
    if boarding == Boarding::Together {
        assert_eq!(begun, 1, "one call is made for all");
    }
    let panics = ends.iter().filter(|end| matches!(end, End::Panicked)).count();
    assert!(panics <= begun, "a call panics once");
    for (end, stay) in ends.iter().zip(stays) {
        match end {
            End::Answered(Ok(number)) => {
                assert!((1..=begun).contains(number), "it is the answer of a call");
                assert_ne!(world.act, Act::Panics);
            }
            End::Answered(Err(Lost)) | End::Panicked => assert_eq!(world.act, Act::Panics),
            End::WentAway | End::StandsStill(_) => assert_ne!(*stay, ToTheEnd),
        }
    }
}

/// All that calls do and in which ways they are boarded, with each of these parties of passengers.
fn explore_all(interruptions: usize, acts: &[Act], parties: &[&[Stay]]) {
    for boarding in [Boarding::Together, Boarding::Apart] {
        for act in acts {
            for party in parties {
                explore(interruptions, boarding, *act, party);
            }
        }
    }
}

const ANSWERING: [Act; 4] =
    [Act::Yields, Act::Answers { events: 0 }, Act::Answers { events: 1 }, Act::Answers { events: 2 }];

#[test]
fn one_call_is_made_and_all_have_its_answer() {
    explore_all(4, &ANSWERING, &[&[ToTheEnd; 2]]);
    explore_all(2, &ANSWERING, &[&[ToTheEnd; 3]]);
}

#[test]
fn those_that_go_away_strand_nobody() {
    for leaver in [Polls(1), Polls(2), Wakings(1), Wakings(2)] {
        explore_all(3, &ANSWERING, &[&[leaver, ToTheEnd], &[ToTheEnd, leaver], &[leaver; 2]]);
    }
    for leaver in [Polls(1), Wakings(1)] {
        explore_all(2, &ANSWERING, &[&[leaver, ToTheEnd, ToTheEnd], &[Polls(1), leaver, ToTheEnd]]);
    }
}

#[test]
fn those_that_stand_still_strand_nobody() {
    for still in [StandsStillAfter(0), StandsStillAfter(1), StandsStillAfter(2)] {
        explore_all(3, &ANSWERING, &[&[still, ToTheEnd], &[ToTheEnd, still]]);
        explore_all(2, &ANSWERING, &[&[still, Polls(1), ToTheEnd]]);
    }
}

#[test]
fn a_call_that_panics_strands_nobody() {
    explore_all(3, &[Act::Panics], &[&[ToTheEnd; 2]]);
    for other in [ToTheEnd, Polls(1), Wakings(1), StandsStillAfter(0), StandsStillAfter(1)] {
        explore_all(2, &[Act::Panics], &[&[other, ToTheEnd, ToTheEnd]]);
    }
}

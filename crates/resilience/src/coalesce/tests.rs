//! Flights driven by hand: every way in which up to three can board, be woken, go away or stand still.

use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::flight::{Flight, Lost};
use super::flights::{Flights, Passenger};
use super::*;

/// What a future does when it is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Waits to be woken from outside.
    Wait,
    /// Wakes itself.
    Yield,
    /// Panics.
    Panic,
}

/// What is seen of all futures of a scene.
#[derive(Default)]
struct Seen {
    begun: AtomicUsize,
    alive: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

/// Acts, and then answers with its number.
struct Scripted {
    acts: Vec<Act>,
    number: usize,
    seen: Arc<Seen>,
}

impl Scripted {
    fn begin(acts: &[Act], seen: &Arc<Seen>) -> Self {
        assert_eq!(seen.alive.fetch_add(1, Ordering::SeqCst), 0, "one flight at a time");
        let number = seen.begun.fetch_add(1, Ordering::SeqCst) + 1;
        Self { acts: acts.iter().rev().copied().collect(), number, seen: seen.clone() }
    }
}

impl std::future::Future for Scripted {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        match self.acts.pop() {
            Some(Act::Wait) => *self.seen.waker.lock().unwrap() = Some(context.waker().clone()),
            Some(Act::Yield) => context.waker().wake_by_ref(),
            // Without the hook, which would write thousands of messages.
            Some(Act::Panic) => resume_unwind(Box::new("as scripted")),
            None => return Poll::Ready(self.number),
        }
        Poll::Pending
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.seen.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A task that was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What one does that does not stay to the end, after so many polls.
#[derive(Debug, Clone, Copy)]
enum End {
    Stays,
    /// Goes away when it is polled next, instead of that: it may have been woken to drive the flight.
    GoesInsteadOf(usize),
    /// Goes away right after that poll.
    GoesAfter(usize),
    /// Is not polled any more, and does not go away.
    StandsStillAfter(usize),
}

const ENDS: [End; 10] = [
    End::Stays,
    End::GoesInsteadOf(0),
    End::GoesInsteadOf(1),
    End::GoesInsteadOf(2),
    End::GoesAfter(1),
    End::GoesAfter(2),
    End::GoesAfter(3),
    End::StandsStillAfter(0),
    End::StandsStillAfter(1),
    End::StandsStillAfter(2),
];

type Aboard = Passenger<u8, Scripted>;

struct Person {
    end: End,
    flag: Arc<Flag>,
    polls: usize,
    place: Option<Aboard>,
    answer: Option<Result<usize, Lost>>,
    /// Went away, stands still, or was the one whose poll panicked.
    is_out: bool,
}

impl Person {
    fn new(end: End) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self { end, flag, polls: 0, place: None, answer: None, is_out: false }
    }

    fn is_waiting(&self) -> bool {
        self.answer.is_none() && !self.is_out
    }

    /// Takes its turn, if it was woken. Returns whether it did.
    fn turn(&mut self, board: impl FnOnce() -> Aboard) -> bool {
        if !self.is_waiting() || !self.flag.0.swap(false, Ordering::SeqCst) {
            return false;
        }
        let place = self.place.take().unwrap_or_else(board);
        if matches!(self.end, End::GoesInsteadOf(polls) if polls == self.polls) {
            self.is_out = true;
            return true;
        }
        if !matches!(self.end, End::StandsStillAfter(0)) {
            self.polls += 1;
            let waker = Waker::from(self.flag.clone());
            let polled = catch_unwind(AssertUnwindSafe(|| place.poll(&mut Context::from_waker(&waker))));
            match polled {
                Ok(Poll::Ready(answer)) => self.answer = Some(answer),
                Ok(Poll::Pending) => {}
                Err(_) => self.is_out = true,
            }
        }
        match self.end {
            End::GoesAfter(polls) if polls == self.polls => self.is_out = true,
            End::StandsStillAfter(polls) if polls == self.polls && self.is_waiting() => {
                self.is_out = true;
                self.place = Some(place);
            }
            _ if self.is_waiting() => self.place = Some(place),
            _ => {}
        }
        true
    }
}

/// Has everyone take turns until nothing moves. Whoever waits then was stranded.
fn play(order: &[usize], ends: &[End], acts: &[Act]) {
    let seen = Arc::new(Seen::default());
    let flights = Arc::new(Flights::new(10));
    let mut people: Vec<Person> = ends.iter().map(|end| Person::new(*end)).collect();
    let mut is_panicking = false;
    loop {
        let board = || flights.board(7, || Scripted::begin(acts, &seen)).0;
        // One turn each in this order, so that all have boarded before the first has a second one.
        let moved = order.iter().filter(|person| people[**person].turn(board)).count();
        if moved > 0 {
            continue;
        }
        let Some(waker) = seen.waker.lock().unwrap().take() else { break };
        waker.wake();
    }
    let case = format!("{order:?} {ends:?} {acts:?}");
    for person in &people {
        assert!(!person.is_waiting(), "stranded: {case}");
        is_panicking |= person.answer == Some(Err(Lost));
    }
    assert!(!is_panicking || acts.contains(&Act::Panic), "{case}");
    people.clear();
    assert_eq!(seen.alive.load(Ordering::SeqCst), 0, "nothing flies without passengers: {case}");
    assert_eq!(flights.count(), 0, "{case}");
}

fn scripts() -> Vec<Vec<Act>> {
    let mut scripts = vec![vec![]];
    for first in [Act::Wait, Act::Yield, Act::Panic] {
        scripts.push(vec![first]);
        for second in [Act::Wait, Act::Yield, Act::Panic] {
            scripts.push(vec![first, second]);
            scripts.push(vec![first, second, Act::Wait]);
            scripts.push(vec![first, second, Act::Yield]);
        }
    }
    scripts
}

#[test]
fn nobody_is_stranded_however_others_go_away_or_stand_still() {
    for acts in scripts() {
        for one in ENDS {
            play(&[0], &[one], &acts);
            for two in ENDS {
                for order in [[0, 1], [1, 0]] {
                    play(&order, &[one, two], &acts);
                }
                for three in ENDS {
                    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                        play(&order, &[one, two, three], &acts);
                    }
                }
            }
        }
    }
}

fn poll(passenger: &Aboard) -> Poll<Result<usize, Lost>> {
    passenger.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn one_is_made_for_all_that_are_there_and_another_for_who_comes_later() {
    let seen = Arc::new(Seen::default());
    let flights = Arc::new(Flights::new(10));
    let board = || flights.board(7, || Scripted::begin(&[Act::Wait; 2], &seen));
    let ((first, is_follower), (second, is_second_follower)) = (board(), board());
    assert_eq!((is_follower, is_second_follower), (false, true));
    assert!(poll(&first).is_pending() && poll(&second).is_pending(), "the second has its turn as well");
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1);
    let answer = poll(&second);
    assert_eq!(answer, Poll::Ready(Ok(1)));
    let (later, is_follower) = board();
    assert!(!is_follower && poll(&later).is_pending(), "the answer is not kept for it");
    assert!(poll(&later).is_pending());
    assert_eq!((poll(&first), poll(&later)), (Poll::Ready(Ok(1)), Poll::Ready(Ok(2))));
}

#[test]
fn a_full_flight_is_followed_by_another_one() {
    let seen = Seen::default;
    let flights = Arc::new(Flights::new(2));
    let board = |seen| flights.board(7, || Scripted::begin(&[], &Arc::new(seen)));
    let mut aboard: Vec<(Aboard, bool)> = (0..7).map(|_| board(seen())).collect();
    let are_followers: Vec<bool> = aboard.iter().map(|(_, is_follower)| *is_follower).collect();
    assert_eq!(are_followers, [false, true, true, false, true, true, false]);
    aboard.drain(..3);
    aboard.push(board(seen()));
    assert!(aboard[4].1, "the end of the full one leaves the last one where it was");
    drop(aboard);
    assert_eq!(flights.count(), 0);
}

#[test]
fn a_seat_that_was_left_is_given_again_and_keeps_no_waker() {
    let (flight, _) = Flight::boarding();
    flight.launch(std::future::pending::<()>());
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    for _ in 0..3 {
        let seat = flight.board(2).unwrap();
        assert!(flight.poll(seat, &mut Context::from_waker(&waker)).is_pending());
        assert_eq!((seat, Arc::strong_count(&flag)), (1, 3));
        drop(flight.leave(seat));
    }
    assert_eq!(Arc::strong_count(&flag), 2, "this one's and the waker's");
}

#[test]
fn one_that_moves_to_another_task_is_woken_there() {
    let (flights, seen) = (Arc::new(Flights::new(10)), Arc::new(Seen::default()));
    let (one, _) = flights.board(7, || Scripted::begin(&[Act::Wait; 2], &seen));
    let flags = [(); 2].map(|()| Arc::new(Flag(AtomicBool::new(false))));
    for flag in &flags {
        assert!(one.poll(&mut Context::from_waker(&Waker::from(flag.clone()))).is_pending());
    }
    seen.waker.lock().unwrap().take().unwrap().wake();
    assert_eq!(flags.map(|flag| flag.0.load(Ordering::SeqCst)), [false, true]);
}

#[test]
fn a_beginning_that_panics_strands_nobody() {
    let flights: Arc<Flights<u8, Scripted>> = Arc::new(Flights::new(2));
    let seen = Arc::new(Seen::default());
    let early = Mutex::new(None);
    let begin = || {
        let (follower, is_follower) = flights.board(7, || Scripted::begin(&[], &seen));
        assert!(is_follower && poll(&follower).is_pending());
        *early.lock().unwrap() = Some(follower);
        resume_unwind(Box::new("as scripted"))
    };
    assert!(catch_unwind(AssertUnwindSafe(|| flights.board(7, begin))).is_err());
    let follower = early.into_inner().unwrap().unwrap();
    assert_eq!(poll(&follower), Poll::Ready(Err(Lost)));
    let (next, is_follower) = flights.board(7, || Scripted::begin(&[], &seen));
    assert_eq!((is_follower, poll(&next)), (false, Poll::Ready(Ok(1))));
}

#[test]
fn what_is_dropped_with_a_flight_may_use_it() {
    struct Reentrant(Arc<Flights<u8, std::future::Pending<()>>>);
    impl Wake for Reentrant {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Reentrant {
        fn drop(&mut self) {
            drop(self.0.board(7, std::future::pending));
        }
    }
    let flights = Arc::new(Flights::new(2));
    let (one, _) = flights.board(7, std::future::pending);
    let waker = Waker::from(Arc::new(Reentrant(flights.clone())));
    assert!(one.poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert!(one.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let waker = Waker::from(Arc::new(Reentrant(flights.clone())));
    assert!(one.poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(one);
    assert_eq!(flights.count(), 0);
}

#[test]
fn whoever_is_woken_may_use_the_flight_at_once() {
    struct Eager(Arc<Flights<u8, Scripted>>, AtomicBool);
    impl Wake for Eager {
        fn wake(self: Arc<Self>) {
            let (place, is_follower) = self.0.board(7, || unreachable!("there is one"));
            assert!(is_follower && poll(&place).is_pending());
            self.1.store(true, Ordering::SeqCst);
        }
    }
    let (flights, seen) = (Arc::new(Flights::new(2)), Arc::new(Seen::default()));
    let (one, _) = flights.board(7, || Scripted::begin(&[Act::Yield, Act::Wait], &seen));
    let eager = Arc::new(Eager(flights.clone(), AtomicBool::new(false)));
    assert!(one.poll(&mut Context::from_waker(&Waker::from(eager.clone()))).is_pending());
    assert!(eager.1.load(Ordering::SeqCst), "woken when the turn has ended");
    assert_eq!(poll(&one), Poll::Ready(Ok(1)));
}

#[test]
fn a_future_that_panics_when_it_is_dropped_is_kept_by_nobody() {
    struct Brittle;
    impl std::future::Future for Brittle {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl Drop for Brittle {
        fn drop(&mut self) {
            resume_unwind(Box::new("as scripted"));
        }
    }
    let flights = Arc::new(Flights::new(2));
    let (one, _) = flights.board(7, || Brittle);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(one))).is_err());
    assert_eq!(flights.count(), 0);
}

/// A task that a thread waits for.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls to the end; goes away after so many polls.
fn drive(passenger: &Aboard, polls_max: usize) -> Option<Result<usize, Lost>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(std::future::poll_fn(|context| passenger.poll(context)));
    for _ in 0..polls_max {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer);
        }
        std::thread::park();
    }
    None
}

#[test]
fn threads_that_come_and_go_all_have_an_answer() {
    let flights = Arc::new(Flights::new(2));
    std::thread::scope(|scope| {
        for number in 0..4_usize {
            let flights = &flights;
            scope.spawn(move || {
                for round in 0..2_000 {
                    let seen = Arc::new(Seen::default());
                    let acts = [Act::Yield; 3];
                    let (passenger, _) = flights.board(7, || Scripted::begin(&acts, &seen));
                    let polls_max = if (round + number).is_multiple_of(3) { 1 } else { usize::MAX };
                    let answer = drive(&passenger, polls_max);
                    assert!(answer == Some(Ok(1)) || (polls_max == 1 && answer.is_none()));
                }
            });
        }
    });
    assert_eq!(flights.count(), 0);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    for (part, followers_max) in [("nothing is shared", 0), ("at most 100000", 100_001)] {
        let error = Config { followers_max }.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Config::default().check(), Ok(()));
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}

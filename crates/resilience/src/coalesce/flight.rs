//! A future that many wait for, each of whom drives it.
//!
//! It is polled by one at a time, outside of the lock. All have left their wakers at the bell, which the future rings when it can go on. All are woken then, and not
//! only one: it could be one that goes away instead, or is never polled again and does not go away either. So there is nothing to hand over.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Mutex, MutexGuard};

/// A future that many wait for.
pub(super) struct Flight<F: Future> {
    state: Mutex<State<F>>,
    /// Locked after the state, where both are.
    bell: Arc<Bell>,
}

struct State<F: Future> {
    stage: Stage<F>,
    /// How many wait. Nobody comes after the last one has gone.
    aboard: u32,
}

enum Stage<F: Future> {
    /// Nobody polls it just now.
    Aloft(Pin<Box<F>>),
    /// One that is aboard polls it, or is about to begin it.
    Held,
    /// The answer, for those that are still aboard.
    Landed(F::Output),
    /// There will be no answer: it panicked, or all have gone, or the last one has taken it.
    Lost,
}

/// What one that has left leaves behind, to be dropped outside of all locks: what is in it may do anything, and also panic.
pub(super) struct Left<F: Future> {
    /// Whether nobody boards the flight any more.
    pub(super) is_over: bool,
    _waker: Option<Waker>,
    /// What there was, if it was the last one.
    _stage: Option<Stage<F>>,
}

/// It panicked, whoever polled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl<F: Future> Flight<F> {
    /// One that is about to begin, with the one aboard that begins it.
    pub(super) fn boarding() -> (Self, usize) {
        let bell = Arc::new(Bell::default());
        let seat = bell.seat();
        (Self { state: Mutex::new(State { stage: Stage::Held, aboard: 1 }), bell }, seat)
    }

    /// Begins it.
    pub(super) fn launch(&self, future: F) {
        self.state().stage = Stage::Aloft(Box::pin(future));
        self.bell.ring();
    }

    /// Takes a seat. None if it is over, or full.
    pub(super) fn board(&self, aboard_max: u32) -> Option<usize> {
        let mut state = self.state();
        let is_on_its_way = matches!(state.stage, Stage::Aloft(_) | Stage::Held);
        (is_on_its_way && state.aboard < aboard_max).then(|| {
            state.aboard += 1;
            self.bell.seat()
        })
    }

    /// Leaves, with an answer or without one.
    pub(super) fn leave(&self, seat: usize) -> Left<F> {
        let mut state = self.state();
        state.aboard -= 1;
        let waker = self.bell.free(seat);
        let stage = (state.aboard == 0).then(|| std::mem::replace(&mut state.stage, Stage::Lost));
        let is_over = matches!(state.stage, Stage::Landed(_) | Stage::Lost);
        Left { is_over, _waker: waker, _stage: stage }
    }

    /// Does what may panic, outside of the lock. If it does, the flight is over for all others before the panic goes on: nothing here is left to be done while it
    /// unwinds, where a second one would end the process.
    pub(super) fn attempt<T>(&self, act: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
            self.put(Stage::Lost);
            self.bell.ring();
            resume_unwind(panic)
        })
    }

    /// Ends a turn of polling, if there is one, or what should have been the beginning of the first.
    fn put(&self, stage: Stage<F>) {
        let mut state = self.state();
        // Nothing is dropped by that: whoever ends a turn has the future.
        state.stage = stage;
        // Within the lock, so that nobody begins the next turn before this one has ended.
        let is_rung = self.bell.end();
        drop(state);
        if is_rung {
            self.bell.ring();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<F>> {
        // Nothing is half done where a foreign clone can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output: Clone>> Flight<F> {
    /// Drives it, for the one in this seat. Panics if it does: it is over for all others then.
    pub(super) fn poll(&self, seat: usize, context: &mut Context<'_>) -> Poll<Result<F::Output, Lost>> {
        let mut state = self.state();
        match &state.stage {
            Stage::Landed(answer) => return Poll::Ready(Ok(answer.clone())),
            Stage::Lost => return Poll::Ready(Err(Lost)),
            Stage::Held | Stage::Aloft(_) => {}
        }
        // Within the lock, so that whoever holds it rings after this.
        let last = self.bell.wait(seat, context.waker());
        let stage = std::mem::replace(&mut state.stage, Stage::Held);
        if matches!(stage, Stage::Aloft(_)) {
            self.bell.begin();
        }
        drop(state);
        drop(last);
        let Stage::Aloft(future) = stage else { return Poll::Pending };
        self.drive(future)
    }

    fn drive(&self, mut future: Pin<Box<F>>) -> Poll<Result<F::Output, Lost>> {
        let waker = Waker::from(self.bell.clone());
        let (stage, answer) = self.attempt(|| {
            let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
                return (Stage::Aloft(future), None);
            };
            // Before anyone has the answer, what made it is gone.
            drop(future);
            let landed = if self.ends_alone() { Stage::Lost } else { Stage::Landed(answer.clone()) };
            (landed, Some(answer))
        });
        self.put(stage);
        let Some(answer) = answer else { return Poll::Pending };
        self.bell.ring();
        Poll::Ready(Ok(answer))
    }

    /// Whether only one is aboard, who needs no copy. Nobody comes after that.
    fn ends_alone(&self) -> bool {
        let mut state = self.state();
        let is_alone = state.aboard == 1;
        if is_alone {
            state.stage = Stage::Lost;
        }
        is_alone
    }
}

/// Wakes all that are aboard.
#[derive(Default)]
struct Bell(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    /// By seat: the waker of who waits there.
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
    /// One polls: it is no use for another to try before that one is done.
    is_polled: bool,
    /// It was rung meanwhile.
    is_rung: bool,
}

impl Bell {
    fn seat(&self) -> usize {
        let mut seats = self.seats();
        seats.free.pop().unwrap_or_else(|| {
            seats.wakers.push(None);
            seats.wakers.len() - 1
        })
    }

    #[must_use = "it is dropped outside of locks"]
    fn free(&self, seat: usize) -> Option<Waker> {
        let mut seats = self.seats();
        seats.free.push(seat);
        seats.wakers[seat].take()
    }

    /// Returns the waker that was there.
    #[must_use = "it is dropped outside of locks"]
    fn wait(&self, seat: usize, waker: &Waker) -> Option<Waker> {
        let place = &mut self.seats().wakers[seat];
        let is_known = place.as_ref().is_some_and(|known| known.will_wake(waker));
        if is_known { None } else { place.replace(waker.clone()) }
    }

    fn begin(&self) {
        let mut seats = self.seats();
        (seats.is_polled, seats.is_rung) = (true, false);
    }

    /// Returns whether it was rung since the turn has begun.
    fn end(&self) -> bool {
        let mut seats = self.seats();
        seats.is_polled = false;
        std::mem::take(&mut seats.is_rung)
    }

    fn ring(&self) {
        let mut seats = self.seats();
        if seats.is_polled {
            seats.is_rung = true;
            return;
        }
        let wakers: Vec<Waker> = seats.wakers.iter_mut().filter_map(Option::take).collect();
        drop(seats);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Each method leaves valid seats behind, whatever panics after it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

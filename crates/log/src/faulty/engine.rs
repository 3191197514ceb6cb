//! An engine that is as weak as the contract allows, around any other.
//!
//! What is acknowledged is in the engine inside, and what is not yet synced is kept here: it can be read, and a
//! crash of the machine takes any end of it. Appends and answers travel: they are delayed, dropped, doubled,
//! reordered and lost, and go on travelling when the engine restarts. Time is the number of [`Faulty::step`]s.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use mainstay_base::position::{Index, ShardId};

use self::state::State;
use crate::log::{Appended, BoxFuture, Guarantees, Limits, Log, Tail};
use crate::record::Record;
use crate::{Act, Error};

mod state;

/// A log with faults. Clones share it.
///
/// Without odds everything goes straight to the engine inside. With them, appends arrive and answers return
/// only as [`Faulty::step`] says, and an answer may never come: the caller gives up when it has waited enough
/// steps. The engine inside is then waited for on the calling thread, so it must not need that thread's runtime.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Log>,
    state: Arc<Mutex<State>>,
}

/// How seldom something happens: once in so many times, and never for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Odds {
    /// The steps that an append or an answer usually travels, and a read or a trim takes: below this number.
    pub delay_steps: u64,
    /// A message travels for very long: up to 64 times as many steps, also past crashes.
    pub late: u64,
    /// An append never arrives.
    pub drop: u64,
    /// An append arrives twice, at different times.
    pub double: u64,
    /// The answer to an append is lost. A trim that was done fails.
    pub lose: u64,
    /// A step syncs what is visible, which acknowledges it. For 0 every step does.
    pub sync: u64,
    /// A step ends the engine's process: what waits for an answer does not get one.
    pub crash_process: u64,
    /// A step ends the engine's machine: besides, of each shard's unsynced records the last may vanish.
    pub crash_machine: u64,
    /// The engine becomes unavailable for a few steps.
    pub unavailable: u64,
    /// The engine takes no record for a few steps.
    pub full: u64,
    /// The engine does nothing at all for some steps.
    pub pause: u64,
}

impl Odds {
    /// No faults and no delays.
    pub const NONE: Self = Self {
        delay_steps: 0,
        late: 0,
        drop: 0,
        double: 0,
        lose: 0,
        sync: 0,
        crash_process: 0,
        crash_machine: 0,
        unavailable: 0,
        full: 0,
        pause: 0,
    };
}

impl Faulty {
    /// The engine `inner` with these faults, drawn from the seed.
    pub fn new(inner: Arc<dyn Log>, odds: Odds, seed: u64) -> Self {
        let state = Arc::new(Mutex::new(State::new(Arc::clone(&inner), odds, seed)));
        Self { inner, state }
    }

    /// Lets one step of time go by: what is due arrives, and what is to fail fails.
    pub fn step(&self) {
        let wakers = self.state().step();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The number of steps so far.
    pub fn steps(&self) -> u64 {
        self.state().now
    }

    /// Goes on with other odds. Without any, what is visible is synced at once; what travels still arrives.
    pub fn set_odds(&self, odds: Odds) {
        self.state().set_odds(odds);
        self.wake();
    }

    /// Ends the engine's process and starts it again: answers are lost, what is visible and what travels are not.
    pub fn crash_process(&self) {
        self.state().crash_process();
        self.wake();
    }

    /// Ends the engine's machine and starts it again: besides, unsynced records vanish from some index on.
    pub fn crash_machine(&self) {
        self.state().crash_machine();
        self.wake();
    }

    /// Lets a record arrive now, from a writer that nobody knows. Returns whether it is visible.
    pub fn put(&self, record: Record) -> bool {
        let is_visible = self.state().put(record);
        self.wake();
        is_visible
    }

    /// Every visible record from `from` on, and the first index that a crash can take, whatever faults there
    /// are. Errors: those of a read of the engine inside.
    pub fn peek(&self, shard: ShardId, from: Index) -> Result<(Vec<Record>, Index), Error> {
        let mut state = self.state();
        Ok((state.read(shard, from, usize::MAX)?, state.durable(shard)?.next))
    }

    /// What happened last, one event on a line, for the message of a failed test.
    pub fn history(&self) -> String {
        self.state().history()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that fails elsewhere still wants the history.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let wakers = self.state().take_wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until an operation that takes so many steps from now on is done.
    async fn travel(&self) {
        let until = self.state().draw_arrival();
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.is_reached(until) {
                return Poll::Ready(());
            }
            state.wake_at_step(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Does what is asked at some step, and tells it at a later one.
    async fn at_some_step<T>(
        &self,
        act: Act,
        work: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.travel().await;
        let outcome = {
            let mut state = self.state();
            state.check_available(act).and_then(|()| work(&mut state))
        };
        self.travel().await;
        outcome
    }
}

/// An append on its way; what it will be answered is forgotten with it.
struct Sent<'a> {
    log: &'a Faulty,
    number: u64,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.log.state().forget(self.number);
    }
}

impl Log for Faulty {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let sent = self.state().send(&record);
            let Some(number) = sent else {
                let outcome = self.inner.append(record).await;
                self.wake();
                return outcome;
            };
            let sent = Sent { log: self, number };
            std::future::poll_fn(|context| sent.log.state().poll_answer(number, context.waker())).await
        })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        Box::pin(async move {
            if self.state().is_faultless() {
                return self.inner.read(shard, from, bytes_max).await;
            }
            self.at_some_step(Act::Read, |state| state.read(shard, from, bytes_max)).await
        })
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        Box::pin(async move {
            if self.state().is_faultless() {
                return self.inner.tail(shard).await;
            }
            self.at_some_step(Act::Tail, |state| state.tail(shard)).await
        })
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        let mut inside = self.inner.wait(shard, index);
        Box::pin(std::future::poll_fn(move |context| {
            if let Poll::Ready(outcome) = inside.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            let mut state = self.state();
            if state.is_visible(shard, index) {
                return Poll::Ready(Ok(()));
            }
            state.wake_at_step(context.waker());
            Poll::Pending
        }))
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            if self.state().is_faultless() {
                return self.inner.trim(shard, to).await;
            }
            self.at_some_step(Act::Trim, |state| state.trim(shard, to)).await
        })
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        Box::pin(async move {
            self.state().check_available(Act::Preflight)?;
            self.inner.preflight().await
        })
    }
}

impl Debug for Faulty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("steps", &self.steps())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

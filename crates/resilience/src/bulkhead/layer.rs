//! A bulkhead that many share: everything with the same handle runs and waits in the same one.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Ratio};

use super::future::in_time;
use super::slots::Slots;
use super::{Asked, Bulkhead, Config, Permit, Place, Service, Ticket, Turn};
use crate::call::Facts;
use crate::env::Env;
use crate::error::Rejection;
use crate::shed;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::watch::Decision;

/// A bulkhead that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    /// Who is told how calls wait.
    shed: Option<shed::Handle>,
}

#[derive(Debug)]
struct Shared {
    concurrent: AtomicU32,
    env: Env,
    /// What runs while nobody waits, so that nobody takes the lock then.
    slots: Slots,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    core: Bulkhead,
    /// Who is to be woken at each place.
    wakers: Vec<Option<Waker>>,
}

/// What becomes of a call that is not rejected.
#[derive(Debug)]
pub(super) enum Admitted {
    Held(Held),
    Waits(Waiter, Instant),
}

impl Handle {
    /// One in which nothing runs.
    pub fn new(config: Config, env: Env) -> Self {
        let state = Mutex::new(State { core: Bulkhead::new(config), wakers: Vec::new() });
        let concurrent = AtomicU32::new(config.concurrent.get());
        let shared = Shared { concurrent, env, slots: Slots::new(), state };
        Self { shared: Arc::new(shared), shed: None }
    }

    /// Tells this level how long calls wait here and how much is in use, so that it sheds in front of this bulkhead.
    #[must_use]
    pub fn telling(self, shed: shed::Handle) -> Self {
        Self { shed: Some(shed), ..self }
    }

    /// How many run.
    pub fn running(&self) -> u32 {
        self.shared.change(|state| state.core.running())
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.shared.change(|state| state.core.waiting())
    }

    /// Which share of those that may run do.
    pub fn utilisation(&self) -> Ratio {
        self.share(self.running())
    }

    fn share(&self, running: u32) -> Ratio {
        let share = f64::from(running) / f64::from(self.shared.concurrent());
        Ratio::new(share.min(1.0)).expect("one may run at least")
    }

    /// Has so many wait for so long from now on. Those that wait go on as they began.
    pub fn rearrange(&self, queue: u32, max_wait: Duration) {
        self.shared.change(|state| state.core.rearrange(queue, max_wait));
    }

    /// Lets so many run from now on. Those that run go on.
    pub fn resize(&self, concurrent: NonZeroU32) {
        if self.shared.concurrent() == concurrent.get() {
            return;
        }
        let now = self.env().now();
        let woken: Vec<_> = self.shared.change(|state| {
            self.shared.concurrent.store(concurrent.get(), Ordering::Relaxed);
            let passed = state.core.resize(concurrent, now);
            passed.into_iter().filter_map(|place| state.waker(place)).collect()
        });
        woken.into_iter().for_each(Waker::wake);
    }

    /// Runs a call now or in its turn, for as long as what it gets is held. Errors: there is no place to wait, it has waited for too long, or its deadline has passed. Dropped while it waits, it is
    /// taken out at once.
    pub async fn hold(&self, facts: &Facts) -> Result<Held, Rejection> {
        let (mut waiter, until) = match self.ask(facts)? {
            Admitted::Held(held) => return Ok(held),
            Admitted::Waits(waiter, until) => (waiter, until),
        };
        let mut timer = pin!(self.env().sleep_until(until));
        let turn = poll_fn(|context| {
            let is_over = timer.as_mut().poll(context).is_ready();
            waiter.look(is_over, context.waker()).map_or(Poll::Pending, Poll::Ready)
        });
        let held = turn.await.and_then(|held| in_time(held, facts.deadline, self.env().now()));
        held.inspect_err(|rejection| self.rejected(*rejection))
    }

    pub(super) fn ask(&self, facts: &Facts) -> Result<Admitted, Rejection> {
        let (found, asked) = match self.shared.slots.enter(self.shared.concurrent()) {
            Some(found) => (found, Ok(Asked::Passed(Permit(())))),
            None => self.ask_core(facts),
        };
        if let Some(shed) = &self.shed {
            shed.utilised(self.share(found), facts.now);
            if matches!(asked, Ok(Asked::Passed(_))) {
                shed.began(Duration::ZERO, facts.now);
            }
        }
        match asked {
            Ok(Asked::Passed(permit)) => Ok(Admitted::Held(self.held(permit))),
            Ok(Asked::Waits { ticket, until, .. }) => {
                self.env().decided(Decision::BulkheadQueued);
                let waiter = Waiter { ticket: Some(ticket), handle: self.clone(), since: facts.now, until };
                Ok(Admitted::Waits(waiter, until))
            }
            Err(rejection) => {
                self.rejected(rejection);
                Err(rejection)
            }
        }
    }

    /// How many run, and what becomes of a call where somebody waits or has to.
    fn ask_core(&self, facts: &Facts) -> (u32, Result<Asked, Rejection>) {
        let (found, asked, displaced) = self.shared.change(|state| {
            let found = state.core.running();
            let asked = state.core.ask(facts);
            let displaced = match &asked {
                Ok(Asked::Waits { displaced, .. }) => displaced.and_then(|place| state.waker(place)),
                Ok(Asked::Passed(_)) | Err(_) => None,
            };
            (found, asked, displaced)
        });
        displaced.into_iter().for_each(Waker::wake);
        (found, asked)
    }

    pub(super) fn env(&self) -> &Env {
        &self.shared.env
    }

    fn held(&self, permit: Permit) -> Held {
        Held { permit: Some(permit), shared: Arc::clone(&self.shared) }
    }

    pub(super) fn rejected(&self, rejection: Rejection) {
        let is_due = rejection == Rejection::DeadlinePassed;
        self.env().decided(if is_due { Decision::DeadlinePassed } else { Decision::BulkheadRejected });
    }
}

impl Shared {
    fn concurrent(&self) -> u32 {
        self.concurrent.load(Ordering::Relaxed)
    }

    /// Changes what runs and waits, in the core. While anybody waits it stays there, so that nobody overtakes.
    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Each method leaves a valid bulkhead behind, whatever panics after it.
        let mut state: MutexGuard<'_, State> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = self.slots.close() {
            state.core.running = running;
        }
        let done = act(&mut state);
        if state.core.waiting() == 0 {
            self.slots.open(state.core.running);
        }
        done
    }

    /// Changes what runs and waits, and wakes the one whose turn has come by that.
    fn hand_over(&self, change: impl FnOnce(&mut State) -> Option<Place>) {
        let next = self.change(|state| change(state).and_then(|place| state.waker(place)));
        next.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn waker(&mut self, place: Place) -> Option<Waker> {
        self.wakers.get_mut(place.index())?.take()
    }

    /// Has a place woken when its turn comes. Returns whom it woke before.
    fn wake_with(&mut self, place: Place, waker: &Waker) -> Option<Waker> {
        if self.wakers.len() <= place.index() {
            self.wakers.resize(place.index() + 1, None);
        }
        let known = &mut self.wakers[place.index()];
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        known.replace(waker.clone())
    }
}

/// A call that runs. Dropped, it runs no more.
#[derive(Debug)]
#[must_use = "dropped, it runs no more"]
pub struct Held {
    permit: Option<Permit>,
    shared: Arc<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let shared = &self.shared;
        if !shared.slots.leave() {
            let now = shared.env.now();
            shared.hand_over(|state| state.core.release(permit, now));
        }
    }
}

/// A call that waits. Dropped, it has gone away.
#[derive(Debug)]
pub(super) struct Waiter {
    /// None once it has ended.
    ticket: Option<Ticket>,
    handle: Handle,
    since: Instant,
    until: Instant,
}

impl Waiter {
    /// How it stands; none while it waits on, to be woken. That its timer has ended is also true where clocks differ a little.
    pub(super) fn look(&mut self, is_over: bool, waker: &Waker) -> Option<Result<Held, Rejection>> {
        let ticket = self.ticket.take()?;
        let place = ticket.place();
        let now = self.handle.env().now();
        let (turn, stale) = self.handle.shared.change(|state| {
            let turn = state.core.look(ticket, if is_over { now.max(self.until) } else { now });
            let is_waiting = matches!(turn, Turn::Waits(_));
            let stale = if is_waiting { state.wake_with(place, waker) } else { state.waker(place) };
            (turn, stale)
        });
        // To drop a waker can drop what it would have woken, which may wait here as well: not while the state is locked.
        drop(stale);
        match turn {
            Turn::Waits(ticket) => {
                self.ticket = Some(ticket);
                None
            }
            Turn::Passed(permit) => {
                if let Some(shed) = &self.handle.shed {
                    shed.began(now.saturating_since(self.since), now);
                }
                Some(Ok(self.handle.held(permit)))
            }
            Turn::Rejected(rejection) => {
                self.gave_up(now);
                Some(Err(rejection))
            }
        }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    fn gave_up(&self, now: Instant) {
        if let Some(shed) = &self.handle.shed {
            shed.gave_up(now.saturating_since(self.since), now);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let now = self.handle.env().now();
        let mut stale = None;
        self.handle.shared.hand_over(|state| {
            stale = state.waker(ticket.place());
            state.core.leave(ticket, now)
        });
        self.gave_up(now);
    }
}

/// Puts a bulkhead in front of services.
#[derive(Debug, Clone)]
pub struct Layer {
    handle: Handle,
}

impl Layer {
    /// This bulkhead.
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service::new(inner, self.handle.clone())
    }
}

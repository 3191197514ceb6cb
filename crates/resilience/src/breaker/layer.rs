//! A breaker that many share: every layer, service and operator with the same handle asks the same one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use super::quiet::Quiet;
use super::{Breaker, Config, Forced, Permit, Slow, State};
use crate::env::Env;
use crate::error::Rejection;
use crate::gate::{self, Gate};
use crate::judge::Verdict;
use crate::watch::Decision;

/// A breaker that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    slow: Option<Slow>,
    /// One more than the era while it passes everything; 0 otherwise.
    passing: AtomicU64,
    /// Of that era, in the step of the window that ends then.
    quiet: Quiet,
    step_end_ns: AtomicU64,
    core: Mutex<Breaker>,
}

impl Handle {
    /// A closed one.
    pub fn new(config: Config, env: Env) -> Self {
        let shared = Shared {
            env,
            slow: config.slow,
            passing: AtomicU64::new(0),
            quiet: Quiet::new(0),
            step_end_ns: AtomicU64::new(0),
            core: Mutex::new(Breaker::new(config)),
        };
        shared.change(shared.env.now(), |_| ());
        Self(Arc::new(shared))
    }

    /// What it does with calls.
    pub fn state(&self) -> State {
        let now = self.0.env.now();
        self.0.change(now, |core| core.state(now))
    }

    /// Has it pass or reject everything, or act by itself again, from closed on.
    pub fn force(&self, forced: Option<Forced>) {
        self.0.change(self.0.env.now(), |core| core.force(forced));
    }

    /// Asks to let a call through. Errors: [`Rejection::BreakerOpen`]. For those who call without a layer.
    pub fn ask(&self, now: Instant) -> Result<Held, Rejection> {
        let held = |permit| Held { permit: Some(permit), handle: self.clone(), begun: now };
        if let Some(era) = self.0.passing.load(Ordering::Acquire).checked_sub(1) {
            return Ok(held(Permit { era }));
        }
        let (asked, change) = self.0.change(now, |core| core.ask(now));
        change.into_iter().for_each(|change| self.0.env.decided(change));
        asked.map(held).map_err(|after| {
            self.0.env.decided(Decision::BreakerRejected);
            Rejection::BreakerOpen { after }
        })
    }
}

impl Shared {
    /// Tells the breaker of all that has succeeded quietly, and has it changed.
    fn change<T>(&self, now: Instant, act: impl FnOnce(&mut Breaker) -> T) -> T {
        // Each method leaves a valid breaker behind, whatever panics after it.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(era) = core.passing() {
            core.succeeded(self.quiet.take(era));
        }
        let done = act(&mut core);
        let era = core.passing();
        // What came in between, and belongs to an era that is over by now, is of no use any more.
        if let Some(more) = era.map(|era| self.quiet.take(era)).filter(|_| era == self.era()) {
            core.succeeded(more);
        }
        self.step_end_ns.store(core.tally.step_end(now).as_nanos(), Ordering::Release);
        self.passing.store(era.map_or(0, |era| era + 1), Ordering::Release);
        done
    }

    fn era(&self) -> Option<u64> {
        self.passing.load(Ordering::Acquire).checked_sub(1)
    }

    /// Counts a success if that changes nothing but the count. Returns whether it did.
    fn is_quiet(&self, permit: &Permit, (verdict, took): (Verdict, Duration), now: Instant) -> bool {
        verdict == Verdict::Success
            && self.slow.is_none_or(|slow| took < slow.after)
            && now.as_nanos() < self.step_end_ns.load(Ordering::Acquire)
            && self.quiet.add(permit.era)
    }
}

/// A call that is on its way. Dropped, it is abandoned.
#[derive(Debug)]
#[must_use = "a call that is not told of is taken for abandoned"]
pub struct Held {
    permit: Option<Permit>,
    handle: Handle,
    begun: Instant,
}

impl Held {
    /// Tells what its end means.
    pub fn tell(mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let shared = &self.handle.0;
        let now = shared.env.now();
        let end = (verdict, now.saturating_since(self.begun));
        if shared.is_quiet(&permit, end, now) {
            return;
        }
        let change = shared.change(now, |core| core.tell(permit, end, now, shared.env.entropy()));
        change.into_iter().for_each(|change| shared.env.decided(change));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let shared = &self.handle.0;
            // In an era that passes everything nobody waits for its place.
            if shared.era() != Some(permit.era) {
                shared.change(shared.env.now(), |core| core.abandon(permit));
            }
        }
    }
}

/// Puts a breaker in front of services.
pub type Layer<J> = gate::Layer<Handle, J>;

/// A service behind a breaker. It is asked only while the breaker passes; a call that is cancelled says nothing of it.
pub type Service<S, J> = gate::Service<S, Handle, J>;

impl Gate for Handle {
    type Held = Held;

    fn ask(&self, now: Instant) -> Result<Held, Rejection> {
        self.ask(now)
    }
}

impl gate::Held for Held {
    fn tell(self, verdict: Verdict) {
        self.tell(verdict);
    }
}

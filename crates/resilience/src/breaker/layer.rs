//! A breaker that many share: every layer, service and operator with the same handle asks the same one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;

use super::{Breaker, Config, Forced, Permit, Service, State};
use crate::env::Env;
use crate::error::Rejection;
use crate::judge::Verdict;
use crate::watch::Decision;

/// A breaker that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    core: Mutex<Breaker>,
    env: Env,
}

impl Handle {
    /// A closed one.
    pub fn new(config: Config, env: Env) -> Self {
        Self(Arc::new(Shared { core: Mutex::new(Breaker::new(config)), env }))
    }

    /// What it does with calls.
    pub fn state(&self) -> State {
        self.core().state(self.0.env.now())
    }

    /// Has it pass or reject everything, or act by itself again, from closed on.
    pub fn force(&self, forced: Option<Forced>) {
        self.core().force(forced);
    }

    pub(super) fn ask(&self, now: Instant) -> Result<Held, Rejection> {
        let (asked, change) = self.core().ask(now);
        change.into_iter().for_each(|change| self.0.env.decided(change));
        match asked {
            Ok(permit) => Ok(Held { permit: Some(permit), handle: self.clone(), begun: now }),
            Err(after) => {
                self.0.env.decided(Decision::BreakerRejected);
                Err(Rejection::BreakerOpen { after })
            }
        }
    }

    fn core(&self) -> MutexGuard<'_, Breaker> {
        // Each method leaves a valid breaker behind, whatever panics after it.
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is on its way. Dropped, it is abandoned.
#[derive(Debug)]
pub(super) struct Held {
    permit: Option<Permit>,
    handle: Handle,
    begun: Instant,
}

impl Held {
    pub(super) fn tell(mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let env = &self.handle.0.env;
        let now = env.now();
        let took = now.saturating_since(self.begun);
        let change = self.handle.core().tell(permit, (verdict, took), now, env.entropy());
        change.into_iter().for_each(|change| env.decided(change));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.handle.core().abandon(permit);
        }
    }
}

/// Puts a breaker in front of services.
#[derive(Debug, Clone)]
pub struct Layer<J> {
    handle: Handle,
    judge: J,
}

impl<J> Layer<J> {
    /// This breaker; the judge says which answers are failures.
    pub const fn new(handle: Handle, judge: J) -> Self {
        Self { handle, judge }
    }
}

impl<S, J: Clone> tower_layer::Layer<S> for Layer<J> {
    type Service = Service<S, J>;

    fn layer(&self, inner: S) -> Service<S, J> {
        Service::new(inner, self.handle.clone(), self.judge.clone())
    }
}

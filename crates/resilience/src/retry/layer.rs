//! A budget of retries that many share: every layer and service that calls the same service has the same handle.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_base::time::Instant;

use super::service::Template;
use super::{Allowance, Budget, Config, Next, Permit, Service, Tries};
use crate::call::Facts;
use crate::env::Env;
use crate::judge::Verdict;
use crate::spare::Spare;
use crate::watch::Decision;

/// A budget of retries that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    /// First tries that are not told to the budget yet: within a step of its window nobody takes the lock for them. One that is counted while the step changes may be of
    /// the next.
    firsts: AtomicU32,
    step_end_ns: AtomicU64,
    budget: Mutex<Budget>,
}

impl Handle {
    /// One with no tries in its window.
    pub fn new(budget: Allowance, env: Env) -> Self {
        let (firsts, step_end_ns) = (AtomicU32::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { env, firsts, step_end_ns, budget: Mutex::new(Budget::new(budget)) }))
    }

    /// Begins a call.
    pub(super) fn begin(&self, facts: &Facts) -> Tries {
        // A retry of someone above is no first try: were it one, each layer of retries would make room for more below.
        if facts.attempt <= 1 {
            self.0.first(facts.now);
        }
        Tries::new(facts.now)
    }

    /// Tells how a try has ended. Returns when there is another, and what holds its place in the budget.
    pub(super) fn tell(
        &self,
        tries: &mut Tries,
        config: &Config,
        (verdict, facts): (Verdict, &Facts),
    ) -> Option<(Instant, Held)> {
        if verdict.is_failure() != Some(true) {
            return None;
        }
        let now = self.env().now();
        let at = match tries.tell(config, (verdict, facts), now, self.env().entropy()) {
            Next::End => return None,
            Next::Spent => {
                self.env().decided(Decision::RetriesSpent);
                return None;
            }
            Next::Again { at } => at,
        };
        let Some(permit) = self.0.change(|budget| budget.ask(now)) else {
            self.env().decided(Decision::RetryBudgetSpent);
            return None;
        };
        Some((at, Held { permit: Some(permit), handle: self.clone() }))
    }

    pub(super) fn env(&self) -> &Env {
        &self.0.env
    }
}

impl Shared {
    fn first(&self, now: Instant) {
        if now.as_nanos() < self.step_end_ns.load(Ordering::Acquire) {
            self.firsts.fetch_add(1, Ordering::Relaxed);
        } else {
            self.change(|budget| budget.first(now));
        }
    }

    /// Tells the budget of all first tries, and has it changed.
    fn change<T>(&self, act: impl FnOnce(&mut Budget) -> T) -> T {
        // Each method leaves a valid budget behind, whatever panics after it.
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.firsts(self.firsts.swap(0, Ordering::Relaxed));
        let done = act(&mut budget);
        self.step_end_ns.store(budget.step_end().as_nanos(), Ordering::Release);
        done
    }
}

/// A retry that waits for its moment. Dropped before it begins, it is given back.
#[derive(Debug)]
pub(super) struct Held {
    permit: Option<Permit>,
    handle: Handle,
}

impl Held {
    /// Tells that it begins.
    pub(super) fn begin(&mut self) {
        self.permit = None;
        self.handle.env().decided(Decision::Retried);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.handle.0.change(|budget| budget.give_back(permit));
        }
    }
}

/// Tries again what failed.
#[derive(Debug, Clone)]
pub struct Layer<J> {
    config: Config,
    handle: Handle,
    judge: J,
}

impl<J> Layer<J> {
    /// As it is configured, except for the budget, which is the handle's; the judge says which answers are failures, and which of them are safe to try again.
    pub const fn new(config: Config, handle: Handle, judge: J) -> Self {
        Self { config, handle, judge }
    }
}

impl<S: Clone, J: Clone> tower_layer::Layer<S> for Layer<J> {
    type Service = Service<S, J>;

    fn layer(&self, inner: S) -> Service<S, J> {
        let Self { config, handle, judge } = self.clone();
        let template = Template { spare: Spare::new(inner.clone()), config, handle, judge };
        Service::new(inner, template)
    }
}

//! A budget of retries that many share: every layer and service that calls the same service has the same handle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;

use super::{Allowance, Budget, Config, Next, Permit, Service, Tries};
use crate::call::Facts;
use crate::env::Env;
use crate::judge::Verdict;
use crate::watch::Decision;

/// A budget of retries that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    budget: Arc<Mutex<Budget>>,
    env: Env,
}

impl Handle {
    /// One with no tries in its window.
    pub fn new(budget: Allowance, env: Env) -> Self {
        Self { budget: Arc::new(Mutex::new(Budget::new(budget))), env }
    }

    /// Begins a call.
    pub(super) fn begin(&self, facts: &Facts) -> Tries {
        // A retry of someone above is no first try: were it one, each layer of retries would make room for more below.
        if facts.attempt <= 1 {
            self.budget().first(facts.now);
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
        if !matches!(verdict, Verdict::Failure(_)) {
            return None;
        }
        let now = self.env.now();
        let at = match tries.tell(config, (verdict, facts), now, self.env.entropy()) {
            Next::End => return None,
            Next::Spent => {
                self.env.decided(Decision::RetriesSpent);
                return None;
            }
            Next::Again { at } => at,
        };
        let Some(permit) = self.budget().ask(now) else {
            self.env.decided(Decision::RetryBudgetSpent);
            return None;
        };
        Some((at, Held { permit: Some(permit), handle: self.clone() }))
    }

    pub(super) const fn env(&self) -> &Env {
        &self.env
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        // Each method leaves a valid budget behind, whatever panics after it.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.handle.env.decided(Decision::Retried);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.handle.budget().give_back(permit);
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

impl<S, J: Clone> tower_layer::Layer<S> for Layer<J> {
    type Service = Service<S, J>;

    fn layer(&self, inner: S) -> Service<S, J> {
        Service::new(inner, self.config, self.handle.clone(), self.judge.clone())
    }
}

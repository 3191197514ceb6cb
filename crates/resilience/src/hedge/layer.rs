//! What is known of a service's latencies, and the budget of second tries, that many share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use super::service::Template;
use super::{Config, Hedge, Service};
use crate::call::Facts;
use crate::env::Env;
use crate::spare::Spare;
use crate::watch::Decision;

/// What is known of a service's latencies, and the budget of second tries, that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    core: Mutex<Hedge>,
}

impl Handle {
    /// One that has learned nothing.
    pub fn new(config: Config, env: Env) -> Self {
        Self(Arc::new(Shared { env, core: Mutex::new(Hedge::new(config)) }))
    }

    /// For how long first tries are waited for before a second one; none while too little is known.
    pub fn delay(&self) -> Option<Duration> {
        self.core().delay()
    }

    /// Begins a call. Returns what watches its first try, and when there is a second one; none of it if it must not be done twice.
    pub(super) fn begin(&self, facts: &Facts) -> (Option<Held>, Option<Instant>) {
        let delay = self.core().begin(facts.now);
        if !facts.is_idempotent {
            return (None, None);
        }
        let at = delay.and_then(|delay| facts.now.checked_add(delay)).filter(|at| !facts.is_due(*at));
        (Some(Held { begun: facts.now, handle: Some(self.clone()) }), at)
    }

    /// Asks for a second try. Returns its facts if there is one.
    pub(super) fn ask(&self, facts: &Facts) -> Option<Facts> {
        let now = self.0.env.now();
        if facts.is_due(now) {
            return None;
        }
        if !self.core().ask(now) {
            self.0.env.decided(Decision::HedgeBudgetSpent);
            return None;
        }
        self.0.env.decided(Decision::Hedged);
        Some(Facts { now, attempt: facts.attempt.saturating_add(1), ..*facts })
    }

    pub(super) fn env(&self) -> &Env {
        &self.0.env
    }

    fn core(&self) -> MutexGuard<'_, Hedge> {
        // Each method leaves a valid core behind, whatever panics after it.
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A first try that is on its way. Dropped before it is told, it was cut.
#[derive(Debug)]
pub(super) struct Held {
    begun: Instant,
    handle: Option<Handle>,
}

impl Held {
    pub(super) fn tell(&mut self, is_cut: bool) {
        if let Some(handle) = self.handle.take() {
            let now = handle.0.env.now();
            handle.core().tell(now.saturating_since(self.begun), is_cut, now);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell(true);
    }
}

/// Asks once more for what is slow.
#[derive(Debug, Clone)]
pub struct Layer<J> {
    handle: Handle,
    judge: J,
}

impl<J> Layer<J> {
    /// As the handle has learned; the judge says which answers are failures, for which the other try is waited for.
    pub const fn new(handle: Handle, judge: J) -> Self {
        Self { handle, judge }
    }
}

impl<S: Clone, J: Clone> tower_layer::Layer<S> for Layer<J> {
    type Service = Service<S, J>;

    fn layer(&self, inner: S) -> Service<S, J> {
        let Self { handle, judge } = self.clone();
        let template = Template { spare: Spare::new(inner.clone()), handle, judge };
        Service::new(inner, template)
    }
}

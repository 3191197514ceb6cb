//! A level that many share: those that ask, and those that tell how calls wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Ratio};

use super::{Config, Service, Shed};
use crate::call::{Criticality, Facts};
use crate::env::Env;
use crate::error::Rejection;
use crate::watch::Decision;

/// A level that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    core: Arc<Mutex<Shed>>,
    env: Env,
}

impl Handle {
    /// One that sheds nothing.
    pub fn new(config: Config, env: Env) -> Self {
        Self { core: Arc::new(Mutex::new(Shed::new(config))), env }
    }

    /// Which share of a class is shed, as of the last event.
    pub fn share(&self, criticality: Criticality) -> Ratio {
        self.core().share(criticality)
    }

    /// Tells that a call has begun after it had waited so long, also if that is no time.
    pub fn began(&self, delay: Duration, now: Instant) {
        let change = self.core().began(delay, now);
        self.decided(change);
    }

    /// Tells that a call has gone away or was turned away after it had waited so long.
    pub fn gave_up(&self, delay: Duration, now: Instant) {
        let change = self.core().gave_up(delay, now);
        self.decided(change);
    }

    /// Tells how much a call has found to be in use, without itself: one call at a time does not use all of what serves one at a time.
    pub fn utilised(&self, utilisation: Ratio, now: Instant) {
        let change = self.core().utilised(utilisation, now);
        self.decided(change);
    }

    pub(super) fn ask(&self, facts: &Facts) -> Result<(), Rejection> {
        let (asked, change) = self.core().ask(facts.criticality, facts.now, self.env.entropy());
        self.decided(change);
        asked.inspect_err(|_| self.env.decided(Decision::Shed))
    }

    fn decided(&self, change: Option<Decision>) {
        change.into_iter().for_each(|change| self.env.decided(change));
    }

    fn core(&self) -> MutexGuard<'_, Shed> {
        // Each method leaves a valid level behind, whatever panics after it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sheds calls in front of services.
#[derive(Debug, Clone)]
pub struct Layer {
    handle: Handle,
}

impl Layer {
    /// By this level. What calls wait for behind it has to tell the handle.
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

//! A limit that many share: everything with the same handle runs within the same one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::Ratio;

use super::{Adaptive, Config, Permit, Service};
use crate::env::Env;
use crate::error::Rejection;
use crate::judge::Verdict;
use crate::shed;
use crate::watch::Decision;

/// A limit that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    core: Arc<Mutex<Adaptive>>,
    env: Env,
    /// Who is told how much is in use.
    shed: Option<shed::Handle>,
}

impl Handle {
    /// With the initial limit.
    pub fn new(config: Config, env: Env) -> Self {
        Self { core: Arc::new(Mutex::new(Adaptive::new(config))), env, shed: None }
    }

    /// Tells this level how much is in use, so that it sheds in front of this limit.
    #[must_use]
    pub fn telling(self, shed: shed::Handle) -> Self {
        Self { shed: Some(shed), ..self }
    }

    /// How many may run by now.
    pub fn limit(&self) -> u32 {
        self.core().limit()
    }

    /// How many run: more than may for a while after the limit has fallen.
    pub fn running(&self) -> u32 {
        self.core().running()
    }

    /// Which share of those that may run do; all of them also if more do.
    pub fn utilisation(&self) -> Ratio {
        utilisation(&self.core())
    }

    pub(super) fn ask(&self, now: Instant) -> Result<Held, Rejection> {
        let mut core = self.core();
        let found = self.shed.as_ref().map(|shed| (shed, utilisation(&core)));
        let asked = core.ask(now);
        drop(core);
        if let Some((shed, found)) = found {
            shed.utilised(found, now);
        }
        match asked {
            Ok(permit) => Ok(Held { permit: Some(permit), handle: self.clone() }),
            Err(rejection) => {
                self.env.decided(Decision::LimitReached);
                Err(rejection)
            }
        }
    }

    fn core(&self) -> MutexGuard<'_, Adaptive> {
        // Each method leaves a valid limit behind, whatever panics after it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn utilisation(core: &Adaptive) -> Ratio {
    let (running, limit) = (core.running(), core.limit());
    Ratio::new(f64::from(running.min(limit)) / f64::from(limit)).expect("the limit is 1 or more")
}

/// A call that is on its way. Dropped, it is abandoned.
#[derive(Debug)]
pub(super) struct Held {
    permit: Option<Permit>,
    handle: Handle,
}

impl Held {
    pub(super) fn tell(mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.handle.env.now();
        self.handle.core().tell(permit, verdict, now);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.handle.env.now();
        self.handle.core().abandon(permit, now);
    }
}

/// Puts an adaptive limit in front of services.
#[derive(Debug, Clone)]
pub struct Layer<J> {
    handle: Handle,
    judge: J,
}

impl<J> Layer<J> {
    /// This limit; the judge says which answers are failures.
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

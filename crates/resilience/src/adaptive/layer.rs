//! A limit that many share: everything with the same handle runs within the same one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;
use mainstay_base::units::Ratio;

use super::{Adaptive, Config, Permit};
use crate::env::Env;
use crate::error::Rejection;
use crate::gate::{self, Gate};
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

    /// Asks to let a call through. Errors: [`Rejection::LimitReached`]. For those who call without a layer.
    pub fn ask(&self, now: Instant) -> Result<Held, Rejection> {
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
#[must_use = "a call that is not told of is taken for abandoned"]
pub struct Held {
    permit: Option<Permit>,
    handle: Handle,
}

impl Held {
    /// Tells what its end means.
    pub fn tell(mut self, verdict: Verdict) {
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
pub type Layer<J> = gate::Layer<Handle, J>;

/// A service behind an adaptive limit. It is asked by no more at a time than it has shown to bear; a call that is cancelled tells how long it took until then.
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

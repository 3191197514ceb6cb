//! A ladder that many share: every layer, service and operator with the same handle begins at the same step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::Instant;

use super::{Alternative, Config, Descent, Ladder, Service};
use crate::env::Env;
use crate::watch::Decision;

/// A ladder that many share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    core: Arc<Mutex<Ladder>>,
    names: Arc<[Arc<str>]>,
    env: Env,
}

impl Handle {
    /// One that begins at the top, with the names of its steps from there on: how far their answers are degraded, such as `full`, `cached`, `fixed`. Panics
    /// without a name, and with more than [`super::STEPS_MAX`].
    pub fn new<N: Into<Arc<str>>>(config: Config, names: impl IntoIterator<Item = N>, env: Env) -> Self {
        let names: Arc<[Arc<str>]> = names.into_iter().map(Into::into).collect();
        Self { core: Arc::new(Mutex::new(Ladder::new(config, names.len()))), names, env }
    }

    /// The names of the steps, the highest first.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The place of the step that calls begin at: 0 while nothing is degraded.
    pub fn level(&self) -> usize {
        self.core().start()
    }

    /// Has all calls begin at a step, without probes, or has the ladder act by itself again, from the top on.
    pub fn force(&self, level: Option<usize>) {
        self.core().force(level);
    }

    pub(super) const fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn begin(&self, now: Instant) -> Held {
        let descent = self.core().begin(now);
        Held { descent, is_open: descent.is_probe(), handle: self.clone() }
    }

    fn core(&self) -> MutexGuard<'_, Ladder> {
        // Each method leaves a valid ladder behind, whatever panics after it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way down. Dropped, it is abandoned.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) descent: Descent,
    /// It is a probe whose end was not told yet.
    is_open: bool,
    pub(super) handle: Handle,
}

impl Held {
    /// Tells how a try has ended; none if that says nothing.
    pub(super) fn tell(&mut self, step: usize, is_failure: Option<bool>) {
        // Not only when it is dropped: whoever holds the call may do so much later.
        let Some(is_failure) = is_failure else { return self.abandon() };
        let env = &self.handle.env;
        let now = env.now();
        let change = self.handle.core().tell(&self.descent, step, is_failure, now);
        self.is_open = false;
        change.into_iter().for_each(|change| env.decided(change));
    }

    pub(super) fn name(&self, step: usize) -> Arc<str> {
        if step > 0 {
            self.handle.env.decided(Decision::FellBack);
        }
        self.handle.names[step].clone()
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.handle.core().abandon(&self.descent);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Puts a ladder around services, each the highest step of it.
///
/// A request is cloned for each try, and kept until the end. Only one probe is on its way at a time: a step that may hang needs a deadline of its own below this.
#[derive(Debug, Clone)]
pub struct Layer<R, T, E, J> {
    handle: Handle,
    alternatives: Arc<[Alternative<R, T, E>]>,
    judge: J,
}

impl<R, T, E, J> Layer<R, T, E, J> {
    /// This ladder, with what answers below the service, from the second name on; the judge says which answers are failures. Panics unless there is one for
    /// each name but the first.
    pub fn new(
        handle: Handle,
        alternatives: impl IntoIterator<Item = Alternative<R, T, E>>,
        judge: J,
    ) -> Self {
        let alternatives: Arc<[Alternative<R, T, E>]> = alternatives.into_iter().collect();
        assert_eq!(alternatives.len() + 1, handle.names.len(), "each step but the first has an alternative");
        Self { handle, alternatives, judge }
    }
}

impl<S, R, T, E, J: Clone> tower_layer::Layer<S> for Layer<R, T, E, J> {
    type Service = Service<S, R, T, E, J>;

    fn layer(&self, inner: S) -> Self::Service {
        Service::new(inner, self.handle.clone(), self.alternatives.clone(), self.judge.clone())
    }
}

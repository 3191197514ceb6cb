//! Deadlines for operations, and timeouts for their tries.

use super::timers::Timers;
use super::{Config, Deadline, Scope, Service, Spared};
use crate::env::Env;

/// Gives operations a deadline. Stands above retries.
#[derive(Debug, Clone)]
pub struct Layer {
    deadline: Deadline,
    has_timer: bool,
    env: Env,
}

impl Layer {
    /// With `timeout`.
    pub const fn new(config: Config, env: Env) -> Self {
        Self { deadline: Deadline::new(Scope::Operation, config.timeout), has_timer: true, env }
    }

    /// The same, for what ends at its deadline by itself: tries with a [`TryLayer`], before which nothing waits any longer than that. It costs a call one timer less.
    #[must_use]
    pub fn without_timer(self) -> Self {
        Self { has_timer: false, ..self }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        let timers = self.has_timer.then(Timers::default);
        Service::new(inner, self.deadline, timers, self.env.clone())
    }
}

/// Gives each try a timeout. Stands below retries, and below the breaker, which is to see what took too long.
#[derive(Debug, Clone)]
pub struct TryLayer {
    deadline: Deadline,
    env: Env,
}

impl TryLayer {
    /// With `try_timeout`.
    pub const fn new(config: Config, env: Env) -> Self {
        Self { deadline: Deadline::new(Scope::Try, config.try_timeout), env }
    }

    /// The same, but for the tries that are spared.
    #[must_use]
    pub fn sparing(self, spared: Spared) -> Self {
        Self { deadline: self.deadline.sparing(spared), ..self }
    }
}

impl<S> tower_layer::Layer<S> for TryLayer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service::new(inner, self.deadline, Some(Timers::default()), self.env.clone())
    }
}

//! Rules that many share: every layer and operator with the same handle has the same ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_base::error::{Classify, Code};
use mainstay_base::time::Instant;
use thiserror::Error;

use super::{Config, Faults, Injection, Rule, Rules, Service, Slow};
use crate::call::Call;
use crate::env::Env;
use crate::watch::Decision;

/// Rules that many share. Clones have the same ones.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    env: Env,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    /// Whether there are rules: all that is looked at while there are none.
    is_active: AtomicBool,
    rules: Mutex<Arc<Rules>>,
}

/// Why rules were not installed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstallError {
    /// They may not be.
    #[error("faults are refused here: set `faults: allowed` where this is configured, and start it again")]
    Refused,
    /// They cannot work.
    #[error("the rules cannot work: {0}")]
    Invalid(String),
}

impl Classify for InstallError {
    fn code(&self) -> Code {
        match self {
            Self::Refused => Code::Forbidden,
            Self::Invalid(_) => Code::Invalid,
        }
    }
}

impl Handle {
    /// One without rules.
    pub fn new(faults: Faults, env: Env) -> Self {
        let rules = Mutex::new(Arc::new(Rules::new(Vec::new(), env.now())));
        Self { shared: Arc::new(Shared { faults, is_active: AtomicBool::new(false), rules }), env }
    }

    /// With the rules of a configuration. Errors: as those of [`Handle::install`].
    pub fn configured(config: Config, env: Env) -> Result<Self, InstallError> {
        let handle = Self::new(config.faults, env);
        if !config.rules.is_empty() {
            handle.install(config.rules)?;
        }
        Ok(handle)
    }

    /// Exchanges all rules for these; schedules of new ones begin now. Errors, with the rules as they were: faults are refused, or the rules cannot work.
    pub fn install(&self, rules: Vec<Rule>) -> Result<(), InstallError> {
        if self.shared.faults == Faults::Refused {
            return Err(InstallError::Refused);
        }
        Config::check_rules(&rules).map_err(InstallError::Invalid)?;
        self.put(rules);
        Ok(())
    }

    /// Takes all rules out.
    pub fn clear(&self) {
        self.put(Vec::new());
    }

    /// Whether there are rules: one load of an atomic.
    pub fn is_active(&self) -> bool {
        self.shared.is_active.load(Ordering::Relaxed)
    }

    /// The rules that there are.
    pub fn rules(&self) -> Vec<Rule> {
        self.current().0.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// What is done to a call that comes now. `is_for` says whether a rule's `calls` mean it.
    pub fn decide(&self, is_for: impl Fn(&str) -> bool, now: Instant) -> Injection {
        if !self.is_active() {
            return Injection::default();
        }
        let injection = self.current().decide(is_for, now, self.env.entropy());
        if !injection.is_none() {
            self.env.decided(Decision::FaultInjected);
        }
        injection
    }

    pub(super) const fn env(&self) -> &Env {
        &self.env
    }

    fn put(&self, rules: Vec<Rule>) {
        let is_active = !rules.is_empty();
        let mut current = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.next(rules, self.env.now()));
        // Within the lock, so that of two that put rules at once the same one has both.
        self.shared.is_active.store(is_active, Ordering::Relaxed);
    }

    fn current(&self) -> Arc<Rules> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Says which calls rules are for.
///
/// A function of a [`Call`] and of a rule's `calls` is one, and so is a [`Label`].
pub trait Meant<R> {
    /// Whether a rule with these `calls` means this call.
    fn is_meant(&self, call: &Call<R>, calls: &str) -> bool;
}

impl<R, F: Fn(&Call<R>, &str) -> bool> Meant<R> for F {
    fn is_meant(&self, call: &Call<R>, calls: &str) -> bool {
        self(call, calls)
    }
}

/// The same label for all calls, as [`super::matches`] compares it.
#[derive(Debug, Clone)]
pub struct Label(pub Arc<str>);

impl<R> Meant<R> for Label {
    fn is_meant(&self, _: &Call<R>, calls: &str) -> bool {
        super::matches(calls, &self.0)
    }
}

/// Slows the body of an answer down, for those that have bodies.
///
/// A function of an answer and a [`Slow`] is one.
pub trait Slowing<T> {
    /// Returns the answer with a body that comes as slowly.
    fn slow(&self, answer: T, slow: Slow) -> T;
}

impl<T, F: Fn(T, Slow) -> T> Slowing<T> for F {
    fn slow(&self, answer: T, slow: Slow) -> T {
        self(answer, slow)
    }
}

/// Answers have no bodies: rules that slow them do nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unslowed;

impl<T> Slowing<T> for Unslowed {
    fn slow(&self, answer: T, _: Slow) -> T {
        answer
    }
}

/// Injects faults in front of services: the lowest layer of a stack, so that all others see them as the service's.
#[derive(Debug, Clone)]
pub struct Layer<M, L = Unslowed> {
    handle: Handle,
    is_for: M,
    slowing: L,
}

impl<M> Layer<M> {
    /// By these rules. `is_for` says which calls they are for.
    pub const fn new(handle: Handle, is_for: M) -> Self {
        Self { handle, is_for, slowing: Unslowed }
    }

    /// Answers are slowed down by this.
    pub fn slowing<L>(self, slowing: L) -> Layer<M, L> {
        Layer { handle: self.handle, is_for: self.is_for, slowing }
    }
}

impl<S, M: Clone, L: Clone> tower_layer::Layer<S> for Layer<M, L> {
    type Service = Service<S, M, L>;

    fn layer(&self, inner: S) -> Service<S, M, L> {
        Service::new(inner, self.handle.clone(), self.is_for.clone(), self.slowing.clone())
    }
}

//! Services, as all their callers share them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_base::id::Name;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;
use mainstay_resilience::policy::{Guard, Policy};

use crate::config::{Config, Idle, Protocol};

/// A service, as all its callers share it.
#[derive(Debug)]
pub struct Service {
    name: Name,
    config: Config,
    policy: Policy,
    guard: Guard,
    /// Whose turn it is.
    turn: AtomicUsize,
}

/// How an endpoint is connected to. Connections of one dial serve each call to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dial {
    pub(crate) protocol: Protocol,
    pub(crate) connect_timeout: Duration,
}

impl Service {
    /// One with this configuration and this policy, which were checked.
    pub fn new(name: Name, config: Config, policy: Policy, env: Env) -> Self {
        let guard = Guard::new(&policy, env);
        Self { name, config, policy, guard, turn: AtomicUsize::new(0) }
    }

    /// The same service with another configuration, whose policy is the same: what that remembers goes on.
    #[must_use]
    pub fn changed(&self, config: Config) -> Self {
        let (name, policy, guard) = (self.name.clone(), self.policy.clone(), self.guard.clone());
        Self { name, config, policy, guard, turn: AtomicUsize::new(0) }
    }

    /// Whether it is as it would be with this.
    pub fn is(&self, config: &Config) -> bool {
        self.config == *config
    }

    /// Whether this is what guards it.
    pub fn has(&self, policy: &Policy) -> bool {
        self.policy == *policy
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What guards it.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) const fn dial(&self) -> Dial {
        Dial { protocol: self.config.protocol, connect_timeout: self.config.connect_timeout }
    }

    pub(crate) const fn idle(&self) -> Idle {
        self.config.idle
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        self.config.endpoints.iter().map(|endpoint| endpoint.0)
    }

    /// The place of the endpoint whose turn it is.
    pub(crate) fn next(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        turn % self.config.endpoints.len()
    }
}

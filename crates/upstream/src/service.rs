//! Services, as all their callers share them.

use std::sync::Arc;

use mainstay_base::brief::Brief;
use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;
use mainstay_resilience::policy::{Guard, Policy};

use crate::config::{Config, Health, Idle, Protocol};
use crate::leases::Leases;
use crate::roster::{Described, Roster, Rules, Source};
use crate::run::Scale;

/// A service, as all its callers share it.
#[derive(Debug)]
pub struct Service {
    name: Name,
    config: Config,
    policy: Policy,
    guard: Guard,
    /// Its endpoints. They stay when its configuration changes.
    roster: Arc<Roster>,
    leases: Arc<Leases>,
    scale: Arc<Scale>,
}

/// How an endpoint is connected to. Connections of one dial serve each call to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dial {
    pub(crate) protocol: Protocol,
    pub(crate) connect_timeout: Duration,
}

impl Service {
    /// One with this configuration and this policy, which were checked, called from this zone.
    pub fn new(name: Name, config: Config, policy: Policy, env: Env, zone: Option<Name>) -> Self {
        let now = env.now();
        let guard = Guard::new(&policy, env);
        let roster = Arc::new(Roster::new(name.clone(), rules(&config, zone)));
        roster.describe(Source::Defined, described(&config), now);
        let leases = Arc::new(Leases::new(Arc::clone(&roster)));
        Self { name, config, policy, guard, roster, leases, scale: Arc::new(Scale::new()) }
    }

    /// The same service with another configuration, which is in force from now on. What is known of its endpoints stays; what its policy remembers stays if that is the same.
    #[must_use]
    pub fn changed(&self, config: Config, policy: Policy, env: Env, zone: Option<Name>) -> Self {
        let now = env.now();
        let guard = if self.policy == policy { self.guard.clone() } else { Guard::new(&policy, env) };
        let (roster, leases) = (Arc::clone(&self.roster), Arc::clone(&self.leases));
        if config.registration == Switch::Off {
            leases.clear(now);
        }
        roster.rule(rules(&config, zone), now);
        roster.describe(Source::Defined, described(&config), now);
        Self {
            name: self.name.clone(),
            config,
            policy,
            guard,
            roster,
            leases,
            scale: Arc::clone(&self.scale),
        }
    }

    /// Whether it is as it would be with this.
    pub fn is(&self, config: &Config, policy: &Policy) -> bool {
        self.config == *config && self.policy == *policy
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What it was defined as.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What guards it.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Its endpoints.
    pub const fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Those of its endpoints that have registered.
    pub const fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// How many instances of its program somebody has asked for.
    pub const fn scale(&self) -> &Arc<Scale> {
        &self.scale
    }

    pub(crate) const fn health(&self) -> Option<&Health> {
        self.config.health.as_ref()
    }

    pub(crate) const fn dial(&self) -> Dial {
        Dial { protocol: self.config.protocol, connect_timeout: self.config.connect_timeout }
    }

    pub(crate) const fn idle(&self) -> Idle {
        self.config.idle
    }
}

fn rules(config: &Config, zone: Option<Name>) -> Rules {
    let balance = &config.balance.0;
    Rules {
        algorithm: balance.algorithm,
        zone,
        near_ratio: balance.near_ratio,
        panic_ratio: balance.panic_ratio,
        slow_start: balance.slow_start,
        outliers: config.outliers.on().copied(),
        checks: config.health.as_ref().map(|health| (health.healthy.get(), health.unhealthy.get())),
    }
}

fn described(config: &Config) -> Vec<Described> {
    let described = |Brief(endpoint): &Brief<crate::config::Endpoint>| Described {
        instance: endpoint.instance(),
        is_leaving: false,
    };
    config.endpoints.iter().map(described).collect()
}

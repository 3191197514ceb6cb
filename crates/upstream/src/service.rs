//! Services, as all their callers share them.

use std::sync::Arc;

use mainstay_base::brief::Brief;
use mainstay_base::id::Name;
use mainstay_base::switch::Switch;
use mainstay_resilience::Env;
use mainstay_resilience::policy::{Guard, Policy};

use crate::config::{Config, Health};
use crate::dial::Dial;
use crate::dns::Discovery;
use crate::leases::Leases;
use crate::room::Room;
use crate::roster::{Described, Roster, Rules, Source};
use crate::run::Scale;
use crate::tls;

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
    discovery: Arc<Discovery>,
    scale: Arc<Scale>,
    dial: Dial,
    /// The number of that among the ways in which its endpoints were spoken to.
    way: u64,
    /// Where connections are bounded.
    room: Option<Arc<Room>>,
}

impl Service {
    /// One with this configuration and this policy, which were checked, called from this zone.
    pub fn new(name: Name, config: Config, policy: Policy, env: Env, zone: Option<Name>) -> Self {
        let now = env.now();
        let roster = Arc::new(Roster::new(name.clone(), rules(&config, zone)));
        roster.describe(Source::Defined, described(&config), now);
        let leases = Arc::new(Leases::new(Arc::clone(&roster)));
        let discovery = Arc::new(Discovery::new(name.clone(), Arc::clone(&roster)));
        discovery.define(&config, now);
        let dial = dial(&config, None);
        let room = room(&dial, None, &env);
        let guard = Guard::new(&policy, env);
        let scale = Arc::new(Scale::new());
        let service =
            Self { name, config, policy, guard, roster, leases, discovery, scale, dial, way: 0, room };
        service.fit();
        service
    }

    /// The same service with another configuration, which is in force from now on. What is known of its endpoints stays; what its policy remembers stays if that is the same.
    #[must_use]
    pub fn changed(&self, config: Config, policy: Policy, env: Env, zone: Option<Name>) -> Self {
        let now = env.now();
        let dial = dial(&config, Some(self));
        let (roster, leases) = (Arc::clone(&self.roster), Arc::clone(&self.leases));
        // Before there are endpoints that do not understand the other one.
        let way = if dial.serves(&self.dial) { self.way } else { roster.another_way() };
        if config.registration == Switch::Off {
            leases.clear(now);
        }
        roster.rule(rules(&config, zone), now);
        roster.describe(Source::Defined, described(&config), now);
        self.discovery.define(&config, now);
        let room = room(&dial, self.room.as_ref(), &env);
        let guard = if self.policy == policy { self.guard.clone() } else { Guard::new(&policy, env) };
        let service = Self {
            name: self.name.clone(),
            config,
            policy,
            guard,
            roster,
            leases,
            discovery: Arc::clone(&self.discovery),
            scale: Arc::clone(&self.scale),
            dial,
            way,
            room,
        };
        service.fit();
        service
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

    /// Those of its endpoints that are looked up by a name.
    pub const fn discovery(&self) -> &Arc<Discovery> {
        &self.discovery
    }

    /// How many instances of its program somebody has asked for.
    pub const fn scale(&self) -> &Arc<Scale> {
        &self.scale
    }

    pub(crate) const fn health(&self) -> Option<&Health> {
        self.config.health.as_ref()
    }

    pub(crate) const fn dial(&self) -> &Dial {
        &self.dial
    }

    pub(crate) const fn way(&self) -> u64 {
        self.way
    }

    pub(crate) const fn room(&self) -> Option<&Arc<Room>> {
        self.room.as_ref()
    }

    /// How many calls wait for a connection.
    pub fn waiting(&self) -> u32 {
        self.room.as_ref().map_or(0, |room| room.waiting())
    }

    /// Makes as much room as there is at those who take calls now. Returns how many calls run elsewhere.
    pub(crate) fn fit(&self) -> u32 {
        self.room.as_ref().map_or(0, |room| room.fit(&self.roster))
    }
}

/// How endpoints are connected to by a configuration. Sessions of TLS go on where that is as it was.
fn dial(config: &Config, before: Option<&Service>) -> Dial {
    let make = |tls: &crate::config::Tls| {
        let says = |config: &Config| (config.tls.clone(), config.name_in_dns().map(str::to_owned));
        let known = before.filter(|it| says(&it.config) == says(config)).and_then(|it| it.dial.tls.clone());
        known.unwrap_or_else(|| {
            let made = tls::Client::new(tls, config.name_in_dns());
            made.unwrap_or_else(|wrong| panic!("it was checked: {wrong}"))
        })
    };
    let Config { protocol, connect_timeout, connections, idle, .. } = *config;
    Dial { protocol, connect_timeout, connections, idle, tls: config.tls.on().map(make) }
}

/// Room for calls by a dial. Those that run and wait keep theirs.
fn room(dial: &Dial, before: Option<&Arc<Room>>, env: &Env) -> Option<Arc<Room>> {
    let of_each = dial.calls_max()?;
    Some(match before {
        Some(room) => {
            room.rearrange(of_each, &dial.connections);
            Arc::clone(room)
        }
        None => Arc::new(Room::new(of_each, &dial.connections, env.clone())),
    })
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

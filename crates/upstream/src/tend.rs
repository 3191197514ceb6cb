//! Looks after services beside the traffic: endpoints are looked up, checked, compared, tried again, and pictures made of them.
//!
//! It runs on the background runtime. Without it services are called all the same; what was found dead stays out then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::check;
use crate::dial::Dial;
use crate::dns::{LookedUp, Lookups, Resolvers};
use crate::endpoint::{Endpoint, Id};
use crate::service::Service;

/// The most checks of one service that are under way at a time.
const UNDER_WAY_MAX: usize = 64;

/// How often room for calls is made again while some run at endpoints that take none.
const FIT_EVERY: Duration = Duration::from_secs(1);

/// How much is waited for when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Tends the services that are told, until nobody can tell any more. No name leads to the API of this node, if it has one.
pub async fn tend(mut services: watch::Receiver<Vec<Arc<Service>>>, api: Option<SocketAddr>, env: Env) {
    let mut tended: BTreeMap<Name, (Arc<Service>, AbortHandle)> = BTreeMap::new();
    let (mut tasks, resolvers) = (JoinSet::new(), Arc::new(Resolvers::of_node(api)));
    loop {
        let told = services.borrow_and_update().clone();
        tended.retain(|_, (service, task)| {
            let stays = told.iter().any(|it| Arc::ptr_eq(it, service));
            if !stays {
                task.abort();
            }
            stays
        });
        for service in told {
            let start = || {
                let lookups = Lookups::new(Arc::clone(&resolvers));
                let task = tasks.spawn(tend_one(Arc::clone(&service), lookups, env.clone()));
                (Arc::clone(&service), task)
            };
            tended.entry(service.name().clone()).or_insert_with(start);
        }
        tokio::select! {
            changed = services.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next() => {
                // Those that were aborted are let go.
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
}

/// What work beside the traffic ends with.
enum Done {
    Checked(Id, Result<(), String>),
    Reached(Id, Result<(), String>),
    LookedUp(LookedUp),
}

async fn tend_one(service: Arc<Service>, mut lookups: Lookups, env: Env) {
    let roster = service.roster();
    let (mut work, mut checks) = (JoinSet::new(), Checks::default());
    loop {
        let now = env.now();
        let lease = service.leases().settle(now);
        if let Some(lookup) = lookups.begin(service.discovery(), now, &env) {
            work.spawn(async move { Done::LookedUp(lookup.await) });
        }
        let named = lookups.due(service.discovery());
        let settled = roster.settle(now);
        // What runs at endpoints that take no calls any more is looked at until it has ended.
        let refit = (service.fit() > 0).then(|| now.saturating_add(FIT_EVERY));
        let dial = service.dial();
        // Longer than it may take: it is tried once at a time.
        let until = now.saturating_add(dial.connect_timeout).saturating_add(dial.connect_timeout);
        for endpoint in roster.to_be_tried(now, until) {
            work.spawn(reach(endpoint, dial.clone()));
        }
        let next = service.health().and_then(|health| {
            for endpoint in checks.due(&roster.endpoints(), now, UNDER_WAY_MAX) {
                let (health, dial, env) = (health.clone(), dial.clone(), env.clone());
                let (id, address) = (endpoint.id(), endpoint.instance().address);
                work.spawn(
                    async move { Done::Checked(id, check::check(address, &health, &dial, env).await) },
                );
            }
            checks.next()
        });
        let due = settled.into_iter().chain(lease).chain(named).chain(next).chain(refit).min();
        let due = due.map_or(IDLE, |due| due.saturating_since(now));
        tokio::select! {
            () = roster.stirred() => {}
            () = tokio::time::sleep(due.as_std()) => {}
            Some(done) = work.join_next() => {
                let mut next = Some(done);
                while let Some(done) = next {
                    let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                    happened(done, &service, (&mut checks, &mut lookups), &env);
                    next = work.try_join_next();
                }
            }
        }
    }
}

fn happened(done: Done, service: &Service, (checks, lookups): (&mut Checks, &mut Lookups), env: &Env) {
    let (roster, now) = (service.roster(), env.now());
    match done {
        Done::Checked(id, result) => {
            roster.checked(id, result);
            let every = service.health().map_or(IDLE, |health| health.every);
            checks.done(id, every, now, env);
        }
        Done::Reached(id, result) => {
            roster.reached(id, result, now);
        }
        Done::LookedUp(looked_up) => lookups.done(looked_up, service.discovery(), env),
    }
}

async fn reach(endpoint: Arc<Endpoint>, dial: Dial) -> Done {
    let reached = dial.connect(endpoint.instance().address).await;
    Done::Reached(endpoint.id(), reached.map(drop).map_err(|error| error.why()))
}

/// When endpoints are checked next.
#[derive(Debug, Default)]
struct Checks(BTreeMap<Id, Check>);

#[derive(Debug)]
struct Check {
    /// None while it is checked.
    next: Option<Instant>,
    /// Whether it was checked already.
    was_checked: bool,
}

impl Checks {
    /// Those that are to be checked now; new ones at once, and those first that have waited longest. No more than so many are under way at a time.
    fn due(&mut self, endpoints: &[Arc<Endpoint>], now: Instant, under_way_max: usize) -> Vec<Arc<Endpoint>> {
        let ids: BTreeSet<Id> = endpoints.iter().map(|endpoint| endpoint.id()).collect();
        self.0.retain(|id, _| ids.contains(id));
        let mut due: Vec<_> = endpoints
            .iter()
            .filter_map(|endpoint| {
                let check =
                    self.0.entry(endpoint.id()).or_insert(Check { next: Some(now), was_checked: false });
                check.next.filter(|next| *next <= now).map(|next| (next, endpoint))
            })
            .collect();
        due.sort_by_key(|(next, _)| *next);
        due.truncate(under_way_max.saturating_sub(self.under_way()));
        for (_, endpoint) in &due {
            if let Some(check) = self.0.get_mut(&endpoint.id()) {
                check.next = None;
            }
        }
        due.into_iter().map(|(_, endpoint)| Arc::clone(endpoint)).collect()
    }

    fn done(&mut self, id: Id, every: Duration, now: Instant, env: &Env) {
        let Some(check) = self.0.get_mut(&id) else { return };
        // After the first one, which all have at once, they come at any time.
        let was_checked = std::mem::replace(&mut check.was_checked, true);
        let share = if was_checked { 0.9 + 0.2 * env.unit() } else { env.unit() };
        check.next = Some(now.saturating_add(every.as_std().mul_f64(share)));
    }

    /// When the next one is due. Those that could not begin do when another one ends.
    fn next(&self) -> Option<Instant> {
        if self.under_way() >= UNDER_WAY_MAX {
            None
        } else {
            self.0.values().filter_map(|check| check.next).min()
        }
    }

    fn under_way(&self) -> usize {
        self.0.values().filter(|check| check.next.is_none()).count()
    }
}

//! Runs the program of one service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::Env;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Home;
use super::fleet::{Action, Fleet, Number, Phase};
use super::lifeline::Lifeline;
use super::process::{self, Process};
use crate::check;
use crate::endpoint::{Id, Instance};
use crate::roster::{Described, Source};
use crate::service::Service;

/// How often an instance is asked whether it takes calls already.
const READY_EVERY: Duration = Duration::from_millis(20);

/// How often it is looked whether an instance that leaves has calls left.
const IDLE_EVERY: Duration = Duration::from_millis(50);

/// How long is waited when nothing is due.
const REST: Duration = Duration::from_secs(3600);

/// Runs the program of one service.
pub(super) struct Supervisor {
    service: Arc<Service>,
    home: Home,
    lifeline: Arc<Lifeline>,
    env: Env,
    fleet: Fleet,
    running: BTreeMap<Number, Running>,
    events: JoinSet<Event>,
    /// It is told what was asked for besides the definition.
    scaled: watch::Receiver<Option<u32>>,
    /// Its program is missing and need not be there: it was told once.
    is_missing: bool,
    /// There is no program any more: it ends when all instances have.
    is_ending: bool,
}

/// An instance that runs.
struct Running {
    process: Process,
    /// Asks whether it takes calls.
    asking: AbortHandle,
}

/// What happens to an instance.
enum Event {
    /// It takes calls.
    Ready(Number),
    /// It has ended, and how.
    Ended(Number, process::End),
}

impl Supervisor {
    pub(super) fn new(service: Arc<Service>, home: Home, lifeline: Arc<Lifeline>, env: Env) -> Self {
        let run = service.config().run.clone().expect("it has a program");
        let fleet = Fleet::new(run, env.now());
        let scaled = service.scale().0.subscribe();
        let (running, events) = (BTreeMap::new(), JoinSet::new());
        Self {
            service,
            home,
            lifeline,
            env,
            fleet,
            running,
            events,
            scaled,
            is_missing: false,
            is_ending: false,
        }
    }

    /// Runs until it is told that there is no program any more, and all instances have ended.
    pub(super) async fn run(mut self, mut told: watch::Receiver<Option<Arc<Service>>>) {
        self.scale();
        loop {
            let now = self.env.now();
            self.leave_idle(now);
            for action in self.fleet.next(now) {
                self.act(action);
            }
            self.describe(now);
            if self.is_ending && self.running.is_empty() {
                return;
            }
            if self.fleet.wanted() == 0 {
                // Nobody waits for it.
                (self.home.is_up)(self.service.name());
            }
            let due = self.fleet.due(now).map(|due| due.saturating_since(now));
            let idle = self.has_leaving().then_some(IDLE_EVERY);
            let wait = due.into_iter().chain(idle).min().unwrap_or(REST);
            tokio::select! {
                Some(event) = self.events.join_next() => self.happened(event),
                Ok(()) = told.changed() => {
                    let told = told.borrow_and_update().clone();
                    self.told(told);
                }
                Ok(()) = self.scaled.changed() => self.scale(),
                () = tokio::time::sleep(wait.as_std()) => {}
            }
        }
    }

    fn told(&mut self, told: Option<Arc<Service>>) {
        let Some(service) = told else {
            self.is_ending = true;
            self.fleet.scale(0);
            return;
        };
        let run = service.config().run.clone().expect("it has a program");
        if !Arc::ptr_eq(service.scale(), self.service.scale()) {
            self.scaled = service.scale().0.subscribe();
        }
        let has_another_number =
            self.service.config().run.as_ref().is_some_and(|before| before.instances != run.instances);
        if has_another_number {
            service.scale().clear();
        }
        self.service = service;
        if std::mem::take(&mut self.is_missing) || std::mem::take(&mut self.is_ending) {
            self.fleet.scale(run.instances.get());
        }
        self.fleet.define(run, self.env.now());
        self.scale();
    }

    /// Goes by what was asked for, if something was.
    fn scale(&mut self) {
        let wanted = *self.scaled.borrow_and_update();
        if let Some(wanted) = wanted.filter(|_| !self.is_ending && !self.is_missing) {
            self.fleet.scale(wanted);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(number) => self.start(number),
            // It is described as leaving.
            Action::Leave(_) => {}
            Action::Terminate(number) => {
                if let Some(Running { process, asking }) = self.running.get(&number) {
                    asking.abort();
                    process.terminate();
                }
            }
            Action::Kill(number) => self.running.get(&number).into_iter().for_each(|it| it.process.kill()),
        }
    }

    fn start(&mut self, number: Number) {
        let Some(run) = &self.service.config().run else { return };
        self.lifeline.hold();
        let (process, ending) = match process::start(run, self.service.name(), number, &self.home) {
            Ok(started) => started,
            Err(error) => return self.could_not_start(number, &error),
        };
        let (address, pid, service) = (process.address(), process.pid(), self.service.name());
        self.lifeline.tell(number, pid);
        tracing::info!(target: "mainstay::upstream", %service, instance = number.0, pid, %address, "instance started");
        self.events.spawn(async move { Event::Ended(number, ending.await) });
        let (service, env) = (Arc::clone(&self.service), self.env.clone());
        let asking = self.events.spawn(async move {
            ready(&service, address, &env).await;
            Event::Ready(number)
        });
        self.running.insert(number, Running { process, asking });
    }

    fn could_not_start(&mut self, number: Number, error: &process::Error) {
        let (service, run) = (self.service.name(), &self.service.config().run);
        if run.as_ref().is_some_and(|run| run.optional) && error.is_missing() {
            if !self.is_missing {
                tracing::warn!(target: "mainstay::upstream", %service, %error, "a service that is optional has no program");
            }
            self.is_missing = true;
            self.fleet.scale(0);
        } else {
            let failures = self.fleet.failures() + 1;
            tracing::error!(target: "mainstay::upstream", %service, %error, failures, "cannot start an instance");
        }
        self.fleet.has_ended(number, self.env.now());
    }

    fn happened(&mut self, event: Result<Event, JoinError>) {
        let now = self.env.now();
        match event {
            Ok(Event::Ready(number)) => {
                if matches!(self.fleet.phase(number), Some(Phase::Starting(_))) {
                    self.fleet.is_ready(number, now);
                    self.describe(now);
                    (self.home.is_up)(self.service.name());
                }
            }
            Ok(Event::Ended(number, end)) => self.ended(number, &end, now),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // It asked for an instance that has ended.
            Err(_) => {}
        }
    }

    fn ended(&mut self, number: Number, end: &process::End, now: Instant) {
        if let Some(Running { asking, .. }) = self.running.remove(&number) {
            asking.abort();
        }
        let was_asked = !matches!(self.fleet.phase(number), Some(Phase::Starting(_) | Phase::Ready(_)));
        self.fleet.has_ended(number, now);
        let (service, instance, failures) = (self.service.name(), number.0, self.fleet.failures());
        if was_asked {
            tracing::info!(target: "mainstay::upstream", %service, instance, %end, "instance ended");
        } else {
            tracing::warn!(target: "mainstay::upstream", %service, instance, %end, failures, "instance ended by itself");
        }
    }

    fn has_leaving(&self) -> bool {
        self.running.keys().any(|number| matches!(self.fleet.phase(*number), Some(Phase::Leaving(_))))
    }

    /// Those that leave and have no calls any more need not wait.
    fn leave_idle(&mut self, now: Instant) {
        if !self.has_leaving() {
            return;
        }
        let endpoints = self.service.roster().endpoints();
        // Where all leave, calls go to them all the same until they end.
        let all_leave = self.fleet.wanted() == 0;
        for (number, Running { process, .. }) in &self.running {
            let id = Id::of(process.address());
            let endpoint = endpoints.iter().find(|endpoint| endpoint.id() == id);
            let is_passed_over = all_leave || endpoint.is_none_or(|endpoint| endpoint.is_out());
            if is_passed_over && endpoint.is_none_or(|endpoint| endpoint.load().running() == 0) {
                self.fleet.is_idle(*number, now);
            }
        }
    }

    /// Describes those that take calls, and those that finish what they have.
    fn describe(&self, now: Instant) {
        let described = self.running.iter().filter_map(|(number, Running { process, .. })| {
            let is_leaving = match self.fleet.phase(*number)? {
                Phase::Starting(_) | Phase::Killed => return None,
                Phase::Ready(_) => false,
                Phase::Leaving(_) | Phase::Ending(_) => true,
            };
            Some(Described { instance: Instance::at(process.address()), is_leaving })
        });
        self.service.roster().describe_if_other(Source::Supervised, described.collect(), now);
    }
}

/// Waits until an instance takes connections, and is well if there is a check for it.
async fn ready(service: &Service, address: SocketAddr, env: &Env) {
    loop {
        let asked = match service.health() {
            Some(health) => check::check(address, health, service.dial(), env.clone()).await,
            None => check::connect(address, service.dial().connect_timeout).await,
        };
        if asked.is_ok() {
            return;
        }
        tokio::time::sleep(READY_EVERY.as_std()).await;
    }
}

//! Runs the program of one service.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Shared;
use super::fleet::{Action, Fleet, Number, Phase};
use super::limits::{Division, Group};
use super::process::{self, Process};
use super::scale::Seen;
use super::usage::Usage;
use super::warm_up::{self, Awaited};
use super::watching::Watching;
use crate::config::Run;
use crate::endpoint::{Id, Instance};
use crate::roster::{Described, Source};
use crate::service::Service;

/// How often it is looked whether an instance that leaves has calls left.
const IDLE_EVERY: Duration = Duration::from_millis(50);

/// How long is waited when nothing is due.
const REST: Duration = Duration::from_secs(3600);

/// Runs the program of one service.
pub(super) struct Supervisor {
    pub(super) service: Arc<Service>,
    pub(super) shared: Shared,
    pub(super) fleet: Fleet,
    pub(super) running: BTreeMap<Number, Running>,
    pub(super) events: JoinSet<Event>,
    pub(super) watching: Watching,
    /// It is told what was asked for besides the definition.
    asked: watch::Receiver<Option<u32>>,
    /// Something was.
    was_asked: bool,
    /// That processor time cannot be limited here was told.
    was_told_of_cpu: bool,
    /// Its program is missing and need not be there: it was told once.
    is_missing: bool,
    /// There is no program any more: it ends when all instances have.
    is_ending: bool,
}

/// An instance that runs.
pub(super) struct Running {
    pub(super) process: Process,
    /// Asks whether it takes calls.
    asking: AbortHandle,
    /// What holds it to its processor time.
    _group: Option<Group>,
}

/// What happens to instances.
pub(super) enum Event {
    /// It takes calls.
    Ready(Number),
    /// It has ended, and how.
    Ended(Number, process::End),
    /// What process groups take of the machine was read, or could not be.
    Used(Option<BTreeMap<i32, Usage>>),
}

impl Supervisor {
    pub(super) fn new(service: Arc<Service>, shared: Shared) -> Self {
        let (run, now) = (service.config().run.clone().expect("it has a program"), shared.env.now());
        let (fleet, asked) = (Fleet::new(run, now), service.scale().asked());
        Self {
            service,
            shared,
            fleet,
            running: BTreeMap::new(),
            events: JoinSet::new(),
            watching: Watching::new(now),
            asked,
            was_asked: false,
            was_told_of_cpu: false,
            is_missing: false,
            is_ending: false,
        }
    }

    /// Runs until it is told that there is no program any more, and all instances have ended.
    pub(super) async fn run(mut self, mut told: watch::Receiver<Option<Arc<Service>>>) {
        self.scale();
        loop {
            let now = self.shared.env.now();
            self.watch(now);
            self.leave_idle(now);
            for action in self.fleet.next(now) {
                self.act(action);
            }
            self.describe(now);
            self.show();
            if self.is_ending && self.running.is_empty() {
                return;
            }
            if self.fleet.wanted() == 0 {
                // Nobody waits for it.
                (self.shared.home.is_up)(self.service.name());
            }
            let due = self.fleet.due(now).map(|due| due.saturating_since(now));
            let idle = self.has_leaving().then_some(IDLE_EVERY);
            let look = self.watch_due().map(|due| due.saturating_since(now));
            let wait = due.into_iter().chain(idle).chain(look).min().unwrap_or(REST);
            tokio::select! {
                Some(event) = self.events.join_next() => self.happened(event),
                Ok(()) = told.changed() => {
                    let told = told.borrow_and_update().clone();
                    self.told(told);
                }
                Ok(()) = self.asked.changed() => self.scale(),
                () = tokio::time::sleep(wait.as_std()) => {}
            }
        }
    }

    fn told(&mut self, told: Option<Arc<Service>>) {
        let Some(service) = told else {
            self.is_ending = true;
            self.fleet.scale(0);
            return self.scale();
        };
        let run = service.config().run.clone().expect("it has a program");
        if !Arc::ptr_eq(service.scale(), self.service.scale()) {
            self.asked = service.scale().asked();
        }
        let numbers = |run: &Run| (run.instances, run.scale.clone());
        if self.service.config().run.as_ref().is_some_and(|before| numbers(before) != numbers(&run)) {
            service.scale().set(None);
        }
        self.service = service;
        if std::mem::take(&mut self.is_missing) || std::mem::take(&mut self.is_ending) {
            self.fleet.scale(run.first());
        }
        self.fleet.define(run, self.shared.env.now());
        self.scale();
    }

    /// Goes by what was asked for, if something was; else by the definition.
    fn scale(&mut self) {
        let asked = *self.asked.borrow_and_update();
        let was_asked = std::mem::replace(&mut self.was_asked, asked.is_some());
        if !self.is_ending && !self.is_missing {
            let run = self.service.config().run.as_ref();
            let defined = run.filter(|run| was_asked && run.scale.is_none()).map(Run::first);
            if let Some(wanted) = asked.or(defined) {
                self.fleet.scale(wanted);
            }
        }
        // A rule goes on from the number that there is.
        let is_ruled = asked.is_none() && !self.is_ending && !self.is_missing;
        let scaling = self.service.config().run.as_ref().and_then(|run| run.scale.clone());
        self.watching.rule_by(scaling.filter(|_| is_ruled), self.fleet.wanted(), self.shared.env.now());
    }

    /// Shows how it is.
    fn show(&self) {
        self.service.scale().see(Seen {
            wanted: self.fleet.wanted(),
            counts: self.fleet.counts(),
            failed: self.fleet.failed(),
            scaled: self.watching.scaled(),
            last: self.watching.last().cloned(),
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(number) => self.start(number),
            Action::Take(number) => {
                let (service, instance) = (self.service.name(), number.0);
                tracing::info!(target: "mainstay::upstream", %service, instance, "a warm instance takes calls");
                (self.shared.home.is_up)(service);
            }
            // It is described as leaving.
            Action::Leave(_) => {}
            Action::Terminate(number) => {
                if let Some(Running { process, asking, .. }) = self.running.get(&number) {
                    asking.abort();
                    process.terminate();
                }
            }
            Action::Kill(number) => self.running.get(&number).into_iter().for_each(|it| it.process.kill()),
        }
    }

    fn start(&mut self, number: Number) {
        let Some(run) = self.service.config().run.clone() else { return };
        self.shared.lifeline.hold();
        let (process, ending) = match process::start(&run, self.service.name(), number, &self.shared.home) {
            Ok(started) => started,
            Err(error) => return self.could_not_start(number, &error),
        };
        let group = self.limit(&run, number, &process);
        let (address, pid, service) = (process.address(), process.pid(), self.service.name());
        self.shared.lifeline.tell(number, pid);
        tracing::info!(target: "mainstay::upstream", %service, instance = number.0, pid, %address, "instance started");
        self.events.spawn(async move { Event::Ended(number, ending.await) });
        let (service, env) = (Arc::clone(&self.service), self.shared.env.clone());
        let since = env.now();
        let asking = self.events.spawn(async move {
            warm_up::ready(&Awaited { service: &service, number, address, since }, &env).await;
            Event::Ready(number)
        });
        self.running.insert(number, Running { process, asking, _group: group });
    }

    /// Holds an instance to what it may take, as far as the system does.
    fn limit(&mut self, run: &Run, number: Number, process: &Process) -> Option<Group> {
        let (service, instance) = (self.service.name(), number.0);
        if let Some(files) = run.limits.files
            && let Err(error) = process.limit_files(files.get())
        {
            tracing::warn!(target: "mainstay::upstream", %service, instance, %error, "an instance runs without its limit of files");
        }
        let cores = run.limits.cpu?;
        let division = self.shared.division.get_or_init(Division::of_this_process);
        let held = match division {
            Ok(division) => {
                division.hold(service, number, process.pid(), cores).map_err(|error| error.to_string())
            }
            Err(why) => Err(why.clone()),
        };
        if let Err(error) = &held
            && !std::mem::replace(&mut self.was_told_of_cpu, true)
        {
            tracing::warn!(target: "mainstay::upstream", %service, error, "instances run without `limits.cpu`: run Mainstay in a control group that it may divide, such as a systemd service with `Delegate=cpu`");
        }
        held.ok()
    }

    fn could_not_start(&mut self, number: Number, error: &process::Error) {
        let (service, run) = (self.service.name(), &self.service.config().run);
        if run.as_ref().is_some_and(|run| run.optional) && error.is_missing() {
            if !self.is_missing {
                tracing::warn!(target: "mainstay::upstream", %service, %error, "a service that is optional has no program");
            }
            self.is_missing = true;
            self.fleet.scale(0);
            self.scale();
        } else {
            let failures = self.fleet.failures() + 1;
            tracing::error!(target: "mainstay::upstream", %service, %error, failures, "cannot start an instance");
        }
        self.fleet.has_ended(number, self.shared.env.now());
    }

    fn happened(&mut self, event: Result<Event, JoinError>) {
        let now = self.shared.env.now();
        match event {
            Ok(Event::Ready(number)) => {
                self.fleet.is_ready(number, now);
                if matches!(self.fleet.phase(number), Some(Phase::Ready(_))) {
                    self.describe(now);
                    (self.shared.home.is_up)(self.service.name());
                }
            }
            Ok(Event::Used(used)) => self.looked(used.as_ref(), now),
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
        let phase = self.fleet.phase(number);
        let was_asked = !matches!(phase, Some(Phase::Starting(_) | Phase::Warm(_) | Phase::Ready(_)));
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
                Phase::Starting(_) | Phase::Warm(_) | Phase::Killed => return None,
                Phase::Ready(_) => false,
                Phase::Leaving(_) | Phase::Ending(_) => true,
            };
            Some(Described { instance: Instance::at(process.address()), is_leaving })
        });
        self.service.roster().describe_if_other(Source::Supervised, described.collect(), now);
    }
}

//! Runs the program of one service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Shared;
use super::fleet::{Action, Fleet, Number, Phase};
use super::limits::Group;
use super::process::{self, Process};
use super::scale::{Asked, Seen};
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
    asked: watch::Receiver<Option<Asked>>,
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
    /// Asks whether it can take calls; and while it is warm, whether it still can.
    asking: AbortHandle,
    /// What holds it to its processor time.
    _group: Option<Group>,
}

/// What happens to instances.
pub(super) enum Event {
    /// It can take calls.
    Ready(Number),
    /// It was warm, and cannot any more: why.
    Unwell(Number, String),
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
                Ok(()) = self.asked.changed() => self.asked(),
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
        if let Some(before) = &self.service.config().run {
            service.scale().forget(before, &run);
        }
        let before = std::mem::replace(&mut self.service, service);
        if std::mem::take(&mut self.is_missing) || std::mem::take(&mut self.is_ending) {
            self.fleet.scale(run.first());
        }
        if self.fleet.define(run, self.shared.env.now()) {
            self.watching.forget();
        }
        self.scale();
        if !warm_up::asks_same(before.config(), self.service.config()) {
            self.ask_anew();
        }
    }

    /// Somebody has asked for a number, or does not any more.
    fn asked(&mut self) {
        let run = self.service.config().run.as_ref();
        let is_for = |asked: &Asked| run.is_some_and(|run| asked.is_for(run));
        // One for a definition that is about to be told counts then.
        if !self.is_ending && self.asked.borrow_and_update().as_ref().is_some_and(|asked| !is_for(asked)) {
            return;
        }
        // It may be there by now: it is tried once more.
        if std::mem::take(&mut self.is_missing)
            && let Some(run) = &self.service.config().run
        {
            self.fleet.scale(run.first());
        }
        self.scale();
    }

    /// Goes by what was asked for, if something was; else by the definition.
    fn scale(&mut self) {
        let asked = self.asked.borrow_and_update().clone();
        let run = self.service.config().run.as_ref();
        let asked = asked.filter(|asked| run.is_some_and(|run| asked.is_for(run))).map(|it| it.instances);
        let was_asked = std::mem::replace(&mut self.was_asked, asked.is_some());
        if !self.is_ending && !self.is_missing {
            let defined = run.filter(|run| was_asked && run.scale.is_none()).map(Run::first);
            if let Some(wanted) = asked.or(defined) {
                self.fleet.scale(wanted);
            }
        }
        // A rule goes on from the number that there is.
        let is_ruled = asked.is_none() && !self.is_ending && !self.is_missing;
        let scaling = run.and_then(|run| run.scale.clone());
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
            is_missing: self.is_missing,
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(number) => self.start(number),
            Action::Take(number) => {
                let (service, instance) = (self.service.name(), number.0);
                tracing::info!(target: "mainstay::upstream", %service, instance, "a warm instance takes calls");
                (self.shared.home.is_up)(service);
                // From now on it is checked as an endpoint.
                self.running.get(&number).into_iter().for_each(|running| running.asking.abort());
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
        let asking = self.ask(number, address, self.shared.env.now());
        self.running.insert(number, Running { process, asking, _group: group });
    }

    /// Asks an instance that was started then, until it can take calls.
    fn ask(&mut self, number: Number, address: SocketAddr, since: Instant) -> AbortHandle {
        let (service, env) = (Arc::clone(&self.service), self.shared.env.clone());
        self.events.spawn(async move {
            warm_up::ready(&Awaited { service: &service, number, address, since }, &env).await;
            Event::Ready(number)
        })
    }

    /// Asks a warm instance from time to time, if the service has a check, until it fails as often as an endpoint may.
    fn ask_warm(&mut self, number: Number, address: SocketAddr) -> AbortHandle {
        let (service, env) = (Arc::clone(&self.service), self.shared.env.clone());
        self.events
            .spawn(async move { Event::Unwell(number, warm_up::unwell(&service, address, &env).await) })
    }

    /// Asks those that do not take calls yet by what the service says now.
    fn ask_anew(&mut self) {
        let asked: Vec<_> =
            self.running.iter().map(|(number, running)| (*number, running.process.address())).collect();
        for (number, address) in asked {
            let asking = match self.fleet.phase(number) {
                Some(Phase::Starting(since)) => self.ask(number, address, since),
                Some(Phase::Warm(_)) => self.ask_warm(number, address),
                _ => continue,
            };
            self.asks_by(number, asking);
        }
    }

    /// An instance is asked by this from now on, and not by what asked it before.
    fn asks_by(&mut self, number: Number, asking: AbortHandle) {
        if let Some(running) = self.running.get_mut(&number) {
            std::mem::replace(&mut running.asking, asking).abort();
        }
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
        let held = self.shared.division.hold(service, number, process.pid(), cores);
        let was_told = std::mem::replace(&mut self.was_told_of_cpu, held.is_err());
        if let Err(error) = &held
            && !was_told
        {
            tracing::warn!(target: "mainstay::upstream", %service, error, "instances run without `limits.cpu`, and it is tried again at the next start: it takes a control group that Mainstay may divide, such as that of a systemd service with `Delegate=cpu`");
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
            self.fleet.is_missing(number);
        } else {
            let failures = self.fleet.failures() + 1;
            tracing::error!(target: "mainstay::upstream", %service, %error, failures, "cannot start an instance");
            self.fleet.has_ended(number, self.shared.env.now());
        }
    }

    fn happened(&mut self, event: Result<Event, JoinError>) {
        let now = self.shared.env.now();
        match event {
            Ok(Event::Ready(number)) => {
                self.fleet.is_ready(number, now);
                self.is_ready(number, now);
            }
            Ok(Event::Unwell(number, error)) => self.is_unwell(number, &error, now),
            Ok(Event::Used(used)) => self.looked(used.as_ref(), now),
            Ok(Event::Ended(number, end)) => self.ended(number, &end, now),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // It asked for an instance that has ended.
            Err(_) => {}
        }
    }

    /// An instance can take calls, and does or is warm.
    fn is_ready(&mut self, number: Number, now: Instant) {
        match self.fleet.phase(number) {
            Some(Phase::Ready(_)) => {
                self.describe(now);
                (self.shared.home.is_up)(self.service.name());
            }
            Some(Phase::Warm(_)) => {
                if let Some(address) = self.running.get(&number).map(|running| running.process.address()) {
                    let asking = self.ask_warm(number, address);
                    self.asks_by(number, asking);
                }
            }
            _ => {}
        }
    }

    /// An instance that was warm is not well any more. It may take calls by now: then it is checked as an endpoint.
    fn is_unwell(&mut self, number: Number, error: &str, now: Instant) {
        if matches!(self.fleet.phase(number), Some(Phase::Warm(_))) && self.fleet.is_spent(number, false, now)
        {
            let (service, instance) = (self.service.name(), number.0);
            tracing::warn!(target: "mainstay::upstream", %service, instance, error, "a warm instance is not well any more, and is ended");
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

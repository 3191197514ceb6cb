//! The endpoints of a service: who there is by all that describe them, what is thought of each, and who takes calls.

mod member;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Ratio};
use tokio::sync::{Notify, watch};

use crate::balance::{Algorithm, Weighted};
use crate::endpoint::{Endpoint, Id, Instance};
use crate::outliers::{self, Reason};
use crate::picture::{Picture, Plan, Share};
use crate::standing::State;
use member::Member;
pub use member::View;

/// Who describes an endpoint. Where several describe the same one, the first of them counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The definition of the service.
    Defined,
    /// DNS.
    Dns,
    /// Whoever has registered it.
    Registered,
    /// Mainstay itself, which has started it.
    Supervised,
}

impl Source {
    /// The word, as the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Defined => "defined",
            Self::Dns => "dns",
            Self::Registered => "registered",
            Self::Supervised => "supervised",
        }
    }
}

/// What an endpoint is described as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The instance.
    pub instance: Instance,
    /// It is to get no more calls, and goes when those that it has are done.
    pub is_leaving: bool,
}

/// How a roster treats its endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// How one is chosen.
    pub algorithm: Algorithm,
    /// The zone of who calls.
    pub zone: Option<Name>,
    /// Which share of its own zone has to take calls so that none go to others.
    pub near_ratio: Ratio,
    /// Below which share of healthy endpoints all are called.
    pub panic_ratio: Ratio,
    /// How long an endpoint gets fewer calls than its weight says after it has begun to take them.
    pub slow_start: Duration,
    /// What takes endpoints out by the outcomes of calls.
    pub outliers: Option<outliers::Config>,
    /// How many checks in a row make an endpoint healthy, and how many make it not; none without checks.
    pub checks: Option<(u32, u32)>,
}

/// What a call to an endpoint ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// An answer that is none of the endpoint's failures, after so long.
    Success(Duration),
    /// A failure of the endpoint, after so long.
    Failure(Duration),
    /// No connection, and why.
    Unreachable(&'a str),
}

/// What is counted of the endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// How each is.
    pub states: Vec<State>,
    /// How many calls run.
    pub running: u32,
    /// How many connections there are.
    pub connections: u32,
    /// How often one was ejected.
    pub ejected: u64,
    /// How often one could not be connected to any more.
    pub unreachable: u64,
}

/// The endpoints of a service, shared by all who call it.
#[derive(Debug)]
pub struct Roster {
    /// The service's name, for logs.
    service: Name,
    inner: Mutex<Inner>,
    picture: ArcSwap<Picture>,
    /// The picture's number: asking for it is cheaper than for the picture.
    number: AtomicU64,
    /// The same, held by whoever exchanges the two.
    shown: Mutex<u64>,
    /// After how many failures in a row an endpoint is taken out, or zero: most failures do not ask for the rest.
    failures: AtomicU32,
    /// In how many ways its endpoints have been spoken to, by definitions one after the other.
    ways: AtomicU64,
    /// Something is to be settled.
    stirred: Notify,
    /// How often who there is, or how one of them is, has changed.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    rules: Rules,
    described: BTreeMap<Source, Vec<Described>>,
    members: Vec<Member>,
    plan: Plan,
    /// Of the plan.
    number: u64,
    /// When endpoints are compared next.
    compare_at: Option<Instant>,
    ejected: u64,
    unreachable: u64,
    /// Something has changed that those who wait for changes were not told of.
    is_other: bool,
}

/// How many steps a weight takes to its whole.
const RAMP_STEPS: u32 = 20;

impl Rules {
    /// Those of which only this is said: endpoints are not watched, and all take calls.
    pub const fn choosing(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            zone: None,
            near_ratio: Ratio::ONE,
            panic_ratio: Ratio::ZERO,
            slow_start: Duration::ZERO,
            outliers: None,
            checks: None,
        }
    }

    fn failures(&self) -> u32 {
        self.outliers.map_or(0, |outliers| outliers.failures.get())
    }
}

impl Roster {
    /// That of a service, without endpoints.
    pub fn new(service: Name, rules: Rules) -> Self {
        let failures = AtomicU32::new(rules.failures());
        let plan = Plan {
            algorithm: rules.algorithm,
            near: Vec::new(),
            far: Vec::new(),
            far_share: Share::new(0.0),
            is_panic: false,
        };
        let picture = ArcSwap::from_pointee(Picture::new(1, plan.clone()));
        let inner = Inner {
            rules,
            described: BTreeMap::new(),
            members: Vec::new(),
            plan,
            number: 1,
            compare_at: None,
            ejected: 0,
            unreachable: 0,
            is_other: false,
        };
        let (inner, number) = (Mutex::new(inner), AtomicU64::new(1));
        let (shown, stirred, changes) = (Mutex::new(1), Notify::new(), watch::Sender::default());
        let ways = AtomicU64::new(0);
        Self { service, inner, picture, number, shown, failures, ways, stirred, changes }
    }

    /// Endpoints are spoken to in another way from now on. Returns the number of that: who speaks to them in an earlier one is to keep to those that it knows.
    pub(crate) fn another_way(&self) -> u64 {
        self.ways.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number of the way in which endpoints are spoken to.
    pub(crate) fn way(&self) -> u64 {
        self.ways.load(Ordering::Acquire)
    }

    /// Treats its endpoints by other rules from now on.
    pub fn rule(&self, rules: Rules, now: Instant) {
        let mut inner = self.inner();
        let has_checks = rules.checks.is_some();
        inner.members.iter_mut().for_each(|member| member.standing.check(has_checks));
        self.failures.store(rules.failures(), Ordering::Relaxed);
        if inner.rules.outliers != rules.outliers {
            inner.compare_at = None;
        }
        inner.rules = rules;
        self.changed(inner, now);
    }

    /// These are all endpoints that this source describes.
    pub fn describe(&self, source: Source, described: Vec<Described>, now: Instant) {
        let mut inner = self.inner();
        inner.described.insert(source, described);
        inner.gather();
        inner.is_other = true;
        self.changed(inner, now);
    }

    /// The same, where mostly nothing has changed.
    pub fn describe_if_other(&self, source: Source, described: Vec<Described>, now: Instant) {
        let is_other = self.inner().described.get(&source).is_none_or(|known| *known != described);
        if is_other {
            self.describe(source, described, now);
        }
    }

    /// A call has ended.
    pub fn ended(&self, endpoint: &Endpoint, outcome: Outcome<'_>, now: Instant) {
        let load = endpoint.load();
        match outcome {
            Outcome::Success(took) => {
                self.answered(endpoint, now);
                load.latency.took(took, now);
                load.took_nanos.fetch_add(took.as_nanos(), Ordering::Relaxed);
                load.ended.fetch_add(1, Ordering::Relaxed);
                load.succeed();
            }
            Outcome::Failure(took) => {
                self.answered(endpoint, now);
                load.latency.failed(took, now);
                load.failed.fetch_add(1, Ordering::Relaxed);
                load.ended.fetch_add(1, Ordering::Relaxed);
                self.failed(endpoint, load.fail(), now);
            }
            Outcome::Unreachable(why) => {
                load.failed.fetch_add(1, Ordering::Relaxed);
                load.ended.fetch_add(1, Ordering::Relaxed);
                self.unreachable(endpoint, why, now);
            }
        }
    }

    /// It was tried to make a connection over which no calls go: how long that took, or why there is none. It counts as no call, neither for outliers nor for what is scaled by how long calls take.
    pub fn connected(&self, endpoint: &Endpoint, made: Result<Duration, &str>, now: Instant) {
        match made {
            Ok(took) => {
                self.answered(endpoint, now);
                endpoint.load().latency.took(took, now);
            }
            Err(why) => self.unreachable(endpoint, why, now),
        }
    }

    fn failed(&self, endpoint: &Endpoint, in_a_row: u32, now: Instant) {
        let failures = self.failures.load(Ordering::Relaxed);
        // Where too many are out already, it is asked for again after as many more.
        if failures == 0 || !in_a_row.is_multiple_of(failures) {
            return;
        }
        let mut inner = self.inner();
        let Some(outliers) = inner.rules.outliers else { return };
        if inner.eject(endpoint.id(), Reason::Failures(in_a_row), &outliers, now) {
            endpoint.set_out(true);
            drop(inner);
            self.stirred.notify_one();
        }
    }

    fn unreachable(&self, endpoint: &Endpoint, why: &str, now: Instant) {
        let mut inner = self.inner();
        let others = inner.members.len() > 1;
        let Some(member) = inner.member(endpoint.id()) else { return };
        // Where that is known it is called for want of others, and each caller sees what it says.
        if member.standing.cannot_be_reached(endpoint.instance().address, why, now) {
            endpoint.load().set_unreachable(true);
            inner.unreachable += 1;
            endpoint.set_out(others);
            drop(inner);
            self.stirred.notify_one();
        }
    }

    /// A call had a connection.
    fn answered(&self, endpoint: &Endpoint, now: Instant) {
        if endpoint.load().is_unreachable() {
            self.reached(endpoint.id(), Ok(()), now);
            self.stirred.notify_one();
        }
    }

    /// A check of an endpoint has ended. It is in force once that is settled.
    pub(crate) fn checked(&self, id: Id, result: Result<(), String>) {
        let mut inner = self.inner();
        let Some((healthy, unhealthy)) = inner.rules.checks else { return };
        if let Some(member) = inner.member(id) {
            member.standing.checked(result, healthy, unhealthy);
        }
    }

    /// An endpoint could be connected to, or could not. It is in force once that is settled.
    pub(crate) fn reached(&self, id: Id, result: Result<(), String>, now: Instant) {
        let mut inner = self.inner();
        let Some(member) = inner.member(id) else { return };
        match result {
            Ok(()) => {
                member.endpoint.load().set_unreachable(false);
                member.standing.can_be_reached();
            }
            Err(why) => {
                let (address, is_new) =
                    (member.endpoint.instance().address, !member.standing.is_unreachable());
                member.standing.is_still_unreachable(address, &why, now);
                member.endpoint.load().set_unreachable(true);
                inner.unreachable += u64::from(is_new);
            }
        }
    }

    /// Does what is due. Returns when something is due next.
    pub fn settle(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.inner();
        let (next, due) = (inner.next(&self.service, now), inner.due(now));
        self.release(inner, next);
        due
    }

    /// A number that is another one whenever who there is, or how one of them is, may have changed; what is counted of them does not. Whoever waits for it and then takes a [`view`](Self::view)
    /// sees the newest, however many changes there were.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until something is to be settled that is not due by time.
    pub async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Endpoints that are to be connected to now, to see whether they can be reached again. They are told once until that moment.
    pub(crate) fn to_be_tried(&self, now: Instant, until: Instant) -> Vec<Arc<Endpoint>> {
        let mut inner = self.inner();
        let tried = inner.members.iter_mut().filter_map(|member| {
            member.standing.is_to_be_tried(now, until).then(|| Arc::clone(&member.endpoint))
        });
        tried.collect()
    }

    /// All endpoints, also those that take no calls.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.inner().members.iter().map(|member| Arc::clone(&member.endpoint)).collect()
    }

    /// What is counted of them.
    pub fn counts(&self) -> Counts {
        let inner = self.inner();
        Counts {
            states: inner.members.iter().map(|member| member.standing.state()).collect(),
            running: inner.members.iter().map(|member| member.endpoint.load().running()).sum(),
            connections: inner.members.iter().map(|member| member.endpoint.load().spot.open()).sum(),
            ejected: inner.ejected,
            unreachable: inner.unreachable,
        }
    }

    /// How each endpoint is.
    pub fn view(&self, now: Instant) -> Vec<View> {
        self.inner().members.iter().map(|member| member.view(now)).collect()
    }

    /// How the endpoint at an address is; none if there is none.
    pub fn view_of(&self, address: SocketAddr, now: Instant) -> Option<View> {
        self.inner().member(Id::of(address)).map(|member| member.view(now))
    }

    /// Who takes calls.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// Whether this picture is the newest.
    pub(crate) fn is_newest(&self, picture: &Picture) -> bool {
        picture.number == self.number.load(Ordering::Acquire)
    }

    /// Puts a change in force, and has what is due next looked at.
    fn changed(&self, mut inner: MutexGuard<'_, Inner>, now: Instant) {
        let next = inner.next(&self.service, now);
        self.release(inner, next);
        self.stirred.notify_one();
    }

    /// Lets others at it, puts a plan in force, and then tells those who wait for changes: who is shown as called is called.
    fn release(&self, mut inner: MutexGuard<'_, Inner>, next: Option<(u64, Plan)>) {
        let is_other = std::mem::take(&mut inner.is_other);
        drop(inner);
        self.show(next);
        if is_other {
            self.changes.send_modify(|number| *number += 1);
        }
    }

    /// Makes a picture of a plan, which may take milliseconds, unless there is a newer one already.
    fn show(&self, next: Option<(u64, Plan)>) {
        let Some((number, plan)) = next else { return };
        let picture = Arc::new(Picture::new(number, plan));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown < number {
            *shown = number;
            self.picture.store(picture);
            self.number.store(number, Ordering::Release);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change of it is whole by itself.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Does what is due. Returns the plan by which calls are to go from now on, if it is another one.
    fn next(&mut self, service: &Name, now: Instant) -> Option<(u64, Plan)> {
        self.compare(now);
        let plan = self.plan(service, now);
        if plan.is(&self.plan) {
            return None;
        }
        self.plan = plan.clone();
        self.number += 1;
        Some((self.number, plan))
    }

    fn member(&mut self, id: Id) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.endpoint.id() == id)
    }

    /// Makes members of what is described. Those that stay keep what is known of them.
    fn gather(&mut self) {
        let mut before: HashMap<Id, Member> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|member| (member.endpoint.id(), member))
            .collect();
        let mut places: HashMap<Id, usize> = HashMap::new();
        for (source, described) in &self.described {
            for Described { instance, is_leaving } in described {
                let id = Id::of(instance.address);
                if let Some(place) = places.get(&id) {
                    // Whoever says that it is to go is right.
                    let standing = &mut self.members[*place].standing;
                    standing.leave(standing.is_leaving() || *is_leaving);
                    continue;
                }
                let mut member = match before.remove(&id) {
                    Some(member) => member.told(*source, instance),
                    None => Member::new(*source, instance.clone(), self.rules.checks.is_some()),
                };
                member.standing.leave(*is_leaving);
                places.insert(id, self.members.len());
                self.members.push(member);
            }
        }
    }

    /// Takes one out, unless too many are. Returns whether it was not, and is.
    fn eject(&mut self, id: Id, why: Reason, config: &outliers::Config, now: Instant) -> bool {
        let out = self.members.iter().filter(|member| member.standing.is_ejected()).count();
        let out_max = config.out_max(self.members.len());
        let Some(member) = self.member(id) else { return false };
        let may_be = !member.standing.is_ejected() && out < out_max;
        if may_be {
            member.standing.eject(why, config, now);
            self.ejected += 1;
        }
        may_be
    }

    /// Compares endpoints with each other, when it is time.
    fn compare(&mut self, now: Instant) {
        let Some(outliers) = self.rules.outliers else {
            self.compare_at = None;
            return;
        };
        let due = *self.compare_at.get_or_insert(now.saturating_add(outliers.every));
        if now < due {
            return;
        }
        self.compare_at = Some(now.saturating_add(outliers.every));
        let samples: Vec<_> = self.members.iter_mut().map(Member::sample).collect();
        let worse = outliers::worse(&outliers, &samples);
        for (place, why) in worse {
            let id = self.members[place].endpoint.id();
            self.eject(id, why, &outliers, now);
        }
        for member in self.members.iter_mut().filter(|member| !member.standing.is_ejected()) {
            member.standing.was_quiet();
        }
    }

    /// Who is to take calls now.
    fn plan(&mut self, service: &Name, now: Instant) -> Plan {
        let settled = self.members.iter_mut().map(|member| member.settle(service, now));
        let (fit, others): (Vec<bool>, Vec<bool>) = settled.unzip();
        self.is_other |= others.contains(&true);
        let (taking, is_panic) = self.taking(&fit);
        for (member, takes) in self.members.iter().zip(&taking) {
            member.endpoint.set_out(!takes);
        }
        let Rules { algorithm, zone, near_ratio, slow_start, .. } = &self.rules;
        let is_near = |member: &Member| zone.is_some() && member.endpoint.instance().zone == *zone;
        let weighted = |member: &Member| Weighted {
            endpoint: Arc::clone(&member.endpoint),
            // A table by keys stays as it is while one begins; and where all are called, those that are well are not to get less.
            weight: match algorithm {
                Algorithm::Maglev => member.weight(),
                _ if is_panic => member.weight(),
                _ => member.weight() * member.standing.ramp(*slow_start, now),
            },
        };
        let of = |near: bool| {
            let taking =
                self.members.iter().zip(&taking).filter(|(member, takes)| **takes && is_near(member) == near);
            taking.map(|(member, _)| weighted(member)).collect::<Vec<_>>()
        };
        let (near, far) = (of(true), of(false));
        let whole = |members: &mut dyn Iterator<Item = &Member>| members.map(Member::weight).sum::<f32>();
        let all_near =
            whole(&mut self.members.iter().filter(|member| is_near(member) && !member.is_leaving()));
        let fit_near = whole(
            &mut self
                .members
                .iter()
                .zip(&taking)
                .filter(|(member, takes)| **takes && is_near(member))
                .map(|(member, _)| member),
        );
        let far_share = if near.is_empty() {
            1.0
        } else if far.is_empty() {
            0.0
        } else {
            1.0 - (f64::from(fit_near) / f64::from(all_near) / near_ratio.get()).min(1.0)
        };
        let far_share = Share::new(far_share);
        Plan { algorithm: *algorithm, near, far, far_share, is_panic }
    }

    /// Which members take calls: those that are fit, unless they are too few; and whether that is so.
    fn taking(&self, fit: &[bool]) -> (Vec<bool>, bool) {
        let whole = |which: &dyn Fn(usize) -> bool| {
            let members = self
                .members
                .iter()
                .enumerate()
                .filter(|(place, member)| which(*place) && !member.is_leaving());
            members.map(|(_, member)| member.weight()).sum::<f32>()
        };
        let (all, fit_weight) = (whole(&|_| true), whole(&|place| fit[place]));
        if all > 0.0
            && f64::from(fit_weight) / f64::from(all) >= self.rules.panic_ratio.get()
            && fit_weight > 0.0
        {
            return (fit.to_vec(), false);
        }
        let choices: [&dyn Fn(&Member) -> bool; 4] = [
            &|member| !member.is_leaving() && !member.standing.is_unreachable(),
            &|member| !member.standing.is_unreachable(),
            &|member| !member.is_leaving(),
            &|_| true,
        ];
        let taking = choices.into_iter().map(|may| self.members.iter().map(may).collect::<Vec<_>>());
        let taking = taking.into_iter().find(|taking| taking.contains(&true)).unwrap_or_else(|| fit.to_vec());
        let is_panic = taking.iter().zip(fit).any(|(takes, fit)| *takes && !fit);
        (taking, is_panic)
    }

    /// When something is due next.
    fn due(&self, now: Instant) -> Option<Instant> {
        let standings = self.members.iter().filter_map(|member| member.standing.due());
        let slow_start = self.rules.slow_start;
        let is_ramping = self.members.iter().any(|member| member.standing.ramp(slow_start, now) < 1.0);
        let step = (slow_start.as_std() / RAMP_STEPS).max(Duration::from_millis(10).as_std());
        let ramp = is_ramping.then(|| now.saturating_add(step));
        standings.chain(ramp).chain(self.compare_at).min()
    }
}

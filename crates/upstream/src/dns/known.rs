//! What is known of a service's endpoints by a name: a function of what was answered and of time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::config::{Dns, Server};
use crate::endpoint::{Instance, is_own};
use crate::roster::Described;

/// What is looked up, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(super) dns: Dns,
    /// Without one, SRV records are looked up, which say ports.
    pub(super) port: Option<NonZeroU16>,
}

/// What tells one question from another.
type Question<'w> = (&'w str, Option<NonZeroU16>, &'w [Server]);

/// The addresses of one family that a name has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) family: Family,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where endpoints are, but for the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) port: u16,
    /// Zero counts as one.
    pub(super) weight: u32,
}

/// What a lookup has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) places: Vec<Place>,
    /// The addresses of each name in `places`, or why they are not known.
    pub(super) addresses: BTreeMap<Part, Result<Vec<IpAddr>, String>>,
    /// The lowest TTL of all records.
    pub(super) ttl: Duration,
    /// The API of this node, which is no endpoint whatever records say: who writes them would have clients of the gateway operate the node.
    pub(super) api: Option<SocketAddr>,
}

/// What a lookup came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There are addresses.
    Found,
    /// The name is not there, or has none.
    Empty,
    /// Nothing is known.
    Failed,
}

/// What people are told, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Lookups fail from now on, or a part of them does.
    Failing(String),
    /// The name has no addresses from now on.
    Empty,
    /// It has some again, all of which are known.
    Back,
    /// What it had goes.
    Gone(usize),
    /// It has more than are taken.
    Cut(usize),
}

/// What comes of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// All endpoints by the name, if they are others than before.
    pub(super) described: Option<Vec<Described>>,
    pub(super) told: Vec<Told>,
}

/// What is known of a service's endpoints by a name.
#[derive(Debug, Default)]
pub(super) struct Known {
    wanted: Option<Wanted>,
    /// Of the last answer: what failed of it is as it was in the one before.
    addresses: BTreeMap<Part, Vec<IpAddr>>,
    /// What they come to, with weights; in order, so that another order of an answer changes nothing.
    endpoints: BTreeMap<SocketAddr, u32>,
    /// When the last lookup found some.
    found_at: Option<Instant>,
    /// When a lookup is to begin; none if nothing is looked up.
    next: Option<Instant>,
    /// When they go, unless some are found by then.
    goes_at: Option<Instant>,
    /// Lookups in a row that did not find all there is.
    misses: u32,
    /// What is wrong since the last lookup that was all right.
    wrong: Option<Wrong>,
    is_cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    Failing(String),
    Empty,
}

/// The most endpoints that a name may have.
pub(super) const ENDPOINTS_MAX: usize = 1_024;

/// After how long a lookup that has failed or found nothing is made again: the first time, and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Up to which share a wait is shortened by chance: after answers, and after failures, which all nodes have at once.
const SPREAD: f64 = 0.1;
const SPREAD_OF_FAILURES: f64 = 0.5;

impl Wanted {
    pub(super) fn question(&self) -> Question<'_> {
        (&self.dns.name, self.port, &self.dns.servers)
    }
}

impl Display for Wanted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.dns.name;
        match self.port {
            Some(port) => write!(f, "{name}:{port}"),
            None => write!(f, "{name} (SRV)"),
        }
    }
}

impl Known {
    /// What is looked up, if anything is.
    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// When a lookup is to begin.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// When endpoints go if nothing happens.
    pub(super) const fn goes_at(&self) -> Option<Instant> {
        self.goes_at
    }

    /// When the last lookup found some.
    pub(super) const fn found_at(&self) -> Option<Instant> {
        self.found_at
    }

    /// What is wrong, in words, with the last lookup.
    pub(super) fn error(&self) -> Option<String> {
        Some(match self.wrong.as_ref()? {
            Wrong::Failing(why) => why.clone(),
            Wrong::Empty => "the name has no addresses".to_owned(),
        })
    }

    /// The service is defined so from now on. Endpoints of another name stay until the new one has some, and no longer than names without addresses keep theirs: a change of the
    /// name costs no call, and one to a name that never answers does not leave calls where they were.
    pub(super) fn define(&mut self, wanted: Option<Wanted>, now: Instant) -> Step {
        let Some(next) = wanted else {
            let had = std::mem::take(self);
            let described = (!had.endpoints.is_empty()).then(Vec::new);
            return Step { described, told: Vec::new() };
        };
        let is_same = self.wanted.as_ref().is_some_and(|wanted| wanted.question() == next.question());
        if is_same {
            // By its own bounds it might wait for hours.
            self.next = self.next.min(Some(now.saturating_add(next.dns.ttl_max)));
        } else {
            let endpoints = std::mem::take(&mut self.endpoints);
            let goes_at = (!endpoints.is_empty()).then(|| now.saturating_add(next.dns.hold));
            *self = Self { endpoints, goes_at, next: Some(now), ..Self::default() };
        }
        self.wanted = Some(next);
        Step::default()
    }

    /// A lookup has ended. What was not asked by what is wanted now counts for nothing. Waits are shortened by a number by chance from 0 to 1.
    pub(super) fn looked_up(
        &mut self,
        of: &Wanted,
        result: Result<Answer, String>,
        now: Instant,
        chance: f64,
    ) -> Option<(Outcome, Step)> {
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.question() == of.question())?;
        let Dns { ttl_min, ttl_max, hold, .. } = wanted.dns;
        let shortened = |wait: Duration, by: f64| Duration::from(wait.as_std().mul_f64(1.0 - by * chance));
        let mut step = Step::default();
        let (outcome, wrong, ttl) = match result {
            Err(why) => (Outcome::Failed, Some(Wrong::Failing(why)), None),
            Ok(answer) => {
                let ttl = answer.ttl.clamp(ttl_min, ttl_max);
                let (outcome, wrong) = self.take(answer, &mut step);
                (outcome, wrong, (outcome == Outcome::Found).then_some(ttl))
            }
        };
        match outcome {
            Outcome::Found => {
                self.found_at = Some(now);
                self.goes_at = None;
            }
            Outcome::Empty if !self.endpoints.is_empty() => {
                self.goes_at = self.goes_at.or(Some(now.saturating_add(hold)));
            }
            Outcome::Empty | Outcome::Failed => {}
        }
        self.misses = if wrong.is_some() { self.misses.saturating_add(1) } else { 0 };
        let again = AGAIN.saturating_mul(1 << self.misses.saturating_sub(1).min(8)).min(AGAIN_MAX);
        let wait = match (ttl, &wrong) {
            (Some(ttl), None) => shortened(ttl, SPREAD),
            // Not before what is known of the rest may be asked for again.
            (Some(ttl), Some(_)) => shortened(again.max(ttl_min).min(ttl), SPREAD_OF_FAILURES),
            (None, _) => shortened(again.max(ttl_min), SPREAD_OF_FAILURES),
        };
        self.next = Some(now.saturating_add(wait));
        step.told.extend(self.tell(wrong));
        Some((outcome, step))
    }

    /// What time does: endpoints go that were held.
    pub(super) fn settle(&mut self, now: Instant) -> Step {
        if self.goes_at.is_none_or(|goes_at| goes_at > now) {
            return Step::default();
        }
        self.goes_at = None;
        self.addresses.clear();
        let had = std::mem::take(&mut self.endpoints);
        Step { described: Some(Vec::new()), told: vec![Told::Gone(had.len())] }
    }

    /// Takes over what an answer says, where it says something.
    fn take(&mut self, answer: Answer, step: &mut Step) -> (Outcome, Option<Wrong>) {
        let mut failure = None;
        let has_some = answer.addresses.values().any(|part| part.as_ref().is_ok_and(|it| !it.is_empty()));
        let parts = answer.addresses.into_iter().filter_map(|(part, result)| {
            let addresses = result.or_else(|why| {
                failure.get_or_insert(why);
                self.addresses.get(&part).cloned().ok_or(())
            });
            addresses.ok().map(|addresses| (part, addresses))
        });
        let addresses: BTreeMap<Part, Vec<IpAddr>> = parts.collect();
        let failure = failure.map(Wrong::Failing);
        let (endpoints, left_out) = endpoints(&answer.places, &addresses, answer.api);
        // This node itself is none: a name that has no others has none.
        if !has_some || endpoints.is_empty() {
            let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Empty };
            return (outcome, failure.or(Some(Wrong::Empty)));
        }
        if left_out > 0 && !self.is_cut {
            step.told.push(Told::Cut(left_out));
        }
        self.is_cut = left_out > 0;
        self.addresses = addresses;
        if self.endpoints != endpoints {
            self.endpoints = endpoints;
            step.described = Some(self.described());
        }
        (Outcome::Found, failure)
    }

    fn described(&self) -> Vec<Described> {
        let described = |(address, weight): (&SocketAddr, &u32)| Described {
            instance: Instance { weight: *weight, ..Instance::at(*address) },
            is_leaving: false,
        };
        self.endpoints.iter().map(described).collect()
    }

    /// What people are to be told of how it is now.
    fn tell(&mut self, wrong: Option<Wrong>) -> Option<Told> {
        let before = std::mem::replace(&mut self.wrong, wrong);
        match (before, &self.wrong) {
            (Some(Wrong::Failing(_)), Some(Wrong::Failing(_)))
            | (Some(Wrong::Empty), Some(Wrong::Empty))
            | (None, None) => None,
            (_, Some(Wrong::Failing(why))) => Some(Told::Failing(why.clone())),
            (_, Some(Wrong::Empty)) => Some(Told::Empty),
            (Some(_), None) => Some(Told::Back),
        }
    }
}

/// The endpoints at places, and how many are left out. One that is there twice has the larger weight.
fn endpoints(
    places: &[Place],
    addresses: &BTreeMap<Part, Vec<IpAddr>>,
    api: Option<SocketAddr>,
) -> (BTreeMap<SocketAddr, u32>, usize) {
    let mut all: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for Place { name, port, weight } in places {
        for family in [Family::V4, Family::V6] {
            let part = Part { name: name.clone(), family };
            for ip in addresses.get(&part).into_iter().flatten() {
                let address = SocketAddr::new(*ip, *port);
                if api.is_some_and(|api| is_own(address, api)) {
                    continue;
                }
                let known = all.entry(address).or_default();
                *known = (*known).max((*weight).max(1));
            }
        }
    }
    let left_out = all.len().saturating_sub(ENDPOINTS_MAX);
    if let Some(first) = all.keys().nth(ENDPOINTS_MAX).copied() {
        all.split_off(&first);
    }
    (all, left_out)
}

/// The names whose addresses an answer needs, each in both families.
pub(super) fn parts(places: &[Place]) -> Vec<Part> {
    let names: BTreeSet<&String> = places.iter().map(|place| &place.name).collect();
    let of = |name: &String| [Family::V4, Family::V6].map(|family| Part { name: name.clone(), family });
    names.into_iter().flat_map(of).collect()
}

//! Which of several endpoints a call goes to.
//!
//! A [`Balance`] is made of endpoints with their weights and never changes; what it goes by besides, the calls that run at each endpoint and their latency, is counted at the endpoints by all
//! cores. Weights are shares: an endpoint of weight 2 gets twice the calls of one with 1, as long as what is compared is equal.

mod maglev;
mod sampled;
mod strides;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_base::time::Instant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Id};
use maglev::Maglev;
use sampled::Sampled;
use strides::Strides;

/// How an endpoint is chosen for a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// In turns, each as often as its weight says.
    RoundRobin,
    /// Where the fewest calls run for the weight, of all endpoints.
    LeastRequests,
    /// Of two endpoints that are drawn, the one where fewer calls run for the weight.
    PowerOfTwo,
    /// Of two endpoints that are drawn, the one that is likely to answer first: by its latency, and the calls that run there.
    #[default]
    PeakEwma,
    /// By a key, so that calls with the same key go to the same endpoint, and few go elsewhere when endpoints come and go (consistent hashing, as Maglev does it).
    Maglev,
}

/// What a choice goes by.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What a call is recognised by, for [`Algorithm::Maglev`]. Evenly distributed.
    pub key: u64,
    /// The moment.
    pub now: Instant,
    /// Endpoints that the call was sent to before: passed over as long as there are others.
    pub tried: &'a [Id],
    /// Endpoints where as many calls run are passed over; [`u32::MAX`] where there is no such limit.
    pub room: u32,
    /// Chance.
    pub random: &'a mut Random,
}

/// Whom a call passes over, as long as there are others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing<'a> {
    tried: &'a [Id],
    room: u32,
}

impl<'a> Ask<'a> {
    pub(crate) const fn passing(&self) -> Passing<'a> {
        Passing { tried: self.tried, room: self.room }
    }
}

impl Passing<'_> {
    /// The same, but for those that the call was sent to: better there than where there is no room.
    const fn but_tried(self) -> Self {
        Self { tried: &[], room: self.room }
    }

    /// Whether an endpoint is not passed over.
    pub(crate) fn is_fresh(self, endpoint: &Endpoint) -> bool {
        !endpoint.is_out()
            && !self.tried.contains(&endpoint.id())
            && (self.room == u32::MAX || endpoint.load().placed() < self.room)
    }
}

/// Numbers by chance that need not be secret: splitmix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// One from 0 to below `end`, which is above 0: each as likely, but for a part in 2^32.
    const fn below(&mut self, end: usize) -> usize {
        (((self.draw() >> 32) * end as u64) >> 32) as usize
    }
}

/// A number whose bits depend on all bits of this one.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// An endpoint and its share of the calls, above 0.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share.
    pub weight: f32,
}

/// Endpoints of which one is chosen for each call.
#[derive(Debug)]
pub struct Balance {
    endpoints: Vec<Weighted>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Strides(Strides),
    /// With the place where the next search begins, so that equals take turns.
    Least(AtomicUsize),
    Two(Sampled),
    Ewma(Sampled),
    Maglev(Maglev),
}

impl Balance {
    /// Of these endpoints. Turns begin at this one of them. That of Maglev takes milliseconds to be made.
    pub fn new(algorithm: Algorithm, endpoints: Vec<Weighted>, begin: usize) -> Self {
        let weights = || endpoints.iter().map(|it| it.weight);
        let way = match algorithm {
            Algorithm::RoundRobin => Way::Strides(Strides::new(weights(), begin)),
            Algorithm::LeastRequests => Way::Least(AtomicUsize::new(begin)),
            Algorithm::PowerOfTwo => Way::Two(Sampled::new(weights())),
            Algorithm::PeakEwma => Way::Ewma(Sampled::new(weights())),
            Algorithm::Maglev => {
                Way::Maglev(Maglev::new(endpoints.iter().map(|it| (it.endpoint.id(), it.weight))))
            }
        };
        Self { endpoints, way }
    }

    /// The endpoint for a call; none if there are none. Passes over those that were found dead, those that the call was sent to, and those where there is no room, as long as there are others.
    pub fn choose(&self, ask: &mut Ask<'_>) -> Option<&Arc<Endpoint>> {
        let chosen = match self.endpoints.len() {
            0 => return None,
            1 => 0,
            _ => self.place(ask),
        };
        Some(&self.endpoints[chosen].endpoint)
    }

    /// All of them.
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter().map(|it| &it.endpoint)
    }

    /// Whether one that is not passed over is among them.
    pub(crate) fn has_fresh(&self, passing: Passing<'_>) -> bool {
        (0..self.endpoints.len()).any(|place| self.is_fresh(place, passing))
    }

    fn place(&self, ask: &mut Ask<'_>) -> usize {
        let all = self.endpoints.len();
        match &self.way {
            Way::Strides(strides) => self.first_fresh(ask, |_, _| strides.next()),
            Way::Maglev(maglev) => {
                // Where a key goes instead follows from the key as well.
                self.first_fresh(ask, |ask, times| {
                    maglev.place(if times == 0 { ask.key } else { mixed(ask.key ^ times as u64) })
                })
            }
            Way::Least(turn) => {
                let begin = turn.fetch_add(1, Ordering::Relaxed) % all;
                let mut places = (begin..all).chain(0..begin);
                let passing = ask.passing();
                let rank = |place| {
                    u8::from(!self.is_fresh(place, passing))
                        + u8::from(!self.is_fresh(place, passing.but_tried()))
                };
                let cost = |place: usize| (rank(place), self.running_after(place));
                let first = places.next().expect("there are several");
                let (least, _) = places.fold((first, cost(first)), |least, place| {
                    let next = cost(place);
                    if next < least.1 { (place, next) } else { least }
                });
                least
            }
            Way::Two(sampled) => self.better_of_two(ask, sampled, |place| self.running(place)),
            Way::Ewma(sampled) => {
                let now = ask.now;
                self.better_of_two(ask, sampled, |place| {
                    let (latency, running) =
                        (self.endpoints[place].endpoint.load().latency.millis(now), self.running(place));
                    // Of which nothing is known it gets one call, and more once that has its answer.
                    if latency < KNOWN_MS_MIN { UNKNOWN_MS * running } else { latency * (1.0 + running) }
                })
            }
        }
    }

    /// The first place that is not passed over; after so many in vain, any.
    fn first_fresh(&self, ask: &mut Ask<'_>, mut next: impl FnMut(&mut Ask<'_>, usize) -> usize) -> usize {
        let passing = ask.passing();
        let first = next(ask, 0);
        if self.is_fresh(first, passing) {
            return first;
        }
        let mut others = (1..TRIES_MAX).map(|times| next(ask, times));
        others
            .find(|place| self.is_fresh(*place, passing))
            .or_else(|| self.fresh(first, passing))
            .or_else(|| self.is_fresh(first, passing.but_tried()).then_some(first))
            .or_else(|| self.fresh(first, passing.but_tried()))
            .unwrap_or(first)
    }

    /// Two places are drawn by their weights, and what costs less is taken; the first of them if they cost the same.
    fn better_of_two(&self, ask: &mut Ask<'_>, sampled: &Sampled, cost: impl Fn(usize) -> f32) -> usize {
        let first = self.first_fresh(ask, |ask, _| sampled.place(ask.random));
        let passing = ask.passing();
        let is_other = |place: &usize| *place != first && self.is_fresh(*place, passing);
        // One of little weight is to be looked at as seldom as its weight says.
        let draws = if sampled.is_even() { TRIES_MAX } else { 1 };
        let second = (0..draws).map(|_| sampled.place(ask.random)).find(is_other);
        match second.or_else(|| self.fresh(first, passing).filter(|_| sampled.is_even())) {
            Some(second) if cost(second) < cost(first) => second,
            _ => first,
        }
    }

    /// The next place behind this one that is not passed over.
    fn fresh(&self, place: usize, passing: Passing<'_>) -> Option<usize> {
        let all = self.endpoints.len();
        (place + 1..all).chain(0..place).find(|place| self.is_fresh(*place, passing))
    }

    fn is_fresh(&self, place: usize, passing: Passing<'_>) -> bool {
        passing.is_fresh(&self.endpoints[place].endpoint)
    }

    /// How many calls run there, for its weight.
    fn running(&self, place: usize) -> f32 {
        let Weighted { endpoint, weight } = &self.endpoints[place];
        endpoint.load().running() as f32 / weight
    }

    /// The same with one more.
    fn running_after(&self, place: usize) -> f32 {
        let Weighted { endpoint, weight } = &self.endpoints[place];
        (endpoint.load().running() + 1) as f32 / weight
    }
}

/// Latencies below are those of nobody who was called lately; and what each call costs that runs there.
const KNOWN_MS_MIN: f32 = 0.001;
const UNKNOWN_MS: f32 = 60_000.0;

/// How often one more place is asked for instead of one that is passed over. Then all are looked at.
const TRIES_MAX: usize = 8;

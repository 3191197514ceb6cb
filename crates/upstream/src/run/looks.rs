//! What is seen of a service's instances from one look to the next: calls that run, how long they take, and what they take of the machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Size};

use super::fleet::Number;
use super::scaling::{LOOK_EVERY, Look};
use super::usage::Usage;
use crate::endpoint::{Endpoint, Id};

/// How often it is looked how many calls run: of that the mean is taken.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// In how many looks in a row an instance has to have more memory than it may until it is replaced.
const LOOKS_ABOVE: u32 = 3;

/// What is seen of instances.
#[derive(Debug)]
pub(super) struct Looks {
    sample_at: Instant,
    look_at: Instant,
    /// How many calls ran, summed over samples, and how many those are.
    running: (u64, u32),
    /// What was counted of each endpoint at the last look.
    counted: BTreeMap<Id, Counted>,
    /// What was used by each instance at the last look.
    used: BTreeMap<Number, (Instant, Usage)>,
    /// In how many looks in a row each had too much memory.
    above: BTreeMap<Number, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    succeeded: u64,
    took_nanos: u64,
}

/// An instance that has more memory than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Above {
    pub(super) number: Number,
    pub(super) memory: Size,
    /// It can be borne until another one has taken its place.
    pub(super) is_borne: bool,
}

impl Looks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sample_at: now,
            look_at: now.saturating_add(LOOK_EVERY),
            running: (0, 0),
            counted: BTreeMap::new(),
            used: BTreeMap::new(),
            above: BTreeMap::new(),
        }
    }

    /// When it is to be looked next; with samples or without.
    pub(super) fn due(&self, samples: bool) -> Instant {
        if samples { self.sample_at.min(self.look_at) } else { self.look_at }
    }

    /// Whether a sample is to be taken now.
    pub(super) fn is_sample_due(&mut self, now: Instant) -> bool {
        let is_due = self.sample_at <= now;
        if is_due {
            self.sample_at = now.saturating_add(SAMPLE_EVERY);
        }
        is_due
    }

    /// Whether it is to be looked now. It is told once, until the next one is due.
    pub(super) fn is_look_due(&mut self, now: Instant) -> bool {
        let is_due = self.look_at <= now;
        if is_due {
            self.look_at = now.saturating_add(LOOK_EVERY);
        }
        is_due
    }

    /// So many calls run or wait.
    pub(super) fn sample(&mut self, running: u32) {
        self.running.0 += u64::from(running);
        self.running.1 += 1;
    }

    /// What was seen since the last look of the endpoints that take calls, of which these are the instances with what they used until now; none if no sample was taken since, such as for a look that others have begun.
    pub(super) fn look(
        &mut self,
        taking: &[Arc<Endpoint>],
        used: Option<&[(Number, Usage)]>,
        now: Instant,
    ) -> Option<Look> {
        let (sum, samples) = std::mem::take(&mut self.running);
        (samples > 0).then(|| Look {
            taking: taking.len() as u32,
            in_flight: sum as f64 / f64::from(samples),
            latency: self.latency(taking),
            cpu: used.and_then(|used| self.cpu(used, taking.len(), now)),
        })
    }

    fn latency(&mut self, taking: &[Arc<Endpoint>]) -> Option<Duration> {
        let before = std::mem::take(&mut self.counted);
        let (mut calls, mut nanos) = (0, 0);
        for endpoint in taking {
            let load = endpoint.load();
            // Failures first: there are never more of them than have ended.
            let failed = load.failed.load(Ordering::Relaxed);
            let succeeded = load.ended.load(Ordering::Relaxed).saturating_sub(failed);
            let counted = Counted { succeeded, took_nanos: load.took_nanos.load(Ordering::Relaxed) };
            // What it had done before anybody looked is not of now.
            if let Some(before) = before.get(&endpoint.id()) {
                calls += counted.succeeded.saturating_sub(before.succeeded);
                nanos += counted.took_nanos.saturating_sub(before.took_nanos);
            }
            self.counted.insert(endpoint.id(), counted);
        }
        (calls > 0).then(|| Duration::from_nanos(nanos / calls.max(1)))
    }

    /// How many cores they keep busy together. What is not known of some is as with the others.
    fn cpu(&mut self, used: &[(Number, Usage)], taking: usize, now: Instant) -> Option<f64> {
        let before = std::mem::take(&mut self.used);
        let (mut cores, mut known) = (0.0, 0_u32);
        for (number, usage) in used {
            if let Some((at, before)) = before.get(number) {
                let spent = usage.cpu.as_std().saturating_sub(before.cpu.as_std()).as_secs_f64();
                let length = now.saturating_since(*at).as_std().as_secs_f64();
                if length > 0.0 {
                    cores += spent / length;
                    known += 1;
                }
            }
            self.used.insert(*number, (now, *usage));
        }
        (known > 0).then(|| cores * taking as f64 / f64::from(known))
    }

    /// Those of these that have had too much memory for some looks, or far too much now.
    pub(super) fn above(&mut self, used: &[(Number, Usage)], limit: Size) -> Vec<Above> {
        let before = std::mem::take(&mut self.above);
        let mut found = Vec::new();
        for (number, usage) in used {
            let (memory, limit) = (usage.memory_bytes, limit.bytes());
            if memory <= limit {
                continue;
            }
            let looks = before.get(number).map_or(1, |looks| looks + 1);
            self.above.insert(*number, looks);
            let is_borne = memory <= limit.saturating_add(limit / 2);
            if looks >= LOOKS_ABOVE || !is_borne {
                found.push(Above { number: *number, memory: Size::from_bytes(memory), is_borne });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Instance;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn usage(cpu_ms: u64, mib: u64) -> Usage {
        Usage { cpu: Duration::from_millis(cpu_ms), memory_bytes: mib << 20 }
    }

    #[test]
    fn what_happened_since_the_last_look_is_seen() {
        let endpoint = |port: u16| Arc::new(Endpoint::new(Instance::at(([127, 0, 0, 1], port).into())));
        let (one, two) = (endpoint(1), endpoint(2));
        let count = |endpoint: &Endpoint, calls: u64, failed: u64, millis: u64| {
            endpoint.load().ended.fetch_add(calls, Ordering::Relaxed);
            endpoint.load().failed.fetch_add(failed, Ordering::Relaxed);
            endpoint.load().took_nanos.fetch_add(millis * 1_000_000, Ordering::Relaxed);
        };
        let mut looks = Looks::new(at(0));
        count(&one, 100, 0, 90_000);
        [3, 5].into_iter().for_each(|running| looks.sample(running));
        let seen = looks.look(&[Arc::clone(&one)], Some(&[(Number(1), usage(100, 1))]), at(1_000));
        assert_eq!(
            seen,
            Some(Look { taking: 1, in_flight: 4.0, latency: None, cpu: None }),
            "how much it used before, and how long its calls took, is not known"
        );
        count(&one, 11, 3, 160);
        count(&two, 1, 0, 900);
        looks.sample(0);
        let used = [(Number(1), usage(600, 1)), (Number(2), usage(9_000, 1))];
        let seen = looks.look(&[Arc::clone(&one), Arc::clone(&two)], Some(&used), at(2_000));
        let latency = Some(Duration::from_millis(20));
        assert_eq!(
            seen,
            Some(Look { taking: 2, in_flight: 0.0, latency, cpu: Some(1.0) }),
            "as if both were as busy"
        );
        looks.sample(7);
        let seen = looks.look(&[one], None, at(3_000));
        assert_eq!(seen, Some(Look { taking: 1, in_flight: 7.0, latency: None, cpu: None }));
    }

    #[test]
    fn a_look_without_samples_sees_nothing() {
        let endpoint = Arc::new(Endpoint::new(Instance::at(([127, 0, 0, 1], 1).into())));
        let used = [(Number(1), usage(600, 1))];
        let mut looks = Looks::new(at(0));
        assert_eq!(
            looks.look(&[Arc::clone(&endpoint)], Some(&used), at(10)),
            None,
            "an earlier rule began it"
        );
        looks.sample(2);
        let seen = looks.look(&[endpoint], Some(&used), at(1_000)).expect("there was a sample");
        assert_eq!(seen.in_flight, 2.0);
    }

    #[test]
    fn samples_and_looks_come_each_in_their_time() {
        let mut looks = Looks::new(at(0));
        assert_eq!((looks.due(true), looks.due(false)), (at(0), at(1_000)));
        assert!(looks.is_sample_due(at(5)) && !looks.is_sample_due(at(104)) && looks.is_sample_due(at(105)));
        assert!(!looks.is_look_due(at(999)) && looks.is_look_due(at(1_000)) && !looks.is_look_due(at(1_999)));
    }

    #[test]
    fn too_much_memory_has_to_stay_or_to_be_far_too_much() {
        let mut looks = Looks::new(at(0));
        let limit = Size::from_mib(100);
        let mut look =
            |mib: u64| looks.above(&[(Number(1), usage(0, mib)), (Number(2), usage(0, 100))], limit);
        let above =
            |mib: u64, is_borne| vec![Above { number: Number(1), memory: Size::from_mib(mib), is_borne }];
        assert_eq!([look(101), look(120), look(99), look(101), look(101)], [(); 5].map(|()| vec![]));
        assert_eq!(look(110), above(110, true));
        assert_eq!(look(151), above(151, false));
        assert_eq!(look(100), vec![]);
        assert_eq!(look(200), above(200, false), "there is no time to look again");
    }
}

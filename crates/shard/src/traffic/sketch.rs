//! Which keys are used most, in memory of a fixed size whatever the traffic.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005): a key
//! that has no counter takes over the one with the least count, and inherits that count as its error. All counts are halved at fixed times, so
//! that what was long ago weighs less. Halving is exact in binary, and so are the bounds:
//!
//! - a count is never below the true one, and exceeds it by at most its error;
//! - no error exceeds the sum of all counts over [`COUNTERS`], and a key whose true count is above that has a counter.

use mainstay_machine::usage::HotKey;
use xxhash_rust::xxh3::xxh3_64;

/// Counters of a sketch.
pub(super) const COUNTERS: usize = 64;

/// After so many halvings nothing is left that would show.
const HALVINGS_MAX: u64 = 60;

/// Which keys are used most.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    counters: Vec<Counter>,
    /// Those of their keys, in the same order: to look through them is the cost of an addition.
    hashes: Vec<u64>,
    total: f64,
    /// How many half-lives had passed when it was last used.
    halvings: u64,
}

#[derive(Debug)]
struct Counter {
    key: Box<str>,
    count: f64,
    error: f64,
}

impl Sketch {
    /// Counts the use of a key, so many times, after this number of half-lives since any fixed time.
    pub(super) fn add(&mut self, key: &str, weight: u32, halvings: u64) {
        self.decay(halvings);
        let weight = f64::from(weight);
        self.total += weight;
        let hash = xxh3_64(key.as_bytes());
        let is_it = |place: &usize| self.hashes[*place] == hash && *self.counters[*place].key == *key;
        if let Some(place) = (0..self.hashes.len()).find(is_it) {
            self.counters[place].count += weight;
        } else if self.counters.len() < COUNTERS {
            self.counters.push(Counter { key: key.into(), count: weight, error: 0.0 });
            self.hashes.push(hash);
        } else {
            let place = self.least();
            let error = self.counters[place].count;
            self.counters[place] = Counter { key: key.into(), count: error + weight, error };
            self.hashes[place] = hash;
        }
    }

    /// The keys that are used most, the most first; those with less than one use are not.
    pub(super) fn top(&mut self, count: usize, halvings: u64) -> Vec<HotKey> {
        self.decay(halvings);
        let used = self.counters.iter().filter(|counter| counter.count - counter.error >= 1.0);
        let hot = |counter: &Counter| HotKey {
            key: counter.key.to_string(),
            count: counter.count,
            error: counter.error,
        };
        let mut all: Vec<_> = used.map(hot).collect();
        all.sort_by(|left, right| right.count.total_cmp(&left.count).then_with(|| left.key.cmp(&right.key)));
        all.truncate(count);
        all
    }

    /// The sum of all counts.
    pub(super) fn total(&mut self, halvings: u64) -> f64 {
        self.decay(halvings);
        self.total
    }

    /// Halves all counts once for each half-life that has passed.
    fn decay(&mut self, halvings: u64) {
        let passed = halvings.saturating_sub(self.halvings);
        self.halvings = self.halvings.max(halvings);
        if passed > HALVINGS_MAX {
            *self = Self { halvings: self.halvings, ..Self::default() };
        } else if passed > 0 {
            let left = 0.5_f64.powi(i32::try_from(passed).expect("it is small"));
            self.total *= left;
            for counter in &mut self.counters {
                counter.count *= left;
                counter.error *= left;
            }
        }
    }

    fn least(&self) -> usize {
        let counts = self.counters.iter().map(|counter| counter.count).enumerate();
        let least = counts.min_by(|left, right| left.1.total_cmp(&right.1));
        least.expect("all counters are taken").0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Halves exactly, and drops nothing: what is to be estimated.
    #[derive(Default)]
    struct Exact(BTreeMap<String, f64>);

    proptest! {
        #[test]
        fn counts_are_within_their_stated_error(
            uses in proptest::collection::vec(
                // A few keys that are used often among many that are not, and now and then a half-life.
                (prop_oneof![3 => 0u32..8, 2 => 8u32..400], 1u32..4, prop::bool::weighted(0.002)),
                0..1_500,
            ),
        ) {
            let (mut sketch, mut exact, mut halvings) = (Sketch::default(), Exact::default(), 0);
            for (key, weight, has_passed) in uses {
                if has_passed {
                    halvings += 1;
                    exact.0.values_mut().for_each(|count| *count /= 2.0);
                }
                let key = format!("k{key}");
                sketch.add(&key, weight, halvings);
                *exact.0.entry(key).or_default() += f64::from(weight);
            }
            let bound = sketch.total(halvings) / COUNTERS as f64;
            prop_assert_eq!(sketch.total(halvings), exact.0.values().sum::<f64>());
            prop_assert!(sketch.counters.len() <= COUNTERS);
            for Counter { key, count, error } in &sketch.counters {
                let known = exact.0[&**key];
                prop_assert!(known <= *count && *count - *error <= known, "{key}: {known} {count} {error}");
                prop_assert!(*error <= bound, "{key}: {error} above {bound}");
            }
            for (key, count) in &exact.0 {
                let is_there = sketch.counters.iter().any(|counter| *counter.key == **key);
                prop_assert!(is_there || *count <= bound, "{key} with {count} above {bound} is missing");
            }
        }
    }

    #[test]
    fn what_was_long_ago_gives_way_to_what_is_now() {
        let mut sketch = Sketch::default();
        (0..1_000).for_each(|_| sketch.add("then", 1, 0));
        (0..300).for_each(|_| sketch.add("now", 1, 2));
        let keys = |top: &[HotKey]| top.iter().map(|hot| (hot.key.clone(), hot.count)).collect::<Vec<_>>();
        assert_eq!(keys(&sketch.top(9, 2)), [("now".to_owned(), 300.0), ("then".to_owned(), 250.0)]);
        assert_eq!(keys(&sketch.top(1, 4)), [("now".to_owned(), 75.0)]);
        assert_eq!(sketch.top(9, 12), [], "less than one use is none");
        assert_eq!((sketch.top(9, 100).len(), sketch.total(100)), (0, 0.0));
    }

    #[test]
    fn time_that_goes_back_halves_nothing() {
        let mut sketch = Sketch::default();
        sketch.add("a", 4, 3);
        sketch.add("a", 4, 1);
        assert_eq!(sketch.top(1, 3)[0].count, 8.0);
    }
}

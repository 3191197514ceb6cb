//! Which of many items is asked for: each as likely as any other, or few of them most of the time. Pure.

use super::work::next;

/// How requests spread over items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Skew {
    /// Each item is as likely as any other.
    Uniform,
    /// The item of rank r is as likely as 1 / r to the power of this number, which is above 0 and below 1.
    Zipf(f64),
}

/// Draws items of a skew.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    items: u64,
    zipf: Option<Zipf>,
}

/// What the method of Gray and others ("Quickly Generating Billion-Record Synthetic Databases", 1994) needs: one power for each item
/// once, and one for each draw.
#[derive(Debug, Clone, Copy)]
struct Zipf {
    theta: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

/// A prime above any number of items: multiplying by it puts ranks into another order in which neighbours are far apart.
const FAR: u64 = 2_654_435_761;

impl Draw {
    /// Draws among `items`, numbered from 0. Panics if there are none, or as many as 2,654,435,761.
    #[must_use]
    pub fn new(skew: Skew, items: u64) -> Self {
        assert!((1..FAR).contains(&items), "a draw needs items, fewer than {FAR}");
        let zipf = match skew {
            Skew::Uniform => None,
            Skew::Zipf(theta) => Some(Zipf::new(theta, items)),
        };
        Self { items, zipf }
    }

    /// The next item.
    pub fn next(&self, random: &mut u64) -> u64 {
        let drawn = next(random);
        let Some(zipf) = &self.zipf else { return drawn % self.items };
        // 53 bits are what a double holds of a number between 0 and 1.
        let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = zipf.rank(share, self.items);
        // Popular items are all over the keys, as they are in life, and not side by side in one partition.
        rank * FAR % self.items
    }
}

impl Zipf {
    fn new(theta: f64, items: u64) -> Self {
        assert!(theta > 0.0 && theta < 1.0, "the exponent is above 0 and below 1");
        let sum = |items: u64| (1..=items).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let zeta = sum(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - theta))
            / (1.0 - sum(items.min(2)) / zeta).max(f64::EPSILON);
        Self { theta, alpha: 1.0 / (1.0 - theta), zeta, eta }
    }

    /// The rank, from 0, whose turn it is for a number between 0 and 1.
    fn rank(&self, share: f64, items: u64) -> u64 {
        let reached = share * self.zeta;
        if reached < 1.0 {
            return 0;
        }
        if reached < 1.0 + 0.5_f64.powf(self.theta) {
            return 1.min(items - 1);
        }
        let rank = items as f64 * (self.eta * share - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(items - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(skew: Skew, items: u64, draws: u64) -> BTreeMap<u64, u64> {
        let draw = Draw::new(skew, items);
        let mut random = 7;
        let mut counts = BTreeMap::new();
        for _ in 0..draws {
            *counts.entry(draw.next(&mut random)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn uniform_draws_reach_all_items_alike() {
        let counts = counts(Skew::Uniform, 100, 100_000);
        assert_eq!(counts.len(), 100);
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn zipf_draws_are_as_frequent_as_their_ranks_say() {
        let draws = 200_000;
        let counts = counts(Skew::Zipf(0.99), 1_000, draws);
        let zeta: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-0.99)).sum();
        for rank in [1_u32, 2, 10, 100] {
            let item = u64::from(rank - 1) * FAR % 1_000;
            let expected = f64::from(rank).powf(-0.99) / zeta * draws as f64;
            let found = counts[&item] as f64;
            assert!((0.7..1.4).contains(&(found / expected)), "rank {rank}: {found} instead of {expected}");
        }
    }

    #[test]
    fn every_item_is_one_of_a_draw() {
        for items in [1, 2, 3, 17] {
            let counts = counts(Skew::Zipf(0.99), items, 10_000);
            assert!(counts.keys().all(|item| *item < items), "{counts:?}");
            assert_eq!(counts.len() as u64, items);
        }
    }
}

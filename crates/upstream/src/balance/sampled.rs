//! Places drawn by their weights.

use super::Random;

/// Places, each of which is drawn as often as its weight says.
#[derive(Debug)]
pub(super) struct Sampled {
    /// The sum of weights up to each place and with it, as shares of 2^32. Empty if all are the same.
    sums: Vec<u32>,
    count: usize,
}

impl Sampled {
    pub(super) fn new(weights: impl Iterator<Item = f32> + Clone) -> Self {
        let count = weights.clone().count();
        let first = weights.clone().next().unwrap_or_default();
        if weights.clone().all(|weight| weight.to_bits() == first.to_bits()) {
            return Self { sums: Vec::new(), count };
        }
        let whole: f64 = weights.clone().map(f64::from).sum();
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += f64::from(weight);
            Some((*sum / whole * f64::from(u32::MAX)) as u32)
        });
        Self { sums: sums.collect(), count }
    }

    /// Whether each is drawn as often as any other.
    pub(super) const fn is_even(&self) -> bool {
        self.sums.is_empty()
    }

    /// One of the places.
    pub(super) fn place(&self, random: &mut Random) -> usize {
        if self.sums.is_empty() {
            return random.below(self.count);
        }
        let drawn = (random.draw() >> 32) as u32;
        self.sums.partition_point(|sum| *sum <= drawn).min(self.count - 1)
    }
}

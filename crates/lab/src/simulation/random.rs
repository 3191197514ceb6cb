//! Chance that repeats itself.

use mainstay_base::time::{Entropy, SeededEntropy};
use mainstay_base::units::Duration;

/// Chance, by a seed.
#[derive(Debug)]
pub(crate) struct Random(SeededEntropy);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// What policies draw from.
    pub(crate) fn entropy(&self) -> &SeededEntropy {
        &self.0
    }

    /// A number from 0 to 1, without 1.
    pub(crate) fn unit(&self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that has this probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A time that is distributed exponentially around its mean: the time between independent arrivals.
    pub(crate) fn exponential(&self, mean: Duration) -> Duration {
        scaled(mean, -(1.0 - self.unit()).ln())
    }

    /// A time with a long tail: lognormal, with this median and this standard deviation of its logarithm.
    pub(crate) fn lognormal(&self, median: Duration, sigma: f64) -> Duration {
        // Box and Muller, 1958.
        let (one, two) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        scaled(median, (sigma * normal).exp())
    }
}

/// So many times as long.
fn scaled(duration: Duration, factor: f64) -> Duration {
    duration.as_std().mul_f64(factor).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(duration: Duration) -> f64 {
        duration.as_std().as_secs_f64() * 1e3
    }

    #[test]
    fn draws_are_distributed_as_they_say() {
        let random = Random::new(3);
        let mean = Duration::from_millis(10);
        let sum: f64 = (0..20_000).map(|_| ms(random.exponential(mean))).sum();
        assert!((9.7..10.3).contains(&(sum / 20_000.0)), "{sum}");
        let mut tail: Vec<f64> = (0..20_001).map(|_| ms(random.lognormal(mean, 1.0))).collect();
        tail.sort_by(f64::total_cmp);
        assert!((9.7..10.3).contains(&tail[10_000]), "{}", tail[10_000]);
        // e to the power of the normal distribution's 99th percentile, 2.326.
        assert!((95.0..110.0).contains(&tail[19_800]), "{}", tail[19_800]);
        let hits = (0..10_000).filter(|_| random.chance(0.3)).count();
        assert!((2_900..3_100).contains(&hits), "{hits}");
    }
}

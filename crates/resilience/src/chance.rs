//! Numbers drawn from entropy.

use mainstay_base::time::Entropy;
use mainstay_base::units::{Duration, Ratio};

/// A number from 0 to 1, without 1: 53 random bits.
pub(crate) fn unit(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether something happens that does in this share of all cases. What always or never does draws nothing.
pub(crate) fn happens(share: Ratio, entropy: &dyn Entropy) -> bool {
    share == Ratio::ONE || (share > Ratio::ZERO && unit(entropy) < share.get())
}

/// A time and up to this share of it more, each length as likely; at most the longest there is.
pub(crate) fn longer(time: Duration, share: Ratio, entropy: &dyn Entropy) -> Duration {
    let more = time.as_std().mul_f64(share.get() * unit(entropy));
    time.as_std().saturating_add(more).into()
}

#[cfg(test)]
mod tests {
    use mainstay_base::time::SeededEntropy;

    use super::*;

    #[test]
    fn the_longest_time_is_not_made_longer() {
        let entropy = SeededEntropy::new(1);
        for _ in 0..100 {
            assert_eq!(longer(Duration::MAX, Ratio::ONE, &entropy), Duration::MAX);
        }
    }

    #[test]
    fn numbers_are_spread_over_the_whole_range() {
        let entropy = SeededEntropy::new(1);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            tenths[(unit(&entropy) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }
}

//! Numbers drawn from entropy.

use mainstay_base::time::Entropy;

/// A number from 0 to 1, without 1: 53 random bits.
pub(crate) fn unit(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use mainstay_base::time::SeededEntropy;

    use super::*;

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

//! The port to randomness, and the generator that repeats itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where randomness comes from.
///
/// Implementations pass `conformance::entropy` (with the feature
/// `conformance`).
pub trait Entropy: Send + Sync {
    /// Overwrites every byte with a random one.
    fn fill(&self, bytes: &mut [u8]);
}

/// A generator whose bytes are a function of its seed, for tests and simulations: SplitMix64.
///
/// Anyone can compute what comes next, so nothing that must be secret or unguessable may be made of it.
/// Draws of several threads are each random, but only draws in one order repeat.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(size_of::<u64>()) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation for the seed 1234567.
    #[test]
    fn the_bytes_are_those_of_splitmix64() {
        let entropy = SeededEntropy::new(1_234_567);
        let mut bytes = [0; 24];
        entropy.fill(&mut bytes);
        let words: Vec<u64> = bytes.chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_same_seed_repeats_and_another_does_not() {
        let draw = |seed| {
            let mut bytes = [0; 13];
            SeededEntropy::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

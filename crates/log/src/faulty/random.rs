//! Draws from a seed, as simulations make them.

use mainstay_base::time::{Entropy, SeededEntropy};

use crate::record::RecordId;

/// Draws that repeat for the same seed, when one thread makes them.
#[derive(Debug)]
pub struct Random(SeededEntropy);

impl Random {
    /// The draws of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound`. Panics when that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.number() % bound
    }

    /// A number from `low` up to and without `high`. Panics unless there is one.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.checked_sub(low).expect("the lower bound is not above the higher"))
    }

    /// A number of bytes or elements, up to and with `max`.
    pub fn up_to(&self, max: usize) -> usize {
        usize::try_from(self.below(max as u64 + 1)).expect("it is at most a usize")
    }

    /// Whether something happens that happens once in `odds` times; never for 0.
    pub fn one_in(&self, odds: u64) -> bool {
        odds != 0 && self.below(odds) == 0
    }

    /// Takes any element out; the others may change places.
    pub fn pick<T>(&self, from: &mut Vec<T>) -> Option<T> {
        let last = from.len().checked_sub(1)?;
        Some(from.swap_remove(self.up_to(last)))
    }

    /// A record's id.
    pub fn id(&self) -> RecordId {
        let mut bytes = [0; 16];
        self.0.fill(&mut bytes);
        RecordId::new(bytes)
    }

    /// These many bytes.
    pub fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }
}

//! Turns by weight, without a lock: a static stride over the endpoints (gRFC A58).

use std::sync::atomic::{AtomicUsize, Ordering};

/// What the largest weight is scaled to.
const SCALE: u64 = 1 << 16;

/// Turns among several, each as often as its weight says, and spread over the time.
///
/// All have a turn in each round, and one passes its turn by as often as its weight is smaller than the largest.
#[derive(Debug)]
pub(super) struct Strides {
    /// Empty if all are the same.
    weights: Vec<u32>,
    count: usize,
    turn: AtomicUsize,
}

impl Strides {
    pub(super) fn new(weights: impl Iterator<Item = f32> + Clone, begin: usize) -> Self {
        let (count, largest) = (weights.clone().count(), weights.clone().fold(0.0, f32::max));
        let scaled = |weight: f32| ((weight / largest * SCALE as f32).round() as u32).max(1);
        let scaled: Vec<_> = weights.map(scaled).collect();
        let all_the_same = scaled.iter().all(|weight| u64::from(*weight) == SCALE);
        Self { weights: if all_the_same { Vec::new() } else { scaled }, count, turn: AtomicUsize::new(begin) }
    }

    /// The place whose turn it is.
    pub(super) fn next(&self) -> usize {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let (place, round) = (turn % self.count, (turn / self.count) as u64);
            let Some(weight) = self.weights.get(place) else { return place };
            if is_taken((*weight).into(), round, place as u64) {
                return place;
            }
        }
    }
}

/// Whether a turn is taken in a round: in as many rounds as the weight is of [`SCALE`], which is in all for the largest. Places are shifted, so that light ones do not come all at once.
const fn is_taken(weight: u64, round: u64, place: u64) -> bool {
    let shifted = weight.wrapping_mul(round).wrapping_add(place.wrapping_mul(SCALE / 2));
    shifted % SCALE >= SCALE - weight
}

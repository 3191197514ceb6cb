//! How long calls took in the last while.

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// Buckets of each power of two: a bucket is at most a sixteenth of its lower edge wide.
const PARTS: u64 = 16;
const PARTS_BITS: u32 = PARTS.ilog2();
/// The smallest difference, about a microsecond, as a power of two of nanoseconds.
const UNIT_BITS: u32 = 10;
/// The end of the last bucket, 2^26 units: 68.7s. What takes longer is in that bucket.
const END_BITS: u32 = 26;
const BUCKETS: usize = ((END_BITS - PARTS_BITS + 1) as u64 * PARTS) as usize;

/// How long calls took in the last while: buckets whose edges grow with them, and whose counts are halved after each window.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    /// Fractions of calls too, since halves of whole numbers would lose the few slow ones first.
    buckets: [f64; BUCKETS],
    weight: f64,
    window_ns: u64,
    /// The number of the present window, from the clock's origin.
    last: u64,
}

impl Histogram {
    pub(super) fn new(window: Duration) -> Self {
        let window_ns = window.as_nanos().max(1);
        Self { buckets: [0.0; BUCKETS], weight: 0.0, window_ns, last: 0 }
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.buckets[place(took)] += 1.0;
        self.weight += 1.0;
    }

    /// How many calls it knows of, with older ones as parts.
    pub(super) const fn weight(&self) -> f64 {
        self.weight
    }

    /// The least time that this share of the calls did not exceed, rounded up to the edge of its bucket: at most a sixteenth and 1.024us above it, and never
    /// below, unless it is above 68.7s.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        // What sums lose by rounding must not make it the next call.
        let wanted = (self.weight * (share - 1e-9)).max(0.0);
        let mut sum = 0.0;
        let is_reached = |bucket: &f64| {
            sum += bucket;
            sum > wanted
        };
        let found = self.buckets.iter().position(is_reached).unwrap_or(BUCKETS - 1);
        edge(found)
    }

    /// Halves what is known once for each window that has ended. Returns whether one has. A moment before the last one, as another thread may have read
    /// it, is taken for that one.
    pub(super) fn fade(&mut self, now: Instant) -> bool {
        let current = now.as_nanos() / self.window_ns;
        let ended = current.saturating_sub(self.last);
        if ended == 0 {
            return false;
        }
        // After so many nothing is left that could be told from rounding.
        let factor = if ended < 50 { 0.5_f64.powi(ended as i32) } else { 0.0 };
        self.buckets.iter_mut().for_each(|bucket| *bucket *= factor);
        self.weight = self.buckets.iter().sum();
        self.last = current;
        true
    }
}

fn place(took: Duration) -> usize {
    let units = (took.as_nanos() >> UNIT_BITS).min((1 << END_BITS) - 1);
    let Some(shift) = units.checked_ilog2().and_then(|bits| bits.checked_sub(PARTS_BITS)) else {
        return units as usize;
    };
    (u64::from(shift) * PARTS + (units >> shift)) as usize
}

/// Where a bucket ends.
fn edge(place: usize) -> Duration {
    let place = place as u64;
    let shift = (place / PARTS).saturating_sub(1);
    let units = (place - shift * PARTS + 1) << shift;
    Duration::from_nanos(units << UNIT_BITS)
}

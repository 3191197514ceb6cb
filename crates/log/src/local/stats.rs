//! What the engine counts: cheap enough to be always on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What a log has done since it was opened, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Groups written, with openings and seals.
    pub groups: u64,
    /// Syncs of groups.
    pub syncs: u64,
    /// Records acknowledged.
    pub records: u64,
    /// The bytes of the records acknowledged.
    pub bytes_given: u64,
    /// The bytes written for groups: records, heads and padding. Writing zeros to new files is not counted.
    pub bytes_written: u64,
    /// Records in each group of records.
    pub group_records: Histogram,
    /// Microseconds that each sync of a group took.
    pub sync_micros: Histogram,
    /// Files that hold the log.
    pub segments: u64,
    /// Files that are ready to become one.
    pub spares: u64,
    /// Bytes of the log that have to be kept for the shard that holds back most.
    pub pinned_bytes: u64,
    /// Whether the log takes no more records until it is opened again.
    pub poisoned: bool,
    /// Whether the last segment that was needed could not be made for lack of space.
    pub full: bool,
}

/// Counts by powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// How many values were 0, 1, 2 to 3, 4 to 7, and so on; the last counts all above.
    pub counts: [u64; 32],
    /// The sum of all values.
    pub sum: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes_given: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) group_records: Distribution,
    pub(crate) sync_micros: Distribution,
    pub(crate) full: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Distribution {
    counts: [AtomicU64; 32],
    sum: AtomicU64,
}

impl Distribution {
    pub(crate) fn add(&self, value: u64) {
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[bits.min(self.counts.len() - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn read(&self) -> Histogram {
        let mut histogram = Histogram { sum: self.sum.load(Relaxed), ..Histogram::default() };
        for (to, from) in histogram.counts.iter_mut().zip(&self.counts) {
            *to = from.load(Relaxed);
        }
        histogram
    }
}

impl Counters {
    /// The counted part of the stats; the rest is what it is at the time.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            groups: self.groups.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            records: self.records.load(Relaxed),
            bytes_given: self.bytes_given.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            group_records: self.group_records.read(),
            sync_micros: self.sync_micros.read(),
            full: self.full.load(Relaxed),
            ..Stats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_powers_of_two() {
        let distribution = Distribution::default();
        for value in [0, 1, 2, 3, 4, u64::from(u32::MAX), 1 << 40] {
            distribution.add(value);
        }
        let histogram = distribution.read();
        assert_eq!(histogram.counts[..4], [1, 1, 2, 1]);
        assert_eq!(histogram.counts[31], 2, "what is beyond the range counts in the last");
        assert_eq!(histogram.sum, 10 + u64::from(u32::MAX) + (1 << 40));
    }
}

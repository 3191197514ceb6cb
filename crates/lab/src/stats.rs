//! What a handful of samples is worth: robust statistics, an interval for a ratio, a verdict.
//!
//! Samples of a benchmark are few and their errors are not normal, so everything here works on ranks: medians,
//! quartiles, a bootstrap. All of it is a pure function of its input; randomness comes from a given seed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Five numbers of a set of samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Number of samples.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// A quarter of the samples are below.
    pub lower_quartile: f64,
    /// Half of the samples are below.
    pub median: f64,
    /// Three quarters of the samples are below.
    pub upper_quartile: f64,
    /// Largest.
    pub max: f64,
    /// Median distance from the median.
    pub mad: f64,
}

impl Spread {
    /// None if `samples` is empty. Panics if a sample is not a number.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let median = quantile_sorted(&sorted, 0.5)?;
        let distances: Vec<f64> = sorted.iter().map(|sample| (sample - median).abs()).collect();
        Some(Self {
            count: sorted.len(),
            min: sorted[0],
            lower_quartile: quantile_sorted(&sorted, 0.25)?,
            median,
            upper_quartile: quantile_sorted(&sorted, 0.75)?,
            max: sorted[sorted.len() - 1],
            mad: quantile(&distances, 0.5)?,
        })
    }
}

/// The median; none if `samples` is empty. Panics if a sample is not a number.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The value below which `quantile` (0..=1) of the samples lie, interpolated linearly between neighbours (type 7 of
/// Hyndman and Fan, 1996); none if `samples` is empty. Panics if a sample is not a number.
#[must_use]
pub fn quantile(samples: &[f64], quantile: f64) -> Option<f64> {
    quantile_sorted(&sorted(samples), quantile)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    assert!(samples.iter().all(|sample| !sample.is_nan()), "a sample is not a number");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn quantile_sorted(sorted: &[f64], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = quantile.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * position.fract())
}

/// A ratio of two medians with the interval it may well lie in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Median of the one divided by the median of the other.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

impl Ratio {
    /// Whether the interval excludes equality.
    #[must_use]
    pub fn is_distinct(self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.value, self.low, self.high)
    }
}

/// How often the bootstrap draws.
const RESAMPLES: usize = 2_000;

/// The ratio of the medians of `ours` to `theirs`, with a 95 % percentile-bootstrap interval (Efron, 1979).
///
/// The same seed gives the same interval. None if a side is empty, its median is not above zero, or `theirs` has a
/// sample that is not above zero.
#[must_use]
pub fn ratio_of_medians(ours: &[f64], theirs: &[f64], seed: u64) -> Option<Ratio> {
    let (our_median, their_median) = (median(ours)?, median(theirs)?);
    // A figure of zero is one that was not measured; it must not win.
    if our_median <= 0.0 || theirs.iter().any(|sample| *sample <= 0.0) {
        return None;
    }
    let value = our_median / their_median;
    let mut random = SplitMix(seed);
    let mut ratios: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (ours, theirs) = (random.resample(ours), random.resample(theirs));
        ratios.push(median(&ours)? / median(&theirs)?);
    }
    ratios.sort_by(f64::total_cmp);
    Some(Ratio { value, low: quantile_sorted(&ratios, 0.025)?, high: quantile_sorted(&ratios, 0.975)? })
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): enough to draw samples by, nothing more.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn resample(&mut self, samples: &[f64]) -> Vec<f64> {
        // The remainder's bias is below one in 2^50 for the few samples of a benchmark.
        samples.iter().map(|_| samples[(self.next() % samples.len() as u64) as usize]).collect()
    }
}

/// Which direction of a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// As throughput.
    Higher,
    /// As latency.
    Lower,
}

/// Who is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The side the ratio divides.
    Ours,
    /// The side it divides by.
    Theirs,
    /// The interval includes equality.
    Neither,
}

/// Reads a ratio of ours to theirs.
#[must_use]
pub fn winner(ratio: Ratio, better: Better) -> Winner {
    let higher = ratio.value > 1.0;
    match (ratio.is_distinct(), better) {
        (false, _) => Winner::Neither,
        (true, Better::Higher) if higher => Winner::Ours,
        (true, Better::Lower) if !higher => Winner::Ours,
        (true, _) => Winner::Theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        for (q, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.75, 3.25), (1.0, 4.0)] {
            assert_eq!(quantile(&samples, q), Some(expected), "{q}");
        }
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
    }

    #[test]
    fn spread_is_not_moved_by_one_outlier() {
        let spread = Spread::of(&[10.0, 11.0, 12.0, 13.0, 1_000.0]).unwrap();
        assert_eq!((spread.median, spread.mad), (12.0, 1.0));
        assert_eq!((spread.lower_quartile, spread.upper_quartile), (11.0, 13.0));
        assert_eq!((spread.min, spread.max, spread.count), (10.0, 1_000.0, 5));
    }

    #[test]
    fn clearly_apart_samples_have_a_winner() {
        let (fast, slow) = ([100.0, 102.0, 98.0, 101.0, 99.0], [51.0, 49.0, 50.0, 52.0, 48.0]);
        let ratio = ratio_of_medians(&fast, &slow, 1).unwrap();
        assert_eq!(ratio.value, 2.0);
        assert!(ratio.low > 1.8 && ratio.high < 2.2, "{ratio}");
        assert_eq!(winner(ratio, Better::Higher), Winner::Ours);
        assert_eq!(winner(ratio, Better::Lower), Winner::Theirs);
        let inverse = ratio_of_medians(&slow, &fast, 1).unwrap();
        assert_eq!(winner(inverse, Better::Lower), Winner::Ours);
    }

    #[test]
    fn overlapping_samples_have_none() {
        let ratio = ratio_of_medians(&[9.0, 10.0, 11.0], &[8.0, 10.0, 12.0], 1).unwrap();
        assert_eq!(winner(ratio, Better::Higher), Winner::Neither);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (a, b) = ([1.0, 2.0, 3.0, 5.0], [2.0, 2.5, 3.0, 9.0]);
        assert_eq!(ratio_of_medians(&a, &b, 7), ratio_of_medians(&a, &b, 7));
    }

    #[test]
    fn a_ratio_of_or_to_nothing_is_refused() {
        assert_eq!(ratio_of_medians(&[1.0], &[0.0], 1), None);
        assert_eq!(ratio_of_medians(&[0.0, 0.0, 1.0], &[1.0; 3], 1), None);
        assert_eq!(ratio_of_medians(&[], &[0.0], 1), None);
        assert_eq!(ratio_of_medians(&[], &[1.0], 1), None);
    }
}

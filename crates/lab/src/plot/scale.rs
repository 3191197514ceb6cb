//! Axes of measurements: linear, logarithmic, by nines, by places.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// A mapping of values to a stretch of an axis, with the values that are labelled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
    /// By how little is missing to one: 0.9, 0.99 and 0.999 are at equal distances.
    Quantile,
    /// Whole numbers from one on.
    Places,
}

impl Scale {
    /// From zero, or below if a value is, to just above the largest value.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(values);
        let (low, high) = (low.min(0.0), high.max(0.0));
        let high = if high > low { high } else { low + 1.0 };
        let step = step(high - low, 8);
        Self { kind: Kind::Linear, low: (low / step).floor() * step, high: high + 0.05 * (high - low) }
    }

    /// Whole decades around all values above zero.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(values.filter(|value| *value > 0.0));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        let (first, last) = (low.log10().floor(), high.log10().ceil());
        Self { kind: Kind::Log, low: 10_f64.powf(first), high: 10_f64.powf(last.max(first + 1.0)) }
    }

    /// From zero to the largest of `values`, which are all below one.
    pub(super) fn quantile(values: impl Iterator<Item = f64>) -> Self {
        let (_, high) = bounds(values);
        Self { kind: Kind::Quantile, low: 0.0, high: high.clamp(0.9, 0.999_999) }
    }

    /// `count` places in a row.
    pub(super) fn places(count: usize) -> Self {
        Self { kind: Kind::Places, low: 0.5, high: count.max(1) as f64 + 0.5 }
    }

    /// Whether `value` has a place on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        match self.kind {
            Kind::Log => value > 0.0,
            Kind::Quantile => value <= self.high,
            Kind::Linear | Kind::Places => value.is_finite(),
        }
    }

    /// The label of a value.
    pub(super) fn format(&self, value: f64) -> String {
        match self.kind {
            Kind::Quantile => trimmed(value * 100.0, 4) + "%",
            Kind::Linear | Kind::Log | Kind::Places => short(value),
        }
    }

    /// Where on a straight line a value lies.
    fn place(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear | Kind::Places => value,
            Kind::Log => value.max(self.low).log10(),
            Kind::Quantile => -(1.0 - value.min(self.high)).log10(),
        }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let (low, high) = (self.place(self.low), self.place(self.high));
        let share = (self.place(*value) - low) / (high - low);
        start + (share * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Lines between the labelled ones are not drawn.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        match self.kind {
            Kind::Linear => {
                let step = step(self.high - self.low, hint.max_num_points().clamp(2, 8));
                let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
                (first..=last).map(|count| count as f64 * step).collect()
            }
            Kind::Log => {
                let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
                (first..=last).map(|exponent| 10_f64.powi(exponent)).collect()
            }
            Kind::Quantile => {
                let nines = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999_99, 0.999_999];
                nines.into_iter().filter(|quantile| *quantile <= self.high).collect()
            }
            Kind::Places => (1..=(self.high as usize)).map(|place| place as f64).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        self.format(*value)
    }
}

/// The smallest and largest value; infinities, the wrong way round, if there are none.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values = values.filter(|value| value.is_finite());
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A distance of 1, 2 or 5 times a power of ten that divides `length` into at most `parts`.
fn step(length: f64, parts: usize) -> f64 {
    let least = length / parts as f64;
    let decade = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= least * 0.999).unwrap_or(10.0);
    factor * decade
}

/// A number with `k` for thousands and `M` for millions.
fn short(value: f64) -> String {
    match value.abs() {
        1e6.. => trimmed(value / 1e6, 3) + "M",
        1e3.. => trimmed(value / 1e3, 3) + "k",
        _ => trimmed(value, 6),
    }
}

/// A number without trailing zeros, with at most so many decimals.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::{BoldPoints, LightPoints};

    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.key_points(BoldPoints(10)).into_iter().map(|value| scale.format(value)).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        for (scale, expected) in [
            (Scale::linear([3.0, 97.0].into_iter()), "0 20 40 60 80 100"),
            (Scale::linear([0.0, 250_000.0].into_iter()), "0 50k 100k 150k 200k 250k"),
            (Scale::linear([0.01, 0.04].into_iter()), "0 0.01 0.02 0.03 0.04"),
            (Scale::log([0.2, 0.0, 1_500.0].into_iter()), "0.1 1 10 100 1k 10k"),
            (Scale::quantile([0.5, 0.9995].into_iter()), "0% 50% 90% 99% 99.9%"),
            (Scale::places(2), "1 2"),
            (Scale::linear(std::iter::empty()), "0 0.2 0.4 0.6 0.8 1"),
            (Scale::log(std::iter::empty()), "1 10"),
        ] {
            assert_eq!(labels(&scale).join(" "), expected);
        }
        assert!(Scale::places(2).key_points(LightPoints::new(3, 30)).is_empty());
    }

    #[test]
    fn values_map_to_pixels() {
        let scale = Scale::log([1.0, 100.0].into_iter());
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.map(&value, (0, 200))), [0, 100, 200]);
        let nines = Scale::quantile([0.99].into_iter());
        assert_eq!([0.0, 0.9, 0.99].map(|value| nines.map(&value, (0, 200))), [0, 100, 200]);
        // Axes that grow upwards have their pixels the other way round.
        assert_eq!(Scale::linear([0.0, 100.0].into_iter()).map(&0.0, (300, 0)), 300);
    }
}

//! What something will be in a while, by what it was at the last looks.

use std::collections::VecDeque;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// How many looks count, and how many there have to be.
const LOOKS: usize = 10;
const LOOKS_MIN: usize = 5;

/// How many times its standard error a slope has to be, to be taken for one: noise rises so in one look of a thousand.
const ERRORS: f64 = 3.0;

/// How much is foreseen at most, as a multiple of what there is: who foresees a step takes it for a slope.
const MOST: f64 = 1.5;

/// Values at the last looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Trend(VecDeque<(Instant, f64)>);

impl Trend {
    /// What it will be after so long: by the line through the last looks if that clearly rises, and at least what it is now.
    pub(super) fn ahead(&mut self, now: Instant, value: f64, by: Duration) -> f64 {
        self.0.push_back((now, value));
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        if by.is_zero() || self.0.len() < LOOKS_MIN {
            return value;
        }
        let points =
            self.0.iter().map(|(at, value)| (-now.saturating_since(*at).as_std().as_secs_f64(), *value));
        let foreseen = line(&points.collect::<Vec<_>>())
            .map_or(value, |(there, slope)| there + slope * by.as_std().as_secs_f64());
        foreseen.clamp(value, value * MOST)
    }
}

/// The line of least squares through some points: its height at zero, and its slope; none if that is not clearly above zero.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum =
        |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|point| of(point.0 - x, point.1 - y)).sum::<f64>();
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    let slope = xy / xx;
    let rest = (yy - slope * xy).max(0.0);
    let error = (rest / (count - 2.0) / xx).sqrt();
    (slope.is_finite() && slope > 0.0 && slope >= ERRORS * error).then_some((y - slope * x, slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(values: &[f64]) -> f64 {
        let mut trend = Trend::default();
        let ahead = values.iter().enumerate().map(|(second, value)| {
            trend.ahead(Instant::from_nanos(second as u64 * 1_000_000_000), *value, Duration::from_secs(5))
        });
        ahead.last().expect("a value")
    }

    #[test]
    fn what_rises_steadily_is_foreseen_and_nothing_else_is() {
        let ramp: Vec<f64> = (0..20).map(|second| 100.0 + f64::from(second) * 4.0).collect();
        assert!((ahead(&ramp) - (176.0 + 20.0)).abs() < 1e-6, "{}", ahead(&ramp));
        let falling: Vec<f64> = ramp.iter().rev().copied().collect();
        assert_eq!(ahead(&falling), 100.0);
        assert_eq!(ahead(&[7.0; 20]), 7.0);
        assert_eq!(ahead(&[0.0; 20]), 0.0);
        let noise: Vec<f64> = (0..20).map(|second| 50.0 + f64::from(second * 7 % 5)).collect();
        assert_eq!(ahead(&noise), *noise.last().expect("a value"));
        assert_eq!(ahead(&ramp[..4]), 112.0, "it takes some looks");
    }

    #[test]
    fn a_step_is_not_taken_for_more_than_half_of_it_again() {
        for after in 1..10 {
            let values = [vec![1.0; 10], vec![9.0; after]].concat();
            assert!((9.0..=13.5).contains(&ahead(&values)), "{after}: {}", ahead(&values));
        }
    }
}

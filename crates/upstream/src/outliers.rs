//! Endpoints that are worse than the others, found by what calls end with (passive health checks).

use std::fmt::{self, Display, Formatter};
use std::num::NonZeroU32;

use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which endpoints are taken out for a while by what calls to them end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// After so many failures in a row, from 1: answers of the class 5xx, connections that break, tries that take too long. By default 5: where one call in ten fails, that is chance once in 100,000 calls.
    pub failures: NonZeroU32,
    /// How often endpoints are compared with each other, from 100ms. By default 10s.
    pub every: Duration,
    /// How many calls an endpoint must have had in that time to be compared, from 1. By default 50: with fewer, one failure more is another rate.
    pub minimum: NonZeroU32,
    /// How far the share of calls that succeed may be below the median of all, from 0 to 1. By default 0.2. Three endpoints at least are compared.
    pub success_gap: Ratio,
    /// How many times the median of all an endpoint's mean latency may be, from 2. By default 5: machines of different kinds differ by less. Three endpoints at least are compared, and 10ms are never too long.
    pub latency_factor: NonZeroU32,
    /// For how long one is taken out the first time, from 100ms; each time in a row by so much longer. By default 30s.
    pub eject: Duration,
    /// For how long at most. By default 5m.
    pub eject_max: Duration,
    /// Which share of a service's endpoints may be out by these rules at a time. By default 0.5: the others have to do the work.
    pub ratio_max: Ratio,
}

/// Why an endpoint was taken out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// So many failures in a row.
    Failures(u32),
    /// So few of its calls succeed, where of the median endpoint's so many do.
    Success {
        /// The share of its calls.
        ratio: f64,
        /// The median.
        median: f64,
    },
    /// Its calls take so long, where the median endpoint's take so long.
    Latency {
        /// The mean of its calls.
        mean: Duration,
        /// The median.
        median: Duration,
    },
}

/// Latencies below are never too long: what differs there is chance, and nobody waits for it.
const LATENCY_FLOOR: Duration = Duration::from_millis(10);

/// How many endpoints there have to be for a median to say something.
const COMPARED_MIN: usize = 3;

/// The least time between looks, and out.
const TIME_MIN: Duration = Duration::from_millis(100);

impl Default for Config {
    fn default() -> Self {
        const fn count(count: u32) -> NonZeroU32 {
            NonZeroU32::new(count).expect("it is not zero")
        }
        let ratio = |value| Ratio::new(value).expect("a share");
        Self {
            failures: count(5),
            every: Duration::from_secs(10),
            minimum: count(50),
            success_gap: ratio(0.2),
            latency_factor: count(5),
            eject: Duration::from_secs(30),
            eject_max: Duration::from_secs(300),
            ratio_max: ratio(0.5),
        }
    }
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let times = [("every", self.every), ("eject", self.eject)];
        if let Some((key, _)) = times.into_iter().find(|(_, time)| *time < TIME_MIN) {
            return Err(format!("has `{key}` below {TIME_MIN}: make it longer"));
        }
        if self.eject_max < self.eject {
            return Err(format!(
                "takes endpoints out for `eject` {} at first and at most for `eject_max` {}: make the latter longer",
                self.eject, self.eject_max
            ));
        }
        if self.latency_factor.get() < 2 {
            return Err(
                "has `latency_factor` 1, by which half of all endpoints are too slow: make it 2 or more"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How many of so many endpoints may be out at a time.
    pub(crate) fn out_max(&self, endpoints: usize) -> usize {
        (endpoints as f64 * self.ratio_max.get()) as usize
    }

    /// For how long one is taken out for the nth time, from 1.
    pub(crate) fn eject_for(&self, times: u32) -> Duration {
        self.eject.saturating_mul(times.max(1)).min(self.eject_max)
    }
}

/// What calls to one endpoint ended with since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) ended: u64,
    pub(crate) failed: u64,
    /// How long those took that did not fail, in all.
    pub(crate) took_nanos: u64,
}

impl Sample {
    /// The share of calls that succeeded.
    fn ratio(&self) -> f64 {
        (self.ended - self.failed) as f64 / self.ended as f64
    }

    fn mean_nanos(&self) -> Option<f64> {
        let succeeded = self.ended - self.failed;
        (succeeded > 0).then(|| self.took_nanos as f64 / succeeded as f64)
    }
}

/// Which of these are worse than the others, the worst ones first, with what is wrong.
pub(crate) fn worse(config: &Config, samples: &[Sample]) -> Vec<(usize, Reason)> {
    let compared: Vec<_> =
        samples.iter().enumerate().filter(|(_, it)| it.ended >= config.minimum.get().into()).collect();
    if compared.len() < COMPARED_MIN {
        return Vec::new();
    }
    let median = median(compared.iter().map(|(_, it)| it.ratio()));
    let failing = compared.iter().filter_map(|(place, it)| {
        let ratio = it.ratio();
        (ratio < median - config.success_gap.get()).then_some((*place, Reason::Success { ratio, median }))
    });
    let mut found: Vec<_> = failing.collect();
    let slow =
        slow(config, &compared).into_iter().filter(|(place, _)| found.iter().all(|(of, _)| of != place));
    let mut slow: Vec<_> = slow.collect();
    found.sort_by(|(_, a), (_, b)| a.badness().total_cmp(&b.badness()));
    slow.sort_by(|(_, a), (_, b)| a.badness().total_cmp(&b.badness()));
    found.append(&mut slow);
    found
}

fn slow(config: &Config, compared: &[(usize, &Sample)]) -> Vec<(usize, Reason)> {
    let means: Vec<_> = compared.iter().filter_map(|(place, it)| Some((*place, it.mean_nanos()?))).collect();
    if means.len() < COMPARED_MIN {
        return Vec::new();
    }
    let median = median(means.iter().map(|(_, mean)| *mean));
    let bound = (median * f64::from(config.latency_factor.get())).max(LATENCY_FLOOR.as_nanos() as f64);
    let nanos = |nanos: f64| Duration::from_nanos(nanos as u64);
    let slow = means.into_iter().filter(|(_, mean)| *mean > bound);
    slow.map(|(place, mean)| (place, Reason::Latency { mean: nanos(mean), median: nanos(median) })).collect()
}

/// That of an even number is the lower of the two in the middle, so that half of a service cannot make the other half look good.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

impl Reason {
    /// Less is worse, among reasons of one kind.
    fn badness(&self) -> f64 {
        match self {
            Self::Failures(count) => -f64::from(*count),
            Self::Success { ratio, .. } => *ratio,
            Self::Latency { mean, .. } => -(mean.as_nanos() as f64),
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let milli = |duration: &Duration| Duration::from_micros(duration.as_nanos() / 1_000);
        match self {
            Self::Failures(count) => write!(f, "{count} failures in a row"),
            Self::Success { ratio, median } => {
                write!(
                    f,
                    "{:.1} % of its calls succeed, {:.1} % of the median endpoint's",
                    ratio * 100.0,
                    median * 100.0
                )
            }
            Self::Latency { mean, median } => {
                write!(
                    f,
                    "its calls take {} on average, the median endpoint's {}",
                    milli(mean),
                    milli(median)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ended: u64, failed: u64, millis: u64) -> Sample {
        Sample { ended, failed, took_nanos: (ended - failed) * millis * 1_000_000 }
    }

    fn places(samples: &[Sample]) -> Vec<usize> {
        worse(&Config::default(), samples).into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn the_one_that_fails_or_is_slow_is_found() {
        let good = sample(1_000, 10, 20);
        assert_eq!(places(&[good, good, sample(1_000, 300, 20), good]), [2]);
        assert_eq!(places(&[good, sample(1_000, 0, 200), good, good]), [1]);
        assert_eq!(places(&[sample(100, 100, 0), good, good]), [0], "nothing succeeds");
        // The worst comes first, and failures before slowness.
        let many = [sample(100, 0, 900), sample(100, 40, 20), good, good, good, good, sample(100, 90, 20)];
        assert_eq!(places(&many), [6, 1, 0]);
    }

    #[test]
    fn what_all_do_or_few_calls_say_is_no_reason() {
        let good = sample(1_000, 10, 20);
        assert!(places(&[sample(1_000, 900, 20); 4]).is_empty(), "a service that fails as a whole");
        assert!(places(&[good, good, sample(49, 49, 20)]).is_empty(), "two are compared");
        assert!(places(&[good, good, good, sample(49, 49, 20)]).is_empty(), "it had too few calls");
        assert!(places(&[good, sample(1_000, 999, 20)]).is_empty(), "of two it is not known which is wrong");
        let quick = Sample { took_nanos: 1_000 * 100_000, ..sample(1_000, 0, 0) };
        assert!(
            places(&[quick, quick, quick, sample(1_000, 0, 9)]).is_empty(),
            "9 ms beside 0.1 ms is quick"
        );
        assert!(places(&[]).is_empty());
    }

    #[test]
    fn times_out_grow_up_to_a_bound_and_shares_are_rounded_down() {
        let config = Config::default();
        let seconds: Vec<_> =
            [0, 1, 2, 3, 10, 11, u32::MAX].map(|times| config.eject_for(times).as_secs_up()).into();
        assert_eq!(seconds, [30, 30, 60, 90, 300, 300, 300]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|of| config.out_max(of)), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn configurations_that_cannot_work_are_refused_with_what_to_do() {
        let wrong = |json: &str| {
            let config: Config = serde_json::from_str(json).expect("it is a configuration");
            config.check().expect_err("it cannot work")
        };
        assert!(wrong(r#"{"every": "1ms"}"#).contains("`every` below 100ms"));
        assert!(wrong(r#"{"eject": "10m"}"#).contains("`eject_max` 5m"));
        assert!(wrong(r#"{"latency_factor": 1}"#).contains("make it 2 or more"));
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn reasons_are_told_in_words() {
        let reasons =
            worse(&Config::default(), &[sample(100, 50, 10), sample(100, 1, 10), sample(100, 1, 10)]);
        assert_eq!(reasons[0].1.to_string(), "50.0 % of its calls succeed, 99.0 % of the median endpoint's");
        let slow = worse(&Config::default(), &[sample(100, 0, 900), sample(100, 1, 10), sample(100, 1, 10)]);
        assert_eq!(slow[0].1.to_string(), "its calls take 900ms on average, the median endpoint's 10ms");
        assert_eq!(Reason::Failures(5).to_string(), "5 failures in a row");
    }
}

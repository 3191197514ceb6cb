//! What a load saw: counts that add up, histograms, a time line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Answer, Failure, Pace, Plan};
use crate::clock::{Moment, nanoseconds};

/// Durations from one microsecond to one minute with three significant digits; longer ones count as one minute.
#[derive(Debug, Clone)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    fn default() -> Self {
        let bounds = hdrhistogram::Histogram::new_with_bounds(1_000, 60_000_000_000, 3);
        Self(bounds.expect("the bounds are constants that the histogram accepts"))
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(nanoseconds(duration));
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many durations were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration that `quantile` (0..=1) of all do not exceed, in microseconds; zero if empty.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        microseconds(self.0.value_at_quantile(quantile))
    }

    /// The usual points of the distribution.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50_us: self.quantile_us(0.5),
            p90_us: self.quantile_us(0.9),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            max_us: microseconds(self.0.max()),
            mean_us: self.0.mean() / 1_000.0,
        }
    }

    /// The whole curve: pairs of a quantile (0..1) and its duration in microseconds, denser towards the tail.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let mut curve: Vec<(f64, f64)> = self
            .0
            .iter_quantiles(10)
            .map(|step| (step.quantile_iterated_to(), microseconds(step.value_iterated_to())))
            .take_while(|(quantile, _)| *quantile < 1.0)
            .collect();
        curve.dedup();
        curve
    }
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

/// Points of a distribution of durations, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Arithmetic mean.
    pub mean_us: f64,
}

/// The fates of requests: `sent = ok + rejected + failed()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that a connection took on.
    pub sent: u64,
    /// Whole answers that the plan accepts.
    pub ok: u64,
    /// Whole answers that it does not accept.
    pub rejected: u64,
    /// Requests without a whole answer, by kind.
    pub failures: BTreeMap<Failure, u64>,
    /// Whole answers by class of status: `2` counts 200 to 299.
    pub status_classes: BTreeMap<u16, u64>,
    /// Bytes of answers' bodies.
    pub body_bytes: u64,
}

impl Counts {
    /// Requests without a whole answer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests without a whole answer that the server can't have seen.
    #[must_use]
    pub fn failed_before_send(&self) -> u64 {
        self.failures.iter().filter(|(kind, _)| kind.is_before_send()).map(|(_, count)| count).sum()
    }

    fn record(&mut self, fate: Result<Answer, Failure>, ok: bool) {
        self.sent += 1;
        match fate {
            Ok(answer) => {
                *(if ok { &mut self.ok } else { &mut self.rejected }) += 1;
                *self.status_classes.entry(answer.status / 100).or_default() += 1;
                self.body_bytes += answer.body_bytes;
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.rejected += other.rejected;
        self.body_bytes += other.body_bytes;
        for (kind, count) in &other.failures {
            *self.failures.entry(*kind).or_default() += count;
        }
        for (class, count) in &other.status_classes {
            *self.status_classes.entry(*class).or_default() += count;
        }
    }
}

/// One piece of the time line: the fates of the requests that were due in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Answered and accepted.
    pub ok: u64,
    /// Answered and not accepted, or sent and not answered.
    pub failed: u64,
    /// Not taken by the server: see [`Failure::is_before_send`].
    pub unsent: u64,
    /// Longest latency among the ok ones, in microseconds.
    pub max_us: u64,
}

impl Slice {
    fn merge(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.max_us = self.max_us.max(other.max_us);
    }
}

/// What one worker thread saw, or all of them.
#[derive(Debug, Clone)]
pub(super) struct Part {
    started: Moment,
    warm: Moment,
    slice_ns: u64,
    pub(super) connects: u64,
    pub(super) not_sent: u64,
    measured: Counts,
    warm_up: Counts,
    ok_in_window: u64,
    latency: Histogram,
    service: Histogram,
    lateness: Histogram,
    timeline: Vec<Slice>,
}

/// The three moments of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) intended: Moment,
    pub(super) sent: Moment,
    pub(super) done: Moment,
}

impl Part {
    pub(super) fn new<T>(started: Moment, plan: &Plan<T>) -> Self {
        Self {
            started,
            warm: started.plus(plan.warm_up),
            slice_ns: nanoseconds(plan.slice),
            connects: 0,
            not_sent: 0,
            measured: Counts::default(),
            warm_up: Counts::default(),
            ok_in_window: 0,
            latency: Histogram::default(),
            service: Histogram::default(),
            lateness: Histogram::default(),
            timeline: Vec::new(),
        }
    }

    /// Counts one request; `end` is the end of the measured window.
    pub(super) fn record(&mut self, times: Times, fate: Result<Answer, Failure>, ok: bool, end: Moment) {
        // Throughput counts answers by when they came, whenever their requests were sent: no edge is favoured.
        if ok && times.done >= self.warm && times.done < end {
            self.ok_in_window += 1;
        }
        self.record_slice(times, fate, ok);
        if times.intended < self.warm {
            self.warm_up.record(fate, ok);
            return;
        }
        self.measured.record(fate, ok);
        if ok {
            self.latency.record(times.done.since(times.intended));
            self.service.record(times.done.since(times.sent));
        }
    }

    fn record_slice(&mut self, times: Times, fate: Result<Answer, Failure>, ok: bool) {
        let index = (nanoseconds(times.intended.since(self.started)) / self.slice_ns) as usize;
        if index >= self.timeline.len() {
            self.timeline.resize(index + 1, Slice::default());
        }
        let slice = &mut self.timeline[index];
        if ok {
            slice.ok += 1;
            slice.max_us = slice.max_us.max(nanoseconds(times.done.since(times.intended)) / 1_000);
        } else if fate.is_err_and(Failure::is_before_send) {
            slice.unsent += 1;
        } else {
            slice.failed += 1;
        }
    }

    /// Counts how late the generator itself took up one request that was due.
    pub(super) fn record_lateness(&mut self, intended: Moment, actual: Moment) {
        if intended >= self.warm {
            self.lateness.record(actual.since(intended));
        }
    }
}

/// The result of a load. Counts and histograms are of the measured window, unless they say otherwise.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The rate asked for, in requests per second; none in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Length of the measured window.
    pub window: Duration,
    /// Requests that were due in the window.
    pub counts: Counts,
    /// Requests that were due in the warm-up.
    pub warm_up: Counts,
    /// Requests that were due at any time and never sent, because the backlog was full or the time was up.
    pub not_sent: u64,
    /// Ok answers that arrived within the window.
    pub ok_in_window: u64,
    /// Connections opened from the first to the last moment, the plan's own included.
    pub connects: u64,
    /// From the time a request was due to the end of its answer; in a closed loop the same as `service`.
    pub latency: Histogram,
    /// From the time a request was sent to the end of its answer.
    pub service: Histogram,
    /// How late the generator took up each request that was due, also those it then could not send: its own share of
    /// `latency`. Empty in a closed loop.
    pub lateness: Histogram,
    /// Length of one slice of `timeline`.
    pub slice: Duration,
    /// Fates over time, by when requests were due, from the start of the warm-up.
    pub timeline: Vec<Slice>,
}

impl Outcome {
    pub(crate) fn new(pace: Pace, slice: Duration) -> Self {
        let offered_per_s = match pace {
            Pace::Closed => None,
            Pace::Open { rate_per_s, .. } => Some(rate_per_s),
        };
        Self {
            offered_per_s,
            window: Duration::ZERO,
            counts: Counts::default(),
            warm_up: Counts::default(),
            not_sent: 0,
            ok_in_window: 0,
            connects: 0,
            latency: Histogram::default(),
            service: Histogram::default(),
            lateness: Histogram::default(),
            slice,
            timeline: Vec::new(),
        }
    }

    pub(super) fn merge(&mut self, part: &Part) {
        self.counts.merge(&part.measured);
        self.warm_up.merge(&part.warm_up);
        self.not_sent += part.not_sent;
        self.ok_in_window += part.ok_in_window;
        self.connects += part.connects;
        self.latency.merge(&part.latency);
        self.service.merge(&part.service);
        self.lateness.merge(&part.lateness);
        if part.timeline.len() > self.timeline.len() {
            self.timeline.resize(part.timeline.len(), Slice::default());
        }
        for (all, one) in self.timeline.iter_mut().zip(&part.timeline) {
            all.merge(*one);
        }
    }

    /// Ok answers per second of the window.
    #[must_use]
    pub fn rate_per_s(&self) -> f64 {
        if self.window.is_zero() { 0.0 } else { self.ok_in_window as f64 / self.window.as_secs_f64() }
    }

    /// Why these figures must not be compared with others; empty if nothing speaks against it.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut doubt = |count: u64, what: &str| {
            if count > 0 {
                doubts.push(format!("{count} {what}"));
            }
        };
        doubt(self.not_sent, "requests were due and not sent");
        doubt(self.counts.rejected, "answers were not accepted");
        // A connection that hangs from the warm-up on is missing from the window, whose figures then look clean.
        let lost = self.warm_up.failed() + self.warm_up.rejected;
        doubt(lost, "requests due in the warm-up failed or had answers that were not accepted");
        for (kind, count) in &self.counts.failures {
            doubt(*count, &format!("requests failed: {kind}"));
        }
        if self.counts.ok == 0 {
            doubts.push("no request was answered".to_owned());
        }
        doubts
    }

    /// The figures that go into a report.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            offered_per_s: self.offered_per_s,
            rate_per_s: self.rate_per_s(),
            window_s: self.window.as_secs_f64(),
            counts: self.counts.clone(),
            not_sent: self.not_sent,
            connects: self.connects,
            latency: self.latency.percentiles(),
            service: self.service.percentiles(),
            lateness: self.lateness.percentiles(),
        }
    }
}

/// An [`Outcome`] in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// See [`Outcome::offered_per_s`].
    pub offered_per_s: Option<f64>,
    /// See [`Outcome::rate_per_s`].
    pub rate_per_s: f64,
    /// Length of the measured window in seconds.
    pub window_s: f64,
    /// See [`Outcome::counts`].
    pub counts: Counts,
    /// See [`Outcome::not_sent`].
    pub not_sent: u64,
    /// See [`Outcome::connects`].
    pub connects: u64,
    /// See [`Outcome::latency`].
    pub latency: Percentiles,
    /// See [`Outcome::service`].
    pub service: Percentiles,
    /// See [`Outcome::lateness`].
    pub lateness: Percentiles,
}

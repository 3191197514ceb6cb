//! What happens in a run, noted by all shoppers: checkouts and how they end, troubles, and all that was told.
//!
//! Times are counted from the start. A checkout is noted under the moment at which it was due when it is offered, and under the
//! one at which it ended when it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::outcome::{Outcome, Percentiles, Slice};
use super::plan::Shopper;
use super::progress::Progress;
use crate::audit::Told;

/// How long a slice of the series is.
pub const SLICE: Duration = Duration::from_millis(250);

/// The longest latency that is told apart, in microseconds.
const LATENCY_MAX: u64 = 600_000_000;

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// There was no connection.
    NotReached,
    /// The connection ended, or the answer took too long.
    NoAnswer,
    /// 503.
    Unavailable,
    /// 429.
    Limited,
    /// Another 5xx.
    ServerError,
    /// Another 4xx, or a redirect to nowhere.
    Refused,
    /// A mark of an order or a product that cannot be read.
    Unreadable,
    /// The shopper itself did not wait.
    BrokenOff,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotReached,
        Self::NoAnswer,
        Self::Unavailable,
        Self::Limited,
        Self::ServerError,
        Self::Refused,
        Self::Unreadable,
        Self::BrokenOff,
    ];

    /// As it stands in tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReached => "not_reached",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Limited => "limited",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// How a checkout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The shopper was shown that it is shipped.
    Shipped,
    /// The shopper was shown that it failed; whether that was meant.
    Failed {
        /// It could not be paid, on purpose.
        as_meant: bool,
    },
    /// The shopper was shown no end.
    GaveUp,
}

#[derive(Debug, Default, Clone)]
struct Counted {
    offered: u64,
    not_sent: u64,
    shipped: u64,
    failed: u64,
    gave_up: u64,
    due_completed: u64,
    retries: u64,
    troubles: [u64; Trouble::ALL.len()],
    latencies: Vec<u64>,
    answers: Vec<u64>,
}

#[derive(Debug)]
struct Notes {
    slices: Vec<Counted>,
    failed_as_meant: u64,
    abandoned: u64,
    latency: Histogram<u64>,
    answer: Histogram<u64>,
    told: Told,
}

impl Notes {
    fn at(&mut self, time: Duration) -> &mut Counted {
        let place = usize::try_from(time.as_millis() / SLICE.as_millis()).unwrap_or(usize::MAX);
        if place >= self.slices.len() {
            self.slices.resize(place + 1, Counted::default());
        }
        &mut self.slices[place]
    }
}

/// The notes of a run.
#[derive(Debug)]
pub struct Record {
    start: Instant,
    requests: AtomicU64,
    notes: Mutex<Notes>,
}

impl Record {
    /// Of a run that starts now.
    #[must_use]
    pub fn start() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_MAX, 3).expect("three digits up to ten minutes");
        let notes = Notes {
            slices: Vec::new(),
            failed_as_meant: 0,
            abandoned: 0,
            latency: histogram(),
            answer: histogram(),
            told: Told::default(),
        };
        Self { start: Instant::now(), requests: AtomicU64::new(0), notes: Mutex::new(notes) }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits for a time since the start.
    pub async fn until(&self, time: Duration) {
        tokio::time::sleep_until((self.start + time).into()).await;
    }

    /// The number of a new request.
    pub fn request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// A shopper has come, or would have if there were room.
    pub fn arrived(&self, shopper: &Shopper, is_sent: bool) {
        let mut notes = self.notes();
        for due in shopper.checkouts() {
            notes.at(due).offered += 1;
            notes.at(due).not_sent += u64::from(!is_sent);
        }
    }

    /// A basket was left, as it was meant.
    pub fn abandoned(&self) {
        self.notes().abandoned += 1;
    }

    /// A checkout that was due at `due` ended.
    pub fn ended(&self, end: End, due: Duration, ended: Duration) {
        let latency = micros(ended.saturating_sub(due));
        let mut notes = self.notes();
        let slice = notes.at(ended);
        match end {
            End::Shipped => slice.shipped += 1,
            End::Failed { .. } => slice.failed += 1,
            End::GaveUp => {
                slice.gave_up += 1;
                return;
            }
        }
        slice.latencies.push(latency);
        notes.at(due).due_completed += 1;
        notes.latency.saturating_record(latency);
        notes.failed_as_meant += u64::from(end == End::Failed { as_meant: true });
    }

    /// A checkout's request was answered, whatever the answer.
    pub fn answered(&self, began: Duration, ended: Duration) {
        let latency = micros(ended.saturating_sub(began));
        let mut notes = self.notes();
        notes.at(ended).answers.push(latency);
        notes.answer.saturating_record(latency);
    }

    /// Something went wrong.
    pub fn trouble(&self, trouble: Trouble) {
        let now = self.now();
        self.notes().at(now).troubles[trouble as usize] += 1;
    }

    /// A step is tried again.
    pub fn retried(&self) {
        let now = self.now();
        self.notes().at(now).retries += 1;
    }

    /// A customer was told something.
    pub fn told(&self, note: impl FnOnce(&mut Told)) {
        note(&mut self.notes().told);
    }

    /// How it is now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (elapsed, notes) = (self.now(), self.notes());
        let due = usize::try_from(elapsed.as_millis() / SLICE.as_millis()).unwrap_or(usize::MAX);
        let sum = |of: fn(&Counted) -> u64| notes.slices.iter().map(of).sum::<u64>();
        let offered = notes.slices.iter().take(due.saturating_add(1)).map(|slice| slice.offered).sum();
        let (shipped, failed, gave_up, not_sent) =
            (sum(|s| s.shipped), sum(|s| s.failed), sum(|s| s.gave_up), sum(|s| s.not_sent));
        Progress {
            elapsed,
            offered,
            completed: shipped + failed,
            failed,
            gave_up,
            not_sent,
            in_flight: offered.saturating_sub(shipped + failed + gave_up + not_sent),
            retries: sum(|s| s.retries),
            p50: Duration::from_micros(notes.latency.value_at_quantile(0.5)),
            p99: Duration::from_micros(notes.latency.value_at_quantile(0.99)),
        }
    }

    /// All of it, when the last shopper has left. The notes of what was told are handed over.
    #[must_use]
    pub fn finish(&self) -> Outcome {
        let elapsed = self.now();
        let mut notes = self.notes();
        let slices = std::mem::take(&mut notes.slices);
        let sum = |of: fn(&Counted) -> u64| slices.iter().map(of).sum::<u64>();
        let trouble = |trouble: Trouble| {
            (trouble, slices.iter().map(|slice| slice.troubles[trouble as usize]).sum::<u64>())
        };
        Outcome {
            seconds: elapsed.as_secs_f64(),
            offered: sum(|s| s.offered),
            not_sent: sum(|s| s.not_sent),
            completed: sum(|s| s.shipped + s.failed),
            shipped: sum(|s| s.shipped),
            failed: sum(|s| s.failed),
            failed_as_meant: notes.failed_as_meant,
            gave_up: sum(|s| s.gave_up),
            abandoned_baskets: notes.abandoned,
            retries: sum(|s| s.retries),
            troubles: Trouble::ALL.into_iter().map(trouble).filter(|(_, count)| *count > 0).collect(),
            click_to_end: Percentiles::of(&notes.latency),
            checkout_answer: Percentiles::of(&notes.answer),
            series: slices.into_iter().enumerate().map(|(place, slice)| slice.told(place)).collect(),
            told: std::mem::take(&mut notes.told),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nothing panics while it notes something")
    }
}

impl Counted {
    #[expect(clippy::cast_precision_loss, reason = "slices of a run are few")]
    fn told(self, place: usize) -> Slice {
        let troubles = Trouble::ALL.into_iter().zip(self.troubles).filter(|(_, count)| *count > 0);
        Slice {
            second: place as f64 * SLICE.as_secs_f64(),
            offered: self.offered,
            not_sent: self.not_sent,
            completed: self.shipped + self.failed,
            failed: self.failed,
            gave_up: self.gave_up,
            due_completed: self.due_completed,
            retries: self.retries,
            troubles: troubles.collect(),
            click_to_end: Percentiles::of_all(self.latencies),
            checkout_answer: Percentiles::of_all(self.answers),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

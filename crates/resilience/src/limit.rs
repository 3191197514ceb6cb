//! Rate limits by caller: each may send so many units in so much time, by one or several windows at once.
//!
//! GCRA: of each window a caller has one moment, at which all that it has taken will have come back. A call moves it further by its cost; one that would move it
//! further ahead of now than the burst reaches is refused, and moves nothing. So over any time whatever, at most the burst and what came back in that time
//! is let through. With several windows all have to admit a call, or none counts it.
//!
//! A moment that is past says no more than none at all. So callers that were still for long enough are forgotten without a loss, and what is known of one
//! is never thrown away for the sake of others: see [`Handle`].
//!
//! Sources: ITU-T I.371, annex A (GCRA). What is told of the state are the terms of draft-ietf-httpapi-ratelimit-headers.

mod config;
mod future;
mod layer;
mod rate;
mod service;
mod table;
#[cfg(test)]
mod tests;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

pub use config::{Config, Window};
pub use future::Future;
pub use layer::{Cost, Handle, Layer, One, Tell, Untold};
pub use rate::{ParseError, Per, Rate};
pub use service::Service;

use crate::error::Rejection;

/// How many windows there may be at once.
pub const WINDOWS_MAX: usize = 4;

/// The windows of a limit: what admits calls, without what is known of callers.
#[derive(Debug, Clone)]
pub struct Gcra {
    buckets: [Bucket; WINDOWS_MAX],
    count: usize,
}

/// A window, in the numbers that it is computed with.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    quota: u32,
    window: Duration,
    burst: u32,
    /// The time in which a unit comes back, in nanoseconds. Rounded up, so that never more comes back than the rate has.
    unit_ns: u64,
    /// The time in which the whole burst comes back, in nanoseconds.
    burst_ns: u64,
}

/// What is known of a caller: for each window the moment at which all that it has taken will have come back, in nanoseconds from the clock's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments([u64; WINDOWS_MAX]);

/// How a caller stands: what HTTP answers tell in the fields `RateLimit-Policy` (`q`, `w`) and `RateLimit` (`r`, `t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many units there are in a window, or at once if that is more.
    pub quota: u32,
    /// The time in which as many come back.
    pub window: Duration,
    /// How many units can be taken now.
    pub remaining: u32,
    /// How long until all have come back, if none are taken meanwhile.
    pub reset: Duration,
}

impl Gcra {
    /// The windows of a configuration. Panics if there are more than [`WINDOWS_MAX`]: [`Config::check`] refuses them.
    pub fn new(config: &Config) -> Self {
        let mut gcra = Self { buckets: [Bucket::default(); WINDOWS_MAX], count: 0 };
        for window in config.windows() {
            assert!(gcra.count < WINDOWS_MAX, "a limit has at most {WINDOWS_MAX} windows");
            gcra.buckets[gcra.count] = Bucket::new(window);
            gcra.count += 1;
        }
        gcra
    }

    /// Takes `cost` units from every window, or none from any. Returns how the caller stands by the window with the fewest units left. Errors: by the
    /// window that has to be waited for the longest; asked again after exactly that time, it admits the same cost.
    pub fn take(&self, moments: &mut Moments, cost: u32, now: Instant) -> Result<Standing, Rejection> {
        let (mut next, mut after_ns, mut slowest) = (*moments, 0, None);
        for ((bucket, moment), before) in self.buckets().zip(&mut next.0).zip(moments.0) {
            if cost > bucket.burst {
                return Err(Rejection::CostAboveBurst { cost, burst: bucket.burst });
            }
            let wait_ns = bucket.take(moment, cost, now.as_nanos());
            if wait_ns > after_ns {
                (after_ns, slowest) = (wait_ns, Some((bucket, before)));
            }
        }
        let Some((slowest, moment)) = slowest else {
            *moments = next;
            return Ok(self.standing(moments, now));
        };
        let Standing { quota, window, remaining, reset } = slowest.standing(moment, now.as_nanos());
        let after = Duration::from_nanos(after_ns);
        Err(Rejection::RateLimited { quota, window, remaining, reset, after })
    }

    /// How a caller stands by the window with the fewest units left.
    pub fn standing(&self, moments: &Moments, now: Instant) -> Standing {
        let all =
            self.buckets().zip(&moments.0).map(|(bucket, moment)| bucket.standing(*moment, now.as_nanos()));
        all.min_by_key(|standing| standing.remaining).expect("a limit has a window")
    }

    fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.buckets[..self.count].iter()
    }
}

impl Bucket {
    fn new(window: Window) -> Self {
        let (count, whole_ns) = (window.rate.count().get(), window.rate.per().nanos());
        let burst = window.burst().get();
        let quota = burst.max(count);
        let unit_ns = whole_ns.div_ceil(count.into());
        let window_ns = u128::from(quota) * u128::from(whole_ns) / u128::from(count);
        let window = Duration::from_nanos(u64::try_from(window_ns).unwrap_or(u64::MAX));
        Self { quota, window, burst, unit_ns, burst_ns: unit_ns.saturating_mul(burst.into()) }
    }

    /// Moves the moment by a cost. Returns by how much that is too far.
    fn take(&self, moment: &mut u64, cost: u32, now_ns: u64) -> u64 {
        if cost == 0 {
            return 0;
        }
        let cost_ns = self.unit_ns.saturating_mul(cost.into());
        *moment = (*moment).max(now_ns).saturating_add(cost_ns);
        (*moment - now_ns).saturating_sub(self.burst_ns)
    }

    fn standing(&self, moment: u64, now_ns: u64) -> Standing {
        let reset_ns = moment.saturating_sub(now_ns);
        let remaining = self.burst_ns.saturating_sub(reset_ns) / self.unit_ns;
        Standing {
            quota: self.quota,
            window: self.window,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(reset_ns),
        }
    }
}

impl Moments {
    /// When they say no more than none at all, in nanoseconds from the clock's origin.
    fn idle_from_ns(&self) -> u64 {
        self.0.into_iter().max().unwrap_or(0)
    }
}

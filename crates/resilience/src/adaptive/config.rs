//! What a limit goes by, and within what.

use std::num::NonZeroU32;

use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a limit goes by, and within what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What it goes by: `gradient: {}`, by latency alone, or `aimd: {}`, by failures, and by a latency if one is given. By default the gradient: it needs to
    /// know nothing of the service.
    pub limiter: Limiter,
    /// How many calls may run at first, from `minimum` to `maximum`. By default 20: with 8 many calls are rejected until the limit has grown,
    /// and with 50 a service that bears few is slow for seconds (`mainstay lab run defaults`).
    pub initial: NonZeroU32,
    /// How many may always run, from 1. By default 8: with fewer, too little would end to learn from.
    pub minimum: NonZeroU32,
    /// How many may run at most. By default 1,000: so many does a service bear only if it is quick, and then it needs fewer.
    pub maximum: NonZeroU32,
    /// How long ends are collected before the limit moves, from 1ms. By default 250ms: longer than a call usually takes, so that what a move does is seen
    /// before the next; with 1s calls are rejected for seconds after a change (`mainstay lab run defaults`).
    pub window: Duration,
    /// How many ends it takes at least to move the limit. By default 10: fewer are slow or fail by chance.
    pub samples: NonZeroU32,
}

/// What a limit goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limiter {
    /// What calls took lately, against what they usually take.
    Gradient(Gradient),
    /// One more as long as calls are well, a share less when they are not.
    Aimd(Aimd),
}

/// What calls took lately, against what they usually take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gradient {
    /// By which share calls may take longer than usual before the limit falls. By default 0.5: with 0.1 a service that becomes a
    /// little slower without an overload loses calls (`mainstay lab run defaults`).
    pub tolerance: Ratio,
    /// Which share of the way the limit goes at a time, above 0. By default 0.2: a single bad window moves it by a tenth at most. With 0.05
    /// calls are rejected for seconds after a change; more is hardly better (`mainstay lab run defaults`).
    pub smoothing: Ratio,
    /// How many calls may wait within the service: by `smoothing` of it the limit rises at a time. From 1 to 1,000, and never
    /// taken for more than a quarter of the limit. By default 4: with 2 the limit rises too slowly, and with 16 calls wait longer while capacity is short
    /// (`mainstay lab run defaults`).
    pub queue: u32,
    /// Over how long what is usual is averaged, from ten windows up. By default 10m: an overload that lasts as long is taken for usual; with 1m one
    /// of less than a minute is (`mainstay lab run defaults`).
    pub long: Duration,
}

/// One more as long as calls are well, a share less when they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Aimd {
    /// By how many calls the limit rises at a time, from 1. By default 1: by 4 in a second; with 16 calls wait longer while
    /// capacity is short (`mainstay lab run defaults`).
    pub increase: NonZeroU32,
    /// What is left of the limit when it falls, from 0.1 and below 1. By default 0.9: in 2s of failures, half of it. With 0.5 short
    /// pauses of a service cost calls, with 0.99 it follows too slowly (`mainstay lab run defaults`).
    pub backoff: Ratio,
    /// The limit falls when this share of the calls in a window has failed, or was slow. By default 0.1: with 0.05 failures by
    /// chance bring it down to its least, and with 0.5 calls wait longer while capacity is short (`mainstay lab run defaults`).
    pub failure_ratio: Ratio,
    /// A call that takes this long is slow, also if it succeeds. By default none is: what is slow only the owner of a service knows.
    pub latency: Option<Duration>,
}

impl Config {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Self { initial, minimum, maximum, window, .. } = *self;
        if maximum < minimum {
            return Err(format!("has a `maximum` of {maximum}, below `minimum`, {minimum}: make it larger"));
        }
        if !(minimum..=maximum).contains(&initial) {
            return Err(format!(
                "has an `initial` of {initial}, which is not from `minimum`, {minimum}, to `maximum`, {maximum}: make it fit"
            ));
        }
        if window < Duration::from_millis(1) {
            return Err(format!("has a `window` of {window}, below 1ms, the least there is: make it longer"));
        }
        match self.limiter {
            Limiter::Gradient(gradient) => gradient.check(window),
            Limiter::Aimd(aimd) => aimd.check(),
        }
    }
}

impl Gradient {
    /// The largest allowance.
    pub const QUEUE_MAX: u32 = 1_000;

    fn check(&self, window: Duration) -> Result<(), String> {
        if self.smoothing == Ratio::ZERO {
            return Err(
                "has a `smoothing` of 0, so that it would never move: make it more, such as 0.2".to_owned()
            );
        }
        if !(1..=Self::QUEUE_MAX).contains(&self.queue) {
            return Err(format!(
                "has a `queue` of {}: make it 1 or more, or it would never rise, and {} or less",
                self.queue,
                Self::QUEUE_MAX
            ));
        }
        if self.long < window.saturating_mul(10) {
            return Err(format!(
                "has a `long` of {}, below ten times `window`, {window}: make it longer, such as 10m",
                self.long
            ));
        }
        Ok(())
    }
}

impl Aimd {
    fn check(&self) -> Result<(), String> {
        if !(0.1..1.0).contains(&self.backoff.get()) {
            return Err(format!(
                "has a `backoff` of {}, which is not from 0.1 and below 1: it is what is left of the limit, such as 0.9",
                self.backoff.get()
            ));
        }
        if self.latency.is_some_and(Duration::is_zero) {
            return Err(
                "has a `latency` of no time, so that every call is slow: make it longer, or leave it out"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        let some = |count| NonZeroU32::new(count).expect("it is above zero");
        Self {
            limiter: Limiter::Gradient(Gradient::default()),
            initial: some(20),
            minimum: some(8),
            maximum: some(1_000),
            window: Duration::from_millis(250),
            samples: some(10),
        }
    }
}

impl Default for Gradient {
    fn default() -> Self {
        Self {
            tolerance: Ratio::new(0.5).expect("it is a ratio"),
            smoothing: Ratio::new(0.2).expect("it is a ratio"),
            queue: 4,
            long: Duration::from_secs(600),
        }
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Self {
            increase: NonZeroU32::MIN,
            backoff: Ratio::new(0.9).expect("it is a ratio"),
            failure_ratio: Ratio::new(0.1).expect("it is a ratio"),
            latency: None,
        }
    }
}

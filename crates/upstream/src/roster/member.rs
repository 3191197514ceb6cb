//! One endpoint of a roster.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::endpoint::{Endpoint, Instance};
use crate::outliers::Sample;
use crate::standing::{Standing, State};

use super::Source;

/// One endpoint of a roster.
#[derive(Debug)]
pub(super) struct Member {
    source: Source,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) standing: Standing,
    /// What was counted at the last look.
    counted: Sample,
    /// What was told last.
    told: State,
}

/// How an endpoint is.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Who describes it.
    pub source: Source,
    /// What it is described as.
    pub instance: Instance,
    /// How it is.
    pub state: State,
    /// Why it takes no calls, if it does not.
    pub why: Option<String>,
    /// How many calls run there.
    pub running: u32,
    /// How long its calls take, as choices see it; none before the first one.
    pub latency: Option<Duration>,
    /// How many calls have ended.
    pub ended: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// How many connections there are to it, of calls.
    pub connections: u32,
}

impl Member {
    pub(super) fn new(source: Source, instance: Instance, has_checks: bool) -> Self {
        let standing = Standing::new(has_checks);
        let told = standing.state();
        Self {
            source,
            endpoint: Arc::new(Endpoint::new(instance)),
            standing,
            counted: Sample::default(),
            told,
        }
    }

    /// The same, described so.
    pub(super) fn told(mut self, source: Source, instance: &Instance) -> Self {
        self.source = source;
        if self.endpoint.instance() != instance {
            self.endpoint = Arc::new(self.endpoint.told(instance.clone()));
        }
        self
    }

    pub(super) fn weight(&self) -> f32 {
        self.endpoint.instance().weight as f32
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.standing.is_leaving()
    }

    /// What time does to it. Returns whether it takes calls, and whether its state is another one than at the last time.
    pub(super) fn settle(&mut self, service: &Name, now: Instant) -> (bool, bool) {
        let is_fit = self.standing.settle(now);
        let state = self.standing.state();
        let is_other = state != self.told;
        if is_other {
            self.tell(service, state);
        }
        (is_fit, is_other)
    }

    fn tell(&mut self, service: &Name, state: State) {
        let (address, was) = (self.endpoint.instance().address, self.told.as_str());
        match (state, self.standing.why()) {
            (State::Healthy | State::Draining | State::Unchecked, _) => {
                tracing::info!(target: "mainstay::upstream", %service, %address, state = state.as_str(), was, "endpoint changed");
            }
            (State::Failing | State::Ejected | State::Unreachable, why) => {
                let why = why.unwrap_or_default();
                tracing::warn!(target: "mainstay::upstream", %service, %address, state = state.as_str(), was, why, "endpoint takes no calls");
            }
        }
        self.told = state;
    }

    /// What calls ended with since the last look.
    pub(super) fn sample(&mut self) -> Sample {
        let load = self.endpoint.load();
        // Failures first: there are never more of them than have ended.
        let failed = load.failed.load(Ordering::Relaxed);
        let counted = Sample {
            ended: load.ended.load(Ordering::Relaxed),
            failed,
            took_nanos: load.took_nanos.load(Ordering::Relaxed),
        };
        let before = std::mem::replace(&mut self.counted, counted);
        let ended = counted.ended - before.ended;
        Sample {
            ended,
            failed: (counted.failed - before.failed).min(ended),
            took_nanos: counted.took_nanos.wrapping_sub(before.took_nanos),
        }
    }

    pub(super) fn view(&self, now: Instant) -> View {
        let load = self.endpoint.load();
        let millis = load.latency.millis(now);
        let latency = (millis > 0.0).then(|| Duration::from_micros((millis * 1_000.0) as u64));
        View {
            source: self.source,
            instance: self.endpoint.instance().clone(),
            state: self.standing.state(),
            why: self.standing.why(),
            running: load.running(),
            latency,
            ended: load.ended.load(Ordering::Relaxed),
            failed: load.failed.load(Ordering::Relaxed),
            ejections: self.standing.ejections(),
            connections: load.spot.open(),
        }
    }
}
